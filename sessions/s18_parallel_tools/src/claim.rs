//! The plan: what a call lays claim to, and which calls can therefore run together.

use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use harness_core::Effect;
use harness_core::host::workspace::Workspace;
use harness_core::permission::is_read_only;

/// What a call lays claim to while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nothing: it will be refused.
    Nothing,
    /// It looks at files, and nobody knows at which: a shell line that only reads.
    Looks,
    /// It reads these places.
    Reads(Vec<Spot>),
    /// It changes these places.
    Writes(Vec<Spot>),
    /// Everything: nobody knows what it does.
    Alone,
}

/// A place in the workspace, whatever it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// Where it is, without links, `.` and `..`.
    pub path: PathBuf,
    /// Device and number of the file, if there is one: hard links are one file under two names.
    pub file: Option<(u64, u64)>,
}

impl Claim {
    /// The claim of a call with this effect; without one, it will be refused.
    pub fn of(effect: Option<&Effect>, cwd: &Path) -> Self {
        let spots = |paths: &[PathBuf]| -> Option<Vec<Spot>> {
            let workspace = Workspace::open(cwd).ok()?;
            paths.iter().map(|path| Spot::find(&workspace, path)).collect()
        };
        match effect {
            None => Claim::Nothing,
            // A plan, a board, another agent: the order in which the model wrote the calls may matter.
            Some(Effect::Internal) => Claim::Alone,
            Some(Effect::Reads(paths) | Effect::Writes(paths)) if paths.is_empty() => Claim::Alone,
            Some(Effect::Reads(paths)) => spots(paths).map_or(Claim::Alone, Claim::Reads),
            Some(Effect::Writes(paths)) => spots(paths).map_or(Claim::Alone, Claim::Writes),
            Some(Effect::Runs(line)) if is_read_only(line) => Claim::Looks,
            Some(Effect::Runs(_) | Effect::Unknown) => Claim::Alone,
        }
    }

    /// Would it matter which of the two runs first?
    pub fn conflicts(&self, other: &Self) -> bool {
        match (self, other) {
            (Claim::Nothing, _) | (_, Claim::Nothing) => false,
            (Claim::Alone, _) | (_, Claim::Alone) => true,
            (Claim::Looks, Claim::Writes(_)) | (Claim::Writes(_), Claim::Looks) => true,
            (Claim::Writes(a), Claim::Writes(b) | Claim::Reads(b))
            | (Claim::Reads(a), Claim::Writes(b)) => {
                a.iter().any(|a| b.iter().any(|b| a.overlaps(b)))
            }
            (Claim::Looks | Claim::Reads(_), Claim::Looks | Claim::Reads(_)) => false,
        }
    }
}

impl Spot {
    /// Looks where the path leads. `None`: out of the workspace, or nowhere that can be known.
    fn find(workspace: &Workspace, path: &Path) -> Option<Self> {
        let path = workspace.absolute(workspace.resolve(path).ok()?);
        let file = path.symlink_metadata().ok().map(|file| (file.dev(), file.ino()));
        Some(Self { path, file })
    }

    /// The same file, or one is a folder above the other.
    fn overlaps(&self, other: &Self) -> bool {
        self.path.starts_with(&other.path)
            || other.path.starts_with(&self.path)
            || self.file.is_some() && self.file == other.file
    }
}

/// Which calls run together, by what they claim: the waves, one after the other. A wave goes on until a
/// call comes that conflicts with one that is already in it. So no call ever overtakes one that it conflicts
/// with, and whoever reads the plan needs to look at neighbours only.
pub fn waves(claims: &[Claim]) -> Vec<Range<usize>> {
    let mut waves: Vec<Range<usize>> = Vec::new();
    for (at, claim) in claims.iter().enumerate() {
        match waves.last_mut() {
            Some(wave) if !claims[wave.clone()].iter().any(|it| it.conflicts(claim)) => {
                wave.end += 1
            }
            _ => waves.push(at..at + 1),
        }
    }
    waves
}
