//! The agent, and the loop: one function of twenty-odd lines that no session rewrites.
//!
//! A step has two halves with names: [`Agent::think`] asks the model, [`Agent::act`] runs the tools it
//! called. [`Agent::run`] puts them in a loop until the model calls no more tools.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::conversation::{Block, Conversation, Message, Role, ToolCall, ToolResult};
use crate::event::{Event, Observers, Stop};
use crate::hook::{Hook, Turn, Why};
use crate::model::{Delta, Model, ModelError, Reply, Request, StopReason};
use crate::models;
use crate::permission::{AllowAll, Gate, Headless};
use crate::schedule::{InOrder, Runner, Schedule};
use crate::secrets::Secrets;
use crate::tool::Toolbox;

/// How often a reply that was cut at its token limit is continued.
const CONTINUATIONS: u32 = 3;
/// How often a server-side tool may ask to be called again.
const PAUSES: u32 = 10;

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
    /// A reply was cut at its token limit again and again.
    #[error("the reply was cut at {0} tokens again and again; ask for smaller steps")]
    CutOff(u32),
    /// The server gave a reason to stop that this version does not know.
    #[error("the model stopped for an unknown reason ({0:?}); nothing was run")]
    UnknownStop(String),
    /// A tool or a hook says that the harness cannot go on.
    #[error("{0}")]
    Fatal(String),
}

/// How one request ended.
enum Heard {
    Reply(Reply),
    /// The words so far.
    Cancelled(String),
    /// The words so far, and what went wrong.
    Failed(String, ModelError),
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
    ) -> Result<Stop, AgentError> {
        let ended = self.steps(conversation, cancel).await;
        self.tell(&match &ended {
            Ok(stop) => Event::TurnEnded(stop.clone()),
            Err(error) => Event::TurnFailed(error.to_string()),
        });
        ended
    }

    async fn steps(
        &self,
        conversation: &mut Conversation,
        cancel: &CancellationToken,
    ) -> Result<Stop, AgentError> {
        self.keep(conversation, cancel).await?; // what the human said
        for _ in 0..self.max_steps {
            let Some(reply) = self.think(conversation, cancel).await? else {
                return Ok(Stop::Interrupted);
            };
            if reply.stop == StopReason::Refusal {
                return Ok(Stop::Refused(reply.text()));
            }
            conversation.reply(&reply.message);
            self.keep(conversation, cancel).await?; // the calls, before they run
            let calls = conversation.calls();
            if !calls.is_empty() {
                let acted = self.act(&calls, cancel).await;
                conversation.answer(acted.results); // first, also when something was fatal
                self.keep(conversation, cancel).await?;
                if let Some(fatal) = acted.fatal {
                    return Err(fatal);
                }
                if cancel.is_cancelled() {
                    return Ok(Stop::Interrupted);
                }
                continue;
            }
            match self.nudge(conversation, cancel).await {
                Some(nudge) => conversation.note(nudge),
                None => return Ok(Stop::Answered(conversation.answered())),
            }
        }
        Err(AgentError::TooManySteps(self.max_steps))
    }

    /// Asks the model for its next reply. `None`: interrupted, and what was said so far is kept.
    ///
    /// Replies that are not an end by themselves are dealt with here: a reply cut at the token limit is
    /// asked for again or continued, a paused one is resumed, an empty one is asked about once, and a
    /// prompt that is too long gives the hooks one chance to shorten it.
    ///
    /// # Errors
    /// The model could not be asked, or its reply cannot be used.
    pub async fn think(
        &self,
        conversation: &mut Conversation,
        cancel: &CancellationToken,
    ) -> Result<Option<Reply>, AgentError> {
        let (mut why, mut max_tokens) = (Why::Step, self.max_tokens);
        let (mut continued, mut paused, mut asked_again) = (0, 0, false);
        loop {
            if !self.prepare(conversation, cancel, why).await? {
                return Ok(None);
            }
            let mut reply = match self.ask(conversation, cancel, why, max_tokens).await {
                Heard::Reply(reply) => reply,
                Heard::Cancelled(said) => {
                    self.keep_said(conversation, cancel, said).await?;
                    return Ok(None);
                }
                Heard::Failed(_, ModelError::TooLong { .. }) if why == Why::Step => {
                    why = Why::Overflow;
                    continue;
                }
                Heard::Failed(said, error) => {
                    self.keep_said(conversation, cancel, said).await?;
                    return Err(error.into());
                }
            };
            match &reply.stop {
                StopReason::MaxTokens | StopReason::WindowExceeded => {
                    let cut_call = matches!(reply.message.content.last(), Some(Block::ToolUse(_)));
                    let ceiling = models::max_output(&self.model_id);
                    if cut_call && reply.stop == StopReason::MaxTokens && max_tokens < ceiling {
                        max_tokens = ceiling; // once more, with room; nothing of it was kept or run
                        continue;
                    }
                    if cut_call {
                        reply.message.content.pop();
                        if reply.message.calls().next().is_some() {
                            return Ok(Some(reply)); // the whole calls before the cut one can run
                        }
                    }
                    continued += 1;
                    if continued > CONTINUATIONS {
                        return Err(AgentError::CutOff(max_tokens));
                    }
                    if reply.stop == StopReason::WindowExceeded {
                        why = Why::Overflow;
                    }
                    conversation.reply(&reply.message);
                    conversation.note(if cut_call { CUT_CALL } else { CUT_TEXT });
                }
                StopReason::PauseTurn if paused < PAUSES => {
                    paused += 1;
                    conversation.reply(&reply.message);
                }
                StopReason::Other(word) if reply.message.calls().next().is_none() => {
                    return Err(AgentError::UnknownStop(word.clone()));
                }
                StopReason::EndTurn if !asked_again && is_empty(&reply.message) => {
                    asked_again = true;
                    conversation.reply(&reply.message);
                    conversation.note(EMPTY);
                }
                _ => return Ok(Some(reply)),
            }
            self.keep(conversation, cancel).await?;
        }
    }

    /// Runs the calls. Every one is answered, whatever happens.
    pub async fn act(&self, calls: &[ToolCall], cancel: &CancellationToken) -> Acted {
        let runner = Runner::new(self, cancel);
        let results = self.schedule.run(calls, &runner).await;
        Acted { results, fatal: runner.into_fatal().map(AgentError::Fatal) }
    }

    /// Tells everyone who watches.
    pub fn tell(&self, event: &Event) {
        self.observers.tell(&self.name, event);
    }

    /// Lets the hooks prepare the conversation. `false`: interrupted meanwhile.
    async fn prepare(
        &self,
        conversation: &mut Conversation,
        cancel: &CancellationToken,
        why: Why,
    ) -> Result<bool, AgentError> {
        for hook in &self.hooks {
            let turn = Turn { agent: self, cancel, why };
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(false),
                done = hook.before_model(conversation, &turn) => done?,
            }
        }
        self.keep(conversation, cancel).await?;
        Ok(!cancel.is_cancelled())
    }

    async fn ask(
        &self,
        conversation: &Conversation,
        cancel: &CancellationToken,
        why: Why,
        max_tokens: u32,
    ) -> Heard {
        let mut request = Request {
            agent: &self.name,
            model: &self.model_id,
            max_tokens,
            system: self.system.as_slice().into(),
            tools: self.tools.specs(),
            messages: conversation.messages(),
            marks: Vec::new(),
            extra: models::extra(&self.model_id),
        };
        for hook in &self.hooks {
            hook.shape_request(&mut request, &Turn { agent: self, cancel, why });
        }
        let mut stream = self.model.stream(&request);
        let mut said = String::new();
        loop {
            let delta = tokio::select! {
                biased;
                () = cancel.cancelled() => return Heard::Cancelled(said),
                delta = stream.next() => delta,
            };
            match delta {
                Some(Ok(Delta::Done(reply))) => {
                    self.tell(&Event::Replied(reply.clone()));
                    return Heard::Reply(reply);
                }
                Some(Ok(Delta::Retrying { wait, why })) => {
                    self.tell(&Event::Retrying { wait, why })
                }
                Some(Ok(delta)) => {
                    if let Delta::Text(text) = &delta {
                        said.push_str(text);
                    }
                    self.tell(&Event::Delta(delta));
                }
                Some(Err(error)) => return Heard::Failed(said, error),
                None => {
                    let why = "the stream ended without a reply".to_owned();
                    return Heard::Failed(said, ModelError::Broken { why });
                }
            }
        }
    }

    /// Keeps the words of a reply that never ended. Half-made calls and their thinking are gone.
    async fn keep_said(
        &self,
        conversation: &mut Conversation,
        cancel: &CancellationToken,
        said: String,
    ) -> Result<(), AgentError> {
        conversation.reply(&Message { role: Role::Assistant, content: vec![Block::text(said)] });
        self.keep(conversation, cancel).await
    }

    async fn keep(
        &self,
        conversation: &Conversation,
        cancel: &CancellationToken,
    ) -> Result<(), AgentError> {
        for hook in &self.hooks {
            hook.keep(conversation, &Turn { agent: self, cancel, why: Why::Step }).await?;
        }
        Ok(())
    }

    /// The first hook that does not want to stop yet. An interrupt ends the question.
    async fn nudge(
        &self,
        conversation: &Conversation,
        cancel: &CancellationToken,
    ) -> Option<String> {
        for hook in &self.hooks {
            let turn = Turn { agent: self, cancel, why: Why::Step };
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

const CUT_CALL: &str = "Your last reply was cut at the token limit in the middle of a tool call. \
    The call was not run. Take smaller steps.";
const CUT_TEXT: &str =
    "Your last reply was cut at the token limit. Continue exactly where you stopped.";
const EMPTY: &str = "Your last reply was empty. Go on, or say that you are done.";

fn is_empty(message: &Message) -> bool {
    message.calls().next().is_none() && message.text().trim().is_empty()
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
