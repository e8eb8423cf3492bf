//! `check`: what the policy says of a call that nobody makes.

use std::fmt::Write as _;
use std::io::{self, BufRead, ErrorKind, Write};
use std::path::PathBuf;

use harness_cli::{fill, wide};
use harness_core::host::text;
use harness_core::permission::{Part, Ruling};
use harness_core::{Agent, Effect, Rules, ToolCall, Toolbox, Verdict};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// What a call is about, in the tools that have it: the first of these that has to be there.
const ABOUT: [&str; 3] = ["command", "path", "pattern"];

/// The policy, asked without an agent. Nothing is run.
#[derive(Debug)]
pub struct Check {
    rules: Rules,
    tools: Toolbox,
    cwd: PathBuf,
}

/// A line of `check --json`.
#[derive(Deserialize)]
struct Asked {
    tool: String,
    input: Value,
}

impl Check {
    /// These rules, with the tools this agent has, in the folder it works in.
    pub fn new(rules: Rules, agent: &Agent) -> Self {
        Self { rules, tools: agent.tools.clone(), cwd: agent.cwd.clone() }
    }

    /// The ruling on a shell line, with a line for each part.
    pub fn line(&self, line: &str) -> String {
        let Ruling { verdict, parts } = self.rules.explain_line(line, &self.cwd);
        let mut told = format!("{:5}  {}\n", word(&verdict), shown(line));
        let width = parts.iter().map(|part| wide(&shown(&part.text))).max().unwrap_or(0).min(40);
        for part in parts {
            let (word, text) = (word(&part.verdict), fill(&shown(&part.text), width));
            let why = shown(&reason(&part));
            let _ = writeln!(told, "  {word:5}  {text}  {why}");
        }
        told
    }

    /// Answers calls, one JSON object a line, with one a line. A line that is no call is denied with what is
    /// wrong with it, and the next one is read.
    ///
    /// # Errors
    /// The input cannot be read, or the answers cannot be written. A reader that has left is no error.
    pub fn answer_all(&self, mut asked: impl BufRead, mut told: impl Write) -> io::Result<()> {
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            if asked.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let answer = match self.answer(&line) {
                Ok(answer) => answer,
                Err(fault) => {
                    json!({"decision": "deny", "reason": format!("line {number}: {fault}")})
                }
            };
            // Flushed, so that a program may ask, read, and ask again.
            match writeln!(told, "{answer}").and_then(|()| told.flush()) {
                Err(gone) if gone.kind() == ErrorKind::BrokenPipe => break,
                done => done?,
            }
        }
        Ok(())
    }

    /// The decision on one call, and the reason for it.
    ///
    /// # Errors
    /// The line is no call; the text says what is wrong.
    pub fn answer(&self, line: &[u8]) -> Result<Value, String> {
        let asked: Asked = serde_json::from_slice(line.trim_ascii())
            .map_err(|fault| fault.to_string().replace(" at line 1 column ", " at column "))?;
        let input = self.input(&asked)?;
        let (id, name, rest) = ("check".to_owned(), asked.tool, Map::new());
        let call = ToolCall { id, name, input, rest };
        let effect = match self.tools.get(&call.name) {
            Ok(tool) => tool.prepare(&call.input).map(|prepared| prepared.effect()),
            Err(_) => Ok(Effect::Unknown), // a name gives no rights
        };
        let Ruling { verdict, parts } = match effect {
            Ok(effect) => self.rules.explain(&call, &effect, &self.cwd),
            // It never gets as far as the gate, and does not run.
            Err(fault) => Ruling { verdict: Verdict::Deny(fault.to_string()), parts: Vec::new() },
        };
        let why = match &verdict {
            Verdict::Ask(why) | Verdict::Deny(why) => why.clone(),
            Verdict::Allow => {
                let parts = parts.iter().map(|part| format!("`{}`: {}", part.text, reason(part)));
                parts.collect::<Vec<_>>().join("; ")
            }
        };
        Ok(json!({"decision": word(&verdict), "reason": why}))
    }

    /// The whole input that a line stands for: itself if it is an object or the text of one; else the tool's
    /// input with this text in its place, and nothing in the others.
    fn input(&self, asked: &Asked) -> Result<Map<String, Value>, String> {
        let text = match &asked.input {
            Value::Object(input) => return Ok(input.clone()),
            Value::String(text) => text,
            _ => return Err("`input` must be a text or an object".to_owned()),
        };
        let schema = self.tools.get(&asked.tool).map(|tool| tool.spec().input_schema);
        let schema = schema.unwrap_or_else(|_| json!({"required": ["input"]}));
        let required = schema["required"].as_array().into_iter().flatten();
        let required: Vec<&str> = required.filter_map(Value::as_str).collect();
        let about = ABOUT.into_iter().find(|field| required.contains(field)).unwrap_or("input");
        if text.starts_with('{') {
            match serde_json::from_str(text) {
                Ok(input) => return Ok(input),
                Err(_) if about == "command" => {} // `{ ls; }`
                Err(fault) => {
                    return Err(format!("`input` begins with `{{` and is no JSON: {fault}"));
                }
            }
        }
        let place = |field: &str| if field == about { text.clone() } else { String::new() };
        Ok(required.iter().map(|field| ((*field).to_owned(), place(field).into())).collect())
    }
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Ask(_) => "ask",
        Verdict::Deny(_) => "deny",
    }
}

/// Why a part is judged as it is, with the place of the rule.
fn reason(part: &Part) -> String {
    match (&part.verdict, &part.rule) {
        (Verdict::Ask(why) | Verdict::Deny(why), _) => why.clone(),
        (Verdict::Allow, Some(rule)) => format!("{} ({}:{})", rule.reason, rule.file, rule.line),
        (Verdict::Allow, None) => "needs no rule".to_owned(),
    }
}

/// On one line, with everything in it to be seen.
fn shown(text: &str) -> String {
    text::visible(text).replace('\n', "\\n")
}
