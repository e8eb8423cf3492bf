//! `write`: a whole file, new or replaced.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::conversation::message::Content;
use crate::tool::builtin::{blocking, current_text, workspace};
use crate::tool::{Change, Effect, MAX_PREVIEW, Tool, ToolContext, ToolError};

/// What `write` takes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The file, relative to the workspace. Missing folders are made.
    path: PathBuf,
    /// The whole new content.
    content: String,
}

/// Writes a file.
#[derive(Clone, Copy, Debug)]
pub struct Write;

impl Tool for Write {
    const NAME: &'static str = "write";
    const ABOUT: &'static str =
        "Makes a file, or replaces all of it. To change a part of a file, use edit.";
    type Input = Input;

    fn effect(&self, input: &Input) -> Effect {
        Effect::Writes(vec![input.path.clone()])
    }

    async fn preview(&self, input: &Input, cx: &ToolContext) -> Option<Change> {
        let before = current_text(&input.path, cx).await?;
        let after = input.content.clone();
        let fits = after.len() as u64 <= MAX_PREVIEW;
        fits.then(|| Change { path: input.path.clone(), before, after })
    }

    async fn call(&self, input: Input, cx: &ToolContext) -> Result<Content, ToolError> {
        let workspace = workspace(cx)?;
        blocking(move || {
            let old = workspace.metadata(&input.path).is_ok();
            let bytes = input.content.as_bytes();
            let path = workspace.write_atomic(&input.path, bytes).map_err(ToolError::failed)?;
            let what = if old { "replaced" } else { "made" };
            Ok(format!("{what} {} ({} bytes)", path.display(), bytes.len()).into())
        })
        .await
    }
}
