//! `bash`: a shell line, with its exit code, the head and tail of its output, and a file for the rest.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::conversation::message::Content;
use crate::host::own_paths;
use crate::host::process::{ChildCommand, End, Finished, Limits};
use crate::host::text;
use crate::host::workspace::Workspace;
use crate::tool::{Effect, Tool, ToolContext, ToolError};

/// The most bytes of a line that are held back until its end comes.
const LONGEST: usize = 64 * 1024;

/// What `bash` takes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The shell line to run.
    command: String,
}

/// Runs a shell line.
#[derive(Clone, Copy, Debug)]
pub struct Bash;

impl Tool for Bash {
    const NAME: &'static str = "bash";
    const ABOUT: &'static str = "Runs a shell line in the workspace and returns what it prints, both streams \
        together, and its exit code. No input can be typed; after 120 seconds it is stopped, and what it leaves in \
        the background (`&`) when the program ends. Of long output the beginning and the end are returned, and \
        the name of a file that holds all of it.";
    type Input = Input;

    fn effect(&self, input: &Input) -> Effect {
        Effect::Runs(input.command.clone())
    }

    async fn call(&self, input: Input, cx: &ToolContext) -> Result<Content, ToolError> {
        let child =
            ChildCommand::shell(&input.command, &cx.cwd, &cx.secrets).map_err(ToolError::failed)?;
        let limits = Limits { spill: spill(&cx.cwd), ..Limits::default() };
        let mut watch = Watch::new(cx, &limits);
        let progress = |bytes: &[u8]| watch.push(bytes);
        let finished = child.run(limits, &cx.cancel, progress).await.map_err(ToolError::failed)?;
        let report = report(&finished, cx);
        match finished.end {
            End::Exited(0) => Ok(report.into()),
            _ => Err(ToolError::Failed(report)),
        }
    }
}

/// Where the whole of a long output goes; nowhere, if something that is no folder has that name (a
/// link, say, that leads somewhere else).
fn spill(cwd: &Path) -> Option<PathBuf> {
    let folder = own_paths::STATE.in_workspace(cwd).join("output");
    let taken = |path: &Path| path.symlink_metadata().is_ok_and(|found| !found.is_dir());
    if folder.ancestors().take(2).any(taken) {
        return None;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Some(folder.join(format!("bash-{}.txt", now.as_nanos())))
}

/// Shows output while it comes: whole lines, so that neither a character nor a secret is cut in two.
struct Watch<'a> {
    cx: &'a ToolContext,
    stripper: text::Stripper,
    line: Vec<u8>,
    /// How many bytes more fit into the result; `None` once the spill file was begun.
    room: Option<usize>,
}

impl<'a> Watch<'a> {
    fn new(cx: &'a ToolContext, limits: &Limits) -> Self {
        let room = Some(limits.head + limits.tail);
        Self { cx, stripper: text::Stripper::default(), line: Vec::new(), room }
    }

    fn push(&mut self, bytes: &[u8]) {
        if let Some(room) = self.room {
            self.room = room.checked_sub(bytes.len());
            if self.room.is_none() {
                // The spill file is about to be made. Mark its folder as ours before it is there, so
                // that not even the running command can add it to git. A folder that cannot be marked
                // cannot be written either, and the report says that.
                let _ = Workspace::open(&self.cx.cwd).and_then(|workspace| workspace.state_dir());
            }
        }
        self.line.extend_from_slice(bytes);
        if let Some(end) = self.line.iter().rposition(|byte| matches!(byte, b'\n' | b'\r')) {
            let lines: Vec<u8> = self.line.drain(..=end).collect();
            self.cx.progress(&self.stripper.push(&String::from_utf8_lossy(&lines)));
        }
        if self.line.len() > LONGEST {
            self.line.clear(); // nobody watches a line like that; the result has it
        }
    }
}

fn report(finished: &Finished, cx: &ToolContext) -> String {
    let mut report = text::strip(&finished.output).trim_end().to_owned();
    if report.is_empty() {
        report.push_str("(no output)");
    }
    if let Some(file) = &finished.spilled {
        let shown = file.strip_prefix(&cx.cwd).unwrap_or(file);
        let _ = write!(report, "\n[all {} bytes are in {}]", finished.total, shown.display());
    }
    let Limits { head, tail, .. } = Limits::default();
    if let Some(fault) = &finished.spill_fault {
        let _ = write!(report, "\n[the whole output could not be kept: {fault}]");
    } else if finished.spilled.is_none() && finished.total > (head + tail) as u64 {
        let fault = "`.harness` is in the way; move it away";
        let _ = write!(report, "\n[the whole output could not be kept: {fault}]");
    }
    let ending = match finished.end {
        End::Exited(0) => return report,
        End::Exited(code) => format!("exit code {code}"),
        End::Signalled(signal) => format!("killed by signal {signal}"),
        End::TimedOut(after) => format!("stopped after {} s, the time limit", after.as_secs()),
        End::Cancelled(after) => format!("interrupted after {:.1} s", after.as_secs_f64()),
    };
    format!("{report}\n[{ending}]")
}
