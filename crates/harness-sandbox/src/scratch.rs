//! The one place where a confined line may write: a folder that is `TMPDIR` and is deleted.

use std::{
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

/// The parent of all scratch folders of one sandbox. It is granted once, so a new scratch folder needs
/// no new rule. Only its owner may enter it.
#[derive(Debug)]
pub(crate) struct ScratchParent {
    folder: TempDir,
    path: PathBuf,
}

/// The folder of one line.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
}

impl ScratchParent {
    pub(crate) fn new() -> io::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("scratch-")
            .permissions(std::fs::Permissions::from_mode(0o700))
            .tempdir()?;
        let path = folder.path().canonicalize()?;
        Ok(Self { folder, path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A new empty folder in it.
    pub(crate) fn make(&self) -> io::Result<Scratch> {
        let folder = tempfile::Builder::new()
            .prefix("line-")
            .permissions(std::fs::Permissions::from_mode(0o700))
            .tempdir_in(&self.path)?;
        Ok(Scratch { path: folder.keep() })
    }

    /// A folder of this name that stays as long as the sandbox.
    pub(crate) fn keep(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        match std::fs::create_dir(&path) {
            Ok(()) => Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(path),
            Err(error) => Err(error),
        }
    }
}

impl Drop for ScratchParent {
    fn drop(&mut self) {
        // What cannot be deleted at the first try is deleted below; TempDir does the rest.
        remove_all(self.folder.path());
    }
}

impl Scratch {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove_all(&self.path);
    }
}

/// Deletes a folder with everything in it, also folders that their maker has locked against writing.
/// Links are deleted and never followed, also when somebody swaps them in meanwhile.
fn remove_all(path: &Path) {
    if std::fs::remove_dir_all(path).is_ok() {
        return;
    }
    #[cfg(target_os = "linux")]
    unlock::unlock(path);
    let _ = std::fs::remove_dir_all(path);
}

#[cfg(target_os = "linux")]
mod unlock {
    use std::{
        ffi::OsStr,
        fs::Permissions,
        os::{
            fd::{AsFd, AsRawFd, OwnedFd},
            unix::fs::PermissionsExt,
        },
        path::Path,
    };

    use rustix::fs::{CWD, Mode, OFlags, openat};

    /// Makes a folder and those below it writable to their owner.
    pub(super) fn unlock(path: &Path) {
        unlock_entry(CWD, path.as_os_str());
    }

    fn unlock_entry(folder: impl AsFd, name: &OsStr) {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if let Ok(inner) = openat(folder, name, flags, Mode::empty()) {
            unlock_open(&inner);
        }
    }

    fn unlock_open(folder: &OwnedFd) {
        // A folder that was opened for its path only has no other handle for a change of mode.
        let by_number = format!("/proc/self/fd/{}", folder.as_raw_fd());
        let _ = std::fs::set_permissions(&by_number, Permissions::from_mode(0o700));
        let Ok(entries) = std::fs::read_dir(&by_number) else { return };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                unlock_entry(folder, &entry.file_name());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scratch_is_deleted_with_locked_folders_and_without_following_links() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("kept"), "x").unwrap();
        let parent = ScratchParent::new().unwrap();
        let scratch = parent.make().unwrap();
        let path = scratch.path().to_owned();
        let locked = path.join("a/b");
        std::fs::create_dir_all(&locked).unwrap();
        std::fs::write(locked.join("file"), "x").unwrap();
        std::os::unix::fs::symlink(outside.path(), path.join("link")).unwrap();
        std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o000)).unwrap();
        drop(scratch);
        assert!(!path.exists());
        assert!(outside.path().join("kept").exists());
        let place = parent.path().to_owned();
        drop(parent);
        assert!(!place.exists());
    }
}
