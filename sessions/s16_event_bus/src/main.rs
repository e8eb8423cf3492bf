//! Session 16: the event bus.

use std::process::ExitCode;

use harness_cli::{App, NoFlags};
use s16_event_bus::{EventBus, LESSON};

fn main() -> ExitCode {
    harness_cli::main_with_config(LESSON, async |agent, _: NoFlags, config| {
        EventBus::open(App::from(agent), &config)
    })
}
