//! Bytes to events: server-sent events as the WHATWG standard ("Server-sent events", section 9.2.6)
//! describes them, and nothing of the Messages API.
//!
//! Pure: no clock, no network. Whatever the chunks, the events are the same. Lines end in `\n`, `\r`
//! or `\r\n`; a byte order mark is skipped; lines that begin with `:` are comments; several `data:`
//! lines are joined by `\n`; bytes that are not UTF-8 become U+FFFD; an event that the end of the
//! stream cuts off is no event. An event without an `event:` line is one all the same, because
//! proxies lose that line and the data says what it is.

use std::borrow::Cow;
use std::ops::Range;

/// The longest event that is read, in bytes.
pub const LONGEST: usize = 16 * 1024 * 1024;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// One event, borrowed from the decoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// What the `event:` line said; "" without one.
    pub name: Cow<'a, str>,
    /// The data lines, joined.
    pub data: Cow<'a, str>,
}

/// An event is longer than [`LONGEST`]: this is no event stream, or a hostile one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event is longer than {} MiB", LONGEST / 1024 / 1024)]
pub struct TooLong;

/// Takes chunks of bytes, gives events.
///
/// ```
/// use harness_core::model::anthropic::sse::Decoder;
/// let mut decoder = Decoder::default();
/// decoder.feed(b"event: ping\nda");
/// assert_eq!(decoder.next_event(), Ok(None));
/// decoder.feed(b"ta: {}\n\n");
/// assert_eq!(decoder.next_event().unwrap().unwrap().data, "{}");
/// ```
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    /// Where the event under way begins in `bytes`; all other positions count from here.
    start: usize,
    /// Where the line under way begins.
    line: usize,
    /// No line end before this: a long line that comes in many chunks is searched once.
    searched: usize,
    /// The last line ended in `\r`; a `\n` that follows belongs to it.
    after_cr: bool,
    begun: bool,
    name: Range<usize>,
    data: Option<Range<usize>>,
    /// Holds the data instead once there are two lines of it. Nearly no event has two.
    joined: Option<Vec<u8>>,
}

impl Decoder {
    /// Takes the next chunk, of any size. Then ask [`Decoder::next_event`] until there is none.
    pub fn feed(&mut self, chunk: &[u8]) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(chunk);
    }

    /// How many bytes wait for the rest of their event.
    pub fn waiting(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// The next complete event, or `None` until more bytes come.
    ///
    /// # Errors
    /// An event is too long. What follows is not to be trusted.
    pub fn next_event(&mut self) -> Result<Option<Event<'_>>, TooLong> {
        if self.data.is_none() {
            self.joined = None; // the last event's, which has been read by now
        }
        let Some(end) = self.complete()? else { return Ok(None) };
        let event = &self.bytes[self.start..self.start + end];
        self.start += end;
        (self.line, self.searched) = (0, 0);
        let name = text(&event[std::mem::take(&mut self.name)]);
        let data = self.data.take().unwrap_or_default();
        let data = match &self.joined {
            Some(joined) => text(joined),
            None => text(&event[data]),
        };
        Ok(Some(Event { name, data }))
    }

    /// Reads lines until a blank one ends an event. Says where that was.
    fn complete(&mut self) -> Result<Option<usize>, TooLong> {
        loop {
            let bytes = &self.bytes[self.start..];
            if self.after_cr && self.line < bytes.len() {
                self.after_cr = false;
                self.line += usize::from(bytes[self.line] == b'\n');
                self.searched = self.line;
            }
            let found = memchr::memchr2(b'\n', b'\r', &bytes[self.searched..]);
            self.searched = found.map_or(bytes.len(), |at| self.searched + at + 1);
            let end = self.searched - usize::from(found.is_some());
            if end > LONGEST {
                return Err(TooLong);
            }
            if found.is_none() {
                return Ok(None);
            }
            self.after_cr = bytes[end] == b'\r';
            let mut line = self.line..end;
            self.line = self.searched;
            if !self.begun {
                self.begun = true;
                line.start += BOM.len() * usize::from(bytes[line.clone()].starts_with(BOM));
            }
            if !line.is_empty() {
                self.field(line);
            } else if self.data.is_some() {
                return Ok(Some(self.line));
            } else {
                self.name = 0..0; // an event without data is none
            }
            if self.data.is_none() && self.name.is_empty() {
                // Nothing kept so far: comments and blank lines do not pile up.
                self.start += self.line;
                self.name = 0..0; // it may be the empty place behind `event:`, which is gone now
                (self.line, self.searched) = (0, 0);
            }
        }
    }

    fn field(&mut self, line: Range<usize>) {
        let bytes = &self.bytes[self.start..];
        let value = |field: &[u8]| {
            let rest = bytes[line.clone()].strip_prefix(field)?;
            match rest {
                [] => Some(line.end..line.end),
                [b':', b' ', ..] => Some(line.start + field.len() + 2..line.end),
                [b':', ..] => Some(line.start + field.len() + 1..line.end),
                _ => None,
            }
        };
        if let Some(more) = value(b"data") {
            match &self.data {
                None => self.data = Some(more),
                Some(first) => {
                    let joined = self.joined.get_or_insert_with(|| bytes[first.clone()].to_vec());
                    joined.push(b'\n');
                    joined.extend_from_slice(&bytes[more]);
                }
            }
        } else if let Some(name) = value(b"event") {
            self.name = name;
        } // `id` and `retry` are for reconnecting, which nobody can here
    }
}

fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
