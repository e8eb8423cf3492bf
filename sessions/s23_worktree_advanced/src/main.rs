//! Session 23: trees with a memory.

use std::process::ExitCode;

use s12_worktree_task_isolation::{TaskFlags, TaskPrompts};
use s23_worktree_advanced::{LESSON, join};

fn main() -> ExitCode {
    harness_cli::main_with(LESSON, async |agent, flags: TaskFlags| {
        join(agent.into(), flags, TaskPrompts::All)
    })
}
