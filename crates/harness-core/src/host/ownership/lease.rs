//! Leases: who works on what, as long as he lives and says so.
//!
//! A claim that is only a word in a file stays when its owner is gone. So an owner holds a lock, which the
//! kernel gives back when its process ends, and says from time to time that it still works: a lease that
//! was not renewed for its length is over too, since a process can hang and hold its lock. No two clocks
//! are compared. How long a lease was silent is measured by whoever looks, with a clock that only runs
//! forward; so nobody loses a lease because somebody has set the time.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::host::ids;
use crate::host::mutex::Mutex;
use crate::host::state::{StateError, StateFile};
use crate::host::workspace::{Held, WorkspaceError, hold, is_held};

/// A lease on one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// Whose it is: the id of an [`Owner`].
    pub owner: String,
    /// The number of its process, for people.
    pub pid: u32,
    /// How often it was renewed.
    pub beat: u64,
}

/// All leases there are, by the id of what they are on.
pub type Table = BTreeMap<String, Lease>;

/// The leases in one file, which any number of processes share. Clones share what they have seen.
#[derive(Clone, Debug)]
pub struct Leases {
    file: StateFile<Table>,
    owners: PathBuf,
    length: Duration,
    seen: Arc<Mutex<HashMap<String, (Lease, Instant)>>>,
}

/// Somebody who can have leases, until this is dropped or its process ends.
#[derive(Debug)]
pub struct Owner {
    /// A name that nobody else has or will have.
    pub id: String,
    path: PathBuf,
    _lock: Held,
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path); // the name is never used again
    }
}

impl Leases {
    /// Names the file of the leases and the folder of the owners' locks. A lease that is not renewed for
    /// `length` is over.
    pub fn new(file: impl Into<PathBuf>, owners: impl Into<PathBuf>, length: Duration) -> Self {
        let (file, seen) = (StateFile::new(file), Arc::default());
        Self { file, owners: owners.into(), length, seen }
    }

    /// How long a lease is.
    pub fn length(&self) -> Duration {
        self.length
    }

    /// Becomes somebody who can have leases.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn owner(&self, name: &str) -> Result<Owner, WorkspaceError> {
        let failed = |source| {
            let path = self.owners.clone();
            WorkspaceError::Io { action: "write", path, source }
        };
        fs::create_dir_all(&self.owners).map_err(failed)?;
        let id = format!("{name}-{}", ids::fresh(|_| false));
        let path = self.lock_of(&id);
        Ok(Owner { _lock: hold(&path)?, id, path })
    }

    /// The leases as they are now.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged; its bytes stay.
    pub fn load(&self) -> Result<Table, StateError> {
        self.file.load()
    }

    /// Changes them, as one step for all processes.
    ///
    /// # Errors
    /// Those of [`Leases::load`], and the reason for which the change is refused.
    pub fn change<T>(
        &self,
        change: impl FnOnce(&mut Table) -> Result<T, String>,
    ) -> Result<T, StateError> {
        self.file.change(change)
    }

    /// Why a lease is over, if it is: its owner's process has ended, or it was silent for too long since
    /// it was first seen like this.
    pub fn over(&self, id: &str, lease: &Lease) -> Option<&'static str> {
        // One whose name is no file's is nobody's.
        let named = ids::is_id(lease.owner.rsplit('-').next().unwrap_or_default());
        if !named || lease.owner.contains('/') || !is_held(self.lock_of(&lease.owner)) {
            return Some("its worker has died");
        }
        let mut seen = self.seen.lock();
        let (known, since) =
            seen.entry(id.to_owned()).or_insert_with(|| (lease.clone(), Instant::now()));
        if known != lease {
            (*known, *since) = (lease.clone(), Instant::now());
        }
        (since.elapsed() > self.length).then_some("its worker has not been heard of")
    }

    /// Says that the owner still works on it.
    ///
    /// # Errors
    /// The lease is no longer his, or the file cannot be changed.
    pub fn renew(&self, id: &str, owner: &Owner) -> Result<(), StateError> {
        self.change(|table| match table.get_mut(id) {
            Some(lease) if lease.owner == owner.id => {
                lease.beat += 1;
                Ok(())
            }
            _ => Err(format!("{id} is no longer worked on by {}", owner.id)),
        })
    }

    /// Does some work, and renews the lease on it three times in its length. When the lease is lost the work
    /// is cancelled: others do it now, or nobody should.
    pub async fn during<T>(
        &self,
        id: &str,
        owner: &Arc<Owner>,
        cancel: &CancellationToken,
        work: impl Future<Output = T>,
    ) -> T {
        let mut work = pin!(work);
        loop {
            if let Ok(done) = timeout(self.length / 3, &mut work).await {
                return done;
            }
            let (leases, owner, id) = (self.clone(), owner.clone(), id.to_owned());
            let renewed = spawn_blocking(move || leases.renew(&id, &owner)).await;
            if !renewed.is_ok_and(|renewed| renewed.is_ok()) {
                cancel.cancel();
                return work.await;
            }
        }
    }

    /// Removes the lock of an owner who is gone. `false`, for who retains leases by it.
    pub fn forget(&self, owner: &str) -> bool {
        let path = self.lock_of(owner);
        if !owner.contains('/') && !is_held(&path) {
            let _ = fs::remove_file(path);
        }
        false
    }

    fn lock_of(&self, owner: &str) -> PathBuf {
        self.owners.join(format!("{owner}.lock"))
    }
}

impl Owner {
    /// A new lease of his.
    pub fn lease(&self) -> Lease {
        Lease { owner: self.id.clone(), pid: std::process::id(), beat: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leases(folder: &tempfile::TempDir, length: Duration) -> Leases {
        Leases::new(folder.path().join("leases.json"), folder.path().join("owners"), length)
    }

    #[test]
    fn a_lease_lasts_as_long_as_its_owner_lives_and_renews_it() {
        let folder = tempfile::tempdir().unwrap();
        let (day, none) =
            (leases(&folder, Duration::from_secs(86_400)), leases(&folder, Duration::ZERO));
        let owner = day.owner("worker").unwrap();
        day.change(|table| Ok(table.insert("a".to_owned(), owner.lease()))).unwrap();
        let lease = || day.load().unwrap()["a"].clone();
        assert_eq!(day.over("a", &lease()), None);
        // Who has just come does not know how long it was silent.
        none.over("a", &lease());
        assert_eq!(none.over("a", &lease()), Some("its worker has not been heard of"));
        day.renew("a", &owner).unwrap();
        assert_eq!(lease().beat, 1);
        assert_eq!(day.over("a", &lease()), None);
        let other = day.owner("worker").unwrap();
        assert!(
            day.renew("a", &other).unwrap_err().to_string().starts_with("a is no longer worked on")
        );
        drop(owner);
        assert_eq!(day.over("a", &lease()), Some("its worker has died"));
    }

    #[tokio::test]
    async fn work_is_cancelled_when_its_lease_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let leases = leases(&folder, Duration::from_millis(30));
        let owner = Arc::new(leases.owner("worker").unwrap());
        leases.change(|table| Ok(table.insert("a".to_owned(), owner.lease()))).unwrap();
        let cancel = CancellationToken::new();
        let beats = async {
            while leases.load().unwrap()["a"].beat < 3 {
                tokio::task::yield_now().await;
            }
            "three"
        };
        assert_eq!(leases.during("a", &owner, &cancel, beats).await, "three");
        assert!(!cancel.is_cancelled());
        leases.change(|table| Ok(table.remove("a"))).unwrap();
        leases.during("a", &owner, &cancel, cancel.cancelled()).await;
    }

    #[test]
    fn an_owner_written_by_hand_is_nobody_and_leads_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let leases = leases(&folder, Duration::from_secs(86_400));
        for name in ["", "../../etc/passwd", "worker", "worker-../../aaaaaaaa"] {
            let lease = Lease { owner: name.to_owned(), pid: 1, beat: 0 };
            assert_eq!(leases.over("a", &lease), Some("its worker has died"), "{name}");
        }
    }
}
