//! Lets agents that work in tasks of their own be watched by whoever watches the agent they work for.

use std::sync::Arc;

use async_trait::async_trait;

use crate::agent::hook::{Hook, HookContext};
use crate::agent::{Agent, AgentError, Mechanism};
use crate::conversation::Conversation;
use crate::event::{Event, Observer, Observers};
use crate::host::mutex::Mutex;

/// Passes events on to those who watch an agent *now*. A terminal adds its display after a session has made
/// its teammates or workers, so their observers cannot be copied from the agent when they are made.
///
/// It is an observer of those who work, and a hook of the agent they work for.
#[derive(Clone, Debug)]
pub struct Relay {
    of: String,
    observers: Arc<Mutex<Observers>>,
}

impl Relay {
    /// Passes on to those who watch this agent; to nobody before its first turn.
    pub fn new(agent: &Agent) -> Self {
        Self { of: agent.name.clone(), observers: Arc::default() }
    }

    /// The observers of those who work for the agent: this one alone.
    pub fn observers(&self) -> Observers {
        let mut observers = Observers::default();
        observers.add(Arc::new(self.clone()));
        observers
    }
}

impl Mechanism for Relay {
    fn install(self, agent: &mut Agent) {
        agent.hooks.push(Arc::new(self));
    }
}

impl Observer for Relay {
    fn on(&self, agent: &str, event: &Event) {
        let observers = self.observers.lock().clone();
        observers.emit(agent, event);
    }
}

#[async_trait]
impl Hook for Relay {
    async fn before_model(
        &self,
        _: &mut Conversation,
        t: &HookContext<'_>,
    ) -> Result<(), AgentError> {
        if t.agent.name == self.of {
            let mut observers = self.observers.lock();
            *observers = t.agent.observers.clone();
        }
        Ok(())
    }
}
