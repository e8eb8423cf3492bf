//! Two habits that no code of this workspace has.

use super::source::{Part, has_word};
use super::tree::{Tree, Violation, violation};

pub(crate) fn directory(tree: &Tree) -> Vec<Violation> {
    let changes = |code: &str| has_word(code, "set_current_dir");
    let mut violations = Vec::new();
    for source in &tree.sources {
        for part in [Part::Product, Part::Tests] {
            for line in source.hits(part, changes) {
                let reason = "the directory is a value: pass it on";
                violations.push(violation(&source.path, line, reason));
            }
        }
    }
    violations
}

pub(crate) fn sleeps(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in &tree.sources {
        for line in source.hits(Part::Tests, |code| has_word(code, "sleep(")) {
            if !says_why(&source.lines[line - 1].raw) {
                let reason = "a test does not sleep; where it must, `// sleeps: why`";
                violations.push(violation(&source.path, line, reason));
            }
        }
    }
    violations
}

fn says_why(line: &str) -> bool {
    line.split_once("// sleeps: ").is_some_and(|(_, why)| !why.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tree::tree;

    #[test]
    fn a_sleep_in_a_test_says_why() {
        let found = |path: &str, line: &str| {
            let text = format!("fn a() {{\n    {line}\n}}\n");
            sleeps(&tree(&[(path, &text)])).len()
        };
        let test = "crates/a/tests/t.rs";
        assert_eq!(found(test, "sleep(x);"), 1);
        assert_eq!(found(test, "sleep(x); // sleeps: "), 1);
        assert_eq!(found(test, "sleep(x); // sleeps: the file's clock ticks in seconds"), 0);
        assert_eq!(found(test, "run(\"sleep(5)\");"), 0);
        assert_eq!(found("crates/a/src/lib.rs", "sleep(x);"), 0);
    }

    #[test]
    fn nobody_changes_the_directory() {
        let text = "#[cfg(test)]\nmod t {\n    fn b() { std::env::set_current_dir(x); }\n}\n";
        assert_eq!(directory(&tree(&[("crates/a/src/lib.rs", text)])).len(), 1);
    }
}
