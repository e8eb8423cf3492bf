//! `mail send` and `mail recv`, for sessions whose agents have mailboxes: the same mail from the command line.

use std::io::{self, BufRead};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Subcommand;
use harness_core::Secrets;
use harness_core::mail::{Mail, Mailbox, News};
use serde::Serialize;

use crate::say::{self, Unsaid};
use crate::screen::Screen;

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

impl MailCommand {
    /// Who writes: answers go to a box of that name, which has to be there.
    pub fn writer(&self) -> Option<&str> {
        if let Self::Send { from, .. } = self { Some(from) } else { None }
    }

    /// Does it, and tells on standard error what the mailbox has to tell. Standard output is for JSON lines
    /// alone.
    ///
    /// # Errors
    /// A name is unknown, or mail cannot be kept or read; what was printed before is done.
    pub async fn run(&self, mailbox: &dyn Mailbox, news: &News, secrets: &Secrets) -> Result<()> {
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
        news.take().iter().for_each(|sentence| Screen::stderr().line(sentence));
        done
    }
}

async fn send(mailbox: &dyn Mailbox, mail: Mail) -> Result<()> {
    let to = mail.to.clone();
    print(&[serde_json::json!({"id": mailbox.send(mail).await?, "to": to})])
}

async fn send_lines(mailbox: &dyn Mailbox, mail: impl Fn(&str) -> Mail) -> Result<()> {
    for line in io::stdin().lock().split(b'\n') {
        let line = line.context("cannot read standard input")?;
        let body = String::from_utf8_lossy(&line);
        if !body.trim().is_empty() {
            send(mailbox, mail(body.strip_suffix('\r').unwrap_or(&body))).await?;
        }
    }
    Ok(())
}

/// So many are written out before they are acknowledged: what a reader that is killed gets again, at most.
const BATCH: usize = 16;

async fn receive(mailbox: &dyn Mailbox, name: &str) -> Result<()> {
    loop {
        let mails = mailbox.receive(name, Duration::ZERO).await?;
        if mails.is_empty() {
            return Ok(());
        }
        for batch in mails.chunks(BATCH) {
            print(batch)?;
            let ids: Vec<_> = batch.iter().map(|mail| mail.id.clone()).collect();
            mailbox.acknowledge(name, &ids).await?;
        }
    }
}

fn print<T: Serialize>(records: &[T]) -> Result<()> {
    let mut lines = Vec::new();
    for record in records {
        serde_json::to_writer(&mut lines, record)?;
        lines.push(b'\n');
    }
    Ok(say::write(&lines).map_err(Unsaid)?)
}
