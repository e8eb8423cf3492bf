//! The levels as Linux has them.

use std::{io, process::Command, sync::Arc};

use crate::{
    error::{ConfineError, SandboxError},
    launch::Launch,
    level::{Level, Machine},
    read_only::{ReadOnly, Rules},
    running::{self, Hold, Running},
    sandbox::{Places, Starting, lock, no_scratch},
    scratch::ScratchParent,
    workspace::{Aftermath, Bwrap},
};

/// What starts confined children on this machine.
#[derive(Debug)]
pub(crate) struct Engine {
    read_only: Option<ReadOnly>,
    bwrap: Option<Bwrap>,
}

impl Engine {
    pub(crate) fn new(machine: &Machine, parent: &ScratchParent) -> Result<Self, SandboxError> {
        let read_only = match (&machine.landlock, machine.has(Level::ReadOnly)) {
            (Ok(version), Ok(())) => Some(ReadOnly::new(*version)?),
            _ => None,
        };
        let bwrap = match (&machine.bwrap, machine.has(Level::Workspace)) {
            (Ok(path), Ok(())) => Some(Bwrap::new(path.clone(), parent).map_err(no_scratch)?),
            _ => None,
        };
        Ok(Self { read_only, bwrap })
    }

    pub(crate) fn rest(&self) {
        if let Some(read_only) = &self.read_only {
            read_only.rest();
        }
    }

    pub(crate) fn made(&self) -> u64 {
        self.read_only.as_ref().map_or(0, ReadOnly::made)
    }

    pub(crate) fn start_read_only<T: Send + 'static>(
        &self,
        mut launch: Launch,
        places: &Arc<Places>,
        starting: &Starting,
        start: impl FnOnce(Command) -> io::Result<T> + Send + 'static,
    ) -> Result<Running<T>, SandboxError> {
        let Some(read_only) = &self.read_only else { return Err(ConfineError::Partial.into()) };
        let rules = current_rules(places, read_only)?;
        let scratch = places.scratch()?;
        launch.use_scratch(scratch.path());
        launch.use_scratch_caches(scratch.path());
        let command = launch.into_command().map_err(|source| starting.failed(source))?;
        let child = read_only.run(rules, move || start(command))?;
        let child = child.map_err(|source| starting.failed(source))?;
        Ok(Running { child, hold: Hold::scratch(scratch) })
    }

    pub(crate) fn start_in_workspace<T: Send + 'static>(
        &self,
        mut launch: Launch,
        places: &Arc<Places>,
        starting: &Starting,
        start: impl FnOnce(Command) -> io::Result<T> + Send + 'static,
    ) -> Result<Running<T>, SandboxError> {
        let Some(bwrap) = &self.bwrap else { return Err(ConfineError::Partial.into()) };
        let scratch = places.scratch()?;
        launch.use_scratch(scratch.path());
        let grants = places.grants();
        let wrapped = bwrap.wrap(launch, &places.policy, &grants, &scratch);
        let launch = wrapped.map_err(|source| starting.failed(source))?;
        let command = launch.into_command().map_err(|source| starting.failed(source))?;
        let aftermath = Aftermath::before(&places.policy, &grants);
        let started = running::on_a_lasting_thread(move || start(command));
        let (child, thread) = started.map_err(|source| starting.failed(source))?;
        let hold = Hold::workspace(scratch, thread, aftermath, places.clone());
        Ok(Running { child, hold })
    }
}

/// What the next line is confined with, brought up to date.
fn current_rules(places: &Places, read_only: &ReadOnly) -> Result<Rules, ConfineError> {
    // Locked until the rules are made: they are made from what the book remembers.
    let mut book = lock(&places.book);
    let grants = book.current(&places.policy, places.parent.path());
    read_only.rules(&grants, &book)
}
