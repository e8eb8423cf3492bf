//! What the lead has beside its mail.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use harness_core::mail::{Post, shown};
use harness_core::{AgentError, Conversation, Event, Hook, Observer, Observers, Turn};

/// The lead's: what its conversation holds is done, and it does not stop while there is mail to read.
pub(crate) struct Lead {
    pub(crate) post: Arc<Post>,
    pub(crate) watchers: Watchers,
}

#[async_trait]
impl Hook for Lead {
    async fn before_model(&self, _: &mut Conversation, t: &Turn<'_>) -> Result<(), AgentError> {
        if t.agent.name == self.post.name {
            self.watchers.set(&t.agent.observers); // the terminal's came after the team was made
        }
        Ok(())
    }

    async fn keep(&self, c: &Conversation, t: &Turn<'_>) -> Result<(), AgentError> {
        if t.agent.name == self.post.name {
            self.post.settle(c).await;
        }
        Ok(())
    }

    async fn before_stop(&self, c: &Conversation, t: &Turn<'_>) -> Option<String> {
        let mine = t.agent.name == self.post.name;
        mine.then(|| self.post.take_notice(c).first().map(shown)).flatten()
    }
}

/// Passes on what teammates do to those who watch the lead now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watchers(Arc<Mutex<Observers>>);

impl Watchers {
    fn set(&self, observers: &Observers) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = observers.clone();
    }
}

impl Observer for Watchers {
    fn on(&self, agent: &str, event: &Event) {
        let observers = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        observers.tell(agent, event);
    }
}
