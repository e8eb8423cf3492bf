//! The disk: bytes in plain files that are named by their hash, and the history beside them.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::History;
use crate::host::state::{StateError, StateFile};
use crate::host::workspace::{Keep, Workspace, WorkspaceError};

/// Bytes that nobody needs are kept for so long all the same.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Bytes of this age are made young again when they are found to be kept.
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Names bytes by their content, in characters that a file name can have. No two contents may have one
/// name: a cryptographic hash. The core has none; who opens a store brings it.
pub type Hash = fn(&[u8]) -> String;

/// The checkpoints of one workspace, in a folder of their own.
#[derive(Debug, Clone)]
pub struct Store {
    blobs: PathBuf,
    index: StateFile<History>,
    hash: Hash,
}

impl Store {
    /// Opens the store of a workspace, `.harness/checkpoints` in it; makes it where there is none. It is
    /// private, since it holds copies of whatever is private in the workspace.
    ///
    /// # Errors
    /// The folder cannot be made, or is a link.
    pub fn open(workspace: &Workspace, hash: Hash) -> Result<Self, WorkspaceError> {
        let folder = workspace.state_dir()?.join("checkpoints");
        let blobs = folder.join("blobs");
        let index = StateFile::new(folder.join("index.json")).checked(History::check);
        let failed = |source| WorkspaceError::Io { action: "use", path: blobs.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&blobs).map_err(failed)?;
        if fs::canonicalize(&blobs).map_err(failed)? != blobs {
            return Err(failed(io::Error::other("it is behind a link")));
        }
        Ok(Self { blobs, index, hash })
    }

    /// The history as it is now.
    ///
    /// # Errors
    /// It is damaged; its bytes stay.
    pub fn history(&self) -> Result<History, StateError> {
        self.index.load()
    }

    /// Changes the history, as one step for all processes. What a new change needs is on disk before the
    /// change is.
    ///
    /// # Errors
    /// It is damaged, or cannot be written, or `change` gave a reason. It stays as it was.
    pub fn update<T>(
        &self,
        change: impl FnOnce(&mut History) -> Result<T, String>,
    ) -> Result<T, StateError> {
        self.index.change(|history| {
            let (made, first) = (history.made, history.first());
            let done = change(history)?;
            for path in history.names(made).map(|name| self.blobs.join(name)) {
                let synced = File::open(&path).and_then(|file| file.sync_all());
                synced.map_err(|why| format!("cannot keep {}: {why}", path.display()))?;
            }
            if first.is_some() && first != history.first() {
                let swept = self.sweep(history);
                swept.map_err(|why| format!("cannot sweep {}: {why}", self.blobs.display()))?;
            }
            Ok(done)
        })
    }

    /// Removes bytes that no change needs any more. Those of the last day stay: a call that still runs
    /// may have kept them.
    fn sweep(&self, history: &History) -> io::Result<()> {
        let needed: HashSet<&str> = history.names(0).collect();
        for entry in fs::read_dir(&self.blobs)? {
            let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
            let is_needed = name.to_str().is_some_and(|name| needed.contains(name));
            if !is_needed && age(&path) > Some(DAY) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

impl Keep for Store {
    fn keep(&self, bytes: &[u8]) -> io::Result<String> {
        let name = (self.hash)(bytes);
        // A power cut can leave a file of the right name and the wrong length.
        let whole = |it: fs::Metadata| it.len() == bytes.len() as u64;
        if !self.has(&name) || !fs::metadata(self.blobs.join(&name)).is_ok_and(whole) {
            let mut file = tempfile::NamedTempFile::new_in(&self.blobs)?;
            file.write_all(bytes)?;
            file.persist(self.blobs.join(&name))?;
        }
        Ok(name)
    }

    fn has(&self, name: &str) -> bool {
        let path = self.blobs.join(name);
        let age = age(&path);
        if age > Some(HOUR) {
            let file = File::options().append(true).open(&path);
            return file.and_then(|file| file.set_modified(SystemTime::now())).is_ok();
        }
        age.is_some()
    }

    fn fetch(&self, name: &str) -> io::Result<Vec<u8>> {
        let bytes = fs::read(self.blobs.join(name))?;
        match (self.hash)(&bytes) == name {
            true => Ok(bytes),
            false => Err(io::Error::other(format!("the bytes kept as {name} are damaged"))),
        }
    }
}

/// How long ago a file was written; nothing if there is none.
fn age(path: &Path) -> Option<Duration> {
    let written = fs::metadata(path).and_then(|file| file.modified()).ok()?;
    Some(SystemTime::now().duration_since(written).unwrap_or_default())
}
