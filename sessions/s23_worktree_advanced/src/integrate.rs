//! What is done with finished work: merged onto a new branch, and then cleared away.

use std::fmt::Write as _;

use git2::{BranchType, Repository, Signature, WorktreeLockStatus, WorktreePruneOptions};
use s12_worktree_task_isolation::{Made, Worktree};

use crate::conflicts::{Side, trial};
use crate::head;
use crate::ledger::{Ledger, State, Tracked, refused};

/// Merges the work of these tasks, one after the other, onto a new branch that begins at HEAD. No checkout is
/// touched. Stops at the first that does not merge.
///
/// # Errors
/// There is no such task, or it is not done, or git says no.
pub fn integrate(ledger: &Ledger, repo: &Repository, words: &str) -> Made<String> {
    let all = ledger.all()?;
    let named = |word: &str| {
        let is =
            |it: &&Tracked| [&it.tree.name, &it.tree.branch].into_iter().any(|name| name == word);
        all.iter()
            .find(is)
            .ok_or_else(|| refused(format!("there is no task {word}; :list names them")))
    };
    let chosen: Vec<&Tracked> = match words.is_empty() {
        true => all.iter().filter(|it| it.state == State::Committed).collect(),
        false => words.split_whitespace().map(named).collect::<Made<_>>()?,
    };
    let free = |branch: &String| repo.find_branch(branch, BranchType::Local).is_err();
    let branch = (1..).map(|number| format!("integration/{number}")).find(free).unwrap_or_default();
    let (mut at, mut report, mut merged) = (head(repo)?, String::new(), 0);
    for task in chosen {
        let name = &task.tree.branch;
        let Some(tip) = task.work(repo)?.filter(|_| task.state == State::Committed) else {
            let _ = writeln!(report, "{name} is {:?}: there is nothing to merge", task.state);
            continue;
        };
        let (mut index, conflict) = trial(repo, &at, &Side { name: name.clone(), tip })?;
        if let Some(conflict) = conflict {
            let switch =
                if merged > 0 { format!("`git switch {branch}`, ") } else { String::new() };
            let _ = writeln!(
                report,
                "{conflict}\nIt stops here. Merge that one yourself: {switch}`git merge {name}`, mend the files, commit. Then :integrate goes on from there."
            );
            break;
        }
        let tree = repo.find_tree(index.write_tree_to(repo)?)?;
        let who = repo.signature().or_else(|_| Signature::now("harness", "harness@localhost"))?;
        let (ours, theirs) = (repo.find_commit(at.tip)?, repo.find_commit(tip)?);
        let message = format!("Merge {name}: {}\n", task.task);
        let commit = repo.commit(None, &who, &who, &message, &tree, &[&ours, &theirs])?;
        // The first time it must not exist yet.
        repo.reference(&format!("refs/heads/{branch}"), commit, merged > 0, &message)?;
        at = Side { name: branch.clone(), tip: commit };
        merged += 1;
        let _ = writeln!(report, "{name} is in {branch}");
    }
    ledger.all()?; // sees what is integrated now
    if merged > 0 {
        let _ = writeln!(report, "take it in: git merge {branch}");
    }
    Ok(if report.is_empty() { "there is nothing to integrate".to_owned() } else { report })
}

/// Lists what can go and what cannot, and why; with `now` the first is removed. That is ours, clean and
/// merged, or it is empty. A `refs/rescue/…` keeps each tip all the same.
///
/// # Errors
/// The list is damaged, or git says no.
pub fn prune(ledger: &Ledger, repo: &Repository, words: &str) -> Made<String> {
    if !["", "now"].contains(&words) {
        return Err(refused(format!("`:prune {words}`: it is :prune, and then :prune now")));
    }
    let mut report = String::new();
    for task in ledger.all()? {
        let name = &task.tree.name;
        let _ = match keeps(repo, &task).unwrap_or_else(|error| Some(error.to_string())) {
            Some(why) => writeln!(report, "{name} stays: {why}"),
            None if words.is_empty() => {
                writeln!(report, "{name} can go ({:?}); :prune now does it", task.state)
            }
            None => {
                let kept = remove(repo, &task)?;
                ledger.0.forget(&task.tree.mark).map_err(refused)?;
                writeln!(report, "{name} is removed{kept}")
            }
        };
    }
    Ok(if report.is_empty() { "there are no trees of ours".to_owned() } else { report })
}

/// Why a tree has to stay, if it has to.
fn keeps(repo: &Repository, task: &Tracked) -> Made<Option<String>> {
    let place = task.tree.path.display();
    if let Ok(WorktreeLockStatus::Locked(_)) =
        repo.find_worktree(&task.tree.name).and_then(|tree| tree.is_locked())
    {
        return Ok(Some("it is locked".to_owned()));
    }
    Ok(match (task.state, task.tip(repo)?) {
        (State::Created | State::Running | State::Finished, _) => Some("it is not done".to_owned()),
        (State::Committed, _) => {
            Some("its work is neither in HEAD nor in an integration branch".to_owned())
        }
        (State::Abandoned, _) if task.tree.path.exists() => {
            Some(format!("its branch is gone, but not {place}"))
        }
        (State::Integrated, Some(tip)) if task.tree.path.exists() => {
            // Equal to the tip to the last byte, ignored files and all.
            let now = Worktree { base: tip.to_string(), ..task.tree.clone() };
            (!now.is_empty(&now.open()?)?).then(|| format!("in {place} is what is in no commit"))
        }
        _ => None,
    })
}

fn remove(repo: &Repository, task: &Tracked) -> Made<String> {
    let mut kept = String::new();
    if let Some(tip) = task.tip(repo)? {
        let rescue = format!("refs/rescue/{}-{}", task.tree.name, &tip.to_string()[..7]);
        repo.reference(&rescue, tip, true, "harness: kept before its branch goes")?;
        kept = format!("; `git branch NAME {rescue}` brings it back");
    }
    if let Ok(tree) = repo.find_worktree(&task.tree.name) {
        tree.prune(Some(WorktreePruneOptions::new().valid(true).working_tree(true)))?;
    }
    if let Ok(mut branch) = repo.find_branch(&task.tree.branch, BranchType::Local) {
        branch.delete()?;
    }
    Ok(kept)
}
