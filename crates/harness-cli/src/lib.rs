//! The line terminal that every session shares: flags, prompt line, display, approver, plays. What it shows and
//! drives is an [`App`](harness_app::App).
//!
//! A session's `main.rs` is one call:
//!
//! ```no_run
//! # struct Plan;
//! # impl harness_core::Mechanism for Plan { fn install(self, _: &mut harness_core::Agent) {} }
//! # const LESSON: harness_app::Lesson = harness_app::Lesson { name: "s00_x", motto: "", play: "" };
//! fn main() -> std::process::ExitCode {
//!     harness_cli::main(LESSON, async |agent| Ok(agent.with(Plan)))
//! }
//! ```
//!
//! What the setup returns is the agent; an [`App`](harness_app::App), with commands, layers and more; or a
//! [`LineFront`], an app with displays of its own.

mod approve;
mod args;
mod display;
mod front;
mod human;
mod input;
mod launch;
mod one_shot;
mod playground;
mod prompt_line;
mod say;
mod screen;
mod sequence;
mod signals;
mod start;
mod wide;

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use harness_app::{Config, DotEnvSource, Lesson};
use harness_core::Agent;

pub use approve::AskPerson;
pub use args::{Commands, NoFlags};
pub use display::{Display, title};
pub use front::LineFront;
pub use human::Human;
pub use input::{Ahead, Input, Typed};
pub use say::{Unsaid, say};
pub use screen::{BOLD, CYAN, DIM, RED, Screen, age, columns, size, width};
pub use sequence::{Arrow, mermaid, sequence};
pub use signals::until_asked_to_leave;
pub use wide::{cut, fill, wide};

/// Runs a session: reads flags and `.env`, builds the agent, lets the session install its mechanism,
/// and runs the prompt line, or the one prompt of `-p`.
pub fn main<F: Into<LineFront>>(
    lesson: Lesson,
    setup: impl AsyncFnOnce(Agent) -> Result<F>,
) -> ExitCode {
    main_with(lesson, async |agent, _: NoFlags| setup(agent).await)
}

/// The same for a session that has flags or subcommands of its own.
pub fn main_with<X: Args, F: Into<LineFront>>(
    lesson: Lesson,
    setup: impl AsyncFnOnce(Agent, X) -> Result<F>,
) -> ExitCode {
    main_with_config(lesson, async |agent, own, _| setup(agent, own).await)
}

/// The same for a session that also has a file of configuration.
pub fn main_with_config<X: Args, F: Into<LineFront>>(
    lesson: Lesson,
    setup: impl AsyncFnOnce(Agent, X, Config) -> Result<F>,
) -> ExitCode {
    launch::launch(lesson, DotEnvSource::Folder, setup)
}

/// The same for a program that is installed and started anywhere: key and server come from the user's own
/// `~/.config/harness/.env` and from the environment, never from the folder it is started in.
pub fn main_installed<X: Args, F: Into<LineFront>>(
    lesson: Lesson,
    setup: impl AsyncFnOnce(Agent, X, Config) -> Result<F>,
) -> ExitCode {
    launch::launch(lesson, DotEnvSource::User, setup)
}
