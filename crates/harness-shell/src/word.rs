//! Reads shell words character by character: quotes and escapes understood, substitutions set apart.
//!
//! This is the second reader of a line. The first is a real bash grammar; a line is only understood
//! when both name the same commands (see `shell.rs`).

/// A character of a word, or a place that is filled at run time.
#[derive(Clone, Debug)]
pub(crate) enum Unit {
    Bare(char),
    Quoted(char),
    Var {
        name: String,
        quoted: bool,
    },
    Hole(String),
    /// `${x:-default}`: the default, which may or may not be used.
    Maybe(Vec<Unit>),
}

impl Unit {
    /// The character, if it is one that stands for itself.
    pub(crate) fn literal(&self) -> Option<char> {
        match self {
            Unit::Bare(c) | Unit::Quoted(c) => Some(*c),
            _ => None,
        }
    }
}

/// Reads words out of text. What it cannot read it says in `trouble`, and goes on as best it can.
#[derive(Debug)]
pub(crate) struct Lexer {
    pub(crate) chars: Vec<char>,
    pub(crate) at: usize,
    /// The text of each substitution met on the way.
    pub(crate) inner: Vec<String>,
    pub(crate) trouble: Option<&'static str>,
    /// A quote was never closed: from there on the rest is read as if there were none.
    unpaired: bool,
    depth: usize,
}

/// How deep expansions may stand in each other.
const DEEPEST: usize = 12;

impl Lexer {
    pub(crate) fn new(text: &str) -> Self {
        Self {
            chars: text.chars().collect(),
            at: 0,
            inner: Vec::new(),
            trouble: None,
            unpaired: false,
            depth: 0,
        }
    }

    pub(crate) fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    pub(crate) fn slice(&self, from: usize) -> String {
        self.chars.get(from..self.at).unwrap_or_default().iter().collect()
    }

    /// The next word, up to a blank or an operator outside quotes. Empty if one stands right here.
    pub(crate) fn word(&mut self) -> Vec<Unit> {
        let mut units = Vec::new();
        while let Some(c) = self.peek(0) {
            match c {
                '<' | '>' if self.peek(1) == Some('(') => {
                    self.at += 2;
                    let script = self.until(')');
                    self.inner.push(script);
                    units.push(Unit::Hole("/dev/fd/N".to_owned()));
                }
                ' ' | '\t' | '\n' | ';' | '&' | '|' | '(' | ')' | '<' | '>' => break,
                '\\' => {
                    match self.peek(1) {
                        Some('\n') => {}
                        Some(c) => units.push(Unit::Quoted(c)),
                        None => self.trouble = Some("ends in a backslash"),
                    }
                    self.at = (self.at + 2).min(self.chars.len());
                }
                '\'' => self.single(&mut units),
                '"' => self.double(&mut units),
                '$' => self.dollar(&mut units, false),
                '`' => self.backticks(&mut units),
                c => {
                    self.at += 1;
                    units.push(Unit::Bare(c));
                }
            }
        }
        units
    }

    fn single(&mut self, units: &mut Vec<Unit>) {
        self.at += 1;
        let rest = self.chars.get(self.at..).unwrap_or_default();
        match rest.iter().position(|c| *c == '\'') {
            Some(end) if !self.unpaired => {
                units.extend(rest[..end].iter().map(|c| Unit::Quoted(*c)));
                self.at += end + 1;
            }
            _ => {
                self.unpaired = true;
                self.trouble = Some("a quote is not closed");
            }
        }
        // An empty string is still a word.
        units.push(Unit::Maybe(Vec::new()));
    }

    fn double(&mut self, units: &mut Vec<Unit>) {
        self.at += 1;
        let (start, kept, found) = (self.at, units.len(), self.inner.len());
        units.push(Unit::Maybe(Vec::new()));
        if self.unpaired {
            return; // quotes can no longer be paired; the rest is read as if there were none
        }
        while let Some(c) = self.peek(0) {
            match c {
                '"' => {
                    self.at += 1;
                    return;
                }
                '\\' => match self.peek(1) {
                    Some('\n') => self.at += 2,
                    Some(c @ ('$' | '`' | '"' | '\\')) => {
                        units.push(Unit::Quoted(c));
                        self.at += 2;
                    }
                    _ => {
                        units.push(Unit::Quoted('\\'));
                        self.at += 1;
                    }
                },
                '$' => self.dollar(units, true),
                '`' => self.backticks(units),
                c => {
                    units.push(Unit::Quoted(c));
                    self.at += 1;
                }
            }
        }
        // Taken back, with what was found inside: it is read again.
        units.truncate(kept);
        self.inner.truncate(found);
        self.at = start;
        self.unpaired = true;
        self.trouble = Some("a quote is not closed");
    }

    fn backticks(&mut self, units: &mut Vec<Unit>) {
        self.at += 1;
        let mut script = String::new();
        loop {
            match self.peek(0) {
                None => {
                    self.trouble = Some("a backtick is not closed");
                    break;
                }
                Some('`') => {
                    self.at += 1;
                    break;
                }
                Some('\\') if matches!(self.peek(1), Some('`' | '\\' | '$')) => {
                    script.extend(self.peek(1));
                    self.at += 2;
                }
                Some(c) => {
                    script.push(c);
                    self.at += 1;
                }
            }
        }
        self.inner.push(script);
        units.push(Unit::Hole("$(...)".to_owned()));
    }

    fn dollar(&mut self, units: &mut Vec<Unit>, quoted: bool) {
        let start = self.at;
        self.at += 1;
        match self.peek(0) {
            Some('\'') if !quoted => self.ansi_c(units),
            Some('"') if !quoted => self.double(units),
            Some('(') => {
                self.at += 1;
                let script = self.until(')');
                if script.starts_with('(') {
                    // Arithmetic; with more than numbers in it, it may run what a variable holds.
                    let plain = |c: char| c.is_ascii_digit() || " ()+-*/%<>=&|^~!,?:".contains(c);
                    if !script.chars().all(plain) {
                        self.trouble = self.trouble.or(Some("arithmetic that is not only numbers"));
                        self.inner.push(script);
                    }
                } else {
                    self.inner.push(script);
                }
                units.push(Unit::Hole("$(...)".to_owned()));
            }
            Some('{') => {
                self.at += 1;
                let body = self.until('}');
                self.braced(units, &body, quoted);
            }
            Some('[') => {
                self.trouble = self.trouble.or(Some("old arithmetic"));
                units.push(Unit::Hole("$[".to_owned()));
                self.at += 1;
            }
            Some(c) if c == '_' || c.is_ascii_alphabetic() => {
                while self.peek(0).is_some_and(|c| c == '_' || c.is_ascii_alphanumeric()) {
                    self.at += 1;
                }
                let name = self.slice(start + 1);
                units.push(Unit::Var { name, quoted });
            }
            Some(c) if "@*123456789".contains(c) => {
                // `sh -c` has no parameters: these are empty, and used to hide words.
                self.at += 1;
                units.push(Unit::Var { name: c.to_string(), quoted });
            }
            Some('#' | '?' | '$' | '!' | '-' | '0') => {
                self.at += 1;
                let raw = self.slice(start);
                units.push(Unit::Hole(raw));
            }
            _ => units.push(if quoted { Unit::Quoted('$') } else { Unit::Bare('$') }),
        }
    }

    fn braced(&mut self, units: &mut Vec<Unit>, body: &str, quoted: bool) {
        let plain = |c: char| c == '_' || c.is_ascii_alphanumeric();
        let end = body.find(|c| !plain(c)).unwrap_or(body.len());
        let (name, rest) = body.split_at(end);
        if rest.is_empty() && !name.is_empty() {
            units.push(Unit::Var { name: name.to_owned(), quoted });
            return;
        }
        self.nested(body);
        let default = rest.strip_prefix(':').unwrap_or(rest).strip_prefix(['-', '=']);
        match default {
            // One way down only: a default with expansions of its own is not read as words too.
            Some(default) if !name.is_empty() && !default.contains(['$', '`']) => {
                let mut inner = Lexer { depth: self.depth + 1, ..Lexer::new(default) };
                units.push(Unit::Maybe(inner.word()));
                units.push(Unit::Hole(String::new()));
            }
            _ => {
                if rest.starts_with('@') || body.starts_with('!') || rest.starts_with('[') {
                    self.trouble = self.trouble.or(Some("an indirect expansion"));
                }
                units.push(Unit::Hole(format!("${{{body}}}")));
            }
        }
    }

    /// Finds the substitutions inside text that is not itself a command.
    pub(crate) fn nested(&mut self, text: &str) {
        if self.depth > DEEPEST {
            self.trouble = Some("expansions are nested too deeply");
            return;
        }
        let mut inner = Lexer { depth: self.depth + 1, ..Lexer::new(text) };
        let mut ignored = Vec::new();
        while let Some(c) = inner.peek(0) {
            match c {
                '\\' => inner.at += 2,
                '$' => inner.dollar(&mut ignored, true),
                '`' => inner.backticks(&mut ignored),
                _ => inner.at += 1,
            }
            ignored.clear();
        }
        self.inner.append(&mut inner.inner);
        self.trouble = self.trouble.or(inner.trouble);
    }

    /// Up to the matching bracket, quotes respected; leaves the place behind it.
    fn until(&mut self, close: char) -> String {
        let open = if close == ')' { '(' } else { '{' };
        let (start, mut depth) = (self.at, 1usize);
        let mut quote = None;
        while let Some(c) = self.peek(0) {
            self.at += 1;
            match (quote, c) {
                (None | Some('"'), '\\') => self.at += 1,
                (Some(q), c) if q == c => quote = None,
                // In double quotes a `$(` starts over; too deep to follow, so it is told instead.
                (Some('"'), '(') if self.chars.get(self.at.wrapping_sub(2)) == Some(&'$') => {
                    self.trouble = self.trouble.or(Some("a substitution in quotes in another"));
                }
                (None, '\'' | '"' | '`') => quote = Some(c),
                (None, c) if c == open => depth += 1,
                (None, c) if c == close => {
                    depth -= 1;
                    if depth == 0 {
                        let end = self.at - 1;
                        return self.chars.get(start..end).unwrap_or_default().iter().collect();
                    }
                }
                _ => {}
            }
        }
        self.at = self.chars.len();
        self.trouble = Some("a bracket is not closed");
        self.slice(start)
    }
}
