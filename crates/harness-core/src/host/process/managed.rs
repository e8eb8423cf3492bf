//! A child that keeps running while the program talks to it over its standard streams: a server.

use std::{
    ffi::OsString,
    fmt,
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use rustix::fs::OFlags;
use tokio::{
    io::{
        AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader, ReadHalf,
        SimplexStream, simplex,
    },
    process::{Child, ChildStderr, ChildStdin, ChildStdout},
    task::JoinHandle,
    time::timeout,
};

use super::tree::Group;
use super::{ChildCommand, End, ProcessError, ended};
use crate::host::mutex::Mutex;
use crate::host::secrets::Secrets;
use crate::host::text;

/// How long the rest of the output is waited for after the child's end.
const LAST_OUTPUT_TIMEOUT: Duration = Duration::from_millis(200);
/// The most bytes of a log file. A longer one is emptied and begun again.
const MAX_LOG_BYTES: u64 = 1 << 20;

/// A running child. When this value is dropped, the child's process group is killed, and its process tree if
/// it has one.
#[derive(Debug)]
pub struct ManagedChild {
    child: Child,
    group: Group,
    /// The tasks that read its output.
    readers: Vec<JoinHandle<()>>,
}

/// A managed child's three streams. The output streams must be read or dropped, or the child blocks when a
/// pipe is full.
#[derive(Debug)]
pub struct Streams {
    /// Its input. When this is dropped the child reads the end of file, and a well-behaved server exits.
    pub stdin: ChildStdin,
    /// Its answers.
    pub stdout: ChildStdout,
    /// Everything else that it prints.
    pub stderr: ChildStderr,
}

impl ChildCommand {
    /// Gives the child these variables and no others, except for those that are set after this call
    /// ([`ChildCommand::env`], [`ChildCommand::in_tree`]).
    #[must_use]
    pub fn only_env(mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        self.command.env_clear().envs(variables);
        self
    }

    /// Starts the child and leaves it running.
    ///
    /// # Errors
    /// [`ProcessError::Start`]: the program does not exist or cannot be executed.
    pub fn spawn_managed(mut self) -> Result<(ManagedChild, Streams), ProcessError> {
        let command = &mut self.command;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let failed = |source| ProcessError::Start { program: self.name.clone(), source };
        let mut child = command.spawn().map_err(failed)?;
        let group = Group::new(&child, self.tree.take());
        match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
            (Some(stdin), Some(stdout), Some(stderr)) => Ok((
                ManagedChild { child, group, readers: Vec::new() },
                Streams { stdin, stdout, stderr },
            )),
            _ => Err(failed(std::io::ErrorKind::BrokenPipe.into())),
        }
    }
}

impl ManagedChild {
    /// Reads its output from now on: the messages come out of the returned stream, everything else goes to
    /// the log. See [`messages`].
    pub fn read_streams(
        &mut self,
        stdout: ChildStdout,
        stderr: ChildStderr,
        log: &Arc<Log>,
    ) -> ReadHalf<SimplexStream> {
        let error_log = log.clone();
        self.readers.push(tokio::spawn(async move { error_log.record_all(stderr).await }));
        let (messages, filter) = messages(stdout, log.clone());
        self.readers.push(tokio::spawn(filter));
        messages
    }

    /// Waits until the child itself has exited; its own children may still run.
    ///
    /// # Errors
    /// The system lost the child, so its end is unknown.
    pub async fn wait(&mut self) -> std::io::Result<End> {
        self.child.wait().await.map(ended)
    }

    /// Ends the child and everything that it has started. Once its input is closed it has the grace period to
    /// exit by itself; then its group gets TERM and, 200 ms later, KILL. Returns how it ended, or `None` when
    /// it did not exit by itself.
    pub async fn end(mut self, grace_period: Duration) -> Option<End> {
        let exited = timeout(grace_period, self.wait()).await;
        self.group.end(&mut self.child).await;
        self.group.release();
        for reader in self.readers.drain(..) {
            // The rest of its output, unless a process outside the group still holds the pipe.
            let _ = timeout(LAST_OUTPUT_TIMEOUT, reader).await;
        }
        exited.ok()?.ok()
    }
}

/// The lines of a stream, read in bounded memory.
#[derive(Debug)]
pub struct Lines<R> {
    from: BufReader<R>,
    line: Vec<u8>,
    max_bytes: u64,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Reads lines of at most `max_bytes`, including their line end.
    pub fn new(from: R, max_bytes: usize) -> Self {
        Self { from: BufReader::new(from), line: Vec::new(), max_bytes: max_bytes as u64 }
    }

    /// The next line, and whether it is complete: false for one that is too long (the next call returns the
    /// rest) and for one that the end of the stream has cut off. `None` at the end of the stream. Not
    /// cancel-safe: dropping the future loses what it has read of a line.
    pub async fn next(&mut self) -> Option<(&[u8], bool)> {
        self.line.clear();
        let mut piece = (&mut self.from).take(self.max_bytes);
        match piece.read_until(b'\n', &mut self.line).await {
            Ok(1..) => Some((&self.line, self.line.ends_with(b"\n"))),
            _ => None,
        }
    }
}

/// The most bytes of a message that a managed child may send.
pub const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// Separates a managed child's messages from the rest of its output. Lines that begin with `{` come out of the
/// returned stream, the others go to the log. A message that is longer than [`MAX_MESSAGE_BYTES`], or cut off
/// by the end of the input, ends the stream, since the call that it answers could never be completed. The
/// returned future does the work; spawn it.
pub fn messages(
    from: impl AsyncRead + Send + Unpin + 'static,
    log: Arc<Log>,
) -> (ReadHalf<SimplexStream>, impl Future<Output = ()> + Send + 'static) {
    let (messages, mut to_messages) = simplex(64 * 1024);
    let filter = async move {
        let mut lines = Lines::new(from, MAX_MESSAGE_BYTES);
        while let Some((line, complete)) = lines.next().await {
            if !line.trim_ascii_start().starts_with(b"{") {
                log.record(line);
                continue;
            }
            if !complete {
                log.record(b"its message was cut off, or is longer than 16 MB");
                break;
            }
            if to_messages.write_all(line).await.is_err() {
                break; // nobody reads any more
            }
        }
        let _ = to_messages.shutdown().await; // the reader may be gone already
    };
    (messages, filter)
}

/// The log of what a managed child prints besides its messages: lines without control sequences and known
/// secrets. The file holds at most a megabyte; when it is full it begins again.
pub struct Log {
    secrets: Secrets,
    state: Mutex<LogState>,
}

struct LogState {
    file: Option<File>,
    last_line: String,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").finish_non_exhaustive()
    }
}

impl Log {
    /// Appends to this file, which is never opened through a link. Without a path, or when the file cannot be
    /// opened, only the last line is kept, in memory.
    pub fn new(path: Option<PathBuf>, secrets: Secrets) -> Self {
        let nofollow = OFlags::NOFOLLOW.bits().cast_signed();
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600).custom_flags(nofollow);
        let file = path.and_then(|path| options.open(path).ok());
        Self { secrets, state: Mutex::new(LogState { file, last_line: String::new() }) }
    }

    /// Records one line. Blank lines are left out.
    pub fn record(&self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let line = self.secrets.mask(text::strip(&line).trim()).into_owned();
        if line.is_empty() {
            return;
        }
        let mut state = self.state.lock();
        if let Some(file) = &mut state.file {
            // A log that cannot be written stops nothing.
            if file.metadata().is_ok_and(|file| file.len() > MAX_LOG_BYTES) {
                let _ = file.set_len(0).and_then(|()| file.write_all(b"[older lines left out]\n"));
            }
            let _ = file.write_all(format!("{line}\n").as_bytes());
        }
        state.last_line = line;
    }

    /// Records all lines of a stream until it ends.
    pub async fn record_all(&self, from: impl AsyncRead + Unpin) {
        let mut lines = Lines::new(from, 16 * 1024);
        while let Some((line, _)) = lines.next().await {
            self.record(line);
        }
    }

    /// Why a managed child has ended: the reason, its exit code or signal, and the last line that it printed,
    /// which is where programs say what is wrong.
    pub fn explain(&self, why: &str, end: Option<End>) -> String {
        let end = match end {
            Some(End::Exited(code)) => format!(" with exit code {code}"),
            Some(End::Signalled(signal)) => format!(" by signal {signal}"),
            _ => String::new(),
        };
        let last = &self.state.lock().last_line;
        let colon = if last.is_empty() { "" } else { ": " };
        format!("{}{end}{colon}{last}", self.secrets.mask(why))
    }
}
