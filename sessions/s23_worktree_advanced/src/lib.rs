#![doc = include_str!("../README.md")]
//!
//! Next page: [harness](../harness/index.html), the program that has them all

mod conflicts;
mod integrate;
mod ledger;

use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use git2::{Repository, StatusOptions};
use harness_app::{App, Lesson};
use harness_cli::{columns, cut};
use harness_core::host::own_paths::is_own;
use harness_core::{Agent, AgentError, Event};
use s12_worktree_task_isolation::{
    FinishedTask, Isolated, Made, TaskFlags, TaskPrompts, TaskRunner, TaskState, with_tasks,
};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

pub use conflicts::{Side, changed, trial};
pub use integrate::{integrate, prune};
pub use ledger::{Ledger, Tracked};

/// What the terminal is told of this session.
pub const LESSON: Lesson = Lesson {
    name: env!("CARGO_PKG_NAME"),
    motto: "Work is safe when it is on disk, on a branch, and known to merge.",
    play: include_str!("../demo.yaml"),
};

/// The mechanism: s12's trees with a memory, and a look at what happens when they meet.
#[derive(Clone, Debug)]
pub struct Lifecycle(pub Ledger);

#[async_trait]
impl TaskRunner for Lifecycle {
    async fn run(
        &self,
        lead: &Agent,
        tasks: Vec<String>,
        cancel: &CancellationToken,
    ) -> Result<Vec<FinishedTask>, AgentError> {
        let mut finished = Isolated(Arc::new(self.0.clone())).run(lead, tasks, cancel).await?;
        let names: Vec<String> = finished.iter().map(|task| task.name.clone()).collect();
        let ledger = self.0.clone();
        let met = spawn_blocking(move || meetings(&ledger, &names)).await;
        match met.map_err(|error| AgentError::Fatal(error.to_string()))? {
            Ok(met) => {
                for (name, told) in met {
                    advise(lead, &mut finished, &name, told);
                }
            }
            Err(error) => {
                lead.emit(&Event::Notice(format!("whether it merges is unknown: {error}")));
            }
        }
        Ok(finished)
    }
}

/// Adds to the advice of the task of this name; what is about an earlier task is told by itself.
fn advise(lead: &Agent, finished: &mut [FinishedTask], name: &str, told: String) {
    match finished.iter_mut().find(|task| task.name == name) {
        Some(task) => task.advice = task.advice.take().map(|advice| format!("{advice}\n{told}")),
        None => lead.emit(&Event::Notice(told)),
    }
}

/// Joins the tasks to the terminal. What killed runs left is taken up first.
///
/// # Errors
/// The workspace cannot be written, or the list of trees is damaged.
pub fn join(app: App, flags: TaskFlags, prompts: TaskPrompts) -> Result<App> {
    let ledger = Ledger::open(&app.agent().cwd)?;
    let mut told = ledger.recover()?;
    match ledger.repository().and_then(|repo| surroundings(&repo)) {
        Ok(notes) => told.extend(notes),
        Err(error) => told.push(format!("no task can run here: {error}")),
    }
    let app = with_tasks(app.notices(told), flags, prompts, Lifecycle(ledger.clone()));
    Ok(with_commands(app, &ledger))
}

/// `:list`, `:integrate` and `:prune`.
fn with_commands(app: App, ledger: &Ledger) -> App {
    let list = ledger.clone();
    let app = app.quick("list", "the tasks, and how far they have come", move |_, _| {
        Ok(listed(&list.all()?))
    });
    let merge = ledger.clone();
    let about = "[task…]: merges their work onto a new branch";
    let app = app.quick("integrate", about, move |_, words| Ok(integrate(&merge, words)?));
    let clear = ledger.clone();
    let about = "lists what is merged and clean; `:prune now` removes it";
    app.quick("prune", about, move |_, words| Ok(prune(&clear, words)?))
}

/// What the user should know of the checkout before a task begins there.
fn surroundings(repo: &Repository) -> Made<Vec<String>> {
    let head = head(repo)?;
    let mut notes = vec![format!("tasks begin at {}, {:.7}", head.name, head.tip)];
    if repo.head_detached()? {
        notes.push("HEAD is detached: no branch gets what you merge there".to_owned());
    }
    let dirty = dirty(repo)?;
    if !dirty.is_empty() {
        let count = dirty.len();
        let first = dirty[..count.min(3)].join(", ");
        notes.push(format!("not committed ({count}): {first}; tasks do not see that"));
    }
    Ok(notes)
}

/// What is changed in the checkout and not committed: the user's, not what the harness keeps there.
fn dirty(repo: &Repository) -> Made<Vec<String>> {
    let mut options = StatusOptions::new();
    let options = options.include_untracked(true).recurse_untracked_dirs(true);
    let found = repo.statuses(Some(options))?;
    let paths = found.iter().map(|entry| String::from_utf8_lossy(entry.path_bytes()).into_owned());
    Ok(paths.filter(|path| !is_own(path)).collect())
}

/// The work of one task, and what it changes.
struct Work {
    /// The task's name.
    task: String,
    side: Side,
    files: Vec<String>,
    /// Whether it was done in this turn.
    is_new: bool,
}

/// What happens when the work of these tasks meets that of every other, HEAD as it is by now, and what is not
/// committed in the checkout. Each with the task that it is about.
fn meetings(ledger: &Ledger, names: &[String]) -> Made<Vec<(String, String)>> {
    let repo = ledger.repository()?;
    let head = head(&repo)?;
    let dirty = dirty(&repo)?;
    let mut told = Vec::new();
    let mut earlier: Vec<Work> = Vec::new();
    for task in ledger.all()? {
        let Some(work) = work_of(&repo, &task, names)? else { continue };
        let mut about = |line: Option<String>| told.extend(line.map(|it| (work.task.clone(), it)));
        if work.is_new {
            let what = format!("{} changes what you have not committed", work.side.name);
            about(shared(&what, &work.files, &dirty));
            about(conflict(&repo, &head, &work.side)?);
        }
        for other in earlier.iter().filter(|other| work.is_new || other.is_new) {
            about(meeting(&repo, other, &work)?);
        }
        earlier.push(work);
    }
    Ok(told)
}

/// The work of a task, if it is on a branch of its own.
fn work_of(repo: &Repository, task: &Tracked, names: &[String]) -> Made<Option<Work>> {
    if task.state != TaskState::Committed {
        return Ok(None);
    }
    let Some(tip) = task.work(repo)? else { return Ok(None) };
    Ok(Some(Work {
        task: task.tree.name.clone(),
        side: Side { name: task.tree.branch.clone(), tip },
        files: changed(repo, &task.tree.base, tip)?,
        is_new: names.contains(&task.tree.name),
    }))
}

/// What is to be said of two branches: that they do not merge, or that they merge and change the same files.
fn meeting(repo: &Repository, one: &Work, other: &Work) -> Made<Option<String>> {
    let conflict = conflict(repo, &one.side, &other.side)?;
    if conflict.is_some() {
        return Ok(conflict);
    }
    let what = format!("{} and {} merge, and both change", one.side.name, other.side.name);
    Ok(shared(&what, &other.files, &one.files))
}

/// Why two lines of work do not merge, if they do not.
fn conflict(repo: &Repository, ours: &Side, theirs: &Side) -> Made<Option<String>> {
    let (_, conflict) = trial(repo, ours, theirs)?;
    Ok(conflict)
}

/// `what`, and the files that are in both lists; `None` where there is none.
fn shared(what: &str, ours: &[String], theirs: &[String]) -> Option<String> {
    let both: Vec<&str> =
        ours.iter().filter(|file| theirs.contains(file)).map(String::as_str).collect();
    if both.is_empty() {
        return None;
    }
    Some(format!("{what}: {}", both.join(", ")))
}

fn listed(all: &[Tracked]) -> String {
    if all.is_empty() {
        return "no tasks yet".to_owned();
    }
    let lines: Vec<String> = all.iter().map(line_of).collect();
    lines.join("\n")
}

fn line_of(tracked: &Tracked) -> String {
    let state = format!("{:?}", tracked.state);
    let first_line = tracked.task.lines().next().unwrap_or_default();
    cut(&format!("{:<9} {state:<11} {first_line}", tracked.tree.name), columns())
}

/// Where the checkout is.
fn head(repo: &Repository) -> Made<Side> {
    let head = repo.head()?;
    let tip = head.peel_to_commit()?.id();
    let name = if head.is_branch() { head.shorthand()? } else { "a detached HEAD" };
    Ok(Side { name: name.to_owned(), tip })
}
