//! Behind the lesson: what a part of a workspace was at one moment, and what became of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use harness_core::host::workspace::{Found, Stamp, Workspace, WorkspaceError};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::blobs::BlobStore;

/// The largest file that is kept, in bytes.
const MAX_FILE: u64 = 20 * 1024 * 1024;
/// The most files and folders of one snapshot.
const MAX_ENTRIES: usize = 20_000;
/// The most bytes of one snapshot.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// What a path was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathState {
    /// Nothing was there.
    Absent,
    /// A regular file.
    File {
        /// The name of its bytes in the [`BlobStore`].
        kept: String,
        /// Its permission bits.
        mode: u32,
    },
    /// A folder.
    Folder {
        /// Its permission bits.
        mode: u32,
    },
    /// A symbolic link.
    Link {
        /// Its text.
        target: String,
    },
}

/// One path's way from one state to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The path, relative to the workspace and without links.
    pub path: PathBuf,
    /// What it was, or must be.
    pub from: PathState,
    /// What it became, or is to become.
    pub to: PathState,
}

impl Step {
    /// The way back.
    pub fn back(&self) -> Self {
        Self { path: self.path.clone(), from: self.to.clone(), to: self.from.clone() }
    }
}

/// Under which names files were stored when they had a stamp: saves reading them again.
#[derive(Debug, Default)]
pub struct KnownFiles(HashMap<PathBuf, KnownFile>);

#[derive(Debug)]
struct KnownFile {
    stamp: Stamp,
    blob: String,
}

/// What a part of a workspace was at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    seen: BTreeMap<PathBuf, Seen>,
    /// What was there and was not looked at; a folder stands for all in it.
    left_out: BTreeSet<PathBuf>,
    /// Whether there was more than is looked at.
    cut: bool,
}

/// What was at a path.
#[derive(Debug)]
struct Seen {
    found: Found,
    kept: Kept,
}

/// Whether a path can be made again what it was.
#[derive(Debug)]
pub(crate) enum Kept {
    /// It can: its bytes are in the store.
    As(PathState),
    /// It cannot, and this is why.
    Not(String),
}

/// What became of a part of a workspace.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// By path, what was and what is now.
    pub steps: Vec<Step>,
    /// What changed, or may have, and could not be kept: a sentence each.
    pub lost: Vec<String>,
}

impl Snapshot {
    /// Takes a snapshot: what these paths are (resolved ones; a folder means all in it that no ignore file
    /// names), and what the paths of an `earlier` snapshot are by now. Their bytes are in the store when this
    /// returns. A file of more than 20 MB is looked at but not stored, and neither are the largest of all when
    /// they are more than 256 MB together.
    ///
    /// # Errors
    /// Bytes could not be stored, or it was cancelled. A file that cannot be read is no error here.
    pub fn take(
        workspace: &Workspace,
        paths: &[PathBuf],
        earlier: Option<&Snapshot>,
        blobs: &BlobStore,
        known: &mut KnownFiles,
        cancel: &CancellationToken,
    ) -> Result<Self, WorkspaceError> {
        let mut snapshot = Self::default();
        let mut found = BTreeMap::new();
        for path in paths {
            snapshot.look(workspace, path, &mut found)?;
        }
        for path in earlier.iter().flat_map(|earlier| earlier.seen.keys()) {
            if !found.contains_key(path) {
                found.insert(path.clone(), workspace.look(path)?);
            }
        }

        let mut found: Vec<(PathBuf, Found)> = found.into_iter().collect();
        // The small ones first: what people write by hand is among them.
        found.sort_by_key(|(_, found)| length(found));

        let mut keeper = Keeper::new(workspace, blobs, known, MAX_BYTES);
        for (path, found) in found {
            if cancel.is_cancelled() {
                return Err(failed("look at", &path, io::ErrorKind::Interrupted.into()));
            }
            let kept = keeper.keep(&path, &found)?;
            snapshot.seen.insert(path, Seen { found, kept });
        }
        Ok(snapshot)
    }

    /// Finds a path, the folders that it lies in, and what is in it.
    fn look(
        &mut self,
        workspace: &Workspace,
        path: &Path,
        found: &mut BTreeMap<PathBuf, Found>,
    ) -> Result<(), WorkspaceError> {
        for folder in path.ancestors().skip(1).filter(|it| !it.as_os_str().is_empty()) {
            found.insert(folder.to_owned(), workspace.look(folder)?);
        }
        let it = workspace.look(path)?;
        if let Found::Folder { .. } = it {
            let listing = workspace.list(path, MAX_ENTRIES)?;
            found.extend(listing.found);
            self.left_out.extend(listing.left_out);
            self.cut |= listing.cut;
        }
        if path != Path::new(".") {
            found.insert(path.to_owned(), it);
        }
        Ok(())
    }

    /// What changed between this snapshot and a later one that was taken over it.
    pub fn compare(&self, later: &Self) -> Changes {
        let mut changes = Changes::default();
        if later.cut {
            changes.lost.push(format!("only the first {MAX_ENTRIES} files are looked at"));
        }
        let nothing = Seen { found: Found::Nothing, kept: Kept::As(PathState::Absent) };
        for (path, now) in &later.seen {
            let before = match self.seen.get(path) {
                Some(before) => before,
                // It was there already, ignored: a command that removes an ignore file makes nothing.
                None if path.ancestors().any(|it| self.left_out.contains(it)) => continue,
                None => &nothing,
            };
            match (&before.kept, &now.kept) {
                (Kept::As(from), Kept::As(to)) if from == to => {}
                (Kept::As(from), Kept::As(to)) => changes.steps.push(Step {
                    path: path.clone(),
                    from: from.clone(),
                    to: to.clone(),
                }),
                _ if before.found == now.found => {}
                (Kept::Not(why), _) | (_, Kept::Not(why)) => {
                    changes.lost.push(format!("{path:?} {why}"));
                }
            }
        }
        changes
    }
}

fn length(found: &Found) -> u64 {
    match found {
        Found::File { len, .. } => *len,
        _ => 0,
    }
}

/// Stores what is found, as long as there is room.
pub(crate) struct Keeper<'a> {
    workspace: &'a Workspace,
    blobs: &'a BlobStore,
    known: &'a mut KnownFiles,
    /// How many bytes it may still store.
    room: u64,
}

impl<'a> Keeper<'a> {
    pub(crate) fn new(
        workspace: &'a Workspace,
        blobs: &'a BlobStore,
        known: &'a mut KnownFiles,
        room: u64,
    ) -> Self {
        Self { workspace, blobs, known, room }
    }

    /// What is at a path, its bytes in the store; or why they are not.
    pub(crate) fn keep(&mut self, path: &Path, found: &Found) -> Result<Kept, WorkspaceError> {
        if path.to_str().is_none() {
            return Ok(Kept::not("has a name that is no UTF-8"));
        }
        Ok(match found {
            Found::Nothing => Kept::As(PathState::Absent),
            Found::Folder { mode } => Kept::As(PathState::Folder { mode: *mode }),
            Found::Link { target } => match target.to_str() {
                Some(target) => Kept::As(PathState::Link { target: target.to_owned() }),
                None => Kept::not("leads to a name that is no UTF-8"),
            },
            Found::File { mode, len, stamp } => self.keep_file(path, *mode, *len, *stamp)?,
            Found::Other => Kept::not("is no regular file"),
        })
    }

    fn keep_file(
        &mut self,
        path: &Path,
        mode: u32,
        len: u64,
        stamp: Stamp,
    ) -> Result<Kept, WorkspaceError> {
        if len > MAX_FILE {
            return Ok(Kept::not("is larger than 20 MB"));
        }
        let Some(room) = self.room.checked_sub(len) else {
            return Ok(Kept::not("lies beyond the 256 MB that are kept"));
        };
        self.room = room;
        let place = self.workspace.absolute(path);
        if let Some(known) = self.known.0.get(&place)
            && known.stamp == stamp
            && self.blobs.has(&known.blob)
        {
            return Ok(Kept::As(PathState::File { kept: known.blob.clone(), mode }));
        }
        let bytes = match self.read(path) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(Kept::not("has grown larger than 20 MB")),
            Err(why) => return Ok(Kept::Not(format!("could not be kept ({why})"))),
        };
        let blob = self.blobs.store(&bytes).map_err(|source| failed("keep", path, source))?;
        if stamp.is_settled() {
            self.known.0.insert(place, KnownFile { stamp, blob: blob.clone() });
        }
        Ok(Kept::As(PathState::File { kept: blob, mode }))
    }

    /// The bytes of a file; nothing when there are more of them than is kept.
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, WorkspaceError> {
        let (file, _) = self.workspace.open_beneath(path)?;
        let mut bytes = Vec::new();
        let read = file.take(MAX_FILE + 1).read_to_end(&mut bytes);
        let count = read.map_err(|source| failed("read", path, source))?;
        Ok(if count as u64 <= MAX_FILE { Some(bytes) } else { None })
    }
}

impl Kept {
    fn not(why: &str) -> Self {
        Self::Not(why.to_owned())
    }
}

/// What the system refused.
pub(crate) fn failed(action: &'static str, path: &Path, source: io::Error) -> WorkspaceError {
    WorkspaceError::Io { action, path: path.to_owned(), source }
}
