//! The deployable reference: every mechanism of the course in one agent.

use std::io::{stdin, stdout};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use harness::{Flags, LESSON, State, doctor, install};
use harness_app::App;
use harness_cli::say;
use s21_mcp_runtime::demo;

#[derive(Args)]
struct Own {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    flags: Flags,
}

#[derive(Subcommand)]
enum Command {
    /// Looks whether everything is there that the harness can use, and says how to mend what is not
    Doctor,
    /// Is the demo server of mcp_config.yaml: speaks MCP on standard input and output
    #[command(hide = true)]
    ServeDemo,
}

fn main() -> ExitCode {
    harness_cli::main_installed(LESSON, async |agent, own: Own, config| {
        let sick = match own.command {
            None => return install(agent, own.flags, &config).await,
            Some(Command::ServeDemo) => demo::serve(stdin().lock(), stdout()).map(|()| false)?,
            Some(Command::Doctor) => {
                let findings = doctor(&agent, &config).await;
                findings.iter().try_for_each(say)?;
                findings.iter().any(|finding| finding.state == State::Broken)
            }
        };
        Ok(App::done(agent, ExitCode::from(u8::from(sick))).into())
    })
}
