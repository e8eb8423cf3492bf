//! Append-only JSON lines: sessions, mailboxes, event logs.
//!
//! One record is one line. A record counts once its line end is on disk. A crash can leave at most one torn
//! line at the end, which is reported and never joined to the next record. A damaged line is reported and
//! skipped; the others are kept. Nothing is ever rewritten, so a reader needs only an offset to continue from
//! ([`Cursor`]).
//!
//! All calls block: an append waits a few milliseconds for the disk. Async code that cannot afford that goes
//! through `spawn_blocking`. A real product also rotates: it starts a new file at some size and drops the
//! oldest.

mod cursor;

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    marker::PhantomData,
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;
use serde::{Serialize, de::DeserializeOwned};

pub use self::cursor::{Cursor, CursorPosition};
use crate::host::workspace::{Share, WorkspaceError, lock};

/// The most bytes of one line. A longer one is refused on writing and reported as damaged on reading.
pub const LINE_LIMIT: usize = 32 * 1024 * 1024;

/// The most bytes of a torn line that are returned.
const MAX_TORN_BYTES: usize = 4096;

/// A file of records of one type. Holds no open file, so a clone is cheap, many may be used at once, and
/// after the file was moved away the next append begins a new one.
pub struct Journal<T> {
    path: PathBuf,
    synced: bool,
    records: PhantomData<fn(T) -> T>,
}

/// What was read.
#[derive(Debug, Clone)]
pub struct Lines<T> {
    /// The good records, oldest first.
    pub records: Vec<Record<T>>,
    /// The damaged lines.
    pub bad: Vec<BadLine>,
    /// Text at the end without a line end: a write that a crash cut short. Not a record, even if
    /// it looks whole; it becomes a line of its own with the next append.
    pub torn: Option<Torn>,
    /// Where reading continues: behind the last whole line, good or damaged.
    pub end: u64,
}

/// The end of what was visited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// See [`Lines::torn`].
    pub torn: Option<Torn>,
    /// See [`Lines::end`].
    pub end: u64,
}

/// One record and its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<T> {
    /// Where its line begins, in bytes from the start of the file.
    pub begin: u64,
    /// Where the next line begins, in bytes from the start of the file: the cursor once this is handled.
    pub end: u64,
    /// The record.
    pub value: T,
}

/// A line that is not a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// Its number, counted from 1 where reading began.
    pub line: u64,
    /// Where the line begins, in bytes from the start of the file.
    pub offset: u64,
    /// What is wrong with it.
    pub why: String,
}

/// The remains of a write that was cut short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// Where it begins, in bytes from the start of the file.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u64,
    /// Its first 4096 bytes at most.
    pub bytes: Vec<u8>,
}

/// Why a journal could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The file could not be opened, locked, read or replaced.
    #[error(transparent)]
    File(#[from] WorkspaceError),
    /// A record has no JSON form. Nothing was written.
    #[error("cannot write a record to {path:?} as JSON: {source}")]
    Record {
        /// The journal.
        path: PathBuf,
        /// Why not.
        source: serde_json::Error,
    },
    /// A record is too long. Nothing was written.
    #[error("a record of {len} bytes is too long for {path:?}; the limit is {LINE_LIMIT}")]
    TooLong {
        /// The journal.
        path: PathBuf,
        /// Its length in bytes.
        len: usize,
    },
    /// No record begins there.
    #[error("no record of {path:?} begins at byte {offset} (it has {len}); read it from 0")]
    Offset {
        /// The journal.
        path: PathBuf,
        /// The offset that was asked for.
        offset: u64,
        /// The length of the journal.
        len: u64,
    },
}

type Result<T, E = JournalError> = std::result::Result<T, E>;

impl<T> Journal<T> {
    /// Names a journal. The file is made by the first append, its folder must exist by then.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), synced: true, records: PhantomData }
    }

    /// Appends no longer wait for the disk. The end of the program loses nothing, however it ends; a power
    /// cut may lose the last records. For logs that nothing else depends on.
    #[must_use]
    pub fn unsynced(self) -> Self {
        Self { synced: false, ..self }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// An error of this file in the words of the workspace module.
    fn failed(&self, action: &'static str) -> impl Fn(io::Error) -> JournalError {
        let path = self.path.clone();
        move |source| WorkspaceError::Io { action, path: path.clone(), source }.into()
    }
}

impl<T: Serialize> Journal<T> {
    /// Adds one record; it is on disk when this returns, unless the journal is [`unsynced`](Self::unsynced).
    /// Returns the new length of the file.
    ///
    /// # Errors
    /// On any error, a full disk included, the journal holds what it held before.
    pub fn append(&self, record: &T) -> Result<u64> {
        self.append_all([record])
    }

    /// Adds several records with one write and one sync. (A crash in the middle can leave the first few.)
    /// Returns the new length of the file.
    ///
    /// # Errors
    /// [`JournalError::TooLong`] or [`JournalError::Record`] for a record that cannot be written,
    /// [`WorkspaceError::Locked`] when another writer keeps the lock for 30 seconds; else the system's. None
    /// of the records is added.
    pub fn append_all<'a>(&self, records: impl IntoIterator<Item = &'a T>) -> Result<u64>
    where
        T: 'a,
    {
        // The first byte ends a torn line, if there is one; otherwise it is skipped.
        let mut text = vec![b'\n'];
        for record in records {
            let begin = text.len();
            serde_json::to_writer(&mut text, record)
                .map_err(|source| JournalError::Record { path: self.path.clone(), source })?;
            // Raw values may be laid out over several lines. Inside a string JSON has no bare
            // line end, so outside of one it is white space like any other.
            text[begin..].iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b' ');
            let len = text.len() - begin;
            if len > LINE_LIMIT {
                return Err(JournalError::TooLong { path: self.path.clone(), len });
            }
            text.push(b'\n');
        }
        let failed = self.failed("append to");
        let (mut file, old) = self.open_alone()?;
        let mut last = [b'\n'];
        if old > 0 {
            file.read_exact_at(&mut last, old - 1).map_err(&failed)?;
        }
        let text = if last == *b"\n" { &text[1..] } else { &text[..] };
        if text.len() <= 1 {
            return Ok(old);
        }
        let sync = |file: &File| if self.synced { file.sync_all() } else { Ok(()) };
        if let Err(error) = file.write_all(text).and_then(|()| sync(&file)) {
            // Half a record would be read as torn, so nothing of it stays. We still hold the lock.
            let _ = file.set_len(old);
            return Err(failed(error));
        }
        if old == 0 {
            // The file may be new; then its name must reach the disk too.
            let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = File::open(folder.unwrap_or(Path::new(".")));
            folder.and_then(|folder| sync(&folder)).map_err(failed)?;
        }
        Ok(old + text.len() as u64)
    }

    /// The locked file and its length. It is opened anew each time: a lock belongs to one open file, so it
    /// would not keep out another thread that uses the same one.
    fn open_alone(&self) -> Result<(File, u64)> {
        let failed = self.failed("append to");
        loop {
            let mut options = File::options();
            options.read(true).append(true).create(true).mode(0o600);
            let (file, _) = self.open_regular(&mut options).map_err(&failed)?;
            lock(&file, &self.path, Share::Alone)?;
            let mine = file.metadata().map_err(&failed)?;
            // Somebody may have moved the file away while we waited for the lock.
            match fs::metadata(&self.path) {
                Ok(now) if (now.dev(), now.ino()) == (mine.dev(), mine.ino()) => {
                    return Ok((file, mine.len()));
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            }
        }
    }
}

impl<T> Journal<T> {
    fn open_regular(&self, options: &mut fs::OpenOptions) -> io::Result<(File, fs::Metadata)> {
        // NONBLOCK: a named pipe is not waited for.
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = options.custom_flags(flags.bits().cast_signed()).open(&self.path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok((file, metadata))
    }

    /// The file and the length of its finished part; `None` when it does not exist. The lock is held only
    /// while the length is read: finished lines never change, so no writer waits for a slow reader, and a
    /// write in progress is not mistaken for a torn line.
    fn open_settled(&self) -> Result<Option<(File, u64)>> {
        let failed = self.failed("read");
        let file = match self.open_regular(File::options().read(true)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(&failed)?.0,
        };
        lock(&file, &self.path, Share::Readers)?;
        let len = file.metadata().map_err(&failed)?.len();
        file.unlock().map_err(&failed)?;
        Ok(Some((file, len)))
    }

    /// True when a line begins, or the file ends, at this offset.
    fn begins_at(&self, file: &File, offset: u64, len: u64) -> Result<bool> {
        let mut before = [b'\n'];
        if offset > 0 && offset <= len {
            file.read_exact_at(&mut before, offset - 1).map_err(self.failed("read"))?;
        }
        Ok(offset <= len && before == *b"\n")
    }

    fn misplaced(&self, offset: u64, len: u64) -> JournalError {
        JournalError::Offset { path: self.path.clone(), offset, len }
    }
}

impl<T: DeserializeOwned> Journal<T> {
    /// Reads all records. A file that does not exist has none.
    ///
    /// # Errors
    /// The file cannot be opened, locked or read, or is not a regular file. A damaged line is not an error:
    /// see [`Lines::bad`].
    pub fn read(&self) -> Result<Lines<T>> {
        self.read_from(0)
    }

    /// Reads the records from an offset on: 0, or the `end` of a record or of an earlier read.
    ///
    /// # Errors
    /// Those of [`Journal::read`], and [`JournalError::Offset`] when no line begins there: the file is not
    /// the one that the offset was taken from.
    pub fn read_from(&self, offset: u64) -> Result<Lines<T>> {
        let mut records = Vec::new();
        let mut bad = Vec::new();
        let Tail { torn, end } = self.visit(offset, |line| match line {
            Ok(record) => records.push(record),
            Err(line) => bad.push(line),
        })?;
        Ok(Lines { records, bad, torn, end })
    }

    /// As [`Journal::read_from`], but line by line and without keeping them, for a file of any size.
    ///
    /// # Errors
    /// Those of [`Journal::read_from`].
    pub fn visit(
        &self,
        offset: u64,
        mut see: impl FnMut(Result<Record<T>, BadLine>),
    ) -> Result<Tail> {
        let mut end = offset;
        let Some((mut file, len)) = self.open_settled()? else {
            let nothing = Tail { torn: None, end };
            return if offset == 0 { Ok(nothing) } else { Err(self.misplaced(offset, 0)) };
        };
        if !self.begins_at(&file, offset, len)? {
            return Err(self.misplaced(offset, len));
        }
        let failed = self.failed("read");
        file.seek(SeekFrom::Start(offset)).map_err(&failed)?;
        let mut text = BufReader::with_capacity(64 * 1024, file.take(len - offset));
        let mut line = Vec::new();
        let mut number = 0;
        loop {
            let begin = end;
            let read = next_line(&mut text, &mut line).map_err(&failed)?;
            let Some((length, ended)) = read else { return Ok(Tail { torn: None, end }) };
            number += 1;
            if !ended {
                line.truncate(MAX_TORN_BYTES);
                let torn = Some(Torn { offset: begin, len: length, bytes: line });
                return Ok(Tail { torn, end });
            }
            end += length;
            if line.trim_ascii().is_empty() && length <= LINE_LIMIT as u64 {
                continue;
            }
            see(match parse(&line, length) {
                Ok(value) => Ok(Record { begin, end, value }),
                Err(why) => Err(BadLine { line: number, offset: begin, why }),
            });
        }
    }
}

/// The next line, up to the limit, its whole length in the file, and whether it has a line end.
fn next_line(text: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<(u64, bool)>> {
    line.clear();
    let mut length = text.by_ref().take(LINE_LIMIT as u64 + 1).read_until(b'\n', line)? as u64;
    if length == 0 {
        return Ok(None);
    }
    let mut ended = line.last() == Some(&b'\n');
    while !ended {
        // Longer than any record: the rest is counted, not kept.
        let piece = text.fill_buf()?;
        if piece.is_empty() {
            break;
        }
        let end = piece.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(piece.len(), |end| end + 1);
        ended = end.is_some();
        length += taken as u64;
        text.consume(taken);
    }
    Ok(Some((length, ended)))
}

fn parse<T: DeserializeOwned>(line: &[u8], length: u64) -> Result<T, String> {
    if length > LINE_LIMIT as u64 + 1 {
        return Err(format!("{length} bytes, longer than any record"));
    }
    if line.contains(&0) {
        return Err("NUL bytes, as a file system leaves them after a crash".to_owned());
    }
    let text = std::str::from_utf8(line).map_err(|error| format!("no UTF-8: {error}"))?;
    serde_json::from_str(text).map_err(|error| format!("no record: {error}"))
}

impl<T> Clone for Journal<T> {
    fn clone(&self) -> Self {
        Self { path: self.path.clone(), ..*self }
    }
}

impl<T> std::fmt::Debug for Journal<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Journal").field(&self.path).finish()
    }
}
