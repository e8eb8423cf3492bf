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
use harness_cli::{Bars, Done, TaskFlags, Tasks, columns, cut, with_tasks};
use harness_core::host::own_paths::is_own;
use harness_core::{Agent, AgentError, Event};
use s12_worktree_task_isolation::{Isolated, Made, State};
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
impl Tasks for Lifecycle {
    async fn run(
        &self,
        lead: &Agent,
        tasks: Vec<String>,
        cancel: &CancellationToken,
    ) -> Result<Vec<Done>, AgentError> {
        let mut done = Isolated(Arc::new(self.0.clone())).run(lead, tasks, cancel).await?;
        let names: Vec<String> = done.iter().map(|done| done.name.clone()).collect();
        let ledger = self.0.clone();
        let met = spawn_blocking(move || meetings(&ledger, &names)).await;
        let met = met.map_err(|error| AgentError::Fatal(error.to_string()))?;
        let unknown =
            |error| vec![(String::new(), format!("whether it merges is unknown: {error}"))];
        for (name, told) in met.unwrap_or_else(unknown) {
            match done.iter_mut().find(|done| done.name == name) {
                Some(done) => done.advice = done.advice.take().map(|old| format!("{old}\n{told}")),
                None => lead.emit(&Event::Notice(told)),
            }
        }
        Ok(done)
    }
}

/// Joins the tasks to the terminal. What killed runs left is taken up first.
///
/// # Errors
/// The workspace cannot be written, or the list of trees is damaged.
pub fn join(app: App, flags: TaskFlags, bars: Bars) -> Result<App> {
    let ledger = Ledger::open(&app.agent().cwd)?;
    let mut told = ledger.recover()?;
    let refused = |error| vec![format!("no task can run here: {error}")];
    told.extend(ledger.repository().and_then(|repo| surroundings(&repo)).unwrap_or_else(refused));
    let [list, merge, clear] = [(); 3].map(|()| ledger.clone());
    let (lists, merges, clears) = (
        "the tasks, and how far they have come",
        "[task…]: merges their work onto a new branch",
        "lists what is merged and clean; `:prune now` removes it",
    );
    Ok(with_tasks(app.notices(told), flags, bars, Lifecycle(ledger))
        .quick("list", lists, move |_, _| Ok(listed(&list.all()?)))
        .quick("integrate", merges, move |_, words| Ok(integrate(&merge, words)?))
        .quick("prune", clears, move |_, words| Ok(prune(&clear, words)?)))
}

/// What the user should know of the checkout before a task begins there.
fn surroundings(repo: &Repository) -> Made<Vec<String>> {
    let (head, dirty) = (head(repo)?, dirty(repo)?);
    let mut notes = vec![format!("tasks begin at {}, {}", head.name, &head.tip.to_string()[..7])];
    if repo.head_detached()? {
        notes.push("HEAD is detached: no branch gets what you merge there".to_owned());
    }
    if !dirty.is_empty() {
        let (many, first) = (dirty.len(), dirty[..dirty.len().min(3)].join(", "));
        notes.push(format!("not committed ({many}): {first}; tasks do not see that"));
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

/// What happens when the work of these tasks meets that of every other, HEAD as it is by now, and what is not
/// committed in the checkout. Each with the task that it is about.
fn meetings(ledger: &Ledger, names: &[String]) -> Made<Vec<(String, String)>> {
    let repo = &ledger.repository()?;
    let (head, dirty, mut told) = (head(repo)?, dirty(repo)?, Vec::new());
    let mut others: Vec<(Side, Vec<String>, bool)> = Vec::new();
    for task in ledger.all()?.iter().filter(|task| task.state == State::Committed) {
        let Some(tip) = task.work(repo)? else { continue };
        let (side, files) =
            (Side { name: task.tree.branch.clone(), tip }, changed(repo, &task.tree.base, tip)?);
        let shared = |theirs: &[String], what: String| {
            let both: Vec<&str> =
                files.iter().filter(|file| theirs.contains(file)).map(String::as_str).collect();
            (!both.is_empty()).then(|| format!("{what}: {}", both.join(", ")))
        };
        let is_new = names.contains(&task.tree.name);
        let mut met = Vec::new();
        if is_new {
            met.push(shared(&dirty, format!("{} changes what you have not committed", side.name)));
            met.push(trial(repo, &head, &side)?.1);
        }
        for (other, theirs, was_new) in &others {
            if is_new || *was_new {
                let both = format!("{} and {} merge, and both change", other.name, side.name);
                met.push(trial(repo, other, &side)?.1.or_else(|| shared(theirs, both)));
            }
        }
        told.extend(met.into_iter().flatten().map(|line| (task.tree.name.clone(), line)));
        others.push((side, files, is_new));
    }
    Ok(told)
}

fn listed(all: &[Tracked]) -> String {
    let line = |it: &Tracked| {
        let (state, task) = (format!("{:?}", it.state), it.task.lines().next().unwrap_or_default());
        cut(&format!("{:<9} {state:<11} {task}", it.tree.name), columns())
    };
    let lines: Vec<String> = all.iter().map(line).collect();
    if lines.is_empty() { "no tasks yet".to_owned() } else { lines.join("\n") }
}

/// Where the checkout is.
fn head(repo: &Repository) -> Made<Side> {
    let head = repo.head()?;
    let tip = head.peel_to_commit()?.id();
    let name = if head.is_branch() { head.shorthand()? } else { "a detached HEAD" };
    Ok(Side { name: name.to_owned(), tip })
}
