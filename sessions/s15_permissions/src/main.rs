//! Session 15: permissions.

use std::process::ExitCode;

use s15_permissions::{LESSON, run};

fn main() -> ExitCode {
    harness_cli::main_with_config(LESSON, run)
}
