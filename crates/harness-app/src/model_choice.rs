//! Which model answers: a server's, or a script where no key is set.

use std::sync::Arc;

use anyhow::{Context, Result};
use harness_core::model::anthropic::{BASE_URL, Client, Config, Key};
use harness_core::model::models;
use harness_core::{Model, Play, Script};

use crate::lesson::Lesson;
use crate::settings::{DotEnvSource, Settings};

/// The model that answers, and what the user has to know of it.
pub struct ModelChoice {
    /// The model.
    pub model: Arc<dyn Model>,
    /// Its id; `script` for a script.
    pub model_id: String,
    /// The play, if a script speaks.
    pub play: Option<Play>,
    /// Sentences for the user: which model it is, and what is unusual about it.
    pub notices: Vec<String>,
}

impl ModelChoice {
    /// The server that the settings name, with this model or the settings'; without a key and a server the
    /// lesson's script.
    ///
    /// # Errors
    /// The settings cannot be used, or the play cannot be read.
    pub fn from_settings(
        lesson: &Lesson,
        settings: &Settings,
        model_id: Option<String>,
    ) -> Result<Self> {
        let key = key(settings);
        let base_url = settings.get("ANTHROPIC_BASE_URL");
        if matches!(key, Key::None) && base_url.is_none() {
            let mut script = Self::script(lesson, "no key is set")?;
            if settings.source() == DotEnvSource::User {
                let hint = "for a model, put ANTHROPIC_API_KEY=… into ~/.config/harness/.env and start again";
                script.notices.push(hint.to_owned());
            }
            return Ok(script);
        }
        let model_id = model_id.or_else(|| settings.get("MODEL_ID"));
        let model_id = model_id.unwrap_or_else(|| models::DEFAULT.to_owned());
        let mut config = Config::new(base_url.as_deref().unwrap_or(BASE_URL), key);
        if let Some(lines) = settings.get("ANTHROPIC_CUSTOM_HEADERS") {
            config.headers = headers(&lines)?;
        }
        let mut notices = vec![format!("{model_id}{}", unusual_server(settings, &config))];
        notices.extend(models::notice(&model_id));
        let model = Arc::new(Client::new(config)?);
        Ok(Self { model, model_id, play: None, notices })
    }

    /// The lesson's script; `why` says why no model speaks.
    ///
    /// # Errors
    /// The play cannot be read.
    pub fn script(lesson: &Lesson, why: &str) -> Result<Self> {
        let play = Play::from_yaml(lesson.play)
            .with_context(|| format!("the play of {} (demo.yaml) cannot be read", lesson.name))?;
        let notice = "a script speaks here, not a model; the tools it calls are real";
        Ok(Self {
            model: Arc::new(Script::new(play.clone())),
            model_id: "script".to_owned(),
            play: Some(play),
            notices: vec![format!("{why}: {notice}")],
        })
    }
}

impl std::fmt::Debug for ModelChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModelChoice").field("model_id", &self.model_id).finish_non_exhaustive()
    }
}

/// The server's address and where it comes from, where it is not the usual one: the key goes there.
fn unusual_server(settings: &Settings, config: &Config) -> String {
    if settings.get("ANTHROPIC_BASE_URL").is_none() {
        return String::new();
    }
    let origin = match settings.file() {
        Some(file) if settings.get_from_file("ANTHROPIC_BASE_URL").is_some() => {
            format!(" (from {})", file.display())
        }
        _ => String::new(),
    };
    format!(" at {}{origin}", config.shown_url())
}

/// The key wins over the token, as in the official clients; either in the file wins over both outside of it,
/// which may be meant for another server than the file's.
fn key(settings: &Settings) -> Key {
    let in_file = key_from(|name| settings.get_from_file(name));
    let anywhere = || key_from(|name| settings.get(name));
    in_file.or_else(anywhere).unwrap_or(Key::None)
}

fn key_from(get: impl Fn(&str) -> Option<String>) -> Option<Key> {
    let key = get("ANTHROPIC_API_KEY").map(Key::ApiKey);
    key.or_else(|| get("ANTHROPIC_AUTH_TOKEN").map(Key::Token))
}

/// `Name: value`, one a line.
fn headers(lines: &str) -> Result<Vec<(String, String)>> {
    let lines = lines.lines().filter(|line| !line.trim().is_empty());
    lines.map(header).collect()
}

fn header(line: &str) -> Result<(String, String)> {
    let (name, value) = line
        .split_once(':')
        .context("ANTHROPIC_CUSTOM_HEADERS must hold `Name: value`, one a line")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}
