//! Sessions stand on earlier sessions, and only where the table below says so.

use super::tree::{Tree, Violation, each_dependency, violation};
use crate::manifest::{self, Dependency};
use crate::names::number;
use crate::repo::Package;

/// A session that stands on an earlier one.
struct Arrow {
    from: u32,
    to: u32,
    /// What the later one takes from there.
    reason: &'static str,
}

/// Every arrow between sessions of the course. To add one, write its line and what is taken over.
const ARROWS: [Arrow; 4] = [
    Arrow { from: 10, to: 9, reason: "the team whose talk its protocols order" },
    Arrow { from: 11, to: 7, reason: "the board from which its workers take their tasks" },
    Arrow { from: 22, to: 9, reason: "the team, and the mailbox that it keeps in Redis" },
    Arrow { from: 23, to: 12, reason: "the worktrees that it recovers and merges" },
];

/// A package that takes long to build or needs much, and the members that may have it: sessions by their
/// short names, crates by their names.
struct Heavy {
    package: &'static str,
    homes: &'static [&'static str],
}

const HEAVY: [Heavy; 3] = [
    Heavy { package: "rmcp", homes: &["s21", "harness"] },
    Heavy { package: "redis", homes: &["s22", "harness"] },
    Heavy { package: "git2", homes: &["s12", "s23"] },
];

pub(crate) fn arrows(tree: &Tree) -> Vec<Violation> {
    let mut violations =
        each_dependency(tree, |package, dependency| refused(tree, package, &dependency.package));
    for session in tree.sessions() {
        for source in tree.below(&session.dir) {
            for name in &source.code.names {
                let first = name.segments.first().map_or("", String::as_str);
                let reason = refused(tree, session, first);
                violations.extend(reason.map(|reason| violation(&source.path, name.line, reason)));
            }
        }
    }
    violations.extend(idle_arrows(tree));
    violations.dedup();
    violations
}

/// Why one session may not stand on another; nothing for what is no session.
fn refused(tree: &Tree, package: &Package, other: &str) -> Option<String> {
    let from = package.number()?;
    let to = number(other).filter(|_| tree.sessions().any(|session| session.name == other))?;
    if package.name == other {
        return None;
    }
    if to >= from {
        return Some(format!("{other} is no earlier session"));
    }
    let listed = ARROWS.iter().any(|arrow| arrow.from == from && arrow.to == to);
    if listed || !tree.course.has(package) {
        return None;
    }
    let where_to_add = "ARROWS in xtask's check/sessions.rs lists them, each with its reason";
    Some(format!("no arrow leads from s{from:02} to s{to:02}: {where_to_add}"))
}

/// Arrows of the table that no manifest has: a table that is longer than the truth permits too much.
fn idle_arrows(tree: &Tree) -> Vec<Violation> {
    let idle = ARROWS.iter().filter_map(|arrow| {
        let session = tree.sessions().find(|session| session.number() == Some(arrow.from))?;
        let path = format!("{}/Cargo.toml", session.dir);
        let all = manifest::dependencies(tree.text(&path)?);
        let used = |dependency: &Dependency| number(&dependency.package) == Some(arrow.to);
        if all.iter().any(used) {
            return None;
        }
        let reason = format!(
            "does not stand on s{:02}, though ARROWS says that it takes {}",
            arrow.to, arrow.reason
        );
        Some(violation(&path, 1, reason))
    });
    idle.collect()
}

pub(crate) fn heavy(tree: &Tree) -> Vec<Violation> {
    each_dependency(tree, |package, dependency| {
        let heavy = HEAVY.iter().find(|heavy| heavy.package == dependency.package)?;
        let short = package.name.split('_').next().unwrap_or_default();
        let home = heavy.homes.contains(&short);
        let own = package.is_session() && !tree.course.has(package);
        if home || own {
            return None;
        }
        let homes = heavy.homes.join(" and ");
        Some(format!("{} takes long to build: only {homes} may have it", heavy.package))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tree::{shown, tree};

    const COURSE: &str = "### Phase 1: a\n| [s23](sessions/s23_trees/README.md) | a | *A.* |\n";

    /// A course of 23 sessions in which one member has this manifest.
    fn with(dir: &str, dependencies: &str) -> Tree {
        let manifest = format!("{dir}/Cargo.toml");
        tree(&[
            ("README.md", COURSE),
            ("sessions/s03_todo_write/Cargo.toml", ""),
            ("sessions/s09_agent_teams/Cargo.toml", ""),
            (&manifest, dependencies),
        ])
    }

    fn depends(dir: &str, on: &str) -> Vec<String> {
        shown(&arrows(&with(dir, &format!("[dependencies]\n{on}.workspace = true\n"))))
    }

    #[test]
    fn arrows_point_backwards_and_only_where_the_table_has_them() {
        assert_eq!(depends("sessions/s10_protocols", "s09_agent_teams"), [""; 0]);
        assert_eq!(
            depends("sessions/s02_tool_use", "s09_agent_teams"),
            ["sessions/s02_tool_use/Cargo.toml:2: s09_agent_teams is no earlier session"]
        );
        assert_eq!(
            depends("sessions/s05_skills", "s03_todo_write"),
            [
                "sessions/s05_skills/Cargo.toml:2: no arrow leads from s05 to s03: ARROWS in xtask's check/sessions.rs lists them, each with its reason"
            ]
        );
    }

    #[test]
    fn a_session_behind_the_last_of_the_course_is_a_learners_and_stands_on_any_earlier() {
        assert_eq!(depends("sessions/s24_mine", "s03_todo_write"), [""; 0]);
        assert_eq!(depends("sessions/s02_mine", "s03_todo_write").len(), 1);
    }

    #[test]
    fn an_arrow_that_no_manifest_has_is_told() {
        assert_eq!(
            shown(&arrows(&with("sessions/s10_protocols", ""))),
            [
                "sessions/s10_protocols/Cargo.toml:1: does not stand on s09, though ARROWS says that it takes the team whose talk its protocols order"
            ]
        );
    }

    #[test]
    fn sources_are_held_to_the_same_arrows() {
        let found = |text: &str| {
            shown(&arrows(&tree(&[
                ("README.md", COURSE),
                ("sessions/s03_todo_write/Cargo.toml", ""),
                ("sessions/s05_skills/Cargo.toml", ""),
                ("sessions/s05_skills/src/more.rs", text),
            ])))
        };
        assert_eq!(found("fn f() {\n    s03_todo_write::plan();\n}\n").len(), 1);
        assert_eq!(found("// s03_todo_write::plan\nuse s05_skills::x;\n"), [""; 0]);
    }

    #[test]
    fn heavy_packages_stay_at_home_under_any_name() {
        let found = |dir: &str, line: &str| {
            shown(&heavy(&with(dir, &format!("[dev-dependencies]\n{line}\n"))))
        };
        assert_eq!(found("sessions/s21_mcp_runtime", "rmcp.workspace = true"), [""; 0]);
        assert_eq!(found("crates/harness", "redis.workspace = true"), [""; 0]);
        assert_eq!(found("sessions/s22_mail", "redis.workspace = true"), [""; 0]);
        assert_eq!(found("sessions/s24_mine", "redis.workspace = true"), [""; 0]);
        assert_eq!(
            found("crates/harness-core", "git = { package = \"git2\", version = \"1\" }"),
            [
                "crates/harness-core/Cargo.toml:2: git2 takes long to build: only s12 and s23 may have it"
            ]
        );
        assert_eq!(found("sessions/s09_teams", "redis = \"1\"").len(), 1);
        assert_eq!(found("crates/harness-app", "rmcp = \"1\"").len(), 1);
    }
}
