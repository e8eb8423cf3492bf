//! Named points where streams wait until the test lets them go on: concurrency and interrupts are
//! proven by who waits where, never by sleeping.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::watch;

/// After this long a test that waits in vain fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// All gates of a server. A gate exists as soon as it is named, and is closed.
#[derive(Debug, Default)]
pub struct Gates(Mutex<HashMap<String, watch::Sender<State>>>);

#[derive(Clone, Copy, Debug, Default)]
struct State {
    waiting: usize,
    open: bool,
}

/// A place in the queue; left when the stream goes on or is dropped.
struct Place(watch::Sender<State>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.send_modify(|state| state.waiting -= 1);
    }
}

impl Gates {
    fn gate(&self, name: &str) -> watch::Sender<State> {
        self.0.lock().unwrap().entry(name.to_owned()).or_default().clone()
    }

    /// Opens it for all who wait and all who come.
    pub fn open(&self, name: &str) {
        self.gate(name).send_modify(|state| state.open = true);
    }

    /// Waits here until it is open.
    pub async fn pass(&self, name: &str) {
        let gate = self.gate(name);
        gate.send_modify(|state| state.waiting += 1);
        let _place = Place(gate.clone());
        // The sender is at hand, so the channel cannot be closed.
        let _ = gate.subscribe().wait_for(|state| state.open).await;
    }

    /// Returns once exactly `count` streams wait at the gate at the same time. With 0: once all have
    /// left it, as a cancelled request does.
    ///
    /// # Panics
    /// After a minute.
    pub async fn held(&self, name: &str, count: usize) {
        let gate = self.gate(name);
        let mut states = gate.subscribe();
        let reached = states.wait_for(|state| state.waiting == count);
        if tokio::time::timeout(PATIENCE, reached).await.is_err() {
            panic!("gate {name:?}: {count} streams expected, {:?} there", gate.borrow().waiting);
        }
    }
}
