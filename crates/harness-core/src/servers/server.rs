//! One server: how far it is, what it offers, and how often it is started again.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::offer::Offer;
use crate::conversation::message::Content;
use crate::host::mutex::Mutex;
use crate::model::ToolSpec;
use crate::tool::{Change, DynTool, Effect, PreparedCall, ToolContext, ToolError};

/// So much news is kept until the user can be told: a server may have some every moment.
const NEWS: usize = 50;
/// How often a server that ends is started again; one that has lived so long has not failed.
const AGAIN: u32 = 5;
const GROWN: Duration = Duration::from_secs(60);
/// The wait before the first new start; each further one is twice as long.
const BACK_OFF: Duration = Duration::from_millis(250);
/// How long a call waits for a server that is being started.
const PATIENCE: Duration = Duration::from_secs(10);

/// The far side of a server that is up.
#[async_trait]
pub trait Remote: Send + Sync {
    /// Calls a tool by the name that the server gave it, and returns what came of it. When this is dropped,
    /// the server is told to give up.
    ///
    /// # Errors
    /// The server has ended.
    async fn call(
        &self,
        tool: &str,
        input: Map<String, Value>,
        cx: &ToolContext,
    ) -> Result<Result<Content, ToolError>, Gone>;
}

/// The far side is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// How a server is reached: the protocol.
#[async_trait]
pub trait Life: Send + Sync + 'static {
    /// One life: reaches the server, publishes its tools with [`Server::publish`], again when they change,
    /// and ends it, with all that belongs to it, when `stop` is cancelled. Returns why it is over.
    async fn live(&self, server: &Arc<Server>, stop: &CancellationToken) -> String;
}

/// For the user, from all servers.
pub(super) type News = Arc<Mutex<Vec<String>>>;

/// A server.
pub struct Server {
    /// Its name, as it is written in the configuration.
    pub name: String,
    /// How long one call may take.
    timeout: Duration,
    status: watch::Sender<Status>,
    news: News,
}

enum Phase {
    /// Since when.
    Starting(Instant),
    Ready(Arc<dyn Remote>),
    Failed(String),
}

impl Phase {
    /// From now on, if it is not so already.
    fn start(&mut self) {
        if !matches!(self, Self::Starting(_)) {
            *self = Self::Starting(Instant::now());
        }
    }
}

struct Status {
    phase: Phase,
    /// By the names that the server gave. They stay while it is started again: a list of tools that changes
    /// empties the prompt cache.
    tools: BTreeMap<String, Arc<ServerTool>>,
    listed: bool,
    told: HashSet<String>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Server {
    pub(super) fn new(
        name: String,
        timeout: Duration,
        news: News,
        failed: Option<String>,
    ) -> Arc<Self> {
        let phase = failed.map_or_else(|| Phase::Starting(Instant::now()), Phase::Failed);
        let status = Status { phase, tools: BTreeMap::new(), listed: false, told: HashSet::new() };
        Arc::new(Self { name, timeout, status: watch::Sender::new(status), news })
    }

    /// Takes these tools in place of the old ones, and tells the user what is different. A description is
    /// what the model obeys: one that has changed is shown.
    pub fn publish(self: &Arc<Self>, remote: Arc<dyn Remote>, offers: Vec<Offer>) {
        let (mut faults, mut tools) = (Vec::new(), BTreeMap::new());
        for offer in offers {
            match offer.spec(&self.name) {
                Err(why) => faults.push(format!("{:?} is left out: {why}", offer.name)),
                Ok(_) if tools.contains_key(&offer.name) => {
                    faults.push(format!("there are two {:?}; the first counts", offer.name));
                }
                Ok(spec) => {
                    let (tool, server) = (offer.name.clone(), self.clone());
                    tools.insert(offer.name, Arc::new(ServerTool { spec, tool, server }));
                }
            }
        }
        self.status.send_modify(|status| {
            if status.told.len() > NEWS {
                status.told.clear(); // they are always others, then
            }
            faults.retain(|fault| status.told.insert(fault.clone()));
            if status.listed {
                faults.extend(differences(&status.tools, &tools));
            }
            (status.phase, status.tools, status.listed) = (Phase::Ready(remote), tools, true);
        });
        faults.into_iter().for_each(|fault| self.tell(&format!(": {fault}")));
    }

    /// Something about it, for the user.
    pub(super) fn tell(&self, what: &str) {
        let mut news = self.news.lock();
        match news.len() {
            NEWS => news.push("there is more news of MCP servers, which is left out".to_owned()),
            length if length > NEWS => {}
            _ => news.push(format!("MCP server {}{what}", self.name)),
        }
    }

    /// Gives the server one life after the other, until the program leaves or it has failed for good.
    pub(super) async fn keep(self: Arc<Self>, life: impl Life, stop: CancellationToken) {
        let mut failures = 0;
        loop {
            let born = Instant::now();
            let why = life.live(&self, &stop).await;
            if stop.is_cancelled() {
                return;
            }
            failures = if born.elapsed() > GROWN { 1 } else { failures + 1 };
            let again = self.status.borrow().listed && failures <= AGAIN;
            match again {
                true => self.tell(&format!(" {why}; it is started again ({failures} of {AGAIN})")),
                false => self.tell(&format!(" {why}")),
            }
            self.status.send_modify(|status| match again {
                true => status.phase.start(),
                false => {
                    status.phase = Phase::Failed(why);
                    status.tools.clear();
                }
            });
            let wait = sleep(BACK_OFF * 2_u32.pow(failures - 1));
            if !again || stop.run_until_cancelled(wait).await.is_none() {
                return;
            }
        }
    }

    /// It has ended, or is about to: calls wait for its next life.
    pub fn down(&self) {
        self.status.send_modify(|status| status.phase.start());
    }

    /// The same, if this is still what calls go to.
    fn lost(&self, remote: &Arc<dyn Remote>) {
        let is_this = |phase: &Phase| matches!(phase, Phase::Ready(it) if Arc::ptr_eq(it, remote));
        self.status.send_if_modified(|status| {
            let lost = is_this(&status.phase);
            if lost {
                status.phase.start();
            }
            lost
        });
    }

    /// Waits until it is ready or has failed, but no longer than until so long after its start.
    pub(super) async fn settled(&self, limit: Duration) {
        let Phase::Starting(since) = self.status.borrow().phase else { return };
        let mut status = self.status.subscribe();
        let settled = status.wait_for(|status| !matches!(status.phase, Phase::Starting(_)));
        let _ = timeout_at(since + limit, settled).await;
    }

    /// Its tools now.
    pub fn tools(&self) -> Vec<Arc<dyn DynTool>> {
        self.status.borrow().tools.values().map(|tool| tool.clone() as _).collect()
    }

    /// How far it is: `Ok` where it is ready, else in words what it is.
    ///
    /// # Errors
    /// It is not ready.
    pub fn state(&self) -> Result<(), String> {
        self.remote().map(|_| ())
    }

    fn remote(&self) -> Result<Arc<dyn Remote>, String> {
        match &self.status.borrow().phase {
            Phase::Starting(_) => Err("is being started".to_owned()),
            Phase::Ready(remote) => Ok(remote.clone()),
            Phase::Failed(why) => Err(why.clone()),
        }
    }
}

/// What is new, gone or different.
fn differences(
    old: &BTreeMap<String, Arc<ServerTool>>,
    new: &BTreeMap<String, Arc<ServerTool>>,
) -> Vec<String> {
    let came = new.keys().filter(|tool| !old.contains_key(*tool));
    let went = old.keys().filter(|tool| !new.contains_key(*tool));
    let other = new.iter().filter_map(|(tool, new)| {
        let (old, new) = (&old.get(tool)?.spec, &new.spec);
        match (old.description == new.description, old.input_schema == new.input_schema) {
            (false, _) => {
                Some(format!("the description of {tool:?} has changed: {}", new.description))
            }
            (true, false) => Some(format!("the input of {tool:?} has changed")),
            (true, true) => None,
        }
    });
    let came = came.map(|tool| format!("{tool:?} is new"));
    let went = went.map(|tool| format!("{tool:?} is gone"));
    came.chain(went).chain(other).collect()
}

/// A server's tool. The gate knows nothing of what it does, whatever it is called and says of itself.
struct ServerTool {
    spec: ToolSpec,
    /// What the server calls it.
    tool: String,
    server: Arc<Server>,
}

impl DynTool for ServerTool {
    fn spec(&self) -> ToolSpec {
        self.spec.clone()
    }

    fn prepare(
        self: Arc<Self>,
        input: &Map<String, Value>,
    ) -> Result<Box<dyn PreparedCall>, ToolError> {
        Ok(Box::new(ServerCall { tool: self, input: input.clone() }))
    }
}

/// One call of it.
struct ServerCall {
    tool: Arc<ServerTool>,
    input: Map<String, Value>,
}

#[async_trait]
impl PreparedCall for ServerCall {
    fn effect(&self) -> Effect {
        Effect::Unknown
    }

    async fn preview(&self, _: &ToolContext) -> Option<Change> {
        None
    }

    async fn run(self: Box<Self>, cx: &ToolContext) -> Result<Content, ToolError> {
        let Self { tool: server_tool, input } = *self;
        let ServerTool { tool, server, .. } = &*server_tool;
        let Server { name, timeout: limit, .. } = &**server;
        let call = async {
            server.settled(PATIENCE).await;
            let down = |why| ToolError::failed(format!("the MCP server {name} {why}"));
            let remote = server.remote().map_err(down)?;
            match timeout(*limit, remote.call(tool, input, cx)).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(Gone)) => {
                    server.lost(&remote);
                    Err(ToolError::failed(format!(
                        "the MCP server {name} ended during the call, and nobody knows what it had \
                         done by then; it is started again"
                    )))
                }
                Err(_) => Err(ToolError::failed(format!(
                    "the MCP server {name} has not answered within {limit:?}, and was told to give up"
                ))),
            }
        };
        let interrupted = || ToolError::failed("interrupted; the server was told to give up");
        cx.cancel.run_until_cancelled(call).await.ok_or_else(interrupted)?
    }
}
