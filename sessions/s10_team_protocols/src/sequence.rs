//! Behind the lesson: who said what to whom, in order. A sequence diagram as text, and for Mermaid.

use harness_cli::{cut, fill, wide};
use harness_core::host::text;

/// One arrow of a sequence diagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrow {
    /// Where it begins.
    pub(crate) from: String,
    /// Where it ends: at somebody else.
    pub(crate) to: String,
    /// What is said.
    pub(crate) label: String,
    /// Whether it answers another: drawn as a broken line.
    pub(crate) answer: bool,
}

/// The fewest and the most columns from one participant to the next.
const MIN_ROOM: usize = 12;
const MAX_ROOM: usize = 36;
/// The columns that are left for the last participant's name.
const LAST_NAME: usize = 10;
/// The columns of an arrow on which no label stands: a stroke or two, a blank and the head on either side.
const BESIDE_LABEL: usize = 6;
/// The columns of a label for Mermaid.
const MAX_MERMAID_LABEL: usize = 80;

/// Draws the arrows in this many columns, a line each, under the names of those who take part. Where there are
/// too many for the columns, the lines are longer.
pub(crate) fn sequence(arrows: &[Arrow], columns: usize) -> String {
    let names = names(arrows);
    let gaps = names.len().saturating_sub(1).max(1);
    let room = columns.saturating_sub(LAST_NAME) / gaps;
    let room = room.clamp(MIN_ROOM, MAX_ROOM);
    let head: String = names.iter().map(|name| fill(&cut(name, room - 1), room)).collect();
    let mut lines = vec![head.trim_end().to_owned()];
    lines.extend(arrows.iter().map(|arrow| line(arrow, &names, room)));
    lines.join("\n")
}

/// One arrow, between the lines of those who take part.
fn line(arrow: &Arrow, names: &[&str], room: usize) -> String {
    let mut row = Row::with_lifelines(names.len(), room);
    let from = room * place(names, &arrow.from);
    let to = room * place(names, &arrow.to);
    let left = from.min(to);
    let right = from.max(to);
    let stroke = if arrow.answer { '╌' } else { '─' };
    for column in left + 1..right {
        row.cells[column] = stroke;
    }
    let room_for_label = (right - left).saturating_sub(1 + BESIDE_LABEL);
    let label = cut(&text::line(&arrow.label), room_for_label);
    row.write(left + 3, &format!(" {label} "));
    if from < to {
        row.cells[to - 1] = '▸';
    } else {
        row.cells[to + 1] = '◂';
    }
    row.text()
}

/// A line of the terminal, column by column.
struct Row {
    cells: Vec<char>,
}

impl Row {
    /// What stands in a column that the wide letter before it takes.
    const TAKEN: char = '\0';

    fn with_lifelines(count: usize, room: usize) -> Self {
        let mut cells = vec![' '; room * count.saturating_sub(1) + 1];
        for column in (0..cells.len()).step_by(room) {
            cells[column] = '│';
        }
        Self { cells }
    }

    fn write(&mut self, column: usize, text: &str) {
        let mut column = column;
        for letter in text.chars() {
            let columns = wide(letter.encode_utf8(&mut [0; 4]));
            if columns == 0 {
                continue; // an accent of its own has no column to stand in
            }
            self.cells[column] = letter;
            self.cells[column + 1..column + columns].fill(Self::TAKEN);
            column += columns;
        }
    }

    fn text(&self) -> String {
        self.cells.iter().filter(|cell| **cell != Self::TAKEN).collect()
    }
}

/// The same for Mermaid.
pub(crate) fn mermaid(arrows: &[Arrow]) -> String {
    let names = names(arrows);
    let mut lines = vec!["sequenceDiagram".to_owned()];
    for (number, name) in names.iter().enumerate() {
        lines.push(format!("    participant p{number} as {}", plain(name)));
    }
    for arrow in arrows {
        let stroke = if arrow.answer { "-->>" } else { "->>" };
        let from = place(&names, &arrow.from);
        let to = place(&names, &arrow.to);
        lines.push(format!("    p{from}{stroke}p{to}: {}", plain(&arrow.label)));
    }
    lines.join("\n")
}

/// Those who take part, in the order in which they come.
fn names(arrows: &[Arrow]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for name in arrows.iter().flat_map(|arrow| [&arrow.from, &arrow.to]) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names
}

/// The place of one of them.
fn place(names: &[&str], name: &str) -> usize {
    names.iter().position(|other| *other == name).unwrap_or_default()
}

/// A label that Mermaid does not obey: it ends a statement at `;` and reads `#` as the beginning of an entity.
fn plain(label: &str) -> String {
    cut(&text::line(label), MAX_MERMAID_LABEL).replace(['#', ';'], ",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrows() -> Vec<Arrow> {
        let arrow = |from: &str, to: &str, label: &str, answer| Arrow {
            from: from.to_owned(),
            to: to.to_owned(),
            label: label.to_owned(),
            answer,
        };
        vec![
            arrow("lead", "explorer", "look; at #3\nnow", false),
            arrow("explorer", "lead", "done", true),
            arrow("lead", "writer", "write what the explorer has found", false),
            arrow("writer", "explorer", "where?", false),
        ]
    }

    #[test]
    fn arrows_stand_between_those_they_join() {
        let drawn = sequence(&arrows(), 50);
        assert_eq!(
            drawn,
            "lead                explorer            writer
│── look; at #3 … ─▸│                   │
│◂╌ done ╌╌╌╌╌╌╌╌╌╌╌│                   │
│── write what the explorer has found ─▸│
│                   │◂─ where? ─────────│"
        );
        assert!(sequence(&arrows(), 20).lines().all(|line| line.chars().count() <= 31));
        assert_eq!(sequence(&[], 80), "");
    }

    #[test]
    fn a_wide_letter_takes_two_places() {
        let arrow = |label: &str, answer| Arrow {
            from: "日".to_owned(),
            to: "b".to_owned(),
            label: label.to_owned(),
            answer,
        };
        let drawn = sequence(&[arrow("見て", false), arrow("日本語日本語日本語", true)], 30);
        assert_eq!(
            drawn,
            "日                  b
│── 見て ──────────▸│
│╌╌ 日本語日本語… ╌▸│"
        );
    }

    #[test]
    fn mermaid_gets_no_character_that_it_would_obey() {
        assert_eq!(
            mermaid(&arrows()[..2]),
            "sequenceDiagram
    participant p0 as lead
    participant p1 as explorer
    p0->>p1: look, at ,3 now
    p1-->>p0: done"
        );
    }
}
