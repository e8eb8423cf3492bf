//! Mail in Redis: a stream for each box, a consumer group for its reader, a key for its lease.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use harness_core::host::ids;
use harness_core::{Mutex, Observer, Secrets};
use redis::cmd;
use s09_agent_teams::mail::{
    Mail, MailError, MailId, MailNotices, Mailbox, check_name, poll_until,
};
use tokio::sync::{Notify, broadcast, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::background;
use super::server::{NoRedis, Server};
use super::store::{MAX_BOX, REQUEST_TIMEOUT, Sent, Store, key, readable};
use crate::presence::PresenceEvent;

/// A reader that sends no heartbeat for this long is dead, and its mail goes to the next.
pub(crate) const LEASE_DURATION: Duration = Duration::from_secs(10);
/// How often a reader renews its leases.
pub(crate) const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(2);
/// Fallback polling interval: a notification that mail came can be lost.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// The most presence events that wait to be sent, and that wait for a subscriber.
const MAX_QUEUED_EVENTS: usize = 256;

/// The mailboxes of one workspace in one Redis. What it reads is leased to it; when it is dropped, or sends no
/// heartbeat for ten seconds, others may read.
#[derive(Debug)]
pub struct RedisMailbox {
    pub(crate) store: Arc<Store>,
    /// Ends the background work.
    _stop: DropGuard,
}

/// A mail that no reader could deal with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// What was sent, or the text that could not be read as a mail.
    pub mail: Result<Mail, String>,
    /// The reason.
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
        notices: MailNotices,
    ) -> Result<Self, NoRedis> {
        let mut greeting = cmd("SADD");
        greeting.arg(key(space, "names", "")).arg(names.into_iter().collect::<Vec<_>>());
        let server = Server::connect(url, greeting, notices.clone()).await?;
        let (outgoing, to_send) = mpsc::channel(MAX_QUEUED_EVENTS);
        let (presence, _) = broadcast::channel(MAX_QUEUED_EVENTS);
        let store = Arc::new(Store {
            server,
            space: space.to_owned(),
            holder: holder(),
            notices,
            deliveries: Mutex::default(),
            leases: Mutex::default(),
            changed: Notify::new(),
            presence,
            outgoing,
        });
        let stop = CancellationToken::new();
        let work = background::run(store.clone(), to_send);
        tokio::spawn(stop.clone().run_until_cancelled_owned(work));
        Ok(Self { store, _stop: stop.drop_guard() })
    }

    /// How this mailbox calls itself to others.
    pub fn holder(&self) -> &str {
        &self.store.holder
    }

    /// What agents do, here and in other processes, from now on. Some of it may be missed.
    pub fn presence(&self) -> broadcast::Receiver<PresenceEvent> {
        self.store.presence.subscribe()
    }

    /// Tells other processes what the agents of this one do.
    pub fn publisher(&self, secrets: Secrets) -> Arc<dyn Observer> {
        background::publisher(self.store.clone(), secrets)
    }

    /// The process that reads the mail of this agent, as people read it; it may be this one.
    ///
    /// # Errors
    /// The server is away.
    pub async fn reader(&self, name: &str) -> Result<Option<String>, MailError> {
        let request = self.store.command("GET", "reader", name);
        let holder: Option<String> = self.store.server.ask(&request, REQUEST_TIMEOUT).await?;
        Ok(holder.as_deref().map(readable))
    }

    /// Whether it is this mailbox that reads the mail of this agent.
    pub fn has_lease(&self, name: &str) -> bool {
        self.store.leases.lock().contains_key(name)
    }

    /// Whether the server is away.
    pub fn is_lost(&self) -> bool {
        self.store.server.is_lost()
    }

    /// The dead letters of an agent, oldest first.
    ///
    /// # Errors
    /// The server is away.
    pub async fn dead(&self, name: &str) -> Result<Vec<DeadLetter>, MailError> {
        let mut request = self.store.command("XRANGE", "dead", name);
        request.arg("-").arg("+");
        let found: Vec<(String, HashMap<String, Vec<u8>>)> =
            self.store.server.ask(&request, REQUEST_TIMEOUT).await?;
        Ok(found.iter().map(|(_, fields)| DeadLetter::read(fields)).collect())
    }

    /// What the user is told of it: where the mail is, in which space, and whether it outlives the server.
    pub async fn describe(&self) -> String {
        let Store { server, space, .. } = &*self.store;
        let info = server.ask(cmd("INFO").arg("persistence"), Duration::ZERO).await;
        let forgets = info.is_ok_and(|info: String| info.contains("aof_enabled:0"));
        let warning = if forgets {
            "; its appendonly is off, so mail is gone when it is restarted"
        } else {
            ""
        };
        format!("mail: {}, space {space}{warning}", server.shown)
    }

    /// Waits until something changes (mail came, a reader left), at most this long.
    pub async fn wait_for_change(&self, wait: Duration) {
        let _ = tokio::time::timeout(wait, self.store.changed.notified()).await;
    }

    /// Gives the lease of one agent's mail back: what is not acknowledged goes to the next reader at once.
    pub async fn release(&self, name: &str) {
        self.store.deliveries.lock().remove(name);
        let had_lease = self.store.leases.lock().remove(name).is_some();
        if had_lease {
            let _ = self.store.server.once(&self.store.release(name)).await;
        }
    }

    /// Gives all leases back.
    pub async fn leave(&self) {
        let leased: Vec<String> = self.store.leases.lock().keys().cloned().collect();
        for name in leased {
            self.release(&name).await;
        }
    }
}

/// How this process calls itself: its number and machine for people, and something that no other mailbox has.
fn holder() -> String {
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy().into_owned();
    format!("process {} on {host} ({})", std::process::id(), ids::fresh(|_| false))
}

impl DeadLetter {
    fn read(fields: &HashMap<String, Vec<u8>>) -> Self {
        let mail = fields.get("mail").map(Vec::as_slice).unwrap_or_default();
        let why = fields.get("why").map(Vec::as_slice).unwrap_or_default();
        Self {
            mail: serde_json::from_slice(mail)
                .map_err(|_| String::from_utf8_lossy(mail).into_owned()),
            why: String::from_utf8_lossy(why).into_owned(),
        }
    }
}

impl Drop for RedisMailbox {
    /// Blocks for a moment, so that whoever opens the next one in this process finds the leases free.
    fn drop(&mut self) {
        let leased = std::mem::take(&mut *self.store.leases.lock());
        if leased.is_empty() || self.store.server.is_lost() {
            return;
        }
        let limit = HEARTBEAT_INTERVAL / 4;
        let Ok(mut connection) = self.store.server.client.get_connection_with_timeout(limit) else {
            return; // the leases expire by themselves
        };
        let _ = connection.set_read_timeout(Some(limit));
        for name in leased.into_keys() {
            let _ = self.store.release(&name).exec(&mut connection);
        }
    }
}

#[async_trait]
impl Mailbox for RedisMailbox {
    async fn send(&self, mail: Mail) -> Result<MailId, MailError> {
        mail.check()?;
        match self.store.send(&mail).await? {
            Sent::Done => Ok(mail.id),
            Sent::NoSuchBox => Err(self.store.unknown(&mail.to).await),
            Sent::Full => Err(MailError::Store(format!(
                "the box of {} is full ({MAX_BOX} mails not answered); send again when it has read some",
                mail.to
            ))),
        }
    }

    async fn receive(&self, name: &str, wait: Duration) -> Result<Vec<Mail>, MailError> {
        check_name(name)?;
        let poll = async || match self.store.take(name, wait.min(REQUEST_TIMEOUT)).await {
            // A reader waits on while the server is away; the user was told that it is.
            Err(MailError::Store(_)) if self.has_lease(name) && self.is_lost() => Ok(Vec::new()),
            found => found,
        };
        poll_until(wait, POLL_INTERVAL, &self.store.changed, poll).await
    }

    async fn acknowledge(&self, name: &str, ids: &[MailId]) -> Result<(), MailError> {
        let deliveries = self.store.deliveries_of(name);
        let mut deliveries = deliveries.lock().await;
        let entries: Vec<&String> = ids.iter().filter_map(|id| deliveries.given.get(id)).collect();
        if entries.is_empty() {
            return Ok(());
        }
        let mut request = self.store.script(include_str!("lua/acknowledge.lua"), &[("box", name)]);
        request.arg(entries);
        self.store.server.ask::<()>(&request, REQUEST_TIMEOUT).await?;
        deliveries.given.retain(|id, _| !ids.contains(id));
        Ok(())
    }

    async fn reject(&self, name: &str, id: &MailId, why: &str) -> Result<(), MailError> {
        let deliveries = self.store.deliveries_of(name);
        let mut deliveries = deliveries.lock().await;
        if let Some(entry) = deliveries.given.get(id) {
            self.store.bury(name, entry, why).await?;
            deliveries.given.remove(id);
        }
        Ok(())
    }

    async fn names(&self) -> Result<Vec<String>, MailError> {
        self.store.names().await
    }

    async fn unacknowledged(&self, name: &str) -> Result<usize, MailError> {
        let request = self.store.command("XLEN", "box", name);
        let length: usize = self.store.server.ask(&request, REQUEST_TIMEOUT).await?;
        let known = self.store.names().await?;
        if known.iter().any(|it| it == name) {
            return Ok(length);
        }
        Err(MailError::Unknown { name: name.to_owned(), known })
    }
}
