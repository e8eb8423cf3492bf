//! Files that import each other in a circle, room by room in harness-core and crate by crate elsewhere.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::check::code::{Import, Name};
use crate::check::crate_map::CrateMap;
use crate::check::rooms::{CORE, room_of};
use crate::check::source::Source;
use crate::check::tree::Tree;

/// Which file imports which, and on which line it does so first.
type Imports<'a> = BTreeMap<&'a str, BTreeMap<&'a str, usize>>;

pub(super) fn all(tree: &Tree) -> Vec<String> {
    let mut rows = Vec::new();
    for package in &tree.packages {
        let map = CrateMap::of(tree, &package.dir);
        for (room, imports) in by_room(&map, &package.dir) {
            let folder = match room {
                Some(room) => format!("{}/src/{room}", package.dir),
                None => format!("{}/src", package.dir),
            };
            rows.extend(told(&folder, &imports));
        }
    }
    rows
}

/// The imports between files of the same room.
fn by_room<'a>(map: &CrateMap<'a>, package: &str) -> BTreeMap<Option<&'static str>, Imports<'a>> {
    let mut rooms: BTreeMap<Option<&'static str>, Imports<'a>> = BTreeMap::new();
    let room = |source: &Source| {
        let module = map.module_of(source)?;
        if package == CORE { room_of(&module) } else { None }
    };
    for (module, source) in map.files().filter(|(module, _)| !module.is_empty()) {
        let imports = rooms.entry(room(source)).or_default();
        for name in source.code.names.iter().filter(|name| counts(source, name)) {
            let path = map.absolute(module, name);
            let Some(other) = path.and_then(|path| map.file_of(&path)) else { continue };
            let is_root = map.root().is_some_and(|root| root.path == other.path);
            if other.path != source.path && !is_root && room(other) == room(source) {
                let lines = imports.entry(source.path.as_str()).or_default();
                lines.entry(other.path.as_str()).or_insert(name.line);
            }
        }
    }
    rooms
}

/// Whether a name says that the file needs what it names: a test's does not, nor does a re-export that the file
/// itself makes no use of.
fn counts(source: &Source, name: &Name) -> bool {
    if source.is_test(name.line) {
        return false;
    }
    match &name.import {
        Some(Import { local, handed_on: true }) => {
            let uses = |other: &Name| {
                other.import.is_none() && other.segments.first().is_some_and(|first| first == local)
            };
            source.code.names.iter().any(|other| uses(other) && !source.is_test(other.line))
        }
        _ => true,
    }
}

/// A row for every group of files that hang together: its shortest circle.
fn told(folder: &str, imports: &Imports) -> Vec<String> {
    let mut told = BTreeSet::new();
    let mut rows = Vec::new();
    for file in imports.keys().copied() {
        let group = group_of(file, imports);
        if group.is_empty() || !told.insert(group.clone()) {
            continue;
        }
        let circles = group.iter().filter_map(|file| circle(file, imports));
        let Some(shortest) = circles.min_by_key(Vec::len) else { continue };
        let short = |path: &str| path.trim_start_matches(folder).trim_start_matches('/').to_owned();
        let mut steps: Vec<String> = Vec::new();
        for pair in shortest.windows(2) {
            steps.push(format!("{}:{}", short(pair[0]), imports[pair[0]][pair[1]]));
        }
        steps.extend(shortest.last().map(|last| short(last)));
        rows.push(format!("{folder}: {} ({} files in circles)", steps.join(" → "), group.len()));
    }
    rows
}

/// The files that this one reaches and that reach it; none where it is in no circle.
fn group_of<'a>(file: &'a str, imports: &Imports<'a>) -> BTreeSet<&'a str> {
    let reached = reach(file, imports);
    reached.iter().copied().filter(|other| reach(other, imports).contains(file)).collect()
}

fn reach<'a>(file: &str, imports: &Imports<'a>) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&str> = vec![file];
    while let Some(file) = open.pop() {
        for next in imports.get(file).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(*next) {
                open.push(next);
            }
        }
    }
    reached
}

/// The shortest way from a file back to itself.
fn circle<'a>(start: &'a str, imports: &Imports<'a>) -> Option<Vec<&'a str>> {
    let mut seen = BTreeSet::new();
    let mut open = VecDeque::from([vec![start]]);
    while let Some(way) = open.pop_front() {
        let last = way.last()?;
        for next in imports.get(last).into_iter().flat_map(BTreeMap::keys).copied() {
            let longer = [way.as_slice(), &[next]].concat();
            if next == start {
                return Some(longer);
            }
            if seen.insert(next) {
                open.push_back(longer);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tree::tree;

    #[test]
    fn two_files_that_import_each_other_are_a_circle() {
        let found = |b: &str| {
            all(&tree(&[
                ("crates/x/Cargo.toml", ""),
                ("crates/x/src/lib.rs", "mod a;\nmod b;\npub use a::A;\n"),
                ("crates/x/src/a.rs", "use crate::b::B;\n"),
                ("crates/x/src/b.rs", b),
            ]))
        };
        assert_eq!(found("use std::fmt;\n"), [""; 0]);
        let circle = ["crates/x/src: a.rs:1 → b.rs:2 → a.rs (2 files in circles)"];
        assert_eq!(found("\nuse crate::A;\n"), circle);
        assert_eq!(found("\nfn f(a: super::a::A) {}\n"), circle);
        assert_eq!(found("#[cfg(test)]\nuse crate::a::A;\n"), [""; 0]);
    }

    #[test]
    fn a_reexport_is_an_import_only_where_the_file_uses_it() {
        let found = |text: &str| {
            all(&tree(&[
                ("crates/harness-core/Cargo.toml", ""),
                ("crates/harness-core/src/lib.rs", "pub mod agent;\n"),
                ("crates/harness-core/src/agent/mod.rs", text),
                ("crates/harness-core/src/agent/act.rs", "use super::Agent;\npub struct Runner;\n"),
            ]))
        };
        assert_eq!(found("mod act;\npub use act::Runner;\npub struct Agent;\n"), [""; 0]);
        assert_eq!(
            found("mod act;\npub use act::Runner;\npub struct Agent(Runner);\n"),
            ["crates/harness-core/src/agent: act.rs:1 → mod.rs:2 → act.rs (2 files in circles)"]
        );
    }
}
