//! `cargo xtask check --report`: figures for whoever reads the code. Nothing here fails.

mod circles;
mod functions;
mod lines;
mod list;
mod types;

use super::tree::Tree;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tree::tree;

    #[test]
    fn a_report_of_nothing_says_none() {
        let text = all(&tree(&[]));
        assert!(text.contains("Circles between files\n  none\n"), "{text}");
    }
}
