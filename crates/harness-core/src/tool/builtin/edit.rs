//! `edit`: a part of a file, named by its exact text.
//!
//! The text must occur exactly once, so that an edit cannot hit the wrong place. Line ends and a byte
//! order mark stay as they are: a model writes `\n`, and a file with `\r\n` keeps its own.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::conversation::message::Content;
use crate::host::text;
use crate::tool::builtin::{blocking, current_text, workspace};
use crate::tool::{Change, Effect, Tool, ToolContext, ToolError};

/// The largest file that is edited.
const LARGEST: u64 = 64 * 1024 * 1024;
/// Lines shown around a change.
const AROUND: usize = 2;
/// The most bytes of a line that are shown.
const LONGEST: usize = 500;

/// What `edit` takes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The file, relative to the workspace.
    path: PathBuf,
    /// The exact text to replace, without line numbers. It must occur once, or give more context.
    old_string: String,
    /// What stands there instead.
    new_string: String,
    /// Replace every occurrence.
    #[serde(default)]
    replace_all: bool,
}

/// Changes a part of a file.
#[derive(Clone, Copy, Debug)]
pub struct Edit;

impl Tool for Edit {
    const NAME: &'static str = "edit";
    const ABOUT: &'static str = "Replaces an exact piece of text in a file. old_string must occur exactly once, \
        unless replace_all is set.";
    type Input = Input;

    fn effect(&self, input: &Input) -> Effect {
        Effect::Writes(vec![input.path.clone()])
    }

    /// An edit that cannot be made has nothing to show.
    async fn preview(&self, input: &Input, cx: &ToolContext) -> Option<Change> {
        let before = current_text(&input.path, cx).await??;
        let after = edited(&before, input).ok()?.text;
        Some(Change { path: input.path.clone(), before: Some(before), after })
    }

    async fn call(&self, input: Input, cx: &ToolContext) -> Result<Content, ToolError> {
        let workspace = workspace(cx)?;
        blocking(move || {
            let file = workspace.read_bounded(&input.path, LARGEST).map_err(ToolError::failed)?;
            if file.cut {
                return Err(ToolError::Failed(format!(
                    "{:?} is too large to edit ({} bytes)",
                    input.path, file.len
                )));
            }
            let text = String::from_utf8(file.bytes).map_err(|_| {
                ToolError::Failed(format!(
                    "{:?} is not UTF-8 text; change it with bash",
                    input.path
                ))
            })?;
            let Edited { text, count, first } = edited(&text, &input).map_err(ToolError::Failed)?;
            let path =
                workspace.write_atomic(&input.path, text.as_bytes()).map_err(ToolError::failed)?;
            let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
            Ok(format!(
                "changed {} {times}:\n{}",
                path.display(),
                around(&text, first, &input.new_string)
            )
            .into())
        })
        .await
    }
}

struct Edited {
    text: String,
    count: usize,
    /// Where the first change stands, in bytes.
    first: usize,
}

fn edited(text: &str, input: &Input) -> Result<Edited, String> {
    if input.old_string.is_empty() {
        return Err("old_string is empty; use write to make a file".to_owned());
    }
    if input.old_string == input.new_string {
        return Err("old_string and new_string are the same".to_owned());
    }
    let (old, new) = in_line_ends_of(text, &input.old_string, &input.new_string);
    let Some(first) = text.find(&*old) else { return Err(missing(text, &input.old_string)) };
    let count = text.matches(&*old).count();
    if count > 1 && !input.replace_all {
        let lines: Vec<String> = text
            .match_indices(&*old)
            .take(5)
            .map(|(at, _)| (text[..at].matches('\n').count() + 1).to_string())
            .collect();
        return Err(format!(
            "old_string occurs {count} times (lines {}); add context so that it occurs once, or set replace_all",
            lines.join(", ")
        ));
    }
    // A short text that occurs a million times can be replaced by a long one.
    let len = (text.len() - count * old.len()) as u128 + count as u128 * new.len() as u128;
    if len > u128::from(LARGEST) {
        return Err(format!("the file would have {len} bytes, which is too large"));
    }
    Ok(Edited { text: text.replace(&*old, &new), count, first })
}

/// A model writes `\n`; where the file has `\r\n`, that is meant. One that writes `\r` itself is taken at
/// its word, and so is a text that is in the file exactly as written.
fn in_line_ends_of<'a>(text: &str, old: &'a str, new: &'a str) -> (Cow<'a, str>, Cow<'a, str>) {
    let written = (Cow::Borrowed(old), Cow::Borrowed(new));
    let crlf = |text: &str| Cow::Owned(text.replace('\n', "\r\n"));
    if old.contains('\r') || new.contains('\r') {
        return written;
    }
    match old.contains('\n') {
        true if !text.contains(old) => (crlf(old), crlf(new)),
        false if 2 * text.matches("\r\n").count() > text.matches('\n').count() => {
            (written.0, crlf(new))
        }
        _ => written,
    }
}

/// Why nothing was found: most often it is white space, or the numbers that `read` shows.
fn missing(text: &str, old: &str) -> String {
    let bare = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let numbered = |line: &str| {
        line.split_once('\t').is_some_and(|(number, _)| number.trim().parse::<u64>().is_ok())
    };
    if old.lines().all(numbered) {
        return "old_string is not in the file; leave out the line numbers that read shows"
            .to_owned();
    }
    let wanted = old.lines().map(bare).find(|line| !line.is_empty());
    let near =
        wanted.and_then(|wanted| text.lines().position(|line| bare(line).starts_with(&wanted)));
    match near {
        Some(at) => format!(
            "old_string is not in the file as written; line {} looks like its beginning: compare white space and read it again",
            at + 1
        ),
        None => "old_string is not in the file; read the file and copy the text exactly".to_owned(),
    }
}

/// The changed place with a few lines around it, numbered as `read` numbers them.
fn around(text: &str, at: usize, new: &str) -> String {
    let line = text[..at].matches('\n').count();
    let from = line.saturating_sub(AROUND);
    let count = new.matches('\n').count() + 1 + (line - from) + AROUND;
    let mut shown = String::new();
    for (number, line) in text.lines().enumerate().skip(from).take(count.min(40)) {
        let _ = writeln!(shown, "{:>6}\t{}", number + 1, text::clip(line, LONGEST, 0));
    }
    shown
}
