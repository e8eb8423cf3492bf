//! The deployable reference: every mechanism of the course in one agent.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use harness::{Flags, LESSON, State, doctor, install};
use harness_cli::{App, Screen};

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
}

fn main() -> ExitCode {
    harness_cli::main_installed(LESSON, async |agent, own: Own, config| {
        let Some(Command::Doctor) = own.command else {
            return install(agent, own.flags, &config).await;
        };
        let findings = doctor(&agent, &config).await;
        findings.iter().for_each(|finding| Screen::stdout().line(finding.to_string()));
        let sick = findings.iter().any(|finding| finding.state == State::Broken);
        Ok(App::done(agent, ExitCode::from(u8::from(sick))))
    })
}
