//! May git look here without starting a program? `git status`, `git diff` and `git log -p` start what a
//! repository's own configuration names (a file-system monitor, a diff driver, a filter), and one hook.
//! So a form of git that only looks is known to do so only where the configuration names none.
//!
//! The user's own configuration is not looked at: it is the user's.

use std::collections::HashMap;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::unwrap::Layer;

/// The most bytes of configuration that are read, and the most submodules that are looked into.
const LARGEST: u64 = 256 * 1024;
const MODULES: usize = 200;

/// Keys whose value is a program, or leads to one. Those of hooks, aliases, editors and credentials are
/// left out: no form that only looks uses them.
const PROGRAMS: [&str; 13] = [
    "fsmonitor",
    "external",
    "textconv",
    "command",
    "clean",
    "smudge",
    "process",
    "program",
    "sshcommand",
    "gitproxy",
    "uploadpack",
    "vcs",
    "alternaterefscommand",
];

/// The folders that were looked at for one line, so that a long one looks once.
#[derive(Debug, Default)]
pub(super) struct Repositories(HashMap<PathBuf, bool>);

impl Repositories {
    /// May this form of git, which only looks, do so wherever its line may be?
    pub(super) fn are_plain(&mut self, git: &Layer, folders: &[PathBuf]) -> bool {
        let mut words = git.words.iter().skip(1).map(|word| word.text.as_str());
        let mut other = PathBuf::new();
        while words.next() == Some("-C") {
            other.push(words.next().unwrap_or_default());
        }
        folders.iter().all(|folder| {
            let folder = folder.join(&other);
            // Where `~` is, is not known here.
            *self.0.entry(folder).or_insert_with_key(|at| at.is_absolute() && is_plain(at))
        })
    }
}

/// Is there no repository at this folder or above it, or one whose configuration names no program?
fn is_plain(folder: &Path) -> bool {
    for folder in folder.ancestors() {
        if let Some(git) = git_dir(folder) {
            let common = match fs::read_to_string(git.join("commondir")) {
                Ok(path) => git.join(path.trim_end()),
                Err(_) => git.clone(),
            };
            let mut left = MODULES;
            return config_is_plain(&common.join("config"))
                && config_is_plain(&git.join("config.worktree"))
                && has_no_hook(folder, &common)
                && modules_are_plain(&common.join("modules"), &mut left);
        }
    }
    true
}

/// The git directory that git would find in this very folder.
fn git_dir(folder: &Path) -> Option<PathBuf> {
    let place = folder.join(".git");
    if place.is_dir() {
        return Some(place);
    }
    if let Ok(text) = fs::read_to_string(&place) {
        let path = text.strip_prefix("gitdir:").unwrap_or_default().trim();
        return Some(folder.join(path));
    }
    let bare = folder.join("HEAD").is_file() && folder.join("objects").is_dir();
    bare.then(|| folder.to_owned())
}

/// What cannot be read is not plain.
fn config_is_plain(file: &Path) -> bool {
    let mut bytes = Vec::new();
    match fs::File::open(file).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes)) {
        Err(e) if e.kind() == ErrorKind::NotFound => return true,
        Ok(read) if read as u64 <= LARGEST => {}
        _ => return false,
    }
    let text = String::from_utf8_lossy(&bytes).to_lowercase();
    // A key may stand on the line of its section. What only looks like one costs a question.
    !text.split(['\n', '\r', ']', '[', '\u{feff}']).any(|piece| {
        let piece = piece.trim_start();
        let end = piece.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(piece.len());
        let (key, rest) = piece.split_at(end);
        let value = rest.trim_start().strip_prefix('=').unwrap_or(rest).trim();
        let own_monitor = key == "fsmonitor" && matches!(value, "true" | "false");
        PROGRAMS.contains(&key) && !own_monitor
            || matches!(key, "include" | "includeif")
            || key == "showsignature"
            || value.contains("%g") // a format that has a signature checked
            || value.contains("ext::")
    })
}

/// Looking brings git's index up to date, and there is a hook for that.
fn has_no_hook(folder: &Path, common: &Path) -> bool {
    let text = fs::read_to_string(common.join("config")).unwrap_or_default();
    let named = text.lines().filter_map(|line| {
        let (key, path) = line.split_once('=')?;
        let key = key.rsplit(']').next().unwrap_or(key).trim();
        key.eq_ignore_ascii_case("hookspath").then(|| folder.join(path.trim().trim_matches('"')))
    });
    let mut folders = named.chain([common.join("hooks")]);
    !folders.any(|hooks| hooks.join("post-index-change").exists())
}

fn modules_are_plain(folder: &Path, left: &mut usize) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return true };
    for entry in entries.flatten() {
        let path = entry.path();
        if !path.is_dir() {
            continue;
        }
        *left = left.saturating_sub(1);
        let is_module = path.join("HEAD").exists();
        let plain = match is_module {
            true => {
                config_is_plain(&path.join("config"))
                    && has_no_hook(&path, &path)
                    && modules_are_plain(&path.join("modules"), left)
            }
            false => modules_are_plain(&path, left), // `modules/group/name`
        };
        if !plain || *left == 0 {
            return false;
        }
    }
    true
}
