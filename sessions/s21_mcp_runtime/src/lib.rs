#![doc = include_str!("../README.md")]
//!
//! Next page: [s22 · Production mailbox](../s22_production_mailbox/index.html)

mod client;
pub mod demo;
pub mod servers;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use std::{env, io};

use anyhow::Result;
use async_trait::async_trait;
use clap::Subcommand;
use harness_app::{App, Config, Given, Lesson, WorkspaceFile};
use harness_cli::Commands;
use harness_core::{
    Agent, AgentError, Audience, ChildSpec, Conversation, Event, Hook, HookContext, Inherit,
    Mechanism,
};

use client::McpConnector;
use servers::{ConfiguredServer, ServerEnv, ServerPool, from_json, from_yaml};

/// What the terminal is told of this session.
pub const LESSON: Lesson = Lesson {
    name: env!("CARGO_PKG_NAME"),
    motto: "A server is a stranger with tools: welcome, and behind the same gate.",
    play: include_str!("../demo.yaml"),
};

/// The servers where there is no other configuration.
pub const BUILT_IN: &str = include_str!("../../../config/mcp_config.yaml");
/// The file with a workspace's own servers.
pub const OWN: &str = ".mcp.json";
/// How long after the start of a server the first prompt waits for it.
const PROMPT_WAIT: Duration = Duration::from_secs(1);
/// How long after the start of a server a request waits for it.
const REQUEST_WAIT: Duration = Duration::from_secs(5);

// ---------------------------------------------------------------- the mechanism

/// The mechanism: servers, and their tools among the agent's.
///
/// A clone has the same servers.
#[derive(Clone, Debug)]
pub struct McpServers {
    pool: ServerPool,
    env: Arc<ServerEnv>,
}

impl McpServers {
    /// No servers yet. `env` is where they will run.
    pub fn new(env: ServerEnv) -> Self {
        Self { pool: ServerPool::default(), env: Arc::new(env) }
    }

    /// Starts these servers, all at once, and waits for none.
    pub fn start(&self, configured: Vec<ConfiguredServer>) {
        self.pool.start(configured, |config| McpConnector::new(config, self.env.clone()));
    }

    /// Starts the servers of an `mcp_config.yaml`. `file` is its name in errors.
    ///
    /// # Errors
    /// The file as a whole is not understood.
    pub fn yaml(&self, text: &str, file: &str) -> Result<()> {
        let configured = from_yaml(text, file, |name| self.env.variable(name))?;
        self.start(configured);
        Ok(())
    }

    /// Starts the servers of a `.mcp.json`. `file` is its name in errors.
    ///
    /// # Errors
    /// The file as a whole is not understood.
    pub fn json(&self, text: &str, file: &str) -> Result<()> {
        let configured = from_json(text, file, |name| self.env.variable(name))?;
        self.start(configured);
        Ok(())
    }

    /// The servers themselves: their states, their tools, their end.
    pub fn servers(&self) -> &ServerPool {
        &self.pool
    }
}

// ---------------------------------------------------------------- on the agent's seams

impl Mechanism for McpServers {
    /// The toolbox asks the pool for its tools before every request, so a tool that comes late is there from
    /// the next step on.
    fn install(self, agent: &mut Agent) {
        agent.tools.add_source(Arc::new(self.pool.clone()), Audience::Family);
        agent.hooks.push(Arc::new(self));
    }
}

#[async_trait]
impl Hook for McpServers {
    /// A child waits for slow servers as its parent does.
    fn for_child(&self, _: &ChildSpec) -> Inherit {
        Inherit::Same
    }

    /// Servers that start slowly may still be in the first request. What happened to any of them since is
    /// shown to the user.
    async fn before_model(
        &self,
        _: &mut Conversation,
        t: &HookContext<'_>,
    ) -> Result<(), AgentError> {
        self.pool.settle(REQUEST_WAIT).await;
        for notice in self.pool.take_notices() {
            t.agent.emit(&Event::Notice(notice));
        }
        Ok(())
    }
}

// ---------------------------------------------------------------- joining the program

impl McpServers {
    /// Starts the servers of `mcp_config.yaml` and, if the user has agreed to it, of the workspace's own file.
    /// Waits for none.
    ///
    /// # Errors
    /// A file of servers is not understood.
    pub fn open(agent: &Agent, config: &Config) -> Result<Self> {
        let this_program = env::current_exe()?;
        let variable = |name: &str| env::var(name).ok();
        let env = ServerEnv::new(&agent.cwd, agent.secrets.clone(), this_program, variable);
        let mcp = Self::new(env);
        let (yaml, file) = config.read("mcp_config.yaml", BUILT_IN)?;
        mcp.yaml(&yaml, &file)?;
        match WorkspaceFile::new(agent, OWN, config).read()? {
            Some(Given::Trusted(text)) => mcp.json(&text, OWN)?,
            Some(Given::Untrusted(why)) => mcp.pool.notify_user(why),
            None => {}
        }
        Ok(mcp)
    }

    /// Joins the agent and the terminal.
    pub fn join(self, app: App, config: &Config) -> App {
        let own = WorkspaceFile::new(app.agent(), OWN, config);
        let shown = self.pool.clone();
        let closing = self.pool.clone();
        let trusting = self.clone();
        app.with(self)
            .trusts(own, move |text| trusting.json(text, OWN))
            .quick("mcp", "the servers; with a name, its tools", move |_, name| {
                Ok(shown.table(name))
            })
            .at_exit(async move || closing.close().await)
    }

    /// What the user is told before the first prompt, once each server is ready or has had its time.
    pub async fn startup_notices(&self) -> Vec<String> {
        self.pool.settle(PROMPT_WAIT).await;
        let mut notices = self.pool.take_notices();
        notices.push(format!("MCP: {}; :mcp shows them", self.pool.summary()));
        notices
    }
}

/// Joins the agent and the terminal, with the servers of [`McpServers::open`].
///
/// # Errors
/// Those of [`McpServers::open`].
pub async fn join(app: App, config: &Config) -> Result<App> {
    let mcp = McpServers::open(app.agent(), config)?;
    let app = mcp.clone().join(app, config);
    Ok(app.notices(mcp.startup_notices().await))
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
