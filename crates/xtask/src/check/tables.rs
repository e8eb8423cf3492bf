//! The tables of the README: which sessions the course has, phase by phase.

use crate::names;
use crate::repo::Package;

/// From this phase on, the course goes beyond the original.
const BEYOND: u32 = 7;

/// The sessions as the tables of the README list them, phase by phase.
#[derive(Debug, Default)]
pub(crate) struct Course {
    pub(crate) rows: Vec<Row>,
}

/// A row: `| [s01](sessions/s01_name/README.md) | name | *motto* | …`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) line: usize,
    /// Of the heading above the table, `### Phase 1: the loop`; 0 where there is none.
    phase: u32,
    pub(crate) session: String,
    pub(crate) motto: String,
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

    pub(crate) fn row(&self, session: &str) -> Option<&Row> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
