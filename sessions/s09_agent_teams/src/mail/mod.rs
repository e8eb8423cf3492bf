//! Behind the lesson: mail between agents, kept until its reader says that it is safe.
//!
//! [`Mailbox`] is what every place for mail promises; [`FileMailbox`] and [`MemoryMailbox`] are two of them,
//! session 22 adds one in Redis. [`MailClient`] joins a mailbox and a conversation, so that nothing is lost
//! between the two and nothing is read twice.

mod client;
mod command;
#[cfg(feature = "conformance")]
pub mod conformance;
mod file;
mod memory;
mod notices;
mod render;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

pub use self::client::{Acknowledge, MailClient};
pub use self::command::MailCommand;
pub use self::file::{DeadLetterLine, FileMailbox};
pub use self::memory::MemoryMailbox;
pub use self::notices::MailNotices;
pub use self::render::{as_result, render};

/// The most bytes of a body.
pub const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;
/// The most characters of a name.
const MAX_NAME_LENGTH: usize = 64;

/// Names one mail. A mail that is sent twice keeps its id, so a reader recognises it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MailId(pub String);

impl MailId {
    /// An id that no other mail has. Senders in many processes cannot ask each other which ids are taken,
    /// so it has 64 random bits.
    fn random() -> Self {
        let bits = RandomState::new().hash_one(std::process::id());
        Self(format!("{bits:016x}"))
    }
}

impl fmt::Display for MailId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A message from one agent to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// Its id.
    pub id: MailId,
    /// The name of the agent that wrote it.
    pub from: String,
    /// The name of the agent whose box it goes to.
    pub to: String,
    /// What it says.
    pub body: String,
    /// The mail that this one answers.
    pub in_reply_to: Option<MailId>,
    /// When it was written: RFC 3339, UTC. Clocks differ, so nothing is decided by it.
    pub sent: String,
    /// What it asks for, where it is a request of a protocol (s10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<MailRequest>,
    /// What it says as an answer, where programs have to know it; an ordinary answer is just its words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<MailOutcome>,
}

/// What a mail asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailRequest {
    /// The name of what is asked for, with a version: `task/1`.
    pub what: String,
    /// The deadline: an answer that comes later is of no use.
    pub until: Timestamp,
}

impl MailRequest {
    /// The time to the deadline; zero when it has passed.
    pub fn time_left(&self) -> Duration {
        self.until.duration_since(Timestamp::now()).try_into().unwrap_or_default()
    }
}

/// What an answer says, beside its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailOutcome {
    /// There is no answer; the words say why.
    Failed,
    /// What was asked may be done; the words are a comment, and may be missing.
    Approved,
    /// What was asked may not be done as it is; the words are the reason, and may be missing.
    Rejected,
}

impl MailOutcome {
    /// Whether it says enough without words.
    fn is_verdict(self) -> bool {
        matches!(self, Self::Approved | Self::Rejected)
    }
}

impl Mail {
    /// A new mail that answers nothing.
    pub fn new(from: &str, to: &str, body: impl Into<String>) -> Self {
        Self {
            id: MailId::random(),
            from: from.to_owned(),
            to: to.to_owned(),
            body: body.into(),
            in_reply_to: None,
            sent: Timestamp::now().to_string(),
            request: None,
            outcome: None,
        }
    }

    /// The answer to this mail. There is one: an answer that is sent again has the same id.
    pub fn answer(&self, body: impl Into<String>) -> Self {
        Self {
            id: MailId(format!("{}.re", self.id)),
            in_reply_to: Some(self.id.clone()),
            ..Self::new(&self.to, &self.from, body)
        }
    }

    /// The answer that says that there is none, and why.
    pub fn failure(&self, why: impl Into<String>) -> Self {
        Self { outcome: Some(MailOutcome::Failed), ..self.answer(why) }
    }

    /// The same mail as a request: it asks for `what` (`task/1`, say), and is of use for `timeout` from now on.
    #[must_use]
    pub fn asking(self, what: &str, timeout: Duration) -> Self {
        let until = Timestamp::now() + timeout;
        Self { request: Some(MailRequest { what: what.to_owned(), until }), ..self }
    }

    /// Every mailbox asks this of every mail before it takes it.
    ///
    /// # Errors
    /// [`MailError::Refused`]: a name is not usable, or the body is empty or longer than [`MAX_BODY_BYTES`].
    pub fn check(&self) -> Result<(), MailError> {
        check_name(&self.from)?;
        check_name(&self.to)?;
        let says_enough = self.outcome.is_some_and(MailOutcome::is_verdict);
        if self.body.trim().is_empty() && !says_enough {
            return Err(MailError::refused("the body is empty; say something"));
        }
        let bytes = self.body.len();
        if bytes > MAX_BODY_BYTES {
            return Err(MailError::refused(format!(
                "a body of {bytes} bytes is too long (at most {MAX_BODY_BYTES}); put it into a file and name that"
            )));
        }
        Ok(())
    }
}

/// A name becomes part of paths and keys, so only plain ones are allowed.
///
/// # Errors
/// [`MailError::Refused`].
pub fn check_name(name: &str) -> Result<(), MailError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let is_usable = !name.is_empty() && name.len() <= MAX_NAME_LENGTH && name.chars().all(is_plain);
    if is_usable {
        return Ok(());
    }
    Err(MailError::refused(format!(
        "{name:?} cannot be a name: use 1 to {MAX_NAME_LENGTH} letters, digits, - and _"
    )))
}

/// Why mail was not sent or not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MailError {
    /// There is no box of that name.
    #[error("there is no agent {name:?}; available: {}", known.join(", "))]
    Unknown {
        /// The name.
        name: String,
        /// The names that have a box.
        known: Vec<String>,
    },
    /// It cannot be done like this; the text says why.
    #[error("{0}")]
    Refused(String),
    /// The place where mail is kept failed; the text names it.
    #[error("{0}")]
    Store(String),
}

impl MailError {
    /// It cannot be done like this, for this reason.
    pub(crate) fn refused(why: impl Into<String>) -> Self {
        Self::Refused(why.into())
    }

    /// The place where mail is kept failed like this.
    pub(crate) fn store(why: impl fmt::Display) -> Self {
        Self::Store(why.to_string())
    }
}

/// Where mail is kept. Delivery is *at least once*: a mail is given to its reader, in the order in which it
/// was sent, again and again until the reader acknowledges it. A reader that may have seen a mail recognises
/// it by its id.
#[async_trait]
pub trait Mailbox: Send + Sync {
    /// Puts a mail into the box of `mail.to`; it is safe when this returns.
    async fn send(&self, mail: Mail) -> Result<MailId, MailError>;

    /// Takes what is there for this agent and not given out yet, and waits at most `wait` for the first mail.
    /// What is given out is leased: it is given again only when this reader has gone without acknowledging
    /// it. Cancel safe: nothing is lost when the future is dropped.
    async fn receive(&self, name: &str, wait: Duration) -> Result<Vec<Mail>, MailError>;

    /// The reader has these where a crash cannot take them: they are not given again. Acknowledge them in the
    /// order in which they were received; one that is acknowledged before an older one may be given again
    /// after a crash.
    async fn acknowledge(&self, name: &str, ids: &[MailId]) -> Result<(), MailError>;

    /// The reader cannot do anything with this mail. It becomes a dead letter, kept with the reason, and is
    /// not given again.
    async fn reject(&self, name: &str, id: &MailId, why: &str) -> Result<(), MailError>;

    /// The names of all boxes, sorted.
    async fn names(&self) -> Result<Vec<String>, MailError>;

    /// How many mails of this box are not acknowledged, including those that are given out.
    async fn unacknowledged(&self, name: &str) -> Result<usize, MailError>;
}

/// How a mailbox's [`receive`](Mailbox::receive) waits: it polls when `arrived` is notified, and every
/// `interval` besides, until there is mail or the wait is over. It polls at least once.
///
/// # Errors
/// Those of `poll`, at once.
pub async fn poll_until<P>(
    wait: Duration,
    interval: Duration,
    arrived: &Notify,
    mut poll: impl FnMut() -> P,
) -> Result<Vec<Mail>, MailError>
where
    P: Future<Output = Result<Vec<Mail>, MailError>>,
{
    let deadline = Instant::now() + wait;
    loop {
        // Made before the poll, so that mail which arrives after the poll is not missed.
        let notified = arrived.notified();
        let found = poll().await?;
        if !found.is_empty() || Instant::now() >= deadline {
            return Ok(found);
        }
        let next_poll = deadline.min(Instant::now() + interval);
        let _ = timeout_at(next_poll, notified).await;
    }
}
