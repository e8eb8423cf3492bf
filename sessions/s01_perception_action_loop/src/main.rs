//! Session 1: the loop is the agent.

use std::process::ExitCode;

use harness_app::App;
use s01_perception_action_loop::{LESSON, Loop, only_bash};

fn main() -> ExitCode {
    harness_cli::main(LESSON, async |agent| Ok(App::from(only_bash(agent)).layer(Loop)))
}
