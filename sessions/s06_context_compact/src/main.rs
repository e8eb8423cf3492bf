//! Session 6: room in the window.

use std::process::ExitCode;

use s06_context_compact::{Compact, Flags, LESSON};

fn main() -> ExitCode {
    harness_cli::main_with(LESSON, async |agent, flags: Flags| {
        Ok(Compact::open(&agent, flags.window)?.join(agent.into()))
    })
}
