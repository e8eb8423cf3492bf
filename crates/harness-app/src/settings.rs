//! Settings: single values, such as the key, the server and the model, from `.env` and the environment.
//!
//! The file wins, as people who keep one expect. Nothing is put into this process's environment, so
//! no child can inherit it from there.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use harness_core::Secrets;

use crate::places;

/// The placeholder of `.env.example`: a copied file is not a key.
const PLACEHOLDER: &str = "your-key-here";

/// Words in the name of a setting whose value is never shown.
const SECRET_WORDS: [&str; 4] = ["KEY", "TOKEN", "SECRET", "PASSWORD"];

/// Whose `.env` counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DotEnvSource {
    /// The start directory's, else this repository's: for a lesson.
    #[default]
    Folder,
    /// The user's own: a program that is started in anybody's folder must not take its server from there.
    User,
}

/// The values that were found, and where.
#[derive(Clone, Default)]
pub struct Settings {
    values: BTreeMap<String, String>,
    source: DotEnvSource,
    file: Option<PathBuf>,
}

impl Settings {
    /// Reads the file that `$HARNESS_ENV` names, else the first of the source's that is there. No file is no
    /// error: then the environment alone counts.
    ///
    /// # Errors
    /// The file cannot be read or is not of the form `NAME=value`.
    pub fn load(source: DotEnvSource, start: &Path) -> Result<Self> {
        for path in candidates(source, start) {
            match std::fs::read(&path) {
                Ok(bytes) => return Ok(Self { source, ..Self::read(&bytes, path)? }),
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => bail!("cannot read {}: {e}", path.display()),
            }
        }
        Ok(Self { source, ..Self::default() })
    }

    fn read(bytes: &[u8], file: PathBuf) -> Result<Self> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = std::str::from_utf8(bytes)
            .with_context(|| format!("{} is not UTF-8 text", file.display()))?;
        let mut values = BTreeMap::new();
        for pair in dotenvy::Iter::new(text.as_bytes()) {
            let (name, value) = pair.map_err(|e| parse_error(e, text, &file))?;
            values.insert(name, value);
        }
        Ok(Self { values, file: Some(file), ..Self::default() })
    }

    /// Whose `.env` counts.
    pub fn source(&self) -> DotEnvSource {
        self.source
    }

    /// The `.env` that was read.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// A value, of the file or else of the environment. An empty one and the example's placeholder count as not
    /// set.
    pub fn get(&self, name: &str) -> Option<String> {
        let in_file = self.get_from_file(name);
        in_file.or_else(|| std::env::var(name).ok().and_then(usable))
    }

    /// The same, of the file alone.
    pub fn get_from_file(&self, name: &str) -> Option<String> {
        self.values.get(name).cloned().and_then(usable)
    }

    /// The names of variables that children never get, and the values that are never shown.
    pub fn secrets(&self) -> Secrets {
        let environment = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        let private = environment.filter(|name| name.starts_with("ANTHROPIC_"));
        let names = private.chain(self.values.keys().cloned());
        let keys = ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"];
        let keys = keys.into_iter().filter_map(|name| self.get(name));
        let in_file = self.values.iter().filter(|(name, _)| sounds_secret(name));
        let in_file = in_file.map(|(_, value)| value.clone());
        Secrets::new(names, keys.chain(in_file))
    }
}

/// The files to look for, in this order.
fn candidates(source: DotEnvSource, start: &Path) -> Vec<PathBuf> {
    if let Some(named) = std::env::var_os("HARNESS_ENV") {
        return vec![PathBuf::from(named)];
    }
    match source {
        DotEnvSource::Folder => vec![start.join(".env"), places::repository().join(".env")],
        DotEnvSource::User => {
            places::user_folder().map(|folder| folder.join(".env")).into_iter().collect()
        }
    }
}

/// The error holds the line, which may hold a key: names its number and nothing of it.
fn parse_error(error: dotenvy::Error, text: &str, file: &Path) -> anyhow::Error {
    let file = file.display();
    let dotenvy::Error::LineParse(line, _) = error else { return anyhow!("{file}: {error}") };
    let line = line.trim();
    let whole = text.lines().position(|other| other.trim() == line);
    let number = whole.or_else(|| text.lines().position(|other| other.contains(line)));
    let number = number.map(|at| format!(":{}", at + 1)).unwrap_or_default();
    anyhow!("{file}{number}: not of the form NAME=value; fix or remove it")
}

fn sounds_secret(name: &str) -> bool {
    let name = name.to_uppercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

fn usable(value: String) -> Option<String> {
    let value = value.trim();
    (!value.is_empty() && value != PLACEHOLDER).then(|| value.to_owned())
}

impl std::fmt::Debug for Settings {
    /// Without the values: they may hold keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("file", &self.file).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings> {
        Settings::read(text.as_bytes(), PathBuf::from("here/.env"))
    }

    #[test]
    fn an_empty_value_and_the_placeholder_are_not_set() {
        let settings = read("HARNESS_A=\nHARNESS_B=your-key-here\nHARNESS_C=yes\n").unwrap();
        assert_eq!(settings.get("HARNESS_A"), None);
        assert_eq!(settings.get("HARNESS_B"), None);
        assert_eq!(settings.get("HARNESS_C"), Some("yes".to_owned()));
    }

    #[test]
    fn a_bad_line_is_named_by_its_number_and_never_shown() {
        let error = read("A=1\nsk-ant-secret oops\n").unwrap_err().to_string();
        assert_eq!(error, "here/.env:2: not of the form NAME=value; fix or remove it");
    }
}
