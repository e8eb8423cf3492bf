#![doc = include_str!("../README.md")]
//!
//! Next page: [s03 · Todo](../s03_todo_write/index.html)

use std::path::PathBuf;

use harness_app::Lesson;
use harness_core::host::workspace::Workspace;
use harness_core::{Agent, Content, Effect, Mechanism, Tool, ToolContext, ToolError};
use schemars::JsonSchema;
use serde::Deserialize;

/// What the terminal is told of this session.
pub const LESSON: Lesson = Lesson {
    name: env!("CARGO_PKG_NAME"),
    motto: "A new tool is one value; the loop does not change.",
    play: include_str!("../demo.yaml"),
};

/// The mechanism: one tool more, beside the built-in ones.
#[derive(Clone, Copy, Debug)]
pub struct Count;

impl Mechanism for Count {
    fn install(self, agent: &mut Agent) {
        agent.tools.add(self);
    }
}

/// What `count` takes. The model reads the comment on the field: it is part of the schema.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The file to count, relative to the workspace.
    path: PathBuf,
}

impl Tool for Count {
    const NAME: &'static str = "count";
    const ABOUT: &'static str = "Counts the lines, words and bytes of a text file.";
    type Input = Input;

    fn effect(&self, input: &Input) -> Effect {
        Effect::Reads(vec![input.path.clone()])
    }

    async fn call(&self, input: Input, cx: &ToolContext) -> Result<Content, ToolError> {
        let workspace = Workspace::open(&cx.cwd).map_err(ToolError::failed)?;
        let file = workspace.read_bounded(&input.path, LARGEST).map_err(ToolError::failed)?;
        let text = String::from_utf8_lossy(&file.bytes);
        let (lines, words) = (text.lines().count(), text.split_whitespace().count());
        let more = if file.cut { " (only the start of it was counted)" } else { "" };
        Ok(format!("{lines} lines, {words} words, {} bytes{more}", file.len).into())
    }
}

/// The most bytes that are counted.
const LARGEST: u64 = 16 * 1024 * 1024;
