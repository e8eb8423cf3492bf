//! The keys and scripts behind the mailbox, and what its readers have.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use harness_core::Mutex;
use harness_core::host::trust;
use harness_core::live::Told;
use harness_core::mail::{FAILED, Mail, MailError, MailId, News};
use redis::{Cmd, FromRedisValue, cmd};
use tokio::sync::{Notify, broadcast, mpsc};

use crate::mailbox::LEASE;
use crate::server::{Server, passes};

/// So long a request is tried again while the server is away.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// A box takes so many mails; then its writers are told, and wait.
pub(crate) const CAPACITY: usize = 10_000;
/// A mail that was given to so many readers who died of it is not given to another.
pub(crate) const TRIES: usize = 3;
/// So many seconds it is known that a mail was sent already.
pub(crate) const MEMORY: usize = 24 * 60 * 60;
/// So many bytes are given out at once.
pub(crate) const BYTES: usize = 1024 * 1024;
/// Where a reader begins: with what was given out and is not acknowledged.
pub(crate) const START: &str = "-";

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) server: Server,
    /// What all keys begin with, after `harness:`.
    pub(crate) space: String,
    /// Who this is, for those who see the lease: process, host, and something that no other has.
    pub(crate) me: String,
    pub(crate) news: News,
    pub(crate) readers: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<Reader>>>>,
    /// Whose lease this has, and what it works on.
    pub(crate) held: Mutex<BTreeMap<String, Option<String>>>,
    /// Told when mail came, or a lease changed.
    pub(crate) came: Notify,
    pub(crate) live: broadcast::Sender<Told>,
    pub(crate) out: mpsc::Sender<Told>,
}

/// What is given out of one box.
#[derive(Debug)]
pub(crate) struct Reader {
    /// The places in the stream.
    pub(crate) given: HashMap<MailId, String>,
    /// What is read next: new mail, or what was given out after this place.
    after: Option<String>,
}

/// What `take.lua` returns: how it is, whose it is or what is next, mail with its places, what was buried.
type Taken = (String, String, Vec<(String, Vec<u8>)>, Vec<Vec<u8>>);

impl Shared {
    pub(crate) fn key(&self, kind: &str, name: &str) -> String {
        key(&self.space, kind, name)
    }

    pub(crate) fn command(&self, command: &str, kind: &str, name: &str) -> Cmd {
        let mut ask = cmd(command);
        ask.arg(self.key(kind, name));
        ask
    }

    /// A script and its keys. Scripts are sent whole: a server that was restarted knows none.
    pub(crate) fn script(&self, text: &str, keys: &[(&str, &str)]) -> Cmd {
        let mut ask = cmd("EVAL");
        ask.arg(text).arg(keys.len());
        keys.iter().for_each(|(kind, name)| _ = ask.arg(self.key(kind, name)));
        ask
    }

    pub(crate) fn release(&self, name: &str) -> Cmd {
        let keys = [("reader", name), ("box", name), ("mail", "")];
        let mut ask = self.script(include_str!("lua/release.lua"), &keys);
        ask.arg(&self.me).arg(name);
        ask
    }

    pub(crate) fn of(&self, name: &str) -> Arc<tokio::sync::Mutex<Reader>> {
        let fresh = || Reader { given: HashMap::new(), after: Some(START.to_owned()) };
        let mut readers = self.readers.lock();
        readers.entry(name.to_owned()).or_insert_with(|| Arc::new(fresh().into())).clone()
    }

    /// Gives out what is not given out yet, once the lease is ours.
    pub(crate) async fn look(
        &self,
        name: &str,
        patience: Duration,
    ) -> Result<Vec<Mail>, MailError> {
        let reader = self.of(name);
        let mut reader = reader.lock().await;
        loop {
            // Until it is known what came of this: it may be given to us and lost on the way here.
            let after = reader.after.replace(START.to_owned()).unwrap_or_default();
            let keys = [("names", ""), ("reader", name), ("box", name), ("dead", name)];
            let mut ask = self.script(include_str!("lua/take.lua"), &keys);
            ask.arg(name)
                .arg(&self.me)
                .arg(LEASE.as_millis() as u64)
                .arg(&after)
                .arg(TRIES)
                .arg(BYTES);
            let taken: Taken = match after.as_str() {
                // New mail is asked for once: asked again, it would be what came after.
                "" => match self.server.once(&ask).await {
                    Ok(taken) => Taken::from_redis_value(taken).map_err(store)?,
                    Err(why) if passes(&why) => continue,
                    Err(why) => return Err(MailError::Store(self.server.said(&why))),
                },
                _ => self.server.ask(&ask, patience).await?,
            };
            let (how, next, found, buried) = taken;
            match how.as_str() {
                "unknown" => return Err(self.unknown(name).await),
                "held" => {
                    self.held.lock().remove(name);
                    reader.given.clear();
                    let by = who(&next);
                    let why =
                        format!("the mail of {name} is being read by {by}; leave it there first");
                    return Err(MailError::Refused(why));
                }
                "expired" => continue,
                _ => _ = self.held.lock().entry(name.to_owned()).or_default(),
            }
            reader.after = Some(next).filter(|next| !next.is_empty());
            for text in buried {
                self.tell_of(&text, name).await;
            }
            let (new, mut mails) = (after.is_empty(), Vec::new());
            for (place, text) in found {
                if !new && reader.given.values().any(|given| *given == place) {
                    continue; // its reader has it
                }
                match serde_json::from_slice::<Mail>(&text) {
                    Ok(mail) => {
                        reader.given.insert(mail.id.clone(), place);
                        mails.push(mail);
                    }
                    Err(why) => self.bury(name, &place, &format!("it is no mail: {why}")).await?,
                }
            }
            if new || !mails.is_empty() {
                return Ok(mails);
            }
        }
    }

    /// Its readers died of it: who sent it is not to wait for them.
    async fn tell_of(&self, text: &[u8], name: &str) {
        self.news.add(format!("a mail to {name} is given up; :dead shows it"));
        let Ok(mail) = serde_json::from_slice::<Mail>(text) else { return };
        let why = format!("{FAILED}it was given to {TRIES} readers, and each of them died");
        if mail.in_reply_to.is_none() {
            let _ = self.send(&mail.answer(why)).await;
        }
    }

    pub(crate) async fn bury(&self, name: &str, place: &str, why: &str) -> Result<(), MailError> {
        let keys = [("box", name), ("dead", name)];
        let mut ask = self.script(include_str!("lua/bury.lua"), &keys);
        self.server.ask::<()>(ask.arg(place).arg(why), PATIENCE).await
    }

    pub(crate) async fn send(&self, mail: &Mail) -> Result<String, MailError> {
        let (to, seen) = (mail.to.as_str(), mail.id.to_string());
        let keys = [("names", ""), ("box", to), ("seen", seen.as_str()), ("mail", "")];
        let text = serde_json::to_string(mail).map_err(store)?;
        let mut ask = self.script(include_str!("lua/send.lua"), &keys);
        self.server.ask(ask.arg(to).arg(text).arg(CAPACITY).arg(MEMORY), PATIENCE).await
    }

    pub(crate) async fn names(&self) -> Result<Vec<String>, MailError> {
        let ask = self.command("SMEMBERS", "names", "");
        let mut names: Vec<String> = self.server.ask(&ask, PATIENCE).await?;
        names.sort();
        Ok(names)
    }

    pub(crate) async fn unknown(&self, name: &str) -> MailError {
        match self.names().await {
            Ok(known) => MailError::Unknown { name: name.to_owned(), known },
            Err(why) => why,
        }
    }

    /// Says that we live. What another has taken meanwhile is no longer ours.
    pub(crate) async fn renew(&self) {
        let held: Vec<String> = self.held.lock().keys().cloned().collect();
        for name in held {
            let mut ask = self.script(include_str!("lua/renew.lua"), &[("reader", &name)]);
            ask.arg(&self.me).arg(LEASE.as_millis() as u64);
            let Ok(holder) = self.server.once(&ask).await else { continue };
            let holder = String::from_redis_value(holder).unwrap_or_default();
            if !holder.is_empty() && holder != self.me {
                self.held.lock().remove(&name);
                self.came.notify_waiters();
            }
        }
    }
}

/// The space of a workspace: its name for people, and a hash of where it is for Redis.
pub fn space(cwd: &Path) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let name = cwd.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name: String = name.chars().filter(plain).take(32).collect();
    let hash = trust::hash(cwd.as_os_str().as_encoded_bytes());
    format!("{name}-{}", &hash[..8])
}

fn store(why: impl std::fmt::Display) -> MailError {
    MailError::Store(why.to_string())
}

pub(crate) fn key(space: &str, kind: &str, name: &str) -> String {
    let colon = if name.is_empty() { "" } else { ":" };
    format!("harness:{space}:{kind}{colon}{name}")
}

/// A holder of a lease as people read it, without what only makes it unique.
pub(crate) fn who(holder: &str) -> String {
    holder.rsplit_once(" (").map_or(holder, |(who, _)| who).to_owned()
}
