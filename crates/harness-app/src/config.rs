//! Config: whole files of configuration, such as `permissions.yaml`, and what the flags add for this run.
//!
//! Every file of configuration is looked for in the same places.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::places;
use crate::settings::Settings;

/// What a front's flags and its input say of this run.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// `--config`: the folder of configuration.
    pub config_folder: Option<PathBuf>,
    /// `--allow`: regexes of commands that may run.
    pub allow: Vec<String>,
    /// `--accept-edits`: the file tools may write inside the workspace.
    pub accept_edits: bool,
    /// Somebody sits at a prompt line, now and later: not with `-p`, and not where the prompts come from a pipe.
    pub attended: bool,
}

/// The files of configuration, the settings, and what was given for this run alone.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The folder that was named, by `--config` or `$HARNESS_CONFIG`.
    named: Option<PathBuf>,
    user_folder: Option<PathBuf>,
    settings: Settings,
    pub(crate) allow: Vec<String>,
    pub(crate) accept_edits: bool,
    attended: bool,
}

impl Config {
    /// Takes the folder from `--config`, else from `$HARNESS_CONFIG`. The variable counts only where the user
    /// set it: a `.env` may be somebody else's, and what is configured here may run programs.
    pub fn new(options: RunOptions, settings: Settings) -> Self {
        let variable = std::env::var_os("HARNESS_CONFIG").filter(|folder| !folder.is_empty());
        Self {
            named: options.config_folder.or_else(|| variable.map(PathBuf::from)),
            user_folder: places::user_folder(),
            settings,
            allow: options.allow,
            accept_edits: options.accept_edits,
            attended: options.attended,
        }
    }

    /// A value such as `REDIS_URL`: from `.env`, else from the environment. An empty one is none.
    pub fn setting(&self, name: &str) -> Option<String> {
        self.settings.get(name)
    }

    /// The file of this name: in the folder that was named, where it has to be, else in this repository's
    /// `config/`. `None` where there is no repository any more: then what is compiled in counts.
    ///
    /// # Errors
    /// The named folder does not have it.
    pub fn file(&self, name: &str) -> Result<Option<PathBuf>> {
        let Some(folder) = &self.named else {
            let file = places::repository().join("config").join(name);
            return Ok(file.is_file().then_some(file));
        };
        let file = folder.join(name);
        if !file.is_file() {
            bail!("there is no {}; make it, or leave --config out", file.display());
        }
        Ok(Some(file))
    }

    /// The text of that file, or the one that is compiled in, and what to call it in an error.
    ///
    /// # Errors
    /// The file is missing where it was named, or cannot be read.
    pub fn read(&self, name: &str, built_in: &str) -> Result<(String, String)> {
        let in_repository = format!("config/{name}");
        let Some(path) = self.file(name)? else {
            return Ok((built_in.to_owned(), in_repository));
        };
        let shown = match &self.named {
            Some(_) => path.display().to_string(),
            None => in_repository,
        };
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {shown}"))?;
        Ok((text, shown))
    }

    /// Whether somebody sits at a prompt line, now and later: not with `-p`, and not where the prompts
    /// come from a pipe. If not, a turn is all that there is, and what it began has to end in it.
    pub fn attended(&self) -> bool {
        self.attended
    }

    /// The user's own folder, `~/.config/harness`. It may not exist yet; `None` without a home.
    pub fn home(&self) -> Option<&Path> {
        self.user_folder.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_was_named_has_the_file_or_that_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { named: Some(folder.path().to_owned()), ..Config::default() };
        let error = config.read("x.yaml", "built in").unwrap_err().to_string();
        assert!(error.ends_with("/x.yaml; make it, or leave --config out"), "{error}");
        std::fs::write(folder.path().join("x.yaml"), "mine").unwrap();
        let (text, name) = config.read("x.yaml", "built in").unwrap();
        assert_eq!((text.as_str(), name.ends_with("/x.yaml")), ("mine", true));
    }

    #[test]
    fn without_one_the_repositorys_counts_and_then_what_is_compiled_in() {
        let config = Config::default();
        let (text, name) = config.read("permissions.yaml", "built in").unwrap();
        assert!(text.contains("always_deny"), "{text}");
        assert_eq!(name, "config/permissions.yaml");
        assert_eq!(config.read("no-such.yaml", "built in").unwrap().0, "built in");
    }
}
