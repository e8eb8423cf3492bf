//! Session 3: a plan.

use std::process::ExitCode;

use s03_todo_write::{LESSON, Plan};

fn main() -> ExitCode {
    harness_cli::main(LESSON, async |agent| Ok(agent.with(Plan::default())))
}
