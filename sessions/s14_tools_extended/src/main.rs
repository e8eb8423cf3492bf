//! Session 14: whatever a call changes can be taken back.

use std::process::ExitCode;

use s14_tools_extended::{Checkpoints, LESSON};

fn main() -> ExitCode {
    harness_cli::main(LESSON, async |agent| Ok(Checkpoints::default().join(agent.into())))
}
