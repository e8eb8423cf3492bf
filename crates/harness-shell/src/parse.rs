//! A shell line, taken apart into simple commands, by two readers that must agree.
//!
//! The grammar is tree-sitter's for bash. A grammar that is not the shell itself differs from it
//! somewhere, and exactly there hides a command that nobody has judged. So a second, much simpler
//! reader (`scan.rs`) cuts the same text, and only a line in which both find the same commands and
//! the same redirects counts as understood. All else is a [`Doubt`], and a doubt is asked about.

use crate::ast::{Doubt, Line, Redirect, Simple};
use crate::expand::Values;
use crate::grammar;
use crate::scan::{Scan, scan};

/// Beyond this many bytes a person is asked whatever the line says.
pub(crate) const LONG: usize = 10_000;
/// The most Linux hands to a program as one argument: `bash -c` cannot run a longer line.
pub const TOO_LONG: usize = 128 * 1024;

/// Says which characters a person cannot see, or that make a line look like another one.
pub type IsHidden = fn(char) -> bool;

/// Takes a line apart.
pub(crate) fn parse(text: &str, is_hidden: IsHidden) -> Line {
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
