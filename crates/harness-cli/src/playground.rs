//! The folder a play happens in: fresh, filled as the play asks, kept, and named to the user.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use harness_core::Secrets;
use harness_core::host::process::{ChildCommand, End, Limits};
use harness_core::host::workspace::Workspace;
use harness_core::model::script::Setup;
use tokio_util::sync::CancellationToken;

/// A fresh folder under the system's temporary one.
pub(crate) fn fresh(name: &str) -> Result<PathBuf> {
    let mut builder = tempfile::Builder::new();
    let folder =
        builder.prefix(&format!("{name}-")).tempdir().context("cannot make a playground")?;
    Ok(folder.keep().canonicalize()?)
}

/// Holds the folder until this is dropped, so that of several that begin at once one makes what the play
/// needs, and the others wait for it. Where a folder cannot be locked, nobody waits.
pub(crate) fn alone(folder: &Path) -> Option<File> {
    let folder = File::open(folder).ok()?;
    folder.lock().ok()?;
    Some(folder)
}

/// Whether everything is there that the play needs.
pub(crate) fn is_prepared(folder: &Path, setup: &Setup) -> bool {
    let files = setup.files.keys().all(|path| folder.join(path).exists());
    files && (!setup.git || folder.join(".git").exists())
}

/// Makes what the play needs. A file that is there already is left alone: it may be somebody's.
pub(crate) async fn prepare(folder: &Path, setup: &Setup) -> Result<()> {
    let workspace = Workspace::open(folder)?;
    for (path, content) in &setup.files {
        if workspace.metadata(path).is_err() {
            workspace
                .write_atomic(path, content.as_bytes())
                .map_err(|e| anyhow!("{e}; name a folder that can be written to"))?;
        }
    }
    if setup.git && !folder.join(".git").exists() {
        // Nothing that the user's own configuration names is started for a play.
        let identity = ["user.name=Player", "user.email=player@example.invalid"];
        let plain = ["commit.gpgsign=false", "core.hooksPath=/dev/null", "core.fsmonitor=false"];
        let set = identity.iter().chain(&plain).flat_map(|set| ["-c", *set]);
        for step in [&["init", "-q", "-b", "main"][..], &["add", "-A"], &["commit", "-qm", "Start"]]
        {
            let args = set.clone().chain(step.iter().copied()).map(str::to_owned);
            git(folder, args.collect()).await?;
        }
    }
    Ok(())
}

async fn git(folder: &Path, args: Vec<String>) -> Result<()> {
    let git = ChildCommand::program("git", args, folder, &Secrets::default())?;
    let done = git.run(Limits::default(), &CancellationToken::new(), |_| {}).await;
    let done = done.context("this play needs git")?;
    if done.end != End::Exited(0) {
        bail!("git could not prepare the playground: {}", done.output.trim());
    }
    Ok(())
}
