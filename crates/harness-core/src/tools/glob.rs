//! `glob`: which files there are.

use globset::GlobBuilder;
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::{Path, PathBuf};

use crate::message::Content;
use crate::tool::{Effect, Tool, ToolContext, ToolError};
use crate::tools::{blocking, walk, workspace};

/// The most paths of one answer.
const MOST: usize = 1_000;

/// What `glob` takes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// A pattern on paths relative to the workspace: `*` within a folder, `**` through folders.
    pattern: String,
}

/// Finds files by name.
#[derive(Clone, Copy, Debug)]
pub struct Glob;

impl Tool for Glob {
    const NAME: &'static str = "glob";
    const ABOUT: &'static str = "Lists the files whose path matches a pattern such as `src/**/*.rs`. Hidden files \
        and what .gitignore names are left out.";
    type Input = Input;

    fn effect(&self, input: &Input) -> Effect {
        Effect::Reads(vec![fixed_part(&input.pattern)])
    }

    async fn call(&self, input: Input, cx: &ToolContext) -> Result<Content, ToolError> {
        let (workspace, cancel) = (workspace(cx)?, cx.cancel.clone());
        blocking(move || {
            let pattern = input.pattern.trim_start_matches("./");
            let glob = GlobBuilder::new(pattern).literal_separator(true).build();
            let matcher = glob
                .map_err(|e| ToolError::Tell(format!("cannot use that pattern: {e}")))?
                .compile_matcher();
            let start = workspace.resolve(fixed_part(pattern)).map_err(ToolError::tell)?;
            let (mut paths, mut more) = (Vec::new(), 0);
            walk::files(&workspace, &start, None, &cancel, |path| {
                if matcher.is_match(&path) {
                    match paths.len() < MOST {
                        true => paths.push(path.display().to_string()),
                        false => more += 1,
                    }
                }
                Ok(())
            })?;
            if paths.is_empty() {
                let hint =
                    if pattern.contains("**") { "" } else { "; `**/` looks into folders too" };
                return Ok(format!("no file matches `{}`{hint}", input.pattern).into());
            }
            let mut list = paths.join("\n");
            if more > 0 {
                list.push_str(&format!(
                    "\n[{more} more files are left out; use a narrower pattern]"
                ));
            }
            Ok(list.into())
        })
        .await
    }
}

/// The folders that a pattern names without wildcards: where the walk can start.
fn fixed_part(pattern: &str) -> PathBuf {
    let fixed: PathBuf = Path::new(pattern)
        .components()
        .take_while(|part| !part.as_os_str().to_string_lossy().contains(['*', '?', '[', '{']))
        .collect();
    // A pattern without wildcards names a file; the walk starts in its folder.
    let folder =
        if fixed == Path::new(pattern) { fixed.parent().map(Path::to_owned) } else { Some(fixed) };
    folder.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| PathBuf::from("."))
}
