//! Who said what to whom, in order: a sequence diagram as text, and for Mermaid.

use std::fmt::Write as _;

use harness_core::host::text;

use crate::wide::{cells, cut, fill};

/// One arrow of a sequence diagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrow {
    /// Where it begins.
    pub from: String,
    /// Where it ends.
    pub to: String,
    /// What is said.
    pub label: String,
    /// Whether it answers another: drawn as a broken line.
    pub answer: bool,
}

/// The narrowest and the widest that the space between two is.
const ROOM: (usize, usize) = (12, 36);

/// A place that the wide letter before it takes.
const TAKEN: char = '\0';

/// Draws the arrows in so many columns, a line each, under the names of those who take part. An arrow joins two.
pub fn sequence(arrows: &[Arrow], columns: usize) -> String {
    let names = names(arrows);
    let room = columns.saturating_sub(10) / names.len().saturating_sub(1).max(1);
    let room = room.clamp(ROOM.0, ROOM.1);
    let mut head = String::new();
    for name in &names {
        head += &fill(&cut(name, room - 1), room);
    }
    let mut drawn = head.trim_end().to_owned();
    for arrow in arrows {
        let at = |name: &str| room * names.iter().position(|it| *it == name).unwrap_or_default();
        let (from, to) = (at(&arrow.from), at(&arrow.to));
        let mut line: Vec<char> = vec![' '; room * names.len().saturating_sub(1) + 1];
        line.iter_mut().step_by(room).for_each(|place| *place = '│');
        let between = from.min(to) + 1..from.max(to);
        let label = cut(&text::line(&arrow.label), between.len().saturating_sub(6));
        let label = format!(" {label} ");
        let mut place = between.start + 2;
        between.for_each(|place| line[place] = if arrow.answer { '╌' } else { '─' });
        for letter in label.chars().filter(|letter| cells(*letter) > 0) {
            // A wide one takes the places behind it.
            line[place..place + cells(letter)].fill(TAKEN);
            line[place] = letter;
            place += cells(letter);
        }
        match to > from {
            true => line[to - 1] = '▸',
            false => line[to + 1] = '◂',
        }
        let _ = write!(
            drawn,
            "\n{}",
            line.into_iter().filter(|place| *place != TAKEN).collect::<String>()
        );
    }
    drawn
}

/// The same for Mermaid.
pub fn mermaid(arrows: &[Arrow]) -> String {
    let names = names(arrows);
    let mut written = "sequenceDiagram".to_owned();
    for (number, name) in names.iter().enumerate() {
        let _ = write!(written, "\n    participant p{number} as {}", plain(name));
    }
    let at = |name: &str| names.iter().position(|it| *it == name).unwrap_or_default();
    for arrow in arrows {
        let stroke = if arrow.answer { "-->>" } else { "->>" };
        let (from, to, label) = (at(&arrow.from), at(&arrow.to), plain(&arrow.label));
        let _ = write!(written, "\n    p{from}{stroke}p{to}: {label}");
    }
    written
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

/// Mermaid ends a statement at `;` and reads `#` as the beginning of an entity.
fn plain(label: &str) -> String {
    cut(&text::line(label), 80).replace(['#', ';'], ",")
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
