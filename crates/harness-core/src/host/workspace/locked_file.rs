//! Small state files: each is replaced as a whole, and changed under a lock.
//!
//! The functions here take any path; they are for the harness's own files. A path that a model names goes
//! through a [`Workspace`].

use std::{
    fs::{self, File},
    hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState},
    io::{self, Write},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant, SystemTime},
};

use cap_std::{
    ambient_authority,
    fs::{Dir, Metadata, MetadataExt, OpenOptions, OpenOptionsExt},
};
use rustix::fs::{Gid, Mode, OFlags, Uid, fchmod, fchown};

use crate::host::own_paths;

use super::{Result, Workspace, WorkspaceError, bounded, error, regular};

/// The permission bits of the harness's own files: only the user may read them, since they may hold what a
/// file or a command said.
pub(crate) const PRIVATE: u32 = 0o600;
/// How long [`lock`] waits. Locks are held for one write, so a holder that takes longer is stuck or stopped.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a lock that is held is tried again: there is no lock with a timeout to wait on instead.
const RETRY_INTERVAL: Duration = Duration::from_millis(1);
/// The most bytes of a small state file.
const MAX_STATE_BYTES: u64 = 64 * 1024 * 1024;

impl Workspace {
    /// Reads one small state file, as [`read`] does.
    ///
    /// # Errors
    /// [`WorkspaceError::Outside`] for a path or a link that leads out of the workspace; else those of
    /// [`read`].
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Option<Vec<u8>>> {
        read(self.absolute(self.resolve(path)?))
    }

    /// Changes one small state file, as [`update`] does.
    ///
    /// # Errors
    /// [`WorkspaceError::Outside`] for a path or a link that leads out of the workspace; else those of
    /// [`update`].
    pub fn update<E: From<WorkspaceError>>(
        &self,
        path: impl AsRef<Path>,
        change: impl FnOnce(Option<Vec<u8>>) -> Result<Vec<u8>, E>,
    ) -> Result<(), E> {
        update(self.absolute(self.resolve(path)?), change)
    }

    /// Stores a text in a folder below `.harness`, in a file that is named after the hash of its content,
    /// and returns the path relative to the workspace. The same text stored twice is one file.
    ///
    /// # Errors
    /// Those of [`Workspace::state_dir`] and [`Workspace::write_atomic`].
    pub fn store_text(&self, folder: &str, text: &str) -> Result<PathBuf> {
        self.state_dir()?;
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let folder = Path::new(own_paths::STATE.name).join(folder);
        let path = folder.join(format!("{:016x}.txt", hasher.finish()));
        self.write_with(&path, text.as_bytes(), PRIVATE)
    }
}

/// Replaces one small state file atomically, as [`Workspace::write_atomic`](super::Workspace::write_atomic)
/// does, except that a new file is private to the user (0600).
///
/// # Errors
/// [`WorkspaceError::TooLarge`] for more than 64 MiB, since [`read`] would refuse it; a link that leads
/// nowhere; or the system refuses. The old content stays.
pub fn replace(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let StateFilePath { path, folder, name } = StateFilePath::of(path.as_ref())?;
    if bytes.len() as u64 > MAX_STATE_BYTES {
        return Err(WorkspaceError::TooLarge { path, limit: MAX_STATE_BYTES });
    }
    let folder = Dir::open_ambient_dir(folder, ambient_authority());
    let folder = folder.map_err(|source| error("write", &path, source))?;
    replace_in(&folder, &name, &path, bytes, Rights::Keep(PRIVATE))
}

/// Reads one small state file; `None` when it does not exist. Takes no lock: a file that is replaced as a
/// whole is always whole.
///
/// # Errors
/// [`WorkspaceError::TooLarge`] for a file of more than 64 MiB, [`WorkspaceError::NotAFile`] for anything
/// that is not a regular file (a named pipe is not waited for); else the system's.
pub fn read(path: impl AsRef<Path>) -> Result<Option<Vec<u8>>> {
    let path = path.as_ref();
    let failed = |source| error("read", path, source);
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let mut options = fs::OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::custom_flags(options.read(true), flags);
    let file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    let file = cap_std::fs::File::from_std(file);
    regular(path, file.metadata().map_err(failed)?.file_type())?;
    let (bytes, cut) = bounded(file.into_std(), MAX_STATE_BYTES).map_err(failed)?;
    if cut {
        return Err(WorkspaceError::TooLarge { path: path.to_owned(), limit: MAX_STATE_BYTES });
    }
    Ok(Some(bytes))
}

/// Reads, changes and replaces a state file, as one step for all processes and threads. `change` gets the
/// old bytes (`None` when there is no file) and returns the new ones; equal bytes are not written again.
///
/// The lock is on a separate file beside it, `<name>.lock`, because each replace makes the state file a new
/// file. The lock file is never deleted, since that would let two holders in. The kernel releases the lock
/// when its holder dies. `change` must not update the same file: it would wait for itself until the timeout.
///
/// # Errors
/// [`WorkspaceError::Locked`] when another holder keeps the lock for 30 seconds; else those of [`read`],
/// [`replace`] and `change`. The file stays as it was.
pub fn update<E: From<WorkspaceError>>(
    path: impl AsRef<Path>,
    change: impl FnOnce(Option<Vec<u8>>) -> Result<Vec<u8>, E>,
) -> Result<(), E> {
    let StateFilePath { path, folder, name } = StateFilePath::of(path.as_ref())?;
    let mut lock_name = name.into_os_string();
    lock_name.push(".lock");
    let lock_path = folder.join(lock_name);
    let mut options = File::options();
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, PRIVATE);
    let opened = options.create(true).truncate(false).write(true).open(&lock_path);
    let lock_file = opened.map_err(|source| error("lock", &lock_path, source))?;
    lock(&lock_file, &lock_path, Share::Alone)?;
    let old = read(&path)?;
    let new = change(old.clone())?;
    if old.as_ref() != Some(&new) {
        replace(&path, &new)?;
    }
    Ok(())
}

/// A file in a folder of state files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name, without the ending that was asked for.
    pub name: String,
    /// When it was last written to.
    pub changed: SystemTime,
    /// Its length.
    pub bytes: u64,
}

/// The regular files of a folder whose names have this ending, the most recently changed first; none when
/// the folder does not exist. Symbolic links are left out, since they may lead to somebody else's files.
///
/// # Errors
/// The path is not a folder itself (a link to one is refused), or it cannot be read.
pub fn files(folder: impl AsRef<Path>, ending: &str) -> Result<Vec<Entry>> {
    let folder = folder.as_ref();
    let failed = |source| error("list", folder, source);
    let kind = match fs::symlink_metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        found => found.map_err(failed)?.file_type(),
    };
    if !kind.is_dir() {
        return Err(failed(io::ErrorKind::NotADirectory.into()));
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // A file that was deleted meanwhile is skipped, and so is a name that is not UTF-8.
        let Ok(file) = entry.metadata() else { continue };
        let name = entry.file_name();
        let Some(name) = name.to_str().and_then(|name| name.strip_suffix(ending)) else { continue };
        if file.is_file() {
            let changed = file.modified().map_err(failed)?;
            found.push(Entry { name: name.to_owned(), changed, bytes: file.len() });
        }
    }
    found.sort_by(|a, b| b.changed.cmp(&a.changed).then_with(|| b.name.cmp(&a.name)));
    Ok(found)
}

/// Whether others may hold a lock at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Share {
    Alone,
    Readers,
}

/// Locks an open file until its handle is closed. Waits 30 seconds at most, so that one stopped process does
/// not stop all others for ever.
pub(crate) fn lock(file: &File, path: &Path, share: Share) -> Result<()> {
    let locked = lock_within(file, share, LOCK_TIMEOUT);
    if locked.map_err(|source| error("lock", path, source))? {
        return Ok(());
    }
    Err(WorkspaceError::Locked { path: path.to_owned(), waited: LOCK_TIMEOUT })
}

/// Locks an open file, waiting at most `timeout`; false when another holder kept it for that long.
pub(crate) fn lock_within(file: &File, share: Share, timeout: Duration) -> io::Result<bool> {
    let started = Instant::now();
    loop {
        let tried = match share {
            Share::Alone => file.try_lock(),
            Share::Readers => file.try_lock_shared(),
        };
        match tried {
            Ok(()) => return Ok(true),
            Err(fs::TryLockError::Error(source)) => return Err(source),
            Err(fs::TryLockError::WouldBlock) if started.elapsed() > timeout => return Ok(false),
            Err(fs::TryLockError::WouldBlock) => thread::sleep(RETRY_INTERVAL),
        }
    }
}

/// Where a state file really is.
struct StateFilePath {
    /// The file itself; a link to it is followed.
    path: PathBuf,
    /// The folder that it lies in.
    folder: PathBuf,
    /// Its name in that folder.
    name: PathBuf,
}

impl StateFilePath {
    fn of(path: &Path) -> Result<Self> {
        let real = match fs::symlink_metadata(path) {
            Ok(found) if found.is_symlink() => fs::canonicalize(path),
            _ => Ok(path.to_owned()),
        };
        let real = real.map_err(|source| error("follow", path, source))?;
        let Some(name) = real.file_name().map(PathBuf::from) else {
            return Err(WorkspaceError::NotAFile { path: path.to_owned(), kind: "directory" });
        };
        let folder = match real.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        Ok(Self { path: real, folder, name })
    }
}

/// The permission bits of a file after it was replaced.
#[derive(Clone, Copy)]
pub(super) enum Rights {
    /// Those that it has; a new file gets these, less the umask.
    Keep(u32),
    /// These.
    Set(u32),
}

/// Replaces a file of an open folder atomically; `shown` is the path for errors.
pub(super) fn replace_in(
    folder: &Dir,
    name: &Path,
    shown: &Path,
    bytes: &[u8],
    rights: Rights,
) -> Result<()> {
    let failed = |source| error("write", shown, source);
    let old = match folder.symlink_metadata(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        found => Some(found.map_err(failed)?),
    };
    if let Some(old) = &old {
        regular(shown, old.file_type())?;
    }
    // Private until it gets its final mode. `create_new` and a random name: no link is followed.
    let (initial_mode, final_mode) = match (rights, &old) {
        (Rights::Set(mode), _) => (PRIVATE, Some(mode)),
        (Rights::Keep(_), Some(old)) => (PRIVATE, Some(old.mode() & 0o7777)),
        (Rights::Keep(new), None) => (new, None),
    };
    let temporary = format!(".{:016x}.tmp", RandomState::new().hash_one(bytes.len()));
    let temporary = Path::new(&temporary);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(initial_mode);
    let file = folder.open_with(temporary, &options).map_err(failed)?.into_std();
    let replaced = fill(file, bytes, old.as_ref(), final_mode)
        .and_then(|()| folder.rename(temporary, folder, name))
        .inspect_err(|_| _ = folder.remove_file(temporary));
    replaced.map_err(failed)?;
    // The new name is on disk only once its folder is.
    folder.open(".").and_then(|opened| opened.sync_all()).map_err(failed)
}

/// Writes the content of a new file to the disk, with the owner of the old one and its final mode.
fn fill(mut file: File, bytes: &[u8], old: Option<&Metadata>, mode: Option<u32>) -> io::Result<()> {
    file.write_all(bytes)?;
    if let Some(old) = old {
        // Only root may give a file away; for everybody else the owner is the same anyway. Done before the
        // mode is set, because a change of owner clears some of its bits.
        let user = Uid::from_raw(old.uid());
        let group = Gid::from_raw(old.gid());
        let _ = fchown(&file, Some(user), Some(group));
    }
    if let Some(mode) = mode {
        fchmod(&file, Mode::from_raw_mode(mode))?;
    }
    file.sync_all()
}
