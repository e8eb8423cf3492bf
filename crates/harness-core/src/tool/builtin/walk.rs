//! The walk that `grep` and `glob` share: ignore files respected, hidden files and links left out.

use std::path::{Path, PathBuf};

use ignore::WalkBuilder;
use tokio_util::sync::CancellationToken;

use crate::host::workspace::Workspace;
use crate::tool::ToolError;

/// The regular files below `start` (a resolved path), in name order, relative to the workspace.
pub(super) fn files(
    workspace: &Workspace,
    start: &Path,
    depth: Option<usize>,
    cancel: &CancellationToken,
    mut found: impl FnMut(PathBuf) -> Result<(), ToolError>,
) -> Result<(), ToolError> {
    let mut walk = WalkBuilder::new(workspace.absolute(start));
    walk.follow_links(false)
        .max_depth(depth)
        .require_git(false) // a .gitignore speaks for itself, also before `git init`
        .sort_by_file_name(|a, b| a.cmp(b));
    for entry in walk.build() {
        if cancel.is_cancelled() {
            return Err(ToolError::Failed("interrupted".to_owned()));
        }
        // A folder that cannot be read is passed over, as ripgrep does.
        let Ok(entry) = entry else { continue };
        if entry.file_type().is_some_and(|kind| kind.is_file()) {
            let path = entry.path().strip_prefix(workspace.root()).unwrap_or(entry.path());
            found(path.to_owned())?;
        }
    }
    Ok(())
}
