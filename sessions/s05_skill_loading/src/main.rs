//! Session 5: skills.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use harness_cli::{App, say};
use s05_skill_loading::{LESSON, Skills, places};

#[derive(Args)]
struct Own {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Checks skills and runs nothing: a line for each fault, exit code 1 if there is any
    Check {
        /// Folders of skills [default: those that a session here would use]
        folders: Vec<PathBuf>,
    },
}

fn main() -> ExitCode {
    harness_cli::main_with(LESSON, async |agent, own: Own| {
        let here = places(&agent.cwd, std::env::home_dir().as_deref());
        let Some(Command::Check { folders }) = own.command else {
            let skills = Skills::from_dirs(here);
            let news = skills.news(12);
            return Ok(App::from(agent.with(skills)).tell(news));
        };
        let skills = Skills::from_dirs(if folders.is_empty() { here } else { folders });
        skills.news(usize::MAX).iter().try_for_each(say)?;
        Ok(App::done(agent, ExitCode::from(u8::from(!skills.faults.is_empty()))))
    })
}
