//! The server's two judges around any model, in process and without a network.

use std::sync::Arc;

use futures_util::StreamExt;
use harness_core::{Delta, Model, ModelStream, Mutex, Request};
use serde_json::Value;

use crate::history::{History, Turn};
use crate::rules::Rules;

/// A model that keeps every request and judges it before the model inside gets it.
///
/// It panics where a request is wrong, so that the test's backtrace shows who sent it. Where that panic
/// was caught (a subagent inside a tool, a task), the test fails when the last clone is dropped, or at
/// [`Witness::verify`]. [`Witness::collecting`] only keeps what was wrong. Clones share their memory.
#[derive(Clone, Debug)]
pub struct Witness<M> {
    inner: M,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    panics: bool,
    requests: Vec<(String, Value)>,
    violations: Vec<String>,
    history: History,
}

impl<M: Model> Witness<M> {
    /// Watches this model, and panics at the first wrong request.
    pub fn new(inner: M) -> Self {
        let witness = Self::collecting(inner);
        witness.seen.lock().panics = true;
        witness
    }

    /// Watches this model, and keeps what was wrong for [`Witness::violations`].
    pub fn collecting(inner: M) -> Self {
        Self { inner, seen: Arc::default() }
    }

    /// The test moves the prefix on purpose: see [`crate::history`].
    pub fn allow_rewrites(self) -> Self {
        self.seen.lock().history.allow_rewrites();
        self
    }

    /// The test forks conversations on purpose.
    pub fn allow_forks(self) -> Self {
        self.seen.lock().history.allow_forks();
        self
    }

    /// Every request's body, in order.
    pub fn requests(&self) -> Vec<Value> {
        self.seen.lock().requests.iter().map(|(_, body)| body.clone()).collect()
    }

    /// The bodies this agent sent, in order.
    pub fn requests_of(&self, agent: &str) -> Vec<Value> {
        let seen = self.seen.lock();
        let own = seen.requests.iter().filter(|(name, _)| name == agent);
        own.map(|(_, body)| body.clone()).collect()
    }

    /// What was wrong so far.
    pub fn violations(&self) -> Vec<String> {
        self.seen.lock().violations.clone()
    }

    /// Fails the test if any request was wrong.
    ///
    /// # Panics
    /// With the list.
    pub fn verify(&self) {
        let wrong = self.violations();
        assert!(wrong.is_empty(), "{}", told(&wrong));
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        let fails = self.panics && !self.violations.is_empty() && !std::thread::panicking();
        assert!(!fails, "{}", told(&self.violations));
    }
}

fn told(wrong: &[String]) -> String {
    format!("the model was sent requests that are wrong:\n- {}", wrong.join("\n- "))
}

impl Seen {
    fn judge(&mut self, agent: &str, body: &Value) -> (Turn, Vec<String>) {
        self.requests.push((agent.to_owned(), body.clone()));
        let number = self.requests.len();
        let rules = Rules { paused: self.history.paused(body), ..Rules::default() };
        let refused = rules.check(body).err().map(|refusal| refusal.message);
        let (turn, moved) = self.history.see(agent, body);
        let wrong = refused.into_iter().chain(moved);
        let wrong: Vec<String> =
            wrong.map(|what| format!("request {number} of {agent}: {what}")).collect();
        self.violations.extend(wrong.iter().cloned());
        (turn, wrong)
    }
}

impl<M: Model> Model for Witness<M> {
    fn stream(&self, request: &Request<'_>) -> ModelStream {
        let body = serde_json::to_value(request).unwrap();
        let (turn, wrong, panics) = {
            let mut seen = self.seen.lock();
            let (turn, wrong) = seen.judge(request.agent, &body);
            (turn, wrong, seen.panics)
        };
        assert!(wrong.is_empty() || !panics, "{}", told(&wrong));
        let seen = self.seen.clone();
        let watched = self.inner.stream(request).inspect(move |delta| match delta {
            Ok(Delta::Text(words)) => seen.lock().history.says(turn, words),
            Ok(Delta::Done(reply)) => {
                let content = serde_json::to_value(&reply.message.content).unwrap();
                let content = content.as_array().cloned().unwrap_or_default();
                let history = &mut seen.lock().history;
                history.sends(turn, &content, reply.stop.as_wire());
                history.sent(turn);
            }
            _ => {}
        });
        watched.boxed()
    }
}
