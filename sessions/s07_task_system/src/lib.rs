#![doc = include_str!("../README.md")]
//!
//! Next page: [s08 · Background tasks](../s08_background_tasks/index.html)

mod draw;
mod graph;

use std::path::PathBuf;

use harness_cli::{App, Lesson, columns};
use harness_core::{Agent, Content, Effect, Mechanism, StateError, StateFile};
use harness_core::{NoInput, Tool, ToolContext, ToolError, tools::blocking};

pub use graph::{Graph, MOVES, NewTask, Priority, Status, Task, Update, Waits};

/// What the terminal is told of this session.
pub const LESSON: Lesson = Lesson {
    name: env!("CARGO_PKG_NAME"),
    motto: "Say what waits for what, and keep it where all can see it.",
    play: include_str!("../demo.yaml"),
};

/// The mechanism: four tools over one file, which any number of agents and processes share.
#[derive(Clone, Debug)]
pub struct TaskBoard(StateFile<Graph>);

impl Mechanism for TaskBoard {
    fn install(self, agent: &mut Agent) {
        agent.system.push(SYSTEM.to_owned());
        agent.tools.add(TaskCreate(self.clone()));
        agent.tools.add(TaskList(self.clone()));
        agent.tools.add(TaskUpdate(self.clone()));
        agent.tools.add(TaskNext(self));
    }
}

const SYSTEM: &str = "Put work whose parts depend on each other on the task board before you begin. Ask \
    task_next what to do; set it to in_progress, then to done or failed, and say what came of it.";

impl TaskBoard {
    /// Where a workspace keeps its board.
    pub const FILE: &'static str = ".agent_tasks.json";

    /// Names a board. Its file is made by the first change.
    pub fn open(path: impl Into<PathBuf>) -> Self {
        Self(StateFile::new(path).checked(|graph: &Graph| graph.waits().map(drop)))
    }

    /// The graph as it is now.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged; its bytes stay.
    pub fn load(&self) -> Result<Graph, StateError> {
        self.0.load()
    }

    /// Changes the graph and keeps it, as one step for all processes. What would leave it no graph is
    /// refused, whoever asks for it.
    ///
    /// # Errors
    /// Those of [`TaskBoard::load`], and the reason for which the change is refused.
    pub fn change<T>(
        &self,
        change: impl FnOnce(&mut Graph) -> Result<T, String>,
    ) -> Result<T, StateError> {
        self.0.change(change)
    }

    /// Joins the agent and the terminal, which gets `:tasks`.
    pub fn join(self, app: App) -> App {
        app.with(self.clone()).command("tasks", "draws the graph of tasks", move |_, _| {
            let graph = self.load();
            Box::pin(async { Ok(graph?.draw(columns())) })
        })
    }
}

struct TaskCreate(TaskBoard);

impl Tool for TaskCreate {
    const NAME: &'static str = "task_create";
    const ABOUT: &'static str = "Adds a task to the board. The answer holds its id.";
    type Input = NewTask;

    fn effect(&self, _: &NewTask) -> Effect {
        Effect::Reads(vec![])
    }

    async fn call(&self, new: NewTask, _: &ToolContext) -> Result<Content, ToolError> {
        let board = self.0.clone();
        let create = move |graph: &mut Graph| Ok(format!("created {}", graph.create(&new)?));
        blocking(move || Ok(board.change(create)?.into())).await
    }
}

struct TaskList(TaskBoard);

impl Tool for TaskList {
    const NAME: &'static str = "task_list";
    const ABOUT: &'static str = "Draws the board as a tree: below a task stands what waits for it.";
    type Input = NoInput;

    fn effect(&self, _: &NoInput) -> Effect {
        Effect::Reads(vec![])
    }

    async fn call(&self, _: NoInput, _: &ToolContext) -> Result<Content, ToolError> {
        let board = self.0.clone();
        blocking(move || Ok(board.load()?.draw(200).into())).await
    }
}

struct TaskUpdate(TaskBoard);

impl Tool for TaskUpdate {
    const NAME: &'static str = "task_update";
    const ABOUT: &'static str = "Moves a task to another status; from failed to pending to retry.";
    type Input = Update;

    fn effect(&self, _: &Update) -> Effect {
        Effect::Reads(vec![])
    }

    async fn call(&self, new: Update, _: &ToolContext) -> Result<Content, ToolError> {
        let board = self.0.clone();
        let update =
            move |graph: &mut Graph| Ok(format!("{} is {}", graph.update(&new)?.id, new.status));
        blocking(move || Ok(board.change(update)?.into())).await
    }
}

struct TaskNext(TaskBoard);

impl Tool for TaskNext {
    const NAME: &'static str = "task_next";
    const ABOUT: &'static str = "Says which task to do next, and what came of those before it.";
    type Input = NoInput;

    fn effect(&self, _: &NoInput) -> Effect {
        Effect::Reads(vec![])
    }

    async fn call(&self, _: NoInput, _: &ToolContext) -> Result<Content, ToolError> {
        let board = self.0.clone();
        blocking(move || Ok(board.load()?.next().into())).await
    }
}
