//! What a file system can hold besides files and folders: a named pipe, and a disk that is soon full.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::folder::{scrubbed, skip};

/// Makes a named pipe. Who opens one end of it waits for who opens the other.
///
/// # Panics
/// When it cannot be made.
pub fn fifo(path: &Path) {
    let made = scrubbed("mkfifo", Path::new("/")).arg(path).status();
    assert!(made.is_ok_and(|status| status.success()), "no pipe at {}", path.display());
}

/// A disk with little room, in memory. It is taken away when this is dropped, so drop what uses it before.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// One of so many KiB, at a folder that this makes; `None`, and said, where the tests may not mount any.
    ///
    /// # Panics
    /// When the folder cannot be made.
    pub fn mount(path: impl Into<PathBuf>, kib: u32) -> Option<Self> {
        let path = path.into();
        std::fs::create_dir(&path).unwrap();
        let mut mount = scrubbed("mount", Path::new("/"));
        mount.args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs"]).arg(&path);
        let mounted = mount.stderr(Stdio::null()).status();
        if !mounted.is_ok_and(|status| status.success()) {
            skip("no disk can be mounted here");
            return None;
        }
        Some(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let gone = scrubbed("umount", Path::new("/")).arg(&self.0).status();
        let gone = gone.is_ok_and(|status| status.success());
        assert!(gone || std::thread::panicking(), "{} is still mounted", self.0.display());
    }
}
