//! What the user was told, for a test to look at.

use std::sync::Arc;

use harness_core::{Event, Mutex, Observer};

/// An observer that keeps the notices. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Notices(Arc<Mutex<Vec<String>>>);

impl Notices {
    /// Those so far, in order.
    pub fn all(&self) -> Vec<String> {
        self.0.lock().clone()
    }
}

impl Observer for Notices {
    fn on(&self, _: &str, event: &Event) {
        if let Event::Notice(notice) = event {
            self.0.lock().push(notice.clone());
        }
    }
}
