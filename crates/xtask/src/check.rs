//! `cargo xtask check`: what the architecture says of the tree, all violations at once; with `--report`, figures.

mod code;
mod course;
mod crate_map;
mod defects;
mod habits;
mod layers;
mod lesson;
mod libraries;
mod loops;
mod markdown;
mod mask;
mod members;
mod places;
mod report;
mod rooms;
mod sessions;
mod source;
mod tables;
mod tree;

use crate::Failure;
use crate::repo::Repo;
pub(crate) use lesson::COPY;
use tables::Counts;
use tree::{Tree, Violation, violation};

pub(crate) const HELP: &str = "\
usage: cargo xtask check
       cargo xtask check --report

Holds the tree against the architecture: which way imports and dependencies point, one loop, silent
libraries, headings and mottos of the lessons, no sleep in a test, no host or path of one machine, and that
the tests which docs/seed-defects.md and the lessons name exist. How long anything is, it does not judge.
Every rule is one line `ok`, or one line `FAIL file:line: reason` a violation; exit code 1 if any.
A sleep that a test cannot do without says why on its line: `// sleeps: why`.

With --report it prints figures and judges nothing: the longest functions, wide lines, files with many types,
type names that occur twice, lines by crate and session, and circles between files.";

/// What a rule says of the tree.
type Rule = fn(&Tree) -> Vec<Violation>;

const RULES: &[(&str, Rule)] = &[
    ("every Rust file can be read", unreadable),
    ("a session has its library, main, play and lesson test", course::files),
    ("a lesson has its headings, its motto first, its diagram and its table", lesson::headings),
    ("a lesson's blocks are tagged: Rust is compiled, output is text", lesson::blocks),
    ("a lesson's motto is the one in the README's table", course::mottos),
    ("ARCHITECTURE.md is there", course::map),
    ("every defect of the original has a test that is there", defects::page),
    ("a lesson names tests that are there", defects::lessons),
    ("the rooms of harness-core import one way", rooms::one_way),
    ("crates depend one way", layers::in_manifests),
    ("crates name each other one way", layers::in_sources),
    ("sessions stand on earlier ones, and only where an arrow says why", sessions::arrows),
    ("heavy packages live in the session that teaches them", sessions::heavy),
    ("every member but xtask is a default member", members::defaults),
    ("xtask is built of std and a parser", members::of_xtask),
    ("only the agent and s01 loop over a model", loops::one),
    ("shell, core and app never print or read stdin", libraries::are_silent),
    ("shell and core never read the environment", libraries::leave_the_environment),
    ("only the core's process module starts programs", libraries::leave_children_to_the_core),
    ("the current directory is never changed", habits::directory),
    ("no test sleeps", habits::sleeps),
    ("no registry host, no path of one machine", places::machines),
];

pub(crate) fn run(repo: &Repo, args: &[String]) -> Result<(), Failure> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => judge(&Tree::read(repo)?),
        ["--report"] => {
            say!("{}", report::all(&Tree::read(repo)?));
            Ok(())
        }
        _ => {
            let reason = format!("check takes --report or nothing, not {:?}", words.join(" "));
            Err(Failure::Usage(reason))
        }
    }
}

fn judge(tree: &Tree) -> Result<(), Failure> {
    let mut count = 0;
    for (title, rule) in RULES {
        let mut violations = rule(tree);
        violations.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        if violations.is_empty() {
            say!("ok   {title}");
        }
        for Violation { file, line, reason } in &violations {
            say!("FAIL {file}:{line}: {reason}");
        }
        count += violations.len();
    }
    let Counts { original, beyond, own } = tree.course.counts(tree.sessions());
    let files = tree.sources.len();
    say!(
        "check: sessions: {original} of the original, {beyond} beyond it, {own} of your own; \
         Rust files: {files}; violations: {count}"
    );
    if count == 0 { Ok(()) } else { Err(Failure::Failed(format!("check: violations: {count}"))) }
}

fn unreadable(tree: &Tree) -> Vec<Violation> {
    let told = tree.sources.iter().filter_map(|source| {
        let why = source.unreadable.as_ref()?;
        Some(violation(&source.path, why.line, format!("is no Rust: {}", why.reason)))
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::tree::{shown, tree};
    use super::*;

    #[test]
    fn a_file_that_is_no_rust_is_told_with_its_line() {
        let found = unreadable(&tree(&[
            ("crates/a/src/lib.rs", "fn a() {}\n"),
            ("crates/a/src/b.rs", "fn b() {}\nfn (\n"),
        ]));
        assert_eq!(found.len(), 1);
        assert!(shown(&found)[0].starts_with("crates/a/src/b.rs:2: is no Rust: "), "{found:?}");
    }
}
