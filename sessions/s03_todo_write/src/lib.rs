#![doc = include_str!("../README.md")]
//!
//! Next page: [s04 · Subagents](../s04_subagent/index.html)

mod list;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use harness_app::Lesson;
use harness_core::{
    Agent, AgentError, Content, Conversation, Effect, Event, Hook, HookContext, Mechanism, Mutex,
    NoInput, Observer, Tool, ToolContext, ToolError, TurnOutcome,
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

/// The mechanism: three tools over a list, a sentence of system prompt, and a reminder. It belongs to one
/// agent: a child of it has no plan.
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
        agent.system.push(SYSTEM);
        agent.tools.add(TodoWrite(self.clone(), agent.cwd.clone()));
        agent.tools.add(TodoRead(self.clone()));
        agent.tools.add(TodoUpdate(self.clone(), agent.cwd.clone()));
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

    /// Changes the list and saves it in this folder. A change that cannot be saved is not made.
    fn change(
        &self,
        folder: &Path,
        change: impl FnOnce(&mut List) -> Result<String, String>,
    ) -> Result<Content, ToolError> {
        let mut state = self.0.lock();
        let mut list = state.list.clone();
        let done = change(&mut list).map_err(ToolError::Failed)?;
        list.save(folder).map_err(ToolError::failed)?;
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

/// Saves the plan in the folder that the agent began in.
struct TodoWrite(Plan, PathBuf);

impl Tool for TodoWrite {
    const NAME: &'static str = "todo_write";
    const ABOUT: &'static str = "Writes the plan, or rewrites it: tasks that are in the new list keep their number \
        and status, the others are dropped.";
    type Input = Tasks;

    fn effect(&self, _: &Tasks) -> Effect {
        Effect::Internal
    }

    async fn call(&self, input: Tasks, _: &ToolContext) -> Result<Content, ToolError> {
        self.0.change(&self.1, |list| list.rewrite(&input.tasks))
    }
}

struct TodoRead(Plan);

impl Tool for TodoRead {
    const NAME: &'static str = "todo_read";
    const ABOUT: &'static str = "Returns the plan with the number and status of each task.";
    type Input = NoInput;

    fn effect(&self, _: &NoInput) -> Effect {
        Effect::Internal
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

struct TodoUpdate(Plan, PathBuf);

impl Tool for TodoUpdate {
    const NAME: &'static str = "todo_update";
    const ABOUT: &'static str = "Sets the status of one task of the plan.";
    type Input = Update;

    fn effect(&self, _: &Update) -> Effect {
        Effect::Internal
    }

    async fn call(&self, input: Update, _: &ToolContext) -> Result<Content, ToolError> {
        self.0.change(&self.1, |list| list.update(input.index, input.status))
    }
}

#[async_trait]
impl Hook for Plan {
    /// A plan that nobody looks at is worse than none: remind the model, but never twice.
    async fn before_model(
        &self,
        c: &mut Conversation,
        _: &HookContext<'_>,
    ) -> Result<(), AgentError> {
        let mut state = self.0.lock();
        state.idle += 1;
        if state.idle > PATIENCE && !state.reminded && state.list.is_unfinished() {
            state.reminded = true;
            c.remind(format!("The plan was not updated for {PATIENCE} steps:\n{}", state.list));
        }
        Ok(())
    }
}

impl Observer for Plan {
    /// A turn that was interrupted works on nothing any more.
    fn on(&self, _: &str, event: &Event) {
        if let Event::TurnEnded(TurnOutcome::Interrupted) = event {
            self.0.lock().list.put_down();
        }
    }
}
