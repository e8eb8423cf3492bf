//! How far a reader of a journal has come, saved beside it.

use std::{fs, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{Journal, Result};
use crate::host::workspace;
use crate::host::workspace::WorkspaceError;

/// How far one reader of a journal has come: a small state file beside it.
#[derive(Debug, Clone)]
pub struct Cursor {
    path: PathBuf,
}

/// Where a reader continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorPosition {
    /// For [`Journal::read_from`].
    pub offset: u64,
    /// Set when the cursor was damaged or did not fit the journal: what was wrong, and where its bytes are
    /// now. Reading begins again at 0, so records may be seen twice. Show it to the user.
    pub rebuilt: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    offset: u64,
}

impl Cursor {
    /// Names a cursor. The file is made by the first [`Cursor::save`].
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The saved position in this journal, 0 when none was saved. A cursor that is damaged, or that points
    /// to where no record begins, is set aside as `<name>.damaged` (the last such file is kept).
    ///
    /// # Errors
    /// The cursor or the journal cannot be read or locked, or a damaged cursor cannot be moved. A damaged
    /// cursor is not an error: see [`CursorPosition::rebuilt`].
    pub fn load<T>(&self, journal: &Journal<T>) -> Result<CursorPosition> {
        let start = CursorPosition { offset: 0, rebuilt: None };
        let Some(bytes) = workspace::read(&self.path)? else { return Ok(start) };
        let why = match serde_json::from_slice::<Saved>(&bytes) {
            Ok(Saved { offset }) => {
                let fits = match journal.open_settled()? {
                    Some((file, len)) => journal.begins_at(&file, offset, len)?,
                    None => offset == 0,
                };
                if fits {
                    return Ok(CursorPosition { offset, rebuilt: None });
                }
                format!("no record of {:?} begins at byte {offset}", journal.path)
            }
            Err(error) => error.to_string(),
        };
        let mut aside = self.path.clone().into_os_string();
        aside.push(".damaged");
        let aside = PathBuf::from(aside);
        fs::rename(&self.path, &aside).map_err(|source| WorkspaceError::Io {
            action: "set aside",
            path: self.path.clone(),
            source,
        })?;
        let cursor = &self.path;
        let told = format!("cursor {cursor:?} is damaged ({why}); kept as {aside:?}, read from 0");
        Ok(CursorPosition { offset: 0, rebuilt: Some(told) })
    }

    /// Saves a position atomically. Call it only when everything before the position was handled.
    ///
    /// # Errors
    /// The cursor cannot be written; the old position stays, so records may be seen twice.
    pub fn save(&self, offset: u64) -> Result<()> {
        Ok(workspace::replace(&self.path, format!("{{\"offset\":{offset}}}\n").as_bytes())?)
    }
}
