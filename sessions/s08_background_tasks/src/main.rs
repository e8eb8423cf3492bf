//! Session 8: commands in the background.

use std::process::ExitCode;

use harness_cli::NoFlags;
use s08_background_tasks::{Background, LESSON};

fn main() -> ExitCode {
    harness_cli::main_with_config(LESSON, async |agent, _: NoFlags, config| {
        let (background, lines) = Background::open(&agent, config.attended()).await?;
        Ok(background.join(agent.into()).notices(lines))
    })
}
