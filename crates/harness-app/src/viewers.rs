//! What a mechanism shows the user outside of a turn: a typed event, which every front renders its own way.

use std::sync::Arc;

use harness_core::{Event, Mutex, Observer, Observers};

/// The observers that a front has added, for mechanisms that have something to show while no turn runs.
///
/// An event that is emitted here reaches displays and reports, and no log, meter or hook of another mechanism.
/// What comes before the front is ready is kept and shown then. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Viewers(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    observers: Observers,
    ready: bool,
    /// What was emitted before the front was ready: the agent's name, and the event.
    held: Vec<(String, Event)>,
}

impl Viewers {
    /// Shows an event; `agent` is the name of the agent it happened to.
    pub fn emit(&self, agent: &str, event: &Event) {
        let observers = {
            let mut inner = self.0.lock();
            if !inner.ready {
                inner.held.push((agent.to_owned(), event.clone()));
                return;
            }
            inner.observers.clone()
        };
        // Without the lock: an observer may take its time.
        observers.emit(agent, event);
    }

    /// Shows a sentence.
    pub fn notice(&self, agent: &str, sentence: impl Into<String>) {
        self.emit(agent, &Event::Notice(sentence.into()));
    }

    pub(crate) fn add(&self, observer: Arc<dyn Observer>) {
        self.0.lock().observers.add(observer);
    }

    /// The front is ready: shows what was kept, and from now on all events at once.
    pub(crate) fn open(&self) {
        loop {
            let (held, observers) = {
                let mut inner = self.0.lock();
                inner.ready = inner.held.is_empty();
                if inner.ready {
                    return;
                }
                (std::mem::take(&mut inner.held), inner.observers.clone())
            };
            for (agent, event) in held {
                observers.emit(&agent, &event);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes down the notices.
    #[derive(Default)]
    struct Notices(Mutex<Vec<String>>);

    impl Observer for Notices {
        fn on(&self, agent: &str, event: &Event) {
            if let Event::Notice(sentence) = event {
                self.0.lock().push(format!("{agent}: {sentence}"));
            }
        }
    }

    #[test]
    fn what_comes_before_the_front_is_ready_is_shown_then_and_in_order() {
        let viewers = Viewers::default();
        let notices = Arc::new(Notices::default());
        viewers.notice("lead", "one");
        viewers.add(notices.clone());
        viewers.notice("lead", "two");
        assert_eq!(*notices.0.lock(), [""; 0]);
        viewers.open();
        viewers.notice("mate", "three");
        assert_eq!(*notices.0.lock(), ["lead: one", "lead: two", "mate: three"]);
    }
}
