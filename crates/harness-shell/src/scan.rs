//! The forgiving reader: cuts any text, also a broken one, into the commands a shell might find.
//!
//! Used twice: what it finds must agree with the grammar before a line counts as understood, and a
//! line that is not understood is searched through its eyes for what is denied.

use crate::ast::{Redirect, Simple};
use crate::expand::{Certainty, Value, Values, Word, finish};
use crate::word::{Lexer, Unit};

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) commands: Vec<Simple>,
    pub(crate) redirects: Vec<Redirect>,
    /// Output of the first goes into the second.
    pub(crate) flows: Vec<(usize, usize)>,
    pub(crate) trouble: Option<&'static str>,
}

const DEEPEST: usize = 12;

/// Words that stand where a command may, and only say that one follows.
const KEYWORDS: &[&str] = &[
    "coproc", "if", "then", "elif", "else", "while", "until", "do", "!", "{", "}", "done", "fi",
    "esac",
];

pub(crate) fn scan(text: &str, values: &mut Values) -> Scan {
    let mut scan = Scan::default();
    let mut lexer = Lexer::new(text);
    scan.text(&mut lexer, values, 0);
    scan
}

impl Scan {
    fn text(&mut self, lexer: &mut Lexer, values: &mut Values, depth: usize) {
        if depth > DEEPEST {
            self.trouble = Some("nested too deeply");
            return;
        }
        // Where the pipeline we are in began, and how many of its commands stand before a `|`.
        let (mut first, mut before) = (self.commands.len(), 0);
        let mut heredocs = Vec::new();
        while let Some(c) = lexer.peek(0) {
            match c {
                ' ' | '\t' => lexer.at += 1,
                '\\' if lexer.peek(1) == Some('\n') => lexer.at += 2,
                '\n' => {
                    lexer.at += 1;
                    for heredoc in heredocs.drain(..) {
                        self.heredoc(lexer, &heredoc, values, depth);
                    }
                    (first, before) = (self.commands.len(), 0);
                }
                '#' => skip_line(lexer),
                '|' if lexer.peek(1) != Some('|') => {
                    lexer.at += 1 + usize::from(lexer.peek(1) == Some('&'));
                    before = self.commands.len();
                }
                '&' if lexer.peek(1) == Some('>') => {
                    self.command(lexer, values, &mut heredocs, depth);
                }
                ';' | '&' | '|' => {
                    lexer.at += 1 + usize::from(lexer.peek(1) == Some(c));
                    (first, before) = (self.commands.len(), 0);
                }
                '(' | ')' => lexer.at += 1,
                _ => {
                    let index = self.commands.len();
                    self.command(lexer, values, &mut heredocs, depth);
                    if self.commands.len() > index {
                        // Pipelines are short; in a very long one only near neighbours are told.
                        let from = first.max(before.saturating_sub(16));
                        self.flows.extend((from..before).map(|from| (from, index)));
                    }
                }
            }
        }
        if !heredocs.is_empty() {
            self.trouble = self.trouble.or(Some("a here-document does not end"));
        }
        self.trouble = self.trouble.or(lexer.trouble);
    }

    fn command(
        &mut self,
        lexer: &mut Lexer,
        values: &mut Values,
        heredocs: &mut Vec<Heredoc>,
        depth: usize,
    ) {
        let mut simple = Simple::default();
        let mut test = false;
        loop {
            skip_blanks(lexer);
            let start = lexer.at;
            match lexer.peek(0) {
                None => break,
                Some('<' | '>') if lexer.peek(1) != Some('(') => {
                    self.redirect(lexer, values, heredocs, &mut simple);
                }
                Some('&') if lexer.peek(1) == Some('>') => {
                    self.redirect(lexer, values, heredocs, &mut simple);
                }
                Some('\n' | ';' | '&' | '|' | '(' | ')') if !test => break,
                Some('#') => break,
                Some(c) if test && "\n;&|()<>".contains(c) => {
                    if "<>".contains(c) {
                        self.trouble = self.trouble.or(Some("another shell writes a file here"));
                    }
                    lexer.at += 1;
                }
                Some(_) => {
                    let units = lexer.word();
                    let raw = lexer.slice(start);
                    let next = lexer.peek(0);
                    if matches!(next, Some('<' | '>'))
                        && lexer.peek(1) != Some('(')
                        && raw.chars().all(|c| c.is_ascii_digit())
                    {
                        continue; // the number of a descriptor
                    }
                    if simple.raw.is_empty() {
                        if KEYWORDS.contains(&raw.as_str()) {
                            continue;
                        }
                        if matches!(raw.as_str(), "for" | "select") {
                            self.for_header(lexer, values);
                            break;
                        }
                        if simple.assign(&units, values) {
                            continue;
                        }
                        test = raw == "[[";
                    } else if test && raw == "]]" {
                        test = false;
                    }
                    simple.raw.push(raw);
                    simple.words.extend(finish(&units, values));
                }
            }
            if lexer.at == start {
                lexer.at += 1; // cannot happen; a reader that does not move would never end
            }
        }
        let scripts = std::mem::take(&mut lexer.inner);
        let mut outer = usize::MAX;
        if !simple.words.is_empty() || !simple.assigns.is_empty() {
            outer = self.commands.len();
            self.commands.push(simple);
        }
        self.scripts(scripts, values, depth, outer);
    }

    /// The insides of substitutions; what they print goes into the command around them.
    fn scripts(&mut self, scripts: Vec<String>, values: &mut Values, depth: usize, outer: usize) {
        for script in scripts {
            let from = self.commands.len();
            self.text(&mut Lexer::new(&script), values, depth + 1);
            if outer < from {
                self.flows.extend((from..self.commands.len()).map(|inner| (inner, outer)));
            }
        }
    }

    fn for_header(&mut self, lexer: &mut Lexer, values: &mut Values) {
        let mut words: Vec<Word> = Vec::new();
        while !matches!(lexer.peek(0), None | Some('\n' | ';' | '&' | '|' | '(' | ')' | '<' | '>'))
        {
            let units = lexer.word();
            words.extend(finish(&units, values));
            skip_blanks(lexer);
        }
        listed(&words, values);
    }

    fn redirect(
        &mut self,
        lexer: &mut Lexer,
        values: &mut Values,
        heredocs: &mut Vec<Heredoc>,
        simple: &mut Simple,
    ) {
        let start = lexer.at;
        while lexer.at - start < 3 && matches!(lexer.peek(0), Some('<' | '>' | '&' | '|')) {
            if lexer.peek(0) == Some('|') && lexer.at - start != 1 {
                break;
            }
            if matches!(lexer.peek(0), Some('<' | '>')) && lexer.peek(1) == Some('(') {
                break; // `< <(…)`
            }
            lexer.at += 1;
        }
        let mut op = lexer.slice(start);
        if op == "<<" && lexer.peek(0) == Some('-') {
            lexer.at += 1;
            op.push('-');
        }
        skip_blanks(lexer);
        let from = lexer.at;
        let units = lexer.word();
        let raw = lexer.slice(from);
        if op.starts_with("<<") && op != "<<<" {
            let quoted = raw.contains(['\'', '"', '\\', '$']);
            let end: String = units.iter().filter_map(Unit::literal).collect();
            heredocs.push(Heredoc { end, quoted, tabs: op == "<<-" });
            return;
        }
        let mut words = finish(&units, values);
        let word = match words.len() {
            1 => words.remove(0),
            _ => Word::unknown(raw.as_str()),
        };
        if op == "<<<" {
            simple.stdin = Some(word.clone());
        }
        self.redirects.push(Redirect { op, raw, target: word });
    }

    fn heredoc(&mut self, lexer: &mut Lexer, doc: &Heredoc, values: &mut Values, depth: usize) {
        let start = lexer.at;
        loop {
            let from = lexer.at;
            skip_line(lexer);
            let line = lexer.slice(from);
            let end = if doc.tabs { line.trim_start_matches('\t') } else { &line };
            let last = lexer.peek(0).is_none();
            if end == doc.end || last {
                let body: String =
                    lexer.chars.get(start..from).unwrap_or_default().iter().collect();
                if !doc.quoted {
                    let mut inner = Lexer::new("");
                    inner.nested(&body);
                    self.scripts(inner.inner, values, depth, usize::MAX);
                }
                if last && end != doc.end {
                    self.trouble = self.trouble.or(Some("a here-document does not end"));
                }
                return;
            }
            lexer.at += 1;
        }
    }
}

struct Heredoc {
    end: String,
    quoted: bool,
    tabs: bool,
}

/// Remembers what a loop's variable stands for: `for NAME in WORDS`.
pub(crate) fn listed(words: &[Word], values: &mut Values) {
    let mut words = words.iter();
    if let Some(name) = words.next() {
        words.next();
        if words.len() > 0 && words.all(|word| word.sure == Certainty::Known) {
            values.insert(name.text.clone(), Value::Listed);
        } else {
            values.remove(&name.text);
        }
    }
}

fn skip_blanks(lexer: &mut Lexer) {
    loop {
        match (lexer.peek(0), lexer.peek(1)) {
            (Some(' ' | '\t'), _) => lexer.at += 1,
            (Some('\\'), Some('\n')) => lexer.at += 2,
            _ => return,
        }
    }
}

fn skip_line(lexer: &mut Lexer) {
    while lexer.peek(0).is_some_and(|c| c != '\n') {
        lexer.at += 1;
    }
}
