//! Words that do not belong where they stand.

use super::source::{Source, has_word};
use super::{Tree, Violation, violation};

fn told(source: &Source, lines: Vec<usize>, reason: &str) -> Vec<Violation> {
    lines.into_iter().map(|line| violation(&source.path, line, reason)).collect()
}

/// s01 is the lesson of the loop; everything else runs core's.
pub(crate) fn loops(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for package in tree.packages.iter().filter(|p| p.is_session() || p.name == "harness") {
        if package.number() == Some(1) {
            continue;
        }
        let folder = format!("{}/src", package.dir);
        for source in tree.below(&folder) {
            let lines =
                source.hits(false, |code| code.contains(".think(") || code.contains(".stream("));
            violations.extend(told(source, lines, "asks a model itself: run an agent instead"));
        }
    }
    violations
}

/// The libraries that know nothing of where they run: the terminal is harness-cli's.
const SILENT: [&str; 2] = ["crates/harness-core/src", "crates/harness-redis/src"];

pub(crate) fn libraries_are_silent(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in SILENT.iter().flat_map(|folder| tree.below(folder)) {
        let prints = |code: &str| {
            ["print!", "println!", "eprint!", "eprintln!", "dbg!"]
                .iter()
                .any(|word| has_word(code, word))
        };
        violations.extend(told(source, source.hits(false, prints), "a library does not print"));
        violations.extend(told(
            source,
            source.hits(false, reads_stdin),
            "a library does not read stdin",
        ));
        violations.extend(told(
            source,
            source.hits(false, reads_env),
            "a library does not read the environment",
        ));
    }
    violations
}

/// `io::stdin()`, not the `.stdin(…)` of a child.
fn reads_stdin(code: &str) -> bool {
    has_word(code, "io::stdin") || has_word(code, "stdin()") && !code.contains(".stdin()")
}

/// `env::var(…)` and its kin, not the constants of the target.
fn reads_env(code: &str) -> bool {
    let asks = |text: &str| !text.starts_with("consts");
    has_word(code, "env::") && code.split("env::").skip(1).any(asks)
}

pub(crate) fn directory(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in &tree.sources {
        for test in [false, true] {
            let lines = source.hits(test, |code| has_word(code, "set_current_dir"));
            violations.extend(told(source, lines, "the directory is a value: pass it on"));
        }
    }
    violations
}

pub(crate) fn sleeps(tree: &Tree) -> Vec<Violation> {
    const MARK: &str = "// sleeps: ";
    let mut violations = Vec::new();
    for source in &tree.sources {
        let says_why = |line: &usize| {
            let raw = &source.lines[line - 1].raw;
            raw.split_once(MARK).is_some_and(|(_, why)| !why.trim().is_empty())
        };
        let mut lines = source.hits(true, |code| has_word(code, "sleep("));
        lines.retain(|line| !says_why(line));
        violations.extend(told(
            source,
            lines,
            "a test does not sleep; where it must, `// sleeps: why`",
        ));
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{shown, tree};

    #[test]
    fn only_the_first_session_asks_a_model_itself() {
        let asks = "async fn f() { agent.think(c, t).await }\n";
        let found = loops(&tree(&[
            ("sessions/s01_loop/Cargo.toml", ""),
            ("sessions/s01_loop/src/lib.rs", asks),
            ("sessions/s02_tools/Cargo.toml", ""),
            ("sessions/s02_tools/src/lib.rs", asks),
            ("sessions/s02_tools/tests/lesson.rs", asks),
        ]));
        assert_eq!(
            shown(&found),
            ["sessions/s02_tools/src/lib.rs:1: asks a model itself: run an agent instead"]
        );
    }

    #[test]
    fn libraries_are_held_to_silence_and_their_tests_are_not() {
        let found = |text: &str| {
            let files = SILENT.map(|folder| (format!("{folder}/a.rs"), text));
            let files = files.each_ref().map(|(path, text)| (path.as_str(), *text));
            let all = libraries_are_silent(&tree(&files)).len();
            assert_eq!(all % SILENT.len(), 0, "each of them alike");
            all / SILENT.len()
        };
        assert_eq!(found("fn a() { println!(\"x\"); }\n"), 1);
        assert_eq!(found("fn a() { std::env::var(\"X\"); }\n"), 1);
        assert_eq!(found("use std::env::vars;\nuse std::io::stdin;\n"), 2);
        assert_eq!(
            found("fn a() { env::consts::OS; command.stdin(Stdio::null()); env!(\"X\"); }\n"),
            0
        );
        assert_eq!(
            found(
                "/// println!(\"x\")\nfn a() { \"println!\"; }\n#[cfg(test)]\nmod t { fn b() { println!(); } }\n"
            ),
            0
        );
    }

    #[test]
    fn a_sleep_in_a_test_says_why() {
        let found = |path: &str, text: &str| sleeps(&tree(&[(path, text)])).len();
        assert_eq!(found("crates/a/tests/t.rs", "sleep(x);\n"), 1);
        assert_eq!(found("crates/a/tests/t.rs", "sleep(x); // sleeps: \n"), 1);
        assert_eq!(
            found(
                "crates/a/tests/t.rs",
                "sleep(x); // sleeps: the file's clock ticks in seconds\n"
            ),
            0
        );
        assert_eq!(found("crates/a/tests/t.rs", "run(\"sleep(5)\");\n"), 0);
        assert_eq!(found("crates/a/src/lib.rs", "fn a() { sleep(x); }\n"), 0);
    }

    #[test]
    fn nobody_changes_the_directory() {
        let text = "#[cfg(test)]\nmod t {\n    fn b() { std::env::set_current_dir(x); }\n}\n";
        assert_eq!(directory(&tree(&[("crates/a/src/lib.rs", text)])).len(), 1);
    }
}
