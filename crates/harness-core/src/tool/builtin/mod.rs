//! The built-in tools, one file each, the same parts in the same order: input, tool, helpers.

mod bash;
mod edit;
mod glob;
mod grep;
mod read;
mod walk;
mod write;

pub use bash::Bash;
pub use edit::Edit;
pub use glob::Glob;
pub use grep::Grep;
pub use read::Read;
pub use write::Write;

use std::path::Path;

use crate::host::workspace::{Workspace, WorkspaceError};
use crate::tool::{MAX_PREVIEW, ToolContext, ToolError, Toolbox};

/// All of them, in their stable order.
pub fn all() -> Toolbox {
    Toolbox::new().with(Bash).with(Read).with(Write).with(Edit).with(Grep).with(Glob)
}

/// The workspace of a call. Opened anew each time: it costs two system calls, and a folder that was
/// moved away is then an error and not a surprise.
fn workspace(cx: &ToolContext) -> Result<Workspace, ToolError> {
    Workspace::open(&cx.cwd).map_err(ToolError::failed)
}

/// The text of a file as it is now, for a preview: `Some(None)` where there is no file, `None` where it is no
/// text, is larger than [`MAX_PREVIEW`] or cannot be read.
async fn current_text(path: &Path, cx: &ToolContext) -> Option<Option<String>> {
    let workspace = workspace(cx).ok()?;
    let path = path.to_owned();
    let read = move || match workspace.read_bounded(&path, MAX_PREVIEW) {
        Ok(file) if file.cut => Ok(None),
        Ok(file) => Ok(String::from_utf8(file.bytes).ok().map(Some)),
        Err(WorkspaceError::NotFound { .. }) => Ok(Some(None)),
        Err(_) => Ok(None),
    };
    blocking(read).await.ok()?
}

/// Runs what reads or writes files, or waits for a lock, on a thread that may block.
///
/// # Errors
/// Those of the work.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ToolError> + Send + 'static,
) -> Result<T, ToolError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|e| Err(ToolError::Failed(format!("the tool broke down: {e}"))))
}
