//! The flags and subcommands of a team.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use harness_app::{App, Config};
use harness_core::Agent;

use crate::mail::{FileMailbox, MailCommand, MailNotices};
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
    let members = flags.members(&config)?;
    let notices = MailNotices::default();
    let mailbox = flags.mailbox(&agent, &members, notices.clone())?;
    if let Some(Command::Mail(command)) = &flags.command {
        command.run(&mailbox, &notices, &agent.secrets).await?;
        return Ok(App::done(agent, ExitCode::SUCCESS));
    }
    let team = Team::open(&agent, members, Arc::new(mailbox), notices).await?;
    Ok(join(team, agent.into()))
}

impl Flags {
    /// The team that is compiled in, with the members that the user's own file adds or replaces.
    ///
    /// # Errors
    /// The file cannot be read, or does not describe a team.
    fn members(&self, config: &Config) -> Result<Vec<Member>> {
        let mut members = Member::list(include_str!("../team.yaml"), "team.yaml")?;
        let Some(file) = self.own_team(config) else { return Ok(members) };
        let name = file.display().to_string();
        let yaml = std::fs::read_to_string(&file).with_context(|| format!("cannot read {name}"))?;
        for member in Member::list(&yaml, &name)? {
            members.retain(|known| known.name != member.name);
            members.push(member);
        }
        Ok(members)
    }

    /// The user's own file: the one that `--team` names, or the usual one if it is there.
    fn own_team(&self, config: &Config) -> Option<PathBuf> {
        if let Some(file) = &self.team {
            return Some(file.clone());
        }
        let usual = config.home()?.join("team.yaml");
        usual.is_file().then_some(usual)
    }

    /// The mailboxes of this workspace: a box for each member, for the lead, and for a sender of `mail send`,
    /// who gets answers there.
    ///
    /// # Errors
    /// A name is not usable, or there can be no mailboxes here.
    fn mailbox(
        &self,
        lead: &Agent,
        members: &[Member],
        notices: MailNotices,
    ) -> Result<FileMailbox> {
        let mut names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
        names.push(&lead.name);
        if let Some(Command::Mail(command)) = &self.command {
            names.extend(command.sender());
        }
        Ok(FileMailbox::open(&lead.cwd, names, notices)?)
    }
}
