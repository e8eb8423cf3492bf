//! `glob`: which files there are.

use globset::GlobBuilder;
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::{Component, Path, PathBuf};

use crate::conversation::message::Content;
use crate::tool::builtin::{blocking, walk, workspace};
use crate::tool::{Effect, Tool, ToolContext, ToolError};

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
        Effect::Reads(vec![split(&input.pattern).0])
    }

    async fn call(&self, input: Input, cx: &ToolContext) -> Result<Content, ToolError> {
        let (workspace, cancel) = (workspace(cx)?, cx.cancel.clone());
        blocking(move || {
            let (folder, rest) = split(&input.pattern);
            // Where the folder really is: absolute, through `..` or a link, it is all the same.
            let start = workspace.resolve(folder).map_err(ToolError::failed)?;
            let pattern = match start == Path::new(".") {
                true => rest,
                false => format!("{}/{rest}", globset::escape(&start.to_string_lossy())),
            };
            let glob = GlobBuilder::new(&pattern).literal_separator(true).build();
            let matcher = glob
                .map_err(|e| ToolError::Failed(format!("cannot use that pattern: {e}")))?
                .compile_matcher();
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

/// The folder that a pattern names without wildcards, where the walk can start, and the rest of it.
fn split(pattern: &str) -> (PathBuf, String) {
    let parts: Vec<Component<'_>> = Path::new(pattern).components().collect();
    let is_wild = |part: &Component<'_>| {
        part.as_os_str().to_string_lossy().contains(['*', '?', '[', '{', '\\'])
    };
    // A pattern without wildcards names a file; the walk starts in its folder.
    let wild = parts.iter().position(is_wild).unwrap_or(parts.len().saturating_sub(1));
    let folder: PathBuf = parts[..wild].iter().collect();
    let rest: PathBuf = parts[wild..].iter().collect();
    let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
    (folder, rest.to_string_lossy().into_owned())
}
