#![doc = include_str!("../README.md")]

mod base;
mod worktree;

use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use clap::Args;
use futures_util::FutureExt;
use harness_cli::{App, Chat, Lesson, Next, TurnLoop};
use harness_core::{Agent, AgentError, Conversation, Event, Record, Stop};
use tokio::task::{JoinSet, spawn_blocking};
use tokio_util::sync::CancellationToken;

pub use base::Base;
pub use worktree::{FOLDER, Finish, Work, Worktree, WorktreeError};

/// What the terminal is told of this session.
pub const LESSON: Lesson = Lesson {
    name: env!("CARGO_PKG_NAME"),
    motto: "A task of its own gets a tree of its own, and no work is thrown away.",
    play: include_str!("../demo.yaml"),
};

/// The most tasks of one turn.
const MOST: usize = 16;

/// The session's flag.
#[derive(Args, Clone, Debug, Default)]
pub struct Flags {
    /// A task to begin with, taken as it is; give it again for more, they run at the same time
    #[arg(long = "task", value_name = "TEXT")]
    pub tasks: Vec<String>,
}

/// The mechanism: a turn is one agent for each task, all at once, each in a tree of its own.
pub struct Tasks {
    /// Those of the flags, until the first turn.
    first: Mutex<Vec<String>>,
    life: Arc<dyn Life>,
}

/// Who is told how far a task has come, before it goes on. s23 writes it down.
pub trait Life: Send + Sync {
    /// This far.
    ///
    /// # Errors
    /// It could not be kept, so the task must not go on.
    fn reached(&self, tree: &Worktree, task: &str, step: Step) -> Result<(), WorktreeError>;
}

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

/// Nobody has to know.
impl Life for () {
    fn reached(&self, _: &Worktree, _: &str, _: Step) -> Result<(), WorktreeError> {
        Ok(())
    }
}

/// What came of a task.
#[derive(Debug)]
pub struct Outcome {
    /// Where it was done.
    pub tree: Worktree,
    /// How the agent ended, and what it said last.
    pub ended: Result<Stop, AgentError>,
    /// What became of the tree.
    pub finish: Result<Finish, WorktreeError>,
}

/// The session's terminal: this agent, the tasks of the flags, and where tasks would begin.
pub fn app(agent: Agent, flags: Flags, life: Arc<dyn Life>) -> App {
    let told = match Base::find(&agent.cwd) {
        Ok(base) => [vec![format!("tasks begin at {}", base.told())], base.notes].concat(),
        Err(error) => vec![format!("no task can run here: {error}")],
    };
    let begins = !flags.tasks.is_empty();
    let app = App::from(agent).tell(told).turns(Tasks::new(flags.tasks, life));
    if begins { app.begins() } else { app }
}

#[async_trait]
impl TurnLoop for Tasks {
    async fn turn(
        &self,
        prompt: Option<&str>,
        chat: &mut Chat,
        cancel: &CancellationToken,
        next: Next<'_>,
    ) -> Result<Stop, AgentError> {
        let first = std::mem::take(&mut *self.first.lock().unwrap_or_else(PoisonError::into_inner));
        let tasks: Vec<String> =
            first.into_iter().chain(prompt.map(split).unwrap_or_default()).collect();
        if prompt.is_none() && tasks.is_empty() {
            return next.turn(prompt, chat, cancel).await; // news, and nothing to do for us
        }
        let outcomes = self.run(&chat.agent, tasks, cancel).await?;
        for outcome in &outcomes {
            let tell =
                |line| chat.agent.tell(&Event::Notice(format!("{}: {line}", outcome.tree.name)));
            outcome.advice().into_iter().for_each(tell);
        }
        let failed = outcomes.iter().any(|outcome| !outcome.is_good());
        let report: String = outcomes.iter().map(Outcome::told).collect();
        match failed {
            _ if cancel.is_cancelled() => Ok(Stop::Interrupted),
            true => Err(AgentError::Fatal(format!("not every task was done\n{report}"))),
            false => Ok(Stop::Answered(report)),
        }
    }
}

impl Tasks {
    /// With tasks for the first turn.
    pub fn new(first: Vec<String>, life: Arc<dyn Life>) -> Self {
        Self { first: Mutex::new(first), life }
    }

    /// Runs these tasks, all at the same time. What they leave is on branches; the checkout they begin at
    /// is not touched.
    ///
    /// # Errors
    /// No tree can be made here, or not for all of them; then none has begun.
    pub async fn run(
        &self,
        lead: &Agent,
        tasks: Vec<String>,
        cancel: &CancellationToken,
    ) -> Result<Vec<Outcome>, AgentError> {
        if tasks.is_empty() || tasks.len() > MOST {
            let why = format!("{} tasks: give one to {MOST} at a time", tasks.len());
            return Err(AgentError::Fatal(why));
        }
        let (life, cwd, texts) = (self.life.clone(), lead.cwd.clone(), tasks.clone());
        let made = spawn_blocking(move || trees(&cwd, &texts, &*life)).await;
        let fatal = |error: WorktreeError| AgentError::Fatal(error.to_string());
        let trees = made.map_err(|e| AgentError::Fatal(e.to_string()))?.map_err(fatal)?;
        let mut running = JoinSet::new(); // dropped with this turn, and all that runs in it
        for (at, (tree, task)) in trees.into_iter().zip(tasks).enumerate() {
            let (lead, life, cancel) = (lead.clone(), self.life.clone(), cancel.child_token());
            lead.tell(&Event::ChildStarted { child: tree.name.clone(), task: task.clone() });
            running.spawn(async move { (at, work(&lead, tree, task, life, cancel).await) });
        }
        let mut outcomes = running.join_all().await;
        outcomes.sort_by_key(|(at, _)| *at);
        Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
    }
}

/// A tree for each task, or none at all.
fn trees(
    cwd: &std::path::Path,
    tasks: &[String],
    life: &dyn Life,
) -> Result<Vec<Worktree>, WorktreeError> {
    let base = Base::find(cwd)?;
    let mut trees = Vec::new();
    for task in tasks {
        let made = Worktree::create(&base, |tree| life.reached(tree, task, Step::Planned));
        match made {
            Ok(tree) => trees.push(tree),
            Err(error) => {
                for (tree, task) in trees.iter().zip(tasks) {
                    if let Ok(true) = Worktree::discard(tree) {
                        let _ = life.reached(tree, task, Step::Removed);
                    }
                }
                return Err(error);
            }
        }
    }
    Ok(trees)
}

/// One task from its first word to its last commit. A panic on the way is this task's end, and no other's.
async fn work(
    lead: &Agent,
    tree: Worktree,
    task: String,
    life: Arc<dyn Life>,
    cancel: CancellationToken,
) -> Outcome {
    let ended = match life.reached(&tree, &task, Step::Running) {
        Ok(()) => match AssertUnwindSafe(run(lead, &tree, &task, &cancel)).catch_unwind().await {
            Ok(ended) => ended,
            Err(_) => Err(AgentError::Fatal("the task panicked; this is a bug".to_owned())),
        },
        Err(error) => Err(AgentError::Fatal(error.to_string())),
    };
    let (kept, last) = (tree.clone(), task.clone());
    let finish = spawn_blocking(move || {
        life.reached(&kept, &last, Step::Finished)?;
        let finish = kept.finish(&message(&last))?;
        let step = if finish == Finish::Removed { Step::Removed } else { Step::Committed };
        life.reached(&kept, &last, step).map(|()| finish)
    });
    let finish =
        finish.await.unwrap_or_else(|error| Err(WorktreeError::Refused(error.to_string())));
    let outcome = Outcome { tree, ended, finish };
    let child = outcome.tree.name.clone();
    lead.tell(&Event::ChildEnded { child, outcome: outcome.headline() });
    outcome
}

async fn run(
    lead: &Agent,
    tree: &Worktree,
    task: &str,
    cancel: &CancellationToken,
) -> Result<Stop, AgentError> {
    let record = Record::begin(&lead.cwd, "tasks", &tree.name);
    let record = record.map_err(|error| AgentError::Fatal(error.to_string()))?;
    let mut agent = tree.agent(lead);
    agent.system.push(SYSTEM.to_owned());
    agent.hooks.push(Arc::new(record));
    let mut conversation = Conversation::new();
    let (cwd, base) = (agent.cwd.display(), &tree.base.to_string()[..7]);
    conversation
        .note(format!("The workspace is {cwd}, on the branch {}, begun at {base}.", tree.branch));
    conversation.say(task);
    agent.run(&mut conversation, cancel).await
}

const SYSTEM: &str = "You work alone on one task, in a git worktree and on a branch of your own; others work on \
    other tasks beside you. Stay in this folder and on this branch. Commit what you do with a message that says \
    why; what you leave uncommitted is committed for you. Nobody can answer a question.";

/// The message of the last commit: the task, its first line as the title.
fn message(task: &str) -> String {
    let title: String = task.trim().lines().next().unwrap_or("a task").chars().take(72).collect();
    match title == task.trim() {
        true => title,
        false => format!("{title}\n\n{}", task.trim()),
    }
}

impl Outcome {
    /// The agent has answered, and its work is safe.
    pub fn is_good(&self) -> bool {
        matches!(self.ended, Ok(Stop::Answered(_))) && self.finish.is_ok()
    }

    /// How it ended and what there is of it, in a line.
    pub fn headline(&self) -> String {
        let ended = match &self.ended {
            Ok(Stop::Answered(_)) => "answered".to_owned(),
            Ok(Stop::Refused(_)) => "declined by the model".to_owned(),
            Ok(Stop::Interrupted) => "interrupted".to_owned(),
            Err(error) => format!("failed: {error}"),
        };
        let left = match &self.finish {
            Ok(Finish::Removed) => "nothing was changed; tree and branch are removed".to_owned(),
            Ok(Finish::Kept(work)) => {
                format!(
                    "{} is kept: commits {}, files {}",
                    self.tree.branch, work.commits, work.files
                )
            }
            Err(error) => error.to_string(),
        };
        format!("{ended} · {left}")
    }

    /// What the user should know and can do, a line each.
    pub fn advice(&self) -> Vec<String> {
        let (path, branch) = (self.tree.path.display(), &self.tree.branch);
        match &self.finish {
            Ok(Finish::Removed) => Vec::new(),
            Ok(Finish::Kept(work)) if work.commits > 0 => {
                [work.notes.clone(), vec![format!("git merge {branch}")]].concat()
            }
            Ok(Finish::Kept(work)) => {
                let kept = format!("not all in {path} is elsewhere too, so it is kept");
                [work.notes.clone(), vec![kept]].concat()
            }
            Err(_) => vec![format!("all of it is in {path}")],
        }
    }

    /// The same under its name, with what the agent said last.
    fn told(&self) -> String {
        let mut told = format!("{}: {}\n", self.tree.name, self.headline());
        let answer = match &self.ended {
            Ok(Stop::Answered(answer)) => answer.trim(),
            _ => "",
        };
        let advice = self.advice();
        for line in answer.lines().chain(advice.iter().map(String::as_str)) {
            let _ = writeln!(told, "  {line}");
        }
        told
    }
}

impl std::fmt::Debug for Tasks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tasks").field("first", &self.first).finish_non_exhaustive()
    }
}

/// The tasks of a prompt: what stands between bars that have a blank on both sides. A bar inside `"…"` or
/// backquotes is part of its task, so that "what does `ls | wc` print?" is one.
pub fn split(prompt: &str) -> Vec<String> {
    let (mut tasks, mut task, mut rest) = (Vec::new(), String::new(), prompt);
    while let Some(letter) = rest.chars().next() {
        let quoted = matches!(letter, '"' | '`').then(|| rest[1..].find(letter)).flatten();
        let length = quoted.map_or(letter.len_utf8(), |end| end + 2);
        let bar = letter == '|'
            && task.ends_with(char::is_whitespace)
            && rest[1..].starts_with(char::is_whitespace);
        match bar {
            true => tasks.push(std::mem::take(&mut task)),
            false => task.push_str(&rest[..length]),
        }
        rest = &rest[length..];
    }
    tasks.push(task);
    let tasks = tasks.iter().map(|task| task.trim()).filter(|task| !task.is_empty());
    tasks.map(str::to_owned).collect()
}
