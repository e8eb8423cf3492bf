//! What a tool may ask of the agent that calls it: to send a child to do a task.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::conversation::Conversation;
use crate::conversation::log::ConversationLog;
use crate::event::{AgentError, Observer, TurnOutcome};

/// What a child is made for. A hook reads it to decide what the child gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildKind {
    /// One task, whose answer goes back to the agent that sent it.
    Subagent,
    /// A member of a team: it lives as long as the program and works off its mail.
    Teammate,
    /// A task of its own, in a directory or a process of its own.
    Task,
}

/// How a child differs from its parent. What is not said here, it has from its parent: see
/// [`Agent::child`](crate::Agent::child).
#[derive(Clone)]
pub struct ChildSpec {
    /// Its name, for events and logs.
    pub name: String,
    /// What it is made for.
    pub kind: ChildKind,
    /// Another model's id.
    pub model_id: Option<String>,
    /// Another directory.
    pub cwd: Option<PathBuf>,
    /// Of the tools that the family has, only these; all of them without.
    pub tools: Option<Vec<String>>,
    /// Blocks of the system prompt for the child alone.
    pub instructions: Vec<String>,
    /// Fewer steps than the parent may take in a turn.
    pub max_steps: Option<usize>,
    /// Where its conversation is written while it happens.
    pub log: Option<Arc<ConversationLog>>,
    /// Observers of this child and of its own children: what they cost, it costs.
    pub observers: Vec<Arc<dyn Observer>>,
}

impl ChildSpec {
    /// A child that differs from its parent by name alone.
    pub fn new(name: impl Into<String>, kind: ChildKind) -> Self {
        Self {
            name: name.into(),
            kind,
            model_id: None,
            cwd: None,
            tools: None,
            instructions: Vec::new(),
            max_steps: None,
            log: None,
            observers: Vec::new(),
        }
    }
}

impl std::fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChildSpec")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("model_id", &self.model_id)
            .field("cwd", &self.cwd)
            .finish_non_exhaustive()
    }
}

/// The agent behind a call, as far as its tools may use it.
#[async_trait]
pub trait Parent: Send + Sync {
    /// Makes a child of the agent as it is now, and runs one turn of it. The conversation holds what the child
    /// is told, and afterwards what it did, however it ended.
    ///
    /// # Errors
    /// The child's turn could not be finished.
    async fn run_child(
        &self,
        spec: ChildSpec,
        conversation: &mut Conversation,
        cancel: &CancellationToken,
    ) -> Result<TurnOutcome, AgentError>;
}
