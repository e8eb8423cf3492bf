//! Session 7: a graph of tasks.

use std::process::ExitCode;

use s07_task_system::{LESSON, run};

fn main() -> ExitCode {
    harness_cli::main_with(LESSON, run)
}
