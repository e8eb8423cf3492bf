//! Trust: a file of the workspace that may start programs counts once the user has agreed to its content.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use harness_core::Agent;
use harness_core::host::text;
use harness_core::host::trust;
use harness_core::host::trust::{Standing, Trust};
use harness_core::host::workspace::{Workspace, WorkspaceError};

use crate::config::Config;
use crate::places;

/// The largest such file, in bytes.
const MAX_BYTES: u64 = 1 << 20;
/// How many digits of a file's hash are typed to agree to it, at least.
const SHORT_HASH: usize = 8;

type Take = Box<dyn Fn(&str) -> Result<()> + Send + Sync>;

/// A file of the workspace that waits for the user's yes, and what is done with it then.
pub(crate) struct Trusted {
    pub(crate) file: WorkspaceFile,
    pub(crate) take: Take,
}

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
        let trust = config.home().map(|home| Trust::new(places::trusted_files(home)));
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
        let why = match standing {
            Standing::Trusted => return Ok(Some(Given::Trusted(text))),
            Standing::Changed => "has changed since you agreed to it",
            Standing::New => "is not trusted yet",
        };
        Ok(Some(Given::Untrusted(format!(
            "{} {why} and has no effect; :trust shows it",
            self.name
        ))))
    }

    /// The file as the user is shown it, and the beginning of its hash, by which they agree to just these
    /// bytes. `None` where there is no file.
    fn shown(&self) -> Result<Option<String>> {
        let Some((_, text)) = self.text()? else { return Ok(None) };
        let shown = text::visible(text.trim_end());
        let hash = trust::hash(text.as_bytes());
        let short = &hash[..SHORT_HASH];
        Ok(Some(format!("{}:\n{shown}\n\nif you agree: :trust {short}", self.name)))
    }

    /// Agrees to the file if it has this hash, once `take` has taken it. `None`: it has another.
    fn agree(&self, hash: &str, take: impl FnOnce(&str) -> Result<()>) -> Result<Option<String>> {
        let Some((path, text)) = self.text()? else { return Ok(None) };
        if hash.len() < SHORT_HASH || !trust::hash(text.as_bytes()).starts_with(hash) {
            return Ok(None);
        }
        let trust = self.trust.as_ref().context("there is no home folder to remember it in")?;
        if trust.standing(&path, text.as_bytes())? == Standing::Trusted {
            return Ok(Some(format!("{} is trusted already", self.name)));
        }
        take(&text)?;
        trust.agree(&path, text.as_bytes())?;
        Ok(Some(format!("{} is trusted, as it is now", self.name)))
    }

    fn text(&self) -> Result<Option<(PathBuf, String)>> {
        let workspace = Workspace::open(&self.cwd)?;
        let read = match workspace.read_bounded(self.name, MAX_BYTES) {
            Err(WorkspaceError::NotFound { .. }) => return Ok(None),
            read => read?,
        };
        if read.cut {
            bail!("{} is larger than {MAX_BYTES} bytes", self.name);
        }
        let text = String::from_utf8(read.bytes)
            .with_context(|| format!("{} is not UTF-8 text", self.name))?;
        let path = workspace.absolute(workspace.resolve(self.name)?);
        Ok(Some((path, text)))
    }
}

/// `:trust` shows the files and says how to agree; `:trust` with the beginning of a hash agrees to the file
/// that has it, as it is now.
///
/// # Errors
/// There is no such file, it cannot be used, or the yes cannot be kept and holds for this run alone.
pub(crate) fn agree(files: &[Trusted], hash: &str) -> Result<String> {
    for Trusted { file, take } in files {
        if let Some(said) = file.agree(hash, take)? {
            return Ok(said);
        }
    }
    let mut shown = Vec::new();
    for waiting in files {
        shown.extend(waiting.file.shown()?);
    }
    if shown.is_empty() {
        let names: Vec<_> = files.iter().map(|waiting| waiting.file.name).collect();
        bail!("there is no {} here", names.join(" and no "));
    }
    Ok(shown.join("\n\n"))
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

        assert_eq!(file.agree("", |_| panic!("nobody agreed")).unwrap(), None);
        let shown = file.shown().unwrap().unwrap();
        let (text, hash) = shown.rsplit_once(":trust ").unwrap();
        assert!(text.contains("run: \\x1b[31mme"), "{text}");
        assert_eq!(file.agree("0000000", |_| panic!("too short")).unwrap(), None);
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
