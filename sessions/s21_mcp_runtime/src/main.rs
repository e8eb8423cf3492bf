//! Session 21: tools from elsewhere.

use std::env;
use std::process::ExitCode;

use clap::Subcommand;
use harness_cli::{App, Commands, WorkspaceFile};
use harness_core::servers::Place;
use s21_mcp_runtime::{BUILT_IN, LESSON, McpServers, OWN, demo};

#[derive(Subcommand)]
enum Command {
    /// Is the demo server: speaks MCP on standard input and output
    ServeDemo,
}

fn main() -> ExitCode {
    harness_cli::main_with_config(LESSON, async |agent, own: Commands<Command>, config| {
        if let Some(Command::ServeDemo) = own.command {
            demo::serve().await?;
            return Ok(App::done(agent, ExitCode::SUCCESS));
        }
        let this = env::current_exe()?;
        let place = Place::new(&agent.cwd, agent.secrets.clone(), this, |name| env::var(name).ok());
        let servers = McpServers::new(place);
        let (yaml, file) = config.read("mcp_config.yaml", BUILT_IN)?;
        servers.yaml(&yaml, &file)?;
        let own = WorkspaceFile::new(&agent, OWN, &config);
        servers.app(agent, own).await
    })
}
