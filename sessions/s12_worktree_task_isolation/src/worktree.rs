//! A task's own working tree: made, and ended without losing anything.

use std::fs;
use std::path::{Path, PathBuf};

use git2::{
    BranchType, DiffFile, DiffOptions, ErrorCode, IndexAddOption, Oid, Repository, RepositoryState,
    Signature, WorktreeAddOptions, WorktreeLockStatus, WorktreePruneOptions,
};
use harness_core::host::ids;
use harness_core::host::own_paths;
use harness_core::host::workspace;
use harness_core::host::workspace::{Workspace, WorkspaceError};
use serde::{Deserialize, Serialize};

/// Where the trees stand, in the workspace. Not below `.harness`: what is in there is never written
/// without a question, and here agents work.
const FOLDER: &str = own_paths::WORKTREES.name;

/// Where tasks begin.
#[derive(Clone, Debug)]
pub struct Base {
    /// The top folder of the user's checkout, which nobody but the user writes to.
    pub root: PathBuf,
    /// Where the agent works below it; mostly empty.
    pub inside: PathBuf,
    /// The commit: that of HEAD, on a branch or not.
    pub commit: Oid,
}

/// A tree and a branch for one task. All of it is told by its fields, so it can be written down and
/// taken up again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worktree {
    /// What git calls the tree, and what its agent is called: `task-1`.
    pub name: String,
    /// Its branch: `task/1`.
    pub branch: String,
    /// Its folder.
    pub path: PathBuf,
    /// The folder in it that the agent works in.
    pub cwd: PathBuf,
    /// The commit it began at.
    pub base: String,
    /// The user's checkout.
    pub root: PathBuf,
    /// What the log of its branch begins with. Nobody else's branch does.
    pub mark: String,
}

/// Why a tree could not be made or ended. Whatever is in it stays.
#[derive(Debug, thiserror::Error)]
pub enum WorktreeError {
    /// It would be wrong, and this is why.
    #[error("{0}")]
    Refused(String),
    /// Git says no.
    #[error("git: {}", .0.message())]
    Git(#[from] git2::Error),
    /// The file system says no.
    #[error(transparent)]
    File(#[from] WorkspaceError),
}

/// What can go wrong with a tree.
pub type Result<T> = std::result::Result<T, WorktreeError>;

fn refused<T>(why: String) -> Result<T> {
    Err(WorktreeError::Refused(why))
}

/// An error that is expected, in words that say what to do.
fn known<T>(got: std::result::Result<T, git2::Error>, code: ErrorCode, told: String) -> Result<T> {
    got.or_else(|error| if error.code() == code { refused(told) } else { Err(error.into()) })
}

impl Base {
    /// Looks at the repository that a folder is in.
    ///
    /// # Errors
    /// No tree can be made from here. Nobody falls back to working in the folder itself.
    pub fn find(cwd: &Path) -> Result<Self> {
        let shown = cwd.display();
        let told = format!("{shown} is in no git repository; run `git init` there and commit once");
        let repo = known(Repository::discover(cwd), ErrorCode::NotFound, told)?;
        let place = |path: &Path| fs::canonicalize(path).ok();
        let inside = repo.workdir().and_then(place).zip(place(cwd)).and_then(|(root, cwd)| {
            let inside = cwd.strip_prefix(&root).ok()?.to_owned();
            (!cwd.starts_with(place(repo.path())?)).then_some((root, inside))
        });
        // Bare, or the folder is inside `.git`.
        let Some((root, inside)) = inside else {
            return refused(format!("{shown} has no working tree (bare?); start in a checkout"));
        };
        let told = format!("the branch of {shown} has no commit yet; commit once");
        let head = known(repo.head(), ErrorCode::UnbornBranch, told)?;
        Ok(Self { root, inside, commit: head.peel_to_commit()?.id() })
    }

    /// Makes a tree under the first names that are free, and never takes over what exists. `planned` is told
    /// the names before anything is made.
    ///
    /// # Errors
    /// Git, the file system or `planned` says no; nothing is left of the attempt.
    pub fn tree(&self, planned: impl Fn(&Worktree) -> Result<()>) -> Result<Worktree> {
        let repo = Repository::open(&self.root)?;
        let mut made = None;
        // One at a time for all processes on this repository, and a number is given once. Git alone does
        // not see to that: two that make the same branch at the same moment both succeed.
        workspace::update(repo.commondir().join("harness-tasks"), |last| {
            let last = last.and_then(|last| String::from_utf8(last).ok()?.trim().parse().ok());
            let mut number = last.unwrap_or(0_u32);
            let tree = loop {
                number += 1;
                let tree = self.plan(number);
                let taken = repo.find_reference(&tree.reference()).is_ok()
                    || repo.find_worktree(&tree.name).is_ok()
                    || fs::symlink_metadata(&tree.path).is_ok();
                if !taken {
                    break tree;
                }
            };
            if repo.find_reference("refs/heads/task").is_ok() {
                return refused("a branch `task` leaves no room for `task/1`; rename it".into());
            }
            planned(&tree)?;
            Workspace::open(self.root.join(&self.inside))?.own_dir(FOLDER)?;
            let branch = repo.reference(&tree.reference(), self.commit, false, &tree.mark)?;
            let mut options = WorktreeAddOptions::new();
            let options = options.reference(Some(&branch));
            if let Err(error) = repo.worktree(&tree.name, &tree.path, Some(options)) {
                let _ = tree.discard();
                return Err(error.into());
            }
            let _ = fs::create_dir_all(&tree.cwd); // git knows no empty folders
            made = Some(tree);
            Ok::<_, WorktreeError>(format!("{number}\n").into_bytes())
        })?;
        made.map_or_else(|| refused("no tree was made".to_owned()), Ok)
    }

    fn plan(&self, number: u32) -> Worktree {
        let (name, branch) = (format!("task-{number}"), format!("task/{number}"));
        let path = self.root.join(&self.inside).join(FOLDER).join(&name);
        let cwd = path.join(&self.inside).components().collect();
        let mark = format!("harness: {branch} begins ({})", ids::fresh(|_| false));
        Worktree {
            name,
            branch,
            path,
            cwd,
            base: self.commit.to_string(),
            root: self.root.clone(),
            mark,
        }
    }
}

impl Worktree {
    /// Ends the work. What was left is committed, the branch is kept. Only a tree in which nothing is that
    /// is not elsewhere too is removed, and its branch with it. Returns how many commits there are.
    ///
    /// # Errors
    /// Git or the file system says no; everything stays where it is.
    pub fn finish(&self, message: &str) -> Result<Option<usize>> {
        if self.path.exists() {
            self.commit(&self.open()?, message)?;
        }
        if self.discard()? {
            return Ok(None);
        }
        let repo = Repository::open(&self.root)?;
        let tip = repo.find_reference(&self.reference())?.peel_to_commit()?;
        Ok(Some(repo.graph_ahead_behind(tip.id(), Oid::from_str(&self.base)?)?.0))
    }

    /// The tree's own repository. A folder whose `.git` is gone is not looked at: git would find the
    /// user's checkout above it, and commit there.
    ///
    /// # Errors
    /// It is not the tree that was made.
    pub fn open(&self) -> Result<Repository> {
        let repo = Repository::open(&self.path)?;
        match repo.is_worktree() {
            true => Ok(repo),
            false => refused("the folder is a repository of its own by now".to_owned()),
        }
    }

    /// Commits what is there. No hook runs and nothing is signed: a hook that fails, or a key that asks for
    /// its password, would leave the work uncommitted.
    fn commit(&self, repo: &Repository, message: &str) -> Result<()> {
        let state = repo.state();
        if state != RepositoryState::Clean {
            return refused(format!("git is in the middle of something there ({state:?})"));
        }
        let mut index = repo.index()?;
        // A folder here is a repository inside this one, and its work is its own.
        let mut files_only = |path: &Path, _: &[u8]| i32::from(self.path.join(path).is_dir());
        index.add_all(["*"], IndexAddOption::DEFAULT, Some(&mut files_only))?;
        let (tree, head) = (index.write_tree()?, repo.head()?.peel_to_commit()?);
        if tree == head.tree_id() {
            return Ok(());
        }
        index.write()?;
        let who = repo.signature().or_else(|_| Signature::now("harness", "harness@localhost"))?;
        repo.commit(Some("HEAD"), &who, &who, message, &repo.find_tree(tree)?, &[&head])?;
        Ok(())
    }

    /// Removes tree and branch if they are proven empty, and says whether it did. Git's own pruning does
    /// not look.
    ///
    /// # Errors
    /// Git says no, or the tree is locked.
    pub fn discard(&self) -> Result<bool> {
        let repo = Repository::open(&self.root)?;
        let branch = repo.find_branch(&self.branch, BranchType::Local).ok();
        // A commit that was made and undone is in the branch's log alone, and the log goes with the branch.
        let unused = branch
            .as_ref()
            .is_none_or(|branch| branch.get().target() == Oid::from_str(&self.base).ok())
            && repo.reflog(&self.reference())?.len() <= 1;
        if !unused || self.path.exists() && !self.is_empty(&self.open()?)? {
            return Ok(false);
        }
        if let Ok(tree) = repo.find_worktree(&self.name) {
            if let WorktreeLockStatus::Locked(_) = tree.is_locked()? {
                return refused(format!("{} is locked, so it is kept", self.name));
            }
            let mut options = WorktreePruneOptions::new();
            tree.prune(Some(options.valid(true).working_tree(true)))?;
        }
        // Fails if the branch has moved since it was read, or is somebody's HEAD.
        branch.map_or(Ok(()), |mut branch| branch.delete())?;
        Ok(true)
    }

    /// Nothing is in the folder that is not in the commit it began at. The disk is compared with the commit
    /// itself, ignored files and all: the index can be told to overlook changes. What the harness keeps there
    /// of its own (checkpoints, output) is nobody's work.
    ///
    /// # Errors
    /// Git cannot read it.
    pub fn is_empty(&self, repo: &Repository) -> Result<bool> {
        let at_home = repo.head()?.name()? == self.reference();
        let submodules = repo.path().join("modules").exists();
        let mut all = DiffOptions::new();
        all.include_untracked(true).recurse_untracked_dirs(true);
        all.include_ignored(true).recurse_ignored_dirs(true);
        let began = repo.revparse_single(&self.base)?.peel_to_tree()?;
        let diff = repo.diff_tree_to_workdir(Some(&began), Some(&mut all))?;
        let is_own = |file: DiffFile<'_>| {
            file.path().is_some_and(|it| it.starts_with(own_paths::STATE.name))
        };
        let same = diff.deltas().all(|it| is_own(it.old_file()) && is_own(it.new_file()));
        Ok(at_home && same && !submodules && repo.state() == RepositoryState::Clean)
    }

    /// The branch's full name.
    pub fn reference(&self) -> String {
        format!("refs/heads/{}", self.branch)
    }
}
