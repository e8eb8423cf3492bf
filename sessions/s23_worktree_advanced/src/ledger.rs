//! What became of each tree: on disk before the next step is taken, and taken up again after a kill.

use std::fs;
use std::path::{Path, PathBuf};

use git2::{BranchType, Delta, DiffOptions, Oid, Repository};
use harness_core::host::ownership::registry::{RegisteredWork, Registry};
use s12_worktree_task_isolation::{Base, Made, TaskProgress, TaskState, Worktree, WorktreeError};
use serde::{Deserialize, Serialize};

/// A task and its tree.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tracked {
    /// The tree.
    pub tree: Worktree,
    /// The task, as it was given.
    pub task: String,
    /// How far it has come.
    pub state: TaskState,
}

impl RegisteredWork for Tracked {
    fn key(&self) -> &str {
        &self.tree.mark
    }

    fn is_over(&self) -> bool {
        self.state >= TaskState::Committed
    }
}

/// All trees of a workspace, in `.harness/worktrees.json`.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub(crate) registry: Registry<Tracked>,
    cwd: PathBuf,
}

impl TaskProgress for Ledger {
    fn reached(&self, tree: &Worktree, task: &str, state: TaskState) -> Made<()> {
        self.repository()?;
        let (tree, task) = (tree.clone(), task.to_owned());
        self.registry.put(&Tracked { tree, task, state }).map_err(refused)
    }
}

impl Ledger {
    /// For this run of the program.
    ///
    /// # Errors
    /// The workspace cannot be written.
    pub fn open(cwd: &Path) -> Made<Self> {
        Ok(Self { registry: Registry::open(cwd, "worktrees")?, cwd: cwd.to_owned() })
    }

    /// The repository that the workspace is in.
    ///
    /// # Errors
    /// Those of [`Base::find`], or its trees cannot be written down.
    pub fn repository(&self) -> Made<Repository> {
        let root = Base::find(&self.cwd)?.root;
        let told = format!("{} is no UTF-8, and the list of trees is; rename it", root.display());
        root.to_str().ok_or_else(|| refused(told))?;
        Ok(Repository::open(&root)?)
    }

    /// The trees, oldest first. What was merged or deleted meanwhile, by whomever, is seen here.
    ///
    /// # Errors
    /// The list is damaged.
    pub fn all(&self) -> Made<Vec<Tracked>> {
        let mut all = self.registry.all().map_err(refused)?;
        for tracked in all.iter_mut().filter(|tracked| tracked.is_over()) {
            let now = tracked.seen().unwrap_or(tracked.state);
            if now != tracked.state {
                tracked.state = now;
                self.registry.put(tracked).map_err(refused)?;
            }
        }
        Ok(all)
    }

    /// Takes up what runs left that were killed: what is half made is removed, work is committed. Returns
    /// what there is to tell.
    ///
    /// # Errors
    /// The list is damaged.
    pub fn recover(&self) -> Made<Vec<String>> {
        let mut told = Vec::new();
        for orphan in self.registry.orphans().map_err(refused)? {
            let mut task = orphan.value.clone();
            let (name, was, now) = (task.tree.name.clone(), task.state, task.recovered());
            let what = match &now {
                Ok(TaskState::Committed) => format!("its work is on {}", task.tree.branch),
                Ok(_) => "there was nothing in it".to_owned(),
                Err(error) => format!("{error}; look at {}", task.tree.path.display()),
            };
            told.push(format!("{name} was {was:?} when its run was killed: {what}"));
            if let Ok(now) = now {
                task.state = now;
                self.registry.put(&task).map_err(refused)?;
            }
        }
        Ok(told)
    }
}

impl Tracked {
    /// The tip of its branch, if there is one.
    ///
    /// # Errors
    /// The branch is not ours: its log does not begin with the entry that was made with it.
    pub fn tip(&self, repo: &Repository) -> Made<Option<Oid>> {
        let Ok(branch) = repo.find_branch(&self.tree.branch, BranchType::Local) else {
            return Ok(None);
        };
        let log = repo.reflog(&self.tree.reference())?;
        let first = log.iter().next_back();
        if first.is_none_or(|it| it.message_bytes() != Some(self.tree.mark.as_bytes())) {
            return Err(refused(format!("the branch {} is not ours", self.tree.branch)));
        }
        Ok(branch.get().target())
    }

    /// The tip of its branch, if anything was done there.
    ///
    /// # Errors
    /// Those of [`Tracked::tip`].
    pub fn work(&self, repo: &Repository) -> Made<Option<Oid>> {
        Ok(self.tip(repo)?.filter(|tip| tip.to_string() != self.tree.base))
    }

    /// What git says of it now: whether its work is in HEAD or in an integration branch.
    fn seen(&self) -> Made<TaskState> {
        let repo = Repository::open(&self.tree.root)?;
        let mut into = vec![repo.head()?.peel_to_commit()?.id()];
        for branch in repo.references_glob("refs/heads/integration/*")? {
            into.extend(branch?.target());
        }
        let is_in = |tip| into.iter().any(|&it| repo.merge_base(it, tip) == Ok(tip));
        Ok(match (self.work(&repo)?, self.tip(&repo)?) {
            (_, None) => TaskState::Abandoned,
            (Some(tip), _) if is_in(tip) => TaskState::Integrated,
            _ => TaskState::Committed,
        })
    }

    /// Brings a task of a killed run to an end.
    fn recovered(&self) -> Made<TaskState> {
        let (tree, repo) = (&self.tree, Repository::open(&self.tree.root)?);
        self.tip(&repo)?;
        let admin = repo.commondir().join("worktrees").join(&tree.name);
        if self.state == TaskState::Finished {
            // Nobody but us was at work on it then: what is locked there, the dead run has locked.
            let branch = repo.commondir().join(format!("{}.lock", tree.reference()));
            for lock in [admin.join("index.lock"), admin.join("HEAD.lock"), branch] {
                let _ = fs::remove_file(lock);
            }
        }
        let made = repo.find_worktree(&tree.name).is_ok();
        if self.state == TaskState::Created || self.state == TaskState::Finished && !made {
            // Half made, or half removed after it was proven empty: only parts of its commit can be in it.
            if tree.path.exists() && !self.is_remnant()? {
                return Err(refused("in its folder is what is not of its commit"));
            }
            let _ = fs::remove_dir_all(&tree.path);
            let _ = fs::remove_dir_all(&admin);
        }
        let left = tree.finish(&self.task)?;
        Ok(if left.is_some() { TaskState::Committed } else { TaskState::Abandoned })
    }

    /// All that is in the folder is in the commit. Of a tree that was being made the beginning of a file is
    /// enough.
    fn is_remnant(&self) -> Made<bool> {
        let repo = Repository::open(&self.tree.root)?;
        repo.set_workdir(&self.tree.path, false)?; // for this value only
        let mut all = DiffOptions::new();
        all.include_untracked(true).include_ignored(true);
        let began = repo.revparse_single(&self.tree.base)?.peel_to_tree()?;
        let diff = repo.diff_tree_to_workdir(Some(&began), Some(&mut all))?;
        Ok(diff.deltas().all(|delta| match delta.status() {
            Delta::Deleted => true,
            Delta::Modified if self.state == TaskState::Created => {
                let whole = repo.find_blob(delta.old_file().id()).map_or(0, |blob| blob.size());
                delta.new_file().size() < whole as u64
            }
            _ => false,
        }))
    }
}

pub(crate) fn refused(why: impl ToString) -> WorktreeError {
    WorktreeError::Refused(why.to_string())
}
