//! Lines: how many of which kind, and how wide.

use super::list::{of_product, top};
use crate::check::source::{Line, Source};
use crate::check::tree::Tree;
use crate::repo::Package;

/// A line of code that is wider than this is listed.
pub(super) const WIDE: usize = 90;

/// The lines of a package's product, and its other code.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    code: usize,
    comment: usize,
    blank: usize,
    /// Code of tests, benches and examples.
    beside: usize,
    /// The characters of the code, without what stands before and behind it on its line.
    characters: usize,
    wide: usize,
}

impl Sum {
    fn of(tree: &Tree, package: &Package) -> Self {
        let mut sum = Self::default();
        for source in tree.below(&package.dir) {
            for (index, line) in source.lines.iter().enumerate() {
                sum.wide += usize::from(is_wide(line));
                if of_product(source, index + 1) {
                    sum.add(line);
                } else {
                    sum.beside += usize::from(line.is_code());
                }
            }
        }
        sum
    }

    fn add(&mut self, line: &Line) {
        if line.is_code() {
            self.code += 1;
            self.characters += line.raw.trim().chars().count();
        } else if line.is_blank() {
            self.blank += 1;
        } else {
            self.comment += 1;
        }
    }

    fn and(&self, other: &Self) -> Self {
        Self {
            code: self.code + other.code,
            comment: self.comment + other.comment,
            blank: self.blank + other.blank,
            beside: self.beside + other.beside,
            characters: self.characters + other.characters,
            wide: self.wide + other.wide,
        }
    }

    fn row(&self, name: &str) -> String {
        let average = match self.code {
            0 => "-".to_owned(),
            code => format!("{:.1}", self.characters as f64 / code as f64),
        };
        let Self { code, comment, blank, beside, wide, .. } = self;
        format!("{name:<30}{code:>7}{comment:>9}{blank:>7}{beside:>8}{average:>12}{wide:>7}")
    }
}

/// Crates first, then sessions, each with their sum. Tests, benches and examples are beside the code.
pub(super) fn by_package(tree: &Tree) -> Vec<String> {
    let head = format!(
        "{:<30}{:>7}{:>9}{:>7}{:>8}{:>12}{:>7}",
        "", "code", "comment", "blank", "beside", "chars/line", "wide"
    );
    let mut rows = vec![head];
    let crates = tree.packages.iter().filter(|package| !package.is_session());
    rows.extend(summed(tree, crates, "all crates"));
    rows.extend(summed(tree, tree.sessions(), "all sessions"));
    rows
}

fn summed<'a>(
    tree: &Tree,
    packages: impl Iterator<Item = &'a Package>,
    title: &str,
) -> Vec<String> {
    let mut rows = Vec::new();
    let mut all = Sum::default();
    for package in packages {
        let sum = Sum::of(tree, package);
        rows.push(sum.row(&package.name));
        all = all.and(&sum);
    }
    rows.push(all.row(title));
    rows
}

/// How many there are is in the table of the packages; these are the widest.
pub(super) fn wide(tree: &Tree) -> Vec<String> {
    let in_file = |source: &Source| {
        let wide = source.lines.iter().enumerate().filter(|(_, line)| is_wide(line));
        let rows =
            wide.map(|(index, line)| (width(line), format!("{}:{}", source.path, index + 1)));
        rows.collect::<Vec<_>>()
    };
    top(tree.sources.iter().flat_map(in_file).collect())
}

fn is_wide(line: &Line) -> bool {
    line.is_code() && width(line) > WIDE
}

fn width(line: &Line) -> usize {
    line.raw.trim_end().chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tree::tree;

    #[test]
    fn lines_are_counted_by_their_kind() {
        let text = "//! doc\n\nfn a() {\n    1;\n}\n#[cfg(test)]\nmod t {\n    // why\n}\n";
        let tree = tree(&[("crates/a/Cargo.toml", ""), ("crates/a/src/lib.rs", text)]);
        let sum = Sum::of(&tree, &tree.packages[0]);
        let expected = Sum { code: 3, comment: 1, blank: 1, beside: 3, characters: 11, wide: 0 };
        assert_eq!(sum, expected);
        let rows = by_package(&tree);
        assert_eq!(rows.len(), 4, "a head, the crate, and two sums");
        let words: Vec<&str> = rows[1].split_whitespace().collect();
        assert_eq!(words, ["a", "3", "1", "1", "3", "3.7", "0"]);
    }

    #[test]
    fn wide_lines_of_code_are_listed_and_wide_comments_are_not() {
        let code = format!("const A: &str = \"{}\";\n", "x".repeat(90));
        let comment = format!("// {}\n", "x".repeat(90));
        let tree = tree(&[("crates/a/src/lib.rs", &format!("{comment}{code}"))]);
        assert_eq!(wide(&tree), ["  109  crates/a/src/lib.rs:2"]);
    }
}
