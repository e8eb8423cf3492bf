//! Where a program runs, and on whose behalf.

use std::path::PathBuf;

use harness_core::Secrets;
use harness_core::host::text;
use tokio_util::sync::CancellationToken;

/// The most bytes of one text that are passed on.
const MAX_TEXT_BYTES: usize = 10_000;

/// Where a program runs, and on whose behalf.
#[derive(Clone, Debug)]
pub struct ProgramContext {
    /// The id of this run of the harness, the same for all its events.
    pub session: String,
    /// The directory the program works in.
    pub cwd: PathBuf,
    /// Variables that the program does not get, and values that are masked in what it says.
    pub secrets: Secrets,
    /// Kills the program when it is cancelled.
    pub cancel: CancellationToken,
}

impl ProgramContext {
    /// The context of a run with this id, in this directory, without secrets.
    pub fn new(session: impl Into<String>, cwd: impl Into<PathBuf>) -> Self {
        Self {
            session: session.into(),
            cwd: cwd.into(),
            secrets: Secrets::default(),
            cancel: CancellationToken::new(),
        }
    }

    /// A program's text in the form in which it is passed on: without secrets and control sequences, and at
    /// most [`MAX_TEXT_BYTES`] long.
    pub(super) fn clean(&self, text: &str) -> String {
        let masked = self.secrets.mask(text);
        let stripped = text::strip(&masked);
        text::clip(stripped.trim(), MAX_TEXT_BYTES, 0).into_owned()
    }
}
