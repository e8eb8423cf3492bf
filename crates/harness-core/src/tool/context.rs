//! What a call may know of its surroundings.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{ChildSpec, Parent};
use crate::conversation::Conversation;
use crate::event::{AgentError, Event, Observers, TurnOutcome};
use crate::host::mutex::Mutex;
use crate::host::secrets::Secrets;

/// What a call may know of its surroundings. The directory is a value: nothing is global.
#[derive(Clone)]
pub struct ToolContext {
    /// The name of the agent that calls.
    pub agent: String,
    /// The call's id.
    pub call_id: String,
    /// Where relative paths start, and what file tools stay inside.
    pub cwd: PathBuf,
    /// Cancelled when the user interrupts. A tool then has half a second to return what it has.
    pub cancel: CancellationToken,
    /// The agent's observers.
    pub observers: Observers,
    /// What commands must not get and results must not show.
    pub secrets: Secrets,
    /// The agent that calls, as far as a tool may use it.
    pub parent: Arc<dyn Parent>,
    /// What the call has delivered so far.
    pub deliveries: Deliveries,
}

impl ToolContext {
    /// Shows a piece of output while the call still runs. Known secrets in it are masked, so give it
    /// whole lines: a secret that is cut in two is not seen.
    pub fn progress(&self, text: &str) {
        let text = self.secrets.mask(text).into_owned();
        self.emit(&Event::ToolProgress { call_id: self.call_id.clone(), text });
    }

    /// Emits an event of the agent that calls.
    pub fn emit(&self, event: &Event) {
        self.observers.emit(&self.agent, event);
    }

    /// Says that the result of this call brings the model something that has an id (a mail, say). Once the
    /// result is in the conversation, [`Conversation::has_delivered`] knows it.
    pub fn deliver(&self, id: impl Into<String>) {
        self.deliveries.0.lock().push(id.into());
    }

    /// Makes a child of the agent that calls, as that agent is now, and runs one turn of it on this
    /// conversation. It is interrupted with the call.
    ///
    /// # Errors
    /// The child's turn could not be finished; the conversation holds what it did.
    pub async fn run_child(
        &self,
        spec: ChildSpec,
        conversation: &mut Conversation,
    ) -> Result<TurnOutcome, AgentError> {
        self.parent.run_child(spec, conversation, &self.cancel.child_token()).await
    }
}

impl std::fmt::Debug for ToolContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ToolContext")
            .field("agent", &self.agent)
            .field("call_id", &self.call_id)
            .field("cwd", &self.cwd)
            .finish_non_exhaustive()
    }
}

/// The ids of what one call has delivered. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Deliveries(Arc<Mutex<Vec<String>>>);

impl Deliveries {
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }
}
