//! Session 6: room in the window.

use std::process::ExitCode;

use harness_cli::App;
use s06_context_compact::{Compact, Flags, LESSON};

fn main() -> ExitCode {
    harness_cli::main_with(LESSON, async |agent, flags: Flags| {
        let compact = Compact::open(&agent, flags.window)?;
        Ok(compact.clone().commands(App::from(agent.with(compact))))
    })
}
