#![doc = include_str!("../README.md")]

mod worktree;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use harness_cli::{App, Done, Lesson, TaskFlags, Tasks};
use harness_core::{Agent, AgentError, Event, errand};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use worktree::Result as Made;
pub use worktree::{Base, Worktree, WorktreeError};

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
    fn reached(&self, _: &Worktree, _task: &str, _: Step) -> Result<(), WorktreeError> {
        Ok(())
    }
}

impl Life for () {}

/// The steps of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The names are chosen; nothing is made yet.
    Planned,
    /// The tree is there; the agent begins.
    Running,
    /// The agent is done.
    Finished,
    /// What it left is committed.
    Committed,
    /// Nothing was done: tree and branch are gone.
    Removed,
}

/// The session's terminal: this agent, the tasks of the flags, and where tasks would begin.
pub fn app(agent: Agent, flags: TaskFlags) -> App {
    let told = match Base::find(&agent.cwd) {
        Ok(base) => format!("tasks begin at {base}; they do not see what is not committed"),
        Err(error) => format!("no task can run here: {error}"),
    };
    App::from(agent).tell([told]).tasks(flags, Isolated(Arc::new(())))
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
        errand::together(trees.map(work)).await
    }
}

impl Isolated {
    fn trees(&self, cwd: PathBuf, tasks: Vec<String>) -> Made<Vec<(Worktree, String)>> {
        let (base, mut trees) = (Base::find(&cwd)?, Vec::<(Worktree, String)>::new());
        for task in tasks {
            let tree = base.tree(|tree| self.0.reached(tree, &task, Step::Planned));
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
        lead.tell(&Event::ChildStarted { child: name.clone(), task: task.clone() });
        let mut agent = Agent { name: name.clone(), cwd, ..lead.clone() }; // the whole isolation
        agent.system.push(SYSTEM.to_owned());
        let note = format!("The workspace is {}, on {}.", tree.cwd.display(), tree.branch);
        let ended = match self.0.reached(&tree, &task, Step::Running) {
            Ok(()) => agent.errand(&lead, note, &task, &cancel).await,
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
        lead.tell(&Event::ChildEnded { child: tree.name, outcome: done.headline() });
        done
    }

    fn end(&self, tree: &Worktree, task: &str) -> Made<Option<usize>> {
        self.0.reached(tree, task, Step::Finished)?;
        let left = tree.finish(task)?;
        let step = if left.is_some() { Step::Committed } else { Step::Removed };
        self.0.reached(tree, task, step).map(|()| left)
    }
}

const SYSTEM: &str = "You work alone on one task, in a git worktree and on a branch of your own; others work on \
    other tasks beside you. Stay in this folder and on this branch. Commit what you do with a message that says \
    why; what you leave uncommitted is committed for you. Nobody can answer a question.";

fn fatal(error: impl std::fmt::Display) -> AgentError {
    AgentError::Fatal(error.to_string())
}
