//! Behind the lesson: the way back. Nothing is overwritten or deleted on it whose bytes are not in the store.

use std::mem::discriminant;
use std::path::Path;

use harness_core::host::workspace::{Wanted, Workspace, WorkspaceError};

use crate::blobs::BlobStore;
use crate::snapshot::{Keeper, Kept, KnownFiles, PathState, Step, failed};

/// Takes each step, if its path still is what the step begins with, or gone, or done already. All are
/// looked at before one is taken. What a failure cuts short can be tried again.
///
/// # Errors
/// [`WorkspaceError::Changed`], and nothing is done; else those of reading and writing.
pub fn restore(
    workspace: &Workspace,
    steps: &[Step],
    blobs: &BlobStore,
) -> Result<(), WorkspaceError> {
    let mut to_take = Vec::new();
    for step in steps {
        let now = state_now(workspace, step, blobs)?;
        if let PathState::File { kept, .. } = &step.to {
            fetch(blobs, kept, &step.path)?; // it is there, and whole
        }
        if now != step.to {
            to_take.push((step, now));
        }
    }

    // Out of the way first, what lies deepest before what it lies in; then the other way round.
    for (step, now) in to_take.iter().rev() {
        let is_other_kind = discriminant(&step.to) != discriminant(now);
        if *now != PathState::Absent && is_other_kind {
            workspace.put(&step.path, Wanted::Nothing)?;
        }
    }
    for (step, _) in &to_take {
        make(workspace, step, blobs)?;
    }
    for (step, _) in to_take.iter().rev() {
        if let PathState::Folder { mode } = step.to {
            workspace.put(&step.path, Wanted::Folder { mode })?;
        }
    }
    Ok(())
}

/// What the path of a step is now, its bytes in the store. Refuses what somebody else has changed.
fn state_now(
    workspace: &Workspace,
    step: &Step,
    blobs: &BlobStore,
) -> Result<PathState, WorkspaceError> {
    let found = workspace.look(&step.path)?;
    let mut known = KnownFiles::default();
    let kept = Keeper::new(workspace, blobs, &mut known, u64::MAX).keep(&step.path, &found)?;
    match kept {
        Kept::As(now) if now == PathState::Absent || now == step.from || now == step.to => Ok(now),
        _ => Err(WorkspaceError::Changed { path: step.path.clone() }),
    }
}

/// Makes the path of a step what it is to become.
fn make(workspace: &Workspace, step: &Step, blobs: &BlobStore) -> Result<(), WorkspaceError> {
    let path = &step.path;
    match &step.to {
        PathState::Absent => Ok(()), // that was done first
        // Open to us for now: something may have to go into it.
        PathState::Folder { mode } => workspace.put(path, Wanted::Folder { mode: mode | 0o700 }),
        PathState::Link { target } => {
            workspace.put(path, Wanted::Link { target: Path::new(target) })
        }
        PathState::File { kept, mode } => {
            let bytes = fetch(blobs, kept, path)?;
            workspace.put(path, Wanted::File { bytes: &bytes, mode: *mode })
        }
    }
}

fn fetch(blobs: &BlobStore, name: &str, path: &Path) -> Result<Vec<u8>, WorkspaceError> {
    blobs.fetch(name).map_err(|source| failed("restore", path, source))
}
