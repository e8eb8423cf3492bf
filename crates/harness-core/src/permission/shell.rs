//! A shell line, taken apart into simple commands, by two readers that must agree.
//!
//! The grammar is tree-sitter's for bash. A grammar that is not the shell itself differs from it
//! somewhere, and exactly there hides a command that nobody has judged. So a second, much simpler
//! reader (`scan.rs`) cuts the same text, and only a line in which both find the same commands and
//! the same redirects counts as understood. All else is a [`Doubt`], and a doubt is asked about.

use super::expand::{Sure, Value, Values, Word, finish};
use super::grammar;
use super::scan::{Scan, scan};
use super::word::Unit;
use crate::text;

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
            sure: value.iter().map(|word| word.sure).max().unwrap_or(Sure::Known),
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
pub(crate) struct Redirect {
    pub(crate) op: String,
    pub(crate) raw: String,
    pub(crate) target: Word,
}

/// Why a line is not fully understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Doubt {
    pub(crate) why: &'static str,
    /// The readers disagree, so commands may hide: what the second found is searched too.
    pub(crate) broken: bool,
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

/// Beyond this many bytes a person is asked whatever the line says.
pub(crate) const LONG: usize = 10_000;
/// The most Linux hands to a program as one argument: `bash -c` cannot run a longer line.
pub(crate) const TOO_LONG: usize = 128 * 1024;

/// Takes a line apart.
pub(crate) fn parse(text: &str) -> Line {
    if text.len() > LONG {
        // Asked about in any case; what is denied the second reader finds, and quickly.
        let doubts = vec![Doubt { why: "longer than anyone reads", broken: true }];
        let guess = Some(scan(text, &mut Values::new()));
        let fork_bomb = looks_like_fork_bomb(text);
        return Line { doubts, guess, fork_bomb, ..Line::default() };
    }
    let mut line = grammar::read(text);
    if text.chars().any(is_hidden) {
        line.doubts.push(Doubt { why: "has control or invisible characters", broken: true });
    }
    let scan = scan(text, &mut Values::new());
    if let Some(why) = scan.trouble {
        line.doubts.push(Doubt { why, broken: true });
    }
    if !agree(&line, &scan) {
        line.doubts.push(Doubt { why: "can be read in two ways", broken: true });
    }
    if line.doubts.iter().any(|doubt| doubt.broken) {
        line.fork_bomb |= looks_like_fork_bomb(text);
        line.guess = Some(scan);
    }
    line.doubts.dedup();
    line
}

/// Both readers name the same commands and redirects, in whatever order.
fn agree(line: &Line, scan: &Scan) -> bool {
    fn shape<'a>(commands: &'a [Simple], redirects: &'a [Redirect]) -> Vec<Vec<&'a str>> {
        let words = |simple: &'a Simple| simple.raw.iter().map(String::as_str).collect();
        let mut shape: Vec<Vec<&str>> = commands.iter().map(words).collect();
        shape.retain(|words| !words.is_empty());
        let join = |redirect: &'a Redirect| vec![redirect.op.as_str(), redirect.raw.as_str()];
        shape.extend(redirects.iter().map(join));
        shape.sort_unstable();
        shape
    }
    shape(&line.commands, &line.redirects) == shape(&scan.commands, &scan.redirects)
}

/// Characters that make a line look like another one.
pub(crate) fn is_hidden(c: char) -> bool {
    // Wide blanks and the marks of emoji are part of what people write, and the shell ignores them.
    text::is_hidden(c) && !matches!(c, '\u{a0}' | '\u{3000}' | '\u{202f}' | '\u{fe0e}' | '\u{fe0f}')
}

/// `x(){ x|x& }`, found without a parser: quotes cut out, blanks ignored.
fn looks_like_fork_bomb(text: &str) -> bool {
    let bare: String = text
        .split('"')
        .step_by(2)
        .flat_map(|part| part.split('\'').step_by(2))
        .flat_map(|part| part.chars().filter(|c| !c.is_whitespace()))
        .collect();
    bare.match_indices("(){").any(|(at, _)| {
        let name =
            bare[..at].rsplit([';', '&', '|', '(', ')', '{', '}']).next().unwrap_or_default();
        !name.is_empty() && bare[at..].contains(&format!("{name}|{name}"))
    })
}
