//! A child that runs, with what must live as long as it.

use std::path::PathBuf;
#[cfg(target_os = "linux")]
use std::{
    io,
    sync::{Arc, mpsc},
    thread::JoinHandle,
};

use crate::scratch::Scratch;
#[cfg(target_os = "linux")]
use crate::{sandbox::Places, workspace::Aftermath};

/// A started child and what it stands on. Keep it until the child has ended, then call
/// [`Running::finish`]. A child of the level `Workspace` is killed when this is dropped.
#[derive(Debug)]
pub struct Running<T> {
    /// The child.
    pub child: T,
    pub(crate) hold: Hold,
}

impl<T> Running<T> {
    /// The child, and what stands behind it.
    pub fn split(self) -> (T, Hold) {
        (self.child, self.hold)
    }

    /// To be called when the child has ended: deletes its scratch folder and moves aside what it made
    /// where other programs would run it. Whatever is still alive of the child's processes stays
    /// confined, and has no scratch folder any more.
    pub fn finish(self) -> Vec<SetAside> {
        self.hold.finish()
    }
}

/// Something that came into being where it must not, under its new name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Where it was made.
    pub path: PathBuf,
    /// Where it is now. `None`: it could not be moved, or is only told of.
    pub moved_to: Option<PathBuf>,
}

/// What lives as long as a child.
#[derive(Debug, Default)]
pub struct Hold {
    scratch: Option<Scratch>,
    #[cfg(target_os = "linux")]
    thread: Option<LastingThread>,
    #[cfg(target_os = "linux")]
    aftermath: Option<(Aftermath, Arc<Places>)>,
}

impl Hold {
    pub(crate) fn nothing() -> Self {
        Self::default()
    }

    pub(crate) fn scratch(scratch: Scratch) -> Self {
        Self {
            scratch: Some(scratch),
            #[cfg(target_os = "linux")]
            thread: None,
            #[cfg(target_os = "linux")]
            aftermath: None,
        }
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn workspace(
        scratch: Scratch,
        thread: LastingThread,
        aftermath: Aftermath,
        places: Arc<Places>,
    ) -> Self {
        let aftermath = Some((aftermath, places));
        Self { scratch: Some(scratch), thread: Some(thread), aftermath }
    }

    /// See [`Running::finish`].
    pub fn finish(mut self) -> Vec<SetAside> {
        self.settle()
    }

    #[cfg(target_os = "linux")]
    fn settle(&mut self) -> Vec<SetAside> {
        self.thread = None;
        self.scratch = None;
        match self.aftermath.take() {
            Some((aftermath, places)) => aftermath.settle(&places.grants()),
            None => Vec::new(),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn settle(&mut self) -> Vec<SetAside> {
        self.scratch = None;
        Vec::new()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.settle();
    }
}

/// A thread that has started a child and waits. `bwrap` asks the kernel to be killed with its parent,
/// and to the kernel that is the thread.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub(crate) struct LastingThread {
    /// Dropped first: the thread ends when nobody can send any more.
    end: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[cfg(target_os = "linux")]
impl Drop for LastingThread {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            // It does nothing but wait, so there is no panic to be told of.
            let _ = thread.join();
        }
    }
}

#[cfg(target_os = "linux")]
/// Starts a child on a thread that then waits until it is dropped.
pub(crate) fn on_a_lasting_thread<T: Send + 'static>(
    start: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<(T, LastingThread)> {
    let (end, ended) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    let builder = std::thread::Builder::new().name("confined".to_owned());
    let thread = builder.spawn(move || {
        let _ = tell.send(start());
        // An error is what is waited for: the sender is gone.
        let _ = ended.recv();
    })?;
    let thread = LastingThread { end: Some(end), thread: Some(thread) };
    let child = told.recv().map_err(|_| io::Error::other("the starting thread broke down"))??;
    Ok((child, thread))
}
