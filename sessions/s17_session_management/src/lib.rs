#![doc = include_str!("../README.md")]
//!
//! Next page: [s18 · Parallel tools](../s18_parallel_tools/index.html)

mod commands;
mod file;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use harness_app::Lesson;
use harness_cli::cut;
use harness_core::host::journal::JournalError;
use harness_core::host::own_paths;
use harness_core::host::workspace::{Entry, Workspace, WorkspaceError, files};
use harness_core::host::{ids, text};
use harness_core::{
    Agent, AgentError, Conversation, Hook, HookContext, Identity, Mechanism, Mutex, Secrets,
};

pub use commands::{Flags, join};
pub use file::{Header, Past};

use file::{Open, Record, TITLE, VERSION, first_words};

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
    cwd: PathBuf,
    secrets: Secrets,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Which conversation the open file holds: `:save` puts another one into a file of its own.
    ours: Option<Identity>,
    open: Option<Open>,
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

impl SessionStore {
    /// Will keep what this agent says, in its directory. Nothing is made before something is said.
    pub fn new(agent: &Agent) -> Self {
        Self { cwd: agent.cwd.clone(), secrets: agent.secrets.clone(), state: Arc::default() }
    }

    /// The session that is open.
    pub fn current(&self) -> Option<String> {
        self.state.lock().open.as_ref().map(|open| open.id.clone())
    }

    /// Goes on with a session. From here on this store keeps the conversation that is returned, and no
    /// longer the one before.
    ///
    /// # Errors
    /// There is no such session, it cannot be read, or it is open elsewhere; nothing has changed then.
    pub fn resume(&self, id: &str) -> Result<Past> {
        let id = self.find(id)?;
        if self.current().as_ref() == Some(&id) {
            return refused(format!("session {id} is the one you are in"));
        }
        self.enter(Open::take(self.path(&id), id)?)
    }

    /// Copies a session up to a turn, all of it unless told, and goes on with the copy.
    ///
    /// # Errors
    /// As in [`SessionStore::resume`], or there is no such turn.
    pub fn fork(&self, id: &str, turn: Option<u64>) -> Result<Past> {
        let id = self.find(id)?;
        let past = Past::read(&self.path(&id), turn)?;
        let turn = turn.unwrap_or(past.turns);
        if past.turns < turn || past.messages().next().is_none() {
            let parent =
                past.header.parent.map_or(String::new(), |(id, _)| format!(" (a fork of {id})"));
            return refused(format!("session {id}{parent} holds no turn {turn}"));
        }
        let mut copy = self.create(past.title.clone(), Some((id, turn)))?;
        // Turns keep their numbers, also where the first ones were folded into a summary.
        copy.turns = turn.saturating_sub(past.messages().map(|it| it.prompts() as u64).sum());
        copy.append(past.messages().cloned().map(Record::Message).collect(), &self.secrets)?;
        let mut forked = self.enter(copy)?;
        forked.told.extend(past.told);
        Ok(forked)
    }

    /// Gives the session another title.
    ///
    /// # Errors
    /// There is none yet, or it cannot be written.
    pub fn title(&self, title: &str) -> Result<()> {
        let title = Record::Title { title: cut(&text::line(title), TITLE) };
        match &mut self.state.lock().open {
            None => refused("there is no session yet; it begins with the first prompt".to_owned()),
            Some(open) => open.append(vec![title], &self.secrets),
        }
    }

    /// Keeps this conversation now; as a session of its own, if it is not the one that was kept.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&self, c: &Conversation) -> Result<()> {
        let mut state = self.state.lock();
        if state.ours.as_ref().is_some_and(|ours| *ours != c.identity()) {
            *state = State::default();
        }
        if state.open.is_none() && first_words(c.messages()).is_empty() {
            return Ok(()); // nothing is said yet
        }
        self.write(&mut state, c)
    }

    /// The sessions of this folder, the one that was used last first.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn list(&self) -> Result<Vec<Entry>> {
        Ok(files(own_paths::SESSIONS.in_workspace(&self.cwd), ".jsonl")?)
    }

    /// The one session whose id begins like this.
    ///
    /// # Errors
    /// There is none, or there are several.
    pub fn find(&self, id: &str) -> Result<String> {
        let mut list = self.list()?;
        let place = ids::find(id, list.iter().map(|file| file.name.as_str()));
        let place = place.or_else(|why| refused(format!("{why}; :sessions lists them")))?;
        Ok(list.swap_remove(place).name)
    }

    /// Where a session is kept.
    pub fn path(&self, id: &str) -> PathBuf {
        own_paths::SESSIONS.in_workspace(&self.cwd).join(format!("{id}.jsonl"))
    }

    fn write(&self, state: &mut State, c: &Conversation) -> Result<()> {
        if state.open.is_none() {
            state.open = Some(self.create(first_words(c.messages()), None)?);
        }
        state.ours = Some(c.identity());
        state.open.as_mut().map_or(Ok(()), |open| open.keep(c, &self.secrets))
    }

    /// A new session, with its first line.
    fn create(&self, title: String, parent: Option<(String, u64)>) -> Result<Open> {
        Workspace::open(&self.cwd)?.own_dir(own_paths::SESSIONS.name)?;
        let id = ids::fresh(|id| self.path(id).exists());
        let mut open = Open::take(self.path(&id), id.clone())?;
        let created = jiff::Timestamp::now().to_string();
        let cwd = self.cwd.display().to_string();
        let header = Header { version: VERSION, id, title, created, cwd, parent };
        open.append(vec![Record::Session(header)], &self.secrets)?;
        Ok(open)
    }

    /// Goes on with a session that nobody else has open.
    fn enter(&self, mut open: Open) -> Result<Past> {
        let mut past = open.read(&self.secrets)?;
        let begun = &past.header.cwd;
        if begun.starts_with('/') && *begun != self.cwd.to_string_lossy() {
            past.told.push(format!("it was begun in {begun}; it goes on here"));
        }
        *self.state.lock() = State { ours: Some(past.conversation.identity()), open: Some(open) };
        Ok(past)
    }
}

#[async_trait]
impl Hook for SessionStore {
    /// Blocks until it is on disk, a few milliseconds: that is the promise.
    async fn persist(&self, c: &Conversation, _: &HookContext<'_>) -> Result<(), AgentError> {
        let mut state = self.state.lock();
        if state.ours.as_ref().is_some_and(|ours| *ours != c.identity()) {
            return Ok(()); // another conversation of this agent: `:save` gives it a file of its own
        }
        let written = self.write(&mut state, c);
        written.map_err(|why| AgentError::Fatal(format!("the session cannot be kept: {why}")))
    }
}

fn refused<T>(why: String) -> Result<T> {
    Err(SessionError::Refused(why))
}
