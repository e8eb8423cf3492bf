//! `cargo xtask eject`: one session as a workspace that stands alone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::cargo_test::{self, Where};
use crate::manifest::{self, Table};
use crate::repo::{Package, Repo, copy, write};
use crate::run::{cargo, works};
use crate::{Failure, names};

pub(crate) const HELP: &str = "\
usage: cargo xtask eject s03_todo_write DIR
       cargo xtask eject --test [SESSION]...

Writes a folder that builds and tests alone: the session, the crates and sessions it stands on,
config/, skills/, the lock file, and a manifest with just what these need. DIR is new or empty.
With --test, these sessions, or all, are written out and tested where they stand alone.";

/// Files and folders that every ejected workspace gets, where they exist.
const ALONG: [&str; 11] = [
    "config/",
    "skills/",
    "Cargo.lock",
    "clippy.toml",
    "rustfmt.toml",
    "rust-toolchain.toml",
    "LICENSE",
    ".env.example",
    ".gitignore",
    "litellm_config.yaml",
    ".gitattributes",
];

pub(crate) fn run(repo: &Repo, args: &[String]) -> Result<(), Failure> {
    if let Some((_, names)) = args.split_first().filter(|(first, _)| *first == "--test") {
        return tested(repo, names);
    }
    let [name, dir] = args else {
        let usage: Vec<&str> = HELP.lines().take(2).collect();
        return Err(Failure::Usage(usage.join("\n")));
    };
    if dir.trim().is_empty() {
        let reason = format!(
            "where to? name a folder that is new or empty: cargo xtask eject {name} ../my-agent"
        );
        return Err(Failure::Usage(reason));
    }
    let dir = absolute(dir).map_err(|e| format!("{dir}: {e}"))?;
    let count = eject(repo, name, &dir)?;
    say!("{}: {count} files\nnext: cd {0} && cargo test && cargo run --bin {name}", dir.display());
    Ok(())
}

/// Each session alone, all failures at the end.
fn tested(repo: &Repo, names: &[String]) -> Result<(), Failure> {
    let all = repo.sessions()?.into_iter().map(|session| session.name);
    let names = if names.is_empty() { all.collect() } else { names.to_vec() };
    let mut report = Vec::new();
    let mut failed = 0;
    for name in &names {
        say!("\n== {name}");
        let ended = tested_alone(repo, name, Where::Here);
        failed += usize::from(ended.is_err());
        report.push(match ended {
            Ok(said) => format!("ok    {said}"),
            Err(why) => format!("FAIL  {name}: {why}"),
        });
    }
    say!("\n{}", report.join("\n"));
    if failed == 0 { Ok(()) } else { Err(Failure::Failed(format!("eject: {failed} failed"))) }
}

/// Writes a session out and runs its tests there; the packages that are built already are not built again.
pub(crate) fn tested_alone(repo: &Repo, name: &str, place: Where) -> Result<String, String> {
    let target = crate::run::target_folder(repo);
    let dir = target.join("eject").join(name);
    let clear = || {
        let cleared = std::fs::remove_dir_all(&dir);
        cleared.map_err(|e| format!("cannot clear {}: {e}", dir.display()))
    };
    if dir.exists() {
        clear()?;
    }
    eject(repo, name, &dir)?;
    let mut command = cargo(repo);
    command.arg("test").current_dir(&dir).env("CARGO_TARGET_DIR", &target);
    let said = cargo_test::run(&mut command, place)?;
    clear()?;
    Ok(format!("{name}: {said}"))
}

/// Without `.` and `..`, which would hide where the folder lies.
fn absolute(dir: &str) -> std::io::Result<PathBuf> {
    let mut clean = PathBuf::new();
    for part in std::path::absolute(dir)?.components() {
        match part {
            std::path::Component::ParentDir => drop(clean.pop()),
            part => clean.push(part),
        }
    }
    Ok(clean)
}

/// Writes the workspace and says how many files it has.
pub(crate) fn eject(repo: &Repo, name: &str, dir: &Path) -> Result<usize, String> {
    let session = repo.session(name)?;
    refuse(repo, dir)?;
    let packages = needed(repo, &session)?;
    let inside = |path: &String| {
        let member = packages.iter().any(|package| path.starts_with(&format!("{}/", package.dir)));
        let along = ALONG.iter().any(|a| path == a || a.ends_with('/') && path.starts_with(a));
        member || along
    };
    let mut files: BTreeSet<String> = repo.files()?.into_iter().filter(inside).collect();
    let included: Vec<String> = files.iter().flat_map(|path| includes(repo, path)).collect();
    files.extend(included);
    for path in &files {
        copy(&repo.root.join(path), &dir.join(path))?;
    }
    write(&dir.join("Cargo.toml"), &workspace(repo, &packages, &session)?)?;
    let behind = behind_the_lesson(&session, &files);
    write(&dir.join("README.md"), &readme(&session, &packages, behind))?;
    // Takes out of the lock file what these packages do not need; without it cargo does so at the
    // first build.
    works(cargo(repo).args(["update", "--workspace", "--offline", "--quiet"]).current_dir(dir));
    Ok(files.len() + 2)
}

fn refuse(repo: &Repo, dir: &Path) -> Result<(), String> {
    let shown = dir.display();
    if dir.starts_with(repo.root.join("crates")) || dir.starts_with(repo.root.join("sessions")) {
        return Err(format!(
            "{shown} lies among this workspace's members: take a folder elsewhere"
        ));
    }
    let mut entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(format!("{shown}: {error}")),
    };
    if entries.next().is_some() {
        return Err(format!("{shown} is not empty: take a new folder"));
    }
    Ok(())
}

/// The session and all members it stands on, for building and for testing, by folder.
fn needed(repo: &Repo, session: &Package) -> Result<Vec<Package>, String> {
    let all = repo.packages()?;
    let mut found = vec![session.clone()];
    let mut next = 0;
    while let Some(package) = found.get(next) {
        let text = repo.read(&format!("{}/Cargo.toml", package.dir))?;
        for dependency in manifest::dependencies(&text) {
            let ours = all.iter().find(|member| member.name == dependency.package);
            if let Some(member) = ours.filter(|member| !found.contains(member)) {
                found.push(member.clone());
            }
        }
        next += 1;
    }
    found.sort_by(|a, b| a.dir.cmp(&b.dir));
    Ok(found)
}

/// Files of the repository that a source takes in at compile time: `include_str!("../../config/x")`.
fn includes(repo: &Repo, path: &str) -> Vec<String> {
    let Some((folder, _)) = path.rsplit_once('/').filter(|_| path.ends_with(".rs")) else {
        return Vec::new();
    };
    let text = repo.read(path).unwrap_or_default();
    let named = text.split("include_").skip(1).filter_map(|rest| {
        let rest = rest.strip_prefix("str!(").or_else(|| rest.strip_prefix("bytes!("))?;
        rest.trim_start().strip_prefix('"')?.split_once('"').map(|(file, _)| file)
    });
    named
        .filter_map(|file| resolve(folder, file))
        .filter(|file| repo.root.join(file).is_file())
        .collect()
}

/// `resolve("crates/a/src", "../../b")` is `crates/b`; nothing when it leads out of the repository.
fn resolve(folder: &str, file: &str) -> Option<String> {
    let mut path: Vec<&str> = folder.split('/').collect();
    for part in file.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(path.pop()?),
            name => path.push(name),
        }
    }
    Some(path.join("/"))
}

fn workspace(repo: &Repo, packages: &[Package], session: &Package) -> Result<String, String> {
    let mut used = BTreeSet::new();
    for package in packages {
        let text = repo.read(&format!("{}/Cargo.toml", package.dir))?;
        used.extend(
            manifest::dependencies(&text).into_iter().filter(|d| d.inherited).map(|d| d.name),
        );
    }
    let members: Vec<PathBuf> =
        packages.iter().map(|package| PathBuf::from(&package.dir)).collect();
    Ok(root_manifest(&repo.read("Cargo.toml")?, &members, &session.dir, &used))
}

/// The repository's manifest, with only these members and the dependencies they use.
fn root_manifest(
    root: &str,
    members: &[PathBuf],
    session: &str,
    used: &BTreeSet<String>,
) -> String {
    let members: String = members.iter().map(|dir| format!("    {dir:?},\n")).collect();
    let mut text = format!(
        "[workspace]\nresolver = \"3\"\nmembers = [\n{members}]\n\
         # `cargo test` is the session's; `cargo test --workspace` is everybody's.\n\
         default-members = [{session:?}]\n"
    );
    for Table { name, entries, .. } in manifest::tables(root) {
        if name == "workspace" {
            continue;
        }
        let dependencies = name == "workspace.dependencies";
        text.push_str(&format!("\n[{name}]\n"));
        for entry in entries {
            let key = entry.key.split('.').next().unwrap_or_default();
            if !dependencies || used.contains(key) {
                text.push_str(&format!("{} = {}\n", entry.key, entry.value));
            }
        }
    }
    text
}

/// Whether a session has more in its `src/` than the lesson and the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    Nothing,
    Modules,
}

fn behind_the_lesson(session: &Package, files: &BTreeSet<String>) -> Behind {
    let source = format!("{}/src/", session.dir);
    let is_behind = |path: &String| {
        path.strip_prefix(&source).is_some_and(|file| file != "lib.rs" && file != "main.rs")
    };
    if files.iter().any(is_behind) { Behind::Modules } else { Behind::Nothing }
}

fn readme(session: &Package, packages: &[Package], behind: Behind) -> String {
    let Package { name, dir } = session;
    let prompt = &name[..3];
    let number = names::number(name).unwrap_or_default();
    let others: Vec<String> = packages
        .iter()
        .filter(|package| *package != session)
        .map(|package| format!("`{}`", package.dir))
        .collect();
    let behind = match behind {
        Behind::Nothing => "",
        Behind::Modules => {
            "\nThe other files of `src/` stand behind the lesson: they make it hold where things go wrong, and \
             you may skip them.\n"
        }
    };
    format!(
        "# {name}\n\n\
         Session {number} of the course, standing alone. The lesson is [its README]({dir}/README.md) and\n\
         [`src/lib.rs`]({dir}/src/lib.rs), which reads from top to bottom.\n\
         {behind}\n\
         ```sh\n\
         # without a key it plays its demo; q leaves\ncargo run --bin {name}\n\
         # the session's tests\ncargo test\n\
         # and those of the crates and sessions it stands on\ncargo test --workspace\n```\n\n\
         The prompt is `{prompt} >> `. For a real model, copy `.env.example` to `.env` and put a key in it.\n\n\
         Beside the session: {others}. Everything here is yours to change.\n",
        others = others.join(", "),
    )
}

#[cfg(test)]
mod tests {
    use harness_testkit::Folder;

    use super::*;

    /// A workspace of these files, and the folder that holds it.
    fn repo(files: &[(&str, &str)]) -> (Folder, Repo) {
        let folder = Folder::new();
        let repo = Repo { root: folder.path().join("repo") };
        for (path, text) in files {
            write(&repo.root.join(path), text).unwrap();
        }
        (folder, repo)
    }

    const WORKSPACE: [(&str, &str); 12] = [
        (
            "Cargo.toml",
            "[workspace]\nmembers = [\"crates/*\", \"sessions/*\"]\n\n\
             [workspace.dependencies]\n\
             harness-core = { path = \"crates/harness-core\" }\n\
             harness-shell = { path = \"crates/harness-shell\" }\nredis = \"1\"\n\n\
             [profile.dist]\ninherits = \"release\"\n",
        ),
        ("crates/harness-core/Cargo.toml", "[dependencies]\nharness-shell.workspace = true\n"),
        ("crates/harness-shell/Cargo.toml", ""),
        ("crates/harness-tui/Cargo.toml", ""),
        ("sessions/s07_board/Cargo.toml", "[dependencies]\nharness-core.workspace = true\n"),
        ("sessions/s07_board/src/lib.rs", ""),
        ("sessions/s07_board/src/order.rs", ""),
        ("sessions/s09_team/Cargo.toml", ""),
        ("sessions/s10_talk/Cargo.toml", "[dependencies]\ns09_team = { path = \"../s09_team\" }\n"),
        (
            "sessions/s11_workers/Cargo.toml",
            "[dependencies]\ns07_board = { path = \"../s07_board\" }\n\
             [dev-dependencies]\ns10_talk = { path = \"../s10_talk\" }\n",
        ),
        ("sessions/s11_workers/src/lib.rs", ""),
        ("sessions/s12_trees/Cargo.toml", ""),
    ];

    #[test]
    fn a_session_takes_along_all_that_it_stands_on_at_any_distance() {
        let (folder, repo) = repo(&WORKSPACE);
        let there = folder.path().join("alone");
        eject(&repo, "s11_workers", &there).unwrap();
        for dir in [
            "crates/harness-core",
            "crates/harness-shell",
            "sessions/s07_board",
            "sessions/s09_team",
            "sessions/s10_talk",
        ] {
            assert!(there.join(dir).join("Cargo.toml").is_file(), "{dir} comes along");
        }
        for dir in ["crates/harness-tui", "sessions/s12_trees"] {
            assert!(!there.join(dir).exists(), "{dir} stays");
        }
        assert!(there.join("sessions/s07_board/src/order.rs").is_file());
        let manifest = std::fs::read_to_string(there.join("Cargo.toml")).unwrap();
        assert!(manifest.contains("default-members = [\"sessions/s11_workers\"]"), "{manifest}");
        assert!(manifest.contains("[profile.dist]") && !manifest.contains("redis"), "{manifest}");
    }

    #[test]
    fn the_readme_says_what_may_be_skipped_where_there_is_something_to_skip() {
        let (folder, repo) = repo(&WORKSPACE);
        let readme = |name: &str| {
            let there = folder.path().join(name);
            eject(&repo, name, &there).unwrap();
            std::fs::read_to_string(there.join("README.md")).unwrap()
        };
        let skip = "The other files of `src/` stand behind the lesson";
        let lesson = "[`src/lib.rs`](sessions/s07_board/src/lib.rs)";
        let board = readme("s07_board");
        assert!(board.contains(skip) && board.contains(lesson), "{board}");
        assert!(!readme("s11_workers").contains(skip));
    }

    #[test]
    fn a_folder_without_a_name_is_asked_for_in_one_line() {
        let (_folder, repo) = repo(&WORKSPACE);
        let ended = run(&repo, &["s07_board".to_owned(), String::new()]);
        let Err(Failure::Usage(reason)) = ended else { panic!("a usage") };
        assert_eq!(
            reason,
            "where to? name a folder that is new or empty: cargo xtask eject s07_board ../my-agent"
        );
    }

    #[test]
    fn the_manifest_keeps_what_the_members_use() {
        let root = "[workspace]\nresolver = \"3\"\nmembers = [\"crates/*\"]\n\n[workspace.package]\nedition = \"2024\"\n\n\
                    [workspace.dependencies]\nharness-core = { path = \"crates/harness-core\" }\ngit2 = \"1\"\n\
                    tokio = { version = \"1\", features = [\n  \"rt\",\n] }\n\n[workspace.lints.rust]\nunsafe_code = \"forbid\"\n";
        let used = ["harness-core", "tokio"].map(str::to_owned).into();
        let members = ["crates/harness-core", "sessions/s03_a"].map(PathBuf::from);
        let text = root_manifest(root, &members, "sessions/s03_a", &used);
        let expected = "[workspace]\nresolver = \"3\"\nmembers = [\n    \"crates/harness-core\",\n    \"sessions/s03_a\",\n]\n\
                        # `cargo test` is the session's; `cargo test --workspace` is everybody's.\n\
                        default-members = [\"sessions/s03_a\"]\n\n[workspace.package]\nedition = \"2024\"\n\n\
                        [workspace.dependencies]\nharness-core = { path = \"crates/harness-core\" }\n\
                        tokio = { version = \"1\", features = [\n  \"rt\",\n] }\n\n[workspace.lints.rust]\nunsafe_code = \"forbid\"\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn paths_are_resolved_inside_the_repository() {
        assert_eq!(
            resolve("crates/a/src", "../../../config/x.yaml").as_deref(),
            Some("config/x.yaml")
        );
        assert_eq!(resolve("crates/a/src", "./b.txt").as_deref(), Some("crates/a/src/b.txt"));
        assert_eq!(resolve("a", "../../x"), None);
    }
}
