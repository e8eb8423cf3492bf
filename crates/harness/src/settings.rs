//! Which mechanisms are on: all, but for those that the user, the workspace or a flag switches off.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail};
use harness_app::{Config, Given, WorkspaceFile};
use harness_core::Agent;
use harness_core::host::text;
use serde::Deserialize;

/// The settings of a workspace. They count once the user has agreed to them: they may switch off a guard.
pub const OWN: &str = ".harness/settings.yaml";

/// What can be switched off, in the order in which it is installed, and what it is for.
pub const MECHANISMS: [(&str, &str); 17] = [
    ("permissions", "every call is judged by rules, and what no rule allows is asked about"),
    ("hooks", "functions and programs that look on, and may refuse or rewrite"),
    ("checkpoints", "what a call changes can be taken back"),
    ("parallel", "calls that cannot get in each other's way run together"),
    ("cache", "what was sent before is marked, and paid for once"),
    ("skills", "instructions that are loaded when a task needs them"),
    ("tasks", "a board of tasks that wait for each other"),
    ("mcp", "tools of other programs, MCP servers"),
    ("subagents", "a clone with a fresh history does one task"),
    ("teams", "teammates that work at the same time, and mail between them"),
    ("worktrees", "`| one | two` at the prompt: tasks side by side, each on a branch of its own"),
    ("plan", "a list of what is to be done"),
    ("sessions", "the conversation is kept, and can be gone on with"),
    ("interrupts", "what is typed while the agent works is told to it"),
    ("background", "commands run on while the work goes on"),
    ("compaction", "room is made before the window is full"),
    ("streaming", "a reply is shown while it is being made"),
];

/// A file of settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping such as `without: [hooks]`")]
struct File {
    /// The mechanisms that are switched off.
    #[serde(default)]
    without: Vec<String>,
}

/// What is switched off, and by whom.
#[derive(Debug, Default)]
pub struct Settings {
    off: BTreeSet<(String, String)>,
    /// What the user has to know of them, a line each.
    pub told: Vec<String>,
}

impl Settings {
    /// What the user's `settings.yaml`, the workspace's and `--without` say together.
    ///
    /// # Errors
    /// One of them cannot be read, or names something that there is not.
    pub fn load(agent: &Agent, config: &Config, without: &[String]) -> Result<Self> {
        let mut settings = Self::default();
        if let Some(home) = config.home() {
            let file = home.join("settings.yaml");
            settings.take(&read(&file)?.unwrap_or_default(), &file.display().to_string())?;
        }
        match WorkspaceFile::new(agent, OWN, config).read()? {
            Some(Given::Trusted(text)) => settings.take(&text, OWN)?,
            Some(Given::Untrusted(why)) => settings.told.push(why),
            None => {}
        }
        for name in without {
            settings.switch_off(name, "--without")?;
        }
        Ok(settings)
    }

    /// Whether this mechanism is on.
    pub fn on(&self, name: &str) -> bool {
        debug_assert!(MECHANISMS.iter().any(|(known, _)| *known == name), "{name}");
        !self.off.iter().any(|(off, _)| off == name)
    }

    /// The names of those that are off.
    pub fn off(&self) -> String {
        self.off.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// All mechanisms, a line each.
    pub fn table(&self) -> String {
        let lines = MECHANISMS.iter().map(|(name, about)| {
            let by = self.off.iter().filter(|(off, _)| off == name).map(|(_, by)| by.as_str());
            match by.collect::<Vec<_>>().join(", ") {
                by if by.is_empty() => format!("on   {name:<12} {about}\n"),
                by => format!("off  {name:<12} by {by}\n"),
            }
        });
        lines.collect()
    }

    fn take(&mut self, yaml: &str, file: &str) -> Result<()> {
        for name in parse(yaml, file)? {
            self.switch_off(&name, file)?;
        }
        Ok(())
    }

    fn switch_off(&mut self, name: &str, by: &str) -> Result<()> {
        known(name, by)?;
        self.off.insert((name.to_owned(), by.to_owned()));
        Ok(())
    }
}

/// Whether a text would do as settings; what `:trust` asks before it says yes.
///
/// # Errors
/// It would not.
pub(crate) fn check(yaml: &str) -> Result<()> {
    parse(yaml, OWN)?.iter().try_for_each(|name| known(name, OWN))
}

fn parse(yaml: &str, file: &str) -> Result<Vec<String>> {
    if yaml.trim().is_empty() {
        return Ok(Vec::new());
    }
    let read: Option<File> =
        serde_yaml::from_str(yaml).with_context(|| format!("{file} cannot be used"))?;
    Ok(read.map(|file| file.without).unwrap_or_default())
}

fn known(name: &str, by: &str) -> Result<()> {
    let names = || MECHANISMS.iter().map(|(name, _)| *name);
    if names().any(|known| known == name) {
        return Ok(());
    }
    let near = text::nearest(name, names());
    let hint = match near.is_empty() {
        true => names().collect::<Vec<_>>().join(", "),
        false => near.join(" or "),
    };
    bail!("{by}: there is no mechanism {name:?}; try {hint}")
}

fn read(file: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).with_context(|| format!("cannot read {}", file.display())),
    }
}
