//! Behind the lesson: bytes in plain files, each of which is named by the hash of what is in it.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use harness_core::host::trust::hash;

/// How long bytes are kept that no change needs: a call that still runs may have stored them.
const GRACE_PERIOD: Duration = Duration::from_secs(24 * 60 * 60);
/// How old a file may be before it is made young again when its bytes are needed once more.
const REFRESH_AFTER: Duration = Duration::from_secs(60 * 60);

/// A folder of bytes. The same bytes are in it once. All calls block.
#[derive(Debug, Clone)]
pub struct BlobStore {
    folder: PathBuf,
}

impl BlobStore {
    /// Opens a folder, and makes it where there is none. It is private (0700), since it holds copies of
    /// whatever is private in a workspace.
    ///
    /// # Errors
    /// The folder cannot be made, or is behind a link.
    pub fn open(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = folder.into();
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        if fs::canonicalize(&folder)? != folder {
            return Err(io::Error::other("it is behind a link"));
        }
        Ok(Self { folder })
    }

    /// Stores these bytes, and names them.
    ///
    /// # Errors
    /// They cannot be written. Nothing is left of them then.
    pub fn store(&self, bytes: &[u8]) -> io::Result<String> {
        let name = hash(bytes);
        if self.has(&name) && self.is_whole(&name, bytes.len()) {
            return Ok(name);
        }
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(bytes)?;
        file.persist(self.path(&name))?;
        Ok(name)
    }

    /// A power cut can leave a file of the right name and the wrong length.
    fn is_whole(&self, name: &str, length: usize) -> bool {
        fs::metadata(self.path(name)).is_ok_and(|file| file.len() == length as u64)
    }

    /// Whether bytes of this name are there. They stay for a day from now, whether a change needs them or not.
    pub fn has(&self, name: &str) -> bool {
        let path = self.path(name);
        let Some(age) = age(&path) else { return false };
        if age <= REFRESH_AFTER {
            return true;
        }
        let file = File::options().append(true).open(&path);
        file.and_then(|file| file.set_modified(SystemTime::now())).is_ok()
    }

    /// The bytes of this name.
    ///
    /// # Errors
    /// They are gone, or damaged.
    pub fn fetch(&self, name: &str) -> io::Result<Vec<u8>> {
        let bytes = fs::read(self.path(name))?;
        if hash(&bytes) != name {
            return Err(io::Error::other(format!("the bytes kept as {name} are damaged")));
        }
        Ok(bytes)
    }

    /// Waits until the bytes of this name are on the disk.
    pub(crate) fn sync(&self, name: &str) -> io::Result<()> {
        File::open(self.path(name))?.sync_all()
    }

    /// Removes what is not needed any more, but for what is younger than a day.
    pub(crate) fn remove_all_but(&self, needed: &HashSet<&str>) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let path = entry.path();
            let name = entry.file_name();
            let is_needed = name.to_str().is_some_and(|name| needed.contains(name));
            let is_old = age(&path).is_some_and(|age| age > GRACE_PERIOD);
            if !is_needed && is_old {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// The file of the bytes of this name.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

/// How long ago a file was written; nothing if there is none.
fn age(path: &Path) -> Option<Duration> {
    let written = fs::metadata(path).and_then(|file| file.modified()).ok()?;
    Some(SystemTime::now().duration_since(written).unwrap_or_default())
}
