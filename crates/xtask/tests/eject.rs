//! Every session, written out: a workspace that resolves by itself, with the crates and sessions it stands on, at
//! any distance, and no more.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that starts cargo in folders of its own"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;

use harness_testkit::Folder;

#[test]
fn every_session_stands_alone_with_what_it_stands_on_and_no_more() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let members: BTreeMap<String, PathBuf> =
        ["crates", "sessions"].iter().flat_map(|group| members_in(&root.join(group))).collect();
    let sessions: Vec<&String> = members
        .iter()
        .filter(|(_, folder)| folder.starts_with(root.join("sessions")))
        .map(|(name, _)| name)
        .collect();
    assert!(sessions.len() > 1, "the sessions are found");
    let left = Mutex::new(sessions.into_iter());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some(name) = left.lock().unwrap().next() else { return };
                    if let Err(why) = alone(name, &members) {
                        failed.lock().unwrap().push(format!("{name}: {why}"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// The packages in a folder of packages: their names and where they lie.
fn members_in(group: &Path) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(group).unwrap().map(|entry| entry.unwrap());
    let packages = entries.filter(|entry| entry.path().join("Cargo.toml").is_file());
    packages.map(|entry| (entry.file_name().into_string().unwrap(), entry.path())).collect()
}

fn alone(name: &str, members: &BTreeMap<String, PathBuf>) -> Result<(), String> {
    let folder = Folder::new();
    let there = folder.path().join("alone");
    run(Command::new(env!("CARGO_BIN_EXE_xtask")).args(["eject", name]).arg(&there))?;
    // Locked and offline: the lock file that came along is whole. `cargo metadata` would ask for the packages of
    // every platform, which no build here has fetched.
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "tree",
        "--locked",
        "--offline",
        "--workspace",
        "--depth",
        "0",
        "--prefix",
        "none",
    ]);
    let said = run(cargo.current_dir(&there))?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    // `s03_todo_write v0.1.0 (/somewhere/sessions/s03_todo_write)`, with a blank line between two.
    let names = said.lines().filter_map(|line| line.split(' ').next());
    let ejected: BTreeSet<String> =
        names.filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let mut expected = BTreeSet::new();
    add_with_what_it_stands_on(name, members, &mut expected);
    if ejected == expected {
        return Ok(());
    }
    Err(format!("{ejected:?} came along, {expected:?} belong together"))
}

/// The member itself, and every member that its manifest has as a dependency of any kind, and so on.
fn add_with_what_it_stands_on(
    name: &str,
    members: &BTreeMap<String, PathBuf>,
    found: &mut BTreeSet<String>,
) {
    if !found.insert(name.to_owned()) {
        return;
    }
    let manifest = std::fs::read_to_string(members[name].join("Cargo.toml")).unwrap();
    let mut among_dependencies = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            among_dependencies = line.ends_with("dependencies]");
        }
        let first = line.split(['.', ' ', '=']).next().unwrap_or_default();
        if among_dependencies && members.contains_key(first) {
            add_with_what_it_stands_on(first, members, found);
        }
    }
}

fn run(command: &mut Command) -> Result<Output, String> {
    let output = command.output().map_err(|why| why.to_string())?;
    if output.status.success() {
        return Ok(output);
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}
