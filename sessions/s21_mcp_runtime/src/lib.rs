#![doc = include_str!("../README.md")]

mod answer;
mod connection;
pub mod demo;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::ready;
use harness_cli::{App, Given, Lesson, WorkspaceFile};
use harness_core::servers::{Found, Place, Servers, from_json, from_yaml};
use harness_core::{Agent, AgentError, Conversation, Event, Hook, Mechanism, ToolSource, Turn};

use connection::Mcp;

/// What the terminal is told of this session.
pub const LESSON: Lesson = Lesson {
    name: env!("CARGO_PKG_NAME"),
    motto: "A server is a stranger with tools: welcome, and behind the same gate.",
    play: include_str!("../demo.yaml"),
};

/// The servers where there is no other configuration.
pub const BUILT_IN: &str = include_str!("../../../config/mcp_config.yaml");
/// A workspace's own servers.
pub const OWN: &str = ".mcp.json";
/// So long after the start the prompt waits for servers, and so long the first request.
const PROMPT: Duration = Duration::from_secs(1);
const REQUEST: Duration = Duration::from_secs(5);

/// The mechanism: servers, and their tools among the agent's.
#[derive(Clone, Debug)]
pub struct McpServers {
    servers: Servers,
    place: Arc<Place>,
}

impl McpServers {
    /// None yet; this is where they will work.
    pub fn new(place: Place) -> Self {
        Self { servers: Servers::default(), place: Arc::new(place) }
    }

    /// Starts the servers of an `mcp_config.yaml`, at once and all together. Waits for none.
    ///
    /// # Errors
    /// The file as a whole is not understood.
    pub fn yaml(&self, text: &str, file: &str) -> Result<()> {
        self.start(from_yaml(text, file, |name| self.place.variable(name))?);
        Ok(())
    }

    /// The same for a `.mcp.json`.
    ///
    /// # Errors
    /// The file as a whole is not understood.
    pub fn json(&self, text: &str, file: &str) -> Result<()> {
        self.start(from_json(text, file, |name| self.place.variable(name))?);
        Ok(())
    }

    /// Starts these.
    pub fn start(&self, found: Vec<Found>) {
        let (place, changed) = (&self.place, Arc::default);
        self.servers.start(found, |config| {
            let log = Arc::new(place.log(&config));
            Mcp { config, place: place.clone(), log, changed: changed() }
        });
    }

    /// The servers themselves: who is there, what they have, and their end.
    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// The agent with these servers, and what the terminal gets from them. `own` are the workspace's.
    ///
    /// # Errors
    /// The workspace's are trusted, and not understood.
    pub async fn app(self, agent: Agent, own: WorkspaceFile) -> Result<App> {
        match own.read()? {
            Some(Given::Trusted(text)) => self.json(&text, OWN)?,
            Some(Given::Untrusted(why)) => self.servers.tell(why),
            None => {}
        }
        self.servers.settle(PROMPT).await;
        let mut told = self.servers.news();
        told.push(format!("MCP: {}; :mcp shows them", self.servers.summary()));
        let (shown, last, trusting) = (self.servers.clone(), self.servers.clone(), self.clone());
        Ok(App::from(agent.with(self))
            .tell(told)
            .quick("mcp", "the servers; with a name, its tools", move |_, of| Ok(shown.table(of)))
            .command("trust", "shows the workspace's servers, and starts them", move |_, hash| {
                ready(own.agree(hash, |text| trusting.json(text, OWN))).boxed()
            })
            .at_exit(async move || last.close().await))
    }
}

impl Mechanism for McpServers {
    fn install(self, agent: &mut Agent) {
        agent.tools.add_source(Arc::new(self.servers.clone()) as Arc<dyn ToolSource>);
        agent.hooks.push(Arc::new(self));
    }
}

#[async_trait]
impl Hook for McpServers {
    /// Servers that were slow at the start may still be in the first request; what happened to any of them
    /// since is told to the user.
    async fn before_model(&self, _: &mut Conversation, t: &Turn<'_>) -> Result<(), AgentError> {
        self.servers.settle(REQUEST).await;
        self.servers.news().into_iter().for_each(|news| t.agent.tell(&Event::Notice(news)));
        Ok(())
    }
}
