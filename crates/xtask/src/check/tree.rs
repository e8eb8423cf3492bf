//! What the rules look at, and what they say of it.

use std::collections::HashMap;

use super::source::Source;
use super::tables::Course;
use crate::manifest::{self, Dependency};
use crate::repo::{Package, Repo};

/// One breach of one rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) file: String,
    /// Counted from 1.
    pub(crate) line: usize,
    pub(crate) reason: String,
}

/// What the rules look at, read once.
#[derive(Default)]
pub(crate) struct Tree {
    pub(crate) packages: Vec<Package>,
    /// All text files by path.
    pub(crate) texts: HashMap<String, String>,
    /// The Rust among them.
    pub(crate) sources: Vec<Source>,
    /// The tables of the README.
    pub(crate) course: Course,
}

impl Tree {
    pub(crate) fn read(repo: &Repo) -> Result<Self, String> {
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
        let mut sources: Vec<Source> = rust.map(|(path, text)| Source::new(path, text)).collect();
        let test_files: Vec<String> =
            sources.iter().flat_map(|source| source.test_files.clone()).collect();
        for source in &mut sources {
            let apart = source.path.contains("/tests/") || source.path.contains("/benches/");
            if apart || test_files.iter().any(|file| is_below(file, &source.path)) {
                source.belongs_to_tests();
            }
        }
        sources.sort_by(|a, b| a.path.cmp(&b.path));
        let texts: HashMap<String, String> = texts.into_iter().collect();
        let course = texts.get("README.md").map(|text| Course::read(text)).unwrap_or_default();
        Self { packages, texts, sources, course }
    }

    pub(crate) fn sessions(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.is_session())
    }

    /// The sources below a folder.
    pub(crate) fn below(&self, folder: &str) -> impl Iterator<Item = &Source> {
        let inside = format!("{folder}/");
        self.sources.iter().filter(move |source| source.path.starts_with(&inside))
    }

    /// The text of a file, or nothing.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }
}

/// Whether a source is the module `file` (without its ending) or stands below it.
fn is_below(file: &str, path: &str) -> bool {
    let stem = path.trim_end_matches(".rs").trim_end_matches("/mod");
    stem == file || stem.starts_with(&format!("{file}/"))
}

pub(crate) fn violation(file: &str, line: usize, reason: impl Into<String>) -> Violation {
    Violation { file: file.to_owned(), line, reason: reason.into() }
}

/// What `judge` has against the dependencies of all members, each at its line.
pub(crate) fn each_dependency(
    tree: &Tree,
    judge: impl Fn(&Package, &Dependency) -> Option<String>,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    for package in &tree.packages {
        let path = format!("{}/Cargo.toml", package.dir);
        for dependency in manifest::dependencies(tree.text(&path).unwrap_or_default()) {
            if let Some(reason) = judge(package, &dependency) {
                violations.push(violation(&path, dependency.line, reason));
            }
        }
    }
    violations
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_of_tests_are_tests_in_their_own_files_too() {
        let tree = tree(&[
            ("crates/a/src/lib.rs", "#[cfg(test)]\nmod tests;\nmod more;\n"),
            ("crates/a/src/tests.rs", "mod deep;\n"),
            ("crates/a/src/tests/deep.rs", "fn a() {}\n"),
            ("crates/a/src/more.rs", "fn a() {}\n"),
            ("crates/a/tests/b.rs", "fn a() {}\n"),
        ]);
        let tests = tree.sources.iter().filter(|source| source.is_test(1));
        let paths: Vec<&str> = tests.map(|source| source.path.as_str()).collect();
        let expected = [
            "crates/a/src/lib.rs",
            "crates/a/src/tests.rs",
            "crates/a/src/tests/deep.rs",
            "crates/a/tests/b.rs",
        ];
        assert_eq!(paths, expected);
    }
}
