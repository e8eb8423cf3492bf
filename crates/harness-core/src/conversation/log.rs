//! The log of an agent without a user: what it says and does, in a file of its own, while it happens.
//!
//! The conversation of a subagent, a teammate or a worker is gone when it has ended; the log is what is left to
//! look at, also after a crash. (A conversation that a user resumes needs more: that is a session's own store.)

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::conversation::message::Message;
use crate::conversation::{Conversation, Extent};
use crate::host::journal::{Journal, JournalError};
use crate::host::mutex::Mutex;
use crate::host::workspace::{Workspace, WorkspaceError};

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
    /// Begins a record in a folder below the workspace's `.harness`, under the first number that is
    /// free. The new file is the claim: of two processes only one can make it.
    ///
    /// # Errors
    /// The workspace cannot be written, or a link leads out of it.
    pub fn begin(cwd: &Path, folder: &str, kind: &str) -> Result<Self, WorkspaceError> {
        let workspace = Workspace::open(cwd)?;
        let mut number = 1;
        loop {
            let (name, path) = Self::place(&workspace, folder, &format!("{kind}-{number}"))?;
            let file = workspace.absolute(&path);
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(source) => return Err(WorkspaceError::Io { action: "write", path, source }),
                Ok(_) => {
                    let (journal, written) = (Journal::new(file), Mutex::default());
                    return Ok(Self { name, path, journal, written });
                }
            }
        }
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
        let (name, path) = Self::place(&workspace, folder, name)?;
        let journal: Journal<Message> = Journal::new(workspace.absolute(&path));
        let lines = journal.read()?;
        if let Some(bad) = lines.bad.first() {
            let why = format!(
                "line {} is damaged ({}); mend it or move the file away",
                bad.line, bad.why
            );
            let source = io::Error::new(io::ErrorKind::InvalidData, why);
            return Err(WorkspaceError::Io { action: "go on with", path, source }.into());
        }
        let messages = lines.records.into_iter().map(|record| record.value).collect();
        let (conversation, _) = Conversation::recover(messages);
        let written = Mutex::new(conversation.extent());
        Ok((Self { name, path, journal, written }, conversation))
    }

    /// The file of this name, in a folder that is there now.
    fn place(
        workspace: &Workspace,
        folder: &str,
        name: &str,
    ) -> Result<(String, PathBuf), WorkspaceError> {
        workspace.state_dir()?;
        let folder = workspace.resolve(Path::new(".harness").join(folder))?;
        let failed = |source| WorkspaceError::Io { action: "write", path: folder.clone(), source };
        fs::create_dir_all(workspace.absolute(&folder)).map_err(failed)?;
        Ok((name.to_owned(), folder.join(format!("{name}.jsonl"))))
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
