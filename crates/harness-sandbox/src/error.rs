//! Why a child was not started.

use std::{io, path::PathBuf};

use crate::level::{Level, Missing};

/// Why a child was not started, in one line that says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The workspace is missing, or is no folder.
    #[error("cannot confine to {}: {source}; name a folder that exists", .path.display())]
    Place {
        /// The place that was given.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A place that cannot be kept apart from the rest: it holds the home or the whole system, or it
    /// is a link where a folder must be.
    #[error("cannot confine to {}: it is no folder of a project alone; start in the project's own folder", .path.display())]
    Unfit {
        /// The place that was given.
        path: PathBuf,
    },
    /// The level does not exist on this machine.
    #[error("there is no level {level} here: {missing}")]
    NoLevel {
        /// The level that was asked for.
        level: Level,
        /// What is missing.
        missing: Missing,
    },
    /// There is no room for a scratch folder.
    #[error("no scratch folder in {}: {source}; free some space, or set TMPDIR", .path.display())]
    Scratch {
        /// Where it was to be made.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The confinement itself failed. The child was not started.
    #[error("cannot confine: {0}; the child was not started")]
    Confine(#[from] ConfineError),
    /// The directory of the child is missing.
    #[error("cannot run in {}: {source}; name a directory that exists", .path.display())]
    Directory {
        /// The directory that was asked for.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The program could not be started.
    #[error("cannot start {program}: {source}{}", hint(.source))]
    Start {
        /// The program.
        program: String,
        /// The system's reason.
        source: io::Error,
    },
}

fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::NotFound => "; is it installed and on the PATH?",
        io::ErrorKind::ArgumentListTooLong => "; put the long text into a file",
        io::ErrorKind::InvalidInput => "; a NUL character cannot be passed to a program",
        _ => "",
    }
}

/// Why a child could not be confined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfineError {
    /// The kernel refused the rules for paths.
    #[cfg(target_os = "linux")]
    #[error("the rules for files could not be made: {0}")]
    Rules(#[from] landlock::RulesetError),
    /// The kernel took the rules only in part, which counts as not at all.
    #[error("the system enforces the rules only in part")]
    Partial,
    /// The kernel refused the filter.
    #[cfg(target_os = "linux")]
    #[error("the filter for calls could not be set: {0}")]
    Filter(#[from] seccompiler::Error),
    /// The architecture has no filter.
    #[cfg(target_os = "linux")]
    #[error("the filter for calls could not be made: {0}")]
    Compile(#[from] seccompiler::BackendError),
    /// A call of the system failed.
    #[error("the confinement could not be prepared: {0}")]
    System(#[from] io::Error),
}
