//! A conversation log as a hook: it is written whenever the conversation has grown.

use async_trait::async_trait;

use super::AgentError;
use crate::agent::hook::{Hook, HookContext};
use crate::conversation::Conversation;
use crate::conversation::log::ConversationLog;

#[async_trait]
impl Hook for ConversationLog {
    async fn persist(&self, c: &Conversation, _: &HookContext<'_>) -> Result<(), AgentError> {
        self.write(c).map_err(|error| AgentError::Fatal(error.to_string()))
    }
}
