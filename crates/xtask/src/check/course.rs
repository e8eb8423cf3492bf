//! The course as a whole: what every session has, and what the README says of it.

use super::tables::Row;
use super::tree::{Tree, Violation, violation};
use crate::names;
use crate::repo::Package;

const README: &str = "README.md";
const DOC: &str = "#![doc = include_str!(\"../README.md\")]";
pub(crate) fn files(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for Package { name, dir } in tree.sessions() {
        for file in ["src/lib.rs", "src/main.rs", "demo.yaml", "tests/lesson.rs"] {
            if tree.text(&format!("{dir}/{file}")).is_none() {
                violations.push(violation(&format!("{dir}/{file}"), 1, "is missing"));
            }
        }
        let lib = format!("{dir}/src/lib.rs");
        if tree.text(&lib).is_some_and(|text| text.lines().next() != Some(DOC)) {
            violations.push(violation(&lib, 1, format!("does not start with {DOC}")));
        }
        let manifest = format!("{dir}/Cargo.toml");
        let named = format!("name = \"{name}\"");
        if tree.text(&manifest).is_some_and(|text| !text.lines().any(|line| line.trim() == named)) {
            violations.push(violation(&manifest, 1, format!("the package does not say {named}")));
        }
        if !names::is_session(name) {
            violations.push(violation(dir, 1, "a session is called sNN_snake_case"));
        }
    }
    violations
}

/// The motto of a lesson: the first line after its title, `> *motto*`.
pub(crate) fn motto(readme: &str) -> Option<(usize, &str)> {
    let mut lines = readme.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.next().filter(|(_, title)| title.starts_with("# "))?;
    let (index, line) = lines.next()?;
    let motto = line.trim().strip_prefix("> *")?.strip_suffix('*')?;
    (!motto.is_empty()).then_some((index + 1, motto))
}

pub(crate) fn mottos(tree: &Tree) -> Vec<Violation> {
    if tree.text(README).is_none() {
        return vec![violation(README, 1, "is missing: the tables of sessions belong there")];
    }
    let mut violations = Vec::new();
    for session in tree.sessions() {
        let path = format!("{}/README.md", session.dir);
        let Some((line, motto)) = tree.text(&path).and_then(motto) else { continue };
        match tree.course.row(&session.name) {
            Some(row) if row.motto != motto => {
                let reason = format!(
                    "the motto is {motto:?} here and {:?} in {README}:{}",
                    row.motto, row.line
                );
                violations.push(violation(&path, line, reason));
            }
            None if tree.course.has(session) => {
                let form =
                    format!("| [sNN](sessions/{}/README.md) | name | *motto* |", session.name);
                violations.push(violation(README, 1, format!("no table has the row `{form}`")));
            }
            _ => {}
        }
    }
    for Row { line, session, .. } in &tree.course.rows {
        if !tree.sessions().any(|known| known.name == *session) {
            violations.push(violation(
                README,
                *line,
                format!("links to sessions/{session}, which is not there"),
            ));
        }
    }
    violations
}

/// The map of the whole is there; how long it is, is its writer's affair.
pub(crate) fn map(tree: &Tree) -> Vec<Violation> {
    const MAP: &str = "ARCHITECTURE.md";
    match tree.text(MAP) {
        Some(_) => Vec::new(),
        None => vec![violation(MAP, 1, "is missing")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tree::{shown, tree};

    #[test]
    fn the_motto_is_the_first_line_after_the_title() {
        assert_eq!(motto("# T\n\n> *One loop.*\n"), Some((3, "One loop.")));
        assert_eq!(motto("# T\n\ntext\n> *One loop.*\n"), None);
        assert_eq!(motto("> *One loop.*\n"), None);
    }

    #[test]
    fn mottos_are_held_against_the_table_in_both_directions() {
        let root = "| [s01](sessions/s01_a/README.md) | a | *One.* |\n| [s09](sessions/s09_z/README.md) | z | *Z.* |\n";
        let found = mottos(&tree(&[
            ("README.md", root),
            ("sessions/s01_a/Cargo.toml", ""),
            ("sessions/s01_a/README.md", "# A\n> *Two.*\n"),
            ("sessions/s02_b/Cargo.toml", ""),
            ("sessions/s02_b/README.md", "# B\n> *B.*\n"),
            ("sessions/s24_own/Cargo.toml", ""),
            ("sessions/s24_own/README.md", "# B\n> *B.*\n"),
        ]));
        assert_eq!(
            shown(&found),
            [
                "sessions/s01_a/README.md:2: the motto is \"Two.\" here and \"One.\" in README.md:1",
                "README.md:1: no table has the row `| [sNN](sessions/s02_b/README.md) | name | *motto* |`",
                "README.md:2: links to sessions/s09_z, which is not there",
            ]
        );
        assert_eq!(mottos(&tree(&[])).len(), 1, "a missing README is a violation");
    }

    #[test]
    fn a_session_has_all_its_files() {
        let whole = [
            ("sessions/s01_a/Cargo.toml", "[package]\nname = \"s01_a\"\n"),
            ("sessions/s01_a/src/lib.rs", "#![doc = include_str!(\"../README.md\")]\n"),
            ("sessions/s01_a/src/main.rs", ""),
            ("sessions/s01_a/demo.yaml", ""),
            ("sessions/s01_a/tests/lesson.rs", ""),
        ];
        assert!(files(&tree(&whole)).is_empty());
        assert_eq!(files(&tree(&whole[..2])).len(), 3);
        assert_eq!(files(&tree(&[("sessions/mine/Cargo.toml", "")])).len(), 6);
    }

    #[test]
    fn the_map_is_there_and_as_long_as_it_likes() {
        assert!(map(&tree(&[("ARCHITECTURE.md", &"x\n".repeat(900))])).is_empty());
        assert_eq!(map(&tree(&[])).len(), 1);
    }
}
