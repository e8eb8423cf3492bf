//! `grep`: where a pattern occurs, by ripgrep's own parts, in this process.

use std::borrow::Cow;
use std::fs::{File, Metadata};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread;

use grep_matcher::Matcher as _;
use grep_regex::RegexMatcher;
use grep_searcher::sinks::Lossy;
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::conversation::message::Content;
use crate::host::workspace::{Workspace, WorkspaceError};
use crate::tool::builtin::{blocking, walk, workspace};
use crate::tool::{Effect, Tool, ToolContext, ToolError};

/// The most lines of one answer.
const MOST: usize = 250;
/// The most bytes of a line that are shown.
const LONGEST: usize = 400;
/// The most memory that one line of a searched file may take.
const HEAP: usize = 32 * 1024 * 1024;
/// So many files are searched at a time, on so many cores at most.
const BATCH: usize = 1024;
const CORES: usize = 8;

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

fn search(
    workspace: &Workspace,
    input: &Input,
    cancel: &CancellationToken,
) -> Result<String, ToolError> {
    let matcher = RegexMatcher::new_line_matcher(&input.pattern)
        .map_err(|e| ToolError::Failed(format!("cannot use that pattern: {e}")))?;
    let search = Search { workspace, matcher, cancel };
    let mut found = Found::default();
    let start = workspace
        .resolve(input.path.as_deref().unwrap_or(Path::new(".")))
        .map_err(ToolError::failed)?;
    if workspace.metadata(&start).map_err(ToolError::failed)?.is_dir() {
        let depth = if input.recursive { None } else { Some(1) };
        let mut batch = Vec::with_capacity(BATCH);
        walk::files(workspace, &start, depth, cancel, |path| {
            batch.push(path);
            if batch.len() == BATCH {
                search.side_by_side(&batch, &mut found);
                batch.clear();
            }
            Ok(())
        })?;
        search.side_by_side(&batch, &mut found);
    } else {
        search.file(&mut searcher(), &start, workspace.open_read(&start), &mut found)?;
    }
    if cancel.is_cancelled() {
        return Err(ToolError::failed("interrupted"));
    }
    Ok(found.report(&input.pattern))
}

fn searcher() -> Searcher {
    SearcherBuilder::new()
        .binary_detection(BinaryDetection::quit(0))
        .heap_limit(Some(HEAP))
        .line_number(true)
        .build()
}

/// What is looked for, and where.
struct Search<'a> {
    workspace: &'a Workspace,
    matcher: RegexMatcher,
    cancel: &'a CancellationToken,
}

type Opened = Result<(File, Metadata), WorkspaceError>;

impl Search<'_> {
    /// Searches these files, a part of them on each core. What they hold is put together in their order.
    fn side_by_side(&self, files: &[PathBuf], found: &mut Found) {
        let cores = thread::available_parallelism().map_or(1, NonZero::get).min(CORES);
        let parts = files.chunks(files.len().div_ceil(cores).max(1));
        thread::scope(|scope| {
            let parts: Vec<_> = parts.map(|part| scope.spawn(|| self.files(part))).collect();
            parts.into_iter().for_each(|part| match part.join() {
                Ok(more) => found.and(more),
                Err(panic) => std::panic::resume_unwind(panic),
            });
        });
    }

    fn files(&self, files: &[PathBuf]) -> Found {
        let (mut searcher, mut found) = (searcher(), Found::default());
        for path in files.iter().take_while(|_| !self.cancel.is_cancelled()) {
            // One file that cannot be read does not spoil the search.
            let file = self.workspace.open_beneath(path);
            if let Err(ToolError::Failed(why)) = self.file(&mut searcher, path, file, &mut found) {
                found.faults.push(why);
            }
        }
        found
    }

    fn file(
        &self,
        searcher: &mut Searcher,
        path: &Path,
        file: Opened,
        found: &mut Found,
    ) -> Result<(), ToolError> {
        let (file, _) = file.map_err(ToolError::failed)?;
        let (shown, before) = (path.display(), found.count);
        let searched = searcher.search_file(
            &self.matcher,
            &file,
            Lossy(|number, line| {
                let line = || excerpt(&self.matcher, line.trim_end());
                found.add(|| format!("{shown}:{number}: {}", line()));
                Ok(!self.cancel.is_cancelled())
            }),
        );
        found.files += usize::from(found.count > before);
        searched.map_err(|e| ToolError::Failed(format!("cannot search {shown}: {e}")))
    }
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

    /// What was found in the files behind these.
    fn and(&mut self, more: Self) {
        self.count += more.count;
        self.files += more.files;
        self.lines.extend(more.lines.into_iter().take(MOST - self.lines.len()));
        self.faults.extend(more.faults);
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
