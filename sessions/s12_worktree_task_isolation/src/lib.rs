#![doc = include_str!("../README.md")]
//!
//! Next page: [s13 · Streaming](../s13_streaming/index.html)

mod tasks;
mod worktree;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use harness_app::{App, Lesson};
use harness_core::agent::task;
use harness_core::{Agent, AgentError, ChildKind, ChildSpec, Event, TurnOutcome};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

pub use tasks::{FinishedTask, TaskFlags, TaskPrompts, TaskRunner, with_tasks};
pub use worktree::{Base, Result as Made, Worktree, WorktreeError};

/// What the terminal is told of this session.
pub const LESSON: Lesson = Lesson {
    name: env!("CARGO_PKG_NAME"),
    motto: "A task of its own gets a tree of its own, and no work is thrown away.",
    play: include_str!("../demo.yaml"),
};

/// The mechanism: an agent for each task, all at once, each in a tree of its own. Holds the listener that is told
/// how far each task has come.
#[derive(Clone, Debug)]
pub struct Isolated(pub Arc<dyn TaskProgress>);

/// A listener that is told how far a task has come, before it goes on. s23 writes it down.
pub trait TaskProgress: std::fmt::Debug + Send + Sync {
    /// The task has come this far.
    ///
    /// # Errors
    /// It could not be recorded, so the task must not go on.
    fn reached(&self, tree: &Worktree, task: &str, state: TaskState) -> Result<(), WorktreeError>;
}

/// Progress that nobody records.
#[derive(Clone, Copy, Debug, Default)]
pub struct NotRecorded;

impl TaskProgress for NotRecorded {
    fn reached(&self, _: &Worktree, _: &str, _: TaskState) -> Result<(), WorktreeError> {
        Ok(())
    }
}

/// How far a task has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TaskState {
    /// Its names are chosen; there may be a tree, or half of one.
    Created,
    /// The tree is there; its agent works.
    Running,
    /// Its agent is done; what it left may not be committed.
    Finished,
    /// Its work is on its branch.
    Committed,
    /// Its work is in another branch too (s23).
    Integrated,
    /// There was no work: tree and branch are gone.
    Abandoned,
}

#[async_trait]
impl TaskRunner for Isolated {
    /// What the tasks leave is on branches; the checkout they begin at is not touched. If there cannot be a
    /// tree for each of them, none begins.
    async fn run(
        &self,
        lead: &Agent,
        tasks: Vec<String>,
        cancel: &CancellationToken,
    ) -> Result<Vec<FinishedTask>, AgentError> {
        let all = self.clone();
        let cwd = lead.cwd.clone();
        let made = spawn_blocking(move || all.make_trees(cwd, tasks)).await;
        let trees = made.map_err(fatal)?.map_err(fatal)?;
        let work = trees
            .into_iter()
            .map(|(tree, task)| self.clone().work(lead.clone(), tree, task, cancel.child_token()));
        task::join_tasks(work).await
    }
}

impl Isolated {
    /// A tree for each task. Where one cannot be made, those before it go again.
    fn make_trees(&self, cwd: PathBuf, tasks: Vec<String>) -> Made<Vec<(Worktree, String)>> {
        let base = Base::find(&cwd)?;
        let mut trees: Vec<(Worktree, String)> = Vec::new();
        for task in tasks {
            match base.tree(|tree| self.0.reached(tree, &task, TaskState::Created)) {
                Ok(tree) => trees.push((tree, task)),
                Err(why) => {
                    for (tree, _) in &trees {
                        let _ = tree.discard();
                    }
                    return Err(why);
                }
            }
        }
        Ok(trees)
    }

    /// One task from its first word to its last commit.
    async fn work(
        self,
        lead: Agent,
        tree: Worktree,
        task: String,
        cancel: CancellationToken,
    ) -> FinishedTask {
        let name = tree.name.clone();
        lead.emit(&Event::ChildStarted { child: name.clone(), task: task.clone() });
        let ended = self.run_agent(&lead, &tree, &task, &cancel).await;
        let kept = tree.clone();
        let left = match spawn_blocking(move || self.end(&kept, &task)).await {
            Ok(left) => left.map_err(fatal),
            Err(panicked) => Err(fatal(panicked)),
        };
        let (left, advice) = describe(left, &tree);
        let finished = FinishedTask { name: name.clone(), ended, left, advice };
        lead.emit(&Event::ChildEnded { child: name, outcome: finished.headline() });
        finished
    }

    async fn run_agent(
        &self,
        lead: &Agent,
        tree: &Worktree,
        task: &str,
        cancel: &CancellationToken,
    ) -> Result<TurnOutcome, AgentError> {
        self.0.reached(tree, task, TaskState::Running).map_err(fatal)?;
        let note = format!("The workspace is {}, on {}.", tree.cwd.display(), tree.branch);
        child_in(lead, tree).run_task(&lead.cwd, note, task, cancel).await
    }

    /// Commits what is left, or removes a tree in which nothing was done. How many commits there are.
    fn end(&self, tree: &Worktree, task: &str) -> Made<Option<usize>> {
        self.0.reached(tree, task, TaskState::Finished)?;
        let commits = tree.finish(task)?;
        let state = match commits {
            Some(_) => TaskState::Committed,
            None => TaskState::Abandoned,
        };
        self.0.reached(tree, task, state)?;
        Ok(commits)
    }
}

/// A child of the lead that works in this tree. Its directory is a value: that is the whole of the isolation.
fn child_in(lead: &Agent, tree: &Worktree) -> Agent {
    let mut spec = ChildSpec::new(&tree.name, ChildKind::Task);
    spec.cwd = Some(tree.cwd.clone());
    spec.instructions.push(SYSTEM.to_owned());
    lead.child(spec)
}

/// What is left of a task, in a few words, and what the user can do now.
fn describe(
    left: Result<Option<usize>, AgentError>,
    tree: &Worktree,
) -> (Result<String, String>, Option<String>) {
    let branch = &tree.branch;
    let kept = format!("not all in {} is elsewhere, so it is kept", tree.path.display());
    match left {
        Ok(None) => (Ok("nothing was changed; tree and branch are removed".to_owned()), None),
        Ok(Some(0)) => (Ok("no commit".to_owned()), Some(kept)),
        Ok(Some(commits)) => (
            Ok(format!("{branch} is kept (commits: {commits})")),
            Some(format!("git merge {branch}")),
        ),
        Err(error) => (Err(error.to_string()), Some(kept)),
    }
}

/// Joins the tasks to the terminal, which says where they would begin.
pub fn join(app: App, flags: TaskFlags) -> App {
    let told = match Base::find(&app.agent().cwd) {
        Ok(base) => format!("tasks begin at {:.7}, and see what is committed", base.commit),
        Err(error) => format!("no task can run here: {error}"),
    };
    with_tasks(app.notices([told]), flags, TaskPrompts::All, Isolated(Arc::new(NotRecorded)))
}

const SYSTEM: &str = "You work alone on one task, in a git worktree and on a branch of your own; others work on \
    other tasks beside you. Stay in this folder and on this branch. Commit what you do with a message that says \
    why; what you leave uncommitted is committed for you. Nobody can answer a question.";

fn fatal(error: impl std::fmt::Display) -> AgentError {
    AgentError::Fatal(error.to_string())
}
