#![doc = include_str!("../README.md")]

mod commands;
mod file;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use harness_cli::Lesson;
use harness_core::journal::JournalError;
use harness_core::workspace::{Workspace, WorkspaceError};
use harness_core::{
    Agent, AgentError, Conversation, Hook, Identity, Mechanism, Secrets, Turn, ids,
};

pub use commands::{Flags, sessions};
pub use file::{Header, Parent, Past};

use file::{Open, Record, VERSION, first_words, plain, prompts};

/// What the terminal is told of this session.
pub const LESSON: Lesson = Lesson {
    name: env!("CARGO_PKG_NAME"),
    motto: "A conversation is a file that only grows.",
    play: include_str!("../demo.yaml"),
};

/// The mechanism: keeps a conversation in `.sessions/<id>.jsonl`, an increment a line, before tools run
/// and before the next prompt shows. Clones share what is open.
#[derive(Clone, Debug)]
pub struct SessionStore {
    lead: String,
    cwd: PathBuf,
    folder: PathBuf,
    secrets: Secrets,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Which conversation is kept. An agent's clones have this hook too, and other conversations.
    ours: Option<Identity>,
    open: Option<Open>,
}

/// A session in a list.
#[derive(Debug)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// When it was last written to.
    pub changed: SystemTime,
    /// The length of its file.
    pub bytes: u64,
}

/// Why a session could not be kept or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// It cannot be done like this; the text says why.
    #[error("{0}")]
    Refused(String),
    /// The file could not be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The folder could not be used.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
}

type Result<T, E = SessionError> = std::result::Result<T, E>;

impl Mechanism for SessionStore {
    fn install(self, agent: &mut Agent) {
        agent.hooks.push(Arc::new(self));
    }
}

#[async_trait]
impl Hook for SessionStore {
    /// Blocks until it is on disk, a few milliseconds: that is the promise.
    async fn keep(&self, c: &Conversation, t: &Turn<'_>) -> Result<(), AgentError> {
        let mut state = self.lock();
        // The first conversation of the agent this was made for is ours, and no other: a subagent, a
        // worker or a summarizer may be a clone, with this hook and a history of its own.
        let ours = match &state.ours {
            Some(ours) => c.identity() == *ours,
            None => t.agent.name == self.lead,
        };
        if !ours {
            return Ok(());
        }
        let kept = self.write(&mut state, c);
        kept.map_err(|why| AgentError::Fatal(format!("the session cannot be kept: {why}")))
    }
}

impl SessionStore {
    /// Will keep what this agent says, in its directory. Nothing is made before something is said.
    pub fn new(agent: &Agent) -> Self {
        Self {
            lead: agent.name.clone(),
            cwd: agent.cwd.clone(),
            folder: agent.cwd.join(".sessions"),
            secrets: agent.secrets.clone(),
            state: Arc::default(),
        }
    }

    /// The session that is open.
    pub fn current(&self) -> Option<String> {
        self.lock().open.as_ref().map(|open| open.id.clone())
    }

    /// Goes on with a session. From here on this store keeps the conversation that is returned, and no
    /// longer the one before.
    ///
    /// # Errors
    /// There is no such session, it cannot be read, or it is open elsewhere; nothing has changed then.
    pub fn resume(&self, id: &str) -> Result<(Past, Conversation)> {
        let open = Open::take(&self.folder, self.find(id)?)?;
        self.enter(open)
    }

    /// Copies a session up to a turn, all of it unless told, and goes on with the copy.
    ///
    /// # Errors
    /// As in [`SessionStore::resume`], or there is no such turn.
    pub fn fork(&self, id: &str, turn: Option<u64>) -> Result<(Past, Conversation)> {
        let id = self.find(id)?;
        let past = Past::read(&self.path(&id), turn)?;
        let turn = turn.unwrap_or(past.turns);
        if past.messages.is_empty() || past.turns < turn {
            let parent = past.header.and_then(|header| header.parent);
            let hint = parent.map_or(String::new(), |it| format!("; it is a fork of {}", it.id));
            return refused(format!("session {id} holds no turn {turn}{hint}"));
        }
        let mut copy = self.create(past.title, Some(Parent { id, turn }))?;
        // Turns keep their numbers, also where the first ones were folded into a summary.
        copy.turns = turn.saturating_sub(past.messages.iter().map(prompts).sum());
        copy.append(past.messages.into_iter().map(Record::Message).collect(), &self.secrets)?;
        let (mut forked, conversation) = self.enter(copy)?;
        forked.told.extend(past.told);
        Ok((forked, conversation))
    }

    /// Gives the session another title.
    ///
    /// # Errors
    /// There is none yet, or it cannot be written.
    pub fn title(&self, title: &str) -> Result<()> {
        match &mut self.lock().open {
            None => refused("there is no session yet; it begins with the first prompt".to_owned()),
            Some(open) => open.append(vec![Record::Title { title: plain(title) }], &self.secrets),
        }
    }

    /// Keeps this conversation now; as a session of its own, if it is not the one that was kept.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&self, c: &Conversation) -> Result<()> {
        let mut state = self.lock();
        if state.ours.as_ref().is_some_and(|ours| *ours != c.identity()) {
            *state = State::default();
        }
        match first_words(c.messages()).is_empty() && state.open.is_none() {
            true => Ok(()), // nothing is said yet
            false => self.write(&mut state, c),
        }
    }

    /// The sessions of this folder, the one that was used last first. Regular files only: a link may lead
    /// to somebody's file, and sessions are appended to.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>> {
        let failed = |why| refusal(format!("cannot list {:?}: {why}", self.folder));
        match self.folder.symlink_metadata() {
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Ok(found) if !found.is_dir() => {
                return refused(format!("{:?} is no folder", self.folder));
            }
            found => found.map_err(failed)?,
        };
        let mut list = Vec::new();
        for entry in self.folder.read_dir().map_err(failed)?.flatten() {
            let (name, Ok(file)) = (entry.file_name(), entry.metadata()) else { continue };
            let id = name
                .to_str()
                .and_then(|name| name.strip_suffix(".jsonl"))
                .filter(|id| ids::is_id(id));
            if let (Some(id), true) = (id, file.is_file()) {
                let changed = file.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                list.push(Listed { id: id.to_owned(), changed, bytes: file.len() });
            }
        }
        list.sort_by(|a, b| b.changed.cmp(&a.changed).then_with(|| b.id.cmp(&a.id)));
        Ok(list)
    }

    /// The one session whose id begins like this.
    ///
    /// # Errors
    /// There is none, or there are several.
    pub fn find(&self, id: &str) -> Result<String> {
        let mut list = self.list()?;
        let found = ids::find(id, list.iter().map(|listed| listed.id.as_str()));
        Ok(list
            .swap_remove(found.map_err(|why| refusal(format!("{why}; :sessions lists them")))?)
            .id)
    }

    /// Where a session is kept.
    pub fn path(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.jsonl"))
    }

    fn write(&self, state: &mut State, c: &Conversation) -> Result<()> {
        if state.open.is_none() {
            state.open = Some(self.create(first_words(c.messages()), None)?);
        }
        state.ours = Some(c.identity());
        state.open.as_mut().map_or(Ok(()), |open| open.keep(c, &self.secrets))
    }

    /// A new session, with its first line.
    fn create(&self, title: String, parent: Option<Parent>) -> Result<Open> {
        let folder = Workspace::open(&self.cwd)?.own_dir(".sessions")?;
        let mut open = Open::take(&folder, ids::fresh(|id| self.path(id).exists()))?;
        let (id, created) = (open.id.clone(), jiff::Timestamp::now().to_string());
        let header = Header { version: VERSION, id, title, created, cwd: self.cwd.clone(), parent };
        open.append(vec![Record::Session(header)], &self.secrets)?;
        Ok(open)
    }

    /// Goes on with a session that nobody else has open.
    fn enter(&self, mut open: Open) -> Result<(Past, Conversation)> {
        let (mut past, conversation) = open.read(&self.secrets)?;
        if let Some(header) = past.header.as_ref().filter(|header| header.cwd != self.cwd) {
            let gone = if header.cwd.is_dir() { "" } else { ", which is gone" };
            let begun = header.cwd.display();
            past.told.push(format!("it was begun in {begun}{gone}; it goes on here"));
        }
        *self.lock() = State { ours: Some(conversation.identity()), open: Some(open) };
        Ok((past, conversation))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refusal(why: String) -> SessionError {
    SessionError::Refused(why)
}

fn refused<T>(why: String) -> Result<T> {
    Err(refusal(why))
}
