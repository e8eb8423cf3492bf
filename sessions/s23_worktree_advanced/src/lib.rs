#![doc = include_str!("../README.md")]

mod conflicts;
mod integrate;
mod ledger;

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use git2::{Repository, StatusOptions};
use harness_cli::{App, Done, Lesson, TaskFlags, Tasks, columns, cut};
use harness_core::{Agent, AgentError, Event};
use s12_worktree_task_isolation::{Base, Isolated, Made};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

pub use conflicts::{Side, changed, trial};
pub use integrate::{integrate, prune};
pub use ledger::{Ledger, State, Tracked};

/// What the terminal is told of this session.
pub const LESSON: Lesson = Lesson {
    name: env!("CARGO_PKG_NAME"),
    motto: "Work is safe when it is on disk, on a branch, and known to merge.",
    play: include_str!("../demo.yaml"),
};

/// The mechanism: s12's trees with a memory, and a look at what happens when they meet.
#[derive(Clone, Debug)]
pub struct Lifecycle(pub Ledger);

/// The session's terminal. What killed runs left is taken up first.
///
/// # Errors
/// The workspace cannot be written, or the list of trees is damaged.
pub fn app(agent: Agent, flags: TaskFlags) -> Result<App> {
    let ledger = Ledger::open(&agent.cwd)?;
    let mut told = ledger.recover()?;
    told.extend(match surroundings(&agent.cwd) {
        Ok(notes) => notes,
        Err(error) => vec![format!("no task can run here: {error}")],
    });
    let [list, merge, clear] = [(); 3].map(|()| ledger.clone());
    let app = App::from(agent).tell(told).tasks(flags, Lifecycle(ledger));
    Ok(app
        .quick("list", "the tasks, and how far they have come", move |_, _| Ok(listed(&list)?))
        .quick("integrate", "[task…]: merges their work onto a new branch", move |chat, words| {
            Ok(integrate(&merge, &repository(&chat.agent.cwd)?, words)?)
        })
        .quick(
            "prune",
            "lists what is merged and clean; `:prune now` removes it",
            move |chat, words| Ok(prune(&clear, &repository(&chat.agent.cwd)?, words)?),
        ))
}

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
        let (ledger, cwd) = (self.0.clone(), lead.cwd.clone());
        let met = spawn_blocking(move || meetings(&ledger, &repository(&cwd)?, &names)).await;
        let met =
            met.map_err(|error| AgentError::Fatal(error.to_string()))?.unwrap_or_else(|error| {
                vec![(String::new(), format!("whether it merges is not known: {error}"))]
            });
        for (name, told) in met {
            match done.iter_mut().find(|done| done.name == name) {
                Some(done) => {
                    done.advice = Some([done.advice.take().unwrap_or_default(), told].join("\n"))
                }
                None => lead.tell(&Event::Notice(told)),
            }
        }
        Ok(done)
    }
}

/// What the user should know of the checkout before a task begins there.
fn surroundings(cwd: &Path) -> Made<Vec<String>> {
    let (base, repo) = (Base::find(cwd)?, repository(cwd)?);
    let mut notes =
        vec![format!("tasks begin at {}, {:.7}", head(&repo)?.name, base.commit.to_string())];
    if repo.head_detached()? {
        notes.push(
            "HEAD is detached: no branch will get what you merge; `git switch -c NAME` makes one"
                .to_owned(),
        );
    }
    let dirty = dirty(&repo)?;
    if let [first, rest @ ..] = &dirty[..] {
        let more =
            if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
        notes.push(format!("not committed: {first}{more}; tasks do not see that"));
    }
    Ok(notes)
}

/// What is changed in the checkout and not committed.
fn dirty(repo: &Repository) -> Made<Vec<String>> {
    let mut options = StatusOptions::new();
    let options = options.include_untracked(true).recurse_untracked_dirs(true);
    let found = repo.statuses(Some(options))?;
    Ok(found.iter().map(|entry| String::from_utf8_lossy(entry.path_bytes()).into_owned()).collect())
}

/// What happens when the work of these tasks meets that of every other, HEAD as it is by now, and what is not
/// committed in the checkout. Each with the task that it is about.
fn meetings(ledger: &Ledger, repo: &Repository, names: &[String]) -> Made<Vec<(String, String)>> {
    let (head, dirty, mut told) = (head(repo)?, dirty(repo)?, Vec::new());
    let mut others: Vec<(String, Side, Vec<String>)> = Vec::new();
    for task in ledger.all()?.iter().filter(|task| task.state == State::Committed) {
        let Some(tip) = task.work(repo)? else { continue };
        let (name, side) = (task.tree.name.clone(), Side { name: task.tree.branch.clone(), tip });
        let files = changed(repo, &task.tree.base, tip)?;
        let shared = |theirs: &[String]| {
            let both = files.iter().filter(|file| theirs.contains(file));
            Some(both.cloned().collect::<Vec<_>>().join(", ")).filter(|both| !both.is_empty())
        };
        let mut tell = |line: Option<String>| told.extend(line.map(|line| (name.clone(), line)));
        let is_new = names.contains(&name);
        if is_new {
            tell(
                shared(&dirty).map(|both| {
                    format!("{} changes what you have not committed: {both}", side.name)
                }),
            );
            tell(trial(repo, &head, &side)?.1);
        }
        for (_, other, theirs) in others.iter().filter(|(name, ..)| is_new || names.contains(name))
        {
            let both = || {
                shared(theirs).map(|both| {
                    format!("{} and {} both change {both}, and they merge", other.name, side.name)
                })
            };
            tell(trial(repo, other, &side)?.1.or_else(both));
        }
        others.push((name, side, files));
    }
    Ok(told)
}

fn listed(ledger: &Ledger) -> Made<String> {
    let line = |it: &Tracked| {
        let task = it.task.lines().next().unwrap_or_default();
        cut(
            &format!("{:<9} {:<11} {task}", it.tree.name, format!("{:?}", it.state).to_lowercase()),
            columns(),
        )
    };
    let all = ledger.all()?;
    Ok(if all.is_empty() {
        "no tasks yet".to_owned()
    } else {
        all.iter().map(line).collect::<Vec<_>>().join("\n")
    })
}

/// Where the checkout is.
fn head(repo: &Repository) -> Made<Side> {
    let head = repo.head()?;
    let tip = head.peel_to_commit()?.id();
    let name = if head.is_branch() {
        head.shorthand()?.to_owned()
    } else {
        format!("HEAD ({:.7})", tip.to_string())
    };
    Ok(Side { name, tip })
}

fn repository(cwd: &Path) -> Made<Repository> {
    Ok(Repository::open(Base::find(cwd)?.root)?)
}
