//! The program, and its subcommand `check`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use harness_app::App;
use harness_cli::{Commands, say};
use harness_core::Agent;

use crate::{Skills, places};

/// The subcommands of this session.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Checks skills and runs nothing: a line for each fault, exit code 1 if there is any
    Check {
        /// Folders of skills [default: those that a session here would use]
        folders: Vec<PathBuf>,
    },
}

/// The program: an agent with skills, or a check of them.
///
/// # Errors
/// What `check` found cannot be written.
pub async fn run(agent: Agent, own: Commands<Command>) -> Result<App> {
    let here = places(&agent.cwd, std::env::home_dir().as_deref());
    let Some(Command::Check { folders }) = own.command else {
        let skills = Skills::from_dirs(here);
        let news = skills.news(12);
        return Ok(App::from(agent.with(skills)).notices(news));
    };
    let skills = Skills::from_dirs(if folders.is_empty() { here } else { folders });
    skills.news(usize::MAX).iter().try_for_each(say)?;
    Ok(App::done(agent, ExitCode::from(u8::from(!skills.faults.is_empty()))))
}
