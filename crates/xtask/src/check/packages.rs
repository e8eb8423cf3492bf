//! The arrows between the members.

use super::{Tree, Violation, violation};
use crate::manifest::{self, Dependency};
use crate::names::number;
use crate::repo::Package;

/// The only sessions that stand on an earlier one, and which.
const ARROWS: [(u32, u32); 4] = [(10, 9), (11, 7), (22, 9), (23, 12)];
/// Packages that no learner of another session should have to build, and who has them.
const HEAVY: [(&str, &[&str]); 4] = [
    ("rmcp", &["s21"]),
    ("redis", &["harness-redis"]),
    ("harness-redis", &["s22", "harness"]),
    ("git2", &["s12", "s23"]),
];
/// The last session of the course; higher numbers are a learner's own.
const LAST: u32 = 23;

fn each(tree: &Tree, judge: impl Fn(&Package, &Dependency) -> Option<String>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for package in &tree.packages {
        let path = format!("{}/Cargo.toml", package.dir);
        for dependency in manifest::dependencies(tree.text(&path).unwrap_or_default()) {
            if let Some(reason) = judge(package, &dependency) {
                violations.push(violation(&path, dependency.line, reason));
            }
        }
    }
    violations
}

pub(crate) fn arrows(tree: &Tree) -> Vec<Violation> {
    each(tree, |package, dependency| {
        let to = dependency.package.as_str();
        if let Some(earlier) = number(to) {
            return arrow_to_session(package, to, earlier);
        }
        let allowed: &[&str] = match package.name.as_str() {
            "harness-core" => &[],
            "harness-cli" | "harness-testkit" | "harness-redis" => &["harness-core"],
            _ => &["harness-core", "harness-cli", "harness-redis"],
        };
        let ours = to == "harness" || to.starts_with("harness-");
        if !ours || dependency.dev || allowed.contains(&to) {
            return None;
        }
        let only = if to == "harness-testkit" { ", but as a dev-dependency" } else { "" };
        Some(format!("{} does not stand on {to}{only}", package.name))
    })
}

fn arrow_to_session(package: &Package, to: &str, earlier: u32) -> Option<String> {
    match package.number() {
        None if package.name == "harness" => None,
        None => Some(format!("a crate that all sessions share does not stand on {to}")),
        Some(own) if own <= earlier => Some(format!("{to} is no earlier session")),
        Some(own) if own <= LAST && !ARROWS.contains(&(own, earlier)) => Some(format!(
            "{} does not extend {to}: only s09←s10, s07←s11, s09←s22, s12←s23",
            package.name
        )),
        Some(_) => None,
    }
}

pub(crate) fn heavy(tree: &Tree) -> Vec<Violation> {
    each(tree, |package, dependency| {
        let (name, homes) = HEAVY.iter().find(|(name, _)| *name == dependency.package)?;
        let folder = package.dir.rsplit('/').next().unwrap_or_default();
        let of = |home: &&str| folder.split('_').next() == Some(home);
        let home = package.number().is_some_and(|own| own > LAST) || homes.iter().any(of);
        (!home).then(|| format!("{name} lives in {} only", homes.join(" and ")))
    })
}

pub(crate) fn members(tree: &Tree) -> Vec<Violation> {
    let root = tree.text("Cargo.toml").unwrap_or_default();
    let tables = manifest::tables(root);
    let entries =
        tables.iter().filter(|table| table.name == "workspace").flat_map(|table| &table.entries);
    let Some(default) = entries.into_iter().find(|entry| entry.key == "default-members") else {
        return vec![violation("Cargo.toml", 1, "the workspace has no default-members")];
    };
    let listed = manifest::strings(&default.value);
    let is_default = |dir: &str| {
        let (group, _) = dir.split_once('/').unwrap_or((dir, ""));
        listed.iter().any(|member| member == dir || *member == format!("{group}/*"))
    };
    let mut violations = Vec::new();
    for session in tree.sessions().filter(|session| !is_default(&session.dir)) {
        let reason = format!("default-members do not hold {}: write \"sessions/*\"", session.dir);
        violations.push(violation("Cargo.toml", default.line, reason));
    }
    if is_default("crates/xtask") {
        violations.push(violation("Cargo.toml", default.line, "xtask is no default member"));
    }
    let own = "crates/xtask/Cargo.toml";
    let all = manifest::dependencies(tree.text(own).unwrap_or_default());
    for dependency in all.iter().filter(|dependency| !dependency.dev) {
        violations.push(violation(
            own,
            dependency.line,
            format!("xtask is std only, not {}", dependency.name),
        ));
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{shown, tree};

    fn with(dir: &str, dependencies: &str) -> Tree {
        tree(&[(&format!("{dir}/Cargo.toml"), &format!("[package]\nname = \"x\"\n{dependencies}"))])
    }

    #[test]
    fn arrows_point_backwards_and_only_where_they_may() {
        let found = |dir: &str, to: &str| {
            arrows(&with(dir, &format!("[dependencies]\n{to}.workspace = true\n")))
        };
        assert!(found("sessions/s10_protocols", "s09_agent_teams").is_empty());
        assert!(found("sessions/s24_mine", "s09_agent_teams").is_empty());
        assert!(found("crates/harness", "s09_agent_teams").is_empty());
        assert_eq!(
            shown(&found("sessions/s09_agent_teams", "s10_protocols")),
            ["sessions/s09_agent_teams/Cargo.toml:4: s10_protocols is no earlier session"]
        );
        assert_eq!(found("sessions/s05_skills", "s03_todo_write").len(), 1);
        assert_eq!(found("crates/harness-cli", "s03_todo_write").len(), 1);
        assert_eq!(found("crates/harness-core", "harness-cli").len(), 1);
        assert!(found("sessions/s05_skills", "harness-cli").is_empty());
    }

    #[test]
    fn the_testkit_is_for_tests() {
        let found = |kind: &str| {
            arrows(&with(
                "sessions/s05_skills",
                &format!("[{kind}]\nharness-testkit.workspace = true\n"),
            ))
        };
        assert_eq!(found("dependencies").len(), 1);
        assert!(found("dev-dependencies").is_empty());
    }

    #[test]
    fn heavy_packages_stay_at_home_under_any_name() {
        let found =
            |dir: &str, line: &str| heavy(&with(dir, &format!("[dev-dependencies]\n{line}\n")));
        assert!(found("sessions/s21_mcp_runtime", "rmcp.workspace = true").is_empty());
        assert_eq!(
            found("crates/harness-core", "git = { package = \"git2\", version = \"1\" }").len(),
            1
        );
        assert!(found("crates/harness", "harness-redis.workspace = true").is_empty());
        assert_eq!(found("sessions/s09_teams", "harness-redis.workspace = true").len(), 1);
        assert_eq!(found("sessions/s22_mail", "redis.workspace = true").len(), 1);
        assert_eq!(
            shown(&found("sessions/s01_loop", "git2 = \"1\"")),
            ["sessions/s01_loop/Cargo.toml:4: git2 lives in s12 and s23 only"]
        );
    }

    #[test]
    fn every_session_is_a_default_member_and_xtask_is_none() {
        let found = |root: &str| {
            let files = [
                ("Cargo.toml", root),
                ("sessions/s01_a/Cargo.toml", ""),
                ("crates/xtask/Cargo.toml", ""),
            ];
            members(&tree(&files)).len()
        };
        assert_eq!(
            found("[workspace]\ndefault-members = [\n  \"crates/a\",\n  \"sessions/*\",\n]\n"),
            0
        );
        assert_eq!(found("[workspace]\ndefault-members = [\"sessions/s01_a\"]\n"), 0);
        assert_eq!(found("[workspace]\ndefault-members = [\"crates/*\"]\n"), 2);
        assert_eq!(found("[workspace]\n"), 1);
    }
}
