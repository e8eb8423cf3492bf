//! What a part of a workspace was at one moment, what became of it, and the way back.
//!
//! Where the bytes are kept is somebody else's decision ([`Keep`]). Nothing is overwritten or deleted
//! on the way back that is not kept itself.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::{self, Read},
    mem::discriminant,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{Found, Result, Stamp, Wanted, Workspace, WorkspaceError, error};

/// The largest file that is kept, in bytes.
const LARGEST: u64 = 20 * 1024 * 1024;
/// The most files and folders of one snapshot.
const MOST: usize = 20_000;
/// The most bytes of one snapshot.
const ROOM: u64 = 256 * 1024 * 1024;

/// Keeps bytes. All calls block.
pub trait Keep {
    /// Keeps these bytes, and names them. The same bytes may get the same name.
    fn keep(&self, bytes: &[u8]) -> io::Result<String>;

    /// True when bytes of this name are kept.
    fn has(&self, name: &str) -> bool;

    /// The bytes of this name; an error when they are gone or damaged.
    fn fetch(&self, name: &str) -> io::Result<Vec<u8>>;
}

/// What a path was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing was there.
    Absent,
    /// A regular file.
    File {
        /// The name that its bytes are kept under.
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
    pub from: State,
    /// What it became, or is to become.
    pub to: State,
}

impl Step {
    /// The way back.
    pub fn back(&self) -> Self {
        Self { path: self.path.clone(), from: self.to.clone(), to: self.from.clone() }
    }
}

/// What files held when they had a stamp: saves reading them again.
#[derive(Debug, Default)]
pub struct Known(HashMap<PathBuf, (Stamp, String)>);

/// What a part of a workspace was at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// What was there, and its state; or why that is not kept.
    seen: BTreeMap<PathBuf, (Found, Result<State, String>)>,
    left_out: BTreeSet<PathBuf>,
    cut: bool,
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
    /// What changed between this snapshot and a later one that was taken over it.
    pub fn compare(&self, later: &Self) -> Changes {
        let mut changes = Changes::default();
        if later.cut {
            changes.lost.push(format!("only the first {MOST} files are looked at"));
        }
        let nothing = (Found::Nothing, Ok(State::Absent));
        for (path, (found, now)) in &later.seen {
            let was = match self.seen.get(path) {
                Some(was) => was,
                // It was there already, ignored: a command that removes an ignore file makes nothing.
                None if path.ancestors().any(|it| self.left_out.contains(it)) => continue,
                None => &nothing,
            };
            match (&was.1, now) {
                (Ok(from), Ok(to)) if from == to => {}
                (Ok(from), Ok(to)) => {
                    let (path, from, to) = (path.clone(), from.clone(), to.clone());
                    changes.steps.push(Step { path, from, to });
                }
                _ if was.0 == *found => {}
                (Err(why), _) | (_, Err(why)) => changes.lost.push(format!("{path:?} {why}")),
            }
        }
        changes
    }
}

impl Workspace {
    /// What these paths are (resolved ones; a folder means all in it that no ignore file names), and
    /// what the paths of an `earlier` snapshot are by now. Their bytes are kept when this returns.
    /// A file of more than 20 MB is looked at but not kept, and neither are the largest of all when they
    /// are more than 256 MB together.
    ///
    /// # Errors
    /// Bytes could not be kept, or it was cancelled. A file that cannot be read is no error here.
    pub fn snapshot(
        &self,
        paths: &[PathBuf],
        earlier: Option<&Snapshot>,
        keep: &dyn Keep,
        known: &mut Known,
        cancel: &CancellationToken,
    ) -> Result<Snapshot> {
        let (mut snapshot, mut found) = (Snapshot::default(), BTreeMap::new());
        for path in paths {
            for above in path.ancestors().skip(1).filter(|it| !it.as_os_str().is_empty()) {
                found.insert(above.to_owned(), self.look(above)?);
            }
            let it = self.look(path)?;
            if let Found::Folder { .. } = it {
                let listing = self.list(path, MOST)?;
                found.extend(listing.found);
                snapshot.left_out.extend(listing.left_out);
                snapshot.cut |= listing.cut;
            }
            if path != Path::new(".") {
                found.insert(path.clone(), it);
            }
        }
        for path in earlier.iter().flat_map(|earlier| earlier.seen.keys()) {
            if !found.contains_key(path) {
                found.insert(path.clone(), self.look(path)?);
            }
        }
        let (mut room, mut found) = (ROOM, Vec::from_iter(found));
        // The small ones first: what people write by hand is among them.
        found.sort_by_key(|(_, found)| match found {
            Found::File { len, .. } => *len,
            _ => 0,
        });
        for (path, found) in found {
            if cancel.is_cancelled() {
                return Err(error("look at", &path, io::ErrorKind::Interrupted.into()));
            }
            let state = self.state(&path, &found, &mut room, keep, known)?;
            snapshot.seen.insert(path, (found, state));
        }
        Ok(snapshot)
    }

    /// Takes each step, if its path still is what the step begins with, or gone, or done already. All
    /// are looked at before one is taken. What a failure cuts short can be tried again.
    ///
    /// # Errors
    /// [`WorkspaceError::Changed`], and nothing is done; else those of reading and writing.
    pub fn restore(&self, steps: &[Step], keep: &dyn Keep) -> Result<()> {
        let mut now = Vec::with_capacity(steps.len());
        for Step { path, from, to } in steps {
            let found = self.look(path)?;
            let state = self.state(path, &found, &mut { u64::MAX }, keep, &mut Known::default())?;
            match state {
                Ok(state) if state == State::Absent || state == *from || state == *to => {
                    now.push(state);
                }
                _ => return Err(WorkspaceError::Changed { path: path.clone() }),
            }
            self.with_wanted(path, to, keep, |_| Ok(()))?;
        }
        let steps = || steps.iter().zip(&now).filter(|(step, now)| step.to != **now);
        // Out of the way first, what lies deepest before what it lies in; then the other way round.
        for (step, now) in steps().rev() {
            if *now != State::Absent && discriminant(&step.to) != discriminant(now) {
                self.put(&step.path, Wanted::Nothing)?;
            }
        }
        for (Step { path, to, .. }, _) in steps().filter(|(step, _)| step.to != State::Absent) {
            self.with_wanted(path, to, keep, |wanted| match wanted {
                // Open to us for now: something may have to go into it.
                Wanted::Folder { mode } => self.put(path, Wanted::Folder { mode: mode | 0o700 }),
                wanted => self.put(path, wanted),
            })?;
        }
        for (step, _) in steps().rev() {
            if let State::Folder { mode } = step.to {
                self.put(&step.path, Wanted::Folder { mode })?;
            }
        }
        Ok(())
    }

    /// What is there, its bytes kept; or why they are not.
    fn state(
        &self,
        path: &Path,
        found: &Found,
        room: &mut u64,
        keep: &dyn Keep,
        known: &mut Known,
    ) -> Result<Result<State, String>> {
        let unkept = |why: &str| Ok(Err(why.to_owned()));
        if path.to_str().is_none() {
            return unkept("has a name that is no UTF-8");
        }
        let (mode, len, stamp) = match found {
            Found::Nothing => return Ok(Ok(State::Absent)),
            Found::Folder { mode } => return Ok(Ok(State::Folder { mode: *mode })),
            Found::Link { target } => match target.to_str() {
                Some(target) => return Ok(Ok(State::Link { target: target.to_owned() })),
                None => return unkept("leads to a name that is no UTF-8"),
            },
            Found::Other => return unkept("is no regular file"),
            Found::File { mode, len, stamp } => (*mode, *len, *stamp),
        };
        if len > LARGEST {
            return unkept("is larger than 20 MB");
        }
        let Some(left) = room.checked_sub(len) else {
            return unkept("lies beyond the 256 MB that are kept");
        };
        *room = left;
        let at = self.absolute(path);
        if let Some((then, kept)) = known.0.get(&at)
            && (*then, keep.has(kept)) == (stamp, true)
        {
            return Ok(Ok(State::File { kept: kept.clone(), mode }));
        }
        let mut bytes = Vec::new();
        let read = self.open_beneath(path).and_then(|(file, _)| {
            let read = file.take(LARGEST + 1).read_to_end(&mut bytes);
            read.map_err(|source| error("read", path, source))
        });
        match read {
            Ok(read) if read as u64 <= LARGEST => {}
            Ok(_) => return unkept("has grown larger than 20 MB"),
            Err(why) => return Ok(Err(format!("could not be kept ({why})"))),
        }
        let kept = keep.keep(&bytes).map_err(|source| error("keep", path, source))?;
        if stamp.is_settled() {
            known.0.insert(at, (stamp, kept.clone()));
        }
        Ok(Ok(State::File { kept, mode }))
    }

    fn with_wanted(
        &self,
        path: &Path,
        state: &State,
        keep: &dyn Keep,
        then: impl FnOnce(Wanted<'_>) -> Result<()>,
    ) -> Result<()> {
        match state {
            State::Absent => then(Wanted::Nothing),
            State::Folder { mode } => then(Wanted::Folder { mode: *mode }),
            State::Link { target } => then(Wanted::Link { target: Path::new(target) }),
            State::File { kept, mode } => {
                let bytes = keep.fetch(kept);
                let bytes = bytes.map_err(|source| error("restore", path, source))?;
                then(Wanted::File { bytes: &bytes, mode: *mode })
            }
        }
    }
}
