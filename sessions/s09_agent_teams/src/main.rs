//! Session 9: a team.

use std::process::ExitCode;
use std::sync::Arc;

use harness_cli::App;
use harness_core::mail::{FileMailbox, News};
use s09_agent_teams::{Command, Flags, LESSON, Team, members};

fn main() -> ExitCode {
    harness_cli::main_with_config(LESSON, async |agent, own: Flags, config| {
        let members = members(own.team.as_deref(), &config)?;
        if let Some(Command::Mail(mail)) = own.command {
            mail.run(&agent, &members).await?;
            return Ok(App::done(agent, ExitCode::SUCCESS));
        }
        let news = News::default();
        let names = members.iter().map(|it| it.name.as_str()).chain([agent.name.as_str()]);
        let mailbox = Arc::new(FileMailbox::open(&agent.cwd, names, news.clone())?);
        let mut team = Team::open(&agent, mailbox, news).await?;
        for member in members {
            team = team.hire(member).await?;
        }
        Ok(team.app(agent))
    })
}
