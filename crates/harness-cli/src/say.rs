//! What a subcommand prints: on standard output, with an error when it does not get there.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

/// Writes a text to standard output, with one line end behind it. In a subcommand, return the error with `?`: the
/// program then ends quietly where the reader has gone away (`| head`), and with a message and an exit code where
/// the disk is full.
///
/// # Errors
/// Not all of it was written.
pub fn say(text: impl Display) -> Result<(), Unsaid> {
    let text = text.to_string();
    write(format!("{}\n", text.trim_end_matches('\n')).as_bytes()).map_err(Unsaid)
}

/// All of it, and at once.
pub(crate) fn write(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush())
}

/// Standard output did not take what the program had to say.
#[derive(Debug)]
pub struct Unsaid(pub(crate) io::Error);

impl Unsaid {
    /// Whether the reader went away. It has what it wanted.
    pub fn nobody_reads(&self) -> bool {
        self.0.kind() == ErrorKind::BrokenPipe
    }
}

impl Display for Unsaid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot write to standard output: {}", self.0)
    }
}

impl std::error::Error for Unsaid {}
