//! Markdown files that begin with YAML between two lines `---`: skills, agents, rules.
//!
//! They are written by hand and read by a program that acts on them, so nothing is guessed: a field
//! that nobody knows is a fault and no decoration (it may have been meant as a restriction), every
//! fault has its line, and all of them are told at once.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_yaml::{Mapping, Value};

use crate::host::text;
use crate::host::workspace::{Workspace, WorkspaceError};

/// What is wrong in a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub file: PathBuf,
    /// Counted from 1; none where it is the file, or the folder, as a whole.
    pub line: Option<usize>,
    /// A sentence.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.line.map(|line| format!(":{line}")).unwrap_or_default();
        let said = format!("{}{line}: {}", self.file.display(), self.what);
        f.write_str(&text::visible(&said))
    }
}

/// A text file inside a folder, whole, with plain line ends and no byte order mark. Links are
/// followed as far as they stay inside.
///
/// # Errors
/// It cannot be read, has more than `limit` bytes, or is not UTF-8.
pub fn read_text(folder: &Path, file: &Path, limit: u64) -> Result<String, Fault> {
    let fault = |line, what| Fault { file: folder.join(file), line, what };
    let read = Workspace::open(folder).and_then(|inside| inside.read_bounded(file, limit));
    let read = read.map_err(|error| match error {
        WorkspaceError::Outside { path, root } => {
            fault(None, format!("{path:?} leads out of {}", root.display()))
        }
        other => fault(None, other.to_string()),
    })?;
    if read.cut {
        let what = format!("{} bytes are too many, {limit} are allowed", read.len);
        return Err(fault(None, format!("{what}; move parts into files beside it")));
    }
    let text = String::from_utf8(read.bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        fault(Some(line), "this is not UTF-8 text".to_owned())
    })?;
    Ok(text.trim_start_matches('\u{feff}').replace("\r\n", "\n"))
}

/// The fields of such a file, and what was wrong with them so far.
#[derive(Debug)]
pub struct FrontMatter<'a> {
    /// What stands after the front matter.
    pub body: &'a str,
    file: &'a Path,
    yaml: &'a str,
    fields: Mapping,
    faults: Vec<Fault>,
}

impl<'a> FrontMatter<'a> {
    /// Takes the text of `file` apart. Only `known` fields may be in it.
    ///
    /// # Errors
    /// There is no front matter, or it is no YAML. What is wrong with a field is kept for
    /// [`FrontMatter::sound`].
    pub fn parse(file: &'a Path, text: &'a str, known: &[&str]) -> Result<Self, Vec<Fault>> {
        let fault = |(line, what)| vec![Fault { file: file.to_owned(), line: Some(line), what }];
        let (yaml, body) = split(text).map_err(|what| fault((1, what.to_owned())))?;
        let fields: Option<Mapping> = serde_yaml::from_str(yaml).map_err(|e| fault(broken(&e)))?;
        let fields = fields.unwrap_or_default();
        let mut front = Self { body, file, yaml, fields, faults: Vec::new() };
        let keys = front.fields.keys().map(|key| scalar(key).unwrap_or_default());
        for key in keys.filter(|key| !known.contains(&key.as_str())).collect::<Vec<_>>() {
            let near = text::nearest(&key, known.iter().copied());
            let there = if near.is_empty() { known.join(", ") } else { near.join(", ") };
            front.fault(&key, format!("there is no field {key:?} here; there is {there}"));
        }
        Ok(front)
    }

    /// Something is wrong with this field.
    pub fn fault(&mut self, field: &str, what: impl Into<String>) {
        let holds = |line: &str| {
            line.strip_prefix(field).is_some_and(|rest| rest.trim_start().starts_with(':'))
        };
        let line = Some(self.yaml.lines().position(holds).map_or(1, |at| at + 1));
        self.faults.push(Fault { file: self.file.to_owned(), line, what: what.into() });
    }

    /// A field that is text, in one line of at most so many characters.
    pub fn text(&mut self, field: &str, most: usize) -> Option<String> {
        let Some(value) = scalar(self.fields.get(field)?) else {
            self.fault(field, format!("`{field}` must be text"));
            return None;
        };
        let value = text::strip(&value).split_whitespace().collect::<Vec<_>>().join(" ");
        let length = value.chars().count();
        if length == 0 {
            self.fault(field, format!("`{field}` is empty"));
        } else if length > most {
            self.fault(field, format!("`{field}` has {length} characters, {most} are allowed"));
        }
        Some(value)
    }

    /// The same for a field that must be there. Without it the value is empty, and that is a fault.
    pub fn required(&mut self, field: &str, most: usize) -> String {
        if !self.fields.contains_key(field) {
            self.fault(field, format!("`{field}` is missing"));
        }
        self.text(field, most).unwrap_or_default()
    }

    /// A field that is a list of words: a YAML list, or text with blanks or commas between them.
    pub fn words(&mut self, field: &str) -> Option<Vec<String>> {
        let words = match self.fields.get(field)? {
            Value::Sequence(items) => items.iter().map(scalar).collect(),
            value => scalar(value).map(|text| {
                let words = text.split([' ', ',', '\n']).filter(|word| !word.is_empty());
                words.map(str::to_owned).collect()
            }),
        };
        if words.is_none() {
            self.fault(field, format!("`{field}` must be words or a list of them"));
        }
        words
    }

    /// A field that is a map from text to text.
    pub fn pairs(&mut self, field: &str) -> Option<Vec<(String, String)>> {
        let pairs = match self.fields.get(field)? {
            Value::Mapping(map) => map.iter().map(|(k, v)| scalar(k).zip(scalar(v))).collect(),
            _ => None,
        };
        if pairs.is_none() {
            self.fault(field, format!("`{field}` must be a map from text to text"));
        }
        pairs
    }

    /// The body, if nothing was wrong.
    ///
    /// # Errors
    /// All faults, in the order of their lines.
    pub fn sound(mut self) -> Result<&'a str, Vec<Fault>> {
        self.faults.sort_by_key(|fault| fault.line);
        if self.faults.is_empty() { Ok(self.body) } else { Err(self.faults) }
    }
}

/// The YAML and the body. Only the first line `---` after the first ends the YAML: one in the body is
/// a rule like any other. The end of the first line stays, so that YAML's line numbers are the file's.
fn split(text: &str) -> Result<(&str, &str), &'static str> {
    let mut lines = text.split_inclusive('\n');
    let first = lines.next().filter(|line| line.trim_end() == "---");
    let mut at = first.ok_or("there is no front matter; the first line must be `---`")?.len();
    for line in lines {
        if line.trim_end() == "---" {
            return Ok((&text[3..at], text[at + line.len()..].trim_matches('\n')));
        }
        at += line.len();
    }
    Err("the front matter does not end; a second line `---` is missing")
}

fn broken(error: &serde_yaml::Error) -> (usize, String) {
    let what = error.to_string();
    let colon = what.contains("mapping values are not allowed");
    let hint = if colon { "; put quotes around a text that holds `: `" } else { "" };
    (error.location().map_or(1, |place| place.line()), format!("{what}{hint}"))
}

/// Text, as it is meant in YAML that is written by hand: a plain `1.0` is no number here.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}
