//! `grep`: where a pattern occurs, by ripgrep's own parts, in this process.

use std::borrow::Cow;
use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};

use grep_matcher::Matcher as _;
use grep_regex::RegexMatcher;
use grep_searcher::sinks::Lossy;
use grep_searcher::{BinaryDetection, SearcherBuilder};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::message::Content;
use crate::tool::{Effect, Tool, ToolContext, ToolError};
use crate::tools::{blocking, walk, workspace};
use crate::workspace::{Workspace, WorkspaceError};

/// The most lines of one answer.
const MOST: usize = 250;
/// The most bytes of a line that are shown.
const LONGEST: usize = 400;
/// The most memory that one line of a searched file may take.
const HEAP: usize = 32 * 1024 * 1024;

/// What `grep` takes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// A regular expression, in Rust's syntax.
    pattern: String,
    /// A file or folder; without it, the whole workspace.
    path: Option<PathBuf>,
    /// Whether folders inside the folder are searched too. They are, unless this is false.
    #[serde(default = "yes")]
    recursive: bool,
}

fn yes() -> bool {
    true
}

/// Searches file contents.
#[derive(Clone, Copy, Debug)]
pub struct Grep;

impl Tool for Grep {
    const NAME: &'static str = "grep";
    const ABOUT: &'static str = "Searches the contents of files for a regular expression and returns path, line \
        number and line. Hidden and binary files and what .gitignore names are left out.";
    type Input = Input;

    fn effect(&self, input: &Input) -> Effect {
        Effect::Reads(vec![input.path.clone().unwrap_or_else(|| PathBuf::from("."))])
    }

    async fn call(&self, input: Input, cx: &ToolContext) -> Result<Content, ToolError> {
        let (workspace, cancel) = (workspace(cx)?, cx.cancel.clone());
        blocking(move || search(&workspace, &input, &cancel)).await.map(Content::from)
    }
}

type Opened = Result<(File, Metadata), WorkspaceError>;

fn search(
    workspace: &Workspace,
    input: &Input,
    cancel: &CancellationToken,
) -> Result<String, ToolError> {
    let matcher = RegexMatcher::new_line_matcher(&input.pattern)
        .map_err(|e| ToolError::Tell(format!("cannot use that pattern: {e}")))?;
    let mut searcher = SearcherBuilder::new()
        .binary_detection(BinaryDetection::quit(0))
        .heap_limit(Some(HEAP))
        .line_number(true)
        .build();
    let mut found = Found::default();
    let mut in_file = |path: &Path, file: Opened, found: &mut Found| -> Result<(), ToolError> {
        let (file, _) = file.map_err(ToolError::tell)?;
        let (shown, before) = (path.display(), found.count);
        let searched = searcher.search_file(
            &matcher,
            &file,
            Lossy(|number, line| {
                found.add(|| format!("{shown}:{number}: {}", excerpt(&matcher, line.trim_end())));
                Ok(!cancel.is_cancelled())
            }),
        );
        found.files += usize::from(found.count > before);
        searched.map_err(|e| ToolError::Tell(format!("cannot search {shown}: {e}")))
    };

    let start = workspace
        .resolve(input.path.as_deref().unwrap_or(Path::new(".")))
        .map_err(ToolError::tell)?;
    if workspace.metadata(&start).map_err(ToolError::tell)?.is_dir() {
        let depth = if input.recursive { None } else { Some(1) };
        walk::files(workspace, &start, depth, cancel, |path| {
            // One file that cannot be read does not spoil the search.
            let file = workspace.open_beneath(&path);
            if let Err(ToolError::Tell(why)) = in_file(&path, file, &mut found) {
                found.faults.push(why);
            }
            Ok(())
        })?;
    } else {
        in_file(&start, workspace.open_read(&start), &mut found)?;
    }
    Ok(found.report(&input.pattern))
}

/// The line, or the part of a long one that the match stands in.
fn excerpt<'a>(matcher: &RegexMatcher, line: &'a str) -> Cow<'a, str> {
    if line.len() <= LONGEST {
        return Cow::Borrowed(line);
    }
    let at = matcher.find(line.as_bytes()).ok().flatten().map_or(0, |found| found.start());
    let from = line.floor_char_boundary(at.saturating_sub(LONGEST / 4));
    let to = line.floor_char_boundary(from + LONGEST);
    let (before, after) =
        (if from > 0 { "… " } else { "" }, if to < line.len() { " …" } else { "" });
    Cow::Owned(format!("{before}{}{after}", &line[from..to]))
}

#[derive(Default)]
struct Found {
    lines: Vec<String>,
    count: usize,
    files: usize,
    faults: Vec<String>,
}

impl Found {
    fn add(&mut self, line: impl FnOnce() -> String) {
        self.count += 1;
        if self.lines.len() < MOST {
            self.lines.push(line());
        }
    }

    fn report(mut self, pattern: &str) -> String {
        if self.count == 0 {
            self.lines.push(format!("no line matches `{pattern}`"));
        }
        if self.count > MOST {
            let (more, files) = (self.count - MOST, self.files);
            self.lines
                .push(format!("[{more} more matches are left out; {files} files match in all]"));
        }
        let skipped = self.faults.len();
        self.lines.extend(self.faults.into_iter().take(3).map(|fault| format!("[{fault}]")));
        if skipped > 3 {
            self.lines.push(format!("[{} more files could not be searched]", skipped - 3));
        }
        self.lines.join("\n")
    }
}
