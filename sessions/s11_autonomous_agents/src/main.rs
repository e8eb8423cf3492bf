//! Session 11: workers that find their tasks by themselves.

use std::process::ExitCode;

use s11_autonomous_agents::{LESSON, run};

fn main() -> ExitCode {
    harness_cli::main_with_config(LESSON, run)
}
