//! Mail between agents: kept until its reader says that it is safe.
//!
//! [`Mailbox`] is what every place for mail promises; [`FileMailbox`] and [`MemoryMailbox`] are two. [`Post`]
//! joins a mailbox and a conversation, so that nothing is lost between the two and nothing is seen twice.

mod file;
mod memory;
mod post;

use std::collections::VecDeque;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::host::mutex::Mutex;

pub use self::file::{Dead, FileMailbox};
pub use self::memory::MemoryMailbox;
pub use self::post::{Done, FAILED, Post, held, shown};

/// The most bytes of a body.
pub const LONGEST: usize = 4 * 1024 * 1024;

/// Names one mail. The same mail sent twice has the same id, so a reader knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MailId(pub String);

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
    /// Who wrote it.
    pub from: String,
    /// Whose box it goes to.
    pub to: String,
    /// What it says.
    pub body: String,
    /// The mail that this answers.
    pub in_reply_to: Option<MailId>,
    /// When it was written: RFC 3339, UTC. Clocks differ, so nothing is decided by it.
    pub sent: String,
}

impl Mail {
    /// A new mail that answers nothing.
    pub fn new(from: &str, to: &str, body: impl Into<String>) -> Self {
        // Two sessions' worth of a short id: senders in many processes cannot ask what is taken.
        let id = MailId(format!("{:016x}", RandomState::new().hash_one(std::process::id())));
        let (from, to, body) = (from.to_owned(), to.to_owned(), body.into());
        Self { id, from, to, body, in_reply_to: None, sent: jiff::Timestamp::now().to_string() }
    }

    /// The answer to this mail. There is one: an answer that is sent again has the same id.
    pub fn answer(&self, body: impl Into<String>) -> Self {
        let id = MailId(format!("{}.re", self.id));
        let in_reply_to = Some(self.id.clone());
        Self { id, in_reply_to, ..Self::new(&self.to, &self.from, body) }
    }

    /// A mail that asks for something, `task/1` say, and is of use only so long. Its first line says both.
    pub fn request(what: &str, from: &str, to: &str, text: &str, patience: Duration) -> Self {
        let until = jiff::Timestamp::now() + patience;
        Self::new(from, to, format!("[{what} until {until:.0}]\n{text}"))
    }

    /// What it asks for, how long that is still of use, and the text; `None` where it is no request.
    pub fn asks(&self) -> Option<(&str, Duration, &str)> {
        let (head, text) = self.body.split_once('\n')?;
        let (what, until) = head.strip_prefix('[')?.strip_suffix(']')?.split_once(" until ")?;
        let left = until.parse::<jiff::Timestamp>().ok()?.duration_since(jiff::Timestamp::now());
        Some((what, Duration::try_from(left).unwrap_or_default(), text))
    }

    /// Every mailbox asks this of every mail before it takes it.
    ///
    /// # Errors
    /// [`MailError::Refused`]: a name is none, or the body is empty or longer than [`LONGEST`].
    pub fn check(&self) -> Result<(), MailError> {
        check_name(&self.from).and_then(|()| check_name(&self.to))?;
        match self.body.len() {
            _ if self.body.trim().is_empty() => refused("the body is empty; say something"),
            bytes if bytes > LONGEST => refused(format!(
                "a body of {bytes} bytes is too long ({LONGEST}); put it into a file and name that"
            )),
            _ => Ok(()),
        }
    }
}

/// A name goes into paths and keys, so it is plain.
///
/// # Errors
/// [`MailError::Refused`].
pub fn check_name(name: &str) -> Result<(), MailError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    match !name.is_empty() && name.len() <= 64 && name.chars().all(plain) {
        true => Ok(()),
        false => refused(format!("{name:?} is no name: 1 to 64 letters, digits, - and _")),
    }
}

fn refused<T>(why: impl Into<String>) -> Result<T, MailError> {
    Err(MailError::Refused(why.into()))
}

/// Why mail was not sent or not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MailError {
    /// Nobody has that name.
    #[error("there is no agent {name:?}; there is {}", known.join(", "))]
    Unknown {
        /// The name.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// It cannot be done like this; the text says why.
    #[error("{0}")]
    Refused(String),
    /// The place where mail is kept failed; the text names it.
    #[error("{0}")]
    Store(String),
}

/// Where mail is kept. At least once: what was sent is given to its reader, in the order in which it was
/// sent, again and again until the reader acknowledges it. A reader that may have seen a mail knows it by
/// its id.
#[async_trait]
pub trait Mailbox: Send + Sync {
    /// Puts a mail into the box of `mail.to`; it is safe when this returns.
    async fn send(&self, mail: Mail) -> Result<MailId, MailError>;

    /// What is there for this agent and not given out yet; waits so long for the first. What is given
    /// out is leased: it is given again only when this reader has gone without acknowledging it.
    /// Dropped half-way it must lose nothing.
    async fn receive(&self, name: &str, wait: Duration) -> Result<Vec<Mail>, MailError>;

    /// The reader has these where a crash cannot take them: they are not given again. In the order in
    /// which they were received; one before its elder may be given again after a crash.
    async fn acknowledge(&self, name: &str, ids: &[MailId]) -> Result<(), MailError>;

    /// The reader cannot do anything with this mail. It is put aside with the reason and not given again.
    async fn give_up(&self, name: &str, id: &MailId, why: &str) -> Result<(), MailError>;

    /// All who have a box, sorted.
    async fn names(&self) -> Result<Vec<String>, MailError>;

    /// How many mails of this box are not acknowledged, those that are given out included.
    async fn waiting(&self, name: &str) -> Result<usize, MailError>;
}

/// How a mailbox's [`receive`](Mailbox::receive) waits: it looks again when it is told that mail came, and
/// `often` though nobody said so, until there is mail or the wait is over. It looks once at the least.
///
/// # Errors
/// Those of `look`, at once.
pub async fn look_until<L>(
    wait: Duration,
    often: Duration,
    came: &Notify,
    mut look: impl FnMut() -> L,
) -> Result<Vec<Mail>, MailError>
where
    L: Future<Output = Result<Vec<Mail>, MailError>>,
{
    let deadline = Instant::now() + wait;
    loop {
        let told = came.notified(); // before the look: what comes after it is not missed
        let found = look().await?;
        if !found.is_empty() || Instant::now() >= deadline {
            return Ok(found);
        }
        let _ = timeout_at(deadline.min(Instant::now() + often), told).await;
    }
}

/// What a mailbox has to tell the user: a damaged line, a lost connection. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct News(Arc<Mutex<VecDeque<String>>>);

impl News {
    /// Adds a sentence, unless it is the last one already.
    pub fn add(&self, sentence: impl Into<String>) {
        let (mut all, sentence) = (self.0.lock(), sentence.into());
        if all.back() != Some(&sentence) {
            all.push_back(sentence);
        }
    }

    /// Takes what nobody was told yet.
    pub fn take(&self) -> Vec<String> {
        self.0.lock().drain(..).collect()
    }
}
