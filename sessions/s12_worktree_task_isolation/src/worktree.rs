//! A task's own working tree: made, given to an agent, and ended without losing anything.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use git2::{
    BranchType, Delta, DiffOptions, ErrorCode, IndexAddOption, Oid, Repository, RepositoryState,
    Signature, WorktreeAddOptions, WorktreeLockStatus, WorktreePruneOptions,
};
use harness_core::workspace::{self, Workspace, WorkspaceError};
use harness_core::{Agent, text};

use crate::base::Base;

/// Where the trees stand, in the workspace. Not below `.harness`: what is in there is never written
/// without a question, and here agents work.
pub const FOLDER: &str = ".worktrees";

/// A tree and a branch for one task. All of it is told by its fields, so it can be written down and
/// taken up again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worktree {
    /// What git calls the tree, and what its agent is called: `task-1`.
    pub name: String,
    /// Its branch: `task/1`.
    pub branch: String,
    /// Its folder.
    pub path: PathBuf,
    /// The commit it began at.
    pub base: Oid,
    /// The user's checkout, which nobody but the user writes to.
    pub root: PathBuf,
    /// The folder below that which the agent works in; mostly empty.
    pub inside: PathBuf,
    /// What the first entry of the branch's log says: that nobody but this tree's maker began it.
    pub mark: String,
}

/// How a tree ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// Nothing was in it that is not elsewhere too: tree and branch are gone.
    Removed,
    /// There is work on the branch.
    Kept(Work),
}

/// What is on a branch, counted from where it began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// How many commits.
    pub commits: usize,
    /// How many files they change.
    pub files: usize,
    /// What else the user should know, a sentence each.
    pub notes: Vec<String>,
}

/// Why a tree could not be made or ended. What is in it stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorktreeError {
    /// There is nothing that a tree can be made from.
    #[error("{0}")]
    Refused(String),
    /// Git says no.
    #[error("{tree}: {}", .source.message())]
    Git {
        /// Which tree.
        tree: String,
        /// Why.
        source: git2::Error,
    },
    /// The file system says no.
    #[error(transparent)]
    File(#[from] WorkspaceError),
}

impl Worktree {
    /// A tree under the first names that are free. `planned` is told the names before anything is made.
    ///
    /// # Errors
    /// Git or the file system says no; nothing is left of the attempt.
    pub fn create(
        base: &Base,
        planned: impl Fn(&Self) -> Result<(), WorktreeError>,
    ) -> Result<Self, WorktreeError> {
        let repo = Repository::open(&base.root).map_err(|source| base.git(source))?;
        let mut made = None;
        // One at a time for all processes on this repository, and a number is given once. Git alone does
        // not see to that: two that make the same branch at the same moment both succeed.
        workspace::update(repo.commondir().join("harness-tasks"), |last| {
            let last = last.and_then(|last| String::from_utf8(last).ok()?.trim().parse().ok());
            let (number, tree) = base.plan(&repo, last.unwrap_or(0) + 1)?;
            planned(&tree)?;
            tree.make()?;
            made = Some(tree);
            Ok::<_, WorktreeError>(format!("{number}\n").into_bytes())
        })?;
        made.ok_or_else(|| WorktreeError::Refused("no tree was made".to_owned()))
    }

    /// Makes what was planned.
    fn make(&self) -> Result<(), WorktreeError> {
        let git = |source| self.git(source);
        let repo = Repository::open(&self.root).map_err(git)?;
        let workspace = Workspace::open(self.root.join(&self.inside))?;
        workspace.own_dir(FOLDER)?;
        // Refused when it exists: nobody's branch is ever taken over.
        let branch =
            repo.reference(&self.reference(), self.base, false, &self.mark).map_err(git)?;
        let mut options = WorktreeAddOptions::new();
        let made = repo.worktree(&self.name, &self.path, Some(options.reference(Some(&branch))));
        let made = made.map_err(git).and_then(|_| self.fill(&repo, &workspace));
        made.inspect_err(|_| drop(self.discard()))
    }

    /// What the repository ignores and the task needs all the same: the files that `.worktreeinclude`
    /// names, one a line.
    fn fill(&self, repo: &Repository, from: &Workspace) -> Result<(), WorktreeError> {
        let to = self.path.join(&self.inside);
        fs::create_dir_all(&to).map_err(|source| failed("make", &to, source))?;
        let to = Workspace::open(to)?;
        let list = match from.read_bounded(INCLUDE, LARGEST) {
            Err(WorkspaceError::NotFound { .. }) => return Ok(()),
            list => String::from_utf8_lossy(&list?.bytes).into_owned(),
        };
        for path in list
            .lines()
            .map(str::trim)
            .filter(|line| !matches!(line.chars().next(), None | Some('#')))
        {
            let file = from.read_bounded(path, LARGEST)?;
            let ignored = repo.is_path_ignored(self.inside.join(from.resolve(path)?));
            if file.cut || !ignored.map_err(|source| self.git(source))? {
                let why = "is larger than 1 MB, or git does not ignore it";
                return Err(WorktreeError::Refused(format!(
                    "{INCLUDE}: {path} {why}; take it out"
                )));
            }
            to.write_atomic(path, &file.bytes)?;
        }
        Ok(())
    }

    /// An agent like this one that works in the tree. Its file tools stay inside; its shell can leave.
    pub fn agent(&self, lead: &Agent) -> Agent {
        let cwd = self.path.join(&self.inside).components().collect();
        Agent { name: self.name.clone(), cwd, ..lead.clone() }
    }

    /// Ends the work: what was left is committed, and the branch is kept. Only a tree in which nothing is
    /// that is not elsewhere too is removed.
    ///
    /// # Errors
    /// Git or the file system says no; everything stays where it is.
    pub fn finish(&self, message: &str) -> Result<Finish, WorktreeError> {
        let mut notes = Vec::new();
        if self.path.exists() {
            self.commit(&self.open()?, message, &mut notes).map_err(|source| self.git(source))?;
        } else {
            notes.push(format!("its folder {} is gone", self.path.display()));
        }
        if self.discard()? {
            return Ok(Finish::Removed);
        }
        self.work(notes).map(Finish::Kept)
    }

    /// The tree's own repository. A folder whose `.git` is gone is not looked at: git would find the
    /// user's checkout above it, and commit there.
    fn open(&self) -> Result<Repository, WorktreeError> {
        let repo = Repository::open(&self.path).map_err(|source| self.git(source))?;
        match repo.is_worktree() {
            true => Ok(repo),
            false => Err(WorktreeError::Refused(format!(
                "{} is a repository of its own by now; it is left as it is",
                self.path.display()
            ))),
        }
    }

    /// Commits what is there and not committed. No hook runs and nothing is signed: a hook that fails or a
    /// key that asks for its password would leave the work uncommitted.
    fn commit(
        &self,
        repo: &Repository,
        message: &str,
        notes: &mut Vec<String>,
    ) -> Result<(), git2::Error> {
        if repo.state() != RepositoryState::Clean {
            notes.push(format!(
                "git is in the middle of something there ({:?}); nothing was committed",
                repo.state()
            ));
            return Ok(());
        }
        let mut index = repo.index()?;
        let mut nested = Vec::new();
        let mut files_only = |path: &Path, _: &[u8]| {
            let folder = self.path.join(path).is_dir();
            if folder && self.path.join(path).join(".git").exists() {
                nested.push(path.display().to_string());
            }
            i32::from(folder)
        };
        index.add_all(["*"], IndexAddOption::DEFAULT, Some(&mut files_only))?;
        for path in nested {
            notes.push(format!(
                "{path} is a repository of its own: what is in it stays in the tree"
            ));
        }
        let (tree, head) = (index.write_tree()?, repo.head()?.peel_to_commit()?);
        if tree == head.tree_id() {
            return Ok(());
        }
        index.write()?;
        let who = repo.signature().or_else(|_| Signature::now("harness", "harness@localhost"))?;
        repo.commit(Some("HEAD"), &who, &who, message, &repo.find_tree(tree)?, &[&head])?;
        Ok(())
    }

    /// Proves that nothing is in the tree that is not elsewhere too. The disk is compared with the commit
    /// itself: the index can be told to overlook changes.
    fn is_empty(&self, repo: &Repository) -> Result<bool, git2::Error> {
        let head = repo.head()?;
        let untouched = head.name()? == self.reference()
            && repo.state() == RepositoryState::Clean
            && self.is_unused(repo)?;
        let modules = repo.index()?.iter().any(|entry| {
            let path = self.path.join(String::from_utf8_lossy(&entry.path).as_ref());
            entry.mode == 0o160_000
                && fs::read_dir(path).is_ok_and(|mut files| files.next().is_some())
        });
        if !untouched || modules {
            return Ok(false);
        }
        let mut all = DiffOptions::new();
        all.include_untracked(true).recurse_untracked_dirs(true);
        all.include_ignored(true).recurse_ignored_dirs(true).ignore_submodules(true);
        let tree = repo.find_commit(self.base)?.tree()?;
        let diff = repo.diff_tree_to_workdir(Some(&tree), Some(&mut all))?;
        Ok(diff.deltas().all(|delta| {
            let added = matches!(delta.status(), Delta::Ignored | Delta::Untracked);
            let path = delta.new_file().path();
            added && path.is_some_and(|path| same(&self.path.join(path), &self.root.join(path)))
        }))
    }

    /// Nothing was ever committed on the branch. A commit that was made and undone is in its log alone, and
    /// the log goes with the branch.
    fn is_unused(&self, repo: &Repository) -> Result<bool, git2::Error> {
        match repo.find_reference(&self.reference()) {
            Err(error) if error.code() == ErrorCode::NotFound => Ok(true),
            branch => {
                Ok(branch?.target() == Some(self.base)
                    && repo.reflog(&self.reference())?.len() <= 1)
            }
        }
    }

    /// Removes tree and branch if they are proven empty, and says whether it did. Git's own pruning does
    /// not look.
    ///
    /// # Errors
    /// Git says no, or the tree is locked.
    pub fn discard(&self) -> Result<bool, WorktreeError> {
        let git = |source| self.git(source);
        let repo = Repository::open(&self.root).map_err(git)?;
        let empty = match self.path.exists() {
            true => self.is_empty(&self.open()?),
            false => self.is_unused(&repo),
        };
        if !empty.map_err(git)? {
            return Ok(false);
        }
        if let Ok(tree) = repo.find_worktree(&self.name) {
            if let WorktreeLockStatus::Locked(why) = tree.is_locked().map_err(git)? {
                let why =
                    why.map(|why| format!(" ({})", text::strip(why.trim()))).unwrap_or_default();
                let told = format!("{} is locked{why}; it is kept", self.name);
                return Err(WorktreeError::Refused(told));
            }
            let mut options = WorktreePruneOptions::new();
            tree.prune(Some(options.valid(true).working_tree(true))).map_err(git)?;
        }
        if let Ok(mut branch) = repo.find_reference(&self.reference())
            && branch.target() == Some(self.base)
        {
            branch.delete().map_err(git)?;
        }
        Ok(true)
    }

    /// What is on the branch.
    ///
    /// # Errors
    /// The branch is gone, or git cannot read it.
    pub fn work(&self, mut notes: Vec<String>) -> Result<Work, WorktreeError> {
        let count = || -> Result<(usize, usize), git2::Error> {
            let repo = Repository::open(&self.root)?;
            let tip = repo.find_branch(&self.branch, BranchType::Local)?.get().peel_to_commit()?;
            let commits = repo.graph_ahead_behind(tip.id(), self.base)?.0;
            let before = repo.find_commit(self.base)?.tree()?;
            let diff = repo.diff_tree_to_tree(Some(&before), Some(&tip.tree()?), None)?;
            Ok((commits, diff.deltas().count()))
        };
        let (commits, files) = count().map_err(|source| self.git(source))?;
        if let Ok(head) =
            Repository::open(&self.path).and_then(|repo| Ok(repo.head()?.name()?.to_owned()))
            && head != self.reference()
        {
            notes.push(format!("the tree is on {head}, not on its own branch: look there too"));
        }
        Ok(Work { commits, files, notes })
    }

    /// The branch's full name.
    pub fn reference(&self) -> String {
        format!("refs/heads/{}", self.branch)
    }

    fn git(&self, source: git2::Error) -> WorktreeError {
        WorktreeError::Git { tree: self.name.clone(), source }
    }
}

const INCLUDE: &str = ".worktreeinclude";
/// The largest file that is copied in, in bytes.
const LARGEST: u64 = 1_000_000;

fn failed(action: &'static str, path: &Path, source: io::Error) -> WorkspaceError {
    WorkspaceError::Io { action, path: path.to_owned(), source }
}

/// Two regular files with the same bytes.
fn same(one: &Path, other: &Path) -> bool {
    let file = |path: &Path| fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file);
    let sizes = (file(one).map(|file| file.len()), file(other).map(|file| file.len()));
    matches!(sizes, (Some(one), Some(other)) if one == other)
        && matches!((fs::read(one), fs::read(other)), (Ok(one), Ok(other)) if one == other)
}
