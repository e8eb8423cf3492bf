//! Mail in Redis: a stream for each box, a consumer group for its reader, a key for its lease.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use harness_core::mail::{FAILED, Mail, MailError, MailId, Mailbox, News, check_name};
use harness_core::{ids, trust};
use redis::{Cmd, FromRedisValue, cmd};
use tokio::sync::{Notify, broadcast, mpsc};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::live::Told;
use crate::server::{NoRedis, Server, passes};

/// A reader that says nothing for so long is dead, and its mail goes to the next.
pub(crate) const LEASE: Duration = Duration::from_secs(10);
/// So often a reader says that it lives.
pub(crate) const BEAT: Duration = Duration::from_secs(2);
/// So often a box is looked at though nobody said that mail had come: what says so may be missed.
const LOOK: Duration = Duration::from_secs(5);
/// So long a request is tried again while the server is away.
const PATIENCE: Duration = Duration::from_secs(20);
/// A box takes so many mails; then its writers are told, and wait.
const CAPACITY: usize = 10_000;
/// A mail that was given to so many readers who died of it is not given to another.
const TRIES: usize = 3;
/// So many seconds it is known that a mail was sent already.
const MEMORY: usize = 24 * 60 * 60;
/// So many bytes are given out at once.
const BYTES: usize = 1024 * 1024;
/// Where a reader begins: with what was given out and is not acknowledged.
const START: &str = "-";

/// The mailboxes of one workspace in one Redis. What it reads is leased to it; when it is dropped, or
/// silent for [`LEASE`], others may read.
#[derive(Debug)]
pub struct RedisMailbox {
    pub(crate) shared: Arc<Shared>,
    _guard: DropGuard,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) server: Server,
    /// What all keys begin with, after `harness:`.
    pub(crate) space: String,
    /// Who this is, for those who see the lease: process, host, and something that no other has.
    pub(crate) me: String,
    pub(crate) news: News,
    readers: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<Reader>>>>,
    /// Whose lease this has, and what it works on.
    pub(crate) held: Mutex<BTreeMap<String, Option<String>>>,
    /// Told when mail came, or a lease changed.
    pub(crate) came: Notify,
    pub(crate) live: broadcast::Sender<Told>,
    pub(crate) out: mpsc::Sender<Told>,
}

/// What is given out of one box.
#[derive(Debug)]
struct Reader {
    /// The places in the stream.
    given: HashMap<MailId, String>,
    /// What is read next: new mail, or what was given out after this place.
    after: Option<String>,
}

/// What `take.lua` returns: how it is, whose it is or what is next, mail with its places, what was buried.
type Taken = (String, String, Vec<(String, Vec<u8>)>, Vec<Vec<u8>>);

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
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let host =
            host.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or("this host".to_owned());
        let me = format!(
            "process {} on {} ({})",
            std::process::id(),
            host.trim(),
            ids::fresh(|_| false)
        );
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
        let tasks = crate::live::tasks(shared.clone(), outgoing);
        tokio::spawn(stop.clone().run_until_cancelled_owned(tasks));
        Ok(Self { shared, _guard: stop.drop_guard() })
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
        lock(&self.shared.held).contains_key(name)
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
        lock(&self.shared.readers).remove(name);
        if lock(&self.shared.held).remove(name).is_some() {
            let _ = self.shared.server.once(&self.shared.release(name)).await;
        }
    }

    /// Gives all leases back.
    pub async fn leave(&self) {
        let held: Vec<String> = lock(&self.shared.held).keys().cloned().collect();
        for name in held {
            self.release(&name).await;
        }
    }
}

impl Drop for RedisMailbox {
    /// Blocks for a moment: whoever opens the next one in this process finds the leases free.
    fn drop(&mut self) {
        let held = std::mem::take(&mut *lock(&self.shared.held));
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

    fn release(&self, name: &str) -> Cmd {
        let keys = [("reader", name), ("box", name), ("mail", "")];
        let mut ask = self.script(include_str!("lua/release.lua"), &keys);
        ask.arg(&self.me).arg(name);
        ask
    }

    fn of(&self, name: &str) -> Arc<tokio::sync::Mutex<Reader>> {
        let fresh = || Reader { given: HashMap::new(), after: Some(START.to_owned()) };
        let mut readers = lock(&self.readers);
        readers.entry(name.to_owned()).or_insert_with(|| Arc::new(fresh().into())).clone()
    }

    /// Gives out what is not given out yet, once the lease is ours.
    async fn look(&self, name: &str, patience: Duration) -> Result<Vec<Mail>, MailError> {
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
                    lock(&self.held).remove(name);
                    reader.given.clear();
                    let by = who(&next);
                    let why =
                        format!("the mail of {name} is being read by {by}; leave it there first");
                    return Err(MailError::Refused(why));
                }
                "expired" => continue,
                _ => _ = lock(&self.held).entry(name.to_owned()).or_default(),
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

    async fn bury(&self, name: &str, place: &str, why: &str) -> Result<(), MailError> {
        let keys = [("box", name), ("dead", name)];
        let mut ask = self.script(include_str!("lua/bury.lua"), &keys);
        self.server.ask::<()>(ask.arg(place).arg(why), PATIENCE).await
    }

    async fn send(&self, mail: &Mail) -> Result<String, MailError> {
        let (to, seen) = (mail.to.as_str(), mail.id.to_string());
        let keys = [("names", ""), ("box", to), ("seen", seen.as_str()), ("mail", "")];
        let text = serde_json::to_string(mail).map_err(store)?;
        let mut ask = self.script(include_str!("lua/send.lua"), &keys);
        self.server.ask(ask.arg(to).arg(text).arg(CAPACITY).arg(MEMORY), PATIENCE).await
    }

    async fn names(&self) -> Result<Vec<String>, MailError> {
        let ask = self.command("SMEMBERS", "names", "");
        let mut names: Vec<String> = self.server.ask(&ask, PATIENCE).await?;
        names.sort();
        Ok(names)
    }

    async fn unknown(&self, name: &str) -> MailError {
        match self.names().await {
            Ok(known) => MailError::Unknown { name: name.to_owned(), known },
            Err(why) => why,
        }
    }

    /// Says that we live. What another has taken meanwhile is no longer ours.
    pub(crate) async fn renew(&self) {
        let held: Vec<String> = lock(&self.held).keys().cloned().collect();
        for name in held {
            let mut ask = self.script(include_str!("lua/renew.lua"), &[("reader", &name)]);
            ask.arg(&self.me).arg(LEASE.as_millis() as u64);
            let Ok(holder) = self.server.once(&ask).await else { continue };
            let holder = String::from_redis_value(holder).unwrap_or_default();
            if !holder.is_empty() && holder != self.me {
                lock(&self.held).remove(&name);
                self.came.notify_waiters();
            }
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
        let deadline = Instant::now() + wait;
        loop {
            let came = self.shared.came.notified();
            let found = match self.shared.look(name, wait.min(PATIENCE)).await {
                // Whoever reads already waits on; that the server is away was told.
                Err(MailError::Store(_)) if self.reads(name) && self.shared.server.is_lost() => {
                    Vec::new()
                }
                found => found?,
            };
            if !found.is_empty() || Instant::now() >= deadline {
                return Ok(found);
            }
            tokio::select! {
                () = came => {}
                () = sleep_until(deadline.min(Instant::now() + LOOK)) => {}
            }
        }
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

fn key(space: &str, kind: &str, name: &str) -> String {
    let colon = if name.is_empty() { "" } else { ":" };
    format!("harness:{space}:{kind}{colon}{name}")
}

/// A holder of a lease as people read it, without what only makes it unique.
fn who(holder: &str) -> String {
    holder.rsplit_once(" (").map_or(holder, |(who, _)| who).to_owned()
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
