//! Time-limited ownership of work, kept alive by heartbeats.
//!
//! A claim that is only written in a file outlives its owner. So an owner holds a [`RunLock`], which the
//! kernel releases when its process ends. A process can also hang and keep its lock, so the owner sends
//! heartbeats: a lease that was not renewed within its duration has expired, too. No clocks of two processes
//! are compared. Whoever looks at a lease measures how long it has been silent, with a clock that only runs
//! forward, so nobody loses a lease because the system's time was changed.

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

use super::RunLock;
use crate::host::ids;
use crate::host::mutex::Mutex;
use crate::host::state::{StateError, StateFile};
use crate::host::workspace::{WorkspaceError, error};

/// How many heartbeats are sent within the duration of a lease: one may come late without losing it.
const HEARTBEATS_PER_LEASE: u32 = 3;

/// A lease on one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// The id of its [`Owner`].
    pub owner: String,
    /// The owner's process number, for people who read the file.
    pub pid: u32,
    /// How many heartbeats it has had.
    #[serde(alias = "beat")]
    pub heartbeats: u64,
}

/// All leases, by the id of what they are on.
pub type Table = BTreeMap<String, Lease>;

/// The leases in one file, which any number of processes share. Clones share what they have observed.
#[derive(Clone, Debug)]
pub struct Leases {
    file: StateFile<Table>,
    /// The folder of the owners' locks.
    owners: PathBuf,
    duration: Duration,
    /// Each lease as it was last seen, and since when it has looked like that.
    seen: Arc<Mutex<HashMap<String, (Lease, Instant)>>>,
}

/// An owner of leases, until this value is dropped or its process ends.
#[derive(Debug)]
pub struct Owner {
    /// A name that no other owner has or will have.
    pub id: String,
    path: PathBuf,
    _lock: RunLock,
}

impl Owner {
    /// A new lease that belongs to this owner.
    pub fn lease(&self) -> Lease {
        Lease { owner: self.id.clone(), pid: std::process::id(), heartbeats: 0 }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path); // the name is never used again
    }
}

impl Leases {
    /// Names the file of the leases and the folder of the owners' locks. A lease expires when it is not
    /// renewed for `duration`.
    pub fn new(file: impl Into<PathBuf>, owners: impl Into<PathBuf>, duration: Duration) -> Self {
        let file = StateFile::new(file);
        Self { file, owners: owners.into(), duration, seen: Arc::default() }
    }

    /// How long a lease lasts without a heartbeat.
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// Makes a new owner of leases; its id begins with `name`.
    ///
    /// # Errors
    /// The folder of the locks cannot be written.
    pub fn owner(&self, name: &str) -> Result<Owner, WorkspaceError> {
        fs::create_dir_all(&self.owners).map_err(|source| error("write", &self.owners, source))?;
        let id = format!("{name}-{}", ids::fresh(|_| false));
        let path = self.owners.join(lock_name(&id));
        let lock = RunLock::acquire(&path)?;
        Ok(Owner { id, path, _lock: lock })
    }

    /// The leases as they are now.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged; its bytes stay.
    pub fn load(&self) -> Result<Table, StateError> {
        self.file.load()
    }

    /// Changes the leases, as one step for all processes.
    ///
    /// # Errors
    /// Those of [`Leases::load`], and [`StateError::Refused`] with the reason that `change` gives.
    pub fn change<T>(
        &self,
        change: impl FnOnce(&mut Table) -> Result<T, String>,
    ) -> Result<T, StateError> {
        self.file.change(change)
    }

    /// Why a lease has expired, or `None` while it is valid. It expires when its owner's process has ended,
    /// and when it has had no heartbeat for the duration of a lease since these leases first saw it so.
    pub fn expired_because(&self, id: &str, lease: &Lease) -> Option<&'static str> {
        let is_alive = self.lock_of(&lease.owner).is_some_and(RunLock::is_alive);
        if !is_alive {
            return Some("its worker has died");
        }
        let mut seen = self.seen.lock();
        let first_look = || (lease.clone(), Instant::now());
        let (known, since) = seen.entry(id.to_owned()).or_insert_with(first_look);
        if known != lease {
            *known = lease.clone();
            *since = Instant::now();
        }
        let silent = since.elapsed() > self.duration;
        silent.then_some("its worker stopped sending heartbeats")
    }

    /// Sends a heartbeat: the lease is valid for another duration.
    ///
    /// # Errors
    /// The lease no longer belongs to this owner, or the file cannot be changed.
    pub fn heartbeat(&self, id: &str, owner: &Owner) -> Result<(), StateError> {
        self.change(|table| match table.get_mut(id) {
            Some(lease) if lease.owner == owner.id => {
                lease.heartbeats += 1;
                Ok(())
            }
            _ => Err(format!("{id} is no longer worked on by {}", owner.id)),
        })
    }

    /// Runs `work` to its end, and sends three heartbeats within each duration of the lease on it. When a
    /// heartbeat fails, the lease is lost: `cancel` is cancelled, and the work is awaited, since from then
    /// on another owner may do it.
    pub async fn renew_while<T>(
        &self,
        id: &str,
        owner: &Arc<Owner>,
        cancel: &CancellationToken,
        work: impl Future<Output = T>,
    ) -> T {
        let mut work = pin!(work);
        loop {
            if let Ok(done) = timeout(self.duration / HEARTBEATS_PER_LEASE, &mut work).await {
                return done;
            }
            let leases = self.clone();
            let owner = owner.clone();
            let id = id.to_owned();
            let renewed = spawn_blocking(move || leases.heartbeat(&id, &owner)).await;
            if !matches!(renewed, Ok(Ok(()))) {
                cancel.cancel();
                return work.await;
            }
        }
    }

    /// Removes the lock file of an owner that is gone. One that is alive keeps it.
    pub fn forget(&self, owner: &str) {
        if let Some(lock) = self.lock_of(owner) {
            RunLock::reap(lock);
        }
    }

    /// The lock file of an owner; `None` for a name that [`Leases::owner`] never makes, since a name that
    /// was written by hand could lead to any file.
    fn lock_of(&self, owner: &str) -> Option<PathBuf> {
        let (_, id) = owner.rsplit_once('-')?;
        let is_ours = ids::is_id(id) && !owner.contains('/');
        is_ours.then(|| self.owners.join(lock_name(owner)))
    }
}

fn lock_name(owner: &str) -> String {
    format!("{owner}.lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leases(folder: &tempfile::TempDir, duration: Duration) -> Leases {
        Leases::new(folder.path().join("leases.json"), folder.path().join("owners"), duration)
    }

    #[test]
    fn a_lease_lasts_as_long_as_its_owner_lives_and_renews_it() {
        let folder = tempfile::tempdir().unwrap();
        let day = leases(&folder, Duration::from_secs(86_400));
        let none = leases(&folder, Duration::ZERO);
        let owner = day.owner("worker").unwrap();
        day.change(|table| Ok(table.insert("a".to_owned(), owner.lease()))).unwrap();
        let lease = || day.load().unwrap()["a"].clone();
        assert_eq!(day.expired_because("a", &lease()), None);
        // At the first look it is not known how long the lease has been silent.
        none.expired_because("a", &lease());
        assert_eq!(
            none.expired_because("a", &lease()),
            Some("its worker stopped sending heartbeats")
        );
        day.heartbeat("a", &owner).unwrap();
        assert_eq!(lease().heartbeats, 1);
        assert_eq!(day.expired_because("a", &lease()), None);
        let other = day.owner("worker").unwrap();
        assert!(
            day.heartbeat("a", &other)
                .unwrap_err()
                .to_string()
                .starts_with("a is no longer worked on")
        );
        drop(owner);
        assert_eq!(day.expired_because("a", &lease()), Some("its worker has died"));
    }

    #[tokio::test]
    async fn work_is_cancelled_when_its_lease_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let leases = leases(&folder, Duration::from_millis(30));
        let owner = Arc::new(leases.owner("worker").unwrap());
        leases.change(|table| Ok(table.insert("a".to_owned(), owner.lease()))).unwrap();
        let cancel = CancellationToken::new();
        let three_heartbeats = async {
            while leases.load().unwrap()["a"].heartbeats < 3 {
                tokio::task::yield_now().await;
            }
            "three"
        };
        assert_eq!(leases.renew_while("a", &owner, &cancel, three_heartbeats).await, "three");
        assert!(!cancel.is_cancelled());
        leases.change(|table| Ok(table.remove("a"))).unwrap();
        leases.renew_while("a", &owner, &cancel, cancel.cancelled()).await;
    }

    #[test]
    fn an_owner_written_by_hand_is_nobody_and_leads_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let leases = leases(&folder, Duration::from_secs(86_400));
        for name in ["", "../../etc/passwd", "worker", "worker-../../aaaaaaaa"] {
            let lease = Lease { owner: name.to_owned(), pid: 1, heartbeats: 0 };
            assert_eq!(leases.expired_because("a", &lease), Some("its worker has died"), "{name}");
        }
    }

    #[test]
    fn a_dead_owners_lock_is_removed_and_a_living_ones_stays() {
        let folder = tempfile::tempdir().unwrap();
        let leases = leases(&folder, Duration::from_secs(86_400));
        let owner = leases.owner("worker").unwrap();
        let dead = format!("worker-{}", ids::fresh(|id| owner.id.ends_with(id)));
        let lock = |owner: &str| folder.path().join("owners").join(lock_name(owner));
        fs::write(lock(&dead), "1\n").unwrap();
        fs::write(folder.path().join("settings-12345678.lock"), "").unwrap();
        for name in [&owner.id, &dead, "../settings-12345678"] {
            leases.forget(name);
        }
        assert!(lock(&owner.id).exists());
        assert!(!lock(&dead).exists());
        assert!(folder.path().join("settings-12345678.lock").exists());
    }

    #[test]
    fn a_table_of_an_earlier_version_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let leases = leases(&folder, Duration::from_secs(86_400));
        let old = r#"{"a": {"owner": "worker-12345678", "pid": 1, "beat": 7}}"#;
        fs::write(folder.path().join("leases.json"), old).unwrap();
        assert_eq!(leases.load().unwrap()["a"].heartbeats, 7);
    }
}
