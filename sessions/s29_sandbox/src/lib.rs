//! s29_sandbox · *Rules say what may run; the kernel says what it may touch.*
//!
//! A line that runs without a question is confined, so a wrong reading of it costs nothing. There
//! are three [`Level`]s:
//!
//! | level | files | network |
//! |---|---|---|
//! | [`Level::ReadOnly`] | reads, never secrets; writes a scratch folder that is deleted; runs nothing of the workspace | none |
//! | [`Level::Workspace`] | writes the workspace too, except what other programs run | loopback of its own |
//! | [`Level::Free`] | everything | everything |
//!
//! A [`Sandbox`] starts a child at a level or says in one line why it cannot. It never starts one at
//! a looser level than it was asked for.
//!
//! Behind the lesson: `places` has the names, `walk` remembers folders, `grants` makes rules of both,
//! `read_only` and `filter` tell them to the kernel, `workspace` builds a view with `bwrap`,
//! `refusal` reads in a child's output that it was stopped.

mod files;
#[cfg(target_os = "linux")]
mod filter;
mod grants;
mod launch;
mod level;
#[cfg(target_os = "linux")]
mod nursery;
mod places;
mod policy;
mod read_only;
mod refusal;
mod running;
mod scratch;
mod seatbelt;
mod variables;
mod walk;
#[cfg(target_os = "linux")]
mod workspace;

use std::{
    collections::BTreeSet,
    io,
    os::fd::RawFd,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub use self::launch::Launch;
pub use self::level::{Level, Machine, Missing};
pub use self::places::{is_guarded, is_secret};
pub use self::policy::Policy;
#[cfg(target_os = "linux")]
pub use self::read_only::ConfineError;
pub use self::refusal::{Cause, Ended, Refusal};
pub use self::running::{Hold, Running};
pub use self::seatbelt::profile;
pub use self::variables::is_secret_variable;
#[cfg(target_os = "linux")]
pub use self::workspace::SetAside;

use self::grants::{Book, Grants};
use self::read_only::{ReadOnly, Rules};
use self::refusal::Around;
use self::scratch::{Scratch, ScratchParent};
use self::workspace::{Aftermath, Bwrap};

/// Why a child was not started, in one line that says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The workspace is missing, or is no folder.
    #[error("cannot confine to {}: {source}; name a folder that exists", .path.display())]
    Place {
        /// The place that was given.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A place that cannot be kept apart from the rest: it holds the home or the whole system, or it
    /// is a link where a folder must be.
    #[error("cannot confine to {}: it is no folder of a project alone; start in the project's own folder", .path.display())]
    Unfit {
        /// The place that was given.
        path: PathBuf,
    },
    /// The level does not exist on this machine.
    #[error("there is no level {level} here: {missing}")]
    NoLevel {
        /// The level that was asked for.
        level: Level,
        /// What is missing.
        missing: Missing,
    },
    /// There is no room for a scratch folder.
    #[error("no scratch folder in {}: {source}; free some space, or set TMPDIR", .path.display())]
    Scratch {
        /// Where it was to be made.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The confinement itself failed. The child was not started.
    #[error("cannot confine: {0}; the child was not started")]
    Confine(#[from] ConfineError),
    /// The directory of the child is missing.
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
}

/// Starts children at a level. One for each workspace; it is shared between threads.
#[derive(Debug)]
pub struct Sandbox {
    machine: Machine,
    places: Arc<Places>,
    read_only: Option<ReadOnly>,
    bwrap: Option<Bwrap>,
    /// What this program was started with and its children must not have.
    leaked: Arc<BTreeSet<RawFd>>,
}

/// What the rules cost, for measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// How often the kernel's rules were made.
    pub made: u64,
    /// How many rules there are.
    pub rules: usize,
    /// How many folders are looked at before each line.
    pub watched: usize,
    /// How many folders are closed since there are too many.
    pub unseen: usize,
}

impl Sandbox {
    /// # Errors
    /// When there is no room for scratch folders, or the filter cannot be made.
    pub fn new(machine: Machine, policy: Policy) -> Result<Self, SandboxError> {
        let parent = ScratchParent::new().map_err(no_scratch)?;
        let read_only = match (&machine.landlock, machine.has(Level::ReadOnly)) {
            (Ok(version), Ok(())) => Some(ReadOnly::new(*version)?),
            _ => None,
        };
        let bwrap = match (&machine.bwrap, machine.has(Level::Workspace)) {
            (Ok(path), Ok(())) => Some(Bwrap::new(path.clone(), &parent).map_err(no_scratch)?),
            _ => None,
        };
        let places = Arc::new(Places { policy, parent, book: Mutex::default() });
        let leaked = Arc::new(files::find_leaked());
        Ok(Self { machine, places, read_only, bwrap, leaked })
    }

    /// What this machine offers.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The places that lines are confined to.
    pub fn policy(&self) -> &Policy {
        &self.places.policy
    }

    /// Whether a child could be started at this level.
    ///
    /// # Errors
    /// What is missing, and what to do about it.
    pub fn check(&self, level: Level) -> Result<(), SandboxError> {
        self.machine.has(level).map_err(|missing| SandboxError::NoLevel { level, missing })?;
        match level {
            Level::Workspace => self.places.check_writable(),
            Level::ReadOnly | Level::Free => Ok(()),
        }
    }

    /// The loosest level that exists here and is no looser than the one that is asked for.
    pub fn at_most(&self, level: Level) -> Option<Level> {
        let levels = [Level::Free, Level::Workspace, Level::ReadOnly];
        levels.into_iter().find(|there| *there <= level && self.check(*there).is_ok())
    }

    /// Whether a path is closed to confined lines: a secret, or what the policy closes.
    pub fn is_closed(&self, path: &Path) -> bool {
        self.places.grants().is_closed(path)
    }

    /// Whether a child's output says that it was stopped, and by what. See [`Refusal`].
    pub fn refusal(&self, ended: Ended<'_>, level: Level) -> Option<Refusal> {
        let grants = self.places.grants();
        let is_closed = |path: &Path| grants.is_closed(path);
        let next =
            if self.check(Level::Workspace).is_ok() { Level::Workspace } else { Level::Free };
        let around =
            Around { level, next, workspace: self.policy().workspace(), is_closed: &is_closed };
        refusal::find(ended, &around)
    }

    /// Lets go of the kept rules, for a program that will be idle. They hold files: the space of a
    /// deleted one comes free when the rules are made anew, at the next line, or here.
    pub fn rest(&self) {
        if let Some(read_only) = &self.read_only {
            read_only.rest();
        }
    }

    /// What the rules cost now.
    pub fn figures(&self) -> Figures {
        let grants = self.places.grants();
        let made = self.read_only.as_ref().map_or(0, ReadOnly::made);
        let watched = lock(&self.places.book).memory().len();
        Figures { made, rules: grants.rules.len(), watched, unseen: grants.unseen }
    }

    /// Starts a child.
    ///
    /// # Errors
    /// When the level does not exist, or the child did not start. It is never started at a looser
    /// level.
    pub fn start(&self, launch: Launch, level: Level) -> Result<Running<Child>, SandboxError> {
        self.start_with(launch, level, |mut command| command.spawn())
    }

    /// Starts a child with the caller's own way to start a command. For tokio: enter the runtime's
    /// handle in the closure, turn the command into one of tokio's, and spawn it.
    ///
    /// The closure runs on a confined thread. It must do nothing else, and must not make threads.
    ///
    /// # Errors
    /// As [`Sandbox::start`].
    pub fn start_with<T: Send + 'static>(
        &self,
        mut launch: Launch,
        level: Level,
        start: impl FnOnce(Command) -> io::Result<T> + Send + 'static,
    ) -> Result<Running<T>, SandboxError> {
        self.check(level)?;
        check_directory(&launch.directory)?;
        launch.files.leaked = self.leaked.clone();
        if level != Level::Free {
            launch.keep_secrets();
        }
        // Last, so that nothing the caller sets brings it back.
        for name in &self.places.policy.hidden {
            launch = launch.env_remove(name);
        }
        let starting = Starting { program: launch.program.to_string_lossy().into_owned() };
        launch.resolve().map_err(|source| starting.failed(source))?;
        match level {
            Level::Free => {
                let child = launch.into_command().and_then(start);
                let child = child.map_err(|source| starting.failed(source))?;
                Ok(Running { child, hold: Hold::nothing() })
            }
            Level::ReadOnly => self.start_read_only(launch, &starting, start),
            Level::Workspace => self.start_in_workspace(launch, &starting, start),
        }
    }

    fn start_read_only<T: Send + 'static>(
        &self,
        mut launch: Launch,
        starting: &Starting,
        start: impl FnOnce(Command) -> io::Result<T> + Send + 'static,
    ) -> Result<Running<T>, SandboxError> {
        let Some(read_only) = &self.read_only else { return Err(ConfineError::Partial.into()) };
        let rules = self.places.rules(read_only)?;
        let scratch = self.places.scratch()?;
        launch.use_scratch(scratch.path());
        launch.use_scratch_caches(scratch.path());
        let command = launch.into_command().map_err(|source| starting.failed(source))?;
        let child = read_only.run(rules, move || start(command))?;
        let child = child.map_err(|source| starting.failed(source))?;
        Ok(Running { child, hold: Hold::scratch(scratch) })
    }

    fn start_in_workspace<T: Send + 'static>(
        &self,
        mut launch: Launch,
        starting: &Starting,
        start: impl FnOnce(Command) -> io::Result<T> + Send + 'static,
    ) -> Result<Running<T>, SandboxError> {
        let Some(bwrap) = &self.bwrap else { return Err(ConfineError::Partial.into()) };
        let scratch = self.places.scratch()?;
        launch.use_scratch(scratch.path());
        let grants = self.places.grants();
        let wrapped = bwrap.wrap(launch, &self.places.policy, &grants, &scratch);
        let launch = wrapped.map_err(|source| starting.failed(source))?;
        let command = launch.into_command().map_err(|source| starting.failed(source))?;
        let aftermath = Aftermath::before(&self.places.policy, &grants);
        let started = running::on_a_lasting_thread(move || start(command));
        let (child, thread) = started.map_err(|source| starting.failed(source))?;
        let hold = Hold::workspace(scratch, thread, aftermath, self.places.clone());
        Ok(Running { child, hold })
    }
}

/// The policy with everything that is remembered of its places.
#[derive(Debug)]
struct Places {
    policy: Policy,
    parent: ScratchParent,
    book: Mutex<Book>,
}

impl Places {
    fn grants(&self) -> Arc<Grants> {
        lock(&self.book).current(&self.policy, self.parent.path())
    }

    /// What the next line is confined with, brought up to date.
    fn rules(&self, read_only: &ReadOnly) -> Result<Rules, ConfineError> {
        // Locked until the rules are made: they are made from what the book remembers.
        let mut book = lock(&self.book);
        let grants = book.current(&self.policy, self.parent.path());
        read_only.rules(&grants, &book)
    }

    fn scratch(&self) -> Result<Scratch, SandboxError> {
        self.parent.make().map_err(no_scratch)
    }

    /// A home inside the workspace would be writable with it, and a link in the place of `.git`
    /// cannot be held.
    fn check_writable(&self) -> Result<(), SandboxError> {
        let workspace = &self.policy.workspace;
        let holds_home = self.policy.home.as_ref().is_some_and(|home| home.starts_with(workspace));
        if holds_home {
            return Err(SandboxError::Unfit { path: workspace.clone() });
        }
        let git = workspace.join(".git");
        if git.is_symlink() {
            return Err(SandboxError::Unfit { path: git });
        }
        Ok(())
    }
}

fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::NotFound => "; is it installed and on the PATH?",
        io::ErrorKind::ArgumentListTooLong => "; put the long text into a file",
        io::ErrorKind::InvalidInput => "; a NUL character cannot be passed to a program",
        _ => "",
    }
}

/// The name under which a child's failure to start is told.
struct Starting {
    program: String,
}

impl Starting {
    fn failed(&self, source: io::Error) -> SandboxError {
        SandboxError::Start { program: self.program.clone(), source }
    }
}

fn check_directory(path: &Path) -> Result<(), SandboxError> {
    let failed = |source| SandboxError::Directory { path: path.to_owned(), source };
    let data = std::fs::metadata(path).map_err(failed)?;
    if !data.is_dir() {
        return Err(failed(io::ErrorKind::NotADirectory.into()));
    }
    Ok(())
}

fn no_scratch(source: io::Error) -> SandboxError {
    SandboxError::Scratch { path: std::env::temp_dir(), source }
}

/// A panic elsewhere leaves at worst something out of date, and it is looked at again before each use.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
