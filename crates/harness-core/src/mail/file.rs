//! Mail in files: `.mailboxes/<agent>.jsonl` grows, a cursor beside it says how much of it is done.

use std::collections::{BTreeMap, VecDeque};
use std::fs::OpenOptions;
use std::future::ready;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::host::journal::{Cursor, Journal, JournalError};
use crate::host::mutex::Mutex;
use crate::host::own_paths;
use crate::host::ownership::RunLock;
use crate::host::workspace::{Workspace, WorkspaceError, files};

use super::{Mail, MailError, MailId, Mailbox, News, check_name, look_until};

/// So often a box is looked at while its reader waits: other processes have no other way to tell.
const LOOK: Duration = Duration::from_millis(100);
/// The most mails that are given out at once.
const BATCH: usize = 256;

/// Mail in a folder of the workspace. Writers only add lines, a line a mail, each with one write under a
/// lock; the one reader of a box never changes it and keeps a cursor beside it. The lease is a lock that
/// the kernel gives back when the reader dies.
#[derive(Clone, Debug)]
pub struct FileMailbox {
    folder: PathBuf,
    news: News,
    readers: Arc<Mutex<BTreeMap<String, Reader>>>,
    came: Arc<Notify>,
}

/// The one reader of a box.
#[derive(Debug)]
struct Reader {
    _lease: RunLock,
    journal: Journal<Mail>,
    cursor: Cursor,
    /// All before it are read; in the queue, or done.
    next: u64,
    /// What is not done, oldest first.
    queue: VecDeque<Item>,
    /// How many of the queue are given out.
    given: usize,
}

#[derive(Debug)]
struct Item {
    /// Where its line begins.
    begin: u64,
    /// `None` when it is done and waits for an elder one.
    mail: Option<Mail>,
}

/// A line of `<agent>.dead.jsonl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Dead {
    /// What was given up; nothing where a line was no mail.
    pub mail: Option<Mail>,
    /// Where the line stands in the box, in bytes.
    pub offset: u64,
    /// Why.
    pub why: String,
}

impl FileMailbox {
    /// The mailboxes of this workspace, with a box for each of these agents beside those that there are.
    ///
    /// # Errors
    /// The folder cannot be used, or a name is none.
    pub fn open<'a>(
        cwd: &Path,
        names: impl IntoIterator<Item = &'a str>,
        news: News,
    ) -> Result<Self, MailError> {
        let folder = Workspace::open(cwd)
            .and_then(|w| w.own_dir(own_paths::MAILBOXES.name))
            .map_err(store)?;
        let (readers, came) = (Arc::default(), Arc::default());
        let open = Self { folder, news, readers, came };
        names.into_iter().try_for_each(|name| open.join(name))?;
        Ok(open)
    }

    /// A box for one more name, if there is none.
    ///
    /// # Errors
    /// The name is none, or the file cannot be made.
    pub fn join(&self, name: &str) -> Result<(), MailError> {
        check_name(name)?;
        let path = self.path(name, "jsonl");
        let made = OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
        let made = made.map_err(|why| MailError::Store(format!("cannot open {path:?}: {why}")));
        made.map(drop)
    }

    /// What was given up of this agent's mail, and the lines that were none.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn dead(&self, name: &str) -> Result<Vec<Dead>, MailError> {
        let lines = self.graveyard(name).read().map_err(store)?;
        Ok(lines.records.into_iter().map(|record| record.value).collect())
    }

    fn graveyard(&self, name: &str) -> Journal<Dead> {
        Journal::new(self.path(name, "dead.jsonl"))
    }

    fn path(&self, name: &str, ending: &str) -> PathBuf {
        self.folder.join(format!("{name}.{ending}"))
    }

    /// The box of an agent that there is.
    fn journal(&self, name: &str) -> Result<Journal<Mail>, MailError> {
        check_name(name)?;
        let known = self.known()?;
        match known.iter().any(|it| it == name) {
            true => Ok(Journal::new(self.path(name, "jsonl"))),
            false => Err(MailError::Unknown { name: name.to_owned(), known }),
        }
    }

    fn known(&self) -> Result<Vec<String>, MailError> {
        let names = files(&self.folder, ".jsonl").map_err(store)?.into_iter().map(|file| file.name);
        let mut names: Vec<String> = names.filter(|name| check_name(name).is_ok()).collect();
        names.sort();
        Ok(names)
    }

    fn cursor(&self, name: &str) -> Cursor {
        Cursor::new(self.path(name, "cursor"))
    }

    /// Where a reader of this box begins. What was wrong with the cursor is told.
    fn place(&self, name: &str, journal: &Journal<Mail>) -> Result<u64, MailError> {
        let place = self.cursor(name).load(journal).map_err(store)?;
        place.rebuilt.into_iter().for_each(|why| self.news.add(why));
        Ok(place.offset)
    }

    /// Gives out what is not given out yet. Takes the lease first, and reads what came.
    fn look(&self, name: &str) -> Result<Vec<Mail>, MailError> {
        let mut readers = self.readers.lock();
        if !readers.contains_key(name) {
            let journal = self.journal(name)?;
            let lease = RunLock::acquire(self.path(name, "reader")).map_err(|why| match why {
                WorkspaceError::InUse { by, .. } => MailError::Refused(format!(
                    "the mail of {name} is being read by {}; leave it there first",
                    by.map_or("another process".to_owned(), |by| format!("process {by}"))
                )),
                why => store(why),
            })?;
            let (next, cursor) = (self.place(name, &journal)?, self.cursor(name));
            let queue = VecDeque::new();
            let reader = Reader { _lease: lease, journal, cursor, next, queue, given: 0 };
            readers.insert(name.to_owned(), reader);
        }
        let Some(reader) = readers.get_mut(name) else { return Ok(Vec::new()) };
        if reader.given == reader.queue.len() {
            self.fill(name, reader)?;
        }
        let fresh = reader.queue.iter().skip(reader.given).take(BATCH);
        let mails: Vec<Option<Mail>> = fresh.map(|item| item.mail.clone()).collect();
        reader.given += mails.len();
        reader.advance()?;
        Ok(mails.into_iter().flatten().collect())
    }

    fn fill(&self, name: &str, reader: &mut Reader) -> Result<(), MailError> {
        let journal = &reader.journal;
        let lines = match journal.read_from(reader.next) {
            Err(JournalError::Offset { .. }) => {
                self.news
                    .add(format!("{:?} was replaced; read from its beginning", journal.path()));
                (reader.queue, reader.given) = (VecDeque::new(), 0);
                journal.read().map_err(store)?
            }
            lines => lines.map_err(store)?,
        };
        reader.next = lines.end;
        for bad in lines.bad {
            self.bury(name, Dead { mail: None, offset: bad.offset, why: bad.why })?;
            reader.queue.push_back(Item { begin: bad.offset, mail: None });
        }
        let good = lines.records.into_iter();
        reader.queue.extend(good.map(|it| Item { begin: it.begin, mail: Some(it.value) }));
        reader.queue.make_contiguous().sort_by_key(|item| item.begin);
        Ok(())
    }

    fn bury(&self, name: &str, dead: Dead) -> Result<(), MailError> {
        let graveyard = self.graveyard(name);
        graveyard.append(&dead).map_err(store)?;
        self.news.add(match &dead.mail {
            Some(mail) => format!("mail {} to {name} is given up: {}", mail.id, dead.why),
            None => format!(
                "a line of {name}'s mail, at byte {}, is damaged ({}); set aside in {:?}",
                dead.offset,
                dead.why,
                graveyard.path()
            ),
        });
        Ok(())
    }
}

impl Reader {
    /// Moves the cursor behind all that are done and have no elder one that is not.
    fn advance(&mut self) -> Result<(), MailError> {
        let done =
            self.queue.iter().take(self.given).take_while(|item| item.mail.is_none()).count();
        if done == 0 {
            return Ok(());
        }
        let next = self.queue.get(done).map_or(self.next, |item| item.begin);
        self.cursor.save(next).map_err(store)?;
        self.queue.drain(..done);
        self.given -= done;
        Ok(())
    }
}

#[async_trait]
impl Mailbox for FileMailbox {
    async fn send(&self, mail: Mail) -> Result<MailId, MailError> {
        mail.check()?;
        self.journal(&mail.to)?.append(&mail).map_err(store)?;
        self.came.notify_waiters();
        Ok(mail.id)
    }

    async fn receive(&self, name: &str, wait: Duration) -> Result<Vec<Mail>, MailError> {
        look_until(wait, LOOK, &self.came, || ready(self.look(name))).await
    }

    async fn acknowledge(&self, name: &str, ids: &[MailId]) -> Result<(), MailError> {
        let mut readers = self.readers.lock();
        let Some(reader) = readers.get_mut(name) else { return Ok(()) };
        for item in reader.queue.iter_mut().take(reader.given) {
            item.mail.take_if(|mail| ids.contains(&mail.id));
        }
        reader.advance()
    }

    async fn give_up(&self, name: &str, id: &MailId, why: &str) -> Result<(), MailError> {
        let dead = {
            let readers = self.readers.lock();
            let items = readers.get(name).into_iter().flat_map(|reader| &reader.queue);
            let found = items.filter_map(|item| Some((item.begin, item.mail.clone()?)));
            found.into_iter().find(|(_, mail)| mail.id == *id)
        };
        if let Some((offset, mail)) = dead {
            self.bury(name, Dead { mail: Some(mail), offset, why: why.to_owned() })?;
        }
        self.acknowledge(name, std::slice::from_ref(id)).await
    }

    async fn names(&self) -> Result<Vec<String>, MailError> {
        self.known()
    }

    async fn waiting(&self, name: &str) -> Result<usize, MailError> {
        let journal = self.journal(name)?;
        let lines = journal.read_from(self.place(name, &journal)?).map_err(store)?;
        Ok(lines.records.len())
    }
}

fn store(why: impl std::fmt::Display) -> MailError {
    MailError::Store(why.to_string())
}
