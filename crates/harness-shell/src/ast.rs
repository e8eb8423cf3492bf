//! What a line is taken apart into.

use crate::expand::{Certainty, Value, Values, Word, finish};
use crate::scan::Scan;
use crate::word::Unit;

/// One simple command: what stands between separators.
#[derive(Clone, Debug, Default)]
pub(crate) struct Simple {
    pub(crate) words: Vec<Word>,
    /// `NAME=value` before the program, or alone.
    pub(crate) assigns: Vec<(String, Word)>,
    /// Each word as it was written; what the two readers compare.
    pub(crate) raw: Vec<String>,
    /// The text of a here-document or here-string it reads.
    pub(crate) stdin: Option<Word>,
}

impl Simple {
    /// Takes a word as `NAME=value`, if it is one.
    pub(crate) fn assign(&mut self, units: &[Unit], values: &mut Values) -> bool {
        let Some(at) = units.iter().position(|unit| matches!(unit, Unit::Bare('='))) else {
            return false;
        };
        let name: Option<String> = units[..at].iter().map(Unit::literal).collect();
        let Some(name) = name.filter(|name| is_name(name)) else { return false };
        let value = finish(&units[at + 1..], values);
        let text = value.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
        let value = Word {
            sure: value.iter().map(|word| word.sure).max().unwrap_or(Certainty::Known),
            wild: value.iter().any(|word| word.wild),
            ..Word::known(text)
        };
        // Bounded: `a=$a$a` doubles each time.
        if value.text.len() < 500 {
            values.insert(name.clone(), Value::Text(value.text.clone()));
        }
        self.assigns.push((name, value));
        true
    }
}

fn is_name(name: &str) -> bool {
    let name = name.strip_suffix('+').unwrap_or(name);
    let end = name.find('[').unwrap_or(name.len());
    let name = &name[..end];
    name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic())
        && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
}

/// `2>/dev/null`: where something is read from or written to.
#[derive(Clone, Debug)]
pub struct Redirect {
    /// The operator, as `>>` or `2>`.
    pub op: String,
    /// The target as it was written.
    pub raw: String,
    /// The target.
    pub target: Word,
}

/// Why a line is not fully understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// The reason, for a person.
    pub why: &'static str,
    /// The readers disagree, so commands may hide: what the second found is searched too.
    pub broken: bool,
}

/// A line, taken apart.
#[derive(Debug, Default)]
pub(crate) struct Line {
    pub(crate) commands: Vec<Simple>,
    pub(crate) redirects: Vec<Redirect>,
    /// Output of the first goes into the second.
    pub(crate) flows: Vec<(usize, usize)>,
    /// Variables of loops, assigned like any other, and what they go over.
    pub(crate) loops: Vec<(String, Vec<Word>)>,
    pub(crate) doubts: Vec<Doubt>,
    /// A function that starts itself twice.
    pub(crate) fork_bomb: bool,
    /// What the second reader found, where the two disagree.
    pub(crate) guess: Option<Scan>,
}
