//! The folder that an agent works in: paths stay inside it, and a write happens as a whole or not at all.
//!
//! Every access goes through a descriptor of the root (cap-std: `openat2` with `RESOLVE_BENEATH` where the
//! kernel has it). A path is first resolved link by link, which gives it a name that rules can judge. The
//! kernel confines the open that follows as well, so a link that is swapped in between leads to an error and
//! never outside.
//!
//! This covers the file tools. A shell command is another process, and its paths are not resolved here.

mod locked_file;
mod tree;

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs::{self, File},
    io::{self, Read},
    path::{Component, Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use cap_std::{
    ambient_authority,
    fs::{Dir, FileType, FileTypeExt, MetadataExt, OpenOptions, OpenOptionsExt},
};
use rustix::fs::OFlags;

use crate::host::own_paths;

pub use cap_std::fs::Metadata;

pub use self::locked_file::{Entry, files, read, replace, update};
pub(crate) use self::locked_file::{PRIVATE, Share, lock, lock_within};
use self::locked_file::{Rights, replace_in};
pub use self::tree::{Found, Listing, Stamp, Wanted};

/// The most symbolic links in one path, as in the kernel; more count as a loop.
const MAX_LINKS: usize = 40;

/// An open workspace. A clone is cheap.
#[derive(Debug, Clone)]
pub struct Workspace {
    dir: Arc<Dir>,
    root: PathBuf,
}

/// The beginning of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounded {
    /// At most as many bytes as were asked for, unaltered (line ends and BOM included).
    pub bytes: Vec<u8>,
    /// True when the file goes on.
    pub cut: bool,
    /// The length of the file when it was opened.
    pub len: u64,
}

/// Why a file could not be reached, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkspaceError {
    /// The path leads out, by itself or by a link.
    #[error("{path:?} is outside the workspace {}; use a path inside it", .root.display())]
    Outside {
        /// The path as it was given.
        path: PathBuf,
        /// The workspace.
        root: PathBuf,
    },
    /// Nothing is there.
    #[error("{path:?} does not exist; check the spelling, or list the folder")]
    NotFound {
        /// The path as it was given.
        path: PathBuf,
    },
    /// It exists, but it is not a regular file.
    #[error("{path:?} is a {kind}, not a regular file; name a regular file")]
    NotAFile {
        /// The path as it was given.
        path: PathBuf,
        /// What it is: directory, named pipe, socket, device …
        kind: &'static str,
    },
    /// It has changed since its state was recorded, so nothing is put in its place.
    #[error("{path:?} was changed since by somebody else; move it away and try again")]
    Changed {
        /// The path.
        path: PathBuf,
    },
    /// A state file that is, or would be, too large to be one.
    #[error(
        "{path:?} is larger than a state file may be ({limit} bytes); move it away or shorten it"
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most bytes that are read, and so written.
        limit: u64,
    },
    /// Another process holds the lock.
    #[error("{path:?} has been locked by another process for {waited:?}; end that process")]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },
    /// A lock that is held for as long as a run lasts has another holder.
    #[error("{path:?} is in use by {}; end that process first", by.map_or("another process".to_owned(), |by| format!("process {by}")))]
    InUse {
        /// The lock file.
        path: PathBuf,
        /// The holder's process number, if it could be read.
        by: Option<u32>,
    },
    /// The system refused. What was there before is still there.
    #[error("cannot {action} {path:?}: {source}{}", advice(action, source))]
    Io {
        /// A verb: open, read, write …
        action: &'static str,
        /// The path as it was given.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

type Result<T, E = WorkspaceError> = std::result::Result<T, E>;

impl Workspace {
    /// Opens a folder that exists.
    ///
    /// # Errors
    /// [`WorkspaceError::NotFound`] when it does not exist; else it is not a folder, or the system refuses.
    pub fn open(root: impl AsRef<Path>) -> Result<Self> {
        let root = root.as_ref();
        let failed = |source| error("open the workspace", root, source);
        let dir = Dir::open_ambient_dir(root, ambient_authority()).map_err(failed)?;
        Ok(Self { dir: Arc::new(dir), root: fs::canonicalize(root).map_err(failed)? })
    }

    /// The root, absolute and without links.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the path really is: relative to the root, without links, `.` and `..`; the root itself is `.`.
    /// The end of the path need not exist. An absolute path must lie inside; it may be spelled through a link
    /// to the root.
    ///
    /// # Errors
    /// [`WorkspaceError::Outside`] for a path or a link that leads out, and for one that begins with `~`,
    /// which is not expanded. [`WorkspaceError::NotFound`] for `..` behind a folder that does not exist, as
    /// in the kernel; else more than 40 links, or a folder on the way that cannot be read.
    pub fn resolve(&self, path: impl AsRef<Path>) -> Result<PathBuf> {
        let path = path.as_ref();
        let outside = || WorkspaceError::Outside { path: path.to_owned(), root: self.root.clone() };
        // `~` is not expanded here. It would become a folder of that name, a trap for `rm -r`.
        if path.starts_with("~") {
            return Err(outside());
        }
        let inner = self.inner(path).ok_or_else(outside)?;
        let mut todo = VecDeque::new();
        prepend(&mut todo, &inner);
        let mut done = PathBuf::new();
        let mut links = 0;
        while let Some(part) = todo.pop_front() {
            if part == ".." {
                if !done.pop() {
                    return Err(outside());
                }
                continue;
            }
            done.push(&part);
            match self.dir.symlink_metadata(&done) {
                Ok(found) if found.is_symlink() => {
                    links += 1;
                    if links > MAX_LINKS {
                        let source = io::Error::from(rustix::io::Errno::LOOP);
                        return Err(error("resolve", path, source));
                    }
                    let target = self.dir.read_link_contents(&done);
                    let target = target.map_err(|source| self.wrap("resolve", path, source))?;
                    done.pop();
                    let inner = self.inner(&target).ok_or_else(outside)?;
                    if target.is_absolute() {
                        done.clear();
                    }
                    prepend(&mut todo, &inner);
                }
                Ok(_) => {}
                // What does not exist is taken as it is, but `missing/..` is an error, as in the kernel.
                Err(source)
                    if source.kind() == io::ErrorKind::NotFound
                        && !todo.iter().any(|part| part == "..") => {}
                Err(source) => return Err(self.wrap("resolve", path, source)),
            }
        }
        Ok(if done.as_os_str().is_empty() { PathBuf::from(".") } else { done })
    }

    /// The absolute path of a resolved one, for display and for child processes. Do not open a file by it:
    /// the kernel would not confine that to the workspace.
    pub fn absolute(&self, resolved: impl AsRef<Path>) -> PathBuf {
        self.root.join(resolved).components().collect()
    }

    /// The metadata of the file or folder that the path leads to.
    ///
    /// # Errors
    /// Those of [`Workspace::resolve`], and [`WorkspaceError::NotFound`].
    pub fn metadata(&self, path: impl AsRef<Path>) -> Result<Metadata> {
        let path = path.as_ref();
        let resolved = self.resolve(path)?;
        self.dir.symlink_metadata(resolved).map_err(|source| self.wrap("look at", path, source))
    }

    /// Opens a regular file for reading. Never blocks, whatever the path turns out to be.
    ///
    /// # Errors
    /// Those of [`Workspace::resolve`], [`WorkspaceError::NotFound`], and [`WorkspaceError::NotAFile`] for a
    /// folder, a named pipe, a socket or a device; none of these is opened.
    pub fn open_read(&self, path: impl AsRef<Path>) -> Result<(File, fs::Metadata)> {
        let path = path.as_ref();
        let resolved = self.resolve(path)?;
        let failed = |source| self.wrap("open", path, source);
        // Checked before, because opening alone can act on a device, and again once it is open.
        regular(path, self.dir.symlink_metadata(&resolved).map_err(failed)?.file_type())?;
        self.open_beneath(resolved)
    }

    /// Opens a regular file by a path below the root that is resolved already, or that a walk of the root has
    /// found. Follows no link: one system call where [`Workspace::open_read`] makes many.
    ///
    /// # Errors
    /// It does not exist, it is not a regular file (nor is a link to one), or the system refuses.
    pub fn open_beneath(&self, path: impl AsRef<Path>) -> Result<(File, fs::Metadata)> {
        let path = path.as_ref();
        let failed = |source| self.wrap("open", path, source);
        let file = self.dir.open_with(path, &reading()).map_err(failed)?.into_std();
        let metadata = file.metadata().map_err(failed)?;
        regular(path, Metadata::from_just_metadata(metadata.clone()).file_type())?;
        Ok((file, metadata))
    }

    /// Reads at most `limit` bytes from the start of a regular file.
    ///
    /// # Errors
    /// Those of [`Workspace::open_read`], or reading fails half-way. A longer file is not an error; see
    /// [`Bounded::cut`].
    pub fn read_bounded(&self, path: impl AsRef<Path>, limit: u64) -> Result<Bounded> {
        let path = path.as_ref();
        let (file, metadata) = self.open_read(path)?;
        let (bytes, cut) = bounded(file, limit).map_err(|source| error("read", path, source))?;
        Ok(Bounded { bytes, cut, len: metadata.len() })
    }

    /// Replaces a file as a whole, or makes it and its parents. An old file keeps its mode and, where
    /// allowed, its owner, but not its hard links, ACLs and extended attributes; a new file gets 0644 less the
    /// umask. A link to a place inside the workspace is followed. Returns the resolved path; the file is on
    /// disk by then.
    ///
    /// # Errors
    /// Those of [`Workspace::resolve`], [`WorkspaceError::NotAFile`] where a folder or anything else has that
    /// name, or the system refuses: a full disk, a read-only folder. The old content stays, and no temporary
    /// file is left; folders that were made on the way stay.
    pub fn write_atomic(&self, path: impl AsRef<Path>, bytes: &[u8]) -> Result<PathBuf> {
        self.write_with(path.as_ref(), bytes, 0o644)
    }

    /// As [`Workspace::write_atomic`], with these permission bits for a new file.
    fn write_with(&self, path: &Path, bytes: &[u8], new_mode: u32) -> Result<PathBuf> {
        let resolved = self.resolve(path)?;
        let failed = |source| self.wrap("write", path, source);
        let Some(name) = resolved.file_name() else {
            return Err(WorkspaceError::NotAFile { path: path.to_owned(), kind: "directory" });
        };
        let folder = match resolved.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => {
                self.dir.create_dir_all(parent).map_err(failed)?;
                &self.dir.open_dir(parent).map_err(failed)?
            }
            _ => &*self.dir,
        };
        replace_in(folder, Path::new(name), path, bytes, Rights::Keep(new_mode))?;
        Ok(resolved)
    }

    /// The absolute path of the folder for the harness's own files, `.harness` in the root. Made when it is
    /// missing, with a `.gitignore` that hides it from git.
    ///
    /// # Errors
    /// The workspace cannot be written, or something else, such as a link, has that name.
    pub fn state_dir(&self) -> Result<PathBuf> {
        self.own_dir(own_paths::STATE.name)
    }

    /// The same for a mechanism's own folder of another name, such as `.sessions`.
    ///
    /// # Errors
    /// Those of [`Workspace::state_dir`].
    pub fn own_dir(&self, name: &str) -> Result<PathBuf> {
        let name = Path::new(name);
        let failed = |source| self.wrap("use", name, source);
        match self.dir.create_dir(name) {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed(source));
            }
            _ => {}
        }
        if !self.dir.symlink_metadata(name).map_err(failed)?.is_dir() {
            return Err(failed(io::ErrorKind::NotADirectory.into()));
        }
        // Unlike state it is not synced to disk: after a power cut it is written again.
        let ignore = name.join(".gitignore");
        if self.dir.symlink_metadata(&ignore).map_or(true, |it| it.is_file() && it.len() == 0) {
            self.dir.write(&ignore, "*\n").map_err(failed)?;
        }
        Ok(self.absolute(name))
    }

    /// The part of a path below the root; `None` when it lies outside. Paths are not compared as text: an
    /// ancestor *is* the root when it has the root's device and inode number.
    fn inner(&self, path: &Path) -> Option<PathBuf> {
        if path.is_relative() {
            return Some(path.to_owned());
        }
        let root = self.dir.dir_metadata().ok()?;
        let is_root = |path: &Path| {
            use std::os::unix::fs::MetadataExt as _;
            fs::metadata(path).is_ok_and(|it| (it.dev(), it.ino()) == (root.dev(), root.ino()))
        };
        let below = |path: &Path| {
            let top = path.ancestors().find(|ancestor| is_root(ancestor))?;
            path.strip_prefix(top).ok().map(Path::to_owned)
        };
        below(path).or_else(|| {
            // Perhaps spelled through a link to a folder further down.
            let (real, rest) = path.ancestors().find_map(|ancestor| {
                Some((fs::canonicalize(ancestor).ok()?, path.strip_prefix(ancestor).ok()?))
            })?;
            Some(below(&real)?.join(rest))
        })
    }

    fn wrap(&self, action: &'static str, path: &Path, source: io::Error) -> WorkspaceError {
        // cap-std's own refusal is the only error of this kind without a number from the system.
        if source.kind() == io::ErrorKind::PermissionDenied && source.raw_os_error().is_none() {
            return WorkspaceError::Outside { path: path.to_owned(), root: self.root.clone() };
        }
        error(action, path, source)
    }
}

fn prepend(todo: &mut VecDeque<OsString>, path: &Path) {
    for part in path.components().rev() {
        if let Component::Normal(_) | Component::ParentDir = part {
            todo.push_front(part.as_os_str().to_owned());
        }
    }
}

/// What to do when the harness cannot write its own files. A tool's failed write gets no such advice: the
/// model must not give itself permissions.
fn advice(action: &str, source: &io::Error) -> &'static str {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    let own = matches!(action, "lock" | "use" | "make" | "append to");
    if own && matches!(source.kind(), PermissionDenied | ReadOnlyFilesystem) {
        return "; make it writable, or work in another folder";
    }
    ""
}

pub(crate) fn error(action: &'static str, path: &Path, source: io::Error) -> WorkspaceError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound => WorkspaceError::NotFound { path },
        _ => WorkspaceError::Io { action, path, source },
    }
}

fn reading() -> OpenOptions {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags.bits().cast_signed());
    options
}

fn regular(path: &Path, kind: FileType) -> Result<()> {
    let kind = match kind {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_dir() => "directory",
        kind if kind.is_symlink() => "link",
        kind if kind.is_fifo() => "named pipe",
        kind if kind.is_socket() => "socket",
        _ => "device",
    };
    Err(WorkspaceError::NotAFile { path: path.to_owned(), kind })
}

fn bounded(file: File, limit: u64) -> io::Result<(Vec<u8>, bool)> {
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    let cut = bytes.len() as u64 > limit;
    bytes.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok((bytes, cut))
}
