//! Numbered records in a folder, each of which belongs to a process as long as that lives.
//!
//! For what has to be found again when its process was killed: a command that still runs, a folder that
//! was made for a task. `task-1.json` is a record, `task-1.lock` is held by its owner, and other files may
//! stand beside them under the same name. The kernel gives the lock back however the owner has ended.

use std::fs::{self, OpenOptions};
use std::io;
use std::marker::PhantomData;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use serde::{Serialize, de::DeserializeOwned};

use crate::host::state::{StateError, StateFile};
use crate::host::workspace::{Held, WorkspaceError, files, hold, replace};

/// So many records that nobody needs any more are kept, with the files beside them.
const KEPT: usize = 50;

/// A folder of records of one kind. A clone is cheap.
#[derive(Debug)]
pub struct Shelf<T> {
    folder: PathBuf,
    kind: &'static str,
    record: PhantomData<fn() -> T>,
}

/// A record that is this process's own until this is dropped.
#[derive(Debug)]
pub struct Owned {
    /// What it is called: `task-1`. Good as the name of a file.
    pub id: String,
    _lock: Held,
}

/// What the processes before this one have left.
#[derive(Debug)]
pub struct Left<T> {
    /// The records of owners that are no more, the oldest first. They are ours now.
    pub orphans: Vec<(Owned, T)>,
    /// Records that cannot be read. They are named and kept.
    pub faults: Vec<StateError>,
}

impl<T> Clone for Shelf<T> {
    fn clone(&self) -> Self {
        Self { folder: self.folder.clone(), kind: self.kind, record: PhantomData }
    }
}

impl<T: Default + Serialize + DeserializeOwned> Shelf<T> {
    /// Names a folder, which is made when it is needed, and what its records are called.
    pub fn new(folder: impl Into<PathBuf>, kind: &'static str) -> Self {
        Self { folder: folder.into(), kind, record: PhantomData }
    }

    /// A file beside a record.
    pub fn path(&self, id: &str, ending: &str) -> PathBuf {
        self.folder.join(format!("{id}.{ending}"))
    }

    /// Begins a record under a number that none here has had. The new lock file is the claim: of two
    /// processes only one can make it.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn claim(&self) -> Result<Owned, WorkspaceError> {
        let failed =
            |source| WorkspaceError::Io { action: "write", path: self.folder.clone(), source };
        fs::create_dir_all(&self.folder).map_err(failed)?;
        let number = |name: &str| name.strip_prefix(self.kind)?.strip_prefix('-')?.parse().ok();
        let taken = files(&self.folder, ".lock")?;
        let mut number = taken.iter().filter_map(|it| number(&it.name)).max().unwrap_or(0_u64);
        loop {
            number = number.saturating_add(1);
            let id = format!("{}-{number}", self.kind);
            let path = self.path(&id, "lock");
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(error)),
                Ok(_) => return Ok(Owned { id, _lock: hold(path)? }),
            }
        }
    }

    /// Writes a record; it is on disk when this returns.
    ///
    /// # Errors
    /// It cannot be written; the old one stays.
    pub fn save(&self, id: &str, record: &T) -> Result<(), WorkspaceError> {
        let path = self.path(id, "json");
        let text = serde_json::to_vec(record).map_err(|error| {
            let source = io::Error::new(io::ErrorKind::InvalidData, error);
            WorkspaceError::Io { action: "write", path: path.clone(), source }
        })?;
        replace(path, &text)
    }

    /// Takes over the records that are `open` and whose owner is no more. Of the others the last 50 are
    /// kept.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn left(&self, open: impl Fn(&T) -> bool) -> Result<Left<T>, WorkspaceError> {
        let (mut orphans, mut faults, mut closed) = (Vec::new(), Vec::new(), 0);
        for file in files(&self.folder, ".json")? {
            let id = file.name;
            match StateFile::<T>::new(self.path(&id, "json")).load() {
                Err(fault) => faults.push(fault),
                Ok(record) if open(&record) => {
                    // Else it is somebody's who lives.
                    if let Ok(lock) = hold(self.path(&id, "lock")) {
                        orphans.push((Owned { id, _lock: lock }, record));
                    }
                }
                Ok(_) => {
                    closed += 1;
                    if closed > KEPT {
                        self.remove(&id)?;
                    }
                }
            }
        }
        orphans.reverse();
        Ok(Left { orphans, faults })
    }

    /// Removes a record and the files beside it.
    fn remove(&self, id: &str) -> Result<(), WorkspaceError> {
        for file in files(&self.folder, "")? {
            if file.name.strip_prefix(id).is_some_and(|rest| rest.starts_with('.')) {
                let _ = fs::remove_file(self.folder.join(&file.name)); // it may be gone already
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shelf(folder: &tempfile::TempDir) -> Shelf<Vec<u32>> {
        Shelf::new(folder.path().join("new"), "task")
    }

    fn orphans(shelf: &Shelf<Vec<u32>>) -> Vec<String> {
        let left = shelf.left(|record| record.is_empty()).unwrap();
        left.orphans.iter().map(|(owned, _)| owned.id.clone()).collect()
    }

    #[test]
    fn a_record_belongs_to_its_owner_as_long_as_that_lives() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = shelf(&folder);
        assert!(orphans(&shelf).is_empty());
        let (one, two) = (shelf.claim().unwrap(), shelf.claim().unwrap());
        assert_eq!((one.id.as_str(), two.id.as_str()), ("task-1", "task-2"));
        shelf.save("task-1", &vec![]).unwrap();
        shelf.save("task-2", &vec![]).unwrap();
        assert!(orphans(&shelf).is_empty());
        drop(one);
        assert_eq!(orphans(&shelf), ["task-1"]);
        drop(two);
        shelf.save("task-1", &vec![7]).unwrap();
        assert_eq!(orphans(&shelf), ["task-2"]);
        assert_eq!(shelf.claim().unwrap().id, "task-3", "a number is given once");
    }

    #[test]
    fn what_cannot_be_read_is_named_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = shelf(&folder);
        drop(shelf.claim().unwrap());
        for text in ["", "[1, 2", "{\"a\": 1}", "\0\0"] {
            fs::write(shelf.path("task-1", "json"), text).unwrap();
            let left = shelf.left(|_| true).unwrap();
            assert!(left.orphans.is_empty());
            assert!(left.faults[0].to_string().contains("task-1.json\" is damaged"));
            assert_eq!(fs::read_to_string(shelf.path("task-1", "json")).unwrap(), text);
        }
    }

    #[test]
    fn of_what_nobody_needs_the_last_ones_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = shelf(&folder);
        for n in 0..KEPT as u32 + 3 {
            let owned = shelf.claim().unwrap();
            fs::write(shelf.path(&owned.id, "log"), "x").unwrap();
            shelf.save(&owned.id, &vec![n]).unwrap();
        }
        assert!(orphans(&shelf).is_empty());
        let kept = fs::read_dir(shelf.folder.clone()).unwrap().count();
        assert_eq!(kept, 3 * KEPT);
        assert!(shelf.path("task-53", "log").exists() && !shelf.path("task-3", "lock").exists());
        assert_eq!(shelf.claim().unwrap().id, "task-54");
    }
}
