//! The levels as macOS has them: `sandbox-exec` with a profile. **Not tested on a machine with that
//! system.** On every other system that is not Linux there is no confined level.

use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use crate::{
    error::{ConfineError, SandboxError},
    launch::Launch,
    level::{Level, Machine},
    running::{Hold, Running},
    sandbox::{Places, Starting},
    scratch::ScratchParent,
    seatbelt,
};

/// What starts confined children on this machine.
#[derive(Debug)]
pub(crate) struct Engine {
    sandbox_exec: Option<PathBuf>,
}

impl Engine {
    pub(crate) fn new(machine: &Machine, _parent: &ScratchParent) -> Result<Self, SandboxError> {
        Ok(Self { sandbox_exec: machine.sandbox_exec.clone().ok() })
    }

    /// Nothing is kept.
    pub(crate) fn rest(&self) {}

    pub(crate) fn made(&self) -> u64 {
        0
    }

    pub(crate) fn start_read_only<T: Send + 'static>(
        &self,
        launch: Launch,
        places: &Arc<Places>,
        starting: &Starting,
        start: impl FnOnce(Command) -> io::Result<T> + Send + 'static,
    ) -> Result<Running<T>, SandboxError> {
        self.start(launch, Level::ReadOnly, places, starting, start)
    }

    pub(crate) fn start_in_workspace<T: Send + 'static>(
        &self,
        launch: Launch,
        places: &Arc<Places>,
        starting: &Starting,
        start: impl FnOnce(Command) -> io::Result<T> + Send + 'static,
    ) -> Result<Running<T>, SandboxError> {
        self.start(launch, Level::Workspace, places, starting, start)
    }

    fn start<T>(
        &self,
        mut launch: Launch,
        level: Level,
        places: &Arc<Places>,
        starting: &Starting,
        start: impl FnOnce(Command) -> io::Result<T>,
    ) -> Result<Running<T>, SandboxError> {
        let Some(program) = &self.sandbox_exec else { return Err(ConfineError::Partial.into()) };
        let scratch = places.scratch()?;
        launch.use_scratch(scratch.path());
        if level == Level::ReadOnly {
            launch.use_scratch_caches(scratch.path());
        }
        let closed: Vec<PathBuf> = places.grants().closed.iter().map(Path::to_owned).collect();
        let profile = seatbelt::profile(&places.policy, level, scratch.path(), &closed);
        let Some(profile) = profile else { return Err(ConfineError::Partial.into()) };
        let launch = launch.before(program, ["-p".into(), profile.into()]);
        let child = launch.into_command().and_then(start);
        let child = child.map_err(|source| starting.failed(source))?;
        Ok(Running { child, hold: Hold::scratch(scratch) })
    }
}
