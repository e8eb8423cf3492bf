//! Session 21: tools from elsewhere.

use std::io;
use std::process::ExitCode;

use clap::Subcommand;
use harness_cli::{App, Commands};
use s21_mcp_runtime::{LESSON, McpServers, demo};

#[derive(Subcommand)]
enum Command {
    /// Is the demo server: speaks MCP on standard input and output
    ServeDemo,
}

fn main() -> ExitCode {
    harness_cli::main_with_config(LESSON, async |agent, own: Commands<Command>, config| {
        if let Some(Command::ServeDemo) = own.command {
            demo::serve(io::stdin().lock(), io::stdout().lock())?;
            return Ok(App::done(agent, ExitCode::SUCCESS));
        }
        McpServers::open(App::from(agent), &config).await
    })
}
