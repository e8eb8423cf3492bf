//! Who is told of events.

use std::fmt;
use std::sync::Arc;

use super::Event;
use crate::host::mutex::Mutex;

/// A display, a log, a meter. Called on the agent's own task, so it must be quick.
pub trait Observer: Send + Sync {
    /// `agent` is the name of the agent it happened to.
    fn on(&self, agent: &str, event: &Event);
}

/// The observers of an agent. They are looked up when an event happens: one that is added late, to an agent
/// or to the agent that it is a child of, is told of what happens from then on. Clones share them.
#[derive(Clone, Default)]
pub struct Observers(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// The observers of the agent that this one is a child of.
    parent: Option<Observers>,
    lists: Mutex<Lists>,
}

/// Replaced whole when one is added, so that an event is emitted without holding the lock.
#[derive(Clone, Default)]
struct Lists {
    family: Arc<Vec<Arc<dyn Observer>>>,
    alone: Arc<Vec<Arc<dyn Observer>>>,
}

impl Observers {
    /// One more, of this agent alone.
    pub fn add(&mut self, observer: Arc<dyn Observer>) {
        Arc::make_mut(&mut self.0.lists.lock().alone).push(observer);
    }

    /// One more, of this agent and its children.
    pub fn add_for_family(&mut self, observer: Arc<dyn Observer>) {
        Arc::make_mut(&mut self.0.lists.lock().family).push(observer);
    }

    /// The observers of a child: those that this agent has for its family at the time of each event, and its own.
    pub fn for_child(&self) -> Self {
        Self(Arc::new(Shared { parent: Some(self.clone()), lists: Mutex::default() }))
    }

    /// Calls every observer: the family's first, from the eldest down, in the order they were added.
    pub fn emit(&self, agent: &str, event: &Event) {
        self.emit_to_family(agent, event);
        let alone = self.0.lists.lock().alone.clone();
        for observer in alone.iter() {
            observer.on(agent, event);
        }
    }

    fn emit_to_family(&self, agent: &str, event: &Event) {
        if let Some(parent) = &self.0.parent {
            parent.emit_to_family(agent, event);
        }
        let family = self.0.lists.lock().family.clone();
        for observer in family.iter() {
            observer.on(agent, event);
        }
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = self.0.lists.lock().clone();
        write!(f, "Observers({} for the family, {} alone)", lists.family.len(), lists.alone.len())
    }
}
