//! Mail in Redis: a stream for each box, a consumer group for its reader, a key for its lease.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use harness_core::host::ids;
use harness_core::live::Told;
use harness_core::mail::{Mail, MailError, MailId, Mailbox, News, check_name, look_until};
use harness_core::{Mutex, Observer, Secrets};
use redis::cmd;
use tokio::sync::{Notify, broadcast, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::server::{NoRedis, Server};
use crate::shared::{CAPACITY, PATIENCE, Shared, key, who};

/// A reader that says nothing for so long is dead, and its mail goes to the next.
pub(crate) const LEASE: Duration = Duration::from_secs(10);
/// So often a reader says that it lives.
pub const BEAT: Duration = Duration::from_secs(2);
/// So often a box is looked at though nobody said that mail had come: what says so may be missed.
const LOOK: Duration = Duration::from_secs(5);

/// The mailboxes of one workspace in one Redis. What it reads is leased to it; when it is dropped, or
/// silent for ten seconds, others may read.
#[derive(Debug)]
pub struct RedisMailbox {
    pub(crate) shared: Arc<Shared>,
    _guard: DropGuard,
}

/// A letter that nobody could deal with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// What was sent, or the text that was no mail.
    pub mail: Result<Mail, String>,
    /// Why it is here.
    pub why: String,
}

impl RedisMailbox {
    /// Opens the mailboxes of a space, with a box for each of these names.
    ///
    /// # Errors
    /// There is no server, or it does not let us in.
    pub async fn open<'a>(
        url: &str,
        space: &str,
        names: impl IntoIterator<Item = &'a str>,
        news: News,
    ) -> Result<Self, NoRedis> {
        let mut hello = cmd("SADD");
        hello.arg(key(space, "names", "")).arg(names.into_iter().collect::<Vec<_>>());
        let server = Server::connect(url, hello, news.clone()).await?;
        let uname = rustix::system::uname();
        let (process, host) = (std::process::id(), uname.nodename().to_string_lossy());
        let me = format!("process {process} on {host} ({})", ids::fresh(|_| false));
        let (out, outgoing) = mpsc::channel(256);
        let shared = Arc::new(Shared {
            server,
            space: space.to_owned(),
            me,
            news,
            readers: Mutex::default(),
            held: Mutex::default(),
            came: Notify::new(),
            live: broadcast::channel(256).0,
            out,
        });
        let stop = CancellationToken::new();
        let tasks = crate::pulse::tasks(shared.clone(), outgoing);
        tokio::spawn(stop.clone().run_until_cancelled_owned(tasks));
        Ok(Self { shared, _guard: stop.drop_guard() })
    }

    /// Who this is, for others.
    pub fn me(&self) -> &str {
        &self.shared.me
    }

    /// What agents do, here and in other processes, from now on. Some of it may be missed.
    pub fn live(&self) -> broadcast::Receiver<Told> {
        self.shared.live.subscribe()
    }

    /// Tells the others what the agents of this process do.
    pub fn beacon(&self, secrets: Secrets) -> Arc<dyn Observer> {
        crate::pulse::beacon(self.shared.clone(), secrets)
    }

    /// Who reads the mail of this agent, this mailbox included.
    ///
    /// # Errors
    /// The server is away.
    pub async fn reader(&self, name: &str) -> Result<Option<String>, MailError> {
        let ask = self.shared.command("GET", "reader", name);
        Ok(self.shared.server.ask::<Option<String>>(&ask, PATIENCE).await?.map(|it| who(&it)))
    }

    /// Whether it is this mailbox that reads the mail of this agent.
    pub fn reads(&self, name: &str) -> bool {
        self.shared.held.lock().contains_key(name)
    }

    /// Whether the server is away.
    pub fn is_lost(&self) -> bool {
        self.shared.server.is_lost()
    }

    /// The dead letters of an agent, oldest first.
    ///
    /// # Errors
    /// The server is away.
    pub async fn dead(&self, name: &str) -> Result<Vec<DeadLetter>, MailError> {
        let mut ask = self.shared.command("XRANGE", "dead", name);
        ask.arg("-").arg("+");
        type Fields = HashMap<String, Vec<u8>>;
        let found: Vec<(String, Fields)> = self.shared.server.ask(&ask, PATIENCE).await?;
        let letter = |mut it: Fields| {
            let mut take = |field| it.remove(field).unwrap_or_default();
            let (mail, why) = (take("mail"), take("why"));
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            DeadLetter {
                mail: serde_json::from_slice(&mail).map_err(|_| text(&mail)),
                why: text(&why),
            }
        };
        Ok(found.into_iter().map(|(_, fields)| letter(fields)).collect())
    }

    /// What the user is told of it: where it is, whose it is, and whether it forgets.
    pub async fn told(&self) -> String {
        let Shared { server, space, .. } = &*self.shared;
        let info = server.ask(cmd("INFO").arg("persistence"), Duration::ZERO).await;
        let forgets = match info.is_ok_and(|info: String| info.contains("aof_enabled:0")) {
            true => "; its appendonly is off, so mail is gone when it is restarted",
            false => "",
        };
        format!("mail: {}, space {space}{forgets}", server.shown)
    }

    /// Waits until something changes: mail came, somebody left. Or for so long.
    pub async fn changed(&self, wait: Duration) {
        let _ = tokio::time::timeout(wait, self.shared.came.notified()).await;
    }

    /// Gives the lease of one agent's mail back: what is not acknowledged goes to the next reader at once.
    pub async fn release(&self, name: &str) {
        self.shared.readers.lock().remove(name);
        if self.shared.held.lock().remove(name).is_some() {
            let _ = self.shared.server.once(&self.shared.release(name)).await;
        }
    }

    /// Gives all leases back.
    pub async fn leave(&self) {
        let held: Vec<String> = self.shared.held.lock().keys().cloned().collect();
        for name in held {
            self.release(&name).await;
        }
    }
}

impl Drop for RedisMailbox {
    /// Blocks for a moment: whoever opens the next one in this process finds the leases free.
    fn drop(&mut self) {
        let held = std::mem::take(&mut *self.shared.held.lock());
        if held.is_empty() || self.shared.server.is_lost() {
            return;
        }
        let Ok(mut connection) = self.shared.server.client.get_connection_with_timeout(BEAT / 4)
        else {
            return; // the leases run out by themselves
        };
        let _ = connection.set_read_timeout(Some(BEAT / 4));
        for name in held.into_keys() {
            let _ = self.shared.release(&name).exec(&mut connection);
        }
    }
}

#[async_trait]
impl Mailbox for RedisMailbox {
    async fn send(&self, mail: Mail) -> Result<MailId, MailError> {
        mail.check()?;
        match self.shared.send(&mail).await?.as_str() {
            "unknown" => Err(self.shared.unknown(&mail.to).await),
            "full" => Err(MailError::Store(format!(
                "the box of {} is full ({CAPACITY} mails not answered); send again when it has read some",
                mail.to
            ))),
            _ => Ok(mail.id),
        }
    }

    async fn receive(&self, name: &str, wait: Duration) -> Result<Vec<Mail>, MailError> {
        check_name(name)?;
        let look = async || match self.shared.look(name, wait.min(PATIENCE)).await {
            // Whoever reads already waits on; that the server is away was told.
            Err(MailError::Store(_)) if self.reads(name) && self.shared.server.is_lost() => {
                Ok(Vec::new())
            }
            found => found,
        };
        look_until(wait, LOOK, &self.shared.came, look).await
    }

    async fn acknowledge(&self, name: &str, ids: &[MailId]) -> Result<(), MailError> {
        let reader = self.shared.of(name);
        let mut reader = reader.lock().await;
        let places: Vec<&String> = ids.iter().filter_map(|id| reader.given.get(id)).collect();
        if !places.is_empty() {
            let mut ask = self.shared.script(include_str!("lua/settle.lua"), &[("box", name)]);
            self.shared.server.ask::<()>(ask.arg(places), PATIENCE).await?;
            reader.given.retain(|id, _| !ids.contains(id));
        }
        Ok(())
    }

    async fn give_up(&self, name: &str, id: &MailId, why: &str) -> Result<(), MailError> {
        let reader = self.shared.of(name);
        let mut reader = reader.lock().await;
        if let Some(place) = reader.given.get(id) {
            self.shared.bury(name, place, why).await?;
            reader.given.remove(id);
        }
        Ok(())
    }

    async fn names(&self) -> Result<Vec<String>, MailError> {
        self.shared.names().await
    }

    async fn waiting(&self, name: &str) -> Result<usize, MailError> {
        let ask = self.shared.command("XLEN", "box", name);
        let waiting: usize = self.shared.server.ask(&ask, PATIENCE).await?;
        let known = self.shared.names().await?;
        match known.iter().any(|it| it == name) {
            true => Ok(waiting),
            false => Err(MailError::Unknown { name: name.to_owned(), known }),
        }
    }
}
