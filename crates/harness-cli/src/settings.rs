//! Where the key, the address and the model come from: `.env` first, then the environment.
//!
//! The file wins, as people who keep one expect. Nothing is put into this process's environment, so
//! no child can inherit it from there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use harness_core::Secrets;

/// The placeholder of `.env.example`: a copied file is not a key.
const PLACEHOLDER: &str = "your-key-here";

/// This repository, as it stood when the program was built. It may be gone by now.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The user's own folder: remembered answers, prompt history. `None` without a home. An empty or relative one
/// is none: what it names is in the workspace, and somebody else's.
pub(crate) fn home() -> Option<PathBuf> {
    let home = PathBuf::from(std::env::var_os("HOME")?);
    home.is_absolute().then(|| home.join(".config/harness"))
}

/// Whose `.env` counts.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum DotEnv {
    /// The start directory's, else this repository's: for a lesson.
    #[default]
    Folder,
    /// The user's own: a program that is started in anybody's folder must not take its server from there.
    User,
}

/// What was found, and where.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    file: BTreeMap<String, String>,
    /// Where it was looked for.
    pub(crate) whose: DotEnv,
    /// The `.env` that was read.
    pub(crate) path: Option<PathBuf>,
}

impl Settings {
    /// Reads the file that `$HARNESS_ENV` names, else the first that is there of the usual ones.
    pub(crate) fn load(whose: DotEnv, start: &Path) -> Result<Self> {
        let named = std::env::var_os("HARNESS_ENV").map(|path| vec![PathBuf::from(path)]);
        let usual = || match whose {
            DotEnv::Folder => vec![start.join(".env"), repository().join(".env")],
            DotEnv::User => home().map(|home| home.join(".env")).into_iter().collect(),
        };
        for path in named.unwrap_or_else(usual) {
            match std::fs::read(&path) {
                Ok(bytes) => return Ok(Self { whose, ..Self::read(&bytes, path)? }),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => bail!("cannot read {}: {e}", path.display()),
            }
        }
        Ok(Self { whose, ..Self::default() })
    }

    fn read(bytes: &[u8], path: PathBuf) -> Result<Self> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = std::str::from_utf8(bytes)
            .with_context(|| format!("{} is not UTF-8 text", path.display()))?;
        let mut file = BTreeMap::new();
        for pair in dotenvy::Iter::new(text.as_bytes()) {
            // The error holds the line, which may hold a key: name its number and nothing of it.
            let (name, value) = pair.map_err(|e| match e {
                dotenvy::Error::LineParse(line, _) => {
                    let same = |l: &str| l.trim() == line.trim();
                    let at = text.lines().position(same);
                    let at = at.or_else(|| text.lines().position(|l| l.contains(line.trim())));
                    let at = at.map_or(String::new(), |at| format!(":{}", at + 1));
                    anyhow::anyhow!(
                        "{}{at}: not of the form NAME=value; mend it or remove it",
                        path.display()
                    )
                }
                other => anyhow::anyhow!("{}: {other}", path.display()),
            })?;
            file.insert(name, value);
        }
        Ok(Self { file, path: Some(path), ..Self::default() })
    }

    /// A value; an empty one and the example's placeholder count as not set.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.filed(name).or_else(|| std::env::var(name).ok().and_then(set))
    }

    /// The same, of the file alone.
    pub(crate) fn filed(&self, name: &str) -> Option<String> {
        self.file.get(name).cloned().and_then(set)
    }

    /// What children never get, and what is never shown.
    pub(crate) fn secrets(&self) -> Secrets {
        let environment = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        let private = environment.filter(|name| name.starts_with("ANTHROPIC_"));
        let names = private.chain(self.file.keys().cloned());
        let values = ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"];
        let keys = values.into_iter().filter_map(|name| self.get(name));
        let looks_secret = |name: &str| {
            ["KEY", "TOKEN", "SECRET", "PASSWORD"]
                .iter()
                .any(|word| name.to_uppercase().contains(word))
        };
        let filed = self.file.iter().filter(|(name, _)| looks_secret(name)).map(|(_, v)| v.clone());
        Secrets::new(names, keys.chain(filed))
    }
}

fn set(value: String) -> Option<String> {
    let value = value.trim();
    (!value.is_empty() && value != PLACEHOLDER).then(|| value.to_owned())
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("path", &self.path).finish_non_exhaustive()
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
        assert_eq!(error, "here/.env:2: not of the form NAME=value; mend it or remove it");
    }
}
