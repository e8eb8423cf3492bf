//! `bash`: a shell line, with its exit code, the head and tail of its output, and a file for the rest.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::message::Content;
use crate::process::{End, Finished, Limits, Prepared};
use crate::text;
use crate::tool::{Effect, Tool, ToolContext, ToolError};
use crate::workspace::Workspace;

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
        together, and its exit code. No input can be typed; after 120 seconds it is stopped. Of long output the \
        beginning and the end are returned, and the name of a file that holds all of it.";
    type Input = Input;

    fn effect(&self, input: &Input) -> Effect {
        Effect::Runs(input.command.clone())
    }

    async fn call(&self, input: Input, cx: &ToolContext) -> Result<Content, ToolError> {
        let child =
            Prepared::shell(&input.command, &cx.cwd, &cx.secrets).map_err(ToolError::tell)?;
        let mut stripper = text::Stripper::default();
        let progress = |bytes: &[u8]| cx.progress(stripper.push(&String::from_utf8_lossy(bytes)));
        let limits = Limits { spill: spill(cx), ..Limits::default() };
        let finished = child.run(limits, &cx.cancel, progress).await.map_err(ToolError::tell)?;
        let report = report(&finished, cx);
        match finished.end {
            End::Exited(0) => Ok(report.into()),
            _ => Err(ToolError::Tell(report)),
        }
    }
}

/// Where the whole of a long output goes. A workspace that cannot be written has no such place.
fn spill(cx: &ToolContext) -> Option<PathBuf> {
    let folder = cx.cwd.join(".harness");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Some(folder.join("output").join(format!("bash-{}.txt", now.as_nanos())))
}

fn report(finished: &Finished, cx: &ToolContext) -> String {
    let mut report = text::strip(&finished.output).trim_end().to_owned();
    if report.is_empty() {
        report.push_str("(no output)");
    }
    if let Some(file) = &finished.spilled {
        // The folder is made by the run; this marks it as ours, so that git never sees it.
        let _ = Workspace::open(&cx.cwd).and_then(|workspace| workspace.state_dir());
        let shown = file.strip_prefix(&cx.cwd).unwrap_or(file);
        let _ = write!(report, "\n[all {} bytes are in {}]", finished.total, shown.display());
    }
    if let Some(fault) = &finished.spill_fault {
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
