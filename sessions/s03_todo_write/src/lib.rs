#![doc = include_str!("../README.md")]
//!
//! Next page: [s04 · Subagents](../s04_subagent/index.html)

mod list;

use std::sync::Arc;

use async_trait::async_trait;
use harness_cli::Lesson;
use harness_core::{
    Agent, AgentError, Content, Conversation, Effect, Event, Hook, Mechanism, Mutex, NoInput,
    Observer, Stop, Tool, ToolContext, ToolError, Turn,
};
use schemars::JsonSchema;
use serde::Deserialize;

pub use list::{List, Status, Task};

/// What the terminal is told of this session.
pub const LESSON: Lesson = Lesson {
    name: env!("CARGO_PKG_NAME"),
    motto: "Plan before you act; a plan is data.",
    play: include_str!("../demo.yaml"),
};

/// After so many steps without an update the model is reminded, once.
const PATIENCE: usize = 6;

/// The mechanism: three tools over one list, a sentence of system prompt, and a reminder.
#[derive(Clone, Debug, Default)]
pub struct Plan(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    list: List,
    /// Steps since the list was last touched, and whether the model was told.
    idle: usize,
    reminded: bool,
}

impl Mechanism for Plan {
    fn install(self, agent: &mut Agent) {
        agent.system.push(SYSTEM.to_owned());
        agent.tools.add(TodoWrite(self.clone()));
        agent.tools.add(TodoRead(self.clone()));
        agent.tools.add(TodoUpdate(self.clone()));
        agent.observers.add(Arc::new(self.clone()));
        agent.hooks.push(Arc::new(self));
    }
}

const SYSTEM: &str = "For work of more than two steps, write a plan with todo_write before you begin. Have \
    exactly one task in progress while you work, and mark it done as soon as it is.";

impl Plan {
    /// The list as it is now.
    pub fn list(&self) -> List {
        self.0.lock().list.clone()
    }

    /// Changes the list and keeps it on disk. A change that cannot be kept is not made.
    fn change(
        &self,
        cx: &ToolContext,
        change: impl FnOnce(&mut List) -> Result<String, String>,
    ) -> Result<Content, ToolError> {
        let mut state = self.0.lock();
        let mut list = state.list.clone();
        let done = change(&mut list).map_err(ToolError::Tell)?;
        list.save(&cx.cwd).map_err(ToolError::tell)?;
        *state = State { list, ..State::default() };
        Ok(format!("{done}\n{}", state.list).into())
    }
}

/// What `todo_write` takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Tasks {
    /// The whole plan, a short line a task, in order. A task that stays keeps its number.
    tasks: Vec<String>,
}

struct TodoWrite(Plan);

impl Tool for TodoWrite {
    const NAME: &'static str = "todo_write";
    const ABOUT: &'static str = "Writes the plan, or rewrites it: tasks that are in the new list keep their number \
        and status, the others are dropped.";
    type Input = Tasks;

    fn effect(&self, _: &Tasks) -> Effect {
        Effect::Reads(vec![])
    }

    async fn call(&self, input: Tasks, cx: &ToolContext) -> Result<Content, ToolError> {
        self.0.change(cx, |list| list.rewrite(&input.tasks))
    }
}

struct TodoRead(Plan);

impl Tool for TodoRead {
    const NAME: &'static str = "todo_read";
    const ABOUT: &'static str = "Returns the plan with the number and status of each task.";
    type Input = NoInput;

    fn effect(&self, _: &NoInput) -> Effect {
        Effect::Reads(vec![])
    }

    async fn call(&self, _: NoInput, _: &ToolContext) -> Result<Content, ToolError> {
        Ok(self.0.list().to_string().into())
    }
}

/// What `todo_update` takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Update {
    /// The task's number.
    index: usize,
    /// Its new status. At most one task is in progress.
    status: Status,
}

struct TodoUpdate(Plan);

impl Tool for TodoUpdate {
    const NAME: &'static str = "todo_update";
    const ABOUT: &'static str = "Sets the status of one task of the plan.";
    type Input = Update;

    fn effect(&self, _: &Update) -> Effect {
        Effect::Reads(vec![])
    }

    async fn call(&self, input: Update, cx: &ToolContext) -> Result<Content, ToolError> {
        self.0.change(cx, |list| list.update(input.index, input.status))
    }
}

#[async_trait]
impl Hook for Plan {
    /// A plan that nobody looks at is worse than none: remind the model, but never twice.
    async fn before_model(&self, c: &mut Conversation, _: &Turn<'_>) -> Result<(), AgentError> {
        let mut state = self.0.lock();
        state.idle += 1;
        if state.idle > PATIENCE && !state.reminded && state.list.is_unfinished() {
            state.reminded = true;
            c.note(format!("The plan was not updated for {PATIENCE} steps:\n{}", state.list));
        }
        Ok(())
    }
}

impl Observer for Plan {
    /// A turn that was interrupted works on nothing any more.
    fn on(&self, _: &str, event: &Event) {
        if let Event::TurnEnded(Stop::Interrupted) = event {
            self.0.lock().list.put_down();
        }
    }
}
