//! A small state file of one typed value: read as a whole, and changed under a lock.
//!
//! A file that cannot be read is damaged, and damage is reported, never repaired by guessing. A tracker that
//! took a half-written file for an empty one would lose everything with the next save.

use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Serializer, ser::Formatter};
use tokio::time::{Instant, sleep};

use crate::host::workspace;
use crate::host::workspace::WorkspaceError;

/// How often [`changed`] looks at the file.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A state file of one value, JSON. Holds no open file, so a clone is cheap and many may be used at
/// once, in this process and in others.
///
/// ```
/// use harness_core::host::state::StateFile;
///
/// let folder = tempfile::tempdir()?;
/// let names: StateFile<Vec<String>> = StateFile::new(folder.path().join("names.json"));
/// names.change(|names| { names.push("Ada".to_owned()); Ok(()) })?;
/// assert_eq!(names.load()?, ["Ada"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct StateFile<T> {
    path: PathBuf,
    check: fn(&T) -> Result<(), String>,
}

/// Why a state file was not read or not changed. Its bytes are what they were.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The file exists, but it does not hold a valid value.
    #[error("{path:?} is damaged ({why}); fix it or move it away")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The change is not possible, for this reason.
    #[error("{0}")]
    Refused(String),
    /// The file system refused.
    #[error(transparent)]
    File(#[from] WorkspaceError),
}

impl<T> StateFile<T> {
    /// Names a state file. It is made by the first change; its folder must exist by then.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), check: |_| Ok(()) }
    }

    /// Adds a check that every value must pass. A file whose value fails it is damaged, and a change whose
    /// result fails it is refused.
    pub fn checked(self, check: fn(&T) -> Result<(), String>) -> Self {
        Self { check, ..self }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl<T: Default + Serialize + DeserializeOwned> StateFile<T> {
    /// The value as it is now; the default when there is no file. Takes no lock: a file that is replaced as a
    /// whole is always whole.
    ///
    /// # Errors
    /// [`StateError::Damaged`], also for an empty file, or the file cannot be read.
    pub fn load(&self) -> Result<T, StateError> {
        self.parse(workspace::read(&self.path)?)
    }

    /// Reads, changes and replaces the value, as one step for all processes and threads. It is on disk when
    /// this returns.
    ///
    /// # Errors
    /// [`StateError::Refused`] with the reason that `change` gives; else those of [`StateFile::load`] and
    /// [`workspace::update`]. The file stays as it was.
    pub fn change<R>(
        &self,
        change: impl FnOnce(&mut T) -> Result<R, String>,
    ) -> Result<R, StateError> {
        let mut changed = None;
        workspace::update(&self.path, |old| {
            let mut value = self.parse(old)?;
            let done = change(&mut value).and_then(|done| (self.check)(&value).map(|()| done));
            changed = Some(done.map_err(StateError::Refused)?);
            let mut text = Vec::new();
            let written = value.serialize(&mut Serializer::with_formatter(&mut text, Lines(0)));
            written.map_err(|error| StateError::Refused(format!("{error}")))?;
            text.push(b'\n');
            Ok::<_, StateError>(text)
        })?;
        changed.ok_or_else(|| StateError::Refused("nothing was changed".to_owned()))
    }

    fn parse(&self, bytes: Option<Vec<u8>>) -> Result<T, StateError> {
        let Some(bytes) = bytes else { return Ok(T::default()) };
        let value = serde_json::from_slice(&bytes).map_err(|error| error.to_string());
        let checked = value.and_then(|value| (self.check)(&value).map(|()| value));
        checked.map_err(|why| StateError::Damaged { path: self.path.clone(), why })
    }
}

/// Waits until a file differs from what it is now, but at most for `timeout`. For a task that has nothing to do
/// until another process has changed the file. The file is polled twenty times a second, but not read.
pub fn changed(path: &Path, timeout: Duration) -> impl Future<Output = ()> + use<> {
    // Polled, because the system's notifications do not work on network file systems and are limited per user.
    fn look(path: &Path) -> Option<(SystemTime, u64, u64)> {
        let now = std::fs::metadata(path).ok()?;
        Some((now.modified().ok()?, now.len(), now.ino())) // replaced whole: another file, another number
    }
    let path = path.to_owned();
    let before = look(&path);
    let deadline = Instant::now() + timeout;
    async move {
        while look(&path) == before && Instant::now() < deadline {
            sleep(POLL_INTERVAL).await;
        }
    }
}

impl<T> Clone for StateFile<T> {
    fn clone(&self) -> Self {
        Self { path: self.path.clone(), check: self.check }
    }
}

impl<T> std::fmt::Debug for StateFile<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("StateFile").field(&self.path).finish()
    }
}

/// Writes each entry of the outermost list or object on a line of its own: short enough to be written often,
/// and a diff shows what has changed. Holds the depth.
struct Lines(usize);

impl Lines {
    fn open<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.0 += 1;
        writer.write_all(bracket)
    }

    fn entry<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(match (self.0, first) {
            (1, true) => b"\n",
            (1, false) => b",\n",
            (_, true) => b"",
            (_, false) => b", ",
        })
    }

    fn close<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.0 -= 1;
        writer.write_all(if self.0 == 0 { b"\n" } else { b"" })?;
        writer.write_all(bracket)
    }
}

impl Formatter for Lines {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, w: &mut W, first: bool) -> io::Result<()> {
        self.entry(w, first)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, w: &mut W, first: bool) -> io::Result<()> {
        self.entry(w, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}
