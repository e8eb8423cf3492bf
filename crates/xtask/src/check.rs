//! `cargo xtask check`: the budgets and invariants of the architecture, all violations at once.

mod budgets;
mod course;
mod defects;
mod lesson;
mod markdown;
mod packages;
mod places;
mod source;
mod words;

use std::collections::HashMap;

use crate::Failure;
use crate::repo::{Package, Repo};
pub(crate) use lesson::COPY;
use source::Source;

pub(crate) const HELP: &str = "\
usage: cargo xtask check

Holds the tree against the architecture: sizes, headings of the lessons, mottos, dependencies,
one loop, no printing in core, no sleep in a test, no host or path of one machine, and that the
tests which docs/seed-defects.md and the lessons name exist.
Every rule is one line `ok`, or one line `FAIL file:line: reason` a violation; exit code 1 if any.
A sleep that a test cannot do without says why on its line: `// sleeps: why`.";

/// One breach of one rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    file: String,
    /// Counted from 1.
    line: usize,
    reason: String,
}

/// What a rule says of the tree.
type Rule = fn(&Tree) -> Vec<Violation>;

const RULES: &[(&str, Rule)] = &[
    (
        "a session is 300 lines of code (450 where it says so), a file 250, a main 20",
        budgets::sessions,
    ),
    ("a file of the shared crates is 300 lines of code", budgets::crates),
    ("a session has its library, main, play and lesson test", course::files),
    ("a lesson has its headings, its motto first, its diagram and its table", lesson::headings),
    ("a lesson's blocks are tagged: Rust is compiled, output is text", lesson::blocks),
    ("a lesson's motto is the one in the README's table", course::mottos),
    ("ARCHITECTURE.md is two pages", course::map),
    ("every defect of the original has a test that is there", defects::page),
    ("a lesson names tests that are there", defects::lessons),
    ("sessions depend backwards, and only where one extends the other", packages::arrows),
    ("heavy packages live in the session that teaches them", packages::heavy),
    (
        "every session is a default member, xtask is none and is built of std alone",
        packages::members,
    ),
    ("no session but s01 loops over a model", words::loops),
    (
        "harness-core and harness-redis never print, read stdin or the environment",
        words::libraries_are_silent,
    ),
    ("the current directory is never changed", words::directory),
    ("no test sleeps", words::sleeps),
    ("no registry host, no path of one machine", places::machines),
];

/// What the rules look at, read once.
#[derive(Default)]
pub(crate) struct Tree {
    pub(crate) packages: Vec<Package>,
    /// All text files by path.
    pub(crate) texts: HashMap<String, String>,
    /// The Rust among them.
    pub(crate) sources: Vec<Source>,
}

pub(crate) fn run(repo: &Repo, args: &[String]) -> Result<(), Failure> {
    if let Some(arg) = args.first() {
        return Err(Failure::Usage(format!("check takes no argument, not {arg:?}")));
    }
    let tree = Tree::read(repo)?;
    let mut count = 0;
    for (title, rule) in RULES {
        let mut violations = rule(&tree);
        violations.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        if violations.is_empty() {
            say!("ok   {title}");
        }
        for Violation { file, line, reason } in &violations {
            say!("FAIL {file}:{line}: {reason}");
        }
        count += violations.len();
    }
    let sessions = tree.sessions().count();
    say!("check: sessions: {sessions}, Rust files: {}, violations: {count}", tree.sources.len());
    if count == 0 { Ok(()) } else { Err(Failure::Failed(format!("check: violations: {count}"))) }
}

impl Tree {
    fn read(repo: &Repo) -> Result<Self, String> {
        let mut texts = Vec::new();
        for path in repo.files()? {
            // What is no text (a picture in a lesson) has no lines to look at.
            if let Ok(text) = std::fs::read_to_string(repo.root.join(&path)) {
                texts.push((path, text));
            }
        }
        Ok(Self::new(repo.packages()?, texts))
    }

    pub(crate) fn new(packages: Vec<Package>, texts: Vec<(String, String)>) -> Self {
        let rust = texts.iter().filter(|(path, _)| path.ends_with(".rs"));
        let read = |(path, text): &(String, String), test: bool| Source::new(path, text, test);
        let is_test = |path: &str| path.contains("/tests/") || path.contains("/benches/");
        let first: Vec<Source> = rust.clone().map(|file| read(file, is_test(&file.0))).collect();
        let test_files: Vec<String> =
            first.iter().flat_map(|source| source.test_files.clone()).collect();
        let below = |path: &str| {
            let stem = path.trim_end_matches(".rs").trim_end_matches("/mod");
            test_files.iter().any(|file| stem == file || stem.starts_with(&format!("{file}/")))
        };
        let sources = rust.map(|file| read(file, is_test(&file.0) || below(&file.0))).collect();
        Self { packages, texts: texts.into_iter().collect(), sources }
    }

    pub(crate) fn sessions(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.is_session())
    }

    /// The sources below a folder.
    pub(crate) fn below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a Source> {
        let inside = format!("{folder}/");
        self.sources.iter().filter(move |source| source.path.starts_with(&inside))
    }

    /// The text of a file, or nothing.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }
}

pub(crate) fn violation(file: &str, line: usize, reason: impl Into<String>) -> Violation {
    Violation { file: file.to_owned(), line, reason: reason.into() }
}

/// A tree of one's own for the tests of the rules: members are found by their manifests.
#[cfg(test)]
pub(crate) fn tree(files: &[(&str, &str)]) -> Tree {
    let texts: Vec<(String, String)> =
        files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    let member = |(path, _): &(String, String)| {
        let dir = path.strip_suffix("/Cargo.toml")?;
        let (_, name) = dir.rsplit_once('/')?;
        Some(Package { name: name.to_owned(), dir: dir.to_owned() })
    };
    Tree::new(texts.iter().filter_map(member).collect(), texts)
}

/// `file:line: reason` of each, for comparison.
#[cfg(test)]
pub(crate) fn shown(violations: &[Violation]) -> Vec<String> {
    violations.iter().map(|v| format!("{}:{}: {}", v.file, v.line, v.reason)).collect()
}
