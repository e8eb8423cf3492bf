//! A shell line as this room reads it.

use harness_shell::Reading;

use crate::host::text;

/// Reads a line; characters that a person cannot see are a doubt.
pub(super) fn read(line: &str) -> Reading {
    harness_shell::read(line, is_suspicious)
}

/// Whether a character makes a line look like another one. Wide blanks and the marks of emoji do not: people
/// write them, and the shell ignores them.
fn is_suspicious(c: char) -> bool {
    let harmless = matches!(c, '\u{a0}' | '\u{3000}' | '\u{202f}' | '\u{fe0e}' | '\u{fe0f}');
    text::is_hidden(c) && !harmless
}
