//! What the workspace builds when nobody says what, and what xtask is built of.

use super::tree::{Tree, Violation, violation};
use crate::manifest;

const XTASK: &str = "crates/xtask";
/// What xtask may be built of, beside std. CI builds it before anything else: these two take three seconds, and
/// serde's derive brings both along anyway.
const OF_XTASK: [&str; 2] = ["proc-macro2", "syn"];

pub(crate) fn defaults(tree: &Tree) -> Vec<Violation> {
    let root = tree.text("Cargo.toml").unwrap_or_default();
    let tables = manifest::tables(root);
    let mut entries =
        tables.iter().filter(|table| table.name == "workspace").flat_map(|table| &table.entries);
    let Some(default) = entries.find(|entry| entry.key == "default-members") else {
        return vec![violation("Cargo.toml", 1, "the workspace has no default-members")];
    };
    let listed = manifest::strings(&default.value);
    let is_default = |dir: &str| {
        let (group, _) = dir.split_once('/').unwrap_or((dir, ""));
        listed.iter().any(|member| member == dir || *member == format!("{group}/*"))
    };
    let mut violations = Vec::new();
    for package in tree.packages.iter().filter(|package| package.dir != XTASK) {
        if !is_default(&package.dir) {
            let wanted = if package.is_session() { "sessions/*" } else { &package.dir };
            let reason = format!("default-members do not hold {}: add {wanted:?}", package.dir);
            violations.push(violation("Cargo.toml", default.line, reason));
        }
    }
    if is_default(XTASK) {
        violations.push(violation("Cargo.toml", default.line, "xtask is no default member"));
    }
    violations
}

pub(crate) fn of_xtask(tree: &Tree) -> Vec<Violation> {
    let manifest = format!("{XTASK}/Cargo.toml");
    let all = manifest::dependencies(tree.text(&manifest).unwrap_or_default());
    let foreign = all
        .iter()
        .filter(|dependency| !dependency.dev && !OF_XTASK.contains(&dependency.package.as_str()));
    let told = foreign.map(|dependency| {
        let reason = format!(
            "xtask is built of std, {} alone, not of {}",
            OF_XTASK.join(", "),
            dependency.name
        );
        violation(&manifest, dependency.line, reason)
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tree::{shown, tree};

    #[test]
    fn every_member_but_xtask_is_a_default_member() {
        let found = |root: &str| {
            let files = [
                ("Cargo.toml", root),
                ("sessions/s01_a/Cargo.toml", ""),
                ("crates/a/Cargo.toml", ""),
                ("crates/xtask/Cargo.toml", ""),
            ];
            shown(&defaults(&tree(&files)))
        };
        let whole = "[workspace]\ndefault-members = [\n  \"crates/a\",\n  \"sessions/*\",\n]\n";
        assert_eq!(found(whole), [""; 0]);
        assert_eq!(
            found("[workspace]\ndefault-members = [\"sessions/s01_a\"]\n"),
            ["Cargo.toml:2: default-members do not hold crates/a: add \"crates/a\""]
        );
        assert_eq!(
            found("[workspace]\ndefault-members = [\"crates/*\"]\n"),
            [
                "Cargo.toml:2: default-members do not hold sessions/s01_a: add \"sessions/*\"",
                "Cargo.toml:2: xtask is no default member"
            ]
        );
        assert_eq!(found("[workspace]\n").len(), 1);
    }

    #[test]
    fn xtask_is_built_of_std_and_a_parser() {
        let found = |text: &str| shown(&of_xtask(&tree(&[("crates/xtask/Cargo.toml", text)])));
        let fine = "[dependencies]\nsyn = \"3\"\nproc-macro2 = \"1\"\n[dev-dependencies]\nserde_json = \"1\"\n";
        assert_eq!(found(fine), [""; 0]);
        assert_eq!(
            found("[dependencies]\nserde_json.workspace = true\n"),
            [
                "crates/xtask/Cargo.toml:2: xtask is built of std, proc-macro2, syn alone, not of serde_json"
            ]
        );
    }
}
