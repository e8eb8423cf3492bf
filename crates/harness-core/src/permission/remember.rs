//! A person's answers, kept: for the session in memory, for always in a file that the user owns.
//!
//! What is remembered is the narrowest thing that was asked: this tool, this folder, this very
//! command line (or, for `write` and `edit`, this path; for any other tool, this whole input). Never
//! remembered: lines of more than one command, lines that are not fully understood, and whatever
//! touches git's hooks and configuration, the rules themselves, secrets or the harness's state.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use globset::GlobSet;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::gate::{Approval, Approver, Question};
use super::line::read;
use super::paths::{in_word, places, protected};
use super::rules::RulesError;
use crate::conversation::message::ToolCall;
use crate::event::Event;
use crate::host::mutex::Mutex;
use crate::host::workspace;
use crate::host::workspace::WorkspaceError;
use crate::tool::ToolContext;

const HEAD: &str =
    "# Calls that you answered with \"always\". Delete an entry to be asked again.\n";

/// Asks somebody else, and only once for the same thing.
pub struct Remember<A> {
    inner: A,
    file: PathBuf,
    known: Mutex<HashSet<Kept>>,
    protected: GlobSet,
}

/// One remembered call.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    tool: String,
    folder: PathBuf,
    /// The command line, the path or the input as JSON: what the call is about.
    #[serde(flatten)]
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum What {
    Command(String),
    Path(String),
    Input(String),
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answers {
    #[serde(default)]
    always: Vec<Kept>,
}

impl<A: Approver> Remember<A> {
    /// Reads the file, if there is one; it is made with the first "always".
    ///
    /// # Errors
    /// The file is there and cannot be read or understood; it is left as it is.
    pub fn open(inner: A, file: impl Into<PathBuf>) -> Result<Self, RulesError> {
        let file = file.into();
        let kept = load(&file).map_err(|Fault(line, column, what)| RulesError {
            file: file.display().to_string(),
            line,
            column,
            what,
        })?;
        let protected = protected().map_err(|e| RulesError {
            file: file.display().to_string(),
            line: 1,
            column: 1,
            what: e.to_string(),
        })?;
        Ok(Self { inner, file, known: Mutex::new(kept.into_iter().collect()), protected })
    }

    /// What to remember of a call; nothing, where each time has to be asked.
    fn key(&self, call: &ToolCall, cwd: &Path) -> Option<Kept> {
        let text = |field: &str| call.input.get(field).and_then(Value::as_str);
        let what = match (call.name.as_str(), text("command"), text("path")) {
            ("bash" | "bash_background", Some(line), _) => {
                if !self.is_one_plain_command(line, cwd) {
                    return None;
                }
                What::Command(line.trim().to_owned())
            }
            ("write" | "edit", _, Some(path)) => {
                if self.is_protected(path, cwd) {
                    return None;
                }
                What::Path(path.to_owned())
            }
            _ => {
                let input = Value::Object(call.input.clone());
                if self.speaks_of_protected(&input, cwd) {
                    return None;
                }
                What::Input(input.to_string())
            }
        };
        Some(Kept { tool: call.name.clone(), folder: cwd.to_path_buf(), what })
    }

    fn is_one_plain_command(&self, line: &str, cwd: &Path) -> bool {
        let reading = read(line);
        let one =
            reading.commands.len() == 1 && reading.loops.is_empty() && reading.doubts.is_empty();
        let words = || reading.commands.iter().flatten().flat_map(|layer| &layer.words);
        let configures = |layer: &harness_shell::Layer| {
            layer.name() == "git"
                && layer.words.iter().any(|word| {
                    let text = word.text.as_str();
                    text == "config" || text.starts_with("-c") || text.starts_with("--config")
                })
        };
        one && reading
            .redirects
            .iter()
            .all(|redirect| !self.is_protected(&redirect.target.text, cwd))
            && words().all(|word| word.sure == harness_shell::Certainty::Known)
            && !words()
                .any(|word| in_word(&word.text).iter().any(|text| self.is_protected(text, cwd)))
            && !reading.commands.iter().flatten().any(configures)
    }

    fn is_protected(&self, path: &str, cwd: &Path) -> bool {
        places(cwd, cwd, path).iter().any(|place| place.is_in(&self.protected))
    }

    fn speaks_of_protected(&self, value: &Value, cwd: &Path) -> bool {
        match value {
            Value::String(text) => self.is_protected(text, cwd),
            Value::Array(items) => items.iter().any(|item| self.speaks_of_protected(item, cwd)),
            Value::Object(fields) => {
                fields.values().any(|item| self.speaks_of_protected(item, cwd))
            }
            _ => false,
        }
    }
}

#[async_trait]
impl<A: Approver> Approver for Remember<A> {
    async fn approve(&self, question: &Question<'_>, cx: &ToolContext) -> Approval {
        let tell = |text: String| cx.emit(&Event::Notice(text));
        let Some(key) = self.key(question.call, &cx.cwd) else {
            let answer = self.inner.approve(question, cx).await;
            if matches!(answer, Approval::Session | Approval::Always) {
                tell("allowed this once: calls like this one are asked each time".to_owned());
                return Approval::Once;
            }
            return answer;
        };
        if self.known.lock().contains(&key) {
            return Approval::Session;
        }
        let answer = self.inner.approve(question, cx).await;
        if answer == Approval::Always
            && let Err(Fault(_, _, what)) = save(&self.file, &key)
        {
            tell(format!("allowed for this session only: {}: {what}", self.file.display()));
        }
        if matches!(answer, Approval::Session | Approval::Always) {
            self.known.lock().insert(key);
        }
        answer
    }
}

impl<A> std::fmt::Debug for Remember<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remember").field("file", &self.file).finish_non_exhaustive()
    }
}

fn load(file: &Path) -> Result<Vec<Kept>, Fault> {
    workspace::read(file)?.map_or(Ok(Vec::new()), |bytes| parse(&bytes))
}

fn parse(bytes: &[u8]) -> Result<Vec<Kept>, Fault> {
    let text = std::str::from_utf8(bytes).map_err(|e| Fault(1, 1, e.to_string()))?;
    if text.lines().all(|line| line.trim().is_empty() || line.starts_with('#')) {
        return Ok(Vec::new());
    }
    let answers: Answers = serde_yaml::from_str(text).map_err(|e| {
        let (line, column) = e.location().map_or((1, 1), |at| (at.line(), at.column()));
        Fault(line, column, format!("{e}; mend the file or move it away"))
    })?;
    Ok(answers.always)
}

/// Adds one answer, as one step for all programs that do so at once.
fn save(file: &Path, key: &Kept) -> Result<(), Fault> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).map_err(|e| Fault(1, 1, e.to_string()))?;
    }
    workspace::update(file, |old| {
        let mut always = old.map_or(Ok(Vec::new()), |bytes| parse(&bytes))?;
        if !always.contains(key) {
            always.push(key.clone());
        }
        let yaml = serde_yaml::to_string(&Answers { always });
        Ok(format!("{HEAD}{}", yaml.map_err(|e| Fault(1, 1, e.to_string()))?).into_bytes())
    })
}

/// What is wrong with the file: line, column and what.
struct Fault(usize, usize, String);

impl From<WorkspaceError> for Fault {
    fn from(error: WorkspaceError) -> Self {
        Self(1, 1, error.to_string())
    }
}
