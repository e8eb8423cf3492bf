//! The crates of the workspace point one way, in their manifests and in their sources.

use std::collections::HashMap;

use super::code::Name;
use super::source::Source;
use super::tree::{Tree, Violation, each_dependency, violation};
use crate::repo::Package;

/// A crate, and the crates of ours that it may stand on.
struct Layer {
    name: &'static str,
    stands_on: &'static [&'static str],
}

/// From the ground up. A crate that is not here is told to get its place here.
const LAYERS: [Layer; 9] = [
    Layer { name: "harness-shell", stands_on: &[] },
    Layer { name: "harness-sandbox", stands_on: &[] },
    Layer { name: "harness-core", stands_on: &["harness-shell"] },
    Layer { name: "harness-app", stands_on: &["harness-shell", "harness-core"] },
    Layer { name: "harness-cli", stands_on: &["harness-shell", "harness-core", "harness-app"] },
    Layer { name: "harness-tui", stands_on: &["harness-shell", "harness-core", "harness-app"] },
    Layer { name: "harness-acp", stands_on: &["harness-shell", "harness-core", "harness-app"] },
    Layer { name: TESTKIT, stands_on: &["harness-shell", "harness-core", "harness-app"] },
    Layer { name: "xtask", stands_on: &[] },
];
/// What every session may stand on, beside the sessions of its own arrows.
const BELOW_SESSIONS: [&str; 4] = ["harness-shell", "harness-core", "harness-app", "harness-cli"];
/// What `harness` may stand on, beside the sessions.
const BELOW_HARNESS: [&str; 6] =
    ["harness-shell", "harness-core", "harness-app", "harness-cli", "harness-tui", "harness-acp"];
const HARNESS: &str = "harness";
/// Only tests stand on it.
const TESTKIT: &str = "harness-testkit";

/// Which code of a package asks for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    Product,
    /// Tests, examples and benches: what dev-dependencies are for.
    Tests,
}

pub(crate) fn in_manifests(tree: &Tree) -> Vec<Violation> {
    let mut violations: Vec<Violation> = tree.packages.iter().filter_map(without_a_place).collect();
    violations.extend(each_dependency(tree, |package, dependency| {
        let other = tree.packages.iter().find(|other| other.name == dependency.package)?;
        let what_for = if dependency.dev { For::Tests } else { For::Product };
        refused(package, other, what_for)
    }));
    violations
}

pub(crate) fn in_sources(tree: &Tree) -> Vec<Violation> {
    let by_crate: HashMap<String, &Package> =
        tree.packages.iter().map(|package| (package.name.replace('-', "_"), package)).collect();
    let mut violations = Vec::new();
    for package in &tree.packages {
        for source in tree.below(&package.dir) {
            for name in &source.code.names {
                let other = crate_of(name).and_then(|first| by_crate.get(first));
                let reason =
                    other.and_then(|other| refused(package, other, what_for(source, name)));
                violations.extend(reason.map(|reason| violation(&source.path, name.line, reason)));
            }
        }
    }
    violations.dedup();
    violations
}

/// What may be the name of a crate in a path. A word that stands alone is a variable, unless it is imported.
fn crate_of(name: &Name) -> Option<&str> {
    let is_path = name.segments.len() > 1 || name.import.is_some();
    name.segments.first().filter(|_| is_path).map(String::as_str)
}

fn what_for(source: &Source, name: &Name) -> For {
    let folders = ["/tests/", "/benches/", "/examples/"];
    let beside_the_product = folders.iter().any(|folder| source.path.contains(folder));
    if beside_the_product || source.is_test(name.line) { For::Tests } else { For::Product }
}

fn without_a_place(package: &Package) -> Option<Violation> {
    let known = LAYERS.iter().any(|layer| layer.name == package.name);
    if known || package.is_session() || package.name == HARNESS {
        return None;
    }
    let manifest = format!("{}/Cargo.toml", package.dir);
    let reason = format!(
        "{} has no place among the crates: LAYERS in xtask's check/layers.rs gives it one",
        package.name
    );
    Some(violation(&manifest, 1, reason))
}

/// Why a package may not stand on another member.
fn refused(package: &Package, other: &Package, what_for: For) -> Option<String> {
    if package.name == other.name || may_stand_on(package, other, what_for) {
        return None;
    }
    if other.name == TESTKIT {
        return Some(format!("{TESTKIT} is for tests: take it as a dev-dependency"));
    }
    if other.is_session() {
        return Some(format!("{} does not stand on the session {}", package.name, other.name));
    }
    Some(format!("{} does not stand on {}", package.name, other.name))
}

fn may_stand_on(package: &Package, other: &Package, what_for: For) -> bool {
    let tests = what_for == For::Tests;
    if other.name == TESTKIT {
        return tests;
    }
    if package.name == "xtask" {
        return tests;
    }
    if other.is_session() {
        // Which session may stand on which is a rule of its own.
        return package.is_session() || package.name == HARNESS;
    }
    if package.is_session() {
        return BELOW_SESSIONS.contains(&other.name.as_str());
    }
    if package.name == HARNESS {
        return BELOW_HARNESS.contains(&other.name.as_str());
    }
    let layer = LAYERS.iter().find(|layer| layer.name == package.name);
    // A crate without a place has been told of.
    layer.is_none_or(|layer| layer.stands_on.contains(&other.name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tree::{shown, tree};

    const MEMBERS: [&str; 10] = [
        "crates/harness-shell",
        "crates/harness-core",
        "crates/harness-app",
        "crates/harness-cli",
        "crates/harness-tui",
        "crates/harness-testkit",
        "crates/harness",
        "crates/xtask",
        "sessions/s03_todo_write",
        "sessions/s04_subagent",
    ];

    /// A workspace in which one file has this text.
    fn with(path: &str, text: &str) -> Tree {
        let manifests = MEMBERS.map(|dir| format!("{dir}/Cargo.toml"));
        let mut files: Vec<(&str, &str)> =
            manifests.iter().map(|manifest| (manifest.as_str(), "")).collect();
        files.retain(|(known, _)| *known != path);
        files.push((path, text));
        tree(&files)
    }

    fn depends(dir: &str, kind: &str, on: &str) -> Vec<String> {
        let text = format!("[{kind}]\n{on}.workspace = true\n");
        shown(&in_manifests(&with(&format!("{dir}/Cargo.toml"), &text)))
    }

    #[test]
    fn crates_stand_on_those_below_them() {
        for (dir, on) in [
            ("crates/harness-core", "harness-shell"),
            ("crates/harness-app", "harness-core"),
            ("crates/harness-cli", "harness-app"),
            ("crates/harness-tui", "harness-app"),
            ("crates/harness-testkit", "harness-core"),
            ("sessions/s03_todo_write", "harness-cli"),
            ("crates/harness", "harness-tui"),
            ("crates/harness", "s03_todo_write"),
            ("crates/harness-core", "tokio"),
        ] {
            assert_eq!(depends(dir, "dependencies", on), [""; 0], "{dir} on {on}");
        }
    }

    #[test]
    fn an_arrow_to_a_crate_above_is_refused() {
        for (dir, on) in [
            ("crates/harness-shell", "harness-core"),
            ("crates/harness-core", "harness-app"),
            ("crates/harness-app", "harness-cli"),
            ("crates/harness-tui", "harness-cli"),
            ("crates/harness-testkit", "harness-cli"),
            ("sessions/s03_todo_write", "harness-tui"),
            ("sessions/s03_todo_write", "harness"),
            ("crates/xtask", "harness-core"),
        ] {
            let name = dir.rsplit('/').next().unwrap();
            let expected = format!("{dir}/Cargo.toml:2: {name} does not stand on {on}");
            assert_eq!(depends(dir, "dependencies", on), [expected]);
        }
        for dir in ["crates/harness-cli", "crates/harness-testkit", "crates/harness-core"] {
            let name = dir.rsplit('/').next().unwrap();
            let expected =
                format!("{dir}/Cargo.toml:2: {name} does not stand on the session s03_todo_write");
            assert_eq!(depends(dir, "dependencies", "s03_todo_write"), [expected]);
        }
    }

    #[test]
    fn the_testkit_is_for_tests() {
        let dir = "sessions/s03_todo_write";
        assert_eq!(
            depends(dir, "dependencies", TESTKIT),
            [format!(
                "{dir}/Cargo.toml:2: harness-testkit is for tests: take it as a dev-dependency"
            )]
        );
        assert_eq!(depends(dir, "dev-dependencies", TESTKIT), [""; 0]);
        assert_eq!(depends("crates/xtask", "dev-dependencies", "harness-core"), [""; 0]);
        assert_eq!(
            depends("crates/harness-core", "dev-dependencies", "harness-cli"),
            ["crates/harness-core/Cargo.toml:2: harness-core does not stand on harness-cli"]
        );
    }

    #[test]
    fn a_crate_without_a_place_is_told_to_get_one() {
        let found = shown(&in_manifests(&with("crates/harness-mail/Cargo.toml", "")));
        assert_eq!(
            found,
            [
                "crates/harness-mail/Cargo.toml:1: harness-mail has no place among the crates: LAYERS in xtask's check/layers.rs gives it one"
            ]
        );
    }

    #[test]
    fn sources_are_held_to_the_same_arrows() {
        let found = |path: &str, text: &str| shown(&in_sources(&with(path, text)));
        assert_eq!(
            found("crates/harness-core/src/a.rs", "fn f() {\n    harness_app::run();\n}\n"),
            ["crates/harness-core/src/a.rs:2: harness-core does not stand on harness-app"]
        );
        assert_eq!(
            found("crates/harness-shell/src/lib.rs", "use {std::fmt, harness_core::Agent};\n"),
            ["crates/harness-shell/src/lib.rs:1: harness-shell does not stand on harness-core"]
        );
        assert_eq!(
            found("crates/harness-cli/src/lib.rs", "use s03_todo_write as plan;\n"),
            [
                "crates/harness-cli/src/lib.rs:1: harness-cli does not stand on the session s03_todo_write"
            ]
        );
        assert_eq!(found("crates/harness-core/src/a.rs", "use harness_testkit::Stage;\n").len(), 1);
        for (path, text) in [
            (
                "crates/harness-core/src/a.rs",
                "#[cfg(test)]\nmod t { use harness_testkit::Stage; }\n",
            ),
            ("crates/harness-core/tests/a.rs", "use harness_testkit::Stage;\n"),
            ("crates/harness-core/examples/a.rs", "use harness_testkit::Stage;\n"),
            ("sessions/s03_todo_write/src/main.rs", "use s03_todo_write::Plan;\n"),
            ("sessions/s03_todo_write/src/lib.rs", "fn f(harness: u8) { harness + harness; }\n"),
            (
                "crates/harness-core/src/a.rs",
                "//! harness_cli::run\nfn f() { \"harness_cli::run\"; }\n",
            ),
        ] {
            assert_eq!(found(path, text), [""; 0], "{text}");
        }
    }
}
