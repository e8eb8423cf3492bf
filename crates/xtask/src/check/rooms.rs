//! The rooms of harness-core: its imports point one way.

use super::code::Name;
use super::crate_map::CrateMap;
use super::source::Source;
use super::tree::{Tree, Violation, violation};

pub(crate) const CORE: &str = "crates/harness-core";
/// The folders of harness-core's `src`, from the ground up: a room imports itself and those before it.
pub(crate) const ROOMS: [&str; 7] =
    ["host", "conversation", "model", "event", "tool", "permission", "agent"];

/// The room that a module of harness-core stands in.
pub(crate) fn room_of(module: &[String]) -> Option<&'static str> {
    let first = module.first()?;
    ROOMS.into_iter().find(|room| room == first)
}

fn height(room: &str) -> usize {
    ROOMS.iter().position(|known| *known == room).unwrap_or(0)
}

pub(crate) fn one_way(tree: &Tree) -> Vec<Violation> {
    let core = CrateMap::of(tree, CORE);
    let mut violations = Vec::new();
    for (module, source) in core.files() {
        if module.is_empty() {
            violations.extend(hidden_at_the_root(source));
            continue;
        }
        let Some(room) = room_of(module) else {
            let reason = format!("stands in no room: they are {}", ROOMS.join(", "));
            violations.push(violation(&source.path, 1, reason));
            continue;
        };
        for line in &source.code.moved_modules {
            violations.push(violation(
                &source.path,
                *line,
                "`#[path]` hides where a module stands",
            ));
        }
        for name in &source.code.names {
            let reason = judged(&core, room, module, name);
            violations.extend(reason.map(|reason| violation(&source.path, name.line, reason)));
        }
    }
    violations.dedup();
    violations
}

/// `pub use agent::*` at the root would make names of every room look like the root's own.
fn hidden_at_the_root(root: &Source) -> Vec<Violation> {
    let globs = root.code.imports().filter(|(_, import)| import.local == "*");
    let told = globs.map(|(name, _)| {
        let reason = format!(
            "`{}` hides which room a name is from: list the names",
            name.segments.join("::")
        );
        violation(&root.path, name.line, reason)
    });
    told.collect()
}

/// What is wrong with a name in a file of this room.
fn judged(core: &CrateMap, room: &str, module: &[String], name: &Name) -> Option<String> {
    let path = core.absolute(module, name)?;
    let path = core.without_reexports(path)?;
    let whole = path.join("::");
    let first = path.first().map_or("*", String::as_str);
    if first == "*" {
        return Some(format!("room `{room}` imports the whole crate: name what it needs"));
    }
    if let Some(other) = room_of(&path) {
        let above = height(other) > height(room);
        return above.then(|| format!("room `{room}` imports `{whole}`, which stands above it"));
    }
    // A module without a room is told of once, at its file.
    let known = core.has_top_module(first);
    (!known).then(|| format!("room `{room}` imports `{whole}`, which lib.rs has without a room"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tree::{shown, tree};

    const ROOT: &str = "pub mod agent;\npub mod host;\npub mod tool;\npub use agent::{Agent, act::Runner as Run};\n\
                        pub use tool::builtin as tools;\npub use serde_json::Value;\nfn helper() {}\n";

    /// What is told of a file of the core with this text, beside an agent, a tool and a host.
    fn told(path: &str, text: &str) -> Vec<String> {
        let path = format!("{CORE}/src/{path}");
        let mut files = vec![
            ("crates/harness-core/src/lib.rs", ROOT),
            ("crates/harness-core/src/agent/mod.rs", ""),
            ("crates/harness-core/src/agent/act.rs", ""),
            ("crates/harness-core/src/tool/mod.rs", ""),
            ("crates/harness-core/src/tool/builtin/mod.rs", ""),
            ("crates/harness-core/src/host/mod.rs", ""),
        ];
        files.retain(|(known, _)| *known != path);
        files.push((&path, text));
        shown(&one_way(&tree(&files)))
    }

    #[test]
    fn a_room_imports_itself_and_those_before_it() {
        let text = "use crate::host::x;\nuse crate::tools;\nuse super::Tool;\nuse std::fmt;\nuse crate::Value;\n";
        assert_eq!(told("tool/more.rs", text), [""; 0]);
        assert_eq!(
            told("agent/more.rs", "use crate::{Agent, tools, host::x, agent::act};\n"),
            [""; 0]
        );
        assert_eq!(
            told("lib.rs", "pub mod agent;\npub use agent::Agent;\nuse tool::x;\n"),
            [""; 0]
        );
    }

    #[test]
    fn an_arrow_upwards_is_told_however_it_is_written() {
        let above = |line: usize, path: &str| {
            format!(
                "crates/harness-core/src/tool/more.rs:{line}: room `tool` imports `{path}`, which stands above it"
            )
        };
        for (text, line, path) in [
            ("use crate::agent::Agent;\n", 1, "agent::Agent"),
            (
                "use crate::{\n    host::x,\n    agent::{act::Runner},\n};\n",
                3,
                "agent::act::Runner",
            ),
            ("fn f() -> crate::agent::Agent {}\n", 1, "agent::Agent"),
            ("fn f() {\n    vec![crate::agent::new()];\n}\n", 2, "agent::new"),
            ("use super::super::agent;\n", 1, "agent"),
            ("mod inner {\n    use super::super::super::agent::Agent;\n}\n", 2, "agent::Agent"),
            ("use harness_core::agent::Agent;\n", 1, "agent::Agent"),
            ("use crate::Agent;\n", 1, "agent::Agent"),
            ("use crate::Run;\n", 1, "agent::act::Runner"),
            ("use crate::agent::*;\n", 1, "agent::*"),
        ] {
            assert_eq!(told("tool/more.rs", text), [above(line, path)], "{text}");
        }
    }

    #[test]
    fn the_ground_imports_no_other_room() {
        assert_eq!(
            told("host/mod.rs", "use crate::tools;\n"),
            [
                "crates/harness-core/src/host/mod.rs:1: room `host` imports `tool::builtin`, which stands above it"
            ]
        );
    }

    #[test]
    fn comments_and_strings_import_nothing() {
        let text = "//! [`crate::agent::Agent`]\n/// crate::Agent\nfn f() { \"crate::agent::Agent\"; } // crate::Agent\n";
        assert_eq!(told("tool/more.rs", text), [""; 0]);
    }

    #[test]
    fn nothing_hides_the_room_of_a_name() {
        for text in ["use crate::*;\n", "use crate as all;\n", "use super::super::*;\n"] {
            assert_eq!(
                told("tool/more.rs", text),
                [
                    "crates/harness-core/src/tool/more.rs:1: room `tool` imports the whole crate: name what it needs"
                ]
            );
        }
        assert_eq!(
            told("tool/more.rs", "use crate::helper;\n"),
            [
                "crates/harness-core/src/tool/more.rs:1: room `tool` imports `helper`, which lib.rs has without a room"
            ]
        );
        assert_eq!(
            told("lib.rs", "pub mod agent;\npub use agent::*;\n"),
            [
                "crates/harness-core/src/lib.rs:2: `agent::*` hides which room a name is from: list the names"
            ]
        );
        assert_eq!(
            told("tool/more.rs", "#[path = \"../agent/x.rs\"]\nmod x;\n"),
            ["crates/harness-core/src/tool/more.rs:2: `#[path]` hides where a module stands"]
        );
    }

    #[test]
    fn a_file_beside_the_rooms_is_told_once() {
        assert_eq!(
            told("jobs.rs", "use crate::agent::Agent;\n"),
            [
                "crates/harness-core/src/jobs.rs:1: stands in no room: they are host, conversation, model, event, tool, permission, agent"
            ]
        );
    }
}
