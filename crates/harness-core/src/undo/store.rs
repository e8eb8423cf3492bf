//! The disk: bytes in plain files that are named by their hash, and the history beside them.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::History;
use crate::workspace::{self, Keep, Workspace, WorkspaceError};

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
    index: PathBuf,
    hash: Hash,
}

type Result<T, E = WorkspaceError> = std::result::Result<T, E>;

impl Store {
    /// Opens the store of a workspace, `.harness/checkpoints` in it; makes it where there is none. It is
    /// private, since it holds copies of whatever is private in the workspace.
    ///
    /// # Errors
    /// The folder cannot be made, or is a link.
    pub fn open(workspace: &Workspace, hash: Hash) -> Result<Self> {
        let folder = workspace.state_dir()?.join("checkpoints");
        let (blobs, index) = (folder.join("blobs"), folder.join("index.json"));
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&blobs);
        match made.and_then(|()| fs::canonicalize(&blobs)) {
            Ok(real) if real == blobs => Ok(Self { blobs, index, hash }),
            Ok(_) => Err(failed("use", &blobs, io::Error::other("it is behind a link"))),
            Err(source) => Err(failed("use", &blobs, source)),
        }
    }

    /// The history as it is now.
    ///
    /// # Errors
    /// [`WorkspaceError::Damaged`] when it cannot be read; its bytes stay.
    pub fn history(&self) -> Result<History> {
        self.parse(workspace::read(&self.index)?.as_deref())
    }

    /// Changes the history, as one step for all processes. What a new change needs is on disk before the
    /// change is. An error of `change` leaves the history as it is.
    ///
    /// # Errors
    /// It is damaged, or cannot be written, or those of `change`.
    pub fn update<T>(&self, change: impl FnOnce(&mut History) -> Result<T>) -> Result<T> {
        let mut done = Err(failed("update", &self.index, io::ErrorKind::Interrupted.into()));
        workspace::update(&self.index, |old| {
            let mut history = self.parse(old.as_deref())?;
            let (made, first) = (history.made, history.first());
            done = Ok(change(&mut history)?);
            for path in history.names(made).map(|name| self.blobs.join(name)) {
                let synced = File::open(&path).and_then(|file| file.sync_all());
                synced.map_err(|source| failed("keep", &path, source))?;
            }
            if first.is_some() && first != history.first() {
                self.sweep(&history)?;
            }
            serde_json::to_vec(&history).map_err(|error| failed("write", &self.index, error.into()))
        })?;
        done
    }

    fn parse(&self, bytes: Option<&[u8]>) -> Result<History> {
        let history = bytes.map_or_else(|| Ok(History::default()), History::parse);
        history.map_err(|why| WorkspaceError::Damaged { path: self.index.clone(), why })
    }

    /// Removes bytes that no change needs any more. Those of the last day stay: a call that still runs
    /// may have kept them.
    fn sweep(&self, history: &History) -> Result<()> {
        let needed: HashSet<&str> = history.names(0).collect();
        let swept = |source| failed("sweep", &self.blobs, source);
        for entry in fs::read_dir(&self.blobs).map_err(swept)? {
            let entry = entry.map_err(swept)?;
            let is_needed = entry.file_name().to_str().is_some_and(|name| needed.contains(name));
            if !is_needed && age(&entry.path()) > Some(DAY) {
                fs::remove_file(entry.path()).map_err(swept)?;
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

fn failed(action: &'static str, path: &Path, source: io::Error) -> WorkspaceError {
    WorkspaceError::Io { action, path: path.to_owned(), source }
}
