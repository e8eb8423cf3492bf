//! Session 15: permissions.

use std::io;
use std::process::ExitCode;

use clap::Subcommand;
use harness_cli::{App, Commands, say};
use s15_permissions::{Check, LESSON, Permissions};

#[derive(Subcommand)]
enum Command {
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

fn main() -> ExitCode {
    harness_cli::main_with_config(LESSON, async |agent, own: Commands<Command>, config| {
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
    })
}
