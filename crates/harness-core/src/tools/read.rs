//! `read`: a text file with line numbers, or a part of it.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::message::Content;
use crate::tool::{Effect, Tool, ToolContext, ToolError};
use crate::tools::{blocking, workspace};

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
            return Err(ToolError::Tell(format!(
                "there are no lines {first} to {last}: lines count from 1, and end_line is not before start_line"
            )));
        }
        let workspace = workspace(cx)?;
        blocking(move || {
            let (file, metadata) = workspace.open_read(&input.path).map_err(ToolError::tell)?;
            let mut lines =
                Lines { file: BufReader::new(file), number: 0, ended: false, lossy: false };
            lines.refuse_binary(metadata.len()).map_err(|e| told(&input, e))?;
            page(&mut lines, first, last).map_err(|e| told(&input, e))
        })
        .await
        .map(Content::from)
    }
}

fn told(input: &Input, error: std::io::Error) -> ToolError {
    ToolError::Tell(format!("cannot read {:?}: {error}", input.path))
}

/// The lines from `first` to `last`, as many as fit, and what there is beyond.
fn page(lines: &mut Lines, first: u64, last: u64) -> std::io::Result<String> {
    let mut page = String::new();
    let mut carriage_returns = false;
    while lines.number + 1 < first && lines.skip()? {}
    while lines.number < last {
        if lines.number + 1 - first >= MOST_LINES || page.len() >= MOST_BYTES {
            let next = lines.number + 1;
            if lines.skip()? {
                let _ = write!(page, "[the file goes on; read it from start_line {next}]\n");
            }
            break;
        }
        let Some(mut line) = lines.next()? else { break };
        carriage_returns |= line.ends_with('\r');
        line.truncate(line.trim_end_matches('\r').len());
        let _ = write!(page, "{:>6}\t{line}\n", lines.number);
    }
    if page.is_empty() {
        return Ok(match lines.number {
            0 => "[the file is empty]".to_owned(),
            total => format!("[the file ends at line {total}]"),
        });
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
    /// How many lines were passed.
    number: u64,
    ended: bool,
    lossy: bool,
}

impl Lines {
    /// A NUL byte near the start means that this is no text.
    fn refuse_binary(&mut self, len: u64) -> std::io::Result<()> {
        let start = self.file.fill_buf()?;
        if start.contains(&0) {
            let why = format!(
                "it is a binary file of {len} bytes; look at it with bash (file, xxd | head)"
            );
            return Err(std::io::Error::other(why));
        }
        if start.starts_with(b"\xef\xbb\xbf") {
            self.file.consume(3); // the byte order mark is no part of the first line
        }
        Ok(())
    }

    /// The next line without its end, cut when it is too long; its rest is passed in bounded memory.
    fn next(&mut self) -> std::io::Result<Option<String>> {
        let mut line = Vec::new();
        (&mut self.file).take(LONGEST as u64 + 1).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            self.ended = true;
            return Ok(None);
        }
        self.number += 1;
        let whole = line.ends_with(b"\n");
        if whole {
            line.pop();
        }
        let cut = !whole && line.len() > LONGEST && self.pass()?;
        let mut text = match String::from_utf8(line) {
            Ok(text) => text,
            Err(error) => {
                // A character split by our own cut is not the file's fault.
                self.lossy |= error.utf8_error().error_len().is_some();
                String::from_utf8_lossy(error.as_bytes()).into_owned()
            }
        };
        if cut {
            text.push_str(" [… the line goes on]");
        }
        Ok(Some(text))
    }

    /// Passes a line. `false`: there is none.
    fn skip(&mut self) -> std::io::Result<bool> {
        if self.file.fill_buf()?.is_empty() {
            return Ok(false);
        }
        self.pass()?;
        self.number += 1;
        Ok(true)
    }

    /// Passes everything up to the next line's start. `true`: there was something.
    fn pass(&mut self) -> std::io::Result<bool> {
        Ok(self.file.skip_until(b'\n')? > 0)
    }
}
