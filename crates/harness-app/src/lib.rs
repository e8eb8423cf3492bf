//! A program without a screen. A session builds an [`App`]; a front (a line terminal, a screen, an editor, a
//! test) starts it and drives the [`RunningApp`].
//!
//! Nothing here prints, reads standard input or knows a terminal. To read it, take this order:
//!
//! - [`App`]: what a session gives: its agent, commands, layers, wakes, and what is done at the exit.
//! - [`RunningApp`]: what a front drives: turns, commands, help, news, the exit.
//! - [`OneShot`]: one prompt, one answer, an exit code, and reports for programs.
//! - [`Viewers`]: how a mechanism shows something outside of a turn, whichever front there is.
//!
//! Four modules hold what a user can set, each one thing:
//!
//! - `places`: where files lie: the user's own folder, and this repository.
//! - [`Settings`]: single values, such as the key, the server and the model, from `.env` and the environment.
//! - [`Config`]: whole files of configuration, such as `permissions.yaml`, and what the flags add for this run.
//! - `policy`: what `permissions.yaml` and those flags say about a call, as the agent's policy.
//!
//! ```
//! use std::sync::Arc;
//! use harness_app::App;
//! use harness_core::{Agent, Play, Prompt, Script, TurnOutcome};
//! use tokio_util::sync::CancellationToken;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let play = Play::from_yaml("prompt: hello\nscenes: [{lines: [{text: Good day.}]}]")?;
//! let agent = Agent::new(Arc::new(Script::new(play)), std::env::temp_dir());
//! let mut app = App::from(agent).start()?;
//! app.enter();
//! let outcome = app.turn(Prompt::from("hello"), &CancellationToken::new()).await?;
//! assert_eq!(outcome, TurnOutcome::Answered("Good day.".to_owned()));
//! app.leave().await;
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod app;
mod base_agent;
mod config;
mod lesson;
mod line;
mod model_choice;
mod one_shot;
pub mod places;
mod policy;
mod running;
mod settings;
mod steering;
mod surroundings;
mod trusted;
mod viewers;

pub use app::App;
pub use base_agent::base_agent;
pub use config::{Config, RunOptions};
pub use lesson::Lesson;
pub use line::{Line, UnknownCommand};
pub use model_choice::ModelChoice;
pub use one_shot::{EXIT_INTERRUPTED, OneShot, OneShotOutcome, OutputFormat, refusal};
pub use running::RunningApp;
pub use settings::{DotEnvSource, Settings};
pub use steering::{Steering, SteeringOutcome};
pub use surroundings::remind_of_surroundings;
pub use trusted::{Given, WorkspaceFile};
pub use viewers::Viewers;
