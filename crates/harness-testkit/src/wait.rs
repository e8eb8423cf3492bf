//! Waiting without a clock: tools at which agents wait for each other or for the test, and conditions that a
//! test waits for. What is waited for in vain fails the test.

use std::sync::Arc;

use harness_core::{Content, Effect, NoInput, Tool, ToolContext, ToolError};
use rustix::process::{Pid, test_kill_process};
use tokio::sync::{Barrier, Semaphore};

/// A tool, `gate`, at which an agent waits until the test lets it go on.
#[derive(Clone, Debug)]
pub struct Gate {
    reached: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl Default for Gate {
    fn default() -> Self {
        let closed = || Arc::new(Semaphore::new(0));
        Self { reached: closed(), open: closed() }
    }
}

impl Gate {
    /// Returns once one more agent has reached it.
    ///
    /// # Panics
    /// Never: the gate is not taken down.
    pub async fn reached(&self) {
        self.reached.acquire().await.unwrap().forget();
    }

    /// Lets one agent through.
    pub fn open(&self) {
        self.open.add_permits(1);
    }
}

impl Tool for Gate {
    const NAME: &'static str = "gate";
    const ABOUT: &'static str = "Waits.";
    type Input = NoInput;

    fn effect(&self, _: &NoInput) -> Effect {
        Effect::Internal
    }

    async fn call(&self, _: NoInput, _: &ToolContext) -> Result<Content, ToolError> {
        self.reached.add_permits(1);
        self.open.acquire().await.unwrap().forget();
        Ok("open".into())
    }
}

/// A tool, `meet`, at which nobody passes before all are there.
#[derive(Clone, Debug)]
pub struct Meet(Arc<Barrier>);

impl Meet {
    /// For so many.
    pub fn new(count: usize) -> Self {
        Self(Arc::new(Barrier::new(count)))
    }
}

impl Tool for Meet {
    const NAME: &'static str = "meet";
    const ABOUT: &'static str = "Waits until all are there.";
    type Input = NoInput;

    fn effect(&self, _: &NoInput) -> Effect {
        Effect::Internal
    }

    async fn call(&self, _: NoInput, _: &ToolContext) -> Result<Content, ToolError> {
        self.0.wait().await;
        Ok("all are here".into())
    }
}

/// Returns as soon as this is so.
///
/// # Panics
/// When it does not come to be so.
pub fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..20_000_000 {
        if is_so() {
            return;
        }
        std::thread::yield_now();
    }
    panic!("waited in vain: {what}");
}

/// Waits until a process is no more, or only a zombie is left.
///
/// # Panics
/// When it stays, or is no number.
pub fn wait_until_gone(pid: &str) {
    let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    wait_until(&format!("process {pid:?} ends"), || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
        stat.is_ok_and(|stat| stat.contains(") Z ")) || test_kill_process(pid).is_err()
    });
}
