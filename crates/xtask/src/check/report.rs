//! `cargo xtask check --report`: figures for whoever reads the code. Nothing here fails.

mod circles;
mod functions;
mod lines;
mod types;

use super::source::Source;
use super::tree::Tree;

/// How many rows a list shows.
const SHOWN: usize = 20;

pub(crate) fn all(tree: &Tree) -> String {
    let sections = [
        section("Lines", lines::by_package(tree)),
        section(&format!("Code lines wider than {} columns", lines::WIDE), lines::wide(tree)),
        section("The longest functions, from `fn` to the closing brace", functions::longest(tree)),
        section(&format!("Files with more than {} types", types::MANY), types::crowded(tree)),
        section("Public type names that occur more than once", types::shared(tree)),
        section("Type names that occur often, private ones too", types::worn(tree)),
        section("Circles between files", circles::all(tree)),
    ];
    sections.join("\n")
}

fn section(title: &str, rows: Vec<String>) -> String {
    let rows = if rows.is_empty() { vec!["none".to_owned()] } else { rows };
    let rows: String = rows.iter().map(|row| format!("  {row}\n")).collect();
    format!("{title}\n{rows}")
}

/// Whether a line, counted from 1, is the product's: neither a test's, nor a bench's, nor an example's.
fn of_product(source: &Source, line: usize) -> bool {
    !source.path.contains("/examples/") && !source.is_test(line)
}

/// The largest first, and no more of them than a list shows; the rest is counted.
fn top(mut rows: Vec<(usize, String)>) -> Vec<String> {
    rows.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let left = rows.len().saturating_sub(SHOWN);
    let mut shown: Vec<String> =
        rows.into_iter().take(SHOWN).map(|(size, row)| format!("{size:>5}  {row}")).collect();
    if left > 0 {
        shown.push(format!("       and {left} more"));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tree::tree;

    #[test]
    fn lists_show_the_largest_first_and_count_the_rest() {
        let rows = (1..=22).map(|size| (size, format!("row {size}"))).collect();
        let shown = top(rows);
        assert_eq!(shown[0], "   22  row 22");
        assert_eq!(shown.len(), SHOWN + 1);
        assert_eq!(shown[SHOWN], "       and 2 more");
    }

    #[test]
    fn a_report_of_nothing_says_none() {
        let text = all(&tree(&[]));
        assert!(text.contains("Circles between files\n  none\n"), "{text}");
    }
}
