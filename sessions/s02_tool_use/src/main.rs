//! Session 2: tools.

use std::process::ExitCode;

use s02_tool_use::{Count, LESSON};

fn main() -> ExitCode {
    harness_cli::main(LESSON, async |agent| Ok(agent.with(Count)))
}
