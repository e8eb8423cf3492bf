//! Child processes. The only place that prepares one.
//!
//! A child gets a directory that exists, its own process group, no standard input and no hidden
//! variable unless it is given one. It is ended as a whole group, its output is held in bounded
//! memory, and a background child that keeps the pipe does not hold the result. It lives on, as long
//! as the runtime does: at the end of the program nothing is left of any group. Who wants something to
//! outlive the program says so, with `setsid`; a [`ProcessTree`] holds even that.
//!
//! A new process group is not a new session: the child still has the terminal and can open
//! `/dev/tty`, where the kernel stops it as a background group; the time-out ends it then. A real
//! product calls `setsid` in the child (which needs unsafe code here) and puts a sandbox around it.

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

pub use self::managed::{Lines, Log, MESSAGE, ManagedChild, Streams, messages};
use self::pump::Pump;
pub use self::pump::SPILL_LIMIT;
use self::tree::Group;
pub use self::tree::{ProcessTree, lives};
use crate::host::secrets::Secrets;

/// A shell line may call git in any folder, and git starts what a folder's own configuration names as a
/// monitor of its files, with `git status` already. So a line's git asks no monitor, takes a folder for a
/// repository only by its `.git`, and writes nothing where it only looks. What else a repository can
/// name (filters, drivers) has no such switch: the gate looks for that.
const GIT: [(&str, &str); 6] = [
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
    apart: bool,
    family: Option<ProcessTree>,
}

/// What a run may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Wall time, after which the group is ended.
    pub timeout: Duration,
    /// Bytes kept from the start of a stream.
    pub head: usize,
    /// Bytes kept from the end of a stream.
    pub tail: usize,
    /// A file that gets the whole output once it exceeds `head + tail` (of standard output only
    /// when the streams are apart). It must not exist yet; its folder is made. At most
    /// [`SPILL_LIMIT`] bytes, and the file says so when there was more.
    pub spill: Option<PathBuf>,
    /// Whether that file is begun with the first byte: for who wants to read it meanwhile.
    pub spills: Spills,
}

/// When the spill file is begun.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Spills {
    /// When the output is more than what is kept of it.
    #[default]
    Overflow,
    /// With the first byte.
    Everything,
}

impl Default for Limits {
    /// Two minutes, 30,000 bytes in all (more from the end, where errors stand), no spill file.
    fn default() -> Self {
        let (head, tail, spills) = (10_000, 20_000, Spills::default());
        Self { timeout: Duration::from_secs(120), head, tail, spill: None, spills }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself, with this exit code.
    Exited(i32),
    /// By a signal that was not ours.
    Signalled(i32),
    /// Ended by us after this time.
    TimedOut(Duration),
    /// Ended by us, on request, after this time.
    Cancelled(Duration),
}

/// A run that is over. Texts are raw: neither stripped of control sequences nor masked.
#[derive(Debug, Clone)]
pub struct Finished {
    /// How it ended.
    pub end: End,
    /// Standard output and standard error as they came, or standard output alone when apart.
    /// Clipped; invalid UTF-8 is U+FFFD.
    pub output: String,
    /// Standard error, clipped; empty unless [`ChildCommand::apart`].
    pub stderr: String,
    /// How many bytes `output` had before it was clipped.
    pub total: u64,
    /// The file with the whole output, if there is one.
    pub spilled: Option<PathBuf>,
    /// Why the file is missing or not whole.
    pub spill_fault: Option<String>,
    /// Wall time from start to end.
    pub took: Duration,
}

/// Why a child did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// The directory to run in is missing, or no directory.
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
    /// The system no longer tells what became of the child. Its group was killed.
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
    /// A line for the shell: bash where there is one, else sh. Both streams come joined.
    pub fn shell(line: &str, cwd: &Path, secrets: &Secrets) -> Result<Self, ProcessError> {
        let bash = Path::new("/bin/bash");
        let shell = if bash.exists() { bash } else { Path::new("/bin/sh") };
        let child = Self::program(shell, ["-c", "--", line], cwd, secrets)?;
        Ok(GIT.into_iter().fold(child, |child, (name, value)| child.env(name, value)))
    }

    /// A program with arguments, without a shell. A bare name is looked up on the PATH.
    pub fn program(
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
        cwd: &Path,
        secrets: &Secrets,
    ) -> Result<Self, ProcessError> {
        // Otherwise "no such file" could mean the program or the directory.
        let directory = |source| ProcessError::Directory { path: cwd.to_owned(), source };
        if !std::fs::metadata(cwd).map_err(directory)?.is_dir() {
            return Err(directory(io::ErrorKind::NotADirectory.into()));
        }
        let program = program.as_ref();
        #[expect(clippy::disallowed_methods, reason = "this is the place that prepares children")]
        let mut command = Command::new(program);
        command.args(args).current_dir(cwd).process_group(0).stdin(Stdio::null());
        // Removed one by one: with `env_clear`, std looks the program up itself and forks instead
        // of calling posix_spawn, which costs milliseconds in a large process.
        for name in secrets.hidden() {
            command.env_remove(name);
        }
        let name = program.to_string_lossy().into_owned();
        Ok(Self { command, name, stdin: None, apart: false, family: None })
    }

    /// Sets a variable of the child, also one that [`Secrets`] would hide.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Gives the child these bytes as its standard input. Without, it reads end of file at once.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Keeps standard output and standard error apart.
    #[must_use]
    pub fn separate_streams(mut self) -> Self {
        self.apart = true;
        self
    }

    /// Makes the child the first of a family. Its run is over when the last member has left, and all of
    /// them are ended where without a family only the group is.
    #[must_use]
    pub fn family(mut self, family: &ProcessTree) -> Self {
        self.command.env(family.variable(), "1");
        self.family = Some(family.clone());
        self
    }

    /// The prepared command itself, for a library that starts it on its own. Standard input is
    /// null unless that library sets it; [`ChildCommand::stdin`] has no effect.
    pub fn into_command(self) -> Command {
        self.command
    }

    /// Runs the child to its end. `progress` sees all bytes of both streams as they come.
    ///
    /// On time-out or cancel the process group gets TERM, 200 ms to leave, then KILL; what was
    /// said so far is kept. When the future is dropped the group gets KILL. A background child
    /// (`server &`) goes on after the shell's end: what it says later is read and thrown away, so
    /// that it does not die of a closed pipe. When the runtime ends it gets KILL.
    ///
    /// # Errors
    /// When the child did not start, or the system lost it. Everything else is an [`End`].
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
        let mut group = Group::new(&child, self.family.take());

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
                group.alone(&mut pump).await;
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
                group.end(&mut child, &mut pump).await;
                group.release();
                end
            }
        };
        pump.drain().await;
        // From here on whatever is left of the group was put into the background on purpose.
        tokio::spawn(group.outlive());
        pump.discard();
        Ok(pump.finish(end, started.elapsed()))
    }

    /// Pipes and start. The command lets go of our copies of the child's ends at once: as long as
    /// one is open the pipe does not end.
    fn start<P>(&mut self, pump: &mut Pump<P>) -> io::Result<(Child, Option<pipe::Sender>)> {
        let (reader, writer) = io::pipe()?;
        pump.out = Some(pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?);
        if self.apart {
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
        // A child that does not read to the end is no error: `head -1` is like that.
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
