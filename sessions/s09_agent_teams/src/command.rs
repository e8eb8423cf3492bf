//! `mail send` and `mail recv`: the same mail from the command line, beside a running team.

use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use harness_cli::Config;
use harness_core::Agent;
use harness_core::mail::{FileMailbox, Mail, Mailbox, News};

use crate::Member;

/// The flags of this session.
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

/// What can be done with mail.
#[derive(Subcommand, Clone, Debug)]
pub enum MailCommand {
    /// Sends a mail, or several; prints the id of each once it is safe, a JSON object a line
    Send {
        /// Whose box it goes to
        #[arg(long, value_name = "NAME")]
        to: String,
        /// Who writes; answers go to the box of that name
        #[arg(long, value_name = "NAME")]
        from: String,
        /// What it says
        #[arg(long, required_unless_present = "stdin", allow_hyphen_values = true)]
        body: Option<String>,
        /// Read bodies from standard input, a line each
        #[arg(long, conflicts_with = "body")]
        stdin: bool,
    },
    /// Prints the mail that is there, a JSON object a line, acknowledges it and ends
    Recv {
        /// Whose mail
        #[arg(long, value_name = "NAME")]
        agent: String,
    },
}

impl Flags {
    /// The team that is compiled in, with the members that the user's own file adds or replaces; and the
    /// mailboxes of this workspace, a box for each of them.
    ///
    /// # Errors
    /// The file cannot be read or is no team, or there can be no mailboxes here.
    pub fn team(
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
        let names = members.iter().map(|it| &it.name).chain([&agent.name]);
        let mailbox = FileMailbox::open(&agent.cwd, names.map(String::as_str), news.clone())?;
        Ok((members, mailbox))
    }
}

impl MailCommand {
    /// Does it. Standard output is for JSON lines alone.
    ///
    /// # Errors
    /// A name is unknown, or mail cannot be kept or read; what was printed before is done.
    pub async fn run(&self, agent: &Agent, mailbox: &FileMailbox) -> Result<()> {
        let (to, from, body) = match self {
            Self::Recv { agent } => return receive(mailbox, agent).await,
            Self::Send { to, from, body, .. } => (to, from, body),
        };
        mailbox.join(from)?;
        let lines: Box<dyn Iterator<Item = io::Result<Vec<u8>>>> = match body {
            Some(body) => Box::new(std::iter::once(Ok(body.clone().into_bytes()))),
            None => Box::new(io::stdin().lock().split(b'\n')),
        };
        for line in lines {
            let line = line.context("cannot read standard input")?;
            let text = String::from_utf8_lossy(&line);
            let text = text.strip_suffix('\r').unwrap_or(&text);
            if body.is_some() || !text.trim().is_empty() {
                let mail = Mail::new(from, to, agent.secrets.mask(text));
                print(&[serde_json::json!({"id": mailbox.send(mail).await?, "to": to})])?;
            }
        }
        Ok(())
    }
}

/// Each batch is acknowledged once it is written out: a reader that is killed gets it again.
async fn receive(mailbox: &FileMailbox, name: &str) -> Result<()> {
    loop {
        let mails = mailbox.receive(name, Duration::ZERO).await?;
        if mails.is_empty() {
            return Ok(());
        }
        print(&mails)?;
        let ids: Vec<_> = mails.into_iter().map(|mail| mail.id).collect();
        mailbox.acknowledge(name, &ids).await?;
    }
}

fn print<T: serde::Serialize>(records: &[T]) -> Result<()> {
    let mut lines = Vec::new();
    for record in records {
        serde_json::to_writer(&mut lines, record)?;
        lines.push(b'\n');
    }
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(&lines).and_then(|()| stdout.flush());
    written.context("cannot write to standard output")
}
