//! What the cases share: environments from the registries, and programs that print verdicts.

use std::path::Path;
use std::process::Command;

use crate::repo::Repo;
use crate::run::{command, quiet, show, watched, works};

/// `ok<TAB>what` or `FAIL<TAB>what<TAB>why`.
pub(super) fn verdict(line: &str) -> bool {
    line.starts_with("ok\t") || line.starts_with("FAIL\t")
}

/// The verdicts of a program that checks; it may not end badly with nothing but good ones.
pub(super) fn checked(command: &mut Command) -> Result<Vec<String>, String> {
    let (ended_well, mut lines) = watched(command, verdict)?;
    if !ended_well && lines.iter().all(|line| line.starts_with("ok")) {
        lines.push("FAIL\tthe program\tended early, see above".to_owned());
    }
    Ok(lines)
}

/// A virtual environment with the newest of this package; an older one will do without the network.
pub(super) fn environment(repo: &Repo, folder: &Path, package: &str) -> Result<String, String> {
    let python = folder.join("bin/python").to_string_lossy().into_owned();
    if !works(command(repo, &python).arg("--version")) {
        let made = quiet(command(repo, "python3").args(["-m", "venv", "--clear"]).arg(folder));
        made.map_err(|e| {
            format!("{e} (python3 with venv is needed: apt-get install python3-venv)")
        })?;
    }
    let pip =
        ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade", package];
    let installed = show(command(repo, &python).args(pip));
    let name = package.split('[').next().unwrap_or(package);
    if let Err(reason) = installed {
        let module = name.replace('-', "_");
        if !works(command(repo, &python).args(["-c", &format!("import {module}")])) {
            return Err(format!("cannot install {package}: {reason}"));
        }
        say!("could not look for a newer {package}: using the one that is here");
    }
    let pip = |words: &[&str]| {
        let mut pip = command(repo, &python);
        pip.args(["-m", "pip", "--disable-pip-version-check"]).args(words).arg(name);
        quiet(&mut pip).unwrap_or_default()
    };
    say!("{}", version(name, &pip(&["show"]), &pip(&["index", "versions"])));
    Ok(python)
}

/// What is installed, and whether it is the newest: pip takes an older one without a word where a requirement
/// of the newest cannot be met.
fn version(name: &str, shown: &str, index: &str) -> String {
    let installed = shown.lines().find_map(|line| line.strip_prefix("Version: "));
    let installed = installed.unwrap_or("of some version");
    let newest = index.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
    match newest {
        Some((newest, _)) if newest != installed => {
            format!("{name} {installed}; the newest, {newest}, cannot be installed here")
        }
        _ => format!("{name} {installed}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_that_is_not_the_newest_is_named() {
        let shown = "Name: a\nVersion: 1.2\n";
        assert_eq!(version("a", shown, ""), "a 1.2");
        assert_eq!(version("a", shown, "a (1.2)\nAvailable versions: 1.2, 1.1"), "a 1.2");
        assert_eq!(
            version("a", shown, "a (1.3)\nAvailable versions: 1.3, 1.2"),
            "a 1.2; the newest, 1.3, cannot be installed here"
        );
    }
}
