//! What a call does to the world, and what it would change.

use std::path::PathBuf;

/// What a call does. Gate, schedule and checkpoints judge by this, never by a tool's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It touches nothing but the harness's own state: a plan, a mailbox, the answer of a subagent whose own
    /// calls are judged one by one.
    Internal,
    /// It only reads these paths.
    Reads(Vec<PathBuf>),
    /// It changes these paths.
    Writes(Vec<PathBuf>),
    /// It runs this shell line.
    Runs(String),
    /// What it does is not known before it runs.
    Unknown,
}

/// The most bytes of a file, before or after, that a [`Change`] shows.
pub const MAX_PREVIEW: u64 = 1 << 20;

/// What a call would make of one file: shown with the question whether it may run, and compared once more
/// before it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The file, as the call names it.
    pub path: PathBuf,
    /// Its text now; `None` where there is no file yet.
    pub before: Option<String>,
    /// Its text afterwards.
    pub after: String,
}
