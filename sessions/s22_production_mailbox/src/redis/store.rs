//! The keys and scripts behind the mailbox, and what is given out.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use harness_core::Mutex;
use harness_core::host::trust;
use redis::{Cmd, FromRedisValue, cmd};
use s09_agent_teams::mail::{Mail, MailError, MailId, MailNotices};
use tokio::sync::{Notify, broadcast, mpsc};

use super::mailbox::LEASE_DURATION;
use super::server::{Server, is_temporary};
use crate::presence::PresenceEvent;

/// How long a request is tried again while the server is away.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// The most mails of a box; after that its senders are told, and wait.
pub(crate) const MAX_BOX: usize = 10_000;
/// A mail whose reader has died this often is not given to another.
const MAX_DELIVERIES: usize = 3;
/// Seconds for which a sent mail's id is remembered, for deduplication.
const DEDUPLICATION_SECONDS: usize = 24 * 60 * 60;
/// The most bytes that are given out at once; a longer mail goes alone.
const MAX_BATCH_BYTES: usize = 1024 * 1024;
/// Where a reader begins: with what was given out before and is not acknowledged.
const FROM_THE_START: &str = "-";
/// Where a reader is when it has all that was given out before: it asks for new mail.
const NEW_MAIL: &str = "";

/// What a mailbox and its background work share.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) server: Server,
    /// The name of the team, which all its keys begin with, after `harness:`.
    pub(crate) space: String,
    /// The value of our leases: process, host, and something that no other mailbox has.
    pub(crate) holder: String,
    pub(crate) notices: MailNotices,
    pub(crate) deliveries: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<Deliveries>>>>,
    /// The agents whose mail we read, and what each of them works on.
    pub(crate) leases: Mutex<BTreeMap<String, Option<String>>>,
    /// Notified when mail came, or a lease changed.
    pub(crate) changed: Notify,
    /// What agents do, for those who watch in this process.
    pub(crate) presence: broadcast::Sender<PresenceEvent>,
    /// The same, for other processes.
    pub(crate) outgoing: mpsc::Sender<PresenceEvent>,
}

/// What is given out of one box.
#[derive(Debug)]
pub(crate) struct Deliveries {
    /// The entry of the stream that holds each mail.
    pub(crate) given: HashMap<MailId, String>,
    /// What is asked for next: [`FROM_THE_START`], [`NEW_MAIL`], or what was given out before, behind this
    /// entry.
    after: String,
}

/// What came of a mail that was to be sent.
pub(crate) enum Sent {
    /// It is in its box, since now or since an earlier attempt.
    Done,
    /// There is no box of that name.
    NoSuchBox,
    /// The box takes no more mail for now.
    Full,
}

/// What `take.lua` returns: a status, the holder or the next `after`, the mail as (entry, text), and the texts
/// of what became a dead letter.
type Taken = (String, String, Vec<(String, Vec<u8>)>, Vec<Vec<u8>>);

impl Store {
    pub(crate) fn key(&self, kind: &str, name: &str) -> String {
        key(&self.space, kind, name)
    }

    pub(crate) fn command(&self, command: &str, kind: &str, name: &str) -> Cmd {
        let mut request = cmd(command);
        request.arg(self.key(kind, name));
        request
    }

    /// A script and its keys. Scripts are sent whole: a server that was restarted has none cached.
    pub(crate) fn script(&self, text: &str, keys: &[(&str, &str)]) -> Cmd {
        let mut request = cmd("EVAL");
        request.arg(text).arg(keys.len());
        for (kind, name) in keys {
            request.arg(self.key(kind, name));
        }
        request
    }

    pub(crate) fn release(&self, name: &str) -> Cmd {
        let keys = [("reader", name), ("box", name), ("mail", "")];
        let mut request = self.script(include_str!("lua/release.lua"), &keys);
        request.arg(&self.holder).arg(name);
        request
    }

    pub(crate) fn deliveries_of(&self, name: &str) -> Arc<tokio::sync::Mutex<Deliveries>> {
        let mut deliveries = self.deliveries.lock();
        let of_this_box = deliveries.entry(name.to_owned()).or_insert_with(|| {
            let none = Deliveries { given: HashMap::new(), after: FROM_THE_START.to_owned() };
            Arc::new(tokio::sync::Mutex::new(none))
        });
        of_this_box.clone()
    }
}

/// Taking mail out of a box.
impl Store {
    /// Gives out what is not given out yet, once the lease is ours: first what a dead reader had, then new
    /// mail. Returns when there is some, or when there is no new mail.
    pub(crate) async fn take(&self, name: &str, timeout: Duration) -> Result<Vec<Mail>, MailError> {
        let deliveries = self.deliveries_of(name);
        let mut deliveries = deliveries.lock().await;
        loop {
            let after = deliveries.after.clone();
            // Until we know what came of this request: mail may be given to us and lost on the way here.
            deliveries.after = FROM_THE_START.to_owned();
            let Some(taken) = self.request_mail(name, &after, timeout).await? else { continue };
            let (status, next, found, buried) = taken;
            match status.as_str() {
                "unknown" => return Err(self.unknown(name).await),
                "held" => return Err(self.overtaken(name, &next, &mut deliveries)),
                "expired" => continue,
                _ => {}
            }
            self.leases.lock().entry(name.to_owned()).or_default();
            deliveries.after = next;
            for text in buried {
                self.tell_of_dead_letter(&text, name).await;
            }
            let asked_for_new = after == NEW_MAIL;
            let mails = self.read(name, found, asked_for_new, &mut deliveries).await?;
            if asked_for_new || !mails.is_empty() {
                return Ok(mails);
            }
        }
    }

    /// Runs `take.lua`. `None`: the server was away, and the caller has to begin from the start. New mail is
    /// asked for once: asked again, the server would give what comes after it.
    async fn request_mail(
        &self,
        name: &str,
        after: &str,
        timeout: Duration,
    ) -> Result<Option<Taken>, MailError> {
        let keys = [("names", ""), ("reader", name), ("box", name), ("dead", name)];
        let mut request = self.script(include_str!("lua/take.lua"), &keys);
        request.arg(name).arg(&self.holder).arg(LEASE_DURATION.as_millis() as u64);
        request.arg(after).arg(MAX_DELIVERIES).arg(MAX_BATCH_BYTES);
        if after != NEW_MAIL {
            return self.server.ask(&request, timeout).await.map(Some);
        }
        match self.server.once(&request).await {
            Ok(taken) => Taken::from_redis_value(taken).map(Some).map_err(store_error),
            Err(why) if is_temporary(&why) => Ok(None),
            Err(why) => Err(MailError::Store(self.server.explain(&why))),
        }
    }

    /// Another process reads this mail: what we had is given to it.
    fn overtaken(&self, name: &str, holder: &str, deliveries: &mut Deliveries) -> MailError {
        self.leases.lock().remove(name);
        deliveries.given.clear();
        let by = readable(holder);
        MailError::Refused(format!(
            "the mail of {name} is being read by {by}; end that process first"
        ))
    }

    /// Reads what was taken. A text that cannot be read as mail becomes a dead letter.
    async fn read(
        &self,
        name: &str,
        found: Vec<(String, Vec<u8>)>,
        asked_for_new: bool,
        deliveries: &mut Deliveries,
    ) -> Result<Vec<Mail>, MailError> {
        let mut mails = Vec::new();
        for (entry, text) in found {
            let is_with_reader = deliveries.given.values().any(|given| *given == entry);
            if !asked_for_new && is_with_reader {
                continue;
            }
            match serde_json::from_slice::<Mail>(&text) {
                Ok(mail) => {
                    deliveries.given.insert(mail.id.clone(), entry);
                    mails.push(mail);
                }
                Err(why) => {
                    self.bury(name, &entry, &format!("it cannot be read as mail: {why}")).await?;
                }
            }
        }
        Ok(mails)
    }

    /// The readers of this mail have died of it: its sender is not to wait for them.
    async fn tell_of_dead_letter(&self, text: &[u8], name: &str) {
        self.notices.add(format!("a mail to {name} is given up; :dead shows it"));
        let Ok(mail) = serde_json::from_slice::<Mail>(text) else { return };
        if mail.in_reply_to.is_none() {
            let why = format!("it was given to {MAX_DELIVERIES} readers, and each of them died");
            let _ = self.send(&mail.failure(why)).await;
        }
    }

    /// Moves an entry of the box to the dead letters.
    pub(crate) async fn bury(&self, name: &str, entry: &str, why: &str) -> Result<(), MailError> {
        let keys = [("box", name), ("dead", name)];
        let mut request = self.script(include_str!("lua/bury.lua"), &keys);
        request.arg(entry).arg(why);
        self.server.ask::<()>(&request, REQUEST_TIMEOUT).await
    }
}

/// Sending, names and leases.
impl Store {
    pub(crate) async fn send(&self, mail: &Mail) -> Result<Sent, MailError> {
        let to = mail.to.as_str();
        let id = mail.id.to_string();
        let text = serde_json::to_string(mail).map_err(store_error)?;
        let keys = [("names", ""), ("box", to), ("seen", id.as_str()), ("mail", "")];
        let mut request = self.script(include_str!("lua/send.lua"), &keys);
        request.arg(to).arg(text).arg(MAX_BOX).arg(DEDUPLICATION_SECONDS);
        let status: String = self.server.ask(&request, REQUEST_TIMEOUT).await?;
        Ok(match status.as_str() {
            "unknown" => Sent::NoSuchBox,
            "full" => Sent::Full,
            _ => Sent::Done,
        })
    }

    pub(crate) async fn names(&self) -> Result<Vec<String>, MailError> {
        let request = self.command("SMEMBERS", "names", "");
        let mut names: Vec<String> = self.server.ask(&request, REQUEST_TIMEOUT).await?;
        names.sort();
        Ok(names)
    }

    pub(crate) async fn unknown(&self, name: &str) -> MailError {
        match self.names().await {
            Ok(known) => MailError::Unknown { name: name.to_owned(), known },
            Err(why) => why,
        }
    }

    /// Renews our leases. One that another mailbox has taken meanwhile is no longer ours.
    pub(crate) async fn renew_leases(&self) {
        let leased: Vec<String> = self.leases.lock().keys().cloned().collect();
        for name in leased {
            let mut request = self.script(include_str!("lua/renew.lua"), &[("reader", &name)]);
            request.arg(&self.holder).arg(LEASE_DURATION.as_millis() as u64);
            let Ok(holder) = self.server.once(&request).await else { continue };
            let holder = String::from_redis_value(holder).unwrap_or_default();
            if !holder.is_empty() && holder != self.holder {
                self.leases.lock().remove(&name);
                self.changed.notify_waiters();
            }
        }
    }

    /// Tells all processes of the team what an agent does.
    pub(crate) async fn publish_event(&self, event: &PresenceEvent) {
        if let Ok(text) = serde_json::to_string(event) {
            self.publish(text).await;
        }
    }

    /// Sends a text over the channel of presence, once.
    pub(crate) async fn publish(&self, text: String) {
        let mut request = self.command("PUBLISH", "live", "");
        request.arg(text);
        let _ = self.server.once(&request).await;
    }
}

/// The space of a workspace: its name for people, and a hash of its path for Redis.
pub fn space_of(cwd: &Path) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let name = cwd.file_name().unwrap_or_default().to_string_lossy();
    let name: String = name.chars().filter(is_plain).take(32).collect();
    let hash = trust::hash(cwd.as_os_str().as_encoded_bytes());
    format!("{name}-{}", &hash[..8])
}

fn store_error(why: impl std::fmt::Display) -> MailError {
    MailError::Store(why.to_string())
}

pub(crate) fn key(space: &str, kind: &str, name: &str) -> String {
    let colon = if name.is_empty() { "" } else { ":" };
    format!("harness:{space}:{kind}{colon}{name}")
}

/// The holder of a lease as people read it, without what only makes it unique.
pub(crate) fn readable(holder: &str) -> String {
    let readable = holder.rsplit_once(" (").map_or(holder, |(readable, _)| readable);
    readable.to_owned()
}
