//! What is in a workspace, by a walk or by name, and how a path is put back to an earlier state.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use cap_std::fs::{Metadata, MetadataExt, Permissions, PermissionsExt};
use ignore::WalkBuilder;
use rustix::io::Errno;

use crate::host::own_paths::is_own;

use super::{Result, Rights, Workspace, WorkspaceError, replace_in};

/// The coarsest resolution of a file system's timestamps.
const TIMESTAMP_RESOLUTION: Duration = Duration::from_secs(2);

/// What is at a path. No link is followed, neither at its end nor on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing, or the path leads through a link or a file.
    Nothing,
    /// A regular file.
    File {
        /// Its permission bits.
        mode: u32,
        /// Its length in bytes.
        len: u64,
        /// Which file, and when it changed.
        stamp: Stamp,
    },
    /// A folder.
    Folder {
        /// Its permission bits.
        mode: u32,
    },
    /// A symbolic link.
    Link {
        /// Its text.
        target: PathBuf,
    },
    /// A device, named pipe or socket.
    Other,
}

/// Which file it was and when it last changed, by device, inode and timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    file: (u64, u64),
    len: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            len: metadata.len(),
            written: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether the last change is long enough ago that the next one will get another timestamp. Only then
    /// does an equal stamp mean equal bytes later.
    pub fn is_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let changed = Duration::from_secs(u64::try_from(self.changed.0).unwrap_or(u64::MAX));
        now > changed.saturating_add(TIMESTAMP_RESOLUTION)
    }
}

/// What a walk has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// By resolved path, parents before what is in them. The start itself is not among them.
    pub found: BTreeMap<PathBuf, Found>,
    /// What lies beside these and was left out, each with everything below it.
    pub left_out: BTreeSet<PathBuf>,
    /// Whether there was more than was asked for; the rest is left out.
    pub cut: bool,
}

/// What a path shall become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// Nothing. A folder that is not empty stays.
    Nothing,
    /// A regular file.
    File {
        /// Its content.
        bytes: &'a [u8],
        /// Its permission bits.
        mode: u32,
    },
    /// A folder; what is in it stays.
    Folder {
        /// Its permission bits.
        mode: u32,
    },
    /// A symbolic link.
    Link {
        /// Its text. It may lead anywhere, since nothing here follows it.
        target: &'a Path,
    },
}

impl Workspace {
    /// Where the name itself is: as [`Workspace::resolve`], but a link at the end is not followed.
    ///
    /// # Errors
    /// Those of [`Workspace::resolve`], for the folders on the way.
    pub fn resolve_name(&self, path: impl AsRef<Path>) -> Result<PathBuf> {
        let path = path.as_ref();
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) if !path.ends_with("..") => {
                let folder = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
                let folder = self.resolve(folder).map_err(|error| match error {
                    WorkspaceError::Outside { root, .. } => {
                        WorkspaceError::Outside { path: path.to_owned(), root }
                    }
                    error => error,
                })?;
                Ok(if folder == Path::new(".") { name.into() } else { folder.join(name) })
            }
            _ => self.resolve(path),
        }
    }

    /// What is at a path below the root, which must be resolved already. A path that leads through a link
    /// has nothing behind it.
    ///
    /// # Errors
    /// A folder on the way cannot be read. A missing path is not an error.
    pub fn look(&self, path: impl AsRef<Path>) -> Result<Found> {
        let path = path.as_ref();
        match self.resolve_name(path) {
            Ok(real) if real == path => self.found(path),
            Ok(_) | Err(WorkspaceError::NotFound { .. } | WorkspaceError::Outside { .. }) => {
                Ok(Found::Nothing)
            }
            Err(error) => nothing(error),
        }
    }

    fn found(&self, path: &Path) -> Result<Found> {
        let metadata = match self.dir.symlink_metadata(path) {
            Ok(metadata) => metadata,
            Err(source) => return nothing(self.wrap("look at", path, source)),
        };
        let mode = metadata.mode() & 0o7777;
        Ok(match metadata.file_type() {
            kind if kind.is_file() => {
                Found::File { mode, len: metadata.len(), stamp: Stamp::of(&metadata) }
            }
            kind if kind.is_dir() => Found::Folder { mode },
            kind if kind.is_symlink() => {
                let target = self.dir.read_link_contents(path);
                Found::Link { target: target.map_err(|source| self.wrap("read", path, source))? }
            }
            _ => Found::Other,
        })
    }

    /// Everything below a folder (a resolved path), including hidden files, up to `most` entries. Paths
    /// that ignore files name, git's own folder and the harness's own state are left out; they are among
    /// [`Listing::left_out`].
    ///
    /// # Errors
    /// A path that was found cannot be looked at. A folder that cannot be read is left out instead, and a
    /// path that is deleted during the walk is skipped.
    pub fn list(&self, start: impl AsRef<Path>, most: usize) -> Result<Listing> {
        let start = start.as_ref();
        let mut walk = WalkBuilder::new(self.absolute(start));
        walk.hidden(false)
            .follow_links(false)
            .require_git(false) // a .gitignore speaks for itself, also before `git init`
            .sort_by_file_name(|a, b| a.cmp(b))
            .filter_entry(|entry| entry.depth() == 0 || !is_own(entry.file_name()));
        let mut listing = Listing::default();
        let mut folders = vec![start.to_owned()];
        // What cannot be read is skipped here, so the second pass finds it among what was left out.
        for entry in walk.build().flatten().filter(|entry| entry.depth() > 0) {
            if listing.found.len() == most {
                listing.cut = true;
                break;
            }
            let Ok(path) = entry.path().strip_prefix(&self.root) else { continue };
            match self.found(path)? {
                Found::Nothing => continue, // gone again meanwhile
                found => {
                    if matches!(found, Found::Folder { .. }) {
                        folders.push(path.to_owned());
                    }
                    listing.found.insert(path.to_owned(), found);
                }
            }
        }
        for folder in folders {
            let Ok(entries) = self.dir.read_dir(&folder) else {
                listing.left_out.insert(folder);
                continue;
            };
            for entry in entries.flatten() {
                let path = if folder.as_os_str() == "." {
                    PathBuf::from(entry.file_name())
                } else {
                    folder.join(entry.file_name())
                };
                if !listing.found.contains_key(&path) {
                    listing.left_out.insert(path);
                }
            }
        }
        Ok(listing)
    }

    /// Makes a path below the root what is wanted. What is there of another kind is removed first; files are
    /// replaced atomically, and missing folders are made. Never goes through a link.
    ///
    /// # Errors
    /// The path leads through a link, the root itself was named, a folder that is not empty stands where
    /// something else is wanted, or the system refuses.
    pub fn put(&self, path: impl AsRef<Path>, wanted: Wanted<'_>) -> Result<()> {
        let path = path.as_ref();
        let failed = |source| self.wrap("restore", path, source);
        if self.resolve_name(path)? != path || path.file_name().is_none() {
            let why = "it leads through a link, or is not a plain path";
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, why)));
        }
        let removed = match (self.found(path)?, wanted) {
            (Found::Nothing, _)
            | (Found::File { .. }, Wanted::File { .. })
            | (Found::Folder { .. }, Wanted::Folder { .. }) => Ok(()),
            (Found::Folder { .. }, _) => self.dir.remove_dir(path),
            _ => self.dir.remove_file(path),
        };
        match (removed, wanted) {
            (Err(error), Wanted::Nothing) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            (removed, _) => removed.map_err(failed)?,
        }
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(folder) = folder
            && wanted != Wanted::Nothing
        {
            self.dir.create_dir_all(folder).map_err(failed)?;
        }
        match wanted {
            Wanted::Nothing => Ok(()),
            Wanted::Link { target } => self.dir.symlink_contents(target, path).map_err(failed),
            Wanted::File { bytes, mode } => {
                let folder = self.dir.open_dir(folder.unwrap_or(Path::new("."))).map_err(failed)?;
                let name = Path::new(path.file_name().unwrap_or_default());
                replace_in(&folder, name, path, bytes, Rights::Set(mode))
            }
            Wanted::Folder { mode } => {
                match self.dir.create_dir(path) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                        return Err(failed(error));
                    }
                    _ => {}
                }
                self.dir.set_permissions(path, Permissions::from_mode(mode)).map_err(failed)
            }
        }
    }
}

/// A path that ends early, or whose links form a loop, leads to nothing.
fn nothing(error: WorkspaceError) -> Result<Found> {
    match error {
        WorkspaceError::NotFound { .. } => Ok(Found::Nothing),
        WorkspaceError::Io { source, .. }
            if matches!(Errno::from_io_error(&source), Some(Errno::NOTDIR | Errno::LOOP)) =>
        {
            Ok(Found::Nothing)
        }
        error => Err(error),
    }
}
