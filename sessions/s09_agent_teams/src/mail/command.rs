//! `mail send` and `mail recv`: the same mail from the command line.

use std::io::{self, BufRead};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Subcommand;
use harness_cli::{Screen, say};
use harness_core::Secrets;
use serde::Serialize;

use super::{Mail, MailId, MailNotices, Mailbox};

/// The most mails that are printed before they are acknowledged: as many a reader that is killed gets again.
const MAX_PRINTED: usize = 16;

/// What can be done with mail.
#[derive(Subcommand, Clone, Debug)]
pub enum MailCommand {
    /// Sends a mail, or several; prints the id of each once it is safe, a JSON object a line
    Send {
        /// Whose box it goes to
        #[arg(long, value_name = "NAME")]
        to: String,
        /// The sender; answers go to the box of that name
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

impl MailCommand {
    /// The sender, if mail is sent: answers go to a box of that name, which has to exist.
    pub fn sender(&self) -> Option<&str> {
        match self {
            Self::Send { from, .. } => Some(from),
            Self::Recv { .. } => None,
        }
    }

    /// Runs it, and shows what the mailbox has to tell on standard error. Standard output is for JSON lines
    /// alone.
    ///
    /// # Errors
    /// A name is unknown, or mail cannot be kept or read; what was printed before is done.
    pub async fn run(
        &self,
        mailbox: &dyn Mailbox,
        notices: &MailNotices,
        secrets: &Secrets,
    ) -> Result<()> {
        let done = match self {
            Self::Recv { agent } => receive(mailbox, agent).await,
            Self::Send { to, from, body, .. } => {
                let mail = |body: &str| Mail::new(from, to, secrets.mask(body));
                match body {
                    Some(body) => send(mailbox, mail(body)).await,
                    None => send_lines(mailbox, mail).await,
                }
            }
        };
        for sentence in notices.take() {
            Screen::stderr().line(sentence);
        }
        done
    }
}

async fn send(mailbox: &dyn Mailbox, mail: Mail) -> Result<()> {
    let to = mail.to.clone();
    let id = mailbox.send(mail).await?;
    print(&[serde_json::json!({"id": id, "to": to})])
}

async fn send_lines(mailbox: &dyn Mailbox, mail: impl Fn(&str) -> Mail) -> Result<()> {
    for line in io::stdin().lock().split(b'\n') {
        let line = line.context("cannot read standard input")?;
        let line = String::from_utf8_lossy(&line);
        let body = line.strip_suffix('\r').unwrap_or(&line);
        if !body.trim().is_empty() {
            send(mailbox, mail(body)).await?;
        }
    }
    Ok(())
}

async fn receive(mailbox: &dyn Mailbox, name: &str) -> Result<()> {
    loop {
        let mails = mailbox.receive(name, Duration::ZERO).await?;
        if mails.is_empty() {
            return Ok(());
        }
        for batch in mails.chunks(MAX_PRINTED) {
            print(batch)?;
            let ids: Vec<MailId> = batch.iter().map(|mail| mail.id.clone()).collect();
            mailbox.acknowledge(name, &ids).await?;
        }
    }
}

/// Prints JSON lines, all of them with one write.
fn print<T: Serialize>(records: &[T]) -> Result<()> {
    let lines: Result<Vec<String>, _> = records.iter().map(serde_json::to_string).collect();
    Ok(say(lines?.join("\n"))?)
}
