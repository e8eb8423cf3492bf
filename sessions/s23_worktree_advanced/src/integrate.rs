//! What is done with finished work: merged onto a new branch, and then cleared away.

use std::fmt::Write as _;

use git2::{BranchType, Repository, Signature, WorktreePruneOptions};
use s12_worktree_task_isolation::{Made, TaskState, Worktree};

use crate::conflicts::{Side, trial};
use crate::head;
use crate::ledger::{Ledger, Tracked, refused};

/// Merges the work of these tasks, one after the other, onto a new branch that begins at HEAD. No checkout is
/// touched. Stops at the first that does not merge.
///
/// # Errors
/// There is no such task, or it is not done, or git says no.
pub fn integrate(ledger: &Ledger, words: &str) -> Made<String> {
    let (all, repo) = (ledger.all()?, &ledger.repository()?);
    let named = |word: &str| {
        let found = all.iter().find(|it| it.tree.name == word || it.tree.branch == word);
        found.ok_or_else(|| refused(format!("there is no task {word}; :list names them")))
    };
    let chosen: Vec<&Tracked> = match words.is_empty() {
        true => all.iter().filter(|it| it.state == TaskState::Committed).collect(),
        false => words.split_whitespace().map(named).collect::<Made<_>>()?,
    };
    let free = |branch: &String| repo.find_branch(branch, BranchType::Local).is_err();
    let branch = (1..).map(|number| format!("integration/{number}")).find(free).unwrap_or_default();
    let (mut at, mut report) = (head(repo)?, String::new());
    for task in chosen {
        let name = &task.tree.branch;
        let Some(tip) = task.work(repo)?.filter(|_| task.state == TaskState::Committed) else {
            let _ = writeln!(report, "{name} is {:?}: there is nothing to merge", task.state);
            continue;
        };
        let (mut index, conflict) = trial(repo, &at, &Side { name: name.clone(), tip })?;
        if let Some(conflict) = conflict {
            let onto = if at.name == branch { &branch } else { "HEAD" };
            let _ = writeln!(report, "{conflict}\n{STOP} On {onto}: `git merge {name}`");
            break;
        }
        let tree = repo.find_tree(index.write_tree_to(repo)?)?;
        let who = repo.signature().or_else(|_| Signature::now("harness", "harness@localhost"))?;
        let (ours, theirs) = (repo.find_commit(at.tip)?, repo.find_commit(tip)?);
        let message = format!("Merge {name}: {}\n", task.task);
        let commit = repo.commit(None, &who, &who, &message, &tree, &[&ours, &theirs])?;
        // The first time it must not exist yet.
        repo.reference(&format!("refs/heads/{branch}"), commit, at.name == branch, &message)?;
        at = Side { name: branch.clone(), tip: commit };
        let _ = writeln!(report, "{name} is in {branch}");
    }
    ledger.all()?; // sees what is integrated now
    if at.name == branch {
        let _ = writeln!(report, "take it in: git merge {branch}");
    }
    Ok(if report.is_empty() { "there is nothing to integrate".to_owned() } else { report })
}

const STOP: &str = "It stops here. Merge that one yourself, mend the files and commit; :integrate goes on from there.";

/// Lists what can go and what cannot, and why; with `now` the first is removed. That is ours, clean and
/// merged, or it is empty. A `refs/rescue/…` keeps each tip all the same.
///
/// # Errors
/// The list is damaged, or git says no.
pub fn prune(ledger: &Ledger, words: &str) -> Made<String> {
    if !["", "now"].contains(&words) {
        return Err(refused(format!("`:prune {words}`: it is :prune, and then :prune now")));
    }
    let (repo, mut report) = (&ledger.repository()?, String::new());
    for task in ledger.all()? {
        let fate = may_go(repo, &task).and_then(|()| match words {
            "now" => remove(ledger, repo, &task),
            _ => Ok("can go; `:prune now` removes it".to_owned()),
        });
        let fate = fate.unwrap_or_else(|why| format!("stays: {why}"));
        let _ = writeln!(report, "{} {fate}", task.tree.name);
    }
    Ok(if report.is_empty() { "there are no trees of ours".to_owned() } else { report })
}

/// Whether nothing is lost with a tree. The error says what would be.
fn may_go(repo: &Repository, task: &Tracked) -> Made<()> {
    let place = task.tree.path.display();
    match (task.state, task.tip(repo)?) {
        (TaskState::Created | TaskState::Running | TaskState::Finished, _) => {
            Err(refused("it is not done"))
        }
        (TaskState::Committed, Some(tip)) if tip.to_string() != task.tree.base => {
            Err(refused("it is neither in HEAD nor in an integration branch"))
        }
        _ if !task.tree.path.exists() => Ok(()),
        (_, None) => Err(refused(format!("its branch is gone, but not {place}"))),
        (_, Some(tip)) => {
            // Equal to the tip to the last byte, ignored files and all.
            let now = Worktree { base: tip.to_string(), ..task.tree.clone() };
            match now.is_empty(&now.open()?)? {
                true => Ok(()),
                false => Err(refused(format!("in {place} is what is in no commit"))),
            }
        }
    }
}

fn remove(ledger: &Ledger, repo: &Repository, task: &Tracked) -> Made<String> {
    let mut told = "is removed".to_owned();
    if let Some(tip) = task.tip(repo)? {
        let rescue = format!("refs/rescue/{}-{}", task.tree.name, &tip.to_string()[..7]);
        repo.reference(&rescue, tip, true, "harness: kept before its branch goes")?;
        told = format!("is removed; `git branch NAME {rescue}` brings it back");
    }
    if let Ok(tree) = repo.find_worktree(&task.tree.name) {
        tree.prune(Some(WorktreePruneOptions::new().valid(true).working_tree(true)))?;
    }
    if let Ok(mut branch) = repo.find_branch(&task.tree.branch, BranchType::Local) {
        branch.delete()?;
    }
    ledger.registry.remove(&task.tree.mark).map_err(refused)?;
    Ok(told)
}
