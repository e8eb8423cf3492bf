//! Session 19: interrupts and steering.

use std::process::ExitCode;

use harness_cli::NoFlags;
use s19_interrupts::{LESSON, Lines, Steering};

fn main() -> ExitCode {
    harness_cli::main_with_config(LESSON, async |agent, _: NoFlags, config| {
        let lines = if config.attended() { Lines::All } else { Lines::Marked };
        Ok(Steering::new(lines).join(agent.into()))
    })
}
