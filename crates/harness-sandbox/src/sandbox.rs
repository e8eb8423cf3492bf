//! The sandbox: a machine, the places of one workspace, and a way to start children.

use std::{
    collections::BTreeSet,
    io,
    os::fd::RawFd,
    path::Path,
    process::{Child, Command},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    Engine,
    error::SandboxError,
    files,
    grants::{Book, Grants},
    launch::Launch,
    level::{Level, Machine},
    policy::Policy,
    refusal::{self, Around, Ended, Refusal},
    running::{Hold, Running},
    scratch::{Scratch, ScratchParent},
};

/// Starts children at a level. One for each workspace; it is shared between threads.
#[derive(Debug)]
pub struct Sandbox {
    machine: Machine,
    places: Arc<Places>,
    engine: Engine,
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
        let engine = Engine::new(&machine, &parent)?;
        let places = Arc::new(Places { policy, parent, book: Mutex::default() });
        let leaked = Arc::new(files::find_leaked());
        Ok(Self { machine, places, engine, leaked })
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
        self.engine.rest();
    }

    /// What the rules cost now.
    pub fn figures(&self) -> Figures {
        let grants = self.places.grants();
        let made = self.engine.made();
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
            Level::ReadOnly => self.engine.start_read_only(launch, &self.places, &starting, start),
            Level::Workspace => {
                self.engine.start_in_workspace(launch, &self.places, &starting, start)
            }
        }
    }
}

/// The policy with everything that is remembered of its places.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) policy: Policy,
    pub(crate) parent: ScratchParent,
    pub(crate) book: Mutex<Book>,
}

impl Places {
    pub(crate) fn grants(&self) -> Arc<Grants> {
        lock(&self.book).current(&self.policy, self.parent.path())
    }

    pub(crate) fn scratch(&self) -> Result<Scratch, SandboxError> {
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

/// The name under which a child's failure to start is told.
pub(crate) struct Starting {
    program: String,
}

impl Starting {
    pub(crate) fn failed(&self, source: io::Error) -> SandboxError {
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

pub(crate) fn no_scratch(source: io::Error) -> SandboxError {
    SandboxError::Scratch { path: std::env::temp_dir(), source }
}

/// A panic elsewhere leaves at worst something out of date, and it is looked at again before each use.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
