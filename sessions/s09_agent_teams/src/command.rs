//! The flags and subcommands of a team.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use harness_app::{App, Config};
use harness_cli::MailCommand;
use harness_core::Agent;
use harness_core::mail::{FileMailbox, News};

use crate::{Member, Team};

/// This session's own flags.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// A file that adds teammates, in the form of team.yaml [default: ~/.config/harness/team.yaml]
    #[arg(long, value_name = "FILE", global = true)]
    pub team: Option<PathBuf>,
    /// The subcommand that was given.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The subcommands of this session.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Sends and reads mail, beside a running team
    #[command(subcommand)]
    Mail(MailCommand),
}

/// The program: a lead with its team, or mail sent and read beside a running one.
///
/// # Errors
/// The team's file or its mailboxes cannot be used.
pub async fn run(agent: Agent, flags: Flags, config: Config) -> Result<App> {
    with_team(agent, flags, config, Team::join).await
}

/// The same for a session that joins its team in a way of its own.
///
/// # Errors
/// As above.
pub async fn with_team(
    agent: Agent,
    flags: Flags,
    config: Config,
    join: impl FnOnce(Team, App) -> App,
) -> Result<App> {
    let news = News::default();
    let (members, mailbox) = flags.team(&agent, &config, &news)?;
    if let Some(Command::Mail(mail)) = &flags.command {
        mail.run(&mailbox, &news, &agent.secrets).await?;
        return Ok(App::done(agent, ExitCode::SUCCESS));
    }
    let team = Team::open(&agent, members, Arc::new(mailbox), news).await?;
    Ok(join(team, agent.into()))
}

impl Flags {
    /// The team that is compiled in, with the members that the user's own file adds or replaces; and the
    /// mailboxes of this workspace, a box for each of them.
    ///
    /// # Errors
    /// The file cannot be read or is no team, or there can be no mailboxes here.
    fn team(
        &self,
        agent: &Agent,
        config: &Config,
        news: &News,
    ) -> Result<(Vec<Member>, FileMailbox)> {
        let mut members = Member::list(include_str!("../team.yaml"), "team.yaml")?;
        let usual = config.home().map(|home| home.join("team.yaml")).filter(|file| file.is_file());
        if let Some(file) = self.team.clone().or(usual) {
            let name = file.display().to_string();
            let yaml = std::fs::read_to_string(&file);
            let yaml = yaml.with_context(|| format!("cannot read {name}"))?;
            for member in Member::list(&yaml, &name)? {
                members.retain(|known| known.name != member.name);
                members.push(member);
            }
        }
        let own = self.command.as_ref().and_then(|Command::Mail(mail)| mail.writer());
        let names = members.iter().map(|it| it.name.as_str()).chain([agent.name.as_str()]);
        let mailbox = FileMailbox::open(&agent.cwd, names.chain(own), news.clone())?;
        Ok((members, mailbox))
    }
}
