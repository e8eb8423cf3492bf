//! A whole line, read to the bottom: every command, every layer of it, every script inside.

use std::collections::HashMap;
use std::ops::Range;

use crate::ast::{Doubt, Line, Redirect, Simple};
use crate::expand::{Certainty, Word};
use crate::parse::{IsHidden, parse};
use crate::scan::Scan;
use crate::unwrap::{Layer, Peeled, peel};

/// What a line would do.
#[derive(Debug, Default)]
pub struct Reading {
    /// Each command's layers, from outside in.
    pub commands: Vec<Vec<Layer>>,
    /// Where something is read from or written to.
    pub redirects: Vec<Redirect>,
    /// Output of the first command goes into the second: indices into `commands`.
    pub flows: Vec<(usize, usize)>,
    /// Variables of loops, and the words they go over.
    pub loops: Vec<(String, Vec<Word>)>,
    /// Why the line is not fully understood; empty when it is.
    pub doubts: Vec<Doubt>,
    /// It defines a function that starts itself twice.
    pub fork_bomb: bool,
    /// From here on the commands, and all redirects below, are only guessed at.
    pub guessed: Vec<Reading>,
}

/// How deep scripts may stand in each other.
const DEEPEST: usize = 6;

/// Programs whose output is a list of names that stand in plain sight: files of a folder.
const LISTS: &[&str] = &["find", "fd", "ls", "git", "grep", "rg", "sort", "head", "tail", "uniq"];

/// For one end of each flow, the other ends.
type Ends = HashMap<usize, Vec<usize>>;

fn ends(flows: &[(usize, usize)], needed: bool, key: fn((usize, usize)) -> (usize, usize)) -> Ends {
    let mut ends = Ends::new();
    for (one, other) in flows.iter().filter(|_| needed).map(|flow| key(*flow)) {
        ends.entry(one).or_default().push(other);
    }
    ends
}

/// The most scripts in scripts that one line may bring: they could otherwise multiply.
const MAX_SCRIPTS: usize = 100;

/// Reads a line as bash would, down to the scripts that it hands to other shells. A doubt about any part of
/// it stands in [`Reading::doubts`]; this never fails.
pub fn read(text: &str, is_hidden: IsHidden) -> Reading {
    let mut reader = Reader { is_hidden, scripts_left: MAX_SCRIPTS };
    reader.read(text, 0)
}

/// What one reading of a line keeps track of.
struct Reader {
    is_hidden: IsHidden,
    scripts_left: usize,
}

impl Reader {
    fn read(&mut self, text: &str, depth: usize) -> Reading {
        let Line { commands, redirects, flows, loops, doubts, fork_bomb, guess } =
            parse(text, self.is_hidden);
        let mut reading =
            Reading { redirects, flows, loops, doubts, fork_bomb, ..Reading::default() };
        reading.unwrap(&commands, depth, self);
        if let Some(Scan { commands, redirects, flows, .. }) = guess {
            let mut guess = Reading { redirects, flows, ..Reading::default() };
            guess.unwrap(&commands, depth, self);
            reading.guessed.push(guess);
        }
        reading
    }
}

impl Reading {
    fn unwrap(&mut self, simples: &[Simple], depth: usize, reader: &mut Reader) {
        let mut scripts: Vec<(usize, Word)> = Vec::new();
        let is_xargs = |word: &Word| word.text.ends_with("xargs");
        let asks = |simple: &Simple| simple.words.iter().any(is_xargs);
        let needed = simples.iter().any(asks);
        let feeds = ends(&self.flows, needed, |(from, into)| (into, from));
        for (at, simple) in simples.iter().enumerate() {
            let mut simple = simple.clone();
            // `$nothing rm`: an empty first word is no word.
            let empty = |word: &&Word| word.unset.as_deref() == Some("");
            let nothing = simple.words.iter().take_while(empty).count();
            if nothing > 0 {
                self.doubts.push(Doubt { why: "a program chosen at run time", broken: false });
            }
            if nothing < simple.words.len() {
                simple.words.drain(..nothing);
            }
            let wraps = asks(&simple);
            let from = feeds.get(&at).filter(|_| wraps);
            let names_only = from.is_some_and(|from| from.iter().all(|at| lists(simples.get(*at))));
            let Peeled { layers, scripts: found, unsure, .. } = peel(&simple, names_only);
            if unsure {
                self.doubts
                    .push(Doubt { why: "a wrapper with options we do not know", broken: false });
            }
            scripts.extend(found.into_iter().map(|script| (at, script)));
            self.commands.push(layers);
        }
        // `echo 'rm -rf /' | sh`, and here-documents through a pipe.
        for &(from, into) in &self.flows {
            if scripts.len() > reader.scripts_left {
                break; // more than will be read
            }
            let reads =
                self.commands.get(into).is_some_and(|layers| layers.iter().any(|l| l.reads_script));
            let Some(told) = simples.get(from).filter(|_| reads) else { continue };
            scripts.extend(told.stdin.clone().map(|script| (into, script)));
            let name = told.words.first().map_or("", |word| word.text.as_str());
            if matches!(name, "echo" | "printf") {
                let words: Vec<&str> =
                    told.words.iter().skip(1).map(|word| word.text.as_str()).collect();
                scripts.push((
                    into,
                    Word { sure: Certainty::Unknown, ..Word::known(words.join(" ")) },
                ));
            }
        }
        let needed = !scripts.is_empty();
        let feeds = ends(&self.flows, needed, |(from, into)| (into, from));
        let fed = ends(&self.flows, needed, |(from, into)| (from, into));
        for (outer, script) in scripts {
            reader.scripts_left = reader.scripts_left.saturating_sub(1);
            if depth >= DEEPEST || reader.scripts_left == 0 {
                self.doubts.push(Doubt { why: "scripts nested too deeply", broken: false });
                return;
            }
            let inner = reader.read(&script.text, depth + 1);
            if script.sure != Certainty::Known {
                self.doubts.push(Doubt { why: "a script made at run time", broken: false });
            }
            let none = Vec::new();
            let around = (feeds.get(&outer).unwrap_or(&none), fed.get(&outer).unwrap_or(&none));
            self.take(inner, around);
        }
    }

    /// Takes in a script; what flows into the command that runs it flows into each of its own.
    fn take(&mut self, inner: Reading, (feeds, fed): (&Vec<usize>, &Vec<usize>)) {
        let offset = self.commands.len();
        let range: Range<usize> = offset..offset + inner.commands.len();
        for at in range.take(256) {
            self.flows.extend(feeds.iter().take(32).map(|from| (*from, at)));
            self.flows.extend(fed.iter().take(32).map(|into| (at, *into)));
        }
        self.flows.extend(
            inner
                .flows
                .into_iter()
                .map(|(from, into)| (from.saturating_add(offset), into.saturating_add(offset))),
        );
        self.commands.extend(inner.commands);
        self.redirects.extend(inner.redirects);
        self.loops.extend(inner.loops);
        self.doubts.extend(inner.doubts);
        self.fork_bomb |= inner.fork_bomb;
        self.guessed.extend(inner.guessed);
    }
}

fn lists(simple: Option<&Simple>) -> bool {
    let words = simple.map_or(&[][..], |simple| &simple.words);
    let plain = words.iter().all(|word| word.sure == Certainty::Known);
    let text = |at: usize| words.get(at).map_or("", |word| word.text.as_str());
    plain
        && match text(0) {
            "git" => {
                let names = words.iter().any(|word| word.text == "--name-only");
                text(1) == "ls-files" || text(1) == "diff" && names
            }
            // Their own texts, and hidden files, where secrets are.
            "find" => !words.iter().any(|word| word.text == "-printf"),
            "ls" => !words
                .iter()
                .any(|word| word.text.starts_with('-') && word.text.contains(['a', 'A'])),
            // Without `-l` these print what is in files, and that can be anything.
            "grep" | "rg" => words.iter().any(|word| {
                word.text == "--files-with-matches"
                    || word.text == "--files"
                    || word.text.starts_with('-')
                        && !word.text.starts_with("--")
                        && word.text.contains('l')
            }),
            // These pass on what they read, unless a file of their own is named.
            "head" | "tail" | "sort" | "uniq" => words[1..].iter().all(|word| {
                word.text.starts_with('-') || word.text.chars().all(|c| c.is_ascii_digit())
            }),
            name => LISTS.contains(&name),
        }
}
