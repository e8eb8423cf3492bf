//! Hooks that are programs: how they are configured, and the contract with them, which is Claude Code's.
//!
//! A program gets the event as JSON on its standard input. Exit code 0 is fine, and what it printed is
//! its answer; 2 is a no, and its standard error says why; everything else is a failure of the program,
//! and so are a time-out, a signal and an answer that nobody can read. Before a call a failure is a no,
//! unless the configuration says otherwise: a guard that broke guards nothing.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use regex::Regex;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::happening::{Answer, Happening, Kind, OnFailure};
use crate::host::process::{ChildCommand, End, Limits};
use crate::host::secrets::Secrets;
use crate::host::text;
use crate::permission::Verdict;

/// The variable by which a program knows that a hook has started it. Its own hooks would start it again.
pub const INSIDE: &str = "HARNESS_HOOK";
/// So long a program has, in seconds, unless its `timeout` says otherwise.
const TIMEOUT: u64 = 60;
/// The most that is read of an answer, in bytes. It may hold a whole file.
const ANSWER: usize = 1 << 20;
/// The longest text of an answer that is passed on, in bytes.
const TEXT: usize = 10_000;

/// What is wrong with a file of hooks. Nothing of it counts then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {what}")]
pub struct HooksError {
    /// The file, as it was named.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1.
    pub column: usize,
    /// What is wrong.
    pub what: String,
}

/// A file of hooks. What is not known is an error: a guard that is misspelt guards nothing.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    hooks: Option<BTreeMap<Kind, Vec<Group>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    #[serde(default)]
    matcher: Matcher,
    hooks: Vec<Command>,
}

/// Which tools a hook is for: exact names (`write, edit` or `write|edit`), or a pattern.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "String")]
struct Matcher {
    text: String,
    pattern: Option<Regex>,
}

impl TryFrom<String> for Matcher {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // The library draws its errors over several lines; the last one says what is wrong.
        let compile = |pattern: &str| {
            Regex::new(pattern).map_err(|error| {
                let error = error.to_string();
                format!("`{text}`: {}", error.lines().last().unwrap_or_default())
            })
        };
        let plain = text.chars().all(|c| c.is_alphanumeric() || "_- ,|".contains(c));
        let names = text.replace(' ', "").replace(',', "|");
        let pattern = match text.trim() {
            "" | "*" => None,
            _ if plain => Some(compile(&format!("^(?:{names})$"))?),
            pattern => Some(compile(pattern)?),
        };
        Ok(Self { text, pattern })
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Command {
    #[serde(rename = "type")]
    _type: Type,
    command: Line,
    /// With arguments, also with none of them, it is started without a shell.
    args: Option<Vec<String>>,
    /// In seconds.
    timeout: Option<NonZeroU64>,
    on_failure: Option<OnFailure>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Type {
    Command,
}

/// A command that is not blank: an empty one would always say yes.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Line(String);

impl TryFrom<String> for Line {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        if text.trim().is_empty() { Err("an empty command") } else { Ok(Self(text)) }
    }
}

/// A program that is asked when something happens.
#[derive(Clone, Debug)]
pub struct Program {
    /// When it is asked.
    pub kind: Kind,
    /// What it is called in messages: its command, in a line of 60 characters at most.
    pub name: String,
    matcher: Matcher,
    command: Command,
}

/// Where and for whom a program runs.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Whoever runs the agent now; the same for all events of a run.
    pub session: String,
    /// Its directory.
    pub cwd: PathBuf,
    /// What it does not get and what its words do not show.
    pub secrets: Secrets,
    /// Ends it.
    pub cancel: CancellationToken,
}

/// Reads a file of hooks; its form is that of `config/hooks.yaml`. One with everything commented has none.
///
/// # Errors
/// Anything that is not understood, an event or a field of another name included.
pub fn read(yaml: &str, name: &str) -> Result<Vec<Program>, HooksError> {
    // First as plain YAML, which knows a key that stands there twice: the later one would win, and the
    // guards under the first be gone.
    let plain = serde_yaml::from_str::<serde_yaml::Value>(yaml);
    let file: Result<Option<File>, _> = plain.and_then(|_| serde_yaml::from_str(yaml));
    let file = file.map_err(|error| {
        let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
        HooksError { file: name.to_owned(), line, column, what: error.to_string() }
    })?;
    let mut programs = Vec::new();
    for (kind, groups) in file.and_then(|file| file.hooks).unwrap_or_default() {
        for Group { matcher, hooks } in groups {
            programs.extend(hooks.into_iter().map(|command| {
                let args = command.args.iter().flatten().map(|arg| format!(" {arg}"));
                let line = command.command.0.trim().to_owned() + &args.collect::<String>();
                let line = text::visible(&line).replace(['\n', '\t'], " ");
                let cut = line.char_indices().nth(60).map_or(line.len(), |(at, _)| at);
                let name = line[..cut].to_owned();
                Program { kind, name, matcher: matcher.clone(), command }
            }));
        }
    }
    Ok(programs)
}

impl Program {
    /// Whether it is to be asked about this tool. Events without a tool (`""`) concern everybody.
    pub fn concerns(&self, tool: &str) -> bool {
        let matches = |pattern: &Regex| tool.is_empty() || pattern.is_match(tool);
        self.matcher.pattern.as_ref().is_none_or(matches)
    }

    /// Its `matcher` as it was written; "" is for all tools.
    pub fn matcher(&self) -> &str {
        &self.matcher.text
    }

    /// Runs it. Whatever becomes of it is an answer.
    pub async fn ask(&self, happening: &Happening, setting: &Setting) -> Answer {
        let kind = happening.kind;
        let failed = |why: &str| Answer::failure(kind, self.command.on_failure, &self.name, why);
        let seconds = self.command.timeout.map_or(TIMEOUT, NonZeroU64::get);
        let timeout = Duration::from_secs(seconds);
        let limits = Limits { timeout, head: ANSWER, tail: 0, ..Limits::default() };
        let run = async {
            let input = input(happening, setting).to_string() + "\n";
            let prepared = self.prepared(setting)?.separate_streams().stdin(input);
            let prepared = prepared.env("CLAUDE_PROJECT_DIR", &setting.cwd).env(INSIDE, "1");
            prepared.run(limits, &setting.cancel, |_| {}).await
        };
        let finished = match run.await {
            Ok(finished) => finished,
            Err(error) => return failed(&error.to_string()),
        };
        let said = words(&finished.stderr, setting);
        match finished.end {
            End::Exited(0) => {
                let answer = read_answer(kind, finished.output.trim(), setting);
                answer.unwrap_or_else(|why| failed(&format!("its answer cannot be used ({why})")))
            }
            End::Exited(2) if said.is_empty() => {
                Answer::deny(format!("the hook `{}` said no, and not why", self.name))
            }
            End::Exited(2) => Answer::deny(said),
            End::Exited(code) if said.is_empty() => failed(&format!("exit code {code}")),
            End::Exited(code) => failed(&format!("exit code {code}, {said}")),
            End::Signalled(signal) => failed(&format!("ended by signal {signal}")),
            End::TimedOut(_) => failed(&format!("no answer after {seconds} s")),
            End::Cancelled(_) => Answer::deny("the user interrupted"),
        }
    }

    fn prepared(
        &self,
        setting: &Setting,
    ) -> Result<ChildCommand, crate::host::process::ProcessError> {
        let Command { command: Line(line), args, .. } = &self.command;
        match args {
            Some(args) => ChildCommand::program(line, args, &setting.cwd, &setting.secrets),
            None => ChildCommand::program("/bin/sh", ["-c", line], &setting.cwd, &setting.secrets),
        }
    }
}

fn input(happening: &Happening, setting: &Setting) -> Value {
    let mut input = json!({"session_id": setting.session, "hook_event_name": happening.kind,
        "cwd": setting.cwd.to_string_lossy(), "permission_mode": "default", "agent_id": happening.agent});
    for (name, value) in &happening.fields {
        input[name] = value.clone();
    }
    input
}

/// A program's words as they are passed on: no secrets, no control sequences, not too many.
fn words(text: &str, setting: &Setting) -> String {
    text::clip(text::strip(&setting.secrets.mask(text)).trim(), TEXT, 0).into_owned()
}

/// Reads what a program printed: JSON if it begins like JSON, else text. Text is for the model where no
/// work has begun, and for nobody elsewhere. Unknown fields are let be, as the contract grows; a known
/// one with an odd value is an error, since nobody knows what its author meant.
fn read_answer(kind: Kind, printed: &str, setting: &Setting) -> Result<Answer, String> {
    let mut answer = Answer::default();
    if !printed.starts_with('{') {
        let heard = matches!(kind, Kind::SessionStart | Kind::UserPromptSubmit);
        answer.context.extend((heard && !printed.is_empty()).then(|| words(printed, setting)));
        return Ok(answer);
    }
    let said: Value = serde_json::from_str(printed).map_err(|error| error.to_string())?;
    let own = &said["hookSpecificOutput"];
    if !own.is_null() && !own.is_object() {
        return Err(format!("hookSpecificOutput: {own} is no object"));
    }
    let text = |of: &Value, name: &str| match &of[name] {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(words(text, setting))),
        odd => Err(format!("{name}: {odd} is no text")),
    };
    let why = text(own, "permissionDecisionReason")?.or(text(&said, "reason")?);
    let why = || why.unwrap_or_else(|| "a hook said no, and not why".to_owned());
    let (judged, decided) = (text(own, "permissionDecision")?, text(&said, "decision")?);
    answer.verdict = match (judged.as_deref(), decided.as_deref()) {
        (_, Some(odd)) if !["block", "approve"].contains(&odd) => {
            return Err(format!("decision: `{odd}` is unknown"));
        }
        (Some("deny"), _) | (_, Some("block")) => Some(Verdict::Deny(why())),
        (Some("ask" | "defer"), _) => Some(Verdict::Ask(why())),
        (Some("allow") | None, _) => None,
        (Some(odd), _) => return Err(format!("permissionDecision: `{odd}` is unknown")),
    };
    answer.input = match &own["updatedInput"] {
        Value::Null => None,
        Value::Object(input) => Some(input.clone()),
        odd => return Err(format!("updatedInput: {odd} is no object")),
    };
    answer.output = text(own, "updatedToolOutput")?;
    answer.context.extend(text(own, "additionalContext")?);
    answer.notices.extend(text(&said, "systemMessage")?);
    let ended = text(&said, "stopReason")?.unwrap_or_else(|| "a hook ended the turn".to_owned());
    answer.halt = match &said["continue"] {
        Value::Null | Value::Bool(true) => None,
        Value::Bool(false) => Some(ended),
        odd => return Err(format!("continue: {odd} is neither true nor false")),
    };
    Ok(answer)
}
