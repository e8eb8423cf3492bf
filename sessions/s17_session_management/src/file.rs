//! A session's file: what its lines are, how they are written, and how they are read back.

use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};

use harness_core::journal::{self, BadLine, Journal, JournalError, LINE_LIMIT, Torn};
use harness_core::workspace::{Held, WorkspaceError, hold};
use harness_core::{Block, Conversation, Message, Role, Secrets, text};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Result, refusal, refused};

/// The form of the file. A newer one is refused: to guess at it would be to lose it.
pub(crate) const VERSION: u64 = 1;

/// So many bytes of history are held. No server takes more in one request, and one line of the file must
/// be able to hold it all.
const MOST: u64 = LINE_LIMIT as u64 - 1024 * 1024;

/// So many faults of a file are told.
const FAULTS: usize = 5;

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
    journal: Journal<Value>,
    /// The history that the file leads to; `None` when a write failed and nobody knows.
    written: Option<Vec<Message>>,
    last: u64,
    _lock: Held,
}

impl Open {
    /// Takes the session's lock, for as long as the session is open. The file need not be there yet.
    pub(crate) fn take(folder: &Path, id: String) -> Result<Self> {
        let lock = hold(folder.join(format!("{id}.lock"))).map_err(|why| match why {
            WorkspaceError::InUse { by, .. } => {
                let by = by.map_or(String::new(), |by| format!(" in process {by}"));
                refusal(format!("session {id} is open{by}; leave it there first, or :fork {id}"))
            }
            why => why.into(),
        })?;
        let journal = Journal::new(folder.join(format!("{id}.jsonl")));
        Ok(Self { id, turns: 0, journal, written: Some(Vec::new()), last: 0, _lock: lock })
    }

    /// Appends what the history grew by, or all of it if it is not a continuation of what was written.
    pub(crate) fn keep(&mut self, c: &Conversation, secrets: &Secrets) -> Result<()> {
        let records = match self.written.as_ref().and_then(|written| c.since(written)) {
            Some(more) => more.into_iter().map(Record::Message).collect(),
            None => vec![Record::Replaced { messages: c.messages().to_vec() }],
        };
        if !records.is_empty() {
            self.append(records, secrets)?;
            self.written = Some(c.messages().to_vec());
        }
        Ok(())
    }

    /// One write and one sync for all of them. Known secrets go no further than here.
    pub(crate) fn append(&mut self, records: Vec<Record>, secrets: &Secrets) -> Result<()> {
        let mut lines = Vec::with_capacity(records.len());
        for record in records {
            self.last += 1;
            self.turns += if let Record::Message(message) = &record { prompts(message) } else { 0 };
            let line = Line { n: self.last, turn: self.turns, masked: false, record };
            let path = || self.journal.path().to_owned();
            let line = serde_json::to_value(line);
            let mut line = line.map_err(|source| JournalError::Record { path: path(), source })?;
            if secrets.mask_json(&mut line) {
                line["masked"] = true.into();
            }
            lines.push(line);
        }
        if let Err(why) = self.journal.append_all(&lines) {
            self.written = None;
            return Err(why.into());
        }
        Ok(())
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
            self.append(vec![Record::Replaced { messages }], secrets)?;
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
    /// The messages as they were written: nothing is mended yet.
    pub messages: Vec<Message>,
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
        if let Some(version) = reader.newer {
            let known = format!("newer than {VERSION}, the newest known here");
            return refused(format!("{path:?} has form {version}, {known}; it is left as it is"));
        }
        Ok(reader.finish(tail.torn.filter(|_| until.is_none())))
    }

    /// The conversation, mended so that it can be sent.
    pub fn recover(&mut self) -> Conversation {
        let (conversation, repairs) = Conversation::recover(std::mem::take(&mut self.messages));
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
    /// The messages, and how many bytes of the file each takes.
    messages: VecDeque<(u64, Message)>,
    bytes: u64,
    faults: usize,
    /// Something before is not as it was said; what the model thought after it is bound to what was.
    moved: bool,
}

impl Reader {
    fn see(&mut self, line: Result<journal::Record<Value>, BadLine>) {
        let (begin, end, value) = match line {
            Ok(journal::Record { begin, end, value }) => (begin, end, value),
            Err(line) => {
                return self.fault(format!("a damaged line at byte {}: {}", line.offset, line.why));
            }
        };
        let version = value["version"].as_u64().filter(|_| value["type"] == "session");
        self.newer = self.newer.or(version.filter(|&version| version > VERSION));
        let Line { n, turn, masked, record } = match serde_json::from_value(value) {
            Ok(line) => line,
            Err(why) => return self.fault(format!("a damaged line at byte {begin}: {why}")),
        };
        if turn > self.until {
            return;
        }
        if !self.seen.insert(n) {
            return self.fault(format!("line {n} for a second time"));
        }
        if n != self.past.last + 1 {
            self.moved = true;
            self.fault(format!("what stood between lines {} and {n}", self.past.last));
        }
        (self.past.last, self.past.turns) = (n, turn);
        match record {
            Record::Session(header) => {
                self.past.title.clone_from(&header.title);
                self.past.header = Some(header);
            }
            Record::Title { title } => self.past.title = title,
            Record::Unknown => self.fault(format!("line {n}, of an unknown kind")),
            Record::Message(message) => self.add(end - begin, masked, message),
            Record::Replaced { messages } => {
                // Whatever went wrong before is over: this is the history, whole.
                self.messages.clear();
                self.past.told.clear();
                (self.bytes, self.moved, self.faults) = (0, false, 0);
                let share = (end - begin) / messages.len().max(1) as u64;
                messages.into_iter().for_each(|message| self.add(share, masked, message));
            }
        }
    }

    fn add(&mut self, bytes: u64, masked: bool, mut message: Message) {
        self.moved |= masked;
        if self.moved {
            message.content.retain(|block| !block.is_thinking());
        }
        self.messages.push_back((bytes, message));
        self.bytes += bytes;
        while self.bytes > MOST && self.messages.len() > 1 {
            self.bytes -= self.messages.pop_front().map_or(0, |(bytes, _)| bytes);
            self.moved = true;
            self.fault("the oldest messages: more than can be held".to_owned());
        }
    }

    fn fault(&mut self, what: String) {
        self.faults += 1;
        let told = &mut self.past.told;
        if told.len() < FAULTS && told.last().is_none_or(|last| !last.ends_with(&what)) {
            told.push(format!("left out: {what}"));
        }
    }

    fn finish(mut self, torn: Option<Torn>) -> Past {
        if let Some(torn) = torn {
            self.fault(format!("a last line that was cut short after {} bytes", torn.len));
            // The next append ends that line, and it may turn out to be whole: its number is taken.
            self.past.last += 1;
        }
        let mut past = self.past;
        past.mended = self.moved || self.faults > 0;
        past.messages = self.messages.into_iter().map(|(_, message)| message).collect();
        if past.title.is_empty() {
            past.title = first_words(&past.messages);
        }
        past
    }
}

/// How often the human speaks in a message.
pub(crate) fn prompts(message: &Message) -> u64 {
    let said = message.content.iter().filter(|block| matches!(block, Block::Text(_)));
    if message.role == Role::User { said.count() as u64 } else { 0 }
}

/// What the human said first, as a title.
pub(crate) fn first_words(messages: &[Message]) -> String {
    let mut said = messages.iter().filter(|message| message.role == Role::User).map(Message::text);
    plain(&said.find(|text| !text.trim().is_empty()).unwrap_or_default())
}

/// One short line without control sequences.
pub(crate) fn plain(words: &str) -> String {
    let words = text::strip(words);
    harness_cli::cut(&words.split_whitespace().collect::<Vec<_>>().join(" "), 60)
}
