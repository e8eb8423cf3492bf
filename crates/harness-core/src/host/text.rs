//! Text on its way to a screen or a model: control sequences out, long text clipped.
//!
//! Whatever a model, a file or a command says is shown to a human sooner or later, and a terminal
//! obeys what it is shown: an escape sequence can hide a line, set the clipboard or rename the
//! window. [`strip`] takes all of that out; [`visible`] shows it instead, where somebody must judge
//! the text (a permission question).

use std::{borrow::Cow, cmp::Reverse, collections::VecDeque};

/// Removes terminal control sequences and control characters; `\n` and `\t` stay, `\r\n` and a
/// lone `\r` become `\n`. Borrowed when there is nothing to do.
pub fn strip(text: &str) -> Cow<'_, str> {
    if !has_controls(text) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(Stripper::default().push(text))
}

/// The words of a text on one line, without control sequences: for titles and tables.
pub fn line(text: &str) -> String {
    strip(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn has_controls(text: &str) -> bool {
    // C1 controls are U+0080..=U+009F, which UTF-8 writes as C2 80 ..= C2 9F.
    let mut before = 0;
    text.bytes().any(|byte| {
        let c1 = before == 0xC2 && byte <= 0x9F;
        before = byte;
        c1 || byte == 0x7F || (byte < 0x20 && byte != b'\n' && byte != b'\t')
    })
}

/// [`strip`] for text that arrives in pieces: a sequence may be cut anywhere between two pushes.
#[derive(Debug, Clone, Default)]
pub struct Stripper {
    state: State,
    /// The last character was `\r`, already turned to `\n`: a `\n` that follows belongs to it.
    after_return: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    /// After ESC.
    Escape,
    /// After ESC and an intermediate byte (`ESC ( B` and the like).
    Intermediate,
    /// Inside CSI parameters.
    Csi,
    /// Inside OSC, DCS, SOS, PM or APC, which end with ST (or BEL). Also with a line end, which a
    /// terminal would swallow: one stray byte of a binary file must not hide the rest of it.
    Text,
}

impl Stripper {
    /// The part of this piece that may be shown.
    pub fn push(&mut self, piece: &str) -> String {
        let mut shown = String::with_capacity(piece.len());
        for c in piece.chars() {
            let joined = c == '\n' && self.after_return;
            self.after_return = c == '\r';
            if joined {
                continue;
            }
            self.step(if c == '\r' { '\n' } else { c }, &mut shown);
        }
        shown
    }

    fn step(&mut self, c: char, shown: &mut String) {
        self.state = match (self.state, c) {
            // These begin or end a sequence in whatever state they are met, as in a terminal.
            (_, '\x1b') => State::Escape,
            (_, '\u{9b}') => State::Csi,
            (_, '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}') => State::Text,
            (_, '\x18' | '\x1a' | '\u{80}'..='\u{9f}') => State::Ground,
            (State::Text, '\x07') => State::Ground,
            (state, '\n' | '\t') => {
                shown.push(c);
                if state == State::Text && c == '\n' { State::Ground } else { state }
            }
            (state, '\0'..='\x1f' | '\x7f') => state,
            (State::Ground, c) => {
                shown.push(c);
                State::Ground
            }
            (State::Text, _) => State::Text,
            (State::Escape, '[') => State::Csi,
            (State::Escape, ']' | 'P' | 'X' | '^' | '_') => State::Text,
            (State::Escape | State::Intermediate, ' '..='/') => State::Intermediate,
            (State::Escape | State::Intermediate, '0'..='~') => State::Ground,
            (State::Csi, ' '..='?') => State::Csi,
            (State::Csi, '@'..='~') => State::Ground,
            // Beyond ASCII no sequence goes on: the character is text.
            (State::Escape | State::Intermediate | State::Csi, c) => {
                shown.push(c);
                State::Ground
            }
        };
    }
}

/// Shows what would be hidden: control characters as `\x1b`, `\r`, zero-width, direction and other
/// invisible characters as `\u{202e}`. `\n` and `\t` stay. For text that somebody must judge.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\r' => shown.push_str("\\r"),
            c if !is_hidden(c) => shown.push(c),
            c if c.is_ascii() => shown.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => shown.extend(c.escape_unicode()),
        }
    }
    Cow::Owned(shown)
}

/// True for a character that a reader cannot see or that changes how others are seen: controls
/// (but `\n` and `\t`), zero-width and direction marks, blanks that are no space, tags.
pub fn is_hidden(c: char) -> bool {
    matches!(c,
        '\0'..='\x08' | '\x0b'..='\x1f' | '\x7f'..='\u{a0}' | '\u{ad}' | '\u{34f}' | '\u{61c}'
        | '\u{115f}' | '\u{1160}' | '\u{1680}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}' | '\u{2800}'
        | '\u{3000}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Keeps the first `head` and the last `tail` bytes (at character boundaries) and says between them
/// how much was left out. Text that fits is borrowed whole.
pub fn clip(text: &str, head: usize, tail: usize) -> Cow<'_, str> {
    if text.len() <= head.saturating_add(tail) {
        return Cow::Borrowed(text);
    }
    let first = &text[..text.floor_char_boundary(head)];
    let last = &text[text.ceil_char_boundary(text.len() - tail)..];
    let left_out = &text[first.len()..text.len() - last.len()];
    Cow::Owned(join(first, last, left_out.len() as u64, count_lines(left_out.as_bytes())))
}

fn join(head: &str, tail: &str, bytes: u64, lines: u64) -> String {
    let line_end = if head.is_empty() || head.ends_with('\n') { "" } else { "\n" };
    let s = if lines == 1 { "" } else { "s" };
    format!("{head}{line_end}[… {bytes} bytes ({lines} line{s}) left out …]\n{tail}")
}

fn count_lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// Collects bytes of any number in bounded memory: keeps the first and the last of them.
#[derive(Debug, Clone)]
pub struct Clipper {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    head_limit: usize,
    tail_limit: usize,
    total: u64,
    lines: u64,
}

impl Clipper {
    /// Keeps at most `head` bytes from the start and `tail` bytes from the end.
    pub fn new(head: usize, tail: usize) -> Self {
        Self {
            head: Vec::new(),
            tail: VecDeque::new(),
            head_limit: head,
            tail_limit: tail,
            total: 0,
            lines: 0,
        }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        self.lines += count_lines(bytes);
        let room = (self.head_limit - self.head.len()).min(bytes.len());
        let (first, rest) = bytes.split_at(room);
        self.head.extend_from_slice(first);
        let rest = &rest[rest.len().saturating_sub(self.tail_limit)..];
        let surplus = (self.tail.len() + rest.len()).saturating_sub(self.tail_limit);
        self.tail.drain(..surplus);
        self.tail.extend(rest);
    }

    /// How many bytes were pushed.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// True when bytes were left out.
    pub fn is_cut(&self) -> bool {
        self.total > (self.head.len() + self.tail.len()) as u64
    }

    /// True when so many more bytes can be pushed without leaving any out.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        let limit = self.head_limit.saturating_add(self.tail_limit) as u64;
        self.total.saturating_add(bytes as u64) <= limit
    }

    /// What is held: the first bytes, then the last ones in two parts. All that was pushed, unless
    /// [`Clipper::is_cut`].
    pub fn kept(&self) -> [&[u8]; 3] {
        let (front, back) = self.tail.as_slices();
        [&self.head, front, back]
    }

    /// The text, in the form of [`clip`]. Invalid UTF-8 becomes U+FFFD; a character that the cut
    /// itself has split is left out whole.
    pub fn finish(mut self) -> String {
        if !self.is_cut() {
            self.head.extend(self.tail);
            return lossy(self.head);
        }
        let tail = self.tail.make_contiguous();
        let begun = tail.iter().take(4).take_while(|byte| *byte & 0xC0 == 0x80).count() % 4;
        let tail = &tail[begun..];
        let head = &self.head[..self.head.len() - unfinished(&self.head)];
        let bytes = self.total - (head.len() + tail.len()) as u64;
        let lines = self.lines - count_lines(head) - count_lines(tail);
        join(&String::from_utf8_lossy(head), &String::from_utf8_lossy(tail), bytes, lines)
    }
}

fn lossy(bytes: Vec<u8>) -> String {
    // Valid text, the usual case, is taken over without a copy.
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// How many bytes at the end begin a character that is not complete (0 to 3).
fn unfinished(bytes: &[u8]) -> usize {
    let last = &bytes[bytes.len().saturating_sub(4)..];
    let Some(start) = last.iter().rposition(|byte| byte & 0xC0 != 0x80) else { return 0 };
    match std::str::from_utf8(&last[start..]) {
        Err(error) if error.error_len().is_none() => last.len() - start,
        _ => 0,
    }
}

/// A number in groups of three: 1,000,000.
pub fn digits(number: u64) -> String {
    let digits = number.to_string();
    let mut groups: Vec<&[u8]> = digits.as_bytes().rchunks(3).collect();
    groups.reverse();
    String::from_utf8_lossy(&groups.join(&b","[..])).into_owned()
}

/// The up to three candidates that look most like `word`, best first: for "did you mean". Empty
/// when nothing is near. Case, `-` and `_` do not count.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let word = normalised(word);
    let mut near: Vec<(usize, &str)> = candidates
        .into_iter()
        .filter_map(|candidate| {
            let other = normalised(candidate);
            let short = word.len().min(other.len());
            let long = word.len().max(other.len());
            // Nobody mistypes names of this length, and the work grows with the square of it.
            if short == 0 || long > 100 {
                return None;
            }
            let within = long.div_ceil(3);
            let part = short >= 3 && (word.starts_with(&other) || other.starts_with(&word));
            match distance(&word, &other) {
                steps if steps <= within => Some((steps, candidate)),
                _ if part => Some((within, candidate)),
                _ => None,
            }
        })
        .collect();
    near.sort_by_key(|(steps, candidate)| (*steps, Reverse(candidate.len())));
    near.truncate(3);
    near.into_iter().map(|(_, candidate)| candidate).collect()
}

/// A word without what does not count in a comparison: case, `-` and `_`.
fn normalised(word: &str) -> Vec<char> {
    word.chars().filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).collect()
}

/// Edit distance where two neighbours that changed places count as one step.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let change = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = change.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        (before, above) = (above, row);
    }
    above[b.len()]
}
