//! Small state files: replaced whole, changed under a lock.

use std::{
    fs::{self, File},
    hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant, SystemTime},
};

use cap_std::{
    ambient_authority,
    fs::{Dir, Metadata, MetadataExt, OpenOptions, OpenOptionsExt},
};
use rustix::fs::{Gid, Mode, OFlags, Uid, fchmod, fchown};

use super::{Result, Workspace, WorkspaceError, bounded, error, regular};

/// What the harness keeps may hold what a file or a command said: it is the user's alone.
const PRIVATE: u32 = 0o600;
/// So long a lock is waited for. Who holds it for longer is stuck or stopped.
const PATIENCE: Duration = Duration::from_secs(30);
/// So long a holder may be on its way out: a process that was just killed, or a child that is being started
/// and has its parent's handles until it is.
const MOMENT: Duration = Duration::from_millis(300);
/// The most bytes of a small state file.
const STATE_LIMIT: u64 = 64 * 1024 * 1024;

impl Workspace {
    /// Reads one small state file, as [`read`] does. A link that leads out is refused.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Option<Vec<u8>>> {
        read(self.absolute(self.resolve(path)?))
    }

    /// Changes one small state file, as [`update`] does. A link that leads out is refused.
    ///
    /// # Errors
    /// Those of [`update`].
    pub fn update<E: From<WorkspaceError>>(
        &self,
        path: impl AsRef<Path>,
        change: impl FnOnce(Option<Vec<u8>>) -> Result<Vec<u8>, E>,
    ) -> Result<(), E> {
        update(self.absolute(self.resolve(path)?), change)
    }

    /// Keeps a text in a folder under `.harness`, in a file that is named by its content, and returns
    /// the path. The same text twice is one file.
    pub fn keep(&self, folder: &str, text: &str) -> Result<PathBuf> {
        self.state_dir()?;
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let path = format!(".harness/{folder}/{:016x}.txt", hasher.finish());
        self.write_with(path.as_ref(), text.as_bytes(), PRIVATE)
    }
}

/// Replaces one small state file atomically, by the rules of [`Workspace::write_atomic`](super::Workspace::write_atomic), but for
/// the rights of a new one: it is the user's alone (0600). For the harness's own files; paths that a model
/// names go through a `Workspace`.
///
/// # Errors
/// [`WorkspaceError::TooLarge`] for more than [`read`] would read again; else the system's.
pub fn replace(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let (path, folder, name) = place(path.as_ref())?;
    if bytes.len() as u64 > STATE_LIMIT {
        return Err(WorkspaceError::TooLarge { path, limit: STATE_LIMIT });
    }
    let dir = Dir::open_ambient_dir(folder, ambient_authority());
    replace_in(
        &dir.map_err(|source| error("write", &path, source))?,
        &name,
        &path,
        bytes,
        Rights::Keep(PRIVATE),
    )
}

/// Reads one small state file, at most 64 MiB of it; `None` when it does not exist.
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
    match bounded(file.into_std(), STATE_LIMIT).map_err(failed)? {
        (bytes, false) => Ok(Some(bytes)),
        _ => Err(WorkspaceError::TooLarge { path: path.to_owned(), limit: STATE_LIMIT }),
    }
}

/// Read, change, replace, as one step for all processes and threads: `change` gets the old bytes
/// (`None` when there is no file) and returns the new ones. An error of `change` leaves the file
/// as it is, and so do equal bytes.
///
/// The lock is on a file of its own beside it, `<name>.lock`, because the state file is another
/// file after each replace. The lock file stays: to delete it would let two holders in. The kernel
/// gives the lock back when its holder dies. `change` must not update the same file again.
///
/// # Errors
/// [`WorkspaceError::Locked`] after 30 seconds; else those of [`read`], [`replace`] and `change`.
pub fn update<E: From<WorkspaceError>>(
    path: impl AsRef<Path>,
    change: impl FnOnce(Option<Vec<u8>>) -> Result<Vec<u8>, E>,
) -> Result<(), E> {
    let (path, folder, name) = place(path.as_ref())?;
    let mut beside = name.into_os_string();
    beside.push(".lock");
    let beside = folder.join(beside);
    let mut options = File::options();
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, PRIVATE);
    let opened = options.create(true).truncate(false).write(true).open(&beside);
    let guard = opened.map_err(|source| error("lock", &beside, source))?;
    lock(&guard, &beside, Share::Alone)?;
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

/// The regular files of a folder whose names have this ending, the last changed first; none where there
/// is no folder. Links are no regular files: they may lead to somebody else's.
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
        // One that is gone meanwhile is not there; a name that is no text has no ending either.
        let (name, Ok(file)) = (entry.file_name(), entry.metadata()) else { continue };
        let name = name.to_str().and_then(|name| name.strip_suffix(ending));
        if let (Some(name), true) = (name, file.is_file()) {
            let changed = file.modified().map_err(failed)?;
            found.push(Entry { name: name.to_owned(), changed, bytes: file.len() });
        }
    }
    found.sort_by(|a, b| b.changed.cmp(&a.changed).then_with(|| b.name.cmp(&a.name)));
    Ok(found)
}

/// A lock that is held until this is dropped, or until its process has ended, however it ended.
#[derive(Debug)]
pub struct Held {
    _file: File,
}

/// Takes the lock that this file stands for: for what one process keeps open as long as it runs, so that
/// it is not waited for but a moment. The file stays when the lock is given back (see [`update`]) and holds the number of the
/// process that had it last.
///
/// # Errors
/// [`WorkspaceError::InUse`] when another process, or another holder in this one, has it.
pub fn hold(path: impl AsRef<Path>) -> Result<Held> {
    let path = path.as_ref();
    let failed = |source| error("lock", path, source);
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW).bits().cast_signed();
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, PRIVATE);
    let file = std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags).open(path);
    let (mut file, begun) = (file.map_err(failed)?, Instant::now());
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(fs::TryLockError::Error(source)) => return Err(failed(source)),
            Err(fs::TryLockError::WouldBlock) if begun.elapsed() > MOMENT => {
                let (mut by, path) = (String::new(), path.to_owned());
                let _ = file.take(20).read_to_string(&mut by);
                return Err(WorkspaceError::InUse { path, by: by.trim().parse().ok() });
            }
            Err(fs::TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(1)),
        }
    }
    let number = format!("{}\n", std::process::id());
    file.set_len(0).and_then(|()| file.write_all(number.as_bytes())).map_err(failed)?;
    Ok(Held { _file: file })
}

/// Whether somebody [`hold`]s this lock now. Does not wait; what is not there is held by nobody.
pub(crate) fn is_held(path: impl AsRef<Path>) -> bool {
    let file = File::open(path.as_ref());
    file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock)))
}

/// Whether others may hold a lock too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Share {
    Alone,
    Readers,
}

/// Locks an open file, by the kernel, for as long as the handle is open. Waits 30 seconds at most:
/// a stopped process must not stop all others for ever.
pub(crate) fn lock(file: &File, path: &Path, share: Share) -> Result<()> {
    let begun = Instant::now();
    loop {
        let tried = if share == Share::Alone { file.try_lock() } else { file.try_lock_shared() };
        match tried {
            Ok(()) => return Ok(()),
            Err(fs::TryLockError::Error(source)) => return Err(error("lock", path, source)),
            Err(fs::TryLockError::WouldBlock) if begun.elapsed() > PATIENCE => {
                return Err(WorkspaceError::Locked { path: path.to_owned(), waited: PATIENCE });
            }
            // Locks are held for one write. There is no lock with a time-out to wait on instead.
            Err(fs::TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// A state file's real path (a link to it is followed), folder and name.
fn place(path: &Path) -> Result<(PathBuf, PathBuf, PathBuf)> {
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
    Ok((real, folder, name))
}

/// Who may read and write a file that is replaced.
#[derive(Clone, Copy)]
pub(super) enum Rights {
    /// Those that it has; these, without the umask's, if it is new.
    Keep(u32),
    /// These.
    Set(u32),
}

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
    // Private until it has its mode; `create_new` and a name nobody can guess: no link is followed.
    let (first, mode) = match (rights, &old) {
        (Rights::Set(mode), _) => (PRIVATE, Some(mode)),
        (Rights::Keep(_), Some(old)) => (PRIVATE, Some(old.mode() & 0o7777)),
        (Rights::Keep(new), None) => (new, None),
    };
    let temporary = format!(".{:016x}.tmp", RandomState::new().hash_one(bytes.len()));
    let temporary = Path::new(&temporary);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(first);
    let file = folder.open_with(temporary, &options).map_err(failed)?.into_std();
    let replaced = fill(file, bytes, old.as_ref(), mode)
        .and_then(|()| folder.rename(temporary, folder, name))
        .inspect_err(|_| _ = folder.remove_file(temporary));
    replaced.map_err(failed)?;
    // The new name is on disk only once its folder is.
    folder.open(".").and_then(|opened| opened.sync_all()).map_err(failed)
}

fn fill(mut file: File, bytes: &[u8], old: Option<&Metadata>, mode: Option<u32>) -> io::Result<()> {
    file.write_all(bytes)?;
    if let Some(old) = old {
        // Only root may give a file away; for others the owner is the same anyway. Before the
        // mode, because a change of owner clears bits of it.
        let (user, group) = (Uid::from_raw(old.uid()), Gid::from_raw(old.gid()));
        let _ = fchown(&file, Some(user), Some(group));
    }
    if let Some(mode) = mode {
        fchmod(&file, Mode::from_raw_mode(mode))?;
    }
    file.sync_all()
}
