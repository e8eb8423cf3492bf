#![doc = include_str!("../README.md")]
//!
//! Next page: [s22 · Production mailbox](../s22_production_mailbox/index.html)

mod answer;
mod connection;
pub mod demo;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use std::{env, io};

use anyhow::Result;
use async_trait::async_trait;
use clap::Subcommand;
use harness_cli::{App, Commands, Config, Given, Lesson, WorkspaceFile};
use harness_core::servers::{Found, Place, Servers, from_json, from_yaml};
use harness_core::{
    Agent, AgentError, Audience, ChildSpec, Conversation, Event, Hook, HookContext, Inherit,
    Mechanism,
};

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

impl Mechanism for McpServers {
    fn install(self, agent: &mut Agent) {
        agent.tools.add_source(Arc::new(self.servers.clone()), Audience::Family);
        agent.hooks.push(Arc::new(self));
    }
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

    /// Starts the servers of `mcp_config.yaml` and, once they are trusted, the workspace's. Waits for none.
    ///
    /// # Errors
    /// A file of servers is not understood.
    pub fn open(agent: &Agent, config: &Config) -> Result<Self> {
        let (this, variable) = (env::current_exe()?, |name: &str| env::var(name).ok());
        let mcp = Self::new(Place::new(&agent.cwd, agent.secrets.clone(), this, variable));
        let (yaml, file) = config.read("mcp_config.yaml", BUILT_IN)?;
        mcp.yaml(&yaml, &file)?;
        match WorkspaceFile::new(agent, OWN, config).read()? {
            Some(Given::Trusted(text)) => mcp.json(&text, OWN)?,
            Some(Given::Untrusted(why)) => mcp.servers.tell(why),
            None => {}
        }
        Ok(mcp)
    }

    /// Joins the agent and the terminal.
    pub fn join(self, app: App, config: &Config) -> App {
        let own = WorkspaceFile::new(app.agent(), OWN, config);
        let (shown, last, trusting) = (self.servers.clone(), self.servers.clone(), self.clone());
        app.with(self)
            .trusts(own, move |text| trusting.json(text, OWN))
            .quick("mcp", "the servers; with a name, its tools", move |_, of| Ok(shown.table(of)))
            .at_exit(async move || last.close().await)
    }

    /// What the user is told of them before the first prompt, once each is ready or has had its time.
    pub async fn told(&self) -> Vec<String> {
        self.servers.settle(PROMPT).await;
        let mut told = self.servers.news();
        told.push(format!("MCP: {}; :mcp shows them", self.servers.summary()));
        told
    }
}

#[async_trait]
impl Hook for McpServers {
    /// A child waits for slow servers as its parent does.
    fn for_child(&self, _: &ChildSpec) -> Inherit {
        Inherit::Same
    }

    /// Servers that were slow at the start may still be in the first request; what happened to any of them
    /// since is told to the user.
    async fn before_model(
        &self,
        _: &mut Conversation,
        t: &HookContext<'_>,
    ) -> Result<(), AgentError> {
        self.servers.settle(REQUEST).await;
        self.servers.news().into_iter().for_each(|news| t.agent.emit(&Event::Notice(news)));
        Ok(())
    }
}

/// Joins the agent and the terminal, with the servers of [`McpServers::open`].
///
/// # Errors
/// Those of [`McpServers::open`].
pub async fn join(app: App, config: &Config) -> Result<App> {
    let mcp = McpServers::open(app.agent(), config)?;
    let app = mcp.clone().join(app, config);
    Ok(app.tell(mcp.told().await))
}

/// The subcommands of this session.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Is the demo server: speaks MCP on standard input and output
    ServeDemo,
}

/// The program: an agent with servers, or the demo server.
///
/// # Errors
/// A file of servers is not understood, or the demo server has lost its streams.
pub async fn run(agent: Agent, own: Commands<Command>, config: Config) -> Result<App> {
    if let Some(Command::ServeDemo) = own.command {
        demo::serve(io::stdin().lock(), io::stdout().lock())?;
        return Ok(App::done(agent, ExitCode::SUCCESS));
    }
    join(agent.into(), &config).await
}
