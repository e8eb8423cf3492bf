//! Session 10: protocols.

use std::process::ExitCode;
use std::sync::Arc;

use harness_cli::App;
use harness_core::mail::News;
use s09_agent_teams::{Command, Flags, Team};
use s10_team_protocols::{LESSON, PATIENCE, Protocols};

fn main() -> ExitCode {
    harness_cli::main_with_config(LESSON, async |agent, flags: Flags, config| {
        let news = News::default();
        let (members, mailbox) = flags.team(&agent, &config, &news)?;
        if let Some(Command::Mail(mail)) = &flags.command {
            mail.run(&mailbox, &news, &agent.secrets).await?;
            return Ok(App::done(agent, ExitCode::SUCCESS));
        }
        let team = Team::open(&agent, members, Arc::new(mailbox), news).await?;
        Ok(Protocols::over(team, PATIENCE).join(agent.into()))
    })
}
