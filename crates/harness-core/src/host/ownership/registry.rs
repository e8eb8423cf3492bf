//! Work that runs of a program have begun, in one list on disk, so that a later run can finish what one that
//! was killed left behind.
//!
//! The work names itself and stays in the list when it is over. (Records that are given a number, and are
//! dropped after a while, are in [`numbered`](super::numbered).)

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::RunLock;
use crate::host::ids;
use crate::host::mutex::Mutex;
use crate::host::state::{StateError, StateFile};
use crate::host::workspace::{Workspace, WorkspaceError, error};

/// Work that can be listed in a [`Registry`].
pub trait RegisteredWork: Clone + Serialize + DeserializeOwned {
    /// Its name, which no other work in the registry has.
    fn key(&self) -> &str;

    /// Whether it has come to an end, so that no later run has to take it over.
    fn is_over(&self) -> bool;
}

/// The list, shared by all runs in a workspace. A clone belongs to the same run.
#[derive(Clone, Debug)]
pub struct Registry<T> {
    file: StateFile<Vec<Entry<T>>>,
    /// The folder of the runs' locks, each named by the run's id.
    runs: PathBuf,
    run: String,
    /// The lock of this run, taken with its first entry.
    lock: Arc<Mutex<Option<RunLock>>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry<T> {
    run: String,
    #[serde(flatten)]
    value: T,
}

/// Work whose run is gone. No other run takes it over while this value is held.
#[derive(Clone, Debug)]
pub struct Orphan<T> {
    /// The work.
    pub value: T,
    _lock: Arc<RunLock>,
}

impl<T: RegisteredWork> Registry<T> {
    /// Opens the list `.harness/<name>.json` of a workspace for a new run.
    ///
    /// # Errors
    /// The workspace cannot be written.
    pub fn open(cwd: &Path, name: &str) -> Result<Self, WorkspaceError> {
        let folder = Workspace::open(cwd)?.state_dir()?;
        let runs = folder.join("runs");
        fs::create_dir_all(&runs).map_err(|source| error("make", &runs, source))?;
        let file = StateFile::new(folder.join(format!("{name}.json")));
        Ok(Self { file, runs, run: ids::fresh(|_| false), lock: Arc::default() })
    }

    /// All work in the list, in the order in which it was begun.
    ///
    /// # Errors
    /// Those of [`StateFile::load`].
    pub fn all(&self) -> Result<Vec<T>, StateError> {
        Ok(self.file.load()?.into_iter().map(|entry| entry.value).collect())
    }

    /// Adds work, or replaces what the list says of it. From now on it belongs to this run.
    ///
    /// # Errors
    /// Those of [`StateFile::change`].
    pub fn put(&self, value: &T) -> Result<(), StateError> {
        let mut lock = self.lock.lock();
        if lock.is_none() {
            *lock = Some(RunLock::acquire(self.runs.join(&self.run))?);
        }
        drop(lock);
        let entry = Entry { run: self.run.clone(), value: value.clone() };
        self.change(value.key(), Some(entry))
    }

    /// Removes work from the list, if it is there.
    ///
    /// # Errors
    /// Those of [`StateFile::change`].
    pub fn remove(&self, key: &str) -> Result<(), StateError> {
        self.change(key, None)
    }

    /// Puts an entry, or nothing, in the place of the one with this key.
    fn change(&self, key: &str, entry: Option<Entry<T>>) -> Result<(), StateError> {
        self.file.change(|all| {
            let at = all.iter().position(|entry| entry.value.key() == key).unwrap_or(all.len());
            all.splice(at..all.len().min(at + 1), entry);
            Ok(())
        })
    }

    /// Takes over the unfinished work of runs that are gone.
    ///
    /// # Errors
    /// Those of [`StateFile::load`].
    pub fn orphans(&self) -> Result<Vec<Orphan<T>>, StateError> {
        // One lock for all the work of a run.
        let mut taken = HashMap::<String, Option<Arc<RunLock>>>::new();
        let mut orphans = Vec::new();
        for Entry { run, value } in self.file.load()? {
            if run == self.run || value.is_over() {
                continue;
            }
            let lock = taken.entry(run).or_insert_with_key(|run| self.take_over(run).map(Arc::new));
            if let Some(lock) = lock {
                orphans.push(Orphan { value, _lock: lock.clone() });
            }
        }
        Ok(orphans)
    }

    /// The lock of a run that is gone. A run that is alive is not waited for.
    fn take_over(&self, run: &str) -> Option<RunLock> {
        if !ids::is_id(run) {
            return None; // written by hand: it could name any file
        }
        let path = self.runs.join(run);
        if RunLock::is_alive(&path) {
            return None;
        }
        RunLock::acquire(path).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Job {
        name: String,
        over: bool,
    }

    impl RegisteredWork for Job {
        fn key(&self) -> &str {
            &self.name
        }

        fn is_over(&self) -> bool {
            self.over
        }
    }

    fn job(name: &str, over: bool) -> Job {
        Job { name: name.to_owned(), over }
    }

    fn orphans(registry: &Registry<Job>) -> Vec<Job> {
        registry.orphans().unwrap().into_iter().map(|orphan| orphan.value).collect()
    }

    #[test]
    fn only_what_a_dead_run_left_unfinished_is_taken_up_and_by_one_run_alone() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Registry::<Job>::open(folder.path(), "jobs").unwrap();
        let (first, second, third) = (open(), open(), open());
        for (name, over) in [("a", false), ("b", false), ("a", true), ("c", false)] {
            first.put(&job(name, over)).unwrap();
        }
        assert_eq!(orphans(&first), []);
        assert_eq!(orphans(&second), [], "its run is alive");
        let still = first.clone();
        drop(first);
        assert_eq!(orphans(&second), [], "a clone is the same run");
        drop(still);
        let taken = second.orphans().unwrap();
        assert_eq!(taken.len(), 2);
        assert_eq!(orphans(&third), [], "another run has taken it up");
        second.put(&job("b", true)).unwrap();
        second.remove("c").unwrap();
        second.remove("no such").unwrap();
        drop(taken);
        assert_eq!(orphans(&third), []);
        assert_eq!(third.all().unwrap(), [job("a", true), job("b", true)]);
    }
}
