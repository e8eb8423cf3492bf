//! The programs that the tests need beside cargo: found, installed where that is allowed, or named.

use crate::cargo_test::Where;
use crate::repo::Repo;
use crate::run::{command, quiet, show, works};

/// A program, who needs it, and what it is called by each package manager.
struct Program {
    name: &'static str,
    why: &'static str,
    /// Only once this session exists.
    since: Option<u32>,
    apt: &'static str,
    brew: &'static str,
    dnf: &'static str,
    pacman: &'static str,
}

const PROGRAMS: &[Program] = &[
    Program {
        name: "git",
        why: "tests make real repositories",
        since: None,
        apt: "git",
        brew: "git",
        dnf: "git",
        pacman: "git",
    },
    Program {
        name: "bash",
        why: "the bash tool is the lesson's first",
        since: None,
        apt: "bash",
        brew: "bash",
        dnf: "bash",
        pacman: "bash",
    },
    Program {
        name: "cc",
        why: "rustc links with it, and the shell grammar is C",
        since: None,
        apt: "gcc libc6-dev",
        brew: "gcc",
        dnf: "gcc",
        pacman: "gcc",
    },
    // Namespaces are Linux's.
    #[cfg(target_os = "linux")]
    Program {
        name: "bwrap",
        why: "the level of confinement that writes the workspace is tested with it",
        since: None,
        apt: "bubblewrap",
        brew: "bubblewrap",
        dnf: "bubblewrap",
        pacman: "bubblewrap",
    },
    Program {
        name: "redis-server",
        why: "s22 is tested against a real one",
        since: Some(22),
        apt: "redis-server",
        brew: "redis",
        dnf: "redis",
        pacman: "redis",
    },
];

/// Says what is missing and installs it where this user may; an error names the command to type.
/// Without CI the tests go on and say what they skip.
pub(crate) fn prepare(repo: &Repo, place: Where) -> Result<(), String> {
    for component in ["fmt", "clippy"] {
        let installed = works(crate::run::cargo(repo).args([component, "--version"]));
        if !installed {
            return Err(format!(
                "cargo {component} is missing: rustup component add rustfmt clippy"
            ));
        }
    }
    let newest = repo.sessions()?.iter().filter_map(crate::repo::Package::number).max();
    let needed =
        PROGRAMS.iter().filter(|program| program.since.is_none_or(|since| newest >= Some(since)));
    let missing: Vec<&Program> = needed.filter(|program| !is_there(repo, program.name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for Program { name, why, .. } in &missing {
        say!("missing: {name} ({why})");
    }
    if let Some(mut apt) = apt_get(repo) {
        let packages: Vec<&str> =
            missing.iter().flat_map(|program| program.apt.split(' ')).collect();
        say!("installing: apt-get install {}", packages.join(" "));
        let install = |words: &[String]| show(command(repo, &words[0]).args(&words[1..]));
        let update = [apt.as_slice(), &["update".to_owned()]].concat();
        apt.extend(["install", "--yes", "--no-install-recommends"].map(str::to_owned));
        apt.extend(packages.iter().map(|&package| package.to_owned()));
        if install(&apt).is_err() {
            // A fresh image has no package lists yet.
            install(&update)
                .and_then(|()| install(&apt))
                .map_err(|e| format!("could not install: {e}"))?;
        }
        return Ok(());
    }
    let how = by_hand(&missing, |manager| is_there(repo, manager));
    if place == Where::Ci {
        return Err(how);
    }
    say!("{how}\ngoing on without: tests that need it are skipped, and say so");
    Ok(())
}

fn is_there(repo: &Repo, name: &str) -> bool {
    works(command(repo, "sh").args(["-c", "command -v \"$1\"", "sh", name]))
}

/// The words before `install`, where this user may install: as root, or by a sudo that does not ask.
fn apt_get(repo: &Repo) -> Option<Vec<String>> {
    if !is_there(repo, "apt-get") {
        return None;
    }
    let words = |text: &str| Some(text.split(' ').map(str::to_owned).collect());
    if quiet(command(repo, "id").arg("-u")).is_ok_and(|id| id.trim() == "0") {
        return words("env DEBIAN_FRONTEND=noninteractive apt-get");
    }
    let may = works(command(repo, "sudo").args(["-n", "true"]));
    may.then(|| words("sudo -n env DEBIAN_FRONTEND=noninteractive apt-get")).flatten()
}

/// The command to type, for the package manager that is there, or for each.
fn by_hand(missing: &[&Program], is_there: impl Fn(&str) -> bool) -> String {
    let list = |name: fn(&Program) -> &'static str| {
        missing.iter().map(|program| name(program)).collect::<Vec<_>>().join(" ")
    };
    let managers = [
        ("apt-get", format!("sudo apt-get install {}", list(|p| p.apt))),
        ("brew", format!("brew install {}", list(|p| p.brew))),
        ("dnf", format!("sudo dnf install {}", list(|p| p.dnf))),
        ("pacman", format!("sudo pacman -S {}", list(|p| p.pacman))),
    ];
    let here = managers.iter().find(|(manager, _)| is_there(manager));
    let commands: Vec<&str> = match here {
        Some((_, command)) => vec![command],
        None => managers.iter().map(|(_, command)| command.as_str()).collect(),
    };
    format!("install it with: {}", commands.join("  or: "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_that_of_the_manager_at_hand() {
        let missing: Vec<&Program> =
            PROGRAMS.iter().filter(|p| matches!(p.name, "cc" | "redis-server")).collect();
        assert_eq!(
            by_hand(&missing, |name| name == "dnf"),
            "install it with: sudo dnf install gcc redis"
        );
        let all = by_hand(&missing, |_| false);
        assert!(
            all.contains(
                "sudo apt-get install gcc libc6-dev redis-server  or: brew install gcc redis"
            ),
            "{all}"
        );
    }
}
