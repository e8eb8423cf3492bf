//! The program, and its subcommand `check`.

use std::io;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use harness_app::{App, Config};
use harness_cli::{Commands, say};
use harness_core::Agent;

use crate::{Check, Permissions};

/// The subcommands of this session.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Says what the policy makes of a call, part by part, with the rule behind it; runs nothing
    Check {
        /// A shell line
        #[arg(required_unless_present = "json", allow_hyphen_values = true)]
        line: Option<String>,
        /// Judge the calls on standard input, `{"tool": …, "input": …}`, one a line
        #[arg(long, conflicts_with = "line")]
        json: bool,
    },
}

/// The program: an agent behind the whole policy, or the policy alone.
///
/// # Errors
/// The rules are missing or broken, or the answers cannot be written.
pub async fn run(agent: Agent, own: Commands<Command>, config: Config) -> Result<App> {
    let rules = config.rules()?;
    let Some(Command::Check { line, .. }) = own.command else {
        return Ok(App::from(agent.with(Permissions { rules })));
    };
    let check = Check::new(rules, &agent);
    match line {
        Some(line) => say(check.line(&line))?,
        None => check.answer_all(io::stdin().lock(), io::stdout().lock())?,
    }
    Ok(App::done(agent, ExitCode::SUCCESS))
}
