//! Behind the lesson: one job, what is on disk of it, and how it is shown.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::SystemTime;

use harness_core::host::process::{End, Finished, ProcessError};
use harness_core::host::text;
use harness_core::{Observers, Secrets};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

/// How many bytes of output are read at once.
const MAX_PIECE: u64 = 16 * 1024;
/// How many characters are shown of a command.
const MAX_NAME: usize = 60;

/// How far a job is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum JobState {
    /// At least one of its processes lives.
    #[default]
    Running,
    /// It ended by itself, with this code.
    Exited(i32),
    /// Somebody else killed it with this signal.
    Signalled(i32),
    /// It ran for too long.
    TimedOut,
    /// It was stopped on request.
    Stopped,
    /// Nobody saw its end: it never started, or its program was killed.
    Lost,
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str("is running"),
            Self::Exited(code) => write!(f, "exited with code {code}"),
            Self::Signalled(signal) => write!(f, "was killed by signal {signal}"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Stopped => f.write_str("was stopped"),
            Self::Lost => f.write_str("is lost"),
        }
    }
}

impl From<End> for JobState {
    fn from(end: End) -> Self {
        match end {
            End::Exited(code) => Self::Exited(code),
            End::Signalled(signal) => Self::Signalled(signal),
            End::TimedOut(_) => Self::TimedOut,
            End::Cancelled(_) => Self::Stopped,
        }
    }
}

/// What is on disk of a job, so that the next program finds what this one has left.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct JobRecord {
    pub(crate) command: String,
    pub(crate) label: Option<String>,
    pub(crate) state: JobState,
    /// The name of its [`ProcessTree`](harness_core::host::process::ProcessTree).
    pub(crate) family: String,
}

/// A job of this program, or one that an earlier program lost.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) record: JobRecord,
    started: SystemTime,
    /// Cancelled to stop it.
    pub(crate) stop: CancellationToken,
    /// Cancelled when it is over.
    pub(crate) over: CancellationToken,
    /// Whether the model was told of its end.
    pub(crate) is_reported: bool,
    /// The beginning and the end of its output, once it is over.
    pub(crate) excerpt: String,
    /// The byte at which the last piece of its output ended.
    read_up_to: u64,
    /// Those of the agent that has started it.
    pub(crate) observers: Observers,
}

impl Job {
    pub(crate) fn new(id: String, record: JobRecord, observers: Observers) -> Self {
        Self {
            id,
            record,
            started: SystemTime::now(),
            stop: CancellationToken::new(),
            over: CancellationToken::new(),
            is_reported: false,
            excerpt: String::new(),
            read_up_to: 0,
            observers,
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.record.state == JobState::Running
    }

    /// Records that the job is over, and what came of it.
    pub(crate) fn end(&mut self, ended: Result<Finished, ProcessError>, secrets: &Secrets) {
        let mut output;
        match ended {
            Ok(finished) => {
                self.record.state = finished.end.into();
                output = finished.output;
                if let Some(why) = finished.spill_fault {
                    output += &format!("\n[its output could not all be kept: {why}]");
                }
            }
            Err(error) => {
                self.record.state = JobState::Lost;
                output = error.to_string();
            }
        }
        self.excerpt = secrets.mask(&text::strip(&output)).into_owned();
    }

    /// A piece of its output from this byte on, or from where the last piece ended; in whole lines, unless
    /// the job is over or a line is longer than a piece.
    pub(crate) fn read(&mut self, log: &Path, from: Option<u64>) -> io::Result<String> {
        let mut piece = Piece::read(log, from.unwrap_or(self.read_up_to))?;
        let goes_on = self.is_running() || piece.bytes.len() as u64 == MAX_PIECE;
        let last_line_end = piece.bytes.iter().rposition(|byte| *byte == b'\n');
        if goes_on && let Some(end) = last_line_end {
            piece.bytes.truncate(end + 1);
        }
        let next = piece.from + piece.bytes.len() as u64;
        self.read_up_to = next;
        let printed = text::strip(&String::from_utf8_lossy(&piece.bytes)).trim_end().to_owned();
        let printed = if printed.is_empty() {
            format!("(nothing after byte {})", piece.from)
        } else {
            printed
        };
        Ok(format!("{printed}\n[{self}; next offset {next} of {}]", piece.total))
    }
}

/// A piece of a file that somebody else writes.
struct Piece {
    /// Where it begins. Not behind the end of the file, even when that was asked for.
    from: u64,
    bytes: Vec<u8>,
    /// How long the file is.
    total: u64,
}

impl Piece {
    /// A file that does not exist is empty: it is made with the first byte.
    fn read(path: &Path, from: u64) -> io::Result<Self> {
        let mut file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { from: 0, bytes: Vec::new(), total: 0 });
            }
            opened => opened?,
        };
        let total = file.seek(SeekFrom::End(0))?;
        let from = from.min(total);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(MAX_PIECE).read_to_end(&mut bytes)?;
        Ok(Self { from, bytes, total })
    }
}

/// On one line: `bg-1 (tests) exited with code 1`.
impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = &self.record;
        let name = text::line(record.label.as_ref().unwrap_or(&record.command));
        write!(f, "{} ({}) {}", self.id, shortened(&name), record.state)?;
        if self.is_running() {
            let seconds = self.started.elapsed().unwrap_or_default().as_secs();
            write!(f, ", for {seconds} s now")?;
        }
        Ok(())
    }
}

/// The beginning of a long name.
fn shortened(name: &str) -> String {
    match name.char_indices().nth(MAX_NAME) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}
