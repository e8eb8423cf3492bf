//! What a command really runs: `env`, `timeout`, `xargs`, `sh -c`, `find -exec` and their like
//! taken off, one layer at a time.

use crate::ast::Simple;
use crate::expand::{Certainty, Word};
use crate::wrappers::{PLAIN, SHELLS, TELLS_SHELL, WRAPPERS, Wrapper};

/// One layer of a command.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    /// The program and its arguments.
    pub words: Vec<Word>,
    /// `NAME=value` before the program, or alone.
    pub assigns: Vec<(String, Word)>,
    /// It adds nothing of its own: what it runs decides.
    pub transparent: bool,
    /// It reads a script from its standard input.
    pub reads_script: bool,
}

impl Layer {
    /// The program's name without its folder.
    pub fn name(&self) -> &str {
        let text = self.words.first().map_or("", |word| word.text.as_str());
        text.rsplit('/').next().unwrap_or(text)
    }
}

/// A command without its wrappers: the layers from outside in, and texts that are run as scripts.
#[derive(Debug, Default)]
pub(crate) struct Peeled {
    pub(crate) layers: Vec<Layer>,
    pub(crate) scripts: Vec<Word>,
    /// A wrapper whose options we do not know: what it runs may begin elsewhere.
    pub(crate) unsure: bool,
    waiting: Vec<Layer>,
}

/// The options of find that run a command.
pub const EXEC: &[&str] = &["-exec", "-execdir", "-ok", "-okdir"];

/// More wrappers than this around one command are not taken off.
const MOST: usize = 16;

/// Takes the wrappers off.
pub(crate) fn peel(simple: &Simple, names_only: bool) -> Peeled {
    let (words, assigns) = (simple.words.clone(), simple.assigns.clone());
    let outer = Layer { words, assigns, ..Layer::default() };
    let mut peeled = Peeled { waiting: vec![outer], ..Peeled::default() };
    while let Some(mut layer) = peeled.waiting.pop() {
        if peeled.layers.len() > MOST {
            peeled.unsure = true;
            peeled.waiting.clear();
        } else if layer.words.len() > 1 || SHELLS.contains(&layer.name()) {
            let inner = peeled.inside(&mut layer, simple, names_only);
            peeled.waiting.extend(inner);
        }
        peeled.layers.push(layer);
    }
    peeled
}

impl Peeled {
    fn inside(&mut self, layer: &mut Layer, simple: &Simple, names_only: bool) -> Option<Layer> {
        let name = layer.name().to_owned();
        let words = layer.words.clone();
        let find = |list: &[Wrapper]| list.iter().find(|wrapper| wrapper.0 == name).copied();
        match name.as_str() {
            "env" => self.env(layer),
            "xargs" => Some(self.xargs(layer, names_only)),
            "find" => self.find(layer),
            "fd" | "fdfind" => {
                let is_exec = |word: &Word| {
                    matches!(word.text.as_str(), "-x" | "-X" | "--exec" | "--exec-batch")
                };
                let at = words.iter().position(is_exec)?;
                layer.words.truncate(at);
                Some(listed(&words[at + 1..], "{", Certainty::Listed))
            }
            "eval" => {
                layer.transparent = true;
                self.script(layer, &words[1..]);
                None
            }
            "trap" => {
                self.scripts.push(words[1].clone());
                None
            }
            "alias" => {
                let value = |word: &Word| word.text.split_once('=').map(|(_, v)| v.to_owned());
                self.scripts.extend(words.iter().filter_map(value).map(Word::known));
                None
            }
            "su" | "script" | "runuser" | "flock"
                if words.iter().any(|word| matches!(word.text.as_str(), "-c" | "--command")) =>
            {
                let at = words
                    .iter()
                    .position(|word| word.text.starts_with("-c") || word.text == "--command")?;
                self.scripts.extend(words.get(at + 1).cloned());
                None
            }
            "command" if matches!(words[1].text.as_str(), "-v" | "-V") => None,
            shell if SHELLS.contains(&shell) => {
                self.shell(layer, simple);
                None
            }
            _ => {
                if let Some(wrapper) = find(TELLS_SHELL) {
                    let start = self.start(&words, wrapper);
                    self.script(layer, words.get(start..).unwrap_or_default());
                    return None;
                }
                let wrapper = find(WRAPPERS)?;
                // Some programs are many in one file, and `exec -a rm ls` then is `rm`.
                self.unsure |= name == "exec" && words[1].text.contains('a');
                let start = self.start(&words, wrapper);
                layer.transparent = wrapper.4;
                let inner = words.get(start..).filter(|words| !words.is_empty());
                layer.transparent &= inner.is_some();
                Some(Layer { words: inner?.to_vec(), ..Layer::default() })
            }
        }
    }

    /// Where the wrapped command begins.
    fn start(&mut self, words: &[Word], (_, flags, valued, skip, clear): Wrapper) -> usize {
        let mut at = 1;
        while let Some(word) = words.get(at) {
            let text = word.text.as_str();
            if word.sure != Certainty::Known {
                self.unsure = true;
            }
            if text == "--" {
                at += 1;
                break;
            }
            if is_assignment(text) && !clear {
                at += 1;
                continue;
            }
            let Some(option) = text.strip_prefix('-').filter(|option| !option.is_empty()) else {
                break;
            };
            at += 1;
            if option.starts_with('-') {
                self.unsure |= !text.contains('=') && !PLAIN.contains(&text);
                continue;
            }
            for (place, letter) in option.char_indices() {
                if valued.contains(letter) {
                    at += usize::from(place + letter.len_utf8() == option.len());
                    break;
                }
                self.unsure |= !flags.contains(letter);
            }
        }
        at + skip
    }

    fn script(&mut self, layer: &mut Layer, words: &[Word]) {
        let text = words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
        let sure = words.iter().map(|word| word.sure).max().unwrap_or(Certainty::Known);
        layer.transparent &= sure == Certainty::Known;
        self.scripts.push(Word { sure, ..Word::known(text) });
    }

    fn env(&mut self, layer: &mut Layer) -> Option<Layer> {
        let mut inner = Layer::default();
        let mut words = layer.words.iter().skip(1);
        while let Some(word) = words.next() {
            let text = word.text.as_str();
            match text {
                "-i" | "-" | "--" | "-0" | "-v" | "--ignore-environment" | "--null" => {}
                "-u" | "--unset" => drop(words.next()),
                // Another folder: what is relative there is not what it is here.
                "-C" | "--chdir" => {
                    self.unsure = true;
                    words.next();
                }
                "-S" | "--split-string" => {
                    let rest: Vec<Word> = words.by_ref().cloned().collect();
                    self.script(layer, &rest);
                    return None;
                }
                _ if text.starts_with("-S") || text.starts_with("--s") => {
                    let rest =
                        text.trim_start_matches("-S").split_once('=').map_or(text, |(_, s)| s);
                    self.scripts.push(Word::known(rest.trim_start_matches("-S")));
                    self.unsure = true;
                }
                _ if text.starts_with("-u") || text.starts_with("--unset=") => {}
                _ if text.starts_with('-') => self.unsure = true,
                _ => match text.split_once('=') {
                    Some((name, value)) => {
                        let value = Word { text: value.to_owned(), ..word.clone() };
                        inner.assigns.push((name.to_owned(), value));
                    }
                    None => {
                        inner.words.push(word.clone());
                        inner.words.extend(words.by_ref().cloned());
                    }
                },
            }
        }
        layer.transparent = !inner.words.is_empty();
        layer.transparent.then_some(inner)
    }

    /// `names_only`: what it reads are names that another command of the line has listed.
    fn xargs(&mut self, layer: &mut Layer, names_only: bool) -> Layer {
        let sure = if names_only { Certainty::Listed } else { Certainty::Unknown };
        let words = layer.words.clone();
        let start = self.start(&words, ("xargs", "0rtpxoile", "InLPsdaE", 0, true));
        let options = words.get(1..start.min(words.len())).unwrap_or_default();
        layer.transparent = true;
        let from_file = |word: &Word| word.text.starts_with("-a") || word.text.starts_with("--a");
        let sure = if options.iter().any(from_file) { Certainty::Unknown } else { sure };
        let marks =
            options.iter().zip(options.iter().skip(1)).filter(|(option, _)| option.text == "-I");
        let mut replaced: Vec<String> = marks.map(|(_, mark)| mark.text.clone()).collect();
        let joined = options.iter().filter_map(|option| option.text.strip_prefix("-I"));
        replaced.extend(joined.filter(|mark| !mark.is_empty()).map(str::to_owned));
        if options
            .iter()
            .any(|option| option.text.starts_with("--replace") || option.text.starts_with("-i"))
        {
            self.unsure = true;
        }
        let command = words.get(start..).unwrap_or_default();
        let mut inner = match replaced.first() {
            Some(mark) => listed(command, mark, sure),
            None => Layer { words: command.to_vec(), ..Layer::default() },
        };
        if inner.words.is_empty() {
            inner.words.push(Word::known("echo"));
        }
        if replaced.is_empty() {
            inner.words.push(Word { sure, ..Word::known("{}") });
        }
        inner
    }

    fn find(&mut self, layer: &mut Layer) -> Option<Layer> {
        let words = std::mem::take(&mut layer.words);
        let mut inner: Option<Layer> = None;
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            if EXEC.contains(&word.text.as_str()) {
                let mut command: Vec<Word> = Vec::new();
                for word in words.by_ref() {
                    // A `+` ends it only behind `{}`.
                    let names = command.last().is_some_and(|last| last.text == "{}");
                    if word.text == ";" || word.text == "+" && names {
                        break;
                    }
                    command.push(word);
                }
                // What it runs is judged by itself; the name stays, for rules on `find / -exec rm`.
                layer.words.push(word);
                layer.words.extend(command.first().cloned());
                if let Some(before) = inner.replace(listed(&command, "{}", Certainty::Listed)) {
                    self.waiting.push(before);
                }
            } else {
                layer.words.push(word);
            }
        }
        inner
    }

    fn shell(&mut self, layer: &mut Layer, simple: &Simple) {
        let (mut takes_text, mut plain, mut at) = (false, true, 1);
        while let Some(word) = layer.words.get(at) {
            let text = word.text.as_str();
            let Some(option) = text.strip_prefix(['-', '+']).filter(|option| !option.is_empty())
            else {
                break;
            };
            at += 1;
            if option == "-" {
                break;
            }
            plain &= word.sure == Certainty::Known && option.chars().all(|c| "ceux".contains(c));
            if option.starts_with('-') {
                at += usize::from(matches!(option, "-rcfile" | "-init-file"));
            } else {
                takes_text |= option.contains('c');
                at += usize::from(option.ends_with(['o', 'O']));
            }
        }
        match layer.words.get(at).cloned() {
            Some(script) if takes_text => {
                layer.transparent = plain && script.sure == Certainty::Known;
                self.scripts.push(script);
            }
            // `bash -s` and a bare `bash` read their script.
            Some(_) if !layer.words.iter().any(|word| word.text == "-s") => {}
            _ => {
                layer.reads_script = true;
                self.scripts.extend(simple.stdin.clone());
            }
        }
    }
}

fn is_assignment(text: &str) -> bool {
    let name = text.split_once('=').map_or("", |(name, _)| name);
    !name.is_empty() && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
}

/// A command in which a mark stands for listed names.
fn listed(words: &[Word], mark: &str, sure: Certainty) -> Layer {
    let replace = |word: &Word| match word.text.contains(mark) {
        true => Word { sure: word.sure.max(sure), ..word.clone() },
        false => word.clone(),
    };
    Layer { words: words.iter().map(replace).collect(), ..Layer::default() }
}
