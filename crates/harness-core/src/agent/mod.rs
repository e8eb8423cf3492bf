//! The agent, and the loop: about fifty lines that no session rewrites.
//!
//! A step has two halves with names: [`Agent::think`] asks the model, [`Agent::act`] runs the tools it
//! called. [`Agent::run`] puts them in a loop until the model calls no more tools.

pub mod act;
pub mod child;
pub mod hook;
pub mod layer;
mod log;
mod system;
pub mod task;
mod think;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use system::SystemPrompt;

use crate::agent::act::{InOrder, Runner, Schedule};
use crate::agent::hook::{Hook, HookContext, HookReason};
use crate::conversation::Conversation;
use crate::conversation::message::{ToolCall, ToolResult};
pub use crate::event::{AgentError, TurnOutcome};
use crate::event::{Event, Observers};
use crate::host::secrets::Secrets;
use crate::model::models;
use crate::model::{Model, StopReason};
use crate::permission::{AllowAll, Gate, Headless};
use crate::tool::{Deliveries, Parent, ToolContext, Toolbox};

/// Grace period after an interrupt in which hooks may still persist the conversation.
const PERSIST_GRACE: Duration = Duration::from_secs(1);

/// An agent is a value. A clone is the same agent once more; another agent that works for this one is a child:
/// [`Agent::child`].
#[derive(Clone)]
pub struct Agent {
    /// What it is called in events.
    pub name: String,
    /// What thinks.
    pub model: Arc<dyn Model>,
    /// The model's id, as the server knows it.
    pub model_id: String,
    /// The most tokens of one reply, thinking included.
    pub max_tokens: u32,
    /// The most steps of one turn.
    pub max_steps: usize,
    /// The system prompt.
    pub system: SystemPrompt,
    /// The tools.
    pub tools: Toolbox,
    /// The permission gate.
    pub gate: Gate,
    /// Hooks, called in this order.
    pub hooks: Vec<Arc<dyn Hook>>,
    /// How one reply's calls are scheduled.
    pub schedule: Arc<dyn Schedule>,
    /// Observers of every event.
    pub observers: Observers,
    /// The directory it works in.
    pub cwd: PathBuf,
    /// What commands must not get, and what must not be shown.
    pub secrets: Secrets,
}

/// What a session is: something that installs itself on an agent's seams.
pub trait Mechanism {
    /// Takes its place.
    fn install(self, agent: &mut Agent);
}

/// What came of a reply's calls.
#[derive(Debug)]
pub struct Acted {
    /// An answer for each call.
    pub results: Vec<ToolResult>,
    /// The harness itself failed; the turn ends once the results are kept.
    pub fatal: Option<AgentError>,
}

impl Agent {
    /// An agent without tools that works in `cwd`, behind a gate that allows everything it is able to do.
    pub fn new(model: Arc<dyn Model>, cwd: impl Into<PathBuf>) -> Self {
        Self {
            name: "lead".to_owned(),
            model,
            model_id: models::DEFAULT.to_owned(),
            max_tokens: 16_384,
            max_steps: 500,
            system: SystemPrompt::default(),
            tools: Toolbox::new(),
            gate: Gate { policy: Arc::new(AllowAll), approver: Arc::new(Headless) },
            hooks: Vec::new(),
            schedule: Arc::new(InOrder),
            observers: Observers::default(),
            cwd: cwd.into(),
            secrets: Secrets::default(),
        }
    }

    /// Installs a mechanism: `agent.with(Plan::default()).with(Parallel)`.
    pub fn with(mut self, mechanism: impl Mechanism) -> Self {
        mechanism.install(&mut self);
        self
    }

    /// The loop. Thinks and acts until the model calls no tool, and keeps the conversation valid however
    /// it ends.
    ///
    /// # Errors
    /// The turn could not be finished; the next one can be started all the same.
    pub async fn run(
        &self,
        conversation: &mut Conversation,
        cancel: &CancellationToken,
    ) -> Result<TurnOutcome, AgentError> {
        let ended = self.steps(conversation, cancel).await;
        self.emit(&match &ended {
            Ok(stop) => Event::TurnEnded(stop.clone()),
            Err(error) => Event::TurnFailed(error.to_string()),
        });
        ended
    }

    async fn steps(
        &self,
        conversation: &mut Conversation,
        cancel: &CancellationToken,
    ) -> Result<TurnOutcome, AgentError> {
        self.persist(conversation, cancel).await?; // what the human said
        for _ in 0..self.max_steps {
            let Some(reply) = self.think(conversation, cancel).await? else {
                return Ok(TurnOutcome::Interrupted);
            };
            if reply.stop == StopReason::Refusal {
                return Ok(TurnOutcome::Refused(reply.text()));
            }
            conversation.reply(&reply.message);
            self.persist(conversation, cancel).await?; // the calls, before they run
            let calls = conversation.calls();
            if !calls.is_empty() {
                let acted = self.act(&calls, cancel).await;
                conversation.answer(acted.results); // first, also when something was fatal
                self.persist(conversation, cancel).await?;
                if let Some(fatal) = acted.fatal {
                    return Err(fatal);
                }
                if cancel.is_cancelled() {
                    return Ok(TurnOutcome::Interrupted);
                }
                continue;
            }
            match self.nudge(conversation, cancel).await {
                Some(nudge) => conversation.remind(nudge),
                None => return Ok(TurnOutcome::Answered(conversation.answered())),
            }
        }
        Err(AgentError::TooManySteps(self.max_steps))
    }

    /// Runs the calls. Every one is answered, whatever happens.
    pub async fn act(&self, calls: &[ToolCall], cancel: &CancellationToken) -> Acted {
        let runner = Runner::new(self, cancel);
        let results = self.schedule.run(calls, &runner).await;
        Acted { results, fatal: runner.into_fatal().map(AgentError::Fatal) }
    }

    /// What a call of this agent may know of its surroundings.
    pub fn context(&self, call_id: &str, cancel: &CancellationToken) -> ToolContext {
        self.context_of(Arc::new(self.clone()), call_id, cancel)
    }

    pub(crate) fn context_of(
        &self,
        parent: Arc<dyn Parent>,
        call_id: &str,
        cancel: &CancellationToken,
    ) -> ToolContext {
        ToolContext {
            agent: self.name.clone(),
            call_id: call_id.to_owned(),
            cwd: self.cwd.clone(),
            cancel: cancel.clone(),
            observers: self.observers.clone(),
            secrets: self.secrets.clone(),
            parent,
            deliveries: Deliveries::default(),
        }
    }

    /// Emits an event to every observer.
    pub fn emit(&self, event: &Event) {
        self.observers.emit(&self.name, event);
    }

    pub(crate) async fn persist(
        &self,
        conversation: &Conversation,
        cancel: &CancellationToken,
    ) -> Result<(), AgentError> {
        let late = async {
            cancel.cancelled().await;
            tokio::time::sleep(PERSIST_GRACE).await;
        };
        let kept = async {
            for hook in &self.hooks {
                hook.persist(
                    conversation,
                    &HookContext { agent: self, cancel, why: HookReason::Step },
                )
                .await?;
            }
            Ok(())
        };
        tokio::select! {
            biased;
            kept = kept => kept,
            () = late => Err(AgentError::NotKept),
        }
    }

    /// The first hook that does not want to stop yet. An interrupt ends the question.
    async fn nudge(
        &self,
        conversation: &Conversation,
        cancel: &CancellationToken,
    ) -> Option<String> {
        for hook in &self.hooks {
            let turn = HookContext { agent: self, cancel, why: HookReason::Step };
            let nudge = tokio::select! {
                biased;
                () = cancel.cancelled() => return None,
                nudge = hook.before_stop(conversation, &turn) => nudge,
            };
            if nudge.is_some() {
                return nudge;
            }
        }
        None
    }
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent")
            .field("name", &self.name)
            .field("model_id", &self.model_id)
            .field("tools", &self.tools)
            .field("cwd", &self.cwd)
            .finish_non_exhaustive()
    }
}
