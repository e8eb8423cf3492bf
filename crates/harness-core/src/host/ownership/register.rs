//! What the runs of a program have begun, in one list on disk, so that a later run can take up what one left
//! when it was killed. What was begun has a name of its own and stays in the list when it is over; the
//! [`shelf`](super::shelf) gives the names itself, a file each, and keeps the last ones.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::host::ids;
use crate::host::mutex::Mutex;
use crate::host::state::{StateError, StateFile};
use crate::host::workspace;
use crate::host::workspace::{Held, Workspace, WorkspaceError};

/// Something that can be begun.
pub trait Begun: Clone + Serialize + DeserializeOwned {
    /// What no other has.
    fn key(&self) -> &str;

    /// Whether it has come to an end, so that no later run has to take it up.
    fn is_over(&self) -> bool;
}

/// The list, shared by all runs in a workspace. A clone belongs to the same run.
#[derive(Clone, Debug)]
pub struct Register<T> {
    file: StateFile<Vec<Entry<T>>>,
    runs: PathBuf,
    run: String,
    /// Held from the first entry of this run on: the system gives it back, however the run ends.
    alive: Arc<Mutex<Option<Held>>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry<T> {
    run: String,
    #[serde(flatten)]
    value: T,
}

/// What was left by a run that is no more. Nobody else takes it up as long as this is held.
#[derive(Clone, Debug)]
pub struct Orphan<T> {
    /// What it is.
    pub value: T,
    _held: Arc<Held>,
}

impl<T: Begun> Register<T> {
    /// Names the list `.harness/<name>.json` of a workspace, for this run.
    ///
    /// # Errors
    /// The workspace cannot be written.
    pub fn open(cwd: &Path, name: &str) -> Result<Self, WorkspaceError> {
        let folder = Workspace::open(cwd)?.state_dir()?;
        let runs = folder.join("runs");
        let failed = |source| WorkspaceError::Io { action: "make", path: runs.clone(), source };
        fs::create_dir_all(&runs).map_err(failed)?;
        let file = StateFile::new(folder.join(format!("{name}.json")));
        Ok(Self { file, runs, run: ids::fresh(|_| false), alive: Arc::default() })
    }

    /// All there is, in the order in which it was begun.
    ///
    /// # Errors
    /// Those of [`StateFile::load`].
    pub fn all(&self) -> Result<Vec<T>, StateError> {
        Ok(self.file.load()?.into_iter().map(|entry| entry.value).collect())
    }

    /// Writes down what has become of one. From now on it is this run's.
    ///
    /// # Errors
    /// Those of [`StateFile::change`].
    pub fn put(&self, value: &T) -> Result<(), StateError> {
        let mut alive = self.alive.lock();
        if alive.is_none() {
            *alive = Some(workspace::hold(self.runs.join(&self.run))?);
        }
        drop(alive);
        let entry = Entry { run: self.run.clone(), value: value.clone() };
        self.change(value.key(), Some(entry))
    }

    /// Takes one from the list.
    ///
    /// # Errors
    /// Those of [`StateFile::change`].
    pub fn forget(&self, key: &str) -> Result<(), StateError> {
        self.change(key, None)
    }

    fn change(&self, key: &str, entry: Option<Entry<T>>) -> Result<(), StateError> {
        self.file.change(|all| {
            let at = all.iter().position(|entry| entry.value.key() == key).unwrap_or(all.len());
            all.splice(at..all.len().min(at + 1), entry);
            Ok(())
        })
    }

    /// What is not over, of runs that are.
    ///
    /// # Errors
    /// Those of [`StateFile::load`].
    pub fn orphans(&self) -> Result<Vec<Orphan<T>>, StateError> {
        let mut dead = HashMap::<String, Option<Arc<Held>>>::new();
        let mut orphan = |Entry { run, value }: Entry<T>| {
            if run == self.run || value.is_over() {
                return None;
            }
            let take = |run: &String| {
                let lock = self.runs.join(run);
                // Only what is an id is a file of ours; and who lives is not waited for.
                let free = ids::is_id(run) && !workspace::is_held(&lock);
                free.then(|| workspace::hold(lock).ok().map(Arc::new)).flatten()
            };
            let held = dead.entry(run).or_insert_with_key(take).clone();
            held.map(|_held| Orphan { value, _held })
        };
        Ok(self.file.load()?.into_iter().filter_map(&mut orphan).collect())
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

    impl Begun for Job {
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

    fn orphans(register: &Register<Job>) -> Vec<Job> {
        register.orphans().unwrap().into_iter().map(|orphan| orphan.value).collect()
    }

    #[test]
    fn only_what_a_dead_run_left_unfinished_is_taken_up_and_by_one_run_alone() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Register::<Job>::open(folder.path(), "jobs").unwrap();
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
        second.forget("c").unwrap();
        second.forget("no such").unwrap();
        drop(taken);
        assert_eq!(orphans(&third), []);
        assert_eq!(third.all().unwrap(), [job("a", true), job("b", true)]);
    }
}
