//! Behind the lesson: a table of the parts of a whole, each with a bar.

use harness_cli::{cut, fill};
use harness_core::host::text::digits;

/// The columns that a row takes beside its name and its bar: number, percentage and the blanks between.
const FIXED_COLUMNS: usize = 18;
/// The columns of the longest name.
const MAX_NAME: usize = 13;
/// The columns of the bar of the whole, where there is room: a longer one shows no more.
const MAX_BAR: usize = 40;

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    /// What the part is called.
    pub(crate) name: &'a str,
    /// How much of the whole it is, in the unit of the whole.
    pub(crate) number: u64,
    /// What its bar is drawn with.
    pub(crate) stroke: Stroke,
}

/// What a bar is drawn with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stroke {
    /// `█`, for what is taken.
    Full,
    /// `░`, for what is left.
    Light,
}

/// Draws a line for each row that is not empty: its name, its number, its share of the whole in percent, and
/// a bar. No line is longer than `columns`; where there is no room, the bar gives way first, then the name.
pub(crate) fn bars(rows: &[Row<'_>], whole: u64, columns: usize) -> String {
    let rows = rows.iter().filter(|row| row.number > 0);
    let lines: Vec<String> = rows.map(|row| line(row, whole, columns)).collect();
    lines.join("\n")
}

fn line(row: &Row<'_>, whole: u64, columns: usize) -> String {
    let name_columns = columns.saturating_sub(FIXED_COLUMNS).clamp(2, MAX_NAME);
    let bar_columns = columns.saturating_sub(FIXED_COLUMNS + MAX_NAME).min(MAX_BAR);
    let share = row.number as f64 / whole.max(1) as f64;
    let stroke = match row.stroke {
        Stroke::Full => "█",
        Stroke::Light => "░",
    };
    let length = share.min(1.0) * bar_columns as f64;
    let bar = stroke.repeat(length.round() as usize);
    let name = fill(&cut(row.name, name_columns), name_columns);
    let number = digits(row.number);
    let percent = share * 100.0;
    let line = format!("{name} {number:>9} {percent:>3.0} % {bar}");
    cut(line.trim_end(), columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(whole: u64, columns: usize) -> String {
        let row = |name, number, stroke| Row { name, number, stroke };
        let rows = [
            row("tools", 1_200, Stroke::Full),
            row("nothing", 0, Stroke::Full),
            row("tool results", 640_000, Stroke::Full),
            row("free", 358_800, Stroke::Light),
        ];
        bars(&rows, whole, columns)
    }

    #[test]
    fn a_table_fits_its_terminal() {
        for columns in [20, 40, 80, 200] {
            let table = table(1_000_000, columns);
            assert!(table.lines().all(|line| line.chars().count() <= columns), "{table}");
            assert_eq!(table.lines().count(), 3);
        }
        assert!(table(1_000_000, 20).contains("t…   640,000  64 %"));
        expect_test::expect![[r#"
            tools             1,200   0 %
            tool results    640,000  64 % ██████
            free            358,800  36 % ░░░"#]]
        .assert_eq(&table(1_000_000, 40));
        assert_eq!(table(0, 80).lines().count(), 3, "a whole of nothing breaks nothing");
    }
}
