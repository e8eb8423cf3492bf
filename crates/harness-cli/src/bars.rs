//! A table of parts of a whole, each with a bar.

use harness_core::host::text::digits;

use crate::wide::{cut, fill};

/// What a row takes beside its name and its bar: number, percentage, and what is between them.
const BESIDE: usize = 18;
/// The longest name.
const NAME: usize = 13;
/// A longer bar shows no more.
const LONGEST: usize = 40;

/// Draws rows of a name, a number, its part of the whole in percent, and a bar, in so many columns; where
/// there is no room, the bar gives way first, then the name. Empty rows are left out. What is called `free`
/// has a lighter bar.
pub fn bars(rows: &[(&str, u64)], whole: u64, columns: usize) -> String {
    let wide = columns.saturating_sub(BESIDE).clamp(2, NAME);
    let most = columns.saturating_sub(BESIDE + NAME).min(LONGEST) as f64;
    let drawn = rows.iter().filter(|(_, number)| *number > 0).map(|(name, number)| {
        let part = *number as f64 / whole.max(1) as f64;
        let mark = if *name == "free" { "░" } else { "█" };
        let bar = mark.repeat((part.min(1.0) * most).round() as usize);
        let (name, number) = (fill(&cut(name, wide), wide), digits(*number));
        let row = format!("{name} {number:>9} {:>3.0} % {bar}", part * 100.0);
        cut(row.trim_end(), columns)
    });
    drawn.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_fits_its_terminal() {
        let rows = [("tools", 1_200), ("nothing", 0), ("tool results", 640_000), ("free", 358_800)];
        for columns in [20, 40, 80, 200] {
            let table = bars(&rows, 1_000_000, columns);
            assert!(table.lines().all(|line| line.chars().count() <= columns), "{table}");
            assert_eq!(table.lines().count(), 3);
        }
        assert!(bars(&rows, 1_000_000, 20).contains("t…   640,000  64 %"));
        expect_test::expect![[r#"
            tools             1,200   0 %
            tool results    640,000  64 % ██████
            free            358,800  36 % ░░░"#]]
        .assert_eq(&bars(&rows, 1_000_000, 40));
        assert_eq!(bars(&rows, 0, 80).lines().count(), 3, "a whole of nothing breaks nothing");
    }
}
