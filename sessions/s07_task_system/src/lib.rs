#![doc = include_str!("../README.md")]
//!
//! Next page: [s08 · Background tasks](../s08_background_tasks/index.html)

mod draw;
mod graph;
mod order;
mod tree;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use harness_app::{App, Lesson};
use harness_cli::{Commands, columns, say};
use harness_core::host::own_paths;
use harness_core::tool::builtin::blocking;
use harness_core::{Agent, Content, Effect, Mechanism, StateError, StateFile};
use harness_core::{NoInput, Tool, ToolContext, ToolError};

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
        agent.system.push_for_family(SYSTEM);
        agent.tools.add_for_family(TaskCreate(self.clone()));
        agent.tools.add_for_family(TaskList(self.clone()));
        agent.tools.add_for_family(TaskUpdate(self.clone()));
        agent.tools.add_for_family(TaskNext(self));
    }
}

const SYSTEM: &str = "Put work whose parts depend on each other on the task board before you begin. Ask \
    task_next what to do; set it to in_progress, then to done or failed, and say what came of it.";

impl TaskBoard {
    /// Where a workspace keeps its board.
    pub const FILE: &'static str = own_paths::BOARD.name;

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

    /// What a tool answers that reads or changes the board; on a thread that may wait for the disk.
    ///
    /// # Errors
    /// Those of [`TaskBoard::load`] and [`TaskBoard::change`], as sentences.
    pub async fn answer<F>(self, answer: F) -> Result<Content, ToolError>
    where
        F: FnOnce(&Self) -> Result<String, StateError> + Send + 'static,
    {
        blocking(move || Ok(answer(&self)?.into())).await
    }

    /// Joins the agent and the terminal, which gets `:tasks`.
    pub fn join(self, app: App) -> App {
        let about = "draws the graph of tasks";
        app.with(self.clone()).quick("tasks", about, move |_, _| Ok(self.load()?.draw(columns())))
    }
}

struct TaskCreate(TaskBoard);

impl Tool for TaskCreate {
    const NAME: &'static str = "task_create";
    const ABOUT: &'static str = "Adds a task to the board. The answer holds its id.";
    type Input = NewTask;

    fn effect(&self, _: &NewTask) -> Effect {
        Effect::Internal
    }

    async fn call(&self, new: NewTask, _: &ToolContext) -> Result<Content, ToolError> {
        let create = move |graph: &mut Graph| Ok(format!("created {}", graph.create(&new)?));
        self.0.clone().answer(|board| board.change(create)).await
    }
}

struct TaskList(TaskBoard);

impl Tool for TaskList {
    const NAME: &'static str = "task_list";
    const ABOUT: &'static str = "Draws the board as a tree: below a task stands what waits for it.";
    type Input = NoInput;

    fn effect(&self, _: &NoInput) -> Effect {
        Effect::Internal
    }

    async fn call(&self, _: NoInput, _: &ToolContext) -> Result<Content, ToolError> {
        self.0.clone().answer(|board| Ok(board.load()?.draw(200))).await
    }
}

struct TaskUpdate(TaskBoard);

impl Tool for TaskUpdate {
    const NAME: &'static str = "task_update";
    const ABOUT: &'static str = "Moves a task to another status; from failed to pending to retry.";
    type Input = Update;

    fn effect(&self, _: &Update) -> Effect {
        Effect::Internal
    }

    async fn call(&self, to: Update, _: &ToolContext) -> Result<Content, ToolError> {
        let set =
            move |graph: &mut Graph| Ok(format!("{} is {}", graph.update(&to)?.id, to.status));
        self.0.clone().answer(|board| board.change(set)).await
    }
}

struct TaskNext(TaskBoard);

impl Tool for TaskNext {
    const NAME: &'static str = "task_next";
    const ABOUT: &'static str = "Says which task to do next, and what came of those before it.";
    type Input = NoInput;

    fn effect(&self, _: &NoInput) -> Effect {
        Effect::Internal
    }

    async fn call(&self, _: NoInput, _: &ToolContext) -> Result<Content, ToolError> {
        self.0.clone().answer(|board| Ok(board.load()?.next())).await
    }
}

/// The subcommands of this session.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Adds a task and prints its id
    Add(NewTask),
    /// Draws the graph
    List,
}

/// The program: an agent with a board, or one look at the board or change of it.
///
/// # Errors
/// The board cannot be used or refuses the task, or the answer cannot be written.
pub async fn run(agent: Agent, Commands { command }: Commands<Command>) -> Result<App> {
    let board = TaskBoard::open(agent.cwd.join(TaskBoard::FILE));
    say(match command {
        Some(Command::Add(new)) => board.change(|graph| Ok(graph.create(&new)?.id.clone()))?,
        Some(Command::List) => board.load()?.draw(columns()),
        None => return Ok(board.join(agent.into())),
    })?;
    Ok(App::done(agent, ExitCode::SUCCESS))
}
