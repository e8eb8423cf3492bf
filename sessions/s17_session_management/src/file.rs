//! A session's file: what its lines are, how they are written, and how they are read back.

use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};

use harness_cli::cut;
use harness_core::host::journal;
use harness_core::host::journal::{BadLine, Journal, LINE_LIMIT};
use harness_core::host::ownership::RunLock;
use harness_core::host::text;
use harness_core::{Conversation, Extent, Message, Role, Secrets};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Result, refused};

/// The form of the file. A newer one is refused: to guess at it would be to lose it.
pub(crate) const VERSION: u64 = 1;

/// So many bytes of history are held. No server takes more in one request, and one line of the file must
/// be able to hold it all.
const MOST: u64 = LINE_LIMIT as u64 - 1024 * 1024;

/// No line is shorter, in bytes.
const SHORTEST: u64 = 16;

/// So long a title is.
pub(crate) const TITLE: usize = 60;

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
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Header {
    /// The form of the file. Every form has it, here and as a number.
    pub version: u64,
    /// Its id, for who reads the file. What counts is the file's name: a line can say anything.
    pub id: String,
    /// What the human said first, until somebody gives it another title.
    pub title: String,
    /// When it began, RFC 3339.
    pub created: String,
    /// Where the agent worked, as it is shown: a folder's name need not be text.
    pub cwd: String,
    /// The session it was forked from, and the last turn that was copied.
    pub parent: Option<(String, u64)>,
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
    last: u64,
    journal: Journal<Value>,
    /// How much of the history the file holds; `None` when a write failed and nobody knows.
    written: Option<Extent>,
    _lock: RunLock,
}

impl Open {
    /// Takes the session's lock, for as long as the session is open. The file need not be there yet.
    pub(crate) fn take(path: PathBuf, id: String) -> Result<Self> {
        let _lock = RunLock::acquire(path.with_extension("lock"))?;
        let journal = Journal::new(path);
        Ok(Self { id, turns: 0, last: 0, journal, written: Some(Extent::default()), _lock })
    }

    /// Appends what the history grew by, or all of it if it is not a continuation of what was written.
    pub(crate) fn keep(&mut self, c: &Conversation, secrets: &Secrets) -> Result<()> {
        let records = match self.written.as_ref().and_then(|written| c.since(written)) {
            Some(more) => more.into_iter().map(Record::Message).collect(),
            None => vec![Record::Replaced { messages: c.messages().to_vec() }],
        };
        self.append(records, secrets)?;
        self.written = Some(c.extent());
        Ok(())
    }

    /// One write and one sync for all of them. Known secrets go no further than here.
    pub(crate) fn append(&mut self, records: Vec<Record>, secrets: &Secrets) -> Result<()> {
        let mut lines = Vec::with_capacity(records.len());
        for record in records {
            self.last += 1;
            if let Record::Message(message) = &record {
                self.turns = self.turns.saturating_add(message.prompts() as u64);
            }
            let line = Line { n: self.last, turn: self.turns, masked: false, record };
            let mut line = serde_json::to_value(line).or_else(|why| refused(why.to_string()))?;
            if secrets.mask_json(&mut line) {
                line["masked"] = true.into();
            }
            lines.push(line);
        }
        Ok(self.journal.append_all(&lines).inspect_err(|_| self.written = None).map(drop)?)
    }

    /// Reads the session and goes on where it ends. What had to be mended is written behind it: a file is
    /// never rewritten, and the next reader gets this very conversation and is not told again.
    pub(crate) fn read(&mut self, secrets: &Secrets) -> Result<Past> {
        let mut past = Past::read(self.journal.path(), None)?;
        past.recover();
        (self.last, self.turns) = (past.last, past.turns);
        self.written = Some(past.conversation.extent());
        if past.mended {
            let messages = past.conversation.messages().to_vec();
            self.append(vec![Record::Replaced { messages }], secrets)?;
        }
        Ok(past)
    }
}

/// A session as its file tells it. Holds no more of it than the history that counts.
#[derive(Debug, Default)]
pub struct Past {
    /// What it began with, unless that line is damaged.
    pub header: Header,
    /// Its title; without one, what the human said first.
    pub title: String,
    /// How many turns it has.
    pub turns: u64,
    /// What was lost or mended, a sentence each.
    pub told: Vec<String>,
    /// What was said, once it is mended: see [`Past::recover`].
    pub conversation: Conversation,
    /// The messages as they were written, and how many bytes of the file each takes.
    messages: VecDeque<(u64, Message)>,
    bytes: u64,
    last: u64,
    /// Where the last line that could be read ends.
    good: u64,
    seen: HashSet<u64>,
    /// Something before is not as it was said; what the model thought after it is bound to what was.
    moved: bool,
    /// The lines alone do not lead to this conversation any more.
    mended: bool,
}

impl Past {
    /// Reads a session's file and touches nothing. With `until`, what came after that turn is left out.
    ///
    /// # Errors
    /// The file cannot be read, or was written by a newer version.
    pub fn read(path: &Path, until: Option<u64>) -> Result<Self> {
        let mut past = Self::default();
        let tail = Journal::new(path).visit(0, |line| past.see(line, until))?;
        if past.header.version > VERSION {
            let newer = format!("form {}, and {VERSION} is the newest known", past.header.version);
            return refused(format!("{path:?} has {newer} here; it is left as it is"));
        }
        let torn = tail.torn.filter(|_| until.is_none()).map_or(0, |torn| torn.len);
        if torn > 0 {
            past.fault(format!("a last line that was cut short after {torn} bytes"));
        }
        // The next append ends a line that was cut short, and it may turn out to be whole. Its number, and
        // those of the damaged lines before it, are taken: at most so many stood there.
        past.last += (tail.end + torn - past.good).div_ceil(SHORTEST);
        if past.title.is_empty() {
            past.title = first_words(past.messages());
        }
        Ok(past)
    }

    /// The messages as they were written: nothing is mended yet.
    pub fn messages(&self) -> impl Iterator<Item = &Message> {
        self.messages.iter().map(|(_, message)| message)
    }

    /// Makes a conversation of the messages, mended so that it can be sent.
    pub fn recover(&mut self) {
        let messages = self.messages.drain(..).map(|(_, message)| message).collect();
        let repairs;
        (self.conversation, repairs) = Conversation::recover(messages);
        self.mended |= self.moved || !repairs.is_empty();
        self.told.extend(repairs.iter().take(FAULTS).map(ToString::to_string));
    }

    fn see(&mut self, line: Result<journal::Record<Line>, BadLine>, until: Option<u64>) {
        let line = match line {
            Ok(line) => line,
            Err(BadLine { offset, why, .. }) => return self.fault(format!("byte {offset}: {why}")),
        };
        self.good = line.end;
        let (bytes, Line { n, turn, masked, record }) = (line.end - line.begin, line.value);
        if until.is_some_and(|until| turn > until) {
            return;
        }
        if n.saturating_sub(self.last) >> 32 > 0 || !self.seen.insert(n) {
            return self.fault(format!("line {n}, which does not belong there"));
        }
        if n != self.last + 1 {
            self.moved = true;
            self.fault(format!("what stood between line {} and line {n}", self.last));
        }
        (self.last, self.turns) = (n.max(self.last), turn);
        match record {
            Record::Session(header) => (self.title, self.header) = (header.title.clone(), header),
            Record::Title { title } => self.title = title,
            Record::Unknown => self.fault(format!("line {n}, of an unknown kind")),
            Record::Message(message) => self.add(bytes, masked, message),
            Record::Replaced { messages } => {
                // Whatever went wrong before is over: this is the history, whole.
                self.messages.clear();
                self.told.clear();
                (self.bytes, self.moved, self.mended) = (0, false, false);
                let share = bytes / messages.len().max(1) as u64;
                messages.into_iter().for_each(|message| self.add(share, masked, message));
            }
        }
    }

    fn add(&mut self, bytes: u64, masked: bool, mut message: Message) {
        self.moved |= masked;
        message.content.retain(|block| !(self.moved && block.is_thinking()));
        self.messages.push_back((bytes, message));
        self.bytes += bytes;
        while self.bytes > MOST && self.messages.len() > 1 {
            self.bytes -= self.messages.pop_front().map_or(0, |(bytes, _)| bytes);
            self.moved = true;
            self.fault("the oldest messages: more than can be held".to_owned());
        }
    }

    fn fault(&mut self, what: String) {
        self.mended = true;
        let what = format!("left out: {what}");
        if self.told.len() < FAULTS && self.told.last() != Some(&what) {
            self.told.push(what);
        }
    }
}

/// What the human said first: one short line, for a title.
pub(crate) fn first_words<'a>(messages: impl IntoIterator<Item = &'a Message>) -> String {
    let mut said = messages.into_iter().filter(|it| it.role == Role::User).map(Message::text);
    cut(&text::line(&said.find(|text| !text.trim().is_empty()).unwrap_or_default()), TITLE)
}
