//! Session 17: conversations that outlive their process.

use std::process::ExitCode;

use harness_cli::App;
use s17_session_management::{Flags, LESSON, SessionStore};

fn main() -> ExitCode {
    harness_cli::main_with(LESSON, async |agent, flags: Flags| {
        let store = SessionStore::new(&agent);
        store.clone().commands(App::from(agent.with(store)), flags)
    })
}
