//! What lies in a folder, remembered until the folder changes.
//!
//! The rules for the kernel are made from lists of folders, and a list that is out of date would
//! open a secret that has come since. So before each line every folder that was read is looked at
//! again: one `lstat` each. A folder counts as unchanged when device, inode and time of change are
//! what they were. The time of change cannot be set by a program, and every entry that is made,
//! removed or replaced moves it.

use std::{
    collections::{HashMap, HashSet},
    ffi::{OsStr, OsString},
    io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, openat, statat};

/// The clock that stamps a change ticks every 1 to 10 ms. A folder that changed this shortly before
/// it was read may change again under the same stamp, so it is read once more the next time.
const TICK: Duration = Duration::from_millis(25);

/// What an entry is, itself and not what it points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder,
    File,
    Link,
    Socket,
    /// A pipe or a device.
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: OsString,
    pub(crate) kind: Kind,
}

/// What identifies one state of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let data = std::fs::symlink_metadata(path)?;
        Ok(Self {
            device: data.dev(),
            inode: data.ino(),
            seconds: data.ctime(),
            nanoseconds: data.ctime_nsec(),
        })
    }

    /// Whether the change lies so far back that a later one has another stamp.
    fn is_settled(&self, now: Duration) -> bool {
        let seconds = u64::try_from(self.seconds).unwrap_or_default();
        let nanoseconds = u32::try_from(self.nanoseconds).unwrap_or_default();
        Duration::new(seconds, nanoseconds) + TICK < now
    }
}

/// One folder as it was read.
#[derive(Debug)]
pub(crate) struct Folder {
    stamp: Stamp,
    is_settled: bool,
    /// Sorted by name.
    pub(crate) entries: Vec<Entry>,
}

impl Folder {
    /// Reads a folder that is none of a link. Identity and content belong together, since both are
    /// asked of the same open folder.
    fn read(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = openat(CWD, path, flags, Mode::empty())?;
        // Before the reading: what comes meanwhile has a later stamp than the one that is kept.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let stat = fstat(&open)?;
        #[allow(
            clippy::useless_conversion,
            clippy::unnecessary_cast,
            reason = "the types of these fields differ between systems"
        )]
        let stamp = Stamp {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            seconds: stat.st_ctime as i64,
            nanoseconds: stat.st_ctime_nsec as i64,
        };
        let mut entries = Vec::new();
        for entry in Dir::read_from(&open)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let mut kind = entry.file_type();
            if kind == FileType::Unknown {
                // Some file systems do not say it in the list.
                match statat(&open, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => kind = FileType::from_raw_mode(stat.st_mode),
                    Err(_) => continue,
                }
            }
            entries.push(Entry { name: name.to_owned(), kind: Kind::from(kind) });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { stamp, is_settled: stamp.is_settled(now), entries })
    }

    /// The device that the folder lies on.
    pub(crate) fn device(&self) -> u64 {
        self.stamp.device
    }

    /// The folder's number on its device.
    pub(crate) fn inode(&self) -> u64 {
        self.stamp.inode
    }
}

impl From<FileType> for Kind {
    fn from(kind: FileType) -> Self {
        match kind {
            FileType::Directory => Self::Folder,
            FileType::RegularFile => Self::File,
            FileType::Symlink => Self::Link,
            FileType::Socket => Self::Socket,
            _ => Self::Other,
        }
    }
}

/// All folders that the rules were made from.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    folders: HashMap<PathBuf, Known>,
    /// Projects of the home that have too many folders to be watched. They stay so.
    too_large: HashSet<PathBuf>,
    round: u64,
}

#[derive(Debug)]
struct Known {
    folder: Arc<Folder>,
    /// The last round that asked for it.
    round: u64,
}

/// What [`Memory::look`] found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Folders that are gone or replaced, or in which something was made, removed or replaced.
    pub(crate) folders: HashSet<PathBuf>,
}

impl Memory {
    /// Looks at every known folder again, and reads those anew that have changed.
    ///
    /// A new stamp counts even with equal names: a file may have been replaced by another of the
    /// same name, and to the kernel that is another file. What cannot be read any more is forgotten.
    pub(crate) fn look(&mut self) -> Changes {
        let mut changes = Changes::default();
        self.folders.retain(|path, known| {
            let is_same = Stamp::of(path).is_ok_and(|stamp| stamp == known.folder.stamp);
            if is_same && known.folder.is_settled {
                return true;
            }
            changes.folders.insert(path.clone());
            let Ok(folder) = Folder::read(path) else { return false };
            known.folder = Arc::new(folder);
            true
        });
        changes
    }

    /// Begins a new round: what it does not ask for is forgotten by [`Memory::end_round`].
    pub(crate) fn begin_round(&mut self) {
        self.round += 1;
    }

    /// Forgets the folders that the round did not ask for.
    pub(crate) fn end_round(&mut self) {
        let round = self.round;
        self.folders.retain(|_, known| known.round == round);
    }

    /// What lies in the folder. Read from disk only when it is not known yet.
    pub(crate) fn list(&mut self, path: &Path) -> io::Result<Arc<Folder>> {
        if let Some(known) = self.folders.get_mut(path) {
            known.round = self.round;
            return Ok(known.folder.clone());
        }
        let folder = Arc::new(Folder::read(path)?);
        let known = Known { folder: folder.clone(), round: self.round };
        self.folders.insert(path.to_owned(), known);
        Ok(folder)
    }

    pub(crate) fn is_too_large(&self, path: &Path) -> bool {
        self.too_large.contains(path)
    }

    /// Remembers that a folder is not looked into, and forgets what was seen of it.
    pub(crate) fn set_too_large(&mut self, path: &Path) {
        if self.too_large.insert(path.to_owned()) {
            self.folders.retain(|folder, _| !folder.starts_with(path));
        }
    }

    /// The folder, if it is known.
    pub(crate) fn known(&self, path: &Path) -> Option<&Folder> {
        self.folders.get(path).map(|known| known.folder.as_ref())
    }

    /// How many folders are looked at before each line.
    pub(crate) fn len(&self) -> usize {
        self.folders.len()
    }
}
