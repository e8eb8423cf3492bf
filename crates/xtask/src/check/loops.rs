//! One loop: who may ask a model.

use super::crate_map::CrateMap;
use super::rooms::{CORE, room_of};
use super::source::{Part, Source};
use super::tree::{Tree, Violation, violation};

/// The testkit's witness is a model that hands each request on to the one it watches; xtask knows no model.
const LEFT_OUT: [&str; 2] = ["crates/harness-testkit", "crates/xtask"];

/// The agent's room of the core has the loop, and the first session writes it again, as its lesson. Everything
/// else runs an agent.
pub(crate) fn one(tree: &Tree) -> Vec<Violation> {
    let core = CrateMap::of(tree, CORE);
    let mut violations = Vec::new();
    for package in &tree.packages {
        if package.number() == Some(1) || LEFT_OUT.contains(&package.dir.as_str()) {
            continue;
        }
        let folder = format!("{}/src", package.dir);
        for source in tree.below(&folder).filter(|source| !may_ask(&core, source)) {
            for line in source.hits(Part::Product, asks_a_model) {
                let reason = "asks a model itself: run an agent instead";
                violations.push(violation(&source.path, line, reason));
            }
        }
    }
    violations
}

/// In the core: the agent, and models that hand a request on. A file without a room is told of by another rule.
fn may_ask(core: &CrateMap, source: &Source) -> bool {
    if !source.path.starts_with(CORE) {
        return false;
    }
    let Some(module) = core.module_of(source) else { return false };
    room_of(&module).is_none_or(|room| room == "agent" || room == "model")
}

fn asks_a_model(code: &str) -> bool {
    code.contains(".think(") || code.contains(".stream(")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tree::{shown, tree};

    #[test]
    fn only_the_room_of_the_agent_and_the_first_session_ask_a_model() {
        let asks = "async fn f() { agent.think(c, t).await }\n";
        let found = one(&tree(&[
            ("sessions/s01_loop/Cargo.toml", ""),
            ("sessions/s01_loop/src/lib.rs", asks),
            ("sessions/s02_tools/Cargo.toml", ""),
            ("sessions/s02_tools/src/lib.rs", asks),
            ("sessions/s02_tools/src/more.rs", asks),
            ("sessions/s02_tools/tests/lesson.rs", asks),
            ("crates/harness-core/Cargo.toml", ""),
            ("crates/harness-core/src/agent/mod.rs", asks),
            ("crates/harness-core/src/model/cache.rs", "fn f() { self.inner.stream(r) }\n"),
            ("crates/harness-core/src/tool/mod.rs", asks),
            ("crates/harness-app/Cargo.toml", ""),
            ("crates/harness-app/src/lib.rs", asks),
        ]));
        let reason = "asks a model itself: run an agent instead";
        assert_eq!(
            shown(&found),
            [
                format!("sessions/s02_tools/src/lib.rs:1: {reason}"),
                format!("sessions/s02_tools/src/more.rs:1: {reason}"),
                format!("crates/harness-core/src/tool/mod.rs:1: {reason}"),
                format!("crates/harness-app/src/lib.rs:1: {reason}"),
            ]
        );
    }
}
