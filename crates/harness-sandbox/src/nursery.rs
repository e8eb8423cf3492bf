//! Threads that start confined children.
//!
//! A filter costs half a millisecond to attach, since the kernel tries it on every number there is. A
//! new thread has the filter of the thread that made it, at no cost. So one thread sets the filter
//! once, and makes a thread for each child: that one takes the rules for files, which may differ from
//! line to line, starts the child and ends.
//!
//! Each child has rules of its own although they say the same: only processes under one set of rules
//! can signal each other, and lines are none of each other's business.

use std::{
    io,
    sync::mpsc,
    thread::{self, JoinHandle},
};

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
use seccompiler::BpfProgram;

use crate::error::ConfineError;

type Job = Box<dyn FnOnce() + Send>;

/// A thread under the filter that makes others. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Nursery {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Nursery {
    /// Starts the thread and sets the filter on it.
    pub(crate) fn new(program: BpfProgram) -> Result<Self, ConfineError> {
        let (jobs, taken) = mpsc::channel::<Job>();
        let (tell, told) = mpsc::channel();
        let thread = named().spawn(move || {
            let confined = confine(&program);
            let is_confined = confined.is_ok();
            let _ = tell.send(confined);
            if is_confined {
                make_threads(&taken);
            }
        })?;
        let nursery = Self { jobs: Some(jobs), thread: Some(thread) };
        told.recv().map_err(|_| broken())??;
        Ok(nursery)
    }

    /// Runs the closure on a new thread under the filter, and waits for what it gives.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        run: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let (tell, told) = mpsc::channel();
        let job: Job = Box::new(move || {
            // Nobody is there to be told when the caller was ended meanwhile.
            let _ = tell.send(run());
        });
        let jobs = self.jobs.as_ref().ok_or_else(broken)?;
        jobs.send(job).map_err(|_| broken())?;
        told.recv().map_err(|_| broken())
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn make_threads(taken: &mpsc::Receiver<Job>) {
    while let Ok(job) = taken.recv() {
        // Without a thread the job is dropped, and its caller is told by the closed channel.
        let _ = named().spawn(job);
    }
}

fn named() -> thread::Builder {
    thread::Builder::new().name("confined".to_owned())
}

fn broken() -> io::Error {
    io::Error::other("no confined thread could be made; is there memory left?")
}

fn confine(program: &BpfProgram) -> Result<(), ConfineError> {
    drop_capabilities()?;
    // Sets "no new privileges" too, which keeps capabilities from coming back with a program.
    seccompiler::apply_filter(program)?;
    Ok(())
}

/// Root without capabilities may still read what root owns, and nothing of what makes it root. One is
/// left: reading the files of others, as in a container whose workspace belongs to somebody else.
fn drop_capabilities() -> io::Result<()> {
    let own = capabilities(None)?;
    let left = own.permitted & CapabilitySet::DAC_READ_SEARCH;
    let sets =
        CapabilitySets { effective: left, permitted: left, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets)?;
    Ok(())
}
