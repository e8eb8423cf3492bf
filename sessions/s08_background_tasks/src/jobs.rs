//! Behind the lesson: commands that run on while others are given. They are started, looked at and stopped,
//! and their ends are reported.
//!
//! A job is a tree of processes ([`ProcessTree`]), a file with its output, and a numbered record, by which
//! the next program finds what a killed one has left.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use harness_core::host::own_paths;
use harness_core::host::ownership::numbered::{NumberedRecords, OwnedNumber};
use harness_core::host::process::{ChildCommand, Limits, ProcessTree, Spills};
use harness_core::host::workspace::{Workspace, WorkspaceError};
use harness_core::{Event, Mutex, Observers, Secrets, ToolContext, ToolError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::job::{Job, JobRecord, JobState};

/// How many jobs run at once, unless set otherwise.
const MAX_RUNNING: usize = 8;
/// After how long a job is ended, unless set otherwise.
const TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
/// How many bytes of the beginning of a job's output are in its news.
const HEAD: usize = 1000;
/// How many bytes of its end.
const TAIL: usize = 3000;

/// The jobs of one program, and what earlier ones have left. Clones share them.
#[derive(Clone, Debug)]
pub struct Jobs {
    /// How many run at once at most. Eight, unless set.
    pub max_running: usize,
    /// After how long a job is ended. A day, unless set.
    pub timeout: Duration,
    /// Holds a permit exactly while there is news that nobody has taken.
    pub wake: Arc<Notify>,
    root: PathBuf,
    records: NumberedRecords<JobRecord>,
    jobs: Arc<Mutex<Vec<Job>>>,
}

/// The end of a job. It is reported once.
#[derive(Clone, Debug)]
pub struct JobNews {
    /// Which job it was and how it ended: `bg-1 (tests) exited with code 1`.
    pub job: String,
    /// The beginning and the end of its output, without control sequences and known secrets.
    pub excerpt: String,
    /// The file with all of it, relative to the workspace.
    pub file: String,
}

impl Jobs {
    /// Takes stock of a folder below the workspace's `.harness`: a job whose program was killed is lost, and
    /// the processes that it left are ended. The lines tell the user of that. `kind` is what the ids of the
    /// jobs begin with.
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
        let records = NumberedRecords::new(workspace.absolute(folder), kind);
        let left = records.take_over(|record: &JobRecord| record.state == JobState::Running)?;
        let mut lines: Vec<String> = left.faults.iter().map(ToString::to_string).collect();
        let mut jobs = Vec::new();
        for (owned, mut record) in left.orphans {
            let ended = ProcessTree::named(&record.family).end().await;
            record.state = JobState::Lost;
            records.save(&owned.id, &record)?;
            let mut job = Job::new(owned.id.clone(), record, Observers::default());
            job.excerpt =
                format!("its program was killed, and {ended} processes were left; they are ended");
            lines.push(format!("{job}: {}", job.excerpt));
            jobs.push(job);
        }
        let jobs = Self {
            max_running: MAX_RUNNING,
            timeout: TIMEOUT,
            wake: Arc::default(),
            root: workspace.root().to_owned(),
            records,
            jobs: Arc::new(Mutex::new(jobs)),
        };
        Ok((jobs, lines))
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
        let child = ChildCommand::shell(&command, &cx.cwd, &cx.secrets);
        let child = child.map_err(ToolError::failed)?.in_tree(&family);
        let mut jobs = self.jobs.lock();
        self.refuse_too_many(&jobs)?;

        // The record is on disk before the process runs: whatever is killed when, the next program finds it.
        let workspace = Workspace::open(&self.root).map_err(ToolError::failed)?;
        workspace.state_dir().map_err(ToolError::failed)?;
        let owned = self.records.claim().map_err(ToolError::failed)?;
        let record = JobRecord {
            command,
            label,
            state: JobState::Running,
            family: family.name().to_owned(),
        };
        self.records.save(&owned.id, &record).map_err(ToolError::failed)?;

        let id = owned.id.clone();
        let file = self.file(&id);
        let job = Job::new(id.clone(), record, cx.observers.clone());
        tokio::spawn(self.clone().run(owned, child, job.stop.clone(), cx.secrets.clone()));
        jobs.push(job);
        Ok((id, file))
    }

    fn refuse_too_many(&self, jobs: &[Job]) -> Result<(), ToolError> {
        let running = ids_of_running(jobs);
        if running.len() < self.max_running {
            return Ok(());
        }
        let max = self.max_running;
        let running = running.join(", ");
        Err(ToolError::Failed(format!("{max} run already; stop one of {running}")))
    }

    /// Runs one job to its end. Dropped half-way (the program leaves), it takes the processes along.
    async fn run(
        self,
        owned: OwnedNumber,
        child: ChildCommand,
        stop: CancellationToken,
        secrets: Secrets,
    ) {
        let limits = Limits {
            timeout: self.timeout,
            head: HEAD,
            tail: TAIL,
            spill: Some(self.log(&owned.id)),
            spills: Spills::Everything,
        };
        let ended = child.run(limits, &stop, |_| {}).await;
        let mut jobs = self.jobs.lock();
        let Some(job) = jobs.iter_mut().find(|job| job.id == owned.id) else { return };
        job.end(ended, &secrets);
        if let Err(error) = self.records.save(&owned.id, &job.record) {
            job.excerpt += &format!("\n[this end could not be kept: {error}]");
        }
        // Whoever has stopped it gets its end as the answer to that.
        job.is_reported = stop.is_cancelled();
        if !job.is_reported {
            self.wake.notify_one(); // under the lock, as in `news`
        }
        job.over.cancel();
    }

    /// Stops a job with all its processes, and says what became of it: it may have ended just before.
    ///
    /// # Errors
    /// There is no such job, or it does not run.
    pub async fn stop(&self, id: &str) -> Result<String, ToolError> {
        let over = self.with(id, |job| {
            if !job.is_running() {
                return Err(ToolError::Failed(format!("{job}; there is nothing to stop")));
            }
            job.stop.cancel();
            Ok(job.over.clone())
        })??;
        over.cancelled().await;
        self.with(id, |job| job.to_string())
    }

    /// Stops all jobs, and tells the observers that saw them start.
    pub async fn close(&self, agent: &str) {
        let mut stopped = Vec::new();
        for job in self.jobs.lock().iter().filter(|job| job.is_running()) {
            job.stop.cancel();
            stopped.push((job.id.clone(), job.over.clone(), job.observers.clone()));
        }
        for (id, over, observers) in stopped {
            over.cancelled().await;
            let notice = self.with(&id, |job| job.to_string()).unwrap_or(id);
            observers.emit(agent, &Event::Notice(notice));
        }
    }

    /// A piece of what a job has printed, from this byte on; without one, from where the last piece ended.
    ///
    /// # Errors
    /// There is no such job, or its file cannot be read.
    pub fn output(&self, id: &str, from: Option<u64>) -> Result<String, ToolError> {
        let log = self.log(id);
        let piece = self.with(id, |job| job.read(&log, from))?;
        piece.map_err(|error| ToolError::Failed(format!("{}: {error}", self.file(id))))
    }

    /// The ends that were not reported yet. Nobody is woken for them any more.
    pub fn news(&self) -> Vec<JobNews> {
        let mut jobs = self.jobs.lock();
        pin!(self.wake.notified()).enable(); // takes the permit
        let mut news = Vec::new();
        for job in jobs.iter_mut().filter(|job| !job.is_running() && !job.is_reported) {
            job.is_reported = true;
            news.push(JobNews {
                job: job.to_string(),
                excerpt: job.excerpt.clone(),
                file: self.file(&job.id),
            });
        }
        news
    }

    /// All jobs, a line each.
    pub fn list(&self) -> Vec<String> {
        self.jobs.lock().iter().map(Job::to_string).collect()
    }

    /// The ids of those that run.
    pub fn running(&self) -> Vec<String> {
        ids_of_running(&self.jobs.lock())
    }

    fn with<T>(&self, id: &str, f: impl FnOnce(&mut Job) -> T) -> Result<T, ToolError> {
        let mut jobs = self.jobs.lock();
        if let Some(job) = jobs.iter_mut().find(|job| job.id == id) {
            return Ok(f(job));
        }
        let ids: Vec<&str> = jobs.iter().map(|job| job.id.as_str()).collect();
        let available = if ids.is_empty() { "none".to_owned() } else { ids.join(", ") };
        Err(ToolError::Failed(format!("there is no task {id:?}; available: {available}")))
    }

    /// The file with a job's output.
    fn log(&self, id: &str) -> PathBuf {
        self.records.path(id, "log")
    }

    /// The same, relative to the workspace.
    fn file(&self, id: &str) -> String {
        let path = self.log(id);
        path.strip_prefix(&self.root).unwrap_or(&path).display().to_string()
    }
}

fn ids_of_running(jobs: &[Job]) -> Vec<String> {
    jobs.iter().filter(|job| job.is_running()).map(|job| job.id.clone()).collect()
}
