//! The modules of one crate: which file is which module, and where a path leads.

use std::collections::BTreeMap;

use super::code::{Import, Name};
use super::source::Source;
use super::tree::Tree;

/// A path from the root of the crate: `agent`, `hook`, `Turn`.
pub(crate) type Inside = Vec<String>;

/// How many re-exports a path may lead through; more are a circle.
const REEXPORTS: usize = 16;

pub(crate) struct CrateMap<'a> {
    /// The folder of its sources: `crates/harness-core/src`.
    folder: String,
    /// What its own files may call it, beside `crate`.
    own_names: Vec<String>,
    /// By module; the root has the empty path.
    files: BTreeMap<Inside, &'a Source>,
}

impl<'a> CrateMap<'a> {
    /// Of the package in this folder: its library, or its program where it has none.
    pub(crate) fn of(tree: &'a Tree, package: &str) -> Self {
        let folder = format!("{package}/src");
        let has_library = tree.text(&format!("{folder}/lib.rs")).is_some();
        let mut files = BTreeMap::new();
        for source in tree.below(&folder) {
            let is_program = source.path == format!("{folder}/main.rs");
            if let Some(module) = module_of(&folder, &source.path)
                && !(is_program && has_library)
            {
                files.insert(module, source);
            }
        }
        let name = package.rsplit('/').next().unwrap_or(package);
        let mut own_names = vec![name.replace('-', "_")];
        let root: Option<&&Source> = files.get([].as_slice());
        // `extern crate self as name` gives it one more.
        let others = root.into_iter().flat_map(|root| root.code.imports());
        own_names.extend(
            others
                .filter(|(name, _)| name.segments == ["crate"])
                .map(|(_, import)| import.local.clone()),
        );
        Self { folder, own_names, files }
    }

    pub(crate) fn root(&self) -> Option<&'a Source> {
        self.files.get([].as_slice()).copied()
    }

    /// The files that are modules, each with its path.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&Inside, &'a Source)> {
        self.files.iter().map(|(module, source)| (module, *source))
    }

    /// Whether a module of this name stands right below the root, in a file of its own or as a folder.
    pub(crate) fn has_top_module(&self, name: &str) -> bool {
        self.files.keys().any(|module| module.first().is_some_and(|first| first == name))
    }

    pub(crate) fn module_of(&self, source: &Source) -> Option<Inside> {
        module_of(&self.folder, &source.path)
    }

    /// The path from the root that a name of this module's file means; nothing where it leads out of the crate,
    /// or stands for something that the file itself has.
    pub(crate) fn absolute(&self, module: &[String], name: &Name) -> Option<Inside> {
        let mut here: Inside = module.to_vec();
        here.extend(name.inside.iter().cloned());
        let (first, rest) = name.segments.split_first()?;
        if first == "crate" || self.own_names.contains(first) {
            return Some(rest.to_vec());
        }
        if first == "self" || first == "super" {
            return Some(climbed(here, &name.segments));
        }
        here.push(first.clone());
        let is_child = self.files.contains_key(&here);
        here.extend(rest.iter().cloned());
        is_child.then_some(here)
    }

    /// A path with the re-exports at the root put in full: `Agent` is `agent::Agent`. Nothing where a re-export
    /// leads out of the crate.
    pub(crate) fn without_reexports(&self, mut path: Inside) -> Option<Inside> {
        for _ in 0..REEXPORTS {
            let Some((first, rest)) = path.split_first() else { return Some(path) };
            if self.has_top_module(first) {
                return Some(path);
            }
            let Some(import) = self.root().and_then(|root| import_of(root, first)) else {
                return Some(path);
            };
            let rest = rest.to_vec();
            path = self.absolute(&[], import)?;
            path.extend(rest);
        }
        Some(path)
    }

    /// The file in which what the path names is written, behind all re-exports.
    pub(crate) fn file_of(&self, path: &[String]) -> Option<&'a Source> {
        let mut path = path.to_vec();
        for _ in 0..REEXPORTS {
            let mut module = Inside::new();
            let mut file = self.root()?;
            let mut handed_on = None;
            for (at, segment) in path.iter().enumerate() {
                module.push(segment.clone());
                if let Some(next) = self.files.get(&module) {
                    file = next;
                    continue;
                }
                module.pop();
                handed_on = import_of(file, segment).map(|import| (at, import));
                break;
            }
            let Some((at, import)) = handed_on else { return Some(file) };
            let rest = path.split_off(at + 1);
            path = self.absolute(&module, import)?;
            path.extend(rest);
        }
        None
    }
}

/// What a file's `use` items call by this name.
fn import_of<'a>(file: &'a Source, local: &str) -> Option<&'a Name> {
    let is_it = |(name, import): &(&Name, &Import)| {
        name.inside.is_empty() && import.local == local && local != "*"
    };
    file.code.imports().find(is_it).map(|(name, _)| name)
}

/// `self::a` and `super::super::a`, from here.
fn climbed(mut here: Inside, segments: &[String]) -> Inside {
    let mut climbing = true;
    for segment in segments {
        match segment.as_str() {
            "self" if climbing => {}
            "super" if climbing => drop(here.pop()),
            _ => {
                climbing = false;
                here.push(segment.clone());
            }
        }
    }
    here
}

/// The module that a file below `folder` is; nothing for programs in `bin/`.
fn module_of(folder: &str, path: &str) -> Option<Inside> {
    let inside = path.strip_prefix(folder)?.strip_prefix('/')?.strip_suffix(".rs")?;
    if inside.starts_with("bin/") {
        return None;
    }
    if inside == "lib" || inside == "main" {
        return Some(Inside::new());
    }
    let module = inside.strip_suffix("/mod").unwrap_or(inside);
    Some(module.split('/').map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tree::tree;

    const FILES: [(&str, &str); 6] = [
        ("crates/a/Cargo.toml", ""),
        (
            "crates/a/src/lib.rs",
            "pub mod agent;\npub mod tool;\npub use agent::Agent as Worker;\npub use serde_json::Value;\npub use tool::builtin as tools;\n",
        ),
        ("crates/a/src/agent/mod.rs", "mod act;\npub use act::Agent;\n"),
        ("crates/a/src/agent/act.rs", "pub struct Agent;\n"),
        ("crates/a/src/tool.rs", "pub mod builtin;\n"),
        ("crates/a/src/tool/builtin.rs", "pub struct Bash;\n"),
    ];

    fn inside(path: &str) -> Inside {
        path.split("::").filter(|segment| !segment.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn files_are_modules_by_where_they_lie() {
        let module = |path: &str| module_of("crates/a/src", path).map(|module| module.join("::"));
        assert_eq!(module("crates/a/src/lib.rs").as_deref(), Some(""));
        assert_eq!(module("crates/a/src/tool/mod.rs").as_deref(), Some("tool"));
        assert_eq!(module("crates/a/src/tool.rs").as_deref(), Some("tool"));
        assert_eq!(module("crates/a/src/tool/x/y.rs").as_deref(), Some("tool::x::y"));
        assert_eq!(module("crates/a/src/bin/x.rs"), None);
        assert_eq!(module("crates/a/tests/x.rs"), None);
    }

    #[test]
    fn every_spelling_leads_to_the_same_place() {
        let tree = tree(&FILES);
        let map = CrateMap::of(&tree, "crates/a");
        let absolute = |module: &str, written: &str| {
            let name = Name { segments: inside(written), line: 1, inside: vec![], import: None };
            map.absolute(&inside(module), &name).map(|path| path.join("::"))
        };
        for written in [
            "crate::agent::Agent",
            "a::agent::Agent",
            "super::super::agent::Agent",
            "self::super::super::agent::Agent",
        ] {
            assert_eq!(
                absolute("tool::builtin", written).as_deref(),
                Some("agent::Agent"),
                "{written}"
            );
        }
        assert_eq!(absolute("agent", "act::Agent").as_deref(), Some("agent::act::Agent"));
        assert_eq!(absolute("tool", "act::Agent"), None);
        assert_eq!(absolute("tool", "serde_json::Value"), None);
    }

    #[test]
    fn reexports_are_followed_to_the_module_and_to_the_file() {
        let tree = tree(&FILES);
        let map = CrateMap::of(&tree, "crates/a");
        let named = |path: &str| map.without_reexports(inside(path)).map(|path| path.join("::"));
        assert_eq!(named("Worker").as_deref(), Some("agent::Agent"));
        assert_eq!(named("tools::Bash").as_deref(), Some("tool::builtin::Bash"));
        assert_eq!(named("Value"), None);
        assert_eq!(named("unknown").as_deref(), Some("unknown"));
        let file = |path: &str| map.file_of(&inside(path)).map(|source| source.path.as_str());
        assert_eq!(file("Worker"), Some("crates/a/src/agent/act.rs"));
        assert_eq!(file("tools::Bash"), Some("crates/a/src/tool/builtin.rs"));
        assert_eq!(file("Value"), None);
    }
}
