//! May git look here without starting a program? `git status`, `git diff` and `git log -p` start what a
//! repository's own configuration names (a file-system monitor, a diff driver, a filter), and one hook.
//! So a form of git that only looks is known to do so only where the configuration names none.
//!
//! The user's own configuration is not looked at: it is the user's.

use std::collections::HashMap;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::index;
use harness_shell::Layer;

/// The most bytes of configuration that are read, and the most repositories that are looked into.
const LARGEST: u64 = 256 * 1024;
const MODULES: usize = 200;

/// Git's own monitor, on or off, is no program of somebody's.
const SWITCH: [&str; 2] = ["true", "false"];

/// Keys that lead to more configuration, have a signature checked, or let git fetch what it has not, and
/// so ask a server, and a helper for its password.
const LEADS_ON: [&str; 5] = ["include", "includeif", "showsignature", "promisor", "partialclone"];

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
    let mut left = MODULES;
    for folder in folder.ancestors() {
        if let Some(git) = git_dir(folder) {
            if !repository_is_plain(folder, &git, &mut left) {
                return false;
            }
            if is_whole(&git) {
                return true;
            }
            // Git may see no repository in this, and go on looking further up.
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
    if let Some(text) = read(&place, LARGEST) {
        let text = String::from_utf8_lossy(&text);
        return Some(folder.join(text.strip_prefix("gitdir:").unwrap_or_default().trim()));
    }
    let bare = folder.join("HEAD").is_file() && folder.join("objects").is_dir();
    bare.then(|| folder.to_owned())
}

/// Where the parts are that worktrees share.
fn common_dir(git: &Path) -> PathBuf {
    match read(&git.join("commondir"), LARGEST) {
        Some(path) => git.join(String::from_utf8_lossy(&path).trim_end()),
        None => git.to_owned(),
    }
}

/// A git directory that no version of git would pass by.
fn is_whole(git: &Path) -> bool {
    let common = common_dir(git);
    let head = read(&git.join("HEAD"), LARGEST).unwrap_or_default();
    let is_name = |c: &u8| c.is_ascii_hexdigit();
    let on_something = head.starts_with(b"ref: refs/heads/")
        || head.trim_ascii().len() == 40 && head.trim_ascii().iter().all(is_name);
    on_something && common.join("objects").is_dir() && common.join("refs").is_dir()
}

/// Of this git directory, and of every repository that git looks into when it looks at this one.
fn repository_is_plain(folder: &Path, git: &Path, left: &mut usize) -> bool {
    *left = left.saturating_sub(1);
    let common = common_dir(git);
    *left > 0
        && !has_hook(&common.join("hooks"))
        && config_is_plain(&common.join("config"), folder, &common)
        && config_is_plain(&git.join("config.worktree"), folder, git)
        && index::repositories(&git.join("index")).is_some_and(|inner| {
            inner.iter().map(|path| folder.join(path)).all(|inner| {
                git_dir(&inner).is_none_or(|git| repository_is_plain(&inner, &git, left))
            })
        })
}

/// What cannot be read is not plain.
fn config_is_plain(file: &Path, folder: &Path, git: &Path) -> bool {
    if fs::symlink_metadata(file).is_err_and(|e| e.kind() == ErrorKind::NotFound) {
        return true;
    }
    let Some(bytes) = read(file, LARGEST) else { return false };
    let text = String::from_utf8_lossy(&bytes);
    // A key may stand on the line of its section. What only looks like one costs a question.
    !text.split(['\n', '\r', ']', '[', '\u{feff}']).any(|piece| {
        let piece = piece.trim_start();
        let end = piece.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(piece.len());
        let (key, rest) = piece.split_at(end);
        let (key, written) = (key.to_lowercase(), rest.trim_start());
        let place = written.strip_prefix('=').unwrap_or(written).trim().trim_matches('"');
        let value = place.to_lowercase();
        PROGRAMS.contains(&key.as_str()) && !(key == "fsmonitor" && SWITCH.contains(&&*value))
            || LEADS_ON.contains(&key.as_str())
            || key == "submodule" && value == "diff" // how changes in one are shown
            || key == "objectformat" && value != "sha1" // another form of index
            || key == "worktree" && !is_same(&git.join(place), folder)
            || key == "hookspath" && (place.contains(['"', '\\', '~']) || has_hook(&folder.join(place)))
            || value.contains("%g") // a format that has a signature checked
            || value.contains("ext::")
    })
}

/// Looking brings git's index up to date, and there is a hook for that.
fn has_hook(hooks: &Path) -> bool {
    fs::symlink_metadata(hooks.join("post-index-change")).is_ok()
}

fn is_same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// The whole of a regular file, unless it is larger than this.
pub(super) fn read(file: &Path, largest: u64) -> Option<Vec<u8>> {
    // A pipe in its place would hold up the one who asks.
    let is_file = fs::metadata(file).ok()?.is_file();
    let mut bytes = Vec::new();
    let read =
        is_file.then(|| fs::File::open(file))?.ok()?.take(largest + 1).read_to_end(&mut bytes);
    (read.ok()? as u64 <= largest).then_some(bytes)
}
