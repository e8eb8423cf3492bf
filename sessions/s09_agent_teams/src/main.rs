//! Session 9: a team.

use std::process::ExitCode;
use std::sync::Arc;

use harness_cli::{App, Screen};
use harness_core::mail::News;
use s09_agent_teams::{Command, Flags, LESSON, Team};

fn main() -> ExitCode {
    harness_cli::main_with_config(LESSON, async |agent, flags: Flags, config| {
        let news = News::default();
        let (members, mailbox) = flags.team(&agent, &config, &news)?;
        if let Some(Command::Mail(mail)) = &flags.command {
            let done = mail.run(&agent, &mailbox).await;
            news.take().iter().for_each(|sentence| Screen::stderr().line(sentence));
            return done.map(|()| App::done(agent, ExitCode::SUCCESS));
        }
        let team = Team::open(&agent, members, Arc::new(mailbox), news).await?;
        Ok(team.join(agent.into()))
    })
}
