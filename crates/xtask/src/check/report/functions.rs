//! Functions by their length.

use super::list::{of_product, top};
use crate::check::tree::Tree;

/// Of the product: what a test does step by step may be long.
pub(super) fn longest(tree: &Tree) -> Vec<String> {
    let mut rows = Vec::new();
    for source in &tree.sources {
        for function in &source.code.functions {
            if of_product(source, function.line) {
                let place = format!("{}:{}", source.path, function.line);
                rows.push((function.lines, format!("{place}  {}", function.name)));
            }
        }
    }
    top(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tree::tree;

    #[test]
    fn the_longest_come_first_and_tests_do_not_count() {
        let text = "fn a() {\n    b();\n}\n\nimpl S {\n    fn c() {\n    }\n}\n\
                    #[cfg(test)]\nmod t {\n    fn d() {\n\n\n\n    }\n}\n";
        let shown = longest(&tree(&[("crates/a/src/lib.rs", text)]));
        assert_eq!(
            shown,
            ["    3  crates/a/src/lib.rs:1  a", "    2  crates/a/src/lib.rs:6  S::c"]
        );
    }
}
