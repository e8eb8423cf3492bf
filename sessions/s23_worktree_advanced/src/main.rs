//! Session 23: trees with a memory.

use std::process::ExitCode;

use harness_cli::{Bars, TaskFlags};
use s23_worktree_advanced::{LESSON, join};

fn main() -> ExitCode {
    harness_cli::main_with(LESSON, async |agent, own: TaskFlags| join(agent.into(), own, Bars::All))
}
