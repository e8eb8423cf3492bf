//! Session 18: tools in parallel.

use std::process::ExitCode;
use std::sync::Arc;

use harness_cli::LineFront;
use s18_parallel_tools::{LESSON, Parallel, Timeline};

fn main() -> ExitCode {
    harness_cli::main_with(LESSON, async |agent, parallel: Parallel| {
        let lead = agent.name.clone();
        let front = LineFront::from(agent.with(parallel));
        Ok(front.add_display(|screen| Arc::new(Timeline::new(screen, lead))))
    })
}
