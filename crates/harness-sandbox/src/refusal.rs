//! Reads in the output of a child that it was stopped.
//!
//! The kernel does not report what it refused, so all there is to read are the words of the program.
//! They are judged only when the child failed: a program that copes with a refusal has its result.

use std::path::{Path, PathBuf};

use crate::level::Level;

/// How a child ended, and what it said.
#[derive(Debug, Clone, Copy)]
pub struct Ended<'a> {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output and standard error, as they came.
    pub output: &'a str,
}

/// A child was stopped by its confinement, or by the system in the same words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The line of output that says so.
    pub words: String,
    /// What it was stopped at.
    pub cause: Cause,
    /// The level at which it may succeed. `None`: what it asked for is closed at every confined level,
    /// or no level helps; a looser one is not worth a question.
    pub needs: Option<Level>,
}

/// What a child was stopped at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A file or folder that may not be written, read or run.
    Files,
    /// The network.
    Network,
    /// A secret place.
    Secret,
}

/// What the words are judged by.
pub(crate) struct Around<'a> {
    pub(crate) level: Level,
    /// The level after `ReadOnly` that exists here.
    pub(crate) next: Level,
    pub(crate) workspace: &'a Path,
    pub(crate) is_closed: &'a dyn Fn(&Path) -> bool,
}

/// Longest part of a line that is kept, in characters.
const MAX_WORDS: usize = 300;

/// How much of the output is read: refusals stand at its end or its beginning.
const MAX_READ: usize = 256 * 1024;

pub(crate) fn find(ended: Ended<'_>, around: &Around<'_>) -> Option<Refusal> {
    let has_failed = ended.code != Some(0);
    if around.level == Level::Free || !has_failed {
        return None;
    }
    let mut secret = None;
    let mut last = None;
    for line in lines(ended.output) {
        let Some(kind) = kind(line) else { continue };
        let refusal = judge(line, kind, around);
        // A secret is no reason to ask for more, but another refusal beside it may be.
        match refusal.cause {
            Cause::Secret => secret = secret.or(Some(refusal)),
            // The network is the looser need, so it is not lost behind a later line.
            _ if needs_more(&last, &refusal) => last = Some(refusal),
            _ => {}
        }
    }
    last.or(secret)
}

fn needs_more(before: &Option<Refusal>, now: &Refusal) -> bool {
    before.as_ref().is_none_or(|before| now.needs > before.needs)
}

fn lines(output: &str) -> impl Iterator<Item = &str> {
    let mut start = output.len().saturating_sub(MAX_READ);
    while !output.is_char_boundary(start) {
        start += 1;
    }
    let beginning = output.lines().take(if start > 0 { 200 } else { 0 });
    beginning.chain(output[start..].lines())
}

/// Words of refusal about the network, in lower case. They are looked for first: some of them have
/// words about files in them.
const NETWORK: &[&str] = &[
    "network is unreachable",
    "temporary failure in name resolution",
    "could not resolve host",
    "couldn't resolve host",
    "couldn’t resolve host",
    "could not resolve proxy",
    "name or service not known",
    "nodename nor servname",
    "no address associated with hostname",
    "getaddrinfo",
    "enotfound",
    "eai_again",
    "enetunreach",
    "failed to lookup address",
    "dns error",
    "no such host",
    "network unreachable",
    "no route to host",
    "cannot assign requested address",
    "connection refused",
    "econnrefused",
    "failed to connect",
    "couldn't connect",
    "could not connect",
    "unable to connect",
    "cannot connect to",
    "can't connect to",
    "error creating socket",
    "cannot create socket",
    "could not create socket",
    "can't create socket",
    "socket: operation not permitted",
    "socket: permission denied",
    "socket operation not permitted",
    "cannot open netlink socket",
    "socket(",
    "--offline was specified",
    "module lookup disabled",
    "dial tcp",
    "dial unix",
    "dial udp",
];

/// Words about files and everything else that has a name.
const FILES: &[&str] = &[
    "permission denied",
    "operation not permitted",
    "read-only file system",
    "access denied",
    "access is denied",
    "eacces",
    "eperm",
    "erofs",
    "permissionerror",
    "os error 13)",
    "os error 1)",
    "os error 30)",
    "not permitted",
    "insufficient permission",
    "not writable",
    // What is held by a mount cannot be renamed or removed.
    "resource busy",
    "ebusy",
    "unable to create",
    "cannot create temp",
];

fn kind(line: &str) -> Option<Cause> {
    let lower = line.to_lowercase();
    if NETWORK.iter().any(|words| lower.contains(words)) {
        return Some(Cause::Network);
    }
    let speaks_of_files = FILES.iter().any(|words| lower.contains(words));
    if !speaks_of_files {
        return None;
    }
    let cause = if lower.contains("socket") { Cause::Network } else { Cause::Files };
    Some(cause)
}

fn judge(line: &str, cause: Cause, around: &Around<'_>) -> Refusal {
    let words = line.trim().chars().take(MAX_WORDS).collect();
    if cause == Cause::Network {
        return Refusal { words, cause, needs: Some(Level::Free) };
    }
    let named: Vec<PathBuf> = paths(line, around.workspace).collect();
    if named.iter().any(|path| (around.is_closed)(path)) {
        return Refusal { words, cause: Cause::Secret, needs: None };
    }
    let leads_out = named.iter().any(|path| !path.starts_with(around.workspace));
    let needs = match around.level {
        Level::ReadOnly if !leads_out => around.next,
        _ => Level::Free,
    };
    Refusal { words, cause, needs: Some(needs) }
}

/// Words of the line that can be paths, resolved against the workspace. A word without a slash is one
/// only when something of that name exists.
fn paths<'a>(line: &'a str, workspace: &'a Path) -> impl Iterator<Item = PathBuf> + 'a {
    let is_mark = |c: char| c.is_whitespace() || "'\"`‘’“”:,;()[]<>".contains(c);
    // A line begins with the name of the program that complains: `/bin/bash: line 1: …`.
    let told = line.split_once(": ").filter(|(speaker, _)| !speaker.contains(is_mark));
    let told = told.map_or(line, |(_, told)| told);
    // A script that may not run is told of with the name of its interpreter, which is not meant.
    let names_interpreter = told.contains("bad interpreter");
    let script = told.split(": ").next().filter(|_| names_interpreter);
    let told = script.unwrap_or(told);
    told.split(is_mark).filter_map(move |word| {
        let word = word.trim_end_matches('.');
        if word.is_empty() {
            return None;
        }
        let path = clean(&workspace.join(word));
        (word.contains('/') || std::fs::symlink_metadata(&path).is_ok()).then_some(path)
    })
}

/// The path without `.` and `..`, as it is written.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => {
                clean.pop();
            }
            _ => clean.push(part),
        }
    }
    clean
}
