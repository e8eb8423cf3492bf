//! Session 12: a tree of its own for each task.

use std::process::ExitCode;

use s12_worktree_task_isolation::{LESSON, TaskFlags, join};

fn main() -> ExitCode {
    harness_cli::main_with(LESSON, async |agent, flags: TaskFlags| Ok(join(agent.into(), flags)))
}
