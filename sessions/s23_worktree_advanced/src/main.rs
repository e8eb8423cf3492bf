//! Session 23: trees with a memory.

use std::process::ExitCode;

use harness_cli::TaskFlags;
use s23_worktree_advanced::{LESSON, app};

fn main() -> ExitCode {
    harness_cli::main_with(LESSON, async |agent, flags: TaskFlags| app(agent, flags))
}
