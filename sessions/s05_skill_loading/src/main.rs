//! Session 5: skills.

use std::process::ExitCode;

use s05_skill_loading::{LESSON, run};

fn main() -> ExitCode {
    harness_cli::main_with(LESSON, run)
}
