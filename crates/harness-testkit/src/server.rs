//! A Messages API server on loopback that checks everything it is sent.
//!
//! It runs on a thread of its own, so that it answers tests that block (processes, terminals) as well as
//! async ones, and it ends when it is dropped. What was wrong with the requests is a *violation*; a
//! server that is dropped with violations fails the test, unless [`StrictServer::take_violations`]
//! fetched them.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use axum::serve::ListenerExt;
use serde_json::Value;
use tokio::sync::oneshot;

use crate::answers::Answers;
use crate::faults::{Fault, When};
use crate::gates::Gates;
use crate::history::History;
use harness_core::model::cache::{Clock, Simulated};

/// A request as it came in.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// The HTTP method.
    pub method: String,
    /// The path, without query.
    pub path: String,
    /// The query, without `?`.
    pub query: String,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body, or null if it was no JSON.
    pub body: Value,
    /// The body as it came, if it is text.
    pub text: String,
}

impl Recorded {
    /// Which agent asked: header `x-harness-agent`, else "lead".
    pub fn agent(&self) -> &str {
        self.headers.get("x-harness-agent").map_or("lead", String::as_str)
    }

    /// Whether a model's turn was asked for, in either dialect.
    pub(crate) fn is_turn(&self) -> bool {
        let path = self.path.trim_end_matches('/');
        path == "/v1/messages" || path.ends_with("/chat/completions")
    }
}

type Teller = Box<dyn Fn(&str) + Send>;

/// All that the server knows; one lock, held only between two awaits.
pub(crate) struct State {
    pub(crate) answers: Answers,
    pub(crate) history: History,
    pub(crate) cache: Simulated,
    pub(crate) faults: Vec<(When, Fault)>,
    pub(crate) key: Option<String>,
    pub(crate) window: u64,
    pub(crate) recorded: Vec<Recorded>,
    pub(crate) served: usize,
    violations: Vec<String>,
    teller: Option<Teller>,
}

impl State {
    pub(crate) fn violate(&mut self, what: String) {
        self.tell(&format!("VIOLATION {what}"));
        self.violations.push(what);
    }

    pub(crate) fn tell(&self, line: &str) {
        if let Some(teller) = &self.teller {
            teller(line);
        }
    }
}

pub(crate) struct Shared {
    pub(crate) state: Mutex<State>,
    pub(crate) gates: Gates,
}

/// The server. See the module.
#[must_use = "the server ends when it is dropped"]
pub struct StrictServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for StrictServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StrictServer").field("address", &self.address).finish_non_exhaustive()
    }
}

impl StrictServer {
    /// Starts on a free port of loopback. `answers`: a play, its YAML, or a list of replies.
    ///
    /// # Panics
    /// When no port can be had.
    pub fn start(answers: impl Into<Answers>) -> Self {
        Self::start_on(0, answers)
    }

    /// The same on this port.
    ///
    /// # Panics
    /// When the port is taken.
    pub fn start_on(port: u16, answers: impl Into<Answers>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let state = State {
            answers: answers.into(),
            history: History::default(),
            cache: Simulated::default(),
            faults: Vec::new(),
            key: None,
            window: 1_000_000,
            recorded: Vec::new(),
            served: 0,
            violations: Vec::new(),
            teller: None,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), gates: Gates::default() });
        let (stop, stopped) = oneshot::channel::<()>();
        let app = crate::routes::app(shared.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                // Many small writes: without this each reply waits 40 ms for the client's kernel.
                let listener = listener.tap_io(|stream| _ = stream.set_nodelay(true));
                tokio::select! {
                    served = axum::serve(listener, app) => served.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        Self { address, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// What goes into `ANTHROPIC_BASE_URL`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Plans a fault: for the n-th request (from 1), or for those that contain a text.
    pub fn fault(&self, when: impl Into<When>, fault: Fault) -> &Self {
        self.state().faults.push((when.into(), fault));
        self
    }

    /// Answers 401 to requests without this key.
    pub fn require_key(&self, key: &str) -> &Self {
        self.state().key = Some(key.to_owned());
        self
    }

    /// The model's window in tokens (a million unless said); a longer prompt is refused as the API does.
    pub fn window(&self, tokens: u64) -> &Self {
        self.state().window = tokens;
        self
    }

    /// The prompt cache's smallest prefix in tokens, and the clock its entries live by.
    pub fn cache(&self, minimum: u64, clock: Clock) -> &Self {
        self.state().cache = Simulated::new(minimum, clock);
        self
    }

    /// The test moves the prefix on purpose: see [`crate::history`].
    pub fn allow_rewrites(&self) -> &Self {
        self.state().history.allow_rewrites();
        self
    }

    /// The test forks conversations on purpose.
    pub fn allow_forks(&self) -> &Self {
        self.state().history.allow_forks();
        self
    }

    /// Is told a line for each request and each violation.
    pub fn tell(&self, teller: impl Fn(&str) + Send + 'static) -> &Self {
        self.state().teller = Some(Box::new(teller));
        self
    }

    /// Opens a gate.
    pub fn open(&self, gate: &str) {
        self.shared.gates.open(gate);
    }

    /// Returns once exactly this many streams wait at the gate at the same time.
    ///
    /// # Panics
    /// After a minute.
    pub async fn held(&self, gate: &str, count: usize) {
        self.shared.gates.held(gate, count).await;
    }

    /// [`StrictServer::held`] for a test without a runtime.
    ///
    /// # Panics
    /// After a minute, or inside a runtime.
    pub fn held_blocking(&self, gate: &str, count: usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.unwrap().block_on(self.held(gate, count));
    }

    /// The bodies sent to `POST /v1/messages` (or, as they came, to `…/chat/completions`), in order.
    pub fn requests(&self) -> Vec<Value> {
        let state = self.state();
        let messages = state.recorded.iter().filter(|recorded| recorded.is_turn());
        messages.map(|recorded| recorded.body.clone()).collect()
    }

    /// Every request to any path, in order.
    pub fn recorded(&self) -> Vec<Recorded> {
        self.state().recorded.clone()
    }

    /// What was wrong so far.
    pub fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    /// What was wrong so far; it no longer fails the test.
    pub fn take_violations(&self) -> Vec<String> {
        std::mem::take(&mut self.state().violations)
    }

    /// Ends the server, and returns the bodies it was sent.
    ///
    /// # Panics
    /// When a request was wrong.
    pub fn finish(self) -> Vec<Value> {
        self.requests() // and the drop does the rest
    }
}

impl Drop for StrictServer {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        let crashed = self.thread.take().is_some_and(|thread| thread.join().is_err());
        if std::thread::panicking() {
            return;
        }
        assert!(!crashed && !self.shared.state.is_poisoned(), "the server itself crashed");
        let violations = self.take_violations();
        assert!(
            violations.is_empty(),
            "the server was sent requests that were wrong:\n- {}",
            violations.join("\n- ")
        );
    }
}
