//! What the lists of the report share.

use crate::check::source::Source;

/// How many rows a list shows.
const SHOWN: usize = 20;

/// Whether a line, counted from 1, is the product's: neither a test's, nor a bench's, nor an example's.
pub(super) fn of_product(source: &Source, line: usize) -> bool {
    !source.path.contains("/examples/") && !source.is_test(line)
}

/// The largest first, and no more of them than a list shows; the rest is counted.
pub(super) fn top(mut rows: Vec<(usize, String)>) -> Vec<String> {
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

    #[test]
    fn lists_show_the_largest_first_and_count_the_rest() {
        let rows = (1..=22).map(|size| (size, format!("row {size}"))).collect();
        let shown = top(rows);
        assert_eq!(shown[0], "   22  row 22");
        assert_eq!(shown.len(), SHOWN + 1);
        assert_eq!(shown[SHOWN], "       and 2 more");
    }
}
