//! Session 14: whatever a call changes can be taken back.

use std::process::ExitCode;

use harness_cli::App;
use s14_tools_extended::{Checkpoints, LESSON, commands};

fn main() -> ExitCode {
    harness_cli::main(LESSON, async |agent| {
        Ok(commands(App::from(agent.with(Checkpoints::default()))))
    })
}
