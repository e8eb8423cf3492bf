//! A session's file: what its lines are, how they are written, and how they are read back.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};

use harness_core::journal::{self, BadLine, Journal, JournalError, LINE_LIMIT};
use harness_core::workspace::{Held, WorkspaceError, hold};
use harness_core::{Block, Conversation, Message, Role, Secrets, text};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Result, SessionError};

/// The form of the file. A newer one is refused: to guess at it would be to lose it.
pub(crate) const VERSION: u64 = 1;

/// So many bytes of history are held. No server takes more in one request, and one line of the file must
/// be able to hold it all.
const MOST: u64 = LINE_LIMIT as u64 - 1024 * 1024;

/// What a line says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Record {
    /// The first line.
    Session(Header),
    /// A message, or what the last one grew by: neighbours of one role are one message.
    Message(Message),
    /// The history is this from here on: it was compacted, or mended after a crash.
    Replaced { messages: Vec<Message> },
    /// It has another title.
    Title { title: String },
    /// A line of a kind that this version does not know.
    #[serde(other)]
    Unknown,
}

/// What is known of a session before anything is said in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    /// The form of the file.
    pub version: u64,
    /// Its id, for who reads the file. What counts is the file's name: a line can say anything.
    pub id: String,
    /// What the human said first, until somebody gives it another title.
    pub title: String,
    /// When it began, RFC 3339.
    pub created: String,
    /// Where the agent worked.
    pub cwd: PathBuf,
    /// The session it was forked from.
    pub parent: Option<Parent>,
}

/// Where a fork comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The session.
    pub id: String,
    /// The last turn that was copied.
    pub turn: u64,
}

/// A line: a record and its place.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    /// Counted up by one. A gap is a line that was lost; a number that was there already is skipped.
    n: u64,
    /// The turn it belongs to; a turn begins when the human says something.
    turn: u64,
    /// Something in it is not what was said, because it was secret.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    masked: bool,
    #[serde(flatten)]
    record: Record,
}

/// A session that is open for writing, by nobody else.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) id: String,
    pub(crate) turns: u64,
    /// The history that the file leads to; `None` when a write failed and nobody knows.
    pub(crate) written: Option<Vec<Message>>,
    journal: Journal<Value>,
    last: u64,
    _lock: Held,
}

impl Open {
    /// Takes the session's lock, for as long as the session is open. The file need not be there yet.
    pub(crate) fn take(folder: &Path, id: String) -> Result<Self> {
        let lock = hold(folder.join(format!("{id}.lock"))).map_err(|why| match why {
            WorkspaceError::InUse { by, .. } => SessionError::InUse(id.clone(), by),
            why => why.into(),
        })?;
        let journal = Journal::new(folder.join(format!("{id}.jsonl")));
        Ok(Self { id, turns: 0, written: Some(Vec::new()), journal, last: 0, _lock: lock })
    }

    /// Appends what the history grew by, or all of it if it is not a continuation of what was written.
    pub(crate) fn keep(&mut self, c: &Conversation, secrets: &Secrets) -> Result<()> {
        let mut turn = self.turns;
        let grown = self.written.as_ref().and_then(|written| c.since(written));
        let records: Vec<_> = match grown {
            None => vec![(turn, Record::Replaced { messages: c.messages().to_vec() })],
            Some(more) => more
                .into_iter()
                .map(|message| {
                    turn += prompts(&message);
                    (turn, Record::Message(message))
                })
                .collect(),
        };
        if !records.is_empty() {
            self.append(records, secrets)?;
            self.written = Some(c.messages().to_vec());
        }
        Ok(())
    }

    /// One write and one sync for all of them. Known secrets go no further than here.
    pub(crate) fn append(&mut self, records: Vec<(u64, Record)>, secrets: &Secrets) -> Result<()> {
        let mut lines = Vec::with_capacity(records.len());
        for (turn, record) in records {
            (self.last, self.turns) = (self.last + 1, turn);
            let line = Line { n: self.last, turn, masked: false, record };
            let path = || self.journal.path().to_owned();
            let mut line = serde_json::to_value(line)
                .map_err(|source| JournalError::Record { path: path(), source })?;
            if secrets.mask_json(&mut line) {
                line["masked"] = true.into();
            }
            lines.push(line);
        }
        let appended = self.journal.append_all(&lines);
        if appended.is_err() {
            self.written = None;
        }
        appended.map(|_| ()).map_err(SessionError::from)
    }

    /// Reads the session and goes on where it ends. What had to be mended is written behind it: a file is
    /// never rewritten, and the next reader gets this very conversation and is not told again.
    pub(crate) fn read(&mut self, secrets: &Secrets) -> Result<(Past, Conversation)> {
        let mut past = Past::read(self.journal.path(), None)?;
        let conversation = past.recover();
        (self.last, self.turns) = (past.last, past.turns);
        let messages = conversation.messages().to_vec();
        self.written = Some(messages.clone());
        if past.mended {
            self.append(vec![(self.turns, Record::Replaced { messages })], secrets)?;
        }
        Ok((past, conversation))
    }
}

/// A session as its file tells it.
#[derive(Debug, Default)]
pub struct Past {
    /// What it began with, unless that line is damaged.
    pub header: Option<Header>,
    /// Its title; without one, what the human said first.
    pub title: String,
    /// How many turns it has.
    pub turns: u64,
    /// The messages, each with its turn, as they were written: nothing is mended yet.
    pub messages: Vec<(u64, Message)>,
    /// What was lost or mended, a sentence each.
    pub told: Vec<String>,
    last: u64,
    /// The lines alone do not lead to this conversation any more.
    mended: bool,
}

impl Past {
    /// Reads a session's file and touches nothing. With `until`, what came after that turn is left out.
    ///
    /// # Errors
    /// The file cannot be read, or was written by a newer version.
    pub fn read(path: &Path, until: Option<u64>) -> Result<Self> {
        let mut reader = Reader { until: until.unwrap_or(u64::MAX), ..Reader::default() };
        let tail = Journal::new(path).visit(0, |line| reader.see(line))?;
        match reader.newer {
            Some(version) => Err(SessionError::Newer(path.to_owned(), version)),
            None => Ok(reader.finish(tail.torn.map_or(0, |torn| torn.len))),
        }
    }

    /// The conversation, mended so that it can be sent.
    pub fn recover(&mut self) -> Conversation {
        let messages = std::mem::take(&mut self.messages).into_iter().map(|(_, message)| message);
        let (conversation, repairs) = Conversation::recover(messages.collect());
        self.mended |= !repairs.is_empty();
        self.told.extend(repairs.iter().map(ToString::to_string));
        conversation
    }
}

/// Goes through the lines, and holds no more of them than the history that counts.
#[derive(Default)]
struct Reader {
    past: Past,
    until: u64,
    newer: Option<u64>,
    seen: HashSet<u64>,
    /// Turn, bytes in the file, message.
    messages: VecDeque<(u64, u64, Message)>,
    bytes: u64,
    /// What was left out, and how much of it.
    left_out: BTreeMap<&'static str, u64>,
    fault: Option<String>,
    /// Something before is not as it was said; what the model thought after it is bound to what was.
    moved: bool,
    /// The last turn that is wanted is over.
    over: bool,
}

impl Reader {
    fn see(&mut self, line: Result<journal::Record<Value>, BadLine>) {
        if self.over {
            return;
        }
        let (begin, end, value) = match line {
            Ok(journal::Record { begin, end, value }) => (begin, end, value),
            Err(line) => return self.damaged(line.offset, line.why),
        };
        let version = value["version"].as_u64().filter(|_| value["type"] == "session");
        self.newer = self.newer.or(version.filter(|&version| version > VERSION));
        let Line { n, turn, masked, record } = match serde_json::from_value(value) {
            Ok(line) => line,
            Err(why) => return self.damaged(begin, why.to_string()),
        };
        self.over = turn > self.until;
        if self.over {
            return;
        }
        if !self.seen.insert(n) {
            return self.leave_out("lines that are there twice", 1);
        }
        let gap = n.wrapping_sub(self.past.last + 1);
        if gap > 0 {
            self.moved = true;
            self.leave_out(MISSING, n.saturating_sub(self.past.last + 1));
        }
        (self.past.last, self.past.turns) = (n, turn);
        self.take(turn, end - begin, masked, record);
    }

    fn take(&mut self, turn: u64, bytes: u64, masked: bool, record: Record) {
        match record {
            Record::Session(header) => {
                self.past.title.clone_from(&header.title);
                self.past.header = Some(header);
            }
            Record::Title { title } => self.past.title = title,
            Record::Unknown => self.leave_out("lines of an unknown kind", 1),
            Record::Message(message) => self.add(turn, bytes, masked, message),
            Record::Replaced { messages } => {
                // Whatever went wrong before is over: this is the history, whole.
                self.messages.clear();
                self.left_out.clear();
                (self.bytes, self.moved, self.fault) = (0, false, None);
                let share = bytes / messages.len().max(1) as u64;
                messages.into_iter().for_each(|message| self.add(turn, share, masked, message));
            }
        }
    }

    fn add(&mut self, turn: u64, bytes: u64, masked: bool, mut message: Message) {
        self.moved |= masked;
        if self.moved {
            message.content.retain(|block| !block.is_thinking());
        }
        self.messages.push_back((turn, bytes, message));
        self.bytes += bytes;
        while self.bytes > MOST && self.messages.len() > 1 {
            self.bytes -= self.messages.pop_front().map_or(0, |(_, bytes, _)| bytes);
            self.moved = true;
            self.leave_out("messages, the oldest of too many", 1);
        }
    }

    fn damaged(&mut self, begin: u64, why: String) {
        self.fault.get_or_insert(format!("at byte {begin}: {why}"));
        self.leave_out(DAMAGED, 1);
    }

    fn leave_out(&mut self, what: &'static str, count: u64) {
        *self.left_out.entry(what).or_default() += count;
    }

    fn finish(mut self, torn: u64) -> Past {
        // A damaged line leaves a gap in the numbers too.
        let damaged = self.left_out.get(DAMAGED).copied().unwrap_or_default();
        self.left_out
            .entry(MISSING)
            .and_modify(|missing| *missing = missing.saturating_sub(damaged));
        let mut past = self.past;
        if torn > 0 && !self.over {
            self.leave_out("bytes of a last line that was cut short", torn);
            // The next append ends that line, and it may turn out to be whole: its number is taken.
            past.last += 1;
        }
        self.left_out.retain(|_, count| *count > 0);
        past.mended = self.moved || !self.left_out.is_empty();
        past.told = self
            .left_out
            .iter()
            .map(|(what, count)| format!("left out: {what} ({count})"))
            .collect();
        past.told.extend(self.fault.map(|fault| format!("the first fault is {fault}")));
        past.messages =
            self.messages.into_iter().map(|(turn, _, message)| (turn, message)).collect();
        if past.title.is_empty() {
            past.title = first_words(past.messages.iter().map(|(_, message)| message));
        }
        past
    }
}

const DAMAGED: &str = "damaged lines";
const MISSING: &str = "lines that are missing";

/// How often the human speaks in a message.
fn prompts(message: &Message) -> u64 {
    let said = message.content.iter().filter(|block| matches!(block, Block::Text(_)));
    if message.role == Role::User { said.count() as u64 } else { 0 }
}

/// What the human said first, as a title.
pub(crate) fn first_words<'a>(messages: impl IntoIterator<Item = &'a Message>) -> String {
    let said = messages.into_iter().filter(|message| message.role == Role::User).map(Message::text);
    plain(&said.into_iter().find(|text| !text.trim().is_empty()).unwrap_or_default())
}

/// One short line without control sequences.
pub(crate) fn plain(words: &str) -> String {
    let words = text::strip(words);
    harness_cli::cut(&words.split_whitespace().collect::<Vec<_>>().join(" "), 60)
}
