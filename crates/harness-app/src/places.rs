//! Where files lie: the user's own folder, and this repository.

use std::path::{Path, PathBuf};

/// The user's own folder, `~/.config/harness`: remembered answers, trusted files, `.env`, prompt history. It
/// may not exist yet. `None` without a home; a relative `HOME` does not count, since it would name a folder of
/// the workspace, which is somebody else's.
pub fn user_folder() -> Option<PathBuf> {
    let home = PathBuf::from(std::env::var_os("HOME")?);
    home.is_absolute().then(|| home.join(".config/harness"))
}

/// Where the prompt line keeps what was typed. Makes the folder; `None` where that cannot be done.
pub fn prompt_history() -> Option<PathBuf> {
    let folder = user_folder()?;
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("history"))
}

/// This repository, as it stood when the program was built. It may be gone by now.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The questions that the user answered with "always".
pub(crate) fn remembered_answers(user_folder: &Path) -> PathBuf {
    user_folder.join("always.yaml")
}

/// The files of workspaces that the user has agreed to.
pub(crate) fn trusted_files(user_folder: &Path) -> PathBuf {
    user_folder.join("trusted.json")
}
