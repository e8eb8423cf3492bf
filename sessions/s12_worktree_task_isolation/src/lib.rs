#![doc = include_str!("../README.md")]
//!
//! Next page: [s13 · Streaming](../s13_streaming/index.html)

mod worktree;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use harness_app::{App, Lesson};
use harness_cli::{Bars, Done, TaskFlags, Tasks, with_tasks};
use harness_core::agent::task;
use harness_core::{Agent, AgentError, ChildKind, ChildSpec, Event};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

pub use worktree::{Base, Result as Made, Worktree, WorktreeError};

/// What the terminal is told of this session.
pub const LESSON: Lesson = Lesson {
    name: env!("CARGO_PKG_NAME"),
    motto: "A task of its own gets a tree of its own, and no work is thrown away.",
    play: include_str!("../demo.yaml"),
};

/// The mechanism: an agent for each task, all at once, each in a tree of its own. Holds who is told how far
/// they have come.
#[derive(Clone, Debug)]
pub struct Isolated(pub Arc<dyn Life>);

/// Who is told how far a task has come, before it goes on. Here nobody is; s23 writes it down.
pub trait Life: std::fmt::Debug + Send + Sync {
    /// This far.
    ///
    /// # Errors
    /// It could not be kept, so the task must not go on.
    fn reached(&self, _: &Worktree, _task: &str, _: State) -> Result<(), WorktreeError> {
        Ok(())
    }
}

impl Life for () {}

/// How far a task has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum State {
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
impl Tasks for Isolated {
    /// What the tasks leave is on branches; the checkout they begin at is not touched. If there cannot be a
    /// tree for each of them, none begins.
    async fn run(
        &self,
        lead: &Agent,
        tasks: Vec<String>,
        cancel: &CancellationToken,
    ) -> Result<Vec<Done>, AgentError> {
        let (all, cwd) = (self.clone(), lead.cwd.clone());
        let trees = spawn_blocking(move || all.trees(cwd, tasks)).await;
        let trees = trees.map_err(fatal)?.map_err(fatal)?.into_iter();
        let work = |(tree, task)| self.clone().work(lead.clone(), tree, task, cancel.child_token());
        task::join_tasks(trees.map(work)).await
    }
}

impl Isolated {
    fn trees(&self, cwd: PathBuf, tasks: Vec<String>) -> Made<Vec<(Worktree, String)>> {
        let (base, mut trees) = (Base::find(&cwd)?, Vec::<(Worktree, String)>::new());
        for task in tasks {
            let tree = base.tree(|tree| self.0.reached(tree, &task, State::Created));
            let tree =
                tree.inspect_err(|_| trees.iter().for_each(|(tree, _)| drop(tree.discard())))?;
            trees.push((tree, task));
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
    ) -> Done {
        let (name, cwd) = (tree.name.clone(), tree.cwd.clone());
        lead.emit(&Event::ChildStarted { child: name.clone(), task: task.clone() });
        let mut spec = ChildSpec::new(&name, ChildKind::Task);
        spec.cwd = Some(cwd); // the whole isolation
        spec.instructions.push(SYSTEM.to_owned());
        let agent = lead.child(spec);
        let note = format!("The workspace is {}, on {}.", tree.cwd.display(), tree.branch);
        let ended = match self.0.reached(&tree, &task, State::Running) {
            Ok(()) => agent.run_task(&lead.cwd, note, &task, &cancel).await,
            Err(error) => Err(fatal(error)),
        };
        let kept = tree.clone();
        let left = spawn_blocking(move || self.end(&kept, &task)).await;
        let somewhere = format!("not all in {} is elsewhere, so it is kept", tree.path.display());
        let (left, advice) = match left.map_err(fatal).and_then(|left| left.map_err(fatal)) {
            Ok(None) => (Ok("nothing was changed; tree and branch are removed".to_owned()), None),
            Ok(Some(0)) => (Ok("no commit".to_owned()), Some(somewhere)),
            Ok(Some(commits)) => {
                let branch = &tree.branch;
                let left = format!("{branch} is kept (commits: {commits})");
                (Ok(left), Some(format!("git merge {branch}")))
            }
            Err(error) => (Err(error.to_string()), Some(somewhere)),
        };
        let done = Done { name, ended, left, advice };
        lead.emit(&Event::ChildEnded { child: tree.name, outcome: done.headline() });
        done
    }

    fn end(&self, tree: &Worktree, task: &str) -> Made<Option<usize>> {
        self.0.reached(tree, task, State::Finished)?;
        let left = tree.finish(task)?;
        let state = if left.is_some() { State::Committed } else { State::Abandoned };
        self.0.reached(tree, task, state).map(|()| left)
    }
}

/// Joins the tasks to the terminal, which says where they would begin.
pub fn join(app: App, flags: TaskFlags) -> App {
    let told = match Base::find(&app.agent().cwd) {
        Ok(base) => format!("tasks begin at {:.7}, and see what is committed", base.commit),
        Err(error) => format!("no task can run here: {error}"),
    };
    with_tasks(app.notices([told]), flags, Bars::All, Isolated(Arc::new(())))
}

const SYSTEM: &str = "You work alone on one task, in a git worktree and on a branch of your own; others work on \
    other tasks beside you. Stay in this folder and on this branch. Commit what you do with a message that says \
    why; what you leave uncommitted is committed for you. Nobody can answer a question.";

fn fatal(error: impl std::fmt::Display) -> AgentError {
    AgentError::Fatal(error.to_string())
}
