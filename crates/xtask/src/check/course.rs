//! The course as a whole: what every session has, and the two pages above them.

use super::{Tree, Violation, violation};
use crate::repo::Package;

/// The last session of the course; higher numbers are a learner's own.
const LAST: u32 = 23;
const DOC: &str = "#![doc = include_str!(\"../README.md\")]";
const MAP_LINES: usize = 140;

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
        if !crate::names::is_session(name) {
            violations.push(violation(dir, 1, "a session is called sNN_snake_case"));
        }
    }
    violations
}

/// A row of the README's table: `| [s01](sessions/s01_name/README.md) | name | *motto* | …`.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    line: usize,
    session: String,
    motto: String,
}

fn row(line: usize, text: &str) -> Option<Row> {
    let mut cells = text.trim().strip_prefix('|')?.split('|').map(str::trim);
    let (_, link) = cells.next()?.strip_suffix("/README.md)")?.split_once("](sessions/")?;
    let motto = cells.nth(1)?;
    let motto = motto.strip_prefix('*').and_then(|m| m.strip_suffix('*')).unwrap_or(motto);
    Some(Row { line, session: link.to_owned(), motto: motto.to_owned() })
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
    const README: &str = "README.md";
    let Some(readme) = tree.text(README) else {
        return vec![violation(README, 1, "is missing: the table of sessions belongs there")];
    };
    let rows: Vec<Row> =
        readme.lines().enumerate().filter_map(|(index, text)| row(index + 1, text)).collect();
    let mut violations = Vec::new();
    for session in tree.sessions() {
        let path = format!("{}/README.md", session.dir);
        let Some((line, motto)) = tree.text(&path).and_then(motto) else { continue };
        match rows.iter().find(|row| row.session == session.name) {
            Some(row) if row.motto != motto => {
                let reason = format!(
                    "the motto is {motto:?} here and {:?} in {README}:{}",
                    row.motto, row.line
                );
                violations.push(violation(&path, line, reason));
            }
            None if session.number().is_none_or(|number| number <= LAST) => {
                let form =
                    format!("| [sNN](sessions/{}/README.md) | name | *motto* |", session.name);
                violations.push(violation(README, 1, format!("the table has no row `{form}`")));
            }
            _ => {}
        }
    }
    for Row { line, session, .. } in &rows {
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

pub(crate) fn map(tree: &Tree) -> Vec<Violation> {
    const MAP: &str = "ARCHITECTURE.md";
    let Some(text) = tree.text(MAP) else { return vec![violation(MAP, 1, "is missing")] };
    let lines = text.lines().count();
    if lines <= MAP_LINES {
        return Vec::new();
    }
    vec![violation(MAP, MAP_LINES + 1, format!("{lines} lines, {MAP_LINES} are two pages"))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{shown, tree};

    #[test]
    fn rows_are_read_and_other_tables_are_not() {
        let text = "| [s01](sessions/s01_loop/README.md) | The loop | *One loop.* | bash |";
        let expected = Row { line: 4, session: "s01_loop".into(), motto: "One loop.".into() };
        assert_eq!(row(4, text), Some(expected));
        assert_eq!(row(1, "| session | name | motto |"), None);
        assert_eq!(row(1, "| [x](y.md) | a | *b* |"), None);
    }

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
                "README.md:1: the table has no row `| [sNN](sessions/s02_b/README.md) | name | *motto* |`",
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
    fn the_map_is_two_pages() {
        assert!(map(&tree(&[("ARCHITECTURE.md", &"x\n".repeat(140))])).is_empty());
        assert_eq!(map(&tree(&[("ARCHITECTURE.md", &"x\n".repeat(141))])).len(), 1);
        assert_eq!(map(&tree(&[])).len(), 1);
    }
}
