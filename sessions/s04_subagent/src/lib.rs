#![doc = include_str!("../README.md")]
//!
//! Next page: [s05 · Skills](../s05_skill_loading/index.html)

mod named;

use std::fmt::Write as _;
use std::mem;
use std::sync::Arc;

use harness_app::Lesson;
use harness_core::host::text;
use harness_core::host::workspace::Workspace;
use harness_core::model::models;
use harness_core::{
    Agent, AgentError, Content, Conversation, ConversationLog, Effect, Event, Mechanism, Message,
    Mutex, Observer, Role, Tool, ToolContext, ToolError, TurnOutcome, Usage,
};
use schemars::JsonSchema;
use serde::Deserialize;

pub use named::{Faults, Named};

/// What the terminal is told of this session.
pub const LESSON: Lesson = Lesson {
    name: env!("CARGO_PKG_NAME"),
    motto: "A subagent is a clone with a fresh history.",
    play: include_str!("../demo.yaml"),
};

/// The mechanism: a tool that holds an agent.
#[derive(Clone, Debug, Default)]
pub struct Subagents {
    /// Those that the lead can name.
    pub named: Vec<Named>,
}

impl Mechanism for Subagents {
    fn install(self, agent: &mut Agent) {
        // Cloned before the tool is added: a subagent has none of its own.
        let mut child = agent.clone();
        child.max_steps = child.max_steps.min(STEPS);
        child.system.push(SYSTEM.to_owned());
        if !self.named.is_empty() {
            let names = self.named.iter().map(|it| format!("\n- {}: {}", it.name, it.description));
            agent.system.push(format!("{NAMED}{}", names.collect::<String>()));
        }
        agent.tools.add(SpawnSubagent { child, named: self.named });
    }
}

const SYSTEM: &str = "You are a subagent: another agent sent you to do one task, which is the first message. \
    Nobody sees your steps, and nobody can answer a question. Your last message is all that goes back, so make \
    it the whole answer, with the paths and figures that it rests on.";

const NAMED: &str = "The field `agent` of spawn_subagent can name one of these:";

impl Subagents {
    /// With those that the workspace names, in `.claude/agents/*.md`.
    ///
    /// # Errors
    /// A file cannot be used as it is. All faults of all files are told.
    pub fn load(agent: &Agent) -> Result<Self, Faults> {
        Ok(Self { named: Named::load(agent)? })
    }
}

/// The most steps of a subagent, unless its file says less.
const STEPS: usize = 50;
/// The most bytes of an answer that go back; of a longer one both ends, and all of it is in a file.
const LONGEST: usize = 30_000;

struct SpawnSubagent {
    child: Agent,
    named: Vec<Named>,
}

/// What `spawn_subagent` takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Task {
    /// The task, with everything one must know for it: nothing of this conversation is seen.
    prompt: String,
    /// One of the subagents that have a name; without it, one that can do what you can.
    agent: Option<String>,
}

impl Tool for SpawnSubagent {
    const NAME: &'static str = "spawn_subagent";
    const ABOUT: &'static str = "Sends another agent to do a task in the same workspace, with a fresh history, and \
        returns its last message. For work of which you need the result and not the steps.";
    type Input = Task;

    /// Nothing by itself: each of the child's calls passes the same gate as yours.
    fn effect(&self, _: &Task) -> Effect {
        Effect::Internal
    }

    async fn call(&self, input: Task, cx: &ToolContext) -> Result<Content, ToolError> {
        if input.prompt.trim().is_empty() {
            return Err(ToolError::Failed(
                "the prompt is empty; say what is to be done".to_owned(),
            ));
        }
        let mut child = self.child.clone();
        let named = input.agent.as_ref().map(|name| Named::find(&self.named, name));
        let named = named.transpose().map_err(ToolError::Failed)?;
        named.inspect(|named| named.shape(&mut child));
        let kind = named.map_or("subagent", |named| &named.name);
        // Its name and its file; without a place to keep what it does nobody is sent.
        let record =
            ConversationLog::begin(&cx.cwd, "subagents", kind).map_err(ToolError::failed)?;
        let record = Arc::new(record);
        let meter = Arc::new(Meter::default());
        child.name.clone_from(&record.name);
        child.cwd.clone_from(&cx.cwd);
        child.hooks.push(record.clone());
        child.observers = cx.observers.clone(); // the terminal's came after the clone was made
        child.observers.add(meter.clone());

        let mut conversation = Conversation::new();
        conversation.say(&input.prompt);
        let mut ending = Ending { cx, child: &record.name, outcome: "interrupted".to_owned() };
        let started = Event::ChildStarted { child: child.name.clone(), task: input.prompt };
        cx.observers.emit(&cx.agent, &started);
        let ended = child.run(&mut conversation, &cx.cancel.child_token()).await;

        let answered = matches!(ended, Ok(TurnOutcome::Answered(_)));
        let (status, said) = told(ended, &conversation);
        ending.outcome = format!("{status} · {}", meter.sums(&child.model_id));
        let head = format!("[{} {} · {}]", child.name, ending.outcome, record.path.display());
        let report = format!("{head}\n{}", capped(said, cx, &record));
        if answered { Ok(report.into()) } else { Err(ToolError::Failed(report)) }
    }
}

/// How it ended, and what it had to say: also one that came to no answer may have found something.
fn told(ended: Result<TurnOutcome, AgentError>, conversation: &Conversation) -> (String, String) {
    let words = conversation.messages().iter().filter(|m| m.role == Role::Assistant);
    let last = words.rev().map(Message::text).find(|text| !text.trim().is_empty());
    let last = last.unwrap_or_else(|| "(it said nothing)".to_owned());
    match ended {
        Ok(TurnOutcome::Answered(text)) if !text.trim().is_empty() => ("answered".into(), text),
        Ok(TurnOutcome::Answered(_)) => ("answered".into(), last),
        Ok(TurnOutcome::Refused(why)) => ("declined by the model".into(), why),
        Ok(TurnOutcome::Interrupted) => ("interrupted".into(), last),
        Err(AgentError::TooManySteps(_)) => ("stopped at its step limit".into(), last),
        Err(error) => (format!("failed: {error}"), last),
    }
}

/// The text, or both its ends and the name of a file that holds all of it.
fn capped(said: String, cx: &ToolContext, record: &ConversationLog) -> String {
    if said.len() <= LONGEST {
        return said;
    }
    let path = record.path.with_extension("txt");
    let kept = Workspace::open(&cx.cwd).and_then(|w| w.write_atomic(&path, said.as_bytes()));
    let mut report = text::clip(&said, LONGEST / 2, LONGEST / 2).into_owned();
    let _ = match kept {
        Ok(_) => write!(report, "\n[all {} bytes are in {}]", said.len(), path.display()),
        Err(error) => write!(report, "\n[the whole answer could not be kept: {error}]"),
    };
    report
}

/// Tells that a child has ended, however it did: also when the call was dropped.
struct Ending<'a> {
    cx: &'a ToolContext,
    child: &'a str,
    outcome: String,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let (child, outcome) = (self.child.to_owned(), mem::take(&mut self.outcome));
        self.cx.observers.emit(&self.cx.agent, &Event::ChildEnded { child, outcome });
    }
}

/// Adds up what a child costs.
#[derive(Debug, Default)]
struct Meter(Mutex<(usize, Usage)>);

impl Meter {
    fn sums(&self, model_id: &str) -> String {
        let (steps, usage) = *self.0.lock();
        let cost = models::cost(model_id, &usage).map(|usd| format!(", ${usd:.4}"));
        let (read, written) = (usage.prompt(), usage.output_tokens);
        format!("steps {steps} · tokens {read} in, {written} out{}", cost.unwrap_or_default())
    }
}

impl Observer for Meter {
    fn on(&self, _: &str, event: &Event) {
        if let Event::Replied(reply) = event {
            let mut sums = self.0.lock();
            sums.0 += 1;
            sums.1 += reply.usage;
        }
    }
}
