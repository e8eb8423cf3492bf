//! Session 21: tools from elsewhere.

use std::process::ExitCode;

use s21_mcp_runtime::{LESSON, run};

fn main() -> ExitCode {
    harness_cli::main_with_config(LESSON, run)
}
