//! Session 10: protocols.

use std::process::ExitCode;

use s10_team_protocols::{LESSON, run};

fn main() -> ExitCode {
    harness_cli::main_with_config(LESSON, run)
}
