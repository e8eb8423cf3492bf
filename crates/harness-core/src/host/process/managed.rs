//! A child that goes on running while one talks to it over its standard streams: a server.

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

/// How long its last words are waited for.
const LAST: Duration = Duration::from_millis(200);
/// The most bytes of a log. Beyond that it begins anew.
const LOG_LIMIT: u64 = 1 << 20;

/// A running child. When this value is dropped, its whole process group is killed, and its family where it
/// has one.
#[derive(Debug)]
pub struct ManagedChild {
    child: Child,
    group: Group,
    /// Who reads what it says.
    readers: Vec<JoinHandle<()>>,
}

/// A companion's three streams. All of them must be read or dropped, or the child waits for a reader.
#[derive(Debug)]
pub struct Streams {
    /// What it reads. Dropped, the child sees the end of its input, and a good one leaves.
    pub stdin: ChildStdin,
    /// What it answers.
    pub stdout: ChildStdout,
    /// What it says besides.
    pub stderr: ChildStderr,
}

impl ChildCommand {
    /// Gives the child these variables and no others but its family's, if that is set after this.
    #[must_use]
    pub fn only_env(mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        self.command.env_clear().envs(variables);
        self
    }

    /// Starts the child and leaves it running.
    ///
    /// # Errors
    /// It did not start.
    pub fn spawn_managed(mut self) -> Result<(ManagedChild, Streams), ProcessError> {
        let command = &mut self.command;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let failed = |source| ProcessError::Start { program: self.name.clone(), source };
        let mut child = command.spawn().map_err(failed)?;
        let group = Group::new(&child, self.family.take());
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
    /// Reads what it says from now on: its messages come out here, the rest goes to the log. See
    /// [`messages`].
    pub fn hear(
        &mut self,
        stdout: ChildStdout,
        stderr: ChildStderr,
        log: &Arc<Log>,
    ) -> ReadHalf<SimplexStream> {
        let kept = log.clone();
        self.readers.push(tokio::spawn(async move { kept.keep(stderr).await }));
        let (ours, relay) = messages(stdout, log.clone());
        self.readers.push(tokio::spawn(relay));
        ours
    }

    /// Waits until the child itself has left.
    ///
    /// # Errors
    /// The system no longer tells what became of it.
    pub async fn left(&mut self) -> std::io::Result<End> {
        self.child.wait().await.map(ended)
    }

    /// Ends the child and all that it has started: so long it may take to leave by itself, once its
    /// input has ended; then the group gets TERM, and 200 ms later KILL. `None` where it had to be told.
    pub async fn end(mut self, patience: Duration) -> Option<End> {
        let left = timeout(patience, self.left()).await;
        self.group.dismiss(&mut self.child).await;
        self.group.release();
        for reader in self.readers.drain(..) {
            // Its last words, unless somebody outside of the group still holds the pipe.
            let _ = timeout(LAST, reader).await;
        }
        left.ok().and_then(Result::ok)
    }
}

/// The lines of a stream, in bounded memory.
#[derive(Debug)]
pub struct Lines<R> {
    from: BufReader<R>,
    line: Vec<u8>,
    longest: u64,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Lines of at most so many bytes, their ends included.
    pub fn new(from: R, longest: usize) -> Self {
        Self { from: BufReader::new(from), line: Vec::new(), longest: longest as u64 }
    }

    /// The next line, and whether it is whole: false for one that is too long (the next piece is its
    /// rest) and for one that the end of the stream has cut. `None` at the end. Not to be dropped
    /// half-way: what was read of a line is then lost.
    pub async fn next(&mut self) -> Option<(&[u8], bool)> {
        self.line.clear();
        let mut piece = (&mut self.from).take(self.longest);
        match piece.read_until(b'\n', &mut self.line).await {
            Ok(1..) => Some((&self.line, self.line.ends_with(b"\n"))),
            _ => None,
        }
    }
}

/// The longest message that a companion may send, in bytes.
pub const MESSAGE: usize = 16 << 20;

/// What a companion answers, without what is no message: only lines that begin with `{` come through,
/// the others go to its log. A message that is longer than [`MESSAGE`], or cut by the stream's end, ends
/// the stream, since nobody would ever answer the call that it belongs to. The future does the work.
pub fn messages(
    from: impl AsyncRead + Send + Unpin + 'static,
    log: Arc<Log>,
) -> (ReadHalf<SimplexStream>, impl Future<Output = ()> + Send + 'static) {
    let (ours, mut theirs) = simplex(64 * 1024);
    let relay = async move {
        let mut lines = Lines::new(from, MESSAGE);
        while let Some((line, whole)) = lines.next().await {
            if !line.trim_ascii_start().starts_with(b"{") {
                log.line(line);
            } else if !whole {
                log.line(b"its message was cut off, or is longer than 16 MB");
                break;
            } else if theirs.write_all(line).await.is_err() {
                break;
            }
        }
        // Whoever reads may be gone already.
        let _ = theirs.shutdown().await;
    };
    (ours, relay)
}

/// A file for what a companion says besides: lines without control sequences and known secrets, a
/// megabyte at most, the newest.
pub struct Log {
    secrets: Secrets,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    file: Option<File>,
    last: String,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").finish_non_exhaustive()
    }
}

impl Log {
    /// Appends to this file, which is never opened through a link. Where it cannot be written, only the
    /// last line is known.
    pub fn new(path: Option<PathBuf>, secrets: Secrets) -> Self {
        let nofollow = OFlags::NOFOLLOW.bits().cast_signed();
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600).custom_flags(nofollow);
        let file = path.and_then(|path| options.open(path).ok());
        Self { secrets, state: Mutex::new(State { file, ..State::default() }) }
    }

    /// One more line.
    pub fn line(&self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let line = self.secrets.mask(text::strip(&line).trim()).into_owned();
        if line.is_empty() {
            return;
        }
        let mut state = self.state.lock();
        if let Some(file) = &mut state.file {
            // A log that cannot be written is no reason to stop.
            if file.metadata().is_ok_and(|file| file.len() > LOG_LIMIT) {
                let _ = file.set_len(0).and_then(|()| file.write_all(b"[older lines left out]\n"));
            }
            let _ = file.write_all(format!("{line}\n").as_bytes());
        }
        state.last = line;
    }

    /// All lines of a stream, until it ends.
    pub async fn keep(&self, from: impl AsyncRead + Unpin) {
        let mut lines = Lines::new(from, 16 * 1024);
        while let Some((line, _)) = lines.next().await {
            self.line(line);
        }
    }

    /// Why a companion is no more: the reason, how it ended, and its last line, which is where programs
    /// say what is wrong.
    pub fn explain(&self, why: &str, end: Option<End>) -> String {
        let end = match end {
            Some(End::Exited(code)) => format!(" with exit code {code}"),
            Some(End::Signalled(signal)) => format!(" by signal {signal}"),
            _ => String::new(),
        };
        let last = &self.state.lock().last;
        let colon = if last.is_empty() { "" } else { ": " };
        format!("{}{end}{colon}{last}", self.secrets.mask(why))
    }
}
