//! Mail in files: `.mailboxes/<agent>.jsonl` grows, a cursor beside it says how much of it is done.

use std::collections::{BTreeMap, VecDeque};
use std::fs::OpenOptions;
use std::future::ready;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use harness_core::Mutex;
use harness_core::host::journal::{Cursor, Journal, JournalError, Lines};
use harness_core::host::own_paths;
use harness_core::host::ownership::RunLock;
use harness_core::host::workspace::{Workspace, WorkspaceError, files};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::{Mail, MailError, MailId, MailNotices, Mailbox, check_name, poll_until};

/// How often a box is polled while its reader waits: other processes cannot notify us.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// The most mails that are given out at once.
const MAX_BATCH: usize = 256;

/// Mail in a folder of the workspace. Writers only add lines, a line a mail, each with one write under a
/// lock; the one reader of a box never changes it and keeps a cursor beside it. The lease is a lock that
/// the kernel gives back when the reader dies.
#[derive(Clone, Debug)]
pub struct FileMailbox {
    folder: PathBuf,
    notices: MailNotices,
    readers: Arc<Mutex<BTreeMap<String, BoxReader>>>,
    arrived: Arc<Notify>,
}

/// The one reader of a box.
#[derive(Debug)]
struct BoxReader {
    /// Keeps other processes from reading this box.
    _lease: RunLock,
    journal: Journal<Mail>,
    cursor: Cursor,
    /// The offset behind the last line that was read: what stands before it is in the queue, or done.
    next: u64,
    /// What is not done, oldest first.
    queue: VecDeque<QueuedLine>,
    /// How many of the queue are given out.
    given: usize,
}

/// A line of the box that was read and is not behind the cursor.
#[derive(Debug)]
struct QueuedLine {
    /// The offset at which it begins.
    begin: u64,
    /// `None` when it is done, and waits for an older one.
    mail: Option<Mail>,
}

/// A line of `<agent>.dead.jsonl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeadLetterLine {
    /// What was rejected; nothing where a line could not be read as a mail.
    pub mail: Option<Mail>,
    /// Where the line stands in the box, in bytes.
    pub offset: u64,
    /// The reason.
    pub why: String,
}

impl FileMailbox {
    /// The mailboxes of this workspace, with a box for each of these agents beside the boxes that exist.
    ///
    /// # Errors
    /// The folder cannot be used, or a name is not usable.
    pub fn open<'a>(
        cwd: &Path,
        names: impl IntoIterator<Item = &'a str>,
        notices: MailNotices,
    ) -> Result<Self, MailError> {
        let workspace = Workspace::open(cwd).map_err(MailError::store)?;
        let mailbox = Self {
            folder: workspace.own_dir(own_paths::MAILBOXES.name).map_err(MailError::store)?,
            notices,
            readers: Arc::default(),
            arrived: Arc::default(),
        };
        for name in names {
            mailbox.join(name)?;
        }
        Ok(mailbox)
    }

    /// A box for one more name, if it has none.
    ///
    /// # Errors
    /// The name is not usable, or the file cannot be made.
    pub fn join(&self, name: &str) -> Result<(), MailError> {
        check_name(name)?;
        let path = self.path(name, "jsonl");
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .map_err(|why| MailError::Store(format!("cannot open {path:?}: {why}")))?;
        Ok(())
    }

    /// The dead letters of this agent: rejected mail, and lines that could not be read as mail.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn dead(&self, name: &str) -> Result<Vec<DeadLetterLine>, MailError> {
        let lines = self.dead_letters(name).read().map_err(MailError::store)?;
        Ok(lines.records.into_iter().map(|record| record.value).collect())
    }

    fn dead_letters(&self, name: &str) -> Journal<DeadLetterLine> {
        Journal::new(self.path(name, "dead.jsonl"))
    }

    fn path(&self, name: &str, ending: &str) -> PathBuf {
        self.folder.join(format!("{name}.{ending}"))
    }

    /// The box of this agent.
    fn journal(&self, name: &str) -> Result<Journal<Mail>, MailError> {
        check_name(name)?;
        let known = self.known()?;
        if known.iter().any(|it| it == name) {
            return Ok(Journal::new(self.path(name, "jsonl")));
        }
        Err(MailError::Unknown { name: name.to_owned(), known })
    }

    /// The names of all boxes, sorted.
    fn known(&self) -> Result<Vec<String>, MailError> {
        let found = files(&self.folder, ".jsonl").map_err(MailError::store)?;
        let mut names: Vec<String> = found.into_iter().map(|file| file.name).collect();
        names.retain(|name| check_name(name).is_ok()); // `ada.dead.jsonl` is not a box
        names.sort();
        Ok(names)
    }

    fn cursor(&self, name: &str) -> Cursor {
        Cursor::new(self.path(name, "cursor"))
    }

    /// The offset at which a reader of this box begins. What was wrong with the cursor is told.
    fn start(&self, name: &str, journal: &Journal<Mail>) -> Result<u64, MailError> {
        let position = self.cursor(name).load(journal).map_err(MailError::store)?;
        if let Some(why) = position.rebuilt {
            self.notices.add(why);
        }
        Ok(position.offset)
    }

    /// Gives out what is not given out yet. Takes the lease first, if we do not have it.
    fn poll(&self, name: &str) -> Result<Vec<Mail>, MailError> {
        let mut readers = self.readers.lock();
        if !readers.contains_key(name) {
            readers.insert(name.to_owned(), self.lease(name)?);
        }
        let Some(reader) = readers.get_mut(name) else { return Ok(Vec::new()) };
        if reader.has_given_everything() {
            self.read_new_lines(name, reader)?;
        }
        reader.give_out()
    }

    /// Becomes the one reader of this box.
    fn lease(&self, name: &str) -> Result<BoxReader, MailError> {
        let journal = self.journal(name)?;
        let lease =
            RunLock::acquire(self.path(name, "reader")).map_err(|why| lease_refused(name, why))?;
        let next = self.start(name, &journal)?;
        Ok(BoxReader {
            _lease: lease,
            journal,
            cursor: self.cursor(name),
            next,
            queue: VecDeque::new(),
            given: 0,
        })
    }

    /// Reads what was added since the last time. A damaged line becomes a dead letter and blocks nothing.
    fn read_new_lines(&self, name: &str, reader: &mut BoxReader) -> Result<(), MailError> {
        let lines = self.lines_after(reader)?;
        reader.next = lines.end;
        for bad in lines.bad {
            self.bury(name, DeadLetterLine { mail: None, offset: bad.offset, why: bad.why })?;
            reader.queue.push_back(QueuedLine { begin: bad.offset, mail: None });
        }
        for record in lines.records {
            reader.queue.push_back(QueuedLine { begin: record.begin, mail: Some(record.value) });
        }
        reader.queue.make_contiguous().sort_by_key(|line| line.begin);
        Ok(())
    }

    /// The lines behind those that were read; all of them, where the file is not the same any more.
    fn lines_after(&self, reader: &mut BoxReader) -> Result<Lines<Mail>, MailError> {
        match reader.journal.read_from(reader.next) {
            Err(JournalError::Offset { .. }) => {
                let path = reader.journal.path();
                self.notices.add(format!("{path:?} was replaced; read from its beginning"));
                reader.queue.clear();
                reader.given = 0;
                reader.journal.read().map_err(MailError::store)
            }
            read => read.map_err(MailError::store),
        }
    }

    /// Writes a dead letter, and tells the user.
    fn bury(&self, name: &str, letter: DeadLetterLine) -> Result<(), MailError> {
        let dead_letters = self.dead_letters(name);
        dead_letters.append(&letter).map_err(MailError::store)?;
        let DeadLetterLine { mail, offset, why } = letter;
        let told = match mail {
            Some(mail) => format!("mail {} to {name} is given up: {why}", mail.id),
            None => format!(
                "a line of {name}'s mail, at byte {offset}, is damaged ({why}); set aside in {:?}",
                dead_letters.path()
            ),
        };
        self.notices.add(told);
        Ok(())
    }
}

fn lease_refused(name: &str, why: WorkspaceError) -> MailError {
    let WorkspaceError::InUse { by, .. } = why else { return MailError::store(why) };
    let reader = match by {
        Some(process) => format!("process {process}"),
        None => "another process".to_owned(),
    };
    MailError::Refused(format!(
        "the mail of {name} is being read by {reader}; end that process first"
    ))
}

impl BoxReader {
    fn has_given_everything(&self) -> bool {
        self.given == self.queue.len()
    }

    /// The next mails of the queue, at most [`MAX_BATCH`].
    fn give_out(&mut self) -> Result<Vec<Mail>, MailError> {
        let batch: Vec<Option<Mail>> = self
            .queue
            .iter()
            .skip(self.given)
            .take(MAX_BATCH)
            .map(|line| line.mail.clone())
            .collect();
        self.given += batch.len();
        self.advance()?; // behind damaged lines
        Ok(batch.into_iter().flatten().collect())
    }

    /// Moves the cursor behind all lines that are done and have no older one that is not.
    fn advance(&mut self) -> Result<(), MailError> {
        let given = self.queue.iter().take(self.given);
        let done = given.take_while(|line| line.mail.is_none()).count();
        if done == 0 {
            return Ok(());
        }
        let behind = self.queue.get(done).map_or(self.next, |line| line.begin);
        self.cursor.save(behind).map_err(MailError::store)?;
        self.queue.drain(..done);
        self.given -= done;
        Ok(())
    }
}

#[async_trait]
impl Mailbox for FileMailbox {
    async fn send(&self, mail: Mail) -> Result<MailId, MailError> {
        mail.check()?;
        self.journal(&mail.to)?.append(&mail).map_err(MailError::store)?;
        self.arrived.notify_waiters();
        Ok(mail.id)
    }

    async fn receive(&self, name: &str, wait: Duration) -> Result<Vec<Mail>, MailError> {
        poll_until(wait, POLL_INTERVAL, &self.arrived, || ready(self.poll(name))).await
    }

    async fn acknowledge(&self, name: &str, ids: &[MailId]) -> Result<(), MailError> {
        let mut readers = self.readers.lock();
        let Some(reader) = readers.get_mut(name) else { return Ok(()) };
        for line in reader.queue.iter_mut().take(reader.given) {
            line.mail.take_if(|mail| ids.contains(&mail.id));
        }
        reader.advance()
    }

    async fn reject(&self, name: &str, id: &MailId, why: &str) -> Result<(), MailError> {
        if let Some((offset, mail)) = self.find(name, id) {
            self.bury(name, DeadLetterLine { mail: Some(mail), offset, why: why.to_owned() })?;
        }
        self.acknowledge(name, std::slice::from_ref(id)).await
    }

    async fn names(&self) -> Result<Vec<String>, MailError> {
        self.known()
    }

    async fn unacknowledged(&self, name: &str) -> Result<usize, MailError> {
        let journal = self.journal(name)?;
        let start = self.start(name, &journal)?;
        let lines = journal.read_from(start).map_err(MailError::store)?;
        Ok(lines.records.len())
    }
}

impl FileMailbox {
    /// A mail that is given out, and the offset at which its line begins.
    fn find(&self, name: &str, id: &MailId) -> Option<(u64, Mail)> {
        let readers = self.readers.lock();
        for line in &readers.get(name)?.queue {
            match &line.mail {
                Some(mail) if mail.id == *id => return Some((line.begin, mail.clone())),
                _ => {}
            }
        }
        None
    }
}
