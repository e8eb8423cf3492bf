//! Behind the lesson: the checkpoints of a workspace on disk, the history and beside it the bytes that it needs.

use std::collections::HashSet;

use harness_core::host::workspace::{Workspace, WorkspaceError};
use harness_core::{StateError, StateFile};

use crate::blobs::BlobStore;
use crate::history::History;

/// The checkpoints of one workspace, in a folder of their own.
#[derive(Debug, Clone)]
pub struct CheckpointStore {
    /// The bytes that the changes need.
    pub blobs: BlobStore,
    index: StateFile<History>,
}

impl CheckpointStore {
    /// Opens the store of a workspace, `.harness/checkpoints` in it; makes it where there is none.
    ///
    /// # Errors
    /// The folder cannot be made, or is behind a link.
    pub fn open(workspace: &Workspace) -> Result<Self, WorkspaceError> {
        let folder = workspace.state_dir()?.join("checkpoints");
        let blobs = folder.join("blobs");
        let failed = |source| WorkspaceError::Io { action: "use", path: blobs.clone(), source };
        Ok(Self {
            blobs: BlobStore::open(&blobs).map_err(failed)?,
            index: StateFile::new(folder.join("index.json")).checked(History::check),
        })
    }

    /// The history as it is now.
    ///
    /// # Errors
    /// It is damaged; its bytes stay.
    pub fn history(&self) -> Result<History, StateError> {
        self.index.load()
    }

    /// Changes the history, as one step for all processes. What a new change needs is on disk before the
    /// change is.
    ///
    /// # Errors
    /// It is damaged, or cannot be written, or `change` gave a reason. It stays as it was.
    pub fn update<T>(
        &self,
        change: impl FnOnce(&mut History) -> Result<T, String>,
    ) -> Result<T, StateError> {
        self.index.change(|history| {
            let made = history.made;
            let oldest = history.oldest();
            let done = change(history)?;
            for name in history.blobs_of_changes_after(made) {
                let synced = self.blobs.sync(name);
                synced.map_err(|why| {
                    format!("cannot keep {}: {why}", self.blobs.path(name).display())
                })?;
            }
            if oldest.is_some() && oldest != history.oldest() {
                let needed: HashSet<&str> = history.blobs_of_changes_after(0).collect();
                let swept = self.blobs.remove_all_but(&needed);
                swept.map_err(|why| {
                    format!("cannot sweep {}: {why}", self.blobs.folder().display())
                })?;
            }
            Ok(done)
        })
    }
}
