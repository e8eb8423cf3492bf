//! Numbers that are given once: files and records named `task-1`, `task-2` …
//!
//! The new file is the claim: of two processes only one can create it. A record also has an owner, for what
//! has to be found again after its process was killed, such as a command that still runs. `task-1.json` is
//! the record, `task-1.lock` its owner's [`RunLock`], and other files may stand beside them under the same
//! name.

use std::fs::{self, File};
use std::io;
use std::marker::PhantomData;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use serde::{Serialize, de::DeserializeOwned};

use super::RunLock;
use crate::host::state::{StateError, StateFile};
use crate::host::workspace::{PRIVATE, WorkspaceError, error, files, replace};

/// How many closed records are kept, with the files beside them.
const MAX_CLOSED: usize = 50;

/// Creates an empty private file under the first number from `first` on whose file does not exist yet.
/// Returns the number.
pub(crate) fn create_first_free(
    first: u64,
    path_of: impl Fn(u64) -> PathBuf,
) -> Result<u64, WorkspaceError> {
    let mut number = first;
    loop {
        let path = path_of(number);
        let mut options = File::options();
        options.write(true).create_new(true).mode(PRIVATE);
        let failed = |source| error("write", &path, source);
        match options.open(&path) {
            Ok(_) => return Ok(number),
            Err(taken) if taken.kind() == io::ErrorKind::AlreadyExists => {
                let no_number_left = || failed(io::Error::other("no number is left"));
                number = number.checked_add(1).ok_or_else(no_number_left)?;
            }
            Err(source) => return Err(failed(source)),
        }
    }
}

/// A folder of numbered records of one kind. A clone is cheap.
#[derive(Debug)]
pub struct NumberedRecords<T> {
    folder: PathBuf,
    kind: &'static str,
    record: PhantomData<fn() -> T>,
}

/// A number that belongs to this process until this value is dropped.
#[derive(Debug)]
pub struct OwnedNumber {
    /// The name of its record: `task-1`. Safe as the name of a file.
    pub id: String,
    _lock: RunLock,
}

/// What earlier runs left behind.
#[derive(Debug)]
pub struct Leftovers<T> {
    /// The open records whose owner is gone, oldest first. They belong to this process now.
    pub orphans: Vec<(OwnedNumber, T)>,
    /// The records that cannot be read; their files stay as they are.
    pub faults: Vec<StateError>,
}

impl<T> Clone for NumberedRecords<T> {
    fn clone(&self) -> Self {
        Self { folder: self.folder.clone(), kind: self.kind, record: PhantomData }
    }
}

impl<T: Default + Serialize + DeserializeOwned> NumberedRecords<T> {
    /// Names the folder, which is made by the first claim, and the kind that the records' names begin with.
    pub fn new(folder: impl Into<PathBuf>, kind: &'static str) -> Self {
        Self { folder: folder.into(), kind, record: PhantomData }
    }

    /// The path of a file beside a record: `task-1.log`.
    pub fn path(&self, id: &str, extension: &str) -> PathBuf {
        self.folder.join(format!("{id}.{extension}"))
    }

    /// Claims a number that none of these records has had. Nothing is saved yet.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn claim(&self) -> Result<OwnedNumber, WorkspaceError> {
        let failed = |source| error("write", &self.folder, source);
        fs::create_dir_all(&self.folder).map_err(failed)?;
        let locks = files(&self.folder, ".lock")?;
        let highest = locks.iter().filter_map(|lock| self.number(&lock.name)).max();
        let first = highest.map_or(1, |highest| highest.saturating_add(1));
        let number = create_first_free(first, |number| self.path(&self.id(number), "lock"))?;
        let id = self.id(number);
        let lock = RunLock::acquire(self.path(&id, "lock"))?;
        Ok(OwnedNumber { id, _lock: lock })
    }

    fn id(&self, number: u64) -> String {
        format!("{}-{number}", self.kind)
    }

    fn number(&self, id: &str) -> Option<u64> {
        id.strip_prefix(self.kind)?.strip_prefix('-')?.parse().ok()
    }

    /// Saves a record. It is on disk when this returns.
    ///
    /// # Errors
    /// It cannot be written; the old one stays.
    pub fn save(&self, id: &str, record: &T) -> Result<(), WorkspaceError> {
        let path = self.path(id, "json");
        let text = serde_json::to_vec(record).map_err(|invalid| {
            let source = io::Error::new(io::ErrorKind::InvalidData, invalid);
            error("write", &path, source)
        })?;
        replace(path, &text)
    }

    /// Takes over the records that are open and whose owner is gone. Of the closed ones the 50 that were
    /// changed last are kept; the others are deleted, with the files beside them.
    ///
    /// # Errors
    /// The folder cannot be read. A record that cannot be read is among the
    /// [`faults`](Leftovers::faults) instead.
    pub fn take_over(&self, is_open: impl Fn(&T) -> bool) -> Result<Leftovers<T>, WorkspaceError> {
        let mut left = Leftovers { orphans: Vec::new(), faults: Vec::new() };
        let mut closed = 0;
        for file in files(&self.folder, ".json")? {
            let id = file.name;
            let record = match StateFile::<T>::new(self.path(&id, "json")).load() {
                Ok(record) => record,
                Err(fault) => {
                    left.faults.push(fault);
                    continue;
                }
            };
            if is_open(&record) {
                // Where the lock is held, its owner is alive.
                if let Ok(lock) = RunLock::acquire(self.path(&id, "lock")) {
                    left.orphans.push((OwnedNumber { id, _lock: lock }, record));
                }
                continue;
            }
            closed += 1;
            if closed > MAX_CLOSED {
                self.delete(&id)?;
            }
        }
        left.orphans.reverse(); // the files came newest first
        Ok(left)
    }

    /// Deletes a record and the files beside it.
    fn delete(&self, id: &str) -> Result<(), WorkspaceError> {
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

    fn records(folder: &tempfile::TempDir) -> NumberedRecords<Vec<u32>> {
        NumberedRecords::new(folder.path().join("new"), "task")
    }

    fn orphans(records: &NumberedRecords<Vec<u32>>) -> Vec<String> {
        let left = records.take_over(|record| record.is_empty()).unwrap();
        left.orphans.iter().map(|(owned, _)| owned.id.clone()).collect()
    }

    #[test]
    fn a_record_belongs_to_its_owner_as_long_as_that_lives() {
        let folder = tempfile::tempdir().unwrap();
        let records = records(&folder);
        assert!(orphans(&records).is_empty());
        let one = records.claim().unwrap();
        let two = records.claim().unwrap();
        assert_eq!(one.id, "task-1");
        assert_eq!(two.id, "task-2");
        records.save("task-1", &vec![]).unwrap();
        records.save("task-2", &vec![]).unwrap();
        assert!(orphans(&records).is_empty());
        drop(one);
        assert_eq!(orphans(&records), ["task-1"]);
        drop(two);
        records.save("task-1", &vec![7]).unwrap();
        assert_eq!(orphans(&records), ["task-2"]);
        assert_eq!(records.claim().unwrap().id, "task-3", "a number is given once");
    }

    #[test]
    fn a_record_that_cannot_be_read_is_named_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let records = records(&folder);
        drop(records.claim().unwrap());
        for text in ["", "[1, 2", "{\"a\": 1}", "\0\0"] {
            fs::write(records.path("task-1", "json"), text).unwrap();
            let left = records.take_over(|_| true).unwrap();
            assert!(left.orphans.is_empty());
            assert!(left.faults[0].to_string().contains("task-1.json\" is damaged"));
            assert_eq!(fs::read_to_string(records.path("task-1", "json")).unwrap(), text);
        }
    }

    #[test]
    fn of_the_closed_records_the_last_fifty_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let records = records(&folder);
        for n in 0..MAX_CLOSED as u32 + 3 {
            let owned = records.claim().unwrap();
            fs::write(records.path(&owned.id, "log"), "x").unwrap();
            records.save(&owned.id, &vec![n]).unwrap();
        }
        assert!(orphans(&records).is_empty());
        let kept = fs::read_dir(records.folder.clone()).unwrap().count();
        assert_eq!(kept, 3 * MAX_CLOSED);
        assert!(records.path("task-53", "log").exists());
        assert!(!records.path("task-3", "lock").exists());
        assert_eq!(records.claim().unwrap().id, "task-54");
    }

    #[test]
    fn when_the_last_number_is_taken_the_next_claim_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let records = records(&folder);
        drop(records.claim().unwrap());
        let last = records.path(&format!("task-{}", u64::MAX), "lock");
        fs::write(&last, "").unwrap();
        assert!(matches!(records.claim(), Err(WorkspaceError::Io { path, .. }) if path == last));
    }
}
