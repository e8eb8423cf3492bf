//! The log of an agent without a user: what it says and does, in a file of its own, while it happens.
//!
//! The conversation of a subagent, a teammate or a worker is gone when it has ended; the log is what is left to
//! look at, also after a crash. (A conversation that a user resumes needs more: that is a session's own store.)

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::conversation::message::Message;
use crate::conversation::{Conversation, Extent};
use crate::host::journal::{Journal, JournalError};
use crate::host::mutex::Mutex;
use crate::host::own_paths;
use crate::host::ownership::numbered::create_first_free;
use crate::host::workspace::{Workspace, WorkspaceError, error};

/// A record: messages as JSON lines. Install it as a hook of the one agent that it is for. What
/// [`Conversation::recover`] makes of its lines is the conversation. One that was folded or shortened is
/// written once more, as it is then: behind what it was, so that nothing is missing.
#[derive(Debug)]
pub struct ConversationLog {
    /// A name that no other record in its folder has: `subagent-1`. Fit for the agent's name.
    pub name: String,
    /// The file, relative to the workspace.
    pub path: PathBuf,
    journal: Journal<Message>,
    /// How much of the conversation the file holds.
    written: Mutex<Extent>,
}

impl ConversationLog {
    /// Begins a log in a folder below the workspace's `.harness`, under the first number that is free.
    ///
    /// # Errors
    /// The workspace cannot be written, or a link leads out of it.
    pub fn begin(cwd: &Path, folder: &str, kind: &str) -> Result<Self, WorkspaceError> {
        let workspace = Workspace::open(cwd)?;
        let folder = Self::folder(&workspace, folder)?;
        let name = |number: u64| format!("{kind}-{number}");
        let file = |number| workspace.absolute(&folder).join(file_name(&name(number)));
        let number = create_first_free(1, file)?;
        Ok(Self {
            name: name(number),
            path: folder.join(file_name(&name(number))),
            journal: Journal::new(file(number)),
            written: Mutex::default(),
        })
    }

    /// Goes on with the record of this name, or begins it, and returns what it holds. One process at a
    /// time: whoever calls this holds a lock of its own.
    ///
    /// # Errors
    /// Those of [`ConversationLog::begin`], or a line of the record is damaged. It is named, and nothing is changed.
    pub fn resume(
        cwd: &Path,
        folder: &str,
        name: &str,
    ) -> Result<(Self, Conversation), JournalError> {
        let workspace = Workspace::open(cwd)?;
        let path = Self::folder(&workspace, folder)?.join(file_name(name));
        let journal: Journal<Message> = Journal::new(workspace.absolute(&path));
        let lines = journal.read()?;
        if let Some(bad) = lines.bad.first() {
            let why =
                format!("line {} is damaged ({}); fix it or move the file away", bad.line, bad.why);
            let source = io::Error::new(io::ErrorKind::InvalidData, why);
            return Err(WorkspaceError::Io { action: "go on with", path, source }.into());
        }
        let messages = lines.records.into_iter().map(|record| record.value).collect();
        let (conversation, _) = Conversation::recover(messages);
        let written = Mutex::new(conversation.extent());
        let name = name.to_owned();
        Ok((Self { name, path, journal, written }, conversation))
    }

    /// A folder below `.harness`, relative to the workspace; made when it is missing.
    fn folder(workspace: &Workspace, folder: &str) -> Result<PathBuf, WorkspaceError> {
        workspace.state_dir()?;
        let folder = workspace.resolve(Path::new(own_paths::STATE.name).join(folder))?;
        let made = fs::create_dir_all(workspace.absolute(&folder));
        made.map_err(|source| error("write", &folder, source))?;
        Ok(folder)
    }

    /// The record as it is on disk.
    pub fn journal(&self) -> &Journal<Message> {
        &self.journal
    }

    /// Writes what the file does not hold of the conversation yet.
    ///
    /// # Errors
    /// It could not be written. What is missing is written the next time.
    pub fn write(&self, conversation: &Conversation) -> Result<(), JournalError> {
        let mut written = self.written.lock();
        let new = conversation.since(&written).unwrap_or_else(|| conversation.messages().to_vec());
        if !new.is_empty() {
            self.journal.append_all(&new)?;
        }
        *written = conversation.extent();
        Ok(())
    }
}

fn file_name(name: &str) -> String {
    format!("{name}.jsonl")
}
