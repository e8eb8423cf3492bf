//! The course as a whole: the tables of the README, and what every session has.

use super::tree::{Tree, Violation, violation};
use crate::names;
use crate::repo::Package;

const README: &str = "README.md";
const DOC: &str = "#![doc = include_str!(\"../README.md\")]";
/// From this phase on, the course goes beyond the original.
const BEYOND: u32 = 7;

/// The sessions as the tables of the README list them, phase by phase.
#[derive(Debug, Default)]
pub(crate) struct Course {
    rows: Vec<Row>,
}

/// A row: `| [s01](sessions/s01_name/README.md) | name | *motto* | …`.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    line: usize,
    /// Of the heading above the table, `### Phase 1: the loop`; 0 where there is none.
    phase: u32,
    session: String,
    motto: String,
}

impl Course {
    pub(crate) fn read(readme: &str) -> Self {
        let mut phase = 0;
        let mut rows = Vec::new();
        for (index, text) in readme.lines().enumerate() {
            if text.starts_with('#') {
                phase = phase_of(text).unwrap_or(0);
            }
            rows.extend(row(index + 1, phase, text));
        }
        Self { rows }
    }

    /// The number of the last session; nothing where the README has no table.
    pub(crate) fn last(&self) -> Option<u32> {
        self.rows.iter().filter_map(|row| names::number(&row.session)).max()
    }

    /// Whether a session is the course's. Numbers behind the last of the tables are a learner's own.
    pub(crate) fn has(&self, session: &Package) -> bool {
        let number = session.number();
        self.last().is_none_or(|last| number.is_none_or(|number| number <= last))
    }

    fn row(&self, session: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.session == session)
    }

    /// How many of these sessions are the original's, beyond it, and a learner's.
    pub(crate) fn counts<'a>(&self, sessions: impl Iterator<Item = &'a Package>) -> Counts {
        let mut counts = Counts::default();
        for session in sessions {
            let phase = self.row(&session.name).map_or(0, |row| row.phase);
            if !self.has(session) {
                counts.own += 1;
            } else if phase >= BEYOND {
                counts.beyond += 1;
            } else {
                counts.original += 1;
            }
        }
        counts
    }
}

/// How many sessions there are of each kind.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) original: usize,
    pub(crate) beyond: usize,
    pub(crate) own: usize,
}

/// `### Phase 2: knowledge and memory`.
fn phase_of(heading: &str) -> Option<u32> {
    let text = heading.trim_start_matches('#').trim().strip_prefix("Phase ")?;
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

fn row(line: usize, phase: u32, text: &str) -> Option<Row> {
    let mut cells = text.trim().strip_prefix('|')?.split('|').map(str::trim);
    let (_, link) = cells.next()?.strip_suffix("/README.md)")?.split_once("](sessions/")?;
    let motto = cells.nth(1)?;
    let motto = motto.strip_prefix('*').and_then(|m| m.strip_suffix('*')).unwrap_or(motto);
    Some(Row { line, phase, session: link.to_owned(), motto: motto.to_owned() })
}

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
    fn rows_are_read_and_other_tables_are_not() {
        let text = "| [s01](sessions/s01_loop/README.md) | The loop | *One loop.* | bash |";
        let expected =
            Row { line: 4, phase: 1, session: "s01_loop".into(), motto: "One loop.".into() };
        assert_eq!(row(4, 1, text), Some(expected));
        assert_eq!(row(1, 1, "| session | name | motto |"), None);
        assert_eq!(row(1, 1, "| [x](y.md) | a | *b* |"), None);
    }

    #[test]
    fn the_last_session_is_the_one_of_the_tables_and_later_phases_are_counted_apart() {
        let course = Course::read(
            "### Phase 1: a\n| [s01](sessions/s01_a/README.md) | a | *A.* |\n### Phase 6: b\n\n\
             | [s23](sessions/s23_b/README.md) | b | *B.* |\n### Phase 7: c\n\
             | [s24](sessions/s24_c/README.md) | c | *C.* |\n## Take one with you\n",
        );
        assert_eq!(course.last(), Some(24));
        let session = |name: &str| Package { name: name.into(), dir: format!("sessions/{name}") };
        let all = ["s01_a", "s02_x", "s23_b", "s24_c", "s25_own"].map(session);
        assert_eq!(course.counts(all.iter()), Counts { original: 3, beyond: 1, own: 1 });
        assert!(course.has(&all[3]) && !course.has(&all[4]));
        assert!(Course::read("").has(&all[4]), "without tables every session is held to them");
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
