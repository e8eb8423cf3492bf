//! Before the first prompt: which model speaks, where it works, what it may do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use harness_core::host::own_paths;
use harness_core::model::anthropic::{BASE_URL, Client, Config, Key};
use harness_core::model::models;
use harness_core::{Model, Play, Script};

use crate::args::Shared;
use crate::human::Human;
use crate::input::Input;
use crate::lesson::Lesson;
use crate::playground;
use crate::screen::Screen;
use crate::settings::{DotEnv, Settings};

/// Who speaks.
pub(crate) struct Speaker {
    pub(crate) model: Arc<dyn Model>,
    pub(crate) model_id: String,
    /// The play, if it is a script that speaks.
    pub(crate) play: Option<Play>,
    /// What the user is told of it: a line, or two.
    pub(crate) told: Vec<String>,
}

/// Chooses between the person, the script and a server.
pub(crate) fn speaker(
    lesson: &Lesson,
    args: &Shared,
    settings: &Settings,
    input: Option<&Input>,
    screen: &Screen,
) -> Result<Speaker> {
    let model_id = args.model.clone().or_else(|| settings.get("MODEL_ID"));
    let model_id = model_id.unwrap_or_else(|| models::DEFAULT.to_owned());
    if let (true, Some(input)) = (args.human, input) {
        let how = "you are the model; Enter alone sends what you typed, Ctrl-D gives the turn up";
        let told = vec![how.to_owned()];
        let model = Arc::new(Human::new(input.clone(), screen.clone()));
        return Ok(Speaker { model, model_id: "human".to_owned(), play: None, told });
    }
    let key = key(settings);
    let base_url = settings.get("ANTHROPIC_BASE_URL");
    if args.demo || (matches!(key, Key::None) && base_url.is_none()) {
        let play = Play::from_yaml(lesson.play)
            .with_context(|| format!("the play of {} (demo.yaml) cannot be read", lesson.name))?;
        let why = if args.demo { "--demo" } else { "no key is set" };
        let mut told =
            vec![format!("{why}: a script speaks here, not a model; the tools it calls are real")];
        if let (DotEnv::User, false) = (settings.whose, args.demo) {
            let file = "~/.config/harness/.env";
            told.push(format!("for a model, put ANTHROPIC_API_KEY=… into {file} and start again"));
        }
        let model = Arc::new(Script::new(play.clone()));
        return Ok(Speaker { model, model_id: "script".to_owned(), play: Some(play), told });
    }
    let mut told: Vec<String> = models::notice(&model_id).into_iter().collect();
    let mut config = Config::new(base_url.as_deref().unwrap_or(BASE_URL), key);
    if let Some(lines) = settings.get("ANTHROPIC_CUSTOM_HEADERS") {
        config.headers = headers(&lines)?;
    }
    let from = match (&settings.path, settings.filed("ANTHROPIC_BASE_URL")) {
        (Some(path), Some(_)) => format!(" (from {})", path.display()),
        _ => String::new(),
    };
    // Always said when it is not the usual one: the key goes there.
    let at = base_url.map(|_| format!(" at {}{from}", config.shown_url())).unwrap_or_default();
    told.insert(0, format!("{model_id}{at}"));
    Ok(Speaker { model: Arc::new(Client::new(config)?), model_id, play: None, told })
}

/// The key wins over the token, as in the official clients; either in the file wins over both outside of it,
/// which may be meant for another server than the file's.
fn key(settings: &Settings) -> Key {
    let of = |get: &dyn Fn(&str) -> Option<String>| {
        let key = get("ANTHROPIC_API_KEY").map(Key::ApiKey);
        key.or_else(|| get("ANTHROPIC_AUTH_TOKEN").map(Key::Token))
    };
    let filed = of(&|name| settings.filed(name));
    filed.or_else(|| of(&|name| settings.get(name))).unwrap_or(Key::None)
}

/// `Name: value`, one a line.
fn headers(lines: &str) -> Result<Vec<(String, String)>> {
    let lines = lines.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            let (name, value) = line
                .split_once(':')
                .context("ANTHROPIC_CUSTOM_HEADERS must hold `Name: value`, one a line")?;
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        })
        .collect()
}

/// Where the agent works, and what the user is told of it. What a play needs is made in an empty folder only
/// (a worker that was there first leaves `.harness`): any other is somebody's.
pub(crate) async fn workspace(
    lesson: &Lesson,
    args: &Shared,
    play: Option<&Play>,
) -> Result<(PathBuf, &'static str)> {
    let (folder, mut told) = match (&args.workspace, play) {
        (Some(folder), _) => (existing(folder)?, ""),
        (None, Some(_)) => (playground::fresh(lesson.name)?, " (a playground; it is kept)"),
        (None, None) => (existing(Path::new("."))?, ""),
    };
    if let Some(play) = play {
        let prepared = || format!("cannot prepare {}", folder.display());
        let _alone = playground::alone(&folder);
        let mut inside = std::fs::read_dir(&folder).with_context(prepared)?;
        if inside.all(|entry| entry.is_ok_and(|entry| entry.file_name() == own_paths::STATE.name)) {
            playground::prepare(&folder, &play.setup).await.with_context(prepared)?;
        } else if !playground::is_prepared(&folder, &play.setup) {
            told = " (not empty, so the play's own files are not made in it)";
        }
    }
    Ok((folder, told))
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
