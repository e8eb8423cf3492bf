//! Session 9: a team.

use std::process::ExitCode;

use s09_agent_teams::{LESSON, run};

fn main() -> ExitCode {
    harness_cli::main_with_config(LESSON, run)
}
