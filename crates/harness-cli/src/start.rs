//! Before the first prompt: which model speaks, where it works, what it may do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use harness_app::{Config, Lesson, ModelChoice, Settings};
use harness_core::host::own_paths;
use harness_core::{Gate, Headless, Play, Policy};

use crate::approve::AskPerson;
use crate::args::SharedFlags;
use crate::human::Human;
use crate::input::Input;
use crate::playground;
use crate::screen::Screen;

/// Chooses between the person, the script and a server.
pub(crate) fn choose_model(
    lesson: &Lesson,
    flags: &SharedFlags,
    settings: &Settings,
    input: Option<&Input>,
    screen: &Screen,
) -> Result<ModelChoice> {
    if flags.human
        && let Some(input) = input
    {
        let how = "you are the model; Enter alone sends what you typed, Ctrl-D gives the turn up";
        return Ok(ModelChoice {
            model: Arc::new(Human::new(input.clone(), screen.clone())),
            model_id: "human".to_owned(),
            play: None,
            notices: vec![how.to_owned()],
        });
    }
    if flags.demo {
        return ModelChoice::script(lesson, "--demo");
    }
    ModelChoice::from_settings(lesson, settings, flags.model.clone())
}

/// The gate: what is always denied holds in every session; with `--ask` all rules do.
pub(crate) fn gate(
    flags: &SharedFlags,
    config: &Config,
    person: Option<&Input>,
    screen: &Screen,
) -> Result<Gate> {
    let policy: Arc<dyn Policy> =
        if flags.ask { Arc::new(config.rules()?) } else { config.denials()? };
    let approver = match person {
        Some(input) => config.remembering(AskPerson::new(input.clone(), screen.clone()))?,
        None => config.remembering(Headless)?,
    };
    Ok(Gate { policy, approver })
}

/// Where the agent works.
pub(crate) struct ChosenFolder {
    pub(crate) folder: PathBuf,
    /// What is unusual about it; may be empty.
    remark: &'static str,
}

impl ChosenFolder {
    /// What the user is told of it.
    pub(crate) fn notice(&self) -> String {
        format!("working in {}{}", self.folder.display(), self.remark)
    }
}

/// Chooses the folder, and prepares it for a play. What a play needs is made in an empty folder only (a worker
/// that was there first leaves `.harness`): any other is somebody's.
pub(crate) async fn workspace(
    lesson: &Lesson,
    flags: &SharedFlags,
    play: Option<&Play>,
) -> Result<ChosenFolder> {
    let (folder, mut remark) = match (&flags.workspace, play) {
        (Some(folder), _) => (existing(folder)?, ""),
        (None, Some(_)) => (playground::fresh(lesson.name)?, " (a playground; it is kept)"),
        (None, None) => (existing(Path::new("."))?, ""),
    };
    if let Some(play) = play {
        let failed = || format!("cannot prepare {}", folder.display());
        let _alone = playground::alone(&folder);
        if is_empty(&folder).with_context(failed)? {
            playground::prepare(&folder, &play.setup).await.with_context(failed)?;
        } else if !playground::is_prepared(&folder, &play.setup) {
            remark = " (not empty, so the play's own files are not made in it)";
        }
    }
    Ok(ChosenFolder { folder, remark })
}

/// Whether nothing is in it but the harness's own state.
fn is_empty(folder: &Path) -> std::io::Result<bool> {
    for entry in std::fs::read_dir(folder)? {
        if entry?.file_name() != own_paths::STATE.name {
            return Ok(false);
        }
    }
    Ok(true)
}

fn existing(folder: &Path) -> Result<PathBuf> {
    let found = folder
        .canonicalize()
        .with_context(|| format!("cannot work in {}: make it first", folder.display()))?;
    if !found.is_dir() {
        bail!("cannot work in {}: it is not a folder", folder.display());
    }
    Ok(found)
}
