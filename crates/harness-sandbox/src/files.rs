//! Which open files a child has.
//!
//! Landlock judges a file when it is opened. One that is open already can be read by whoever inherits it, so
//! a child gets its streams and what it is given here. This program's own files are closed when a child
//! starts; what it was itself started with need not be (a careless terminal), and is replaced.

use std::{
    collections::BTreeSet,
    fs::File,
    io,
    os::fd::{OwnedFd, RawFd},
    process::Command,
    sync::Arc,
};

use command_fds::{CommandFdExt, FdMapping};

/// The first number for a file that a child is given.
const FIRST: RawFd = 20;

/// The files of one child besides its streams, each under a number of its own.
#[derive(Debug, Default)]
pub(crate) struct Files {
    given: Vec<(RawFd, OwnedFd)>,
    /// Files of this program that a child would inherit.
    pub(crate) leaked: Arc<BTreeSet<RawFd>>,
}

impl Files {
    /// Gives the child a file. The number under which it will have it.
    pub(crate) fn add(&mut self, file: OwnedFd) -> String {
        let last = self.given.last().map_or(FIRST - 1, |(number, _)| *number);
        let mut number = last + 1;
        while self.leaked.contains(&number) {
            number += 1;
        }
        self.given.push((number, file));
        number.to_string()
    }

    pub(crate) fn len(&self) -> usize {
        self.given.len()
    }

    /// Makes the command pass on what was given, to its own child only, and nothing where something
    /// would leak.
    pub(crate) fn pass_on(self, command: &mut Command) -> io::Result<()> {
        let given = self.given.into_iter();
        let mut mappings: Vec<FdMapping> =
            given.map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd }).collect();
        for number in self.leaked.iter() {
            let nothing = OwnedFd::from(File::open("/dev/null")?);
            mappings.push(FdMapping { parent_fd: nothing, child_fd: *number });
        }
        // Without a mapping the command starts without a fork.
        if mappings.is_empty() {
            return Ok(());
        }
        command.fd_mappings(mappings).map_err(io::Error::other)?;
        Ok(())
    }
}

/// The files that this program was started with, besides its streams, and that its children would inherit.
#[cfg(target_os = "linux")]
pub(crate) fn find_leaked() -> BTreeSet<RawFd> {
    let Ok(entries) = std::fs::read_dir("/proc/self/fdinfo") else { return BTreeSet::new() };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter(|number| *number > 2 && is_inherited(*number)).collect()
}

#[cfg(target_os = "linux")]
fn is_inherited(number: RawFd) -> bool {
    const CLOSED_ON_START: u32 = 0o2_000_000;
    let told = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
    let flags = told.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & CLOSED_ON_START == 0)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn find_leaked() -> BTreeSet<RawFd> {
    BTreeSet::new()
}
