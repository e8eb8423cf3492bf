//! Session 17: conversations that outlive their process.

use std::process::ExitCode;

use s17_session_management::{Flags, LESSON, join};

fn main() -> ExitCode {
    harness_cli::main_with(LESSON, async |agent, flags: Flags| join(agent.into(), flags))
}
