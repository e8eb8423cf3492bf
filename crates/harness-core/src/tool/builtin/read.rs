//! `read`: a text file with line numbers, or a part of it.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Seek as _};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::conversation::message::Content;
use crate::tool::builtin::{blocking, workspace};
use crate::tool::{Effect, Tool, ToolContext, ToolError};

/// The most lines of one answer.
const MOST_LINES: u64 = 2_000;
/// The most bytes of one answer.
const MOST_BYTES: usize = 100_000;
/// The most bytes of a line that are shown.
const LONGEST: usize = 2_000;

/// What `read` takes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The file, relative to the workspace.
    path: PathBuf,
    /// The first line to return, counted from 1.
    start_line: Option<u64>,
    /// The last line to return.
    end_line: Option<u64>,
}

/// Reads a text file.
#[derive(Clone, Copy, Debug)]
pub struct Read;

impl Tool for Read {
    const NAME: &'static str = "read";
    const ABOUT: &'static str = "Returns a text file with a number before each line, or the lines from \
        start_line to end_line. At most 2,000 lines at once.";
    type Input = Input;

    fn effect(&self, input: &Input) -> Effect {
        Effect::Reads(vec![input.path.clone()])
    }

    async fn call(&self, input: Input, cx: &ToolContext) -> Result<Content, ToolError> {
        let (first, last) = (input.start_line.unwrap_or(1), input.end_line.unwrap_or(u64::MAX));
        if first == 0 || last < first {
            return Err(ToolError::Failed(format!(
                "there are no lines {first} to {last}: lines count from 1, and end_line is not before start_line"
            )));
        }
        let workspace = workspace(cx)?;
        blocking(move || {
            let (file, metadata) = workspace.open_read(&input.path).map_err(ToolError::failed)?;
            let mut lines = Lines::new(file, metadata.len());
            let page = lines.begin().and_then(|()| page(&mut lines, first, last));
            page.map_err(|e| ToolError::Failed(format!("cannot read {:?}: {e}", input.path)))
        })
        .await
        .map(Content::from)
    }
}

/// The lines from `first` to `last`, as many as fit, and what there is beyond.
fn page(lines: &mut Lines, first: u64, last: u64) -> io::Result<String> {
    let mut page = String::new();
    let mut carriage_returns = false;
    while lines.number + 1 < first && lines.skip()? {}
    while lines.number < last {
        if (lines.number + 1).saturating_sub(first) >= MOST_LINES || page.len() >= MOST_BYTES {
            let (more, next) = (lines.left()?, lines.number + 1);
            if more > 0 {
                let _ = writeln!(
                    page,
                    "[the file goes on for {more} bytes; read it from start_line {next}]"
                );
            }
            break;
        }
        let Some(mut line) = lines.next()? else { break };
        carriage_returns |= line.ends_with('\r');
        line.truncate(line.trim_end_matches('\r').len());
        let _ = writeln!(page, "{:>6}\t{line}", lines.number);
    }
    let next = lines.number + 1;
    if page.is_empty() {
        return match lines.number {
            _ if lines.binary => Err(io::Error::other(format!("it is binary from line {next} on"))),
            0 => Ok("[the file is empty]".to_owned()),
            total => Ok(format!("[the file ends at line {total}]")),
        };
    }
    if lines.binary {
        let _ = writeln!(page, "[from line {next} on the file is binary and not shown]");
    }
    if carriage_returns {
        page.push_str("[the lines of this file end with CR LF]\n");
    }
    if lines.lossy {
        page.push_str("[this file is not all UTF-8; what is not is shown as \u{fffd}]\n");
    }
    Ok(page)
}

struct Lines {
    file: BufReader<File>,
    len: u64,
    /// How many lines were passed.
    number: u64,
    /// The next line holds a NUL byte, so it is no text, and nothing after it is looked at: it may be a
    /// hole of many gigabytes.
    binary: bool,
    lossy: bool,
}

impl Lines {
    fn new(file: File, len: u64) -> Self {
        Self { file: BufReader::new(file), len, number: 0, binary: false, lossy: false }
    }

    /// Passes a byte order mark, which is no part of the first line. A NUL byte near the start means
    /// that the whole file is no text.
    fn begin(&mut self) -> io::Result<()> {
        let start = self.file.fill_buf()?;
        if start.contains(&0) {
            let why = "look at it with bash (file, xxd | head)";
            return Err(io::Error::other(format!(
                "it is a binary file of {} bytes; {why}",
                self.len
            )));
        }
        if start.starts_with(b"\xef\xbb\xbf") {
            self.file.consume(3);
        }
        Ok(())
    }

    /// How many bytes of the file come after what was passed.
    fn left(&mut self) -> io::Result<u64> {
        Ok(self.len.saturating_sub(self.file.stream_position()?))
    }

    /// The next line without its end, cut when it is too long; its rest is passed in bounded memory.
    fn next(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        (&mut self.file).take(LONGEST as u64 + 1).read_until(b'\n', &mut line)?;
        let whole = line.ends_with(b"\n");
        if whole {
            line.pop();
        } else if line.is_empty() {
            return Ok(None);
        }
        self.binary |= line.contains(&0);
        let long = !whole && line.len() > LONGEST;
        let cut = long && !self.binary && self.pass()?;
        if self.binary {
            return Ok(None);
        }
        self.number += 1;
        let mut text = match String::from_utf8(line) {
            Ok(text) => text,
            Err(error) => {
                // A character split by our own cut is not the file's fault.
                self.lossy |= !long || error.utf8_error().error_len().is_some();
                String::from_utf8_lossy(error.as_bytes()).into_owned()
            }
        };
        if cut {
            text.push_str(" [… the line goes on]");
        }
        Ok(Some(text))
    }

    /// Passes a line. `false`: there is none, or it is no text.
    fn skip(&mut self) -> io::Result<bool> {
        let skipped = self.pass()? && !self.binary;
        self.number += u64::from(skipped);
        Ok(skipped)
    }

    /// Passes everything up to the next line's start. `true`: there was something.
    fn pass(&mut self) -> io::Result<bool> {
        let mut passed = false;
        loop {
            let piece = self.file.fill_buf()?;
            let end = piece.iter().position(|byte| *byte == b'\n').map(|end| end + 1);
            let piece = &piece[..end.unwrap_or(piece.len())];
            self.binary |= piece.contains(&0);
            if piece.is_empty() || self.binary {
                return Ok(passed || self.binary);
            }
            passed = true;
            let taken = piece.len();
            self.file.consume(taken);
            if end.is_some() {
                return Ok(true);
            }
        }
    }
}
