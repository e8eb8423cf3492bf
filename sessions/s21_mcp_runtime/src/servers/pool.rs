//! All servers of a program.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use harness_core::host::text;
use harness_core::{DynTool, Mutex, ToolSource, ToolSpec};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::{ConfiguredServer, ServerConfig};
use super::notices::Notices;
use super::server::Server;
use super::supervise::{Connector, supervise};
use super::tool::tools_of;

/// How long the program waits for servers to shut down before it exits.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(4);
/// The most bytes of a description in a table.
const MAX_DESCRIPTION_BYTES: usize = 200;
/// About how many bytes make a token.
const BYTES_PER_TOKEN: usize = 3;

/// Servers, each supervised by a task of its own. A clone is the same pool.
#[derive(Clone)]
pub struct ServerPool(Arc<Inner>);

struct Inner {
    servers: Mutex<Vec<Arc<Server>>>,
    notices: Notices,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Default for ServerPool {
    fn default() -> Self {
        Self(Arc::new(Inner {
            servers: Mutex::default(),
            notices: Notices::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }))
    }
}

impl ServerPool {
    /// Starts these servers, all at once, and waits for none. One that is broken is reported and holds up no
    /// other. Of two with one name the first is used, because it is the one that rules mean.
    pub fn start<C: Connector>(
        &self,
        configured: Vec<ConfiguredServer>,
        connector: impl Fn(ServerConfig) -> C,
    ) {
        let mut servers = self.0.servers.lock();
        for configured in configured {
            let server = self.server(&configured);
            if servers.iter().any(|other| other.name == server.name) {
                server.notify(" is configured twice; only the first configuration is used");
                continue;
            }
            match configured {
                Ok(config) => {
                    let supervised =
                        supervise(server.clone(), connector(config), self.0.stop.clone());
                    self.0.tasks.spawn(supervised);
                }
                Err(broken) => server.notify(&format!(" {}", broken.why)),
            }
            servers.push(server);
        }
    }

    fn server(&self, configured: &ConfiguredServer) -> Arc<Server> {
        let notices = self.0.notices.clone();
        match configured {
            Ok(config) => Server::starting(config.name.clone(), config.timeout, notices),
            Err(broken) => Server::failed(broken.name.clone(), broken.why.clone(), notices),
        }
    }

    /// Waits until every server is ready or has failed, but for none longer than `limit` after its start or
    /// restart.
    pub async fn settle(&self, limit: Duration) {
        for server in self.servers() {
            server.settled(limit).await;
        }
    }

    /// Shuts down all servers, and everything that they have started.
    pub async fn close(&self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        let _ = timeout(CLOSE_TIMEOUT, self.0.tasks.wait()).await;
    }

    /// Takes what the user has not been told yet, a line each.
    pub fn take_notices(&self) -> Vec<String> {
        self.0.notices.take()
    }

    /// Adds a notice for the user.
    pub fn notify_user(&self, notice: String) {
        self.0.notices.add(notice);
    }

    /// Whether none has failed and none is still starting.
    pub fn all_ready(&self) -> bool {
        self.servers().iter().all(|server| server.state().is_ok())
    }

    /// How many servers there are and what they cost, in a line.
    pub fn summary(&self) -> String {
        let servers = self.servers();
        let ready = servers.iter().filter(|server| server.state().is_ok()).count();
        let specs = specs(&self.tools());
        format!(
            "{ready} of {} servers ready, {} tools, about {} tokens of every request",
            servers.len(),
            specs.len(),
            tokens(&specs)
        )
    }

    /// All servers, a line each, and their sum; or the one of this name, with its tools.
    pub fn table(&self, name: &str) -> String {
        let servers = self.servers();
        if name.is_empty() {
            if servers.is_empty() {
                return "there is no MCP server".to_owned();
            }
            let rows: String = servers.iter().map(row).collect();
            return rows + &self.summary();
        }
        match servers.iter().find(|server| server.name == name) {
            Some(server) => row(server) + &rows_of_tools(server),
            None => format!("there is no MCP server {name:?}"),
        }
    }

    fn servers(&self) -> Vec<Arc<Server>> {
        self.0.servers.lock().clone()
    }
}

impl ToolSource for ServerPool {
    /// The tools there are now. Those of a server that joins late are there from the next step on.
    fn tools(&self) -> Vec<Arc<dyn DynTool>> {
        self.servers().iter().flat_map(tools_of).collect()
    }
}

impl fmt::Debug for ServerPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.servers().iter().map(|server| &server.name)).finish()
    }
}

/// A server: its name, its state, what its tools cost.
fn row(server: &Arc<Server>) -> String {
    let name = text::line(&server.name);
    let state = match server.state() {
        Ok(()) => "ready".to_owned(),
        Err(state) => text::line(&state),
    };
    let specs = specs(&tools_of(server));
    format!("{name}: {state}; {} tools, about {} tokens\n", specs.len(), tokens(&specs))
}

fn rows_of_tools(server: &Arc<Server>) -> String {
    let mut rows = String::new();
    for spec in specs(&tools_of(server)) {
        let description = text::line(&spec.description);
        let short = text::clip(&description, MAX_DESCRIPTION_BYTES, 0).replace('\n', " ");
        let tokens = spec.size() / BYTES_PER_TOKEN;
        rows += &format!("  {}, about {tokens} tokens\n    {short}\n", spec.name);
    }
    rows
}

fn specs(tools: &[Arc<dyn DynTool>]) -> Vec<ToolSpec> {
    tools.iter().map(|tool| tool.spec()).collect()
}

/// About how many tokens these tools are in a request.
fn tokens(specs: &[ToolSpec]) -> usize {
    let bytes: usize = specs.iter().map(ToolSpec::size).sum();
    bytes / BYTES_PER_TOKEN
}
