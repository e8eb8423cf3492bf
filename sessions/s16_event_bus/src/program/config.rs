//! The file that names programs. Its form is that of `config/hooks.yaml`.
//!
//! Whatever is not understood is an error, an unknown field or event included: a guard whose name is misspelt
//! would guard nothing.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use harness_core::host::text;
use regex::Regex;
use serde::Deserialize;

use crate::{HookEventKind, OnFailure};

/// The most characters of a program's name in messages.
const MAX_NAME_CHARS: usize = 60;

/// A file of hooks is wrong. None of its hooks count then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {what}")]
pub struct HooksError {
    /// The file, as the caller named it.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1.
    pub column: usize,
    /// What is wrong.
    pub what: String,
}

impl HooksError {
    fn new(file: &str, error: &serde_yaml::Error) -> Self {
        let (line, column) = match error.location() {
            Some(location) => (location.line(), location.column()),
            None => (1, 1),
        };
        Self { file: file.to_owned(), line, column, what: error.to_string() }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct HooksFile {
    hooks: Option<BTreeMap<HookEventKind, Vec<HookGroup>>>,
}

/// Programs that share a matcher.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HookGroup {
    #[serde(default)]
    matcher: ToolMatcher,
    hooks: Vec<HookCommand>,
}

/// One program: when it is asked, about which tools, and how it is started.
#[derive(Clone, Debug)]
pub(super) struct HookConfig {
    pub(super) kind: HookEventKind,
    pub(super) matcher: ToolMatcher,
    pub(super) command: HookCommand,
}

/// How the file says that a program is started.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HookCommand {
    #[serde(rename = "type")]
    _type: HookType,
    command: CommandLine,
    /// If there are arguments, even an empty list, the program is started without a shell.
    pub(super) args: Option<Vec<String>>,
    /// In seconds.
    pub(super) timeout: Option<NonZeroU64>,
    pub(super) on_failure: Option<OnFailure>,
}

impl HookCommand {
    /// The program, or the line for the shell.
    pub(super) fn line(&self) -> &str {
        &self.command.0
    }

    /// The command and its arguments on one line, cut to [`MAX_NAME_CHARS`].
    pub(super) fn display_name(&self) -> String {
        let mut line = self.line().trim().to_owned();
        for arg in self.args.iter().flatten() {
            line.push(' ');
            line.push_str(arg);
        }
        let one_line = text::visible(&line).replace(['\n', '\t'], " ");
        one_line.chars().take(MAX_NAME_CHARS).collect()
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum HookType {
    Command,
}

/// A command that is not blank: the shell would run a blank one and exit with 0, which means yes.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
struct CommandLine(String);

impl TryFrom<String> for CommandLine {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        if text.trim().is_empty() {
            return Err("an empty command");
        }
        Ok(Self(text))
    }
}

/// Which tools a program is asked about: exact names (`write, edit` or `write|edit`), or a pattern.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct ToolMatcher {
    text: String,
    /// `None` matches every tool.
    pattern: Option<Regex>,
}

impl ToolMatcher {
    pub(super) fn matches(&self, tool: &str) -> bool {
        match &self.pattern {
            Some(pattern) => pattern.is_match(tool),
            None => true,
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

impl TryFrom<String> for ToolMatcher {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let trimmed = text.trim();
        if trimmed.is_empty() || trimmed == "*" {
            return Ok(Self { text, pattern: None });
        }
        let is_list_of_names = text.chars().all(|c| c.is_alphanumeric() || "_- ,|".contains(c));
        let pattern = if is_list_of_names {
            let names = text.replace(' ', "").replace(',', "|");
            format!("^(?:{names})$")
        } else {
            trimmed.to_owned()
        };
        let pattern = compile(&pattern).map_err(|why| format!("`{text}`: {why}"))?;
        Ok(Self { text, pattern: Some(pattern) })
    }
}

/// The library draws its errors over several lines; the last one says what is wrong.
fn compile(pattern: &str) -> Result<Regex, String> {
    Regex::new(pattern).map_err(|error| {
        let drawing = error.to_string();
        drawing.lines().last().unwrap_or_default().to_owned()
    })
}

/// The programs in a file of hooks; `file` is its name in errors.
pub(super) fn parse(yaml: &str, file: &str) -> Result<Vec<HookConfig>, HooksError> {
    // Plain YAML first, because that reports a key which occurs twice. In a map the later one would win
    // silently, and the guards under the first one would be gone.
    serde_yaml::from_str::<serde_yaml::Value>(yaml)
        .map_err(|error| HooksError::new(file, &error))?;
    let parsed: Option<HooksFile> =
        serde_yaml::from_str(yaml).map_err(|error| HooksError::new(file, &error))?;

    let mut programs = Vec::new();
    for (kind, groups) in parsed.and_then(|file| file.hooks).unwrap_or_default() {
        for group in groups {
            for command in group.hooks {
                programs.push(HookConfig { kind, matcher: group.matcher.clone(), command });
            }
        }
    }
    Ok(programs)
}
