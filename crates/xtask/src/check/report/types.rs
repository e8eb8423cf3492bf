//! Types: files that have many, and names that more than one has.

use std::collections::BTreeMap;

use super::list::{of_product, top};
use crate::check::code::Type;
use crate::check::source::Source;
use crate::check::tree::Tree;

/// A file with more types than this is listed.
pub(super) const MANY: usize = 8;
/// A name that occurs at least so often is worn.
const OFTEN: usize = 4;

pub(super) fn crowded(tree: &Tree) -> Vec<String> {
    let counted = tree.sources.iter().map(|source| (product(source).count(), source.path.clone()));
    top(counted.filter(|(count, _)| *count > MANY).collect())
}

/// Each with its places.
pub(super) fn shared(tree: &Tree) -> Vec<String> {
    let mut rows = Vec::new();
    for (name, places) in places(tree, |found| found.public) {
        if places.len() > 1 {
            rows.push(format!("{name}: {}", places.join(", ")));
        }
    }
    rows
}

pub(super) fn worn(tree: &Tree) -> Vec<String> {
    let all = places(tree, |_| true).into_iter();
    let rows = all.map(|(name, places)| (places.len(), name.to_owned()));
    top(rows.filter(|(count, _)| *count >= OFTEN).collect())
}

fn places(tree: &Tree, wanted: impl Fn(&Type) -> bool) -> BTreeMap<&str, Vec<String>> {
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for source in &tree.sources {
        for declared in product(source).filter(|declared| wanted(declared)) {
            let place = format!("{}:{}", source.path, declared.line);
            found.entry(&declared.name).or_default().push(place);
        }
    }
    found
}

fn product(source: &Source) -> impl Iterator<Item = &Type> {
    source.code.types.iter().filter(|declared| of_product(source, declared.line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tree::tree;

    #[test]
    fn a_file_with_many_types_is_listed() {
        let structs = |count: usize| -> String {
            (0..count).map(|number| format!("struct S{number};\n")).collect()
        };
        let found = |count: usize| crowded(&tree(&[("crates/a/src/lib.rs", &structs(count))]));
        assert_eq!(found(MANY), [""; 0]);
        assert_eq!(found(MANY + 1), ["    9  crates/a/src/lib.rs"]);
    }

    #[test]
    fn names_that_two_public_types_have_are_listed_with_their_places() {
        let tree = tree(&[
            ("crates/a/src/lib.rs", "pub struct State;\npub enum Only {}\nstruct Inner;\n"),
            (
                "crates/b/src/lib.rs",
                "\npub type State = u8;\nstruct Inner;\n#[cfg(test)]\nmod t { pub struct Only; }\n",
            ),
        ]);
        assert_eq!(shared(&tree), ["State: crates/a/src/lib.rs:1, crates/b/src/lib.rs:2"]);
    }

    #[test]
    fn a_name_that_many_have_is_worn_also_where_they_are_private() {
        let files = ["a", "b", "c", "d"].map(|name| format!("crates/{name}/src/lib.rs"));
        let files = files.each_ref().map(|path| (path.as_str(), "struct Inner;\n"));
        assert_eq!(worn(&tree(&files)), ["    4  Inner"]);
        assert_eq!(worn(&tree(&files[..3])), [""; 0]);
    }
}
