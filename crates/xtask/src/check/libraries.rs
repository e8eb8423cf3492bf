//! Libraries know nothing of where they run: what they may not touch.

use super::source::{Part, Source, has_word};
use super::tree::{Tree, Violation, violation};

/// They never print and never read standard input.
const SILENT: [&str; 3] = ["crates/harness-shell", "crates/harness-core", "crates/harness-app"];
/// They never read the environment either: settings are harness-app's.
const WITHOUT_ENVIRONMENT: [&str; 2] = ["crates/harness-shell", "crates/harness-core"];
/// They start programs as they like: chores, a testkit that plays the user, and the engine of confinement, through
/// which the core will start its children.
const STARTERS: [&str; 3] = ["crates/xtask", "crates/harness-testkit", "crates/harness-sandbox"];

pub(crate) fn are_silent(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for folder in SILENT {
        for source in tree.below(&format!("{folder}/src")) {
            for line in source.hits(Part::Product, prints) {
                violations.push(violation(&source.path, line, "a library does not print"));
            }
            for (line, path) in product_paths(source) {
                let reason = match path.as_slice() {
                    ["io", "stdout" | "stderr", ..] => "a library does not print",
                    ["io", "stdin", ..] => "a library does not read stdin",
                    _ => continue,
                };
                violations.push(violation(&source.path, line, reason));
            }
        }
    }
    violations.dedup();
    violations
}

pub(crate) fn leave_the_environment(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for folder in WITHOUT_ENVIRONMENT {
        for source in tree.below(&format!("{folder}/src")) {
            for (line, path) in product_paths(source) {
                if let ["env", what, ..] = path.as_slice()
                    && *what != "consts"
                {
                    let reason = "a library does not read the environment";
                    violations.push(violation(&source.path, line, reason));
                }
            }
        }
    }
    violations.dedup();
    violations
}

/// Only the module `process` of the core starts programs: it gives each a group of its own, keeps keys from it
/// and ends it as a whole.
pub(crate) fn leave_children_to_the_core(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for package in tree.packages.iter().filter(|package| !STARTERS.contains(&package.dir.as_str()))
    {
        let folder = format!("{}/src", package.dir);
        for source in tree.below(&folder).filter(|source| !is_process_module(&source.path)) {
            for (line, path) in product_paths(source) {
                if path.ends_with(&["process", "Command", "new"]) {
                    let reason = "starts a program itself: harness-core's process module does that";
                    violations.push(violation(&source.path, line, reason));
                }
            }
        }
    }
    violations
}

/// `src/host/process/mod.rs`, `src/host/process/family.rs`, `src/process.rs`.
fn is_process_module(path: &str) -> bool {
    let Some(inside) = path.strip_prefix("crates/harness-core/src/") else { return false };
    inside.trim_end_matches(".rs").split('/').any(|part| part == "process")
}

/// The paths of std and tokio in what is no test, in full and without the name of the crate.
fn product_paths(source: &Source) -> Vec<(usize, Vec<&str>)> {
    let mut found = Vec::new();
    for name in source.code.names.iter().filter(|name| !source.is_test(name.line)) {
        let full = source.code.in_full(name);
        if let Some((&("std" | "tokio"), rest)) = full.split_first() {
            found.push((name.line, rest.to_vec()));
        }
    }
    found
}

fn prints(code: &str) -> bool {
    let macros = ["print!", "println!", "eprint!", "eprintln!", "dbg!"];
    macros.iter().any(|word| has_word(code, word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tree::{shown, tree};

    /// What a rule says of this text in each of the libraries, which must be the same for all.
    fn told(rule: fn(&Tree) -> Vec<Violation>, folders: &[&str], text: &str) -> usize {
        let files: Vec<String> =
            folders.iter().map(|folder| format!("{folder}/src/a.rs")).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|path| (path.as_str(), text)).collect();
        let all = rule(&tree(&files)).len();
        assert_eq!(all % folders.len(), 0, "each of them alike");
        all / folders.len()
    }

    #[test]
    fn a_library_neither_prints_nor_reads_standard_input() {
        let found = |text: &str| told(are_silent, &SILENT, text);
        assert_eq!(found("fn a() { println!(\"x\"); }\n"), 1);
        assert_eq!(found("use std::io::{self, Write};\nfn a() { io::stdout().flush(); }\n"), 1);
        assert_eq!(found("use std::io::stdin;\n"), 1);
        assert_eq!(found("fn a() { tokio::io::stdin(); }\n"), 1);
        assert_eq!(found("fn a() { command.stdin(std::process::Stdio::null()); }\n"), 0);
        let elsewhere = "/// println!(\"x\")\nfn a() { \"println!\"; }\n\
                         #[cfg(test)]\nmod t { fn b() { println!(); } }\n";
        assert_eq!(found(elsewhere), 0);
    }

    #[test]
    fn shell_and_core_leave_the_environment_to_the_application() {
        let found = |text: &str| told(leave_the_environment, &WITHOUT_ENVIRONMENT, text);
        assert_eq!(found("fn a() { std::env::var(\"X\"); }\n"), 1);
        assert_eq!(found("use std::{env as e};\nfn a() { e::temp_dir(); }\n"), 1);
        assert_eq!(found("use std::env::vars;\n"), 1);
        assert_eq!(found("fn a() { std::env::consts::OS; env!(\"X\"); }\n"), 0);
        let application = [("crates/harness-app/src/a.rs", "fn a() { std::env::var(\"X\"); }\n")];
        assert_eq!(shown(&leave_the_environment(&tree(&application))), [""; 0]);
    }

    #[test]
    fn only_the_process_module_starts_programs_wherever_it_lies() {
        let text = "use tokio::process::Command;\nfn a() {\n    Command::new(\"git\");\n}\n";
        let found = |dir: &str, file: &str| {
            let manifest = format!("{dir}/Cargo.toml");
            let file = format!("{dir}/{file}");
            shown(&leave_children_to_the_core(&tree(&[(&manifest, ""), (&file, text)])))
        };
        let reason = "starts a program itself: harness-core's process module does that";
        for (dir, file) in [
            ("crates/harness-core", "src/tool/bash.rs"),
            ("crates/harness-app", "src/process.rs"),
            ("sessions/s12_trees", "src/more.rs"),
        ] {
            assert_eq!(found(dir, file), [format!("{dir}/{file}:3: {reason}")]);
        }
        for (dir, file) in [
            ("crates/harness-core", "src/process.rs"),
            ("crates/harness-core", "src/host/process/mod.rs"),
            ("crates/harness-core", "src/host/process/family.rs"),
            ("crates/harness-core", "tests/process.rs"),
            ("crates/harness-testkit", "src/program.rs"),
            ("crates/xtask", "src/run.rs"),
        ] {
            assert_eq!(found(dir, file), [""; 0], "{dir}/{file}");
        }
        let clap = "use clap::Command;\nfn a() { Command::new(\"x\"); }\n";
        let files = [("crates/harness-cli/Cargo.toml", ""), ("crates/harness-cli/src/a.rs", clap)];
        assert_eq!(shown(&leave_children_to_the_core(&tree(&files))), [""; 0]);
    }
}
