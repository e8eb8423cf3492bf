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
use harness_core::{
    Agent, AgentError, ChildKind, ChildSpec, Content, Conversation, ConversationLog, Effect, Event,
    Mechanism, Message, Mutex, Observer, Role, Tool, ToolContext, ToolError, TurnOutcome, Usage,
};
use schemars::JsonSchema;
use serde::Deserialize;

pub use named::{Faults, Named};

/// What the terminal is told of this session.
pub const LESSON: Lesson = Lesson {
    name: env!("CARGO_PKG_NAME"),
    motto: "A subagent is a child with a fresh history.",
    play: include_str!("../demo.yaml"),
};

/// The mechanism: a tool that makes a child of the agent that calls it, and runs it on a task.
#[derive(Clone, Debug, Default)]
pub struct Subagents {
    /// Those that the lead can name.
    pub named: Vec<Named>,
}

impl Mechanism for Subagents {
    /// For this agent alone: a subagent sends no others.
    fn install(self, agent: &mut Agent) {
        if !self.named.is_empty() {
            let names = self.named.iter().map(|it| format!("\n- {}: {}", it.name, it.description));
            agent.system.push(format!("{NAMED}{}", names.collect::<String>()));
        }
        agent.tools.add(SpawnSubagent { named: self.named });
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
const MAX_STEPS: usize = 50;
/// The most bytes of an answer that go back; of a longer one both ends, and all of it is in a file.
const MAX_ANSWER: usize = 30_000;

struct SpawnSubagent {
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
        let named = match &input.agent {
            Some(name) => Some(Named::find(&self.named, name).map_err(ToolError::Failed)?),
            None => None,
        };
        let kind = named.map_or("subagent", |named| &named.name);
        // Its name and its file; without a place to write what it does nobody is sent.
        let log = ConversationLog::begin(&cx.cwd, "subagents", kind).map_err(ToolError::failed)?;
        let log = Arc::new(log);
        let meter = Arc::new(Meter::default());
        let mut spec = ChildSpec::new(&log.name, ChildKind::Subagent);
        spec.instructions.push(SYSTEM.to_owned());
        spec.max_steps = Some(MAX_STEPS);
        spec.log = Some(log.clone());
        spec.observers.push(meter.clone());
        if let Some(named) = named {
            named.shape(&mut spec);
        }

        let mut conversation = Conversation::new();
        conversation.say(&input.prompt);
        let mut ending = Ending { cx, child: &log.name, outcome: "interrupted".to_owned() };
        cx.emit(&Event::ChildStarted { child: log.name.clone(), task: input.prompt });
        let ended = cx.run_child(spec, &mut conversation).await;

        let answered = matches!(ended, Ok(TurnOutcome::Answered(_)));
        let (status, said) = report(ended, &conversation);
        ending.outcome = format!("{status} · {}", meter.sums());
        let head = format!("[{} {} · {}]", log.name, ending.outcome, log.path.display());
        let report = format!("{head}\n{}", capped(said, cx, &log));
        if answered { Ok(report.into()) } else { Err(ToolError::Failed(report)) }
    }
}

/// How it ended, and what it had to say: also one that came to no answer may have found something.
fn report(ended: Result<TurnOutcome, AgentError>, conversation: &Conversation) -> (String, String) {
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
    if said.len() <= MAX_ANSWER {
        return said;
    }
    let path = record.path.with_extension("txt");
    let kept = Workspace::open(&cx.cwd).and_then(|w| w.write_atomic(&path, said.as_bytes()));
    let mut report = text::clip(&said, MAX_ANSWER / 2, MAX_ANSWER / 2).into_owned();
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
        self.cx.emit(&Event::ChildEnded { child, outcome });
    }
}

/// Adds up what a child costs, reply by reply.
#[derive(Debug, Default)]
struct Meter(Mutex<Sums>);

#[derive(Debug)]
struct Sums {
    steps: usize,
    usage: Usage,
    /// `None` as soon as the price of one reply is not known.
    dollars: Option<f64>,
}

impl Default for Sums {
    fn default() -> Self {
        Self { steps: 0, usage: Usage::default(), dollars: Some(0.0) }
    }
}

impl Meter {
    fn sums(&self) -> String {
        let sums = self.0.lock();
        let read = sums.usage.prompt();
        let written = sums.usage.output_tokens;
        let cost = sums.dollars.map_or(String::new(), |dollars| format!(", ${dollars:.4}"));
        format!("steps {} · tokens {read} in, {written} out{cost}", sums.steps)
    }
}

impl Observer for Meter {
    fn on(&self, _: &str, event: &Event) {
        if let Event::Replied(reply) = event {
            let mut sums = self.0.lock();
            sums.steps += 1;
            sums.usage += reply.usage;
            sums.dollars = sums.dollars.zip(reply.cost()).map(|(before, cost)| before + cost);
        }
    }
}
