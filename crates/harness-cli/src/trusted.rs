//! A file of the workspace that may start programs: it counts once the user has agreed to its content.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use harness_core::trust::{self, Standing, Trust};
use harness_core::workspace::{Workspace, WorkspaceError};
use harness_core::{Agent, text};

use crate::config::Config;

/// The most bytes of such a file.
const LIMIT: u64 = 1 << 20;
/// So much of a file's hash is typed to agree to it.
const SHORT: usize = 8;

/// A file of the workspace that has no say until the user has seen it.
#[derive(Clone, Debug)]
pub struct WorkspaceFile {
    cwd: PathBuf,
    name: &'static str,
    trust: Option<Trust>,
}

/// What such a file is good for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// The user has agreed to this text.
    Trusted(String),
    /// Nothing of it counts; this sentence is for the user.
    Untrusted(String),
}

impl WorkspaceFile {
    /// The file of this name in the agent's workspace.
    pub fn new(agent: &Agent, name: &'static str, config: &Config) -> Self {
        let trust = config.home().map(|home| Trust::new(home.join("trusted.json")));
        Self { cwd: agent.cwd.clone(), name, trust }
    }

    /// What the file says and whether that counts; `None` where there is none.
    ///
    /// # Errors
    /// It is there and cannot be read, or it is not known what was agreed to.
    pub fn read(&self) -> Result<Option<Given>> {
        let Some((path, text)) = self.text()? else { return Ok(None) };
        let standing = match &self.trust {
            Some(trust) => trust.standing(&path, text.as_bytes())?,
            None => Standing::New,
        };
        let news = match standing {
            Standing::Trusted => return Ok(Some(Given::Trusted(text))),
            Standing::Changed => "has changed since you agreed to it",
            Standing::New => "is not trusted yet",
        };
        Ok(Some(Given::Untrusted(format!(
            "{} {news} and has no effect; :trust shows it",
            self.name
        ))))
    }

    /// `:trust` shows the file and says how to agree; `:trust` with the beginning of its hash agrees to
    /// just these bytes, once `take` has taken them.
    ///
    /// # Errors
    /// There is no such file, it is of no use, or the yes cannot be kept and holds for this run alone.
    pub fn agree(&self, hash: &str, take: impl FnOnce(&str) -> Result<()>) -> Result<String> {
        let Some((path, text)) = self.text()? else { bail!("there is no {} here", self.name) };
        let whole = trust::hash(text.as_bytes());
        if hash.len() < SHORT || !whole.starts_with(hash) {
            let (shown, short) = (text::visible(text.trim_end()), &whole[..SHORT]);
            return Ok(format!("{}:\n{shown}\n\nif you agree: :trust {short}", self.name));
        }
        let trust = self.trust.as_ref().context("there is no home folder to remember it in")?;
        if trust.standing(&path, text.as_bytes())? == Standing::Trusted {
            return Ok(format!("{} is trusted already", self.name));
        }
        take(&text)?;
        trust.agree(&path, text.as_bytes())?;
        Ok(format!("{} is trusted, as it is now", self.name))
    }

    fn text(&self) -> Result<Option<(PathBuf, String)>> {
        let workspace = Workspace::open(&self.cwd)?;
        let read = match workspace.read_bounded(self.name, LIMIT) {
            Err(WorkspaceError::NotFound { .. }) => return Ok(None),
            read => read?,
        };
        if read.cut {
            bail!("{} is larger than {LIMIT} bytes", self.name);
        }
        let text = String::from_utf8(read.bytes);
        let text = text.with_context(|| format!("{} is no UTF-8 text", self.name))?;
        Ok(Some((workspace.absolute(workspace.resolve(self.name)?), text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = ".harness/x.yaml";

    fn file(cwd: &std::path::Path, home: Option<&std::path::Path>) -> WorkspaceFile {
        let trust = home.map(|home| Trust::new(home.join("trusted.json")));
        WorkspaceFile { cwd: cwd.to_owned(), name: NAME, trust }
    }

    fn write(cwd: &std::path::Path, text: &str) {
        std::fs::create_dir_all(cwd.join(".harness")).unwrap();
        std::fs::write(cwd.join(NAME), text).unwrap();
    }

    #[test]
    fn a_file_counts_once_it_was_shown_and_agreed_to_and_until_it_changes() {
        let (cwd, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = file(cwd.path(), Some(home.path()));
        assert_eq!(file.read().unwrap(), None);
        write(cwd.path(), "run: \x1b[31mme\n");
        let Some(Given::Untrusted(why)) = file.read().unwrap() else { panic!("it counts") };
        assert_eq!(why, ".harness/x.yaml is not trusted yet and has no effect; :trust shows it");

        let shown = file.agree("", |_| panic!("nobody agreed")).unwrap();
        let (text, hash) = shown.rsplit_once(":trust ").unwrap();
        assert!(text.contains("run: \\x1b[31mme"), "{text}");
        file.agree("0000000", |_| panic!("too short")).unwrap();
        file.agree("00000000", |_| panic!("another hash")).unwrap();
        assert!(file.agree(hash, |_| bail!("of no use")).is_err());
        assert!(matches!(file.read().unwrap(), Some(Given::Untrusted(_))));

        file.agree(hash, |_| Ok(())).unwrap();
        assert_eq!(file.read().unwrap(), Some(Given::Trusted("run: \x1b[31mme\n".to_owned())));
        write(cwd.path(), "run: you\n");
        let Some(Given::Untrusted(why)) = file.read().unwrap() else { panic!("it counts") };
        assert!(why.contains("has changed since you agreed to it"), "{why}");
        // What was shown is not what would be agreed to now.
        file.agree(hash, |_| panic!("other bytes")).unwrap();
    }

    #[test]
    fn without_a_home_nothing_is_trusted_and_a_link_that_leads_out_is_refused() {
        let cwd = tempfile::tempdir().unwrap();
        write(cwd.path(), "run: me\n");
        let homeless = file(cwd.path(), None);
        assert!(matches!(homeless.read().unwrap(), Some(Given::Untrusted(_))));
        let hash = trust::hash(b"run: me\n");
        assert!(homeless.agree(&hash, |_| Ok(())).is_err());

        let outside = tempfile::NamedTempFile::new().unwrap();
        std::fs::remove_file(cwd.path().join(NAME)).unwrap();
        std::os::unix::fs::symlink(outside.path(), cwd.path().join(NAME)).unwrap();
        let error = homeless.read().unwrap_err().to_string();
        assert!(error.contains("outside the workspace"), "{error}");
    }
}
