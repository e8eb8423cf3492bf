//! Session 12: a tree of its own for each task.

use std::process::ExitCode;
use std::sync::Arc;

use s12_worktree_task_isolation::{Flags, LESSON, app};

fn main() -> ExitCode {
    harness_cli::main_with(LESSON, async |agent, flags: Flags| Ok(app(agent, flags, Arc::new(()))))
}
