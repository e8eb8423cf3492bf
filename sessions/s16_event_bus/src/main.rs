//! Session 16: the event bus.

use std::process::ExitCode;

use harness_cli::NoFlags;
use s16_event_bus::{LESSON, join};

fn main() -> ExitCode {
    harness_cli::main_with_config(LESSON, async |agent, _: NoFlags, config| {
        join(agent.into(), &config)
    })
}
