//! Every session, written out: a workspace that resolves by itself, with what the session stands on and no more.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that starts cargo in folders of its own"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Mutex;

use harness_testkit::Folder;
use serde_json::Value;

#[test]
fn every_session_stands_alone_with_the_sessions_it_extends() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let folder = std::fs::read_dir(root.join("sessions")).unwrap().map(|entry| entry.unwrap());
    let folder = folder.filter(|entry| entry.path().join("Cargo.toml").is_file());
    let names: BTreeSet<String> =
        folder.map(|entry| entry.file_name().into_string().unwrap()).collect();
    let left = Mutex::new(names.iter());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some(name) = left.lock().unwrap().next() else { return };
                    if let Err(why) = alone(root, name, &names) {
                        failed.lock().unwrap().push(format!("{name}: {why}"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

fn alone(root: &Path, name: &str, all: &BTreeSet<String>) -> Result<(), String> {
    let folder = Folder::new();
    let there = folder.path().join("alone");
    run(Command::new(env!("CARGO_BIN_EXE_xtask")).args(["eject", name]).arg(&there))?;
    // Locked and offline: the lock file that came along is whole.
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--locked", "--offline", "--format-version", "1"]);
    let said = run(cargo.current_dir(&there))?;
    let about: Value = serde_json::from_slice(&said.stdout).map_err(|why| why.to_string())?;
    let members = about["workspace_members"].as_array().unwrap().iter();
    let members: Vec<&str> = members.filter_map(Value::as_str).collect();
    let is_member = |package: &str| members.iter().any(|id| id.contains(&format!("/{package}#")));
    for package in all.iter().map(String::as_str) {
        if is_member(package) != stands_on(root, name, package) {
            return Err(format!("{package} is among {members:?}, or belongs there"));
        }
    }
    let own = is_member("harness-core") && is_member("harness-cli") && is_member("harness-testkit");
    let foreign = is_member("xtask") || is_member("harness");
    if own && !foreign { Ok(()) } else { Err(format!("not what it stands on: {members:?}")) }
}

/// Whether a session is this one, or is named in the manifest of one that this one stands on.
fn stands_on(root: &Path, name: &str, other: &str) -> bool {
    let manifest =
        std::fs::read_to_string(root.join("sessions").join(name).join("Cargo.toml")).unwrap();
    let named = manifest.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
    let named: Vec<&str> =
        named.filter(|word| word.starts_with('s') && word.contains('_')).collect();
    let sessions = |word: &&&str| root.join("sessions").join(word).is_dir();
    name == other || named.iter().filter(sessions).any(|word| stands_on(root, word, other))
}

fn run(command: &mut Command) -> Result<Output, String> {
    let output = command.output().map_err(|why| why.to_string())?;
    match output.status.success() {
        true => Ok(output),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}
