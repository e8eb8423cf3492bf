//! Session 13: streaming.

use std::process::ExitCode;
use std::sync::Arc;

use harness_cli::LineFront;
use s13_streaming::{LESSON, Typewriter};

fn main() -> ExitCode {
    harness_cli::main(LESSON, async |agent| {
        let lead = agent.name.clone();
        Ok(LineFront::from(agent).display(|screen| Arc::new(Typewriter::new(screen, lead))))
    })
}
