//! Where tasks begin: the repository and the commit, and everything that can be odd about them.

use std::fs;
use std::path::{Path, PathBuf};

use git2::{ErrorCode, Oid, Repository, RepositoryState, StatusOptions};
use harness_core::ids;

use crate::worktree::{FOLDER, Worktree, WorktreeError};

/// The commit that tasks begin at.
#[derive(Clone, Debug)]
pub struct Base {
    /// The top folder of the user's checkout.
    pub root: PathBuf,
    /// Where the agent works below it; mostly empty.
    pub inside: PathBuf,
    /// The commit.
    pub commit: Oid,
    /// The branch that it is the tip of; none when HEAD is detached.
    pub branch: Option<String>,
    /// What the user should know before a task begins, a sentence each.
    pub notes: Vec<String>,
}

impl Base {
    /// Looks at the repository that a folder is in.
    ///
    /// # Errors
    /// No tree can be made from here. Nobody falls back to working in the folder itself.
    pub fn find(cwd: &Path) -> Result<Self, WorktreeError> {
        let shown = cwd.display();
        let refused = |why: String| WorktreeError::Refused(why);
        let repo = Repository::discover(cwd).map_err(|error| match error.code() {
            ErrorCode::NotFound => refused(format!(
                "{shown} is in no git repository; run `git init` there and commit once"
            )),
            _ => refused(format!("git cannot open the repository of {shown}: {}", error.message())),
        })?;
        let inside = |root: &Path| {
            let root = fs::canonicalize(root).ok()?;
            let cwd = fs::canonicalize(cwd).ok()?;
            let own = fs::canonicalize(repo.path()).ok()?;
            let inside = cwd.strip_prefix(&root).ok()?.to_owned();
            (!cwd.starts_with(own)).then_some((root, inside))
        };
        // Bare, or the folder is inside `.git`.
        let (root, inside) = repo.workdir().and_then(inside).ok_or_else(|| {
            refused(format!("{shown} has no working tree (it is bare); start in a checkout"))
        })?;
        let head = repo.head().map_err(|error| match error.code() {
            ErrorCode::UnbornBranch => {
                refused(format!("the branch of {shown} has no commit yet; commit once"))
            }
            _ => refused(format!("HEAD of {shown} leads nowhere: {}", error.message())),
        })?;
        let broken = |error: git2::Error| {
            refused(format!("git cannot read the repository of {shown}: {}", error.message()))
        };
        let commit = head.peel_to_commit().map_err(broken)?.id();
        let detached = repo.head_detached().map_err(broken)?;
        let branch = (!detached).then(|| head.shorthand().unwrap_or("HEAD").to_owned());
        let notes = notes(&repo, commit, detached).map_err(broken)?;
        Ok(Self { root, inside, commit, branch, notes })
    }

    /// The number and the names of the next tree: the first, from `first` on, that no branch, tree or
    /// folder has. Nothing is made.
    pub(crate) fn plan(
        &self,
        repo: &Repository,
        first: u32,
    ) -> Result<(u32, Worktree), WorktreeError> {
        let exists = |branch: &str| repo.find_reference(&format!("refs/heads/{branch}")).is_ok();
        // A branch `task` leaves no room for `task/1`, nor does `task/1/x`: refs are files and folders.
        let separator = if exists("task") { '-' } else { '/' };
        for number in first.. {
            let (name, branch) = (format!("task-{number}"), format!("task{separator}{number}"));
            let below = repo
                .references_glob(&format!("refs/heads/{branch}/*"))
                .map_err(|source| self.git(source))?;
            let path = self.root.join(&self.inside).join(FOLDER).join(&name);
            let taken = exists(&branch)
                || below.count() > 0
                || repo.find_worktree(&name).is_ok()
                || fs::symlink_metadata(&path).is_ok();
            if !taken {
                let (base, root, inside) = (self.commit, self.root.clone(), self.inside.clone());
                let mark = format!("harness: begins {branch} as {}", ids::fresh(|_| false));
                return Ok((number, Worktree { name, branch, path, base, root, inside, mark }));
            }
        }
        Err(WorktreeError::Refused("there is no free name for a task".to_owned()))
    }

    pub(crate) fn git(&self, source: git2::Error) -> WorktreeError {
        WorktreeError::Git { tree: self.root.display().to_string(), source }
    }

    /// Where tasks begin, in a few words: `main at 1a2b3c4`.
    pub fn told(&self) -> String {
        let id = self.commit.to_string();
        format!("{} at {}", self.branch.as_deref().unwrap_or("a detached HEAD"), &id[..7])
    }
}

fn notes(repo: &Repository, commit: Oid, detached: bool) -> Result<Vec<String>, git2::Error> {
    let mut notes = Vec::new();
    if detached {
        let id = &commit.to_string()[..7];
        notes.push(format!(
            "HEAD is detached at {id}: tasks begin there; `git switch -c NAME` gives you a branch to merge into"
        ));
    }
    if repo.state() != RepositoryState::Clean {
        notes.push(format!(
            "git is in the middle of something here ({:?}); end it before you merge",
            repo.state()
        ));
    }
    let mut options = StatusOptions::new();
    options.include_untracked(true).recurse_untracked_dirs(true).exclude_submodules(true);
    let changed = repo.statuses(Some(&mut options))?.len();
    if changed > 0 {
        notes.push(format!("{changed} changed files are not committed: tasks do not see that"));
    }
    if !repo.submodules()?.is_empty() {
        notes.push(
            "submodules are empty in a task's tree; `git submodule update --init` fills them"
                .to_owned(),
        );
    }
    Ok(notes)
}
