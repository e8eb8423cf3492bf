//! The agent, and the loop: one function of twenty-odd lines that no session rewrites.
//!
//! A step has two halves with names: [`Agent::think`] asks the model, [`Agent::act`] runs the tools it
//! called. [`Agent::run`] puts them in a loop until the model calls no more tools.

pub mod act;
pub mod hook;
pub mod layer;
pub mod log;
pub mod relay;
pub mod task;
mod think;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::agent::act::{InOrder, Runner, Schedule};
use crate::agent::hook::{Hook, HookContext, HookReason};
use crate::conversation::Conversation;
use crate::conversation::message::{ToolCall, ToolResult};
use crate::event::{Event, Observers, TurnOutcome};
use crate::host::secrets::Secrets;
use crate::model::models;
use crate::model::{Model, ModelError, StopReason};
use crate::permission::{AllowAll, Gate, Headless};
use crate::tool::{ToolContext, Toolbox};

/// How long the conversation may take to be kept after an interrupt.
const KEEPING: Duration = Duration::from_secs(1);

/// An agent is a value: clone it, change a field, and there is a subagent.
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
    /// The system prompt, a block each. Keep it stable: dates and news belong into notes.
    pub system: Vec<String>,
    /// What it can do.
    pub tools: Toolbox,
    /// What it may do.
    pub gate: Gate,
    /// Who is asked on the way.
    pub hooks: Vec<Arc<dyn Hook>>,
    /// In which order calls run.
    pub schedule: Arc<dyn Schedule>,
    /// Who is told.
    pub observers: Observers,
    /// Where it works.
    pub cwd: PathBuf,
    /// What its children must not get, and what must not be shown.
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

/// Why a turn could not be finished. The conversation is valid all the same.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// The model could not be asked.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The step limit was reached.
    #[error("stopped after {0} steps without an answer; raise --max-steps or say `continue`")]
    TooManySteps(usize),
    /// The server's own tools paused again and again.
    #[error("the server paused its own tools {0} times without an answer; say `continue`")]
    Paused(u32),
    /// A reply was cut at its token limit again and again.
    #[error("the reply was cut at {0} tokens again and again; ask for smaller steps")]
    CutOff(u32),
    /// The server gave a reason to stop that this version does not know.
    #[error("the model stopped for an unknown reason ({0:?}); nothing was run")]
    UnknownStop(String),
    /// Interrupted, and the hook that keeps the conversation did not end.
    #[error("interrupted; what was said last could not be kept in time")]
    NotKept,
    /// A tool or a hook says that the harness cannot go on.
    #[error("{0}")]
    Fatal(String),
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
            system: Vec::new(),
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
        ToolContext {
            agent: self.name.clone(),
            call_id: call_id.to_owned(),
            cwd: self.cwd.clone(),
            cancel: cancel.clone(),
            observers: self.observers.clone(),
            secrets: self.secrets.clone(),
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
            tokio::time::sleep(KEEPING).await;
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
