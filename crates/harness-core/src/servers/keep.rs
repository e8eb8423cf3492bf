//! All servers of a program.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::{Found, ServerConfig};
use super::server::{Life, News, Server};
use crate::host::mutex::Mutex;
use crate::host::text;
use crate::tool::{DynTool, ToolSource};

/// So long the program waits for servers when it leaves.
const LAST: Duration = Duration::from_secs(4);
/// The most bytes of a piece of news.
const NEWS: usize = 600;
/// Where nobody has counted, a token stands for so many bytes.
const BYTES: usize = 3;

/// Servers, each looked after by a task of its own. A clone is the same.
#[derive(Clone)]
pub struct Servers(Arc<Inner>);

struct Inner {
    servers: Mutex<Vec<Arc<Server>>>,
    news: News,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Default for Servers {
    fn default() -> Self {
        let (servers, news, stop) = Default::default();
        Self(Arc::new(Inner { servers, news, stop, tasks: TaskTracker::new() }))
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.servers.lock().iter().map(|server| &server.name)).finish()
    }
}

impl Servers {
    /// Starts these servers, at once and all together; waits for none. One that is wrong is told of and
    /// holds up no other, and the first of a name counts: that is the one that rules mean.
    pub fn start<L: Life>(&self, found: Vec<Found>, life: impl Fn(ServerConfig) -> L) {
        let mut servers = self.0.servers.lock();
        for found in found {
            let (name, config) = match found {
                Ok(config) => (config.name.clone(), Ok(config)),
                Err((name, why)) => (name, Err(why)),
            };
            let limit = config.as_ref().map_or(Duration::ZERO, |config| config.timeout);
            let fault = config.as_ref().err().cloned();
            let server = Server::new(name, limit, self.0.news.clone(), fault.clone());
            if servers.iter().any(|other| other.name == server.name) {
                server.tell(" is there already; the second one of that name is not used");
                continue;
            }
            match config {
                Ok(config) => {
                    let keeping = server.clone().keep(life(config), self.0.stop.clone());
                    self.0.tasks.spawn(keeping);
                }
                Err(why) => server.tell(&format!(" {why}")),
            }
            servers.push(server);
        }
    }

    /// Waits until every server is ready or has failed, but for none longer than until so long after its
    /// start, or its end.
    pub async fn settle(&self, limit: Duration) {
        let servers = self.0.servers.lock().clone();
        for server in servers {
            server.settled(limit).await;
        }
    }

    /// What the user has not been told yet, a line each.
    pub fn news(&self) -> Vec<String> {
        let mut news = self.0.news.lock();
        let line = |news: String| text::clip(&text::line(&news), NEWS, 0).replace('\n', " ");
        news.drain(..).map(line).collect()
    }

    /// For the user, from whoever starts servers.
    pub fn tell(&self, news: String) {
        self.0.news.lock().push(news);
    }

    /// Whether none has failed and none is still on its way.
    pub fn all_ready(&self) -> bool {
        self.0.servers.lock().iter().all(|server| server.state().is_ok())
    }

    /// How many there are and what they cost, in a line.
    pub fn summary(&self) -> String {
        let servers = self.0.servers.lock().clone();
        let ready = servers.iter().filter(|server| server.state().is_ok()).count();
        let (tools, tokens) = cost(&self.tools());
        let all = servers.len();
        format!(
            "{ready} of {all} servers ready, {tools} tools, about {tokens} tokens of every request"
        )
    }

    /// The servers, a line each, and their sum; or one of them with its tools.
    pub fn table(&self, of: &str) -> String {
        let mut table = String::new();
        for server in
            self.0.servers.lock().iter().filter(|server| of.is_empty() || of == server.name)
        {
            let (name, offered) = (text::line(&server.name), server.tools());
            let state = server.state().err().unwrap_or_else(|| "ready".to_owned());
            let (tools, tokens) = cost(&offered);
            let state = text::line(&state);
            table += &format!("{name}: {state}; {tools} tools, about {tokens} tokens\n");
            for spec in offered.iter().map(|tool| tool.spec()).filter(|_| !of.is_empty()) {
                let about = text::clip(&text::line(&spec.description), 200, 0).replace('\n', " ");
                table += &format!(
                    "  {}, about {} tokens\n    {about}\n",
                    spec.name,
                    spec.size() / BYTES
                );
            }
        }
        match (table.is_empty(), of) {
            (true, "") => "there is no MCP server".to_owned(),
            (true, name) => format!("there is no MCP server {name:?}"),
            (false, "") => format!("{table}{}", self.summary()),
            (false, _) => table,
        }
    }

    /// Ends all servers, and everything that they have started.
    pub async fn close(&self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        let _ = timeout(LAST, self.0.tasks.wait()).await;
    }
}

impl ToolSource for Servers {
    /// The tools there are now: of a server that joins late, from the next step on.
    fn tools(&self) -> Vec<Arc<dyn DynTool>> {
        self.0.servers.lock().iter().flat_map(|server| server.tools()).collect()
    }
}

/// How many tools, and about how many tokens.
fn cost(tools: &[Arc<dyn DynTool>]) -> (usize, usize) {
    (tools.len(), tools.iter().map(|tool| tool.spec().size()).sum::<usize>() / BYTES)
}
