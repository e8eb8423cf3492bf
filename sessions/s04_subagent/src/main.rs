//! Session 4: subagents.

use std::process::ExitCode;

use s04_subagent::{LESSON, Subagents};

fn main() -> ExitCode {
    harness_cli::main(LESSON, async |agent| {
        let subagents = Subagents::load(&agent)?;
        Ok(agent.with(subagents))
    })
}
