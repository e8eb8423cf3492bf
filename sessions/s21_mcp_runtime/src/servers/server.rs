//! One server: its state, and the tools it offers.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use harness_core::{Content, ToolContext, ToolError, ToolSpec};
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::notices::Notices;
use super::offer::Offer;
use super::remote::{Disconnected, Remote};

/// How long a call waits for a server that is starting.
const CALL_START_TIMEOUT: Duration = Duration::from_secs(10);
/// How many different faults of its tools are remembered, so that each is reported once.
const MAX_REPORTED: usize = 50;

/// What the model is told of a server's tools, by the names that the server gave them.
pub(super) type ToolSpecs = BTreeMap<String, Arc<ToolSpec>>;

/// A server, and the tools it has now.
pub struct Server {
    /// Its name, as it is written in the configuration.
    pub name: String,
    /// How long one call may take.
    call_timeout: Duration,
    status: watch::Sender<Status>,
    notices: Notices,
}

struct Status {
    phase: Phase,
    /// They stay while it is restarted, because a list of tools that changes empties the prompt cache.
    tools: ToolSpecs,
    /// Whether it has ever published its tools.
    was_ready: bool,
    /// The faults of its tools that the user has been told of.
    reported: HashSet<String>,
}

enum Phase {
    Starting { since: Instant },
    Ready(Arc<dyn Remote>),
    Failed(String),
}

impl Status {
    /// It starts now, unless it is starting already.
    fn start(&mut self) {
        if !matches!(self.phase, Phase::Starting { .. }) {
            self.phase = Phase::Starting { since: Instant::now() };
        }
    }

    fn is_settled(&self) -> bool {
        !matches!(self.phase, Phase::Starting { .. })
    }
}

// ---------------------------------------------------------------- its state

impl Server {
    /// A server that is starting.
    pub(super) fn starting(name: String, call_timeout: Duration, notices: Notices) -> Arc<Self> {
        let phase = Phase::Starting { since: Instant::now() };
        Self::new(name, call_timeout, notices, phase)
    }

    /// A server that will never start.
    pub(super) fn failed(name: String, why: String, notices: Notices) -> Arc<Self> {
        Self::new(name, Duration::ZERO, notices, Phase::Failed(why))
    }

    fn new(name: String, call_timeout: Duration, notices: Notices, phase: Phase) -> Arc<Self> {
        let status =
            Status { phase, tools: ToolSpecs::new(), was_ready: false, reported: HashSet::new() };
        Arc::new(Self { name, call_timeout, status: watch::Sender::new(status), notices })
    }

    /// Whether it has ever published its tools.
    pub(super) fn was_ready(&self) -> bool {
        self.status.borrow().was_ready
    }

    /// It has failed for good.
    pub(super) fn give_up(&self, why: String) {
        self.status.send_modify(|status| {
            status.phase = Phase::Failed(why);
            status.tools.clear();
        });
    }

    /// The connection has ended, or is about to: from now on calls wait for the next one.
    pub fn disconnected(&self) {
        self.status.send_modify(Status::start);
    }

    /// The same, unless calls go to another connection by now.
    fn lost(&self, remote: &Arc<dyn Remote>) {
        self.status.send_if_modified(|status| {
            let is_current =
                matches!(&status.phase, Phase::Ready(current) if Arc::ptr_eq(current, remote));
            if is_current {
                status.start();
            }
            is_current
        });
    }

    /// Waits until it is ready or has failed, but no longer than `limit` after its start.
    pub(super) async fn settled(&self, limit: Duration) {
        let Phase::Starting { since } = self.status.borrow().phase else { return };
        let mut status = self.status.subscribe();
        let settled = status.wait_for(Status::is_settled);
        let _ = timeout_at(since + limit, settled).await;
    }

    /// `Ok` if it is ready, else what it is instead, as the end of a sentence that begins with its name.
    ///
    /// # Errors
    /// It is not ready.
    pub fn state(&self) -> Result<(), String> {
        self.remote().map(|_| ())
    }

    fn remote(&self) -> Result<Arc<dyn Remote>, String> {
        match &self.status.borrow().phase {
            Phase::Starting { .. } => Err("is starting".to_owned()),
            Phase::Ready(remote) => Ok(remote.clone()),
            Phase::Failed(why) => Err(why.clone()),
        }
    }

    /// Something for the user: the end of a sentence that begins with its name.
    pub(super) fn notify(&self, what: &str) {
        self.notices.add_from_server(format!("MCP server {}{what}", self.name));
    }
}

// ---------------------------------------------------------------- its tools

impl Server {
    /// Takes these tools in place of the old ones, and tells the user what is different. The model obeys
    /// descriptions, so one that has changed is shown.
    pub fn publish(&self, remote: Arc<dyn Remote>, offers: Vec<Offer>) {
        let mut faults = Vec::new();
        let tools = self.accepted(offers, &mut faults);
        let mut notices = Vec::new();
        self.status.send_modify(|status| {
            if status.reported.len() > MAX_REPORTED {
                // It has new faults all the time.
                status.reported.clear();
            }
            for fault in faults {
                if status.reported.insert(fault.clone()) {
                    notices.push(fault);
                }
            }
            if status.was_ready {
                notices.extend(changes(&status.tools, &tools));
            }
            status.phase = Phase::Ready(remote);
            status.tools = tools;
            status.was_ready = true;
        });
        for notice in notices {
            self.notify(&format!(": {notice}"));
        }
    }

    /// The tools that a model can have. What is wrong with the others is added to `faults`.
    fn accepted(&self, offers: Vec<Offer>, faults: &mut Vec<String>) -> ToolSpecs {
        let mut tools = ToolSpecs::new();
        for offer in offers {
            let name = &offer.name;
            match offer.spec(&self.name) {
                Err(why) => faults.push(format!("{name:?} is left out: {why}")),
                Ok(_) if tools.contains_key(name) => {
                    faults.push(format!("{name:?} is offered twice; the first one is used"));
                }
                Ok(spec) => {
                    tools.insert(offer.name, Arc::new(spec));
                }
            }
        }
        tools
    }

    /// Its tools now.
    pub(super) fn tools(&self) -> ToolSpecs {
        self.status.borrow().tools.clone()
    }

    /// Calls one of its tools, by the name that the server gave it.
    pub(super) async fn call(
        &self,
        tool: &str,
        input: Map<String, Value>,
        cx: &ToolContext,
    ) -> Result<Content, ToolError> {
        let name = &self.name;
        self.settled(CALL_START_TIMEOUT).await;
        let remote = self
            .remote()
            .map_err(|why| ToolError::failed(format!("the MCP server {name} {why}")))?;
        let limit = self.call_timeout;
        match timeout(limit, remote.call(tool, input, cx)).await {
            Ok(Ok(result)) => result,
            Ok(Err(Disconnected)) => {
                self.lost(&remote);
                Err(ToolError::failed(format!(
                    "the MCP server {name} ended during the call; what it had done by then is \
                     unknown. It is being restarted"
                )))
            }
            Err(_) => Err(ToolError::failed(format!(
                "the MCP server {name} has not answered within {limit:?}, and was told to give up"
            ))),
        }
    }
}

/// What is new, gone or different, a sentence each.
fn changes(old: &ToolSpecs, new: &ToolSpecs) -> Vec<String> {
    let mut changes = Vec::new();
    for name in new.keys().filter(|name| !old.contains_key(*name)) {
        changes.push(format!("{name:?} is new"));
    }
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        changes.push(format!("{name:?} is gone"));
    }
    for (name, tool) in new {
        let Some(before) = old.get(name) else { continue };
        if before.description != tool.description {
            let description = &tool.description;
            changes.push(format!("the description of {name:?} has changed: {description}"));
        } else if before.input_schema != tool.input_schema {
            changes.push(format!("the input of {name:?} has changed"));
        }
    }
    changes
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("name", &self.name).finish_non_exhaustive()
    }
}
