//! Commands that run on while others are given: started, looked at, stopped, and told of when they end.
//!
//! A job is a family of processes ([`ProcessTree`]), a file with its output, and a numbered record, by
//! which the next program finds what a killed one has left.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::event::{Event, Observers};
use crate::host::mutex::Mutex;
use crate::host::own_paths;
use crate::host::ownership::numbered::{NumberedRecords, OwnedNumber};
use crate::host::process::{
    ChildCommand, End, Finished, Limits, ProcessError, ProcessTree, Spills,
};
use crate::host::secrets::Secrets;
use crate::host::text;
use crate::host::workspace::{Workspace, WorkspaceError};
use crate::tool::{ToolContext, ToolError};

/// The most bytes that are read at once.
const PIECE: u64 = 16 * 1024;
/// The most characters that are shown of a command.
const LONGEST: usize = 60;

/// The jobs of one program, and what earlier ones have left. Clones share them.
#[derive(Clone, Debug)]
pub struct Jobs {
    /// The most that run at once. Eight, unless set.
    pub most: usize,
    /// One that runs longer is ended. A day, unless set.
    pub limit: Duration,
    /// Holds a permit exactly while there is news that nobody has taken.
    pub wake: Arc<Notify>,
    root: PathBuf,
    records: NumberedRecords<Record>,
    jobs: Arc<Mutex<Vec<Job>>>,
}

/// The end of a job, told once.
#[derive(Clone, Debug)]
pub struct News {
    /// Who it was and how it ended: `bg-1 (tests) exited with code 1`.
    pub job: String,
    /// The beginning and the end of its output, without control sequences and known secrets.
    pub excerpt: String,
    /// The file with all of it, relative to the workspace.
    pub file: String,
}

impl Jobs {
    /// Takes stock of a folder below the workspace's `.harness`: what an earlier program was killed over is
    /// lost, and the processes that it left are ended. The lines tell the user of that.
    ///
    /// # Errors
    /// The workspace cannot be used.
    pub async fn open(
        cwd: &Path,
        folder: &str,
        kind: &'static str,
    ) -> Result<(Self, Vec<String>), WorkspaceError> {
        let workspace = Workspace::open(cwd)?;
        let folder = workspace.resolve(Path::new(own_paths::STATE.name).join(folder))?;
        let records = NumberedRecords::<Record>::new(workspace.absolute(folder), kind);
        let left = records.take_over(|record| record.state == State::Running)?;
        let mut lines: Vec<String> = left.faults.iter().map(ToString::to_string).collect();
        let mut jobs = Vec::new();
        for (OwnedNumber { id, .. }, mut record) in left.orphans {
            let left = ProcessTree::named(&record.family).end().await;
            record.state = State::Lost;
            records.save(&id, &record)?;
            let mut job = Job::new(id, record, Observers::default());
            job.excerpt =
                format!("its program was killed, and {left} processes were left; they are ended");
            lines.push(format!("{job}: {}", job.excerpt));
            jobs.push(job);
        }
        let (root, limit) = (workspace.root().to_owned(), Duration::from_secs(86_400));
        let (wake, jobs) = (Arc::default(), Arc::new(Mutex::new(jobs)));
        Ok((Self { most: 8, limit, wake, root, records, jobs }, lines))
    }

    /// Starts a shell line, and returns its id and its file.
    ///
    /// # Errors
    /// Too many run already, or it cannot be recorded: then it is not started.
    pub fn start(
        &self,
        command: String,
        label: Option<String>,
        cx: &ToolContext,
    ) -> Result<(String, String), ToolError> {
        let family = ProcessTree::new();
        let child =
            ChildCommand::shell(&command, &cx.cwd, &cx.secrets).map_err(ToolError::failed)?;
        let child = child.in_tree(&family);
        let mut jobs = self.jobs.lock();
        let running: Vec<&str> = jobs.iter().filter(|it| it.runs()).map(|it| &*it.id).collect();
        if running.len() >= self.most {
            let (all, most) = (running.join(", "), self.most);
            return Err(ToolError::Failed(format!("{most} run already; stop one of {all}")));
        }
        Workspace::open(&self.root).and_then(|it| it.state_dir()).map_err(ToolError::failed)?;
        let owned = self.records.claim().map_err(ToolError::failed)?;
        let family = family.name().to_owned();
        let record = Record { command, label, state: State::Running, family };
        self.records.save(&owned.id, &record).map_err(ToolError::failed)?;
        let job = Job::new(owned.id.clone(), record, cx.observers.clone());
        let started = (job.id.clone(), self.file(&job.id));
        tokio::spawn(self.clone().run(owned, child, job.stop.clone(), cx.secrets.clone()));
        jobs.push(job);
        Ok(started)
    }

    /// Runs one to its end. Dropped half-way (the program leaves), it takes the processes along.
    async fn run(
        self,
        owned: OwnedNumber,
        child: ChildCommand,
        stop: CancellationToken,
        secrets: Secrets,
    ) {
        let (spill, spills) = (Some(self.records.path(&owned.id, "log")), Spills::Everything);
        let limits = Limits { timeout: self.limit, head: 1000, tail: 3000, spill, spills };
        let ended = child.run(limits, &stop, |_| {}).await;
        let mut jobs = self.jobs.lock();
        let Some(job) = jobs.iter_mut().find(|job| job.id == owned.id) else { return };
        job.end(ended, &secrets);
        if let Err(error) = self.records.save(&owned.id, &job.record) {
            job.excerpt += &format!("\n[this end could not be kept: {error}]");
        }
        job.told = stop.is_cancelled(); // who stops it tells it
        if !job.told {
            self.wake.notify_one(); // under the lock, as in `news`
        }
        job.over.cancel();
    }

    /// Stops a job with all its processes, and says what became of it: it may have been faster.
    ///
    /// # Errors
    /// There is no such job, or it does not run.
    pub async fn stop(&self, id: &str) -> Result<String, ToolError> {
        let (stop, over) = self.with(id, |job| match job.runs() {
            true => Ok((job.stop.clone(), job.over.clone())),
            false => Err(ToolError::Failed(format!("{job}; there is nothing to stop"))),
        })??;
        stop.cancel();
        over.cancelled().await;
        self.with(id, |job| job.to_string())
    }

    /// Stops all, and tells those who watched them start.
    pub async fn close(&self, agent: &str) {
        let handles = |job: &Job| (job.id.clone(), job.over.clone(), job.observers.clone());
        let running = {
            let jobs = self.jobs.lock();
            let running = jobs.iter().filter(|job| job.runs());
            running.inspect(|job| job.stop.cancel()).map(handles).collect::<Vec<_>>()
        };
        for (id, over, observers) in running {
            over.cancelled().await;
            let told = self.with(&id, |job| job.to_string()).unwrap_or(id);
            observers.emit(agent, &Event::Notice(told));
        }
    }

    /// A piece of what a job has printed, from this byte on; without one, from where the last piece ended.
    ///
    /// # Errors
    /// There is no such job, or its file cannot be read.
    pub fn output(&self, id: &str, from: Option<u64>) -> Result<String, ToolError> {
        let file = self.records.path(id, "log");
        let read = self.with(id, |job| {
            let (said, next) = job.read(&file, from.unwrap_or(job.seen))?;
            job.seen = next;
            Ok::<_, io::Error>(said)
        })?;
        read.map_err(|error| ToolError::Failed(format!("{}: {error}", self.file(id))))
    }

    /// The ends that nobody was told of yet. Nobody is woken for them any more.
    pub fn news(&self) -> Vec<News> {
        let mut jobs = self.jobs.lock();
        pin!(self.wake.notified()).enable(); // takes the permit
        let new = jobs.iter_mut().filter(|job| !job.runs() && !job.told);
        let told = new.map(|job| {
            job.told = true;
            let (excerpt, file) = (job.excerpt.clone(), self.file(&job.id));
            News { job: job.to_string(), excerpt, file }
        });
        told.collect()
    }

    /// All jobs, a line each.
    pub fn list(&self) -> Vec<String> {
        self.jobs.lock().iter().map(Job::to_string).collect()
    }

    /// The ids of those that run.
    pub fn running(&self) -> Vec<String> {
        let jobs = self.jobs.lock();
        jobs.iter().filter(|job| job.runs()).map(|job| job.id.clone()).collect()
    }

    fn with<T>(&self, id: &str, f: impl FnOnce(&mut Job) -> T) -> Result<T, ToolError> {
        let mut jobs = self.jobs.lock();
        if let Some(job) = jobs.iter_mut().find(|job| job.id == id) {
            return Ok(f(job));
        }
        let ids: Vec<&str> = jobs.iter().map(|job| job.id.as_str()).collect();
        let ids = if ids.is_empty() { "none".to_owned() } else { ids.join(", ") };
        Err(ToolError::Failed(format!("there is no {id:?}; there is {ids}")))
    }

    fn file(&self, id: &str) -> String {
        let path = self.records.path(id, "log");
        path.strip_prefix(&self.root).unwrap_or(&path).display().to_string()
    }
}

/// How far a job is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
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

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Running => f.write_str("is running"),
            State::Exited(code) => write!(f, "exited with code {code}"),
            State::Signalled(signal) => write!(f, "was killed by signal {signal}"),
            State::TimedOut => f.write_str("timed out"),
            State::Stopped => f.write_str("was stopped"),
            State::Lost => f.write_str("is lost"),
        }
    }
}

impl From<End> for State {
    fn from(end: End) -> Self {
        match end {
            End::Exited(code) => State::Exited(code),
            End::Signalled(signal) => State::Signalled(signal),
            End::TimedOut(_) => State::TimedOut,
            End::Cancelled(_) => State::Stopped,
        }
    }
}

/// What is on disk of a job, so that the next program finds what this one has left.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Record {
    command: String,
    label: Option<String>,
    state: State,
    family: String,
}

/// A job of this program, or one that an earlier program lost.
#[derive(Debug)]
struct Job {
    id: String,
    record: Record,
    began: SystemTime,
    /// Cancelled to stop it.
    stop: CancellationToken,
    /// Cancelled when it is over.
    over: CancellationToken,
    /// Whether the model knows its end.
    told: bool,
    /// The beginning and the end of its output, once it is over.
    excerpt: String,
    /// Where the last look at its output ended.
    seen: u64,
    observers: Observers,
}

impl Job {
    fn new(id: String, record: Record, observers: Observers) -> Self {
        let (stop, over) = (CancellationToken::new(), CancellationToken::new());
        let (excerpt, began) = (String::new(), SystemTime::now());
        let (told, seen) = (false, 0);
        Self { id, record, began, stop, over, told, excerpt, seen, observers }
    }

    fn runs(&self) -> bool {
        self.record.state == State::Running
    }

    /// It is over, and this came of it.
    fn end(&mut self, ended: Result<Finished, ProcessError>, secrets: &Secrets) {
        let (state, said) = match ended {
            Ok(Finished { end, output, spill_fault: None, .. }) => (end.into(), output),
            Ok(Finished { end, output, spill_fault: Some(why), .. }) => {
                (end.into(), format!("{output}\n[its output could not all be kept: {why}]"))
            }
            Err(error) => (State::Lost, error.to_string()),
        };
        self.record.state = state;
        self.excerpt = secrets.mask(&text::strip(&said)).into_owned();
    }

    /// Its output from this byte on, in whole lines where there are any, and where the next look begins.
    fn read(&self, file: &Path, from: u64) -> io::Result<(String, u64)> {
        let (mut bytes, mut all) = (Vec::new(), 0);
        match File::open(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {} // it has said nothing
            opened => {
                let mut opened = opened?;
                all = opened.seek(SeekFrom::End(0))?;
                opened.seek(SeekFrom::Start(from.min(all)))?;
                opened.take(PIECE).read_to_end(&mut bytes)?;
            }
        }
        let goes_on = self.runs() || bytes.len() as u64 == PIECE;
        if let (true, Some(end)) = (goes_on, bytes.iter().rposition(|byte| *byte == b'\n')) {
            bytes.truncate(end + 1);
        }
        let next = from.min(all) + bytes.len() as u64;
        let said = match text::strip(&String::from_utf8_lossy(&bytes)).trim_end() {
            "" => format!("(nothing after byte {})", from.min(all)),
            said => said.to_owned(),
        };
        Ok((format!("{said}\n[{self}; next offset {next} of {all}]"), next))
    }
}

/// On one line: `bg-1 (tests) exited with code 1`.
impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Record { command, label, state, .. } = &self.record;
        let name = text::line(label.as_ref().unwrap_or(command));
        write!(f, "{} ({}) {state}", self.id, short(&name))?;
        let seconds = self.began.elapsed().unwrap_or_default().as_secs();
        if self.runs() { write!(f, ", for {seconds} s now") } else { Ok(()) }
    }
}

/// The beginning of a long name.
fn short(name: &str) -> String {
    match name.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &name[..at]),
        None => name.to_owned(),
    }
}
