//! The lock of a run: proof that its owner is alive, released by the kernel however the owner ends.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;

use crate::host::workspace::{PRIVATE, Share, WorkspaceError, error, lock_within};

/// How long [`RunLock::acquire`] waits for a lock that is held. The holder may be a process that was just
/// killed, or a child that is being started and shares its parent's open files until then.
const GRACE_PERIOD: Duration = Duration::from_millis(300);
/// The longest process number that is read from a lock file, in bytes.
const MAX_PID_LENGTH: u64 = 20;

/// A lock file that is held until this value is dropped or its process ends, however it ends.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

impl RunLock {
    /// Takes the lock that this file stands for, and writes the number of this process into it. A lock of
    /// this kind is held for as long as a run lasts, so it is waited for only 300 ms. The file stays when
    /// the lock is released: a holder of the deleted file and a holder of a new one would not see each other.
    ///
    /// # Errors
    /// [`WorkspaceError::InUse`] when another process, or another holder in this one, has it. A symbolic
    /// link is refused, and the folder must exist.
    pub fn acquire(path: impl AsRef<Path>) -> Result<Self, WorkspaceError> {
        let path = path.as_ref();
        let failed = |source| error("lock", path, source);
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(PRIVATE);
        let mut file = options.custom_flags(opening_flags()).open(path).map_err(failed)?;
        if !lock_within(&file, Share::Alone, GRACE_PERIOD).map_err(failed)? {
            return Err(WorkspaceError::InUse { path: path.to_owned(), by: holder(file) });
        }
        let number = format!("{}\n", std::process::id());
        file.set_len(0).and_then(|()| file.write_all(number.as_bytes())).map_err(failed)?;
        Ok(Self { _file: file })
    }

    /// Whether the run that owns this lock is alive. Does not wait. A lock file that does not exist, or
    /// cannot be opened, is held by nobody.
    pub fn is_alive(path: impl AsRef<Path>) -> bool {
        let opened = File::options().read(true).custom_flags(opening_flags()).open(path);
        let Ok(file) = opened else { return false };
        matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock))
    }

    /// Removes the lock file of a run that is gone; one that is held stays. Only for a name that no run
    /// will claim again.
    pub fn reap(path: impl AsRef<Path>) {
        let path = path.as_ref();
        if !Self::is_alive(path) {
            let _ = fs::remove_file(path); // it may be gone already
        }
    }
}

/// Never waits for a named pipe's other end, and never follows a link that somebody has put there.
fn opening_flags() -> i32 {
    (OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW).bits().cast_signed()
}

/// The process that wrote its number into a lock file.
fn holder(file: File) -> Option<u32> {
    let mut number = String::new();
    file.take(MAX_PID_LENGTH).read_to_string(&mut number).ok()?;
    number.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_alive_until_its_lock_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        assert!(!RunLock::is_alive(&path), "nobody has claimed it yet");
        let lock = RunLock::acquire(&path).unwrap();
        assert!(RunLock::is_alive(&path));
        drop(lock);
        assert!(!RunLock::is_alive(&path));
        assert!(path.exists(), "the file stays, so that the next holder locks the same one");
    }

    #[test]
    fn only_the_lock_of_a_run_that_is_gone_is_reaped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let lock = RunLock::acquire(&path).unwrap();
        RunLock::reap(&path);
        assert!(path.exists());
        drop(lock);
        RunLock::reap(&path);
        assert!(!path.exists());
        RunLock::reap(&path);
    }

    #[test]
    fn a_lock_that_is_held_refuses_the_next_and_names_its_holder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let lock = RunLock::acquire(&path).unwrap();
        let error = RunLock::acquire(&path).unwrap_err();
        let own = std::process::id();
        assert!(matches!(error, WorkspaceError::InUse { by: Some(by), .. } if by == own));
        let advice = format!("is in use by process {own}; end that process first");
        assert!(error.to_string().ends_with(&advice), "{error}");
        drop(lock);
        RunLock::acquire(&path).unwrap();
    }

    #[test]
    fn a_link_or_a_named_pipe_in_place_of_a_lock_is_no_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let _lock = RunLock::acquire(&path).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(RunLock::acquire(&link).is_err(), "it would lock somebody else's file");
        assert!(!RunLock::is_alive(&link));
        let pipe = folder.path().join("pipe");
        harness_testkit::fifo(&pipe);
        assert!(!RunLock::is_alive(&pipe), "it does not wait for the other end");
    }
}
