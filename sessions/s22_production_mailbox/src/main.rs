//! Session 22: mail that survives its readers, its writers and its server.

use std::process::ExitCode;

use s22_production_mailbox::{Flags, LESSON, open};

fn main() -> ExitCode {
    harness_cli::main_with_config(LESSON, async |agent, flags: Flags, config| {
        open(agent, flags, config).await
    })
}
