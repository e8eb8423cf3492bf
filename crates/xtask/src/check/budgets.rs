//! Sizes: what a newcomer reads in one evening.

use super::source::{Source, has_word};
use super::{Tree, Violation, violation};
use crate::repo::Package;

const SESSION_FILE: usize = 250;
const SESSION: usize = 300;
const LARGE_SESSION: usize = 450;
const MAIN: usize = 20;
const MAIN_WITH_SUBCOMMANDS: usize = 40;
const CRATE_FILE: usize = 300;

pub(crate) fn sessions(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for package in tree.packages.iter().filter(|p| p.is_session() || p.name == "harness") {
        let folder = format!("{}/src", package.dir);
        for source in tree.below(&folder) {
            let limit = if source.path == format!("{folder}/main.rs") {
                main(source)
            } else {
                SESSION_FILE
            };
            violations.extend(over(source, limit));
        }
        let (sum, limit) = (tree.below(&folder).map(Source::budget).sum::<usize>(), whole(package));
        if sum > limit {
            violations.push(violation(
                &folder,
                1,
                format!("{sum} lines of code, {limit} allowed for the whole"),
            ));
        }
    }
    violations
}

pub(crate) fn crates(tree: &Tree) -> Vec<Violation> {
    const SHARED: [&str; 5] =
        ["harness-core", "harness-cli", "harness-redis", "harness-testkit", "xtask"];
    let folders = SHARED.map(|name| format!("crates/{name}/src/"));
    let inside = |source: &&Source| folders.iter().any(|folder| source.path.starts_with(folder));
    tree.sources.iter().filter(inside).filter_map(|source| over(source, CRATE_FILE)).collect()
}

/// A learner's own session (s24 and above) may be a copy of a large one.
fn whole(package: &Package) -> usize {
    match package.number() {
        Some(1..=8 | 12..=15 | 18..=20) => SESSION,
        _ => LARGE_SESSION,
    }
}

fn main(source: &Source) -> usize {
    let clap = ["Args", "Subcommand", "Parser"];
    let names = |code: &str| clap.iter().any(|word| has_word(code, word));
    if source.hits(false, names).is_empty() { MAIN } else { MAIN_WITH_SUBCOMMANDS }
}

fn over(source: &Source, limit: usize) -> Option<Violation> {
    let budget = source.budget();
    let reason = || format!("{budget} lines of code, {limit} allowed");
    (budget > limit).then(|| violation(&source.path, 1, reason()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{shown, tree};

    fn lines(n: usize) -> String {
        "use a;\n".repeat(n)
    }

    #[test]
    fn a_main_may_be_longer_where_it_has_subcommands() {
        let dir = "sessions/s15_permissions";
        let with = |text: &str| {
            tree(&[(&format!("{dir}/Cargo.toml"), ""), (&format!("{dir}/src/main.rs"), text)])
        };
        assert!(sessions(&with(&lines(20))).is_empty());
        assert_eq!(
            shown(&sessions(&with(&lines(21)))),
            [format!("{dir}/src/main.rs:1: 21 lines of code, 20 allowed")]
        );
        assert!(sessions(&with(&format!("#[derive(Subcommand)]\n{}", lines(39)))).is_empty());
        assert_eq!(sessions(&with(&format!("#[derive(Subcommand)]\n{}", lines(40)))).len(), 1);
    }

    #[test]
    fn a_session_counts_as_a_whole_and_its_tests_do_not() {
        let sizes = |dir: &str, a: usize, b: usize| {
            sessions(&tree(&[
                (&format!("{dir}/Cargo.toml"), ""),
                (&format!("{dir}/src/lib.rs"), &format!("{}#[cfg(test)]\nmod tests;\n", lines(a))),
                (&format!("{dir}/src/other.rs"), &lines(b)),
                (&format!("{dir}/src/tests.rs"), &lines(900)),
                (&format!("{dir}/tests/lesson.rs"), &lines(900)),
            ]))
        };
        assert!(sizes("sessions/s03_todo_write", 250, 50).is_empty());
        assert_eq!(sizes("sessions/s03_todo_write", 251, 0).len(), 1);
        assert_eq!(sizes("sessions/s03_todo_write", 250, 51).len(), 1);
        assert!(sizes("sessions/s16_event_bus", 250, 200).is_empty());
        assert_eq!(sizes("sessions/s16_event_bus", 250, 201).len(), 1);
        assert!(sizes("crates/harness", 250, 200).is_empty());
    }

    #[test]
    fn the_shared_crates_are_held_file_by_file() {
        let files = tree(&[
            ("crates/harness-core/src/agent.rs", &lines(301)),
            ("crates/harness-core/src/tools/bash.rs", &lines(300)),
            ("crates/xtask/src/main.rs", &lines(301)),
        ]);
        assert_eq!(crates(&files).len(), 2);
    }
}
