//! Child processes. This is the only place that prepares one.
//!
//! A child gets a directory that exists and its own process group. It gets no standard input and none of the
//! hidden variables, unless the caller gives it some. It is ended as a whole group, and its output is kept in
//! bounded memory. A background child that keeps the pipe open does not delay the result: it runs on, until
//! the runtime ends and takes every group with it. A command can leave its group with `setsid`, and outlive
//! the program in that way; a [`ProcessTree`] finds even such a process.
//!
//! A new process group is not a new session. The child still has the terminal and can open `/dev/tty`; the
//! kernel then stops it as a background group, and the timeout ends it. A real product calls `setsid` in the
//! child, which needs unsafe code here.

mod managed;
mod pump;
mod tree;

use std::{
    ffi::OsStr,
    future::pending,
    io,
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt,
    net::unix::pipe,
    process::{Child, Command},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

pub use self::managed::{Lines, Log, MAX_MESSAGE_BYTES, ManagedChild, Streams, messages};
use self::pump::Pump;
pub use self::pump::SPILL_LIMIT;
use self::tree::Group;
pub use self::tree::{ProcessTree, lives};
use crate::host::secrets::Secrets;

/// Variables that every shell line gets for git. A line may call git in any folder, and even `git status`
/// starts the program that the repository's own configuration names as its file monitor. With these, git
/// starts no monitor, accepts a folder as a repository only by its `.git`, and writes nothing when it only
/// reads. The other programs that a repository can name (filters, drivers) have no such switch; the gate looks
/// for them.
const GIT_VARIABLES: [(&str, &str); 6] = [
    ("GIT_OPTIONAL_LOCKS", "0"),
    ("GIT_CONFIG_COUNT", "2"),
    ("GIT_CONFIG_KEY_0", "core.fsmonitor"),
    ("GIT_CONFIG_VALUE_0", "false"),
    ("GIT_CONFIG_KEY_1", "safe.bareRepository"),
    ("GIT_CONFIG_VALUE_1", "explicit"),
];

/// A child that is ready to start.
#[derive(Debug)]
pub struct ChildCommand {
    command: Command,
    name: String,
    stdin: Option<Vec<u8>>,
    streams_are_separate: bool,
    tree: Option<ProcessTree>,
}

/// The limits of one run.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The wall time after which the child is ended, with its whole group.
    pub timeout: Duration,
    /// How many bytes are kept from the start of a stream.
    pub head: usize,
    /// How many bytes are kept from the end of a stream.
    pub tail: usize,
    /// A file that gets the whole output once it exceeds `head + tail` bytes; of separate streams it gets
    /// standard output only. It must not exist yet; its folder is made. It gets at most [`SPILL_LIMIT`]
    /// bytes, and says so when there was more.
    pub spill: Option<PathBuf>,
    /// When the spill file is created.
    pub spills: Spills,
}

/// When the spill file is created.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Spills {
    /// When there is more output than is kept in memory.
    #[default]
    Overflow,
    /// With the first byte, so that it can be read while the child runs.
    Everything,
}

impl Default for Limits {
    /// Two minutes, 30,000 bytes (more from the end, where errors are), no spill file.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(120),
            head: 10_000,
            tail: 20_000,
            spill: None,
            spills: Spills::default(),
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It exited by itself, with this code.
    Exited(i32),
    /// It was killed by a signal that was not ours.
    Signalled(i32),
    /// It was ended by the timeout, after this time.
    TimedOut(Duration),
    /// It was ended because the run was cancelled, after this time.
    Cancelled(Duration),
}

/// The result of a run. The texts are raw: control sequences are not stripped, and secrets not masked.
#[derive(Debug, Clone)]
pub struct Finished {
    /// How it ended.
    pub end: End,
    /// Standard output and standard error in the order in which they came, or standard output alone when
    /// the streams are separate. Clipped; invalid UTF-8 is replaced by U+FFFD.
    pub output: String,
    /// Standard error, clipped; empty unless [`ChildCommand::separate_streams`] was called.
    pub stderr: String,
    /// The length of `output` in bytes before it was clipped.
    pub total: u64,
    /// The file with the whole output, if there is one.
    pub spilled: Option<PathBuf>,
    /// Why the file is missing or incomplete.
    pub spill_fault: Option<String>,
    /// Wall time from start to end.
    pub took: Duration,
}

/// Why a child could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// The directory to run in does not exist, or is not a directory.
    #[error("cannot run in {}: {source}; name a directory that exists", .path.display())]
    Directory {
        /// The directory that was asked for.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The program could not be started.
    #[error("cannot start {program}: {source}{}", hint(.source))]
    Start {
        /// The program.
        program: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The system lost the child, so its end is unknown. Its group was killed.
    #[error("lost track of {program}: {source}")]
    Lost {
        /// The program.
        program: String,
        /// The system's reason.
        source: io::Error,
    },
}

fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::NotFound => "; is it installed and on the PATH?",
        io::ErrorKind::ArgumentListTooLong => "; put the long text into a file",
        io::ErrorKind::InvalidInput => "; a NUL character cannot be passed to a program",
        _ => "",
    }
}

impl ChildCommand {
    /// A shell line: for bash where it is installed, else for sh. Standard output and standard error are
    /// joined.
    ///
    /// # Errors
    /// [`ProcessError::Directory`] when `cwd` is not a directory. A missing shell is an error of the start.
    pub fn shell(line: &str, cwd: &Path, secrets: &Secrets) -> Result<Self, ProcessError> {
        let bash = Path::new("/bin/bash");
        let shell = if bash.exists() { bash } else { Path::new("/bin/sh") };
        let child = Self::program(shell, ["-c", "--", line], cwd, secrets)?;
        Ok(GIT_VARIABLES.into_iter().fold(child, |child, (name, value)| child.env(name, value)))
    }

    /// A program with arguments, without a shell. A bare name is looked up on the PATH.
    ///
    /// # Errors
    /// [`ProcessError::Directory`] when `cwd` is not a directory. A missing program is an error of the start.
    pub fn program(
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
        cwd: &Path,
        secrets: &Secrets,
    ) -> Result<Self, ProcessError> {
        // Checked here: at the start, "no such file" could mean the program or the directory.
        let directory = |source| ProcessError::Directory { path: cwd.to_owned(), source };
        if !std::fs::metadata(cwd).map_err(directory)?.is_dir() {
            return Err(directory(io::ErrorKind::NotADirectory.into()));
        }
        let program = program.as_ref();
        #[expect(clippy::disallowed_methods, reason = "this is the place that prepares children")]
        let mut command = Command::new(program);
        command.args(args).current_dir(cwd).process_group(0).stdin(Stdio::null());
        // Removed one by one: after `env_clear`, std looks the program up itself and forks instead of calling
        // posix_spawn, which costs milliseconds in a large process.
        for name in secrets.hidden() {
            command.env_remove(name);
        }
        let name = program.to_string_lossy().into_owned();
        Ok(Self { command, name, stdin: None, streams_are_separate: false, tree: None })
    }

    /// Sets a variable of the child, also one that [`Secrets`] would hide.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Gives the child these bytes as its standard input. Without them it reads the end of file at once.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Keeps standard output and standard error separate.
    #[must_use]
    pub fn separate_streams(mut self) -> Self {
        self.streams_are_separate = true;
        self
    }

    /// Starts the child in a process tree. Its run is over when the last process of the tree has ended, and
    /// whatever would end its group ends the whole tree.
    #[must_use]
    pub fn in_tree(mut self, tree: &ProcessTree) -> Self {
        self.command.env(tree.variable(), "1");
        self.tree = Some(tree.clone());
        self
    }

    /// The prepared command itself, for a library that starts it. Standard input is null unless that library
    /// sets it; [`ChildCommand::stdin`] has no effect.
    pub fn into_command(self) -> Command {
        self.command
    }

    /// Runs the child to its end. `progress` gets all bytes of both streams as they come.
    ///
    /// On timeout or cancellation the process group gets TERM and, 200 ms later, KILL; the output so far is
    /// kept. When the future is dropped the group gets KILL. A background child (`server &`) runs on after
    /// the shell has exited: its later output is read and discarded, so that it does not die of a closed pipe.
    /// When the runtime ends it gets KILL.
    ///
    /// # Errors
    /// [`ProcessError::Start`] or [`ProcessError::Lost`]. However the child ends otherwise is an [`End`].
    pub async fn run(
        mut self,
        limits: Limits,
        cancel: &CancellationToken,
        progress: impl FnMut(&[u8]) + Send,
    ) -> Result<Finished, ProcessError> {
        let started = Instant::now();
        let timeout = limits.timeout;
        let mut pump = Pump::new(limits, progress);
        if cancel.is_cancelled() {
            return Ok(pump.finish(End::Cancelled(Duration::ZERO), Duration::ZERO));
        }
        let (mut child, input) = match self.start(&mut pump) {
            Ok(child) => child,
            Err(source) => return Err(ProcessError::Start { program: self.name, source }),
        };
        let mut group = Group::new(&child, self.tree.take());

        let feed = feed(input, self.stdin.take());
        let deadline = started.checked_add(timeout);
        let status = {
            let running = async {
                tokio::pin!(feed);
                let mut fed = false;
                let status = loop {
                    tokio::select! {
                        status = child.wait() => break status,
                        _ = pump.step() => {}
                        () = &mut feed, if !fed => fed = true,
                    }
                };
                group.wait_for_tree(&mut pump).await;
                status
            };
            tokio::select! {
                status = running => Ok(status),
                () = cancel.cancelled() => Err(End::Cancelled(started.elapsed())),
                () = sleep_or_never(deadline) => Err(End::TimedOut(started.elapsed())),
            }
        };
        let end = match status {
            Ok(status) => {
                ended(status.map_err(|source| ProcessError::Lost { program: self.name, source })?)
            }
            Err(end) => {
                group.end_while_reading(&mut child, &mut pump).await;
                group.release();
                end
            }
        };
        pump.drain().await;
        // What is left of the group now was put into the background on purpose.
        tokio::spawn(group.hold_until_empty());
        pump.discard();
        Ok(pump.finish(end, started.elapsed()))
    }

    /// Makes the pipes and starts the child. The command drops our copies of the child's ends at once: a pipe
    /// does not end while one of them is open.
    fn start<P>(&mut self, pump: &mut Pump<P>) -> io::Result<(Child, Option<pipe::Sender>)> {
        let (reader, writer) = io::pipe()?;
        pump.out = Some(pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?);
        if self.streams_are_separate {
            let (reader, writer) = io::pipe()?;
            pump.err = Some(pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?);
            self.command.stderr(writer);
        } else {
            self.command.stderr(writer.try_clone()?);
        }
        self.command.stdout(writer);
        let mut input = None;
        if self.stdin.is_some() {
            let (reader, writer) = io::pipe()?;
            input = Some(pipe::Sender::from_owned_fd(OwnedFd::from(writer))?);
            self.command.stdin(reader);
        }
        let child = self.command.spawn();
        self.command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok((child?, input))
    }
}

async fn feed(input: Option<pipe::Sender>, bytes: Option<Vec<u8>>) {
    if let (Some(mut input), Some(bytes)) = (input, bytes) {
        // A child need not read to the end; `head -1` does not.
        let _ = input.write_all(&bytes).await;
    }
}

async fn sleep_or_never(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

fn ended(status: ExitStatus) -> End {
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Exited(code),
        (None, signal) => End::Signalled(signal.unwrap_or_default()),
    }
}
