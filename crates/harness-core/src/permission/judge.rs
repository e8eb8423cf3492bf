//! The ruling: what a call would do, held against the rules, part by part.

use std::path::{Path, PathBuf};

use super::expand::{Sure, Word};
use super::gate::Verdict;
use super::paths::{Located, could_be, in_word};
use super::programs::{is_harmless_env, path_words};
use super::reading::{Reading, read};
use super::rules::{Access, Rule, RuleRef, Rules, Source, Tier};
use super::shell::{Redirect, TOO_LONG};
use super::unwrap::Layer;
use crate::message::ToolCall;
use crate::tool::Effect;

/// What the rules say of a call, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// The strictest of the parts.
    pub verdict: Verdict,
    /// Each thing the call would do.
    pub parts: Vec<Part>,
}

/// One thing a call would do: a simple command, a redirect, a path, the tool itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is; a command in the form that rules see.
    pub text: String,
    /// What the rules say of it alone.
    pub verdict: Verdict,
    /// The rule that decided; none when no rule matched.
    pub rule: Option<RuleRef>,
}

/// A command with more words than this is asked about; no more of them are held against paths.
const MOST_WORDS: usize = 500;

const NO_RULE: &str = "no rule allows this";

impl Rules {
    /// What the rules say of this call, part by part.
    pub fn explain(&self, call: &ToolCall, effect: &Effect, cwd: &Path) -> Ruling {
        let judge = Judge {
            rules: self,
            tool: &call.name,
            cwd: cwd.to_path_buf(),
            parts: Vec::new(),
            guessing: false,
        };
        judge.call(call, effect)
    }

    /// What the rules say of a shell line.
    pub fn explain_line(&self, line: &str, cwd: &Path) -> Ruling {
        let mut judge = Judge {
            rules: self,
            tool: "bash",
            cwd: cwd.to_path_buf(),
            parts: Vec::new(),
            guessing: false,
        };
        judge.line(line);
        judge.ruling()
    }
}

/// Does this line only look? What is not fully understood does not. For schedules that run readers
/// together; no rule is asked.
pub fn is_read_only(line: &str) -> bool {
    let Ok(programs) = super::programs::Programs::new() else { return false };
    let reading = read(line);
    let looks = |layer: &Layer| {
        layer.assigns.iter().all(|(name, _)| is_harmless_env(name))
            && (layer.clear || programs.only_looks(layer))
    };
    reading.doubts.is_empty()
        && reading.loops.is_empty()
        && !reading.commands.is_empty()
        && reading.commands.iter().flatten().all(looks)
        && reading
            .redirects
            .iter()
            .all(|redirect| harmless_redirect(redirect) || redirect.op == "<")
}

/// Does an example of a rule match it?
pub(super) fn example(rules: &Rules, source: &Source, at: usize, text: &str) -> bool {
    let Some(rule) = source.rules.get(at) else { return false };
    if rule.on_tool_alone() {
        return rule.is_for(text);
    }
    let cwd = PathBuf::from("/workspace");
    let judge = Judge { rules, tool: "bash", cwd: cwd.clone(), parts: Vec::new(), guessing: false };
    let has_path = |place: &Located| {
        place.any(&source.paths).iter().any(|hit| source.path_of.get(*hit) == Some(&at))
            && place.any(&rule.except).is_empty()
    };
    if rule.on_path && !rule.on_command {
        return has_path(&Located::new(&cwd, text));
    }
    let reading = read(text);
    let layers = || reading.commands.iter().flatten();
    let allows = |layer: &Layer| !rule.read_only || judge.rules.known.programs.only_looks(layer);
    rule.fork_bomb && reading.fork_bomb
        || flow(rule, &reading).is_some()
        || rule.on_command
            && layers().any(|layer| {
                source.on_command(&normal(layer), false).contains(&at)
                    && allows(layer)
                    && (!rule.on_path
                        || layer
                            .words
                            .iter()
                            .skip(1)
                            .any(|word| has_path(&Located::new(&cwd, &word.text))))
            })
}

struct Judge<'r> {
    rules: &'r Rules,
    tool: &'r str,
    cwd: PathBuf,
    parts: Vec<Part>,
    /// What is judged was only guessed at, and is asked about anyway: only what is denied counts.
    guessing: bool,
}

type Hit<'r> = Option<&'r Rule>;

impl<'r> Judge<'r> {
    fn call(mut self, call: &ToolCall, effect: &Effect) -> Ruling {
        let mut tool: Hit<'r> = None;
        for rule in self.all_rules().filter(|rule| rule.on_tool_alone() && rule.is_for(&call.name))
        {
            tool = stricter(tool, Some(rule));
        }
        match effect {
            Effect::Runs(line) => self.line(line),
            Effect::Reads(paths) if paths.is_empty() => {
                // Nothing but the harness's own state: allowed where reading is.
                let reads = |rule: &&Rule| {
                    rule.tier == Tier::Allow && rule.on_path && rule.access == Some(Access::Read)
                };
                let rule = self.all_rules().find(reads);
                self.part(call.name.clone(), rule, NO_RULE);
            }
            Effect::Reads(paths) => paths.iter().for_each(|path| self.path(path, Access::Read)),
            Effect::Writes(paths) if !paths.is_empty() => {
                paths.iter().for_each(|path| self.path(path, Access::Write))
            }
            Effect::Writes(_) | Effect::Unknown => {
                // Nobody knows what it does: any text in its input may be a path.
                let mut texts = Vec::new();
                call.input.values().for_each(|value| strings(value, &mut texts));
                let mut found = tool;
                for text in texts {
                    let hit = self.named(&[text], None);
                    found = stricter(found, hit.filter(|rule| rule.tier > Tier::Allow));
                }
                self.part(call.name.clone(), found, NO_RULE);
                return self.ruling();
            }
        }
        if let Some(rule) = tool {
            self.part(call.name.clone(), Some(rule), NO_RULE);
        }
        self.ruling()
    }

    fn ruling(self) -> Ruling {
        let rank = |verdict: &Verdict| match verdict {
            Verdict::Allow => 0,
            Verdict::Ask(_) => 1,
            Verdict::Deny(_) => 2,
        };
        let top = self.parts.iter().map(|part| rank(&part.verdict)).max().unwrap_or(1);
        let mut whys: Vec<String> = Vec::new();
        for part in self.parts.iter().filter(|part| rank(&part.verdict) == top) {
            if let Verdict::Ask(why) | Verdict::Deny(why) = &part.verdict {
                let why = format!("`{}`: {why}", clip(&part.text));
                if !whys.contains(&why) && whys.len() < 4 {
                    whys.push(why);
                }
            }
        }
        let why = if whys.is_empty() {
            "nothing in it was understood".to_owned()
        } else {
            whys.join("; ")
        };
        let verdict = match top {
            0 => Verdict::Allow,
            1 => Verdict::Ask(why),
            _ => Verdict::Deny(why),
        };
        Ruling { verdict, parts: self.parts }
    }

    fn part(&mut self, text: String, rule: Hit<'r>, otherwise: &str) {
        if self.guessing && rule.is_none_or(|rule| rule.tier != Tier::Deny) {
            return;
        }
        let why = |rule: &Rule| {
            format!("{} ({}:{})", rule.place.reason, rule.place.file, rule.place.line)
        };
        let verdict = match rule {
            Some(rule) => match rule.tier {
                Tier::Allow => Verdict::Allow,
                Tier::Ask => Verdict::Ask(why(rule)),
                Tier::Deny => Verdict::Deny(why(rule)),
            },
            None if self.rules.denies_rest => Verdict::Deny(otherwise.to_owned()),
            None => Verdict::Ask(otherwise.to_owned()),
        };
        self.parts.push(Part { text, verdict, rule: rule.map(|rule| rule.place.clone()) });
    }

    fn all_rules(&self) -> impl Iterator<Item = &'r Rule> + use<'r> {
        self.rules.sources.iter().flat_map(|source| source.rules.iter())
    }

    fn line(&mut self, line: &str) {
        if line.len() > TOO_LONG {
            let why = "longer than a shell can be told (128 KiB); put it into a file".to_owned();
            let part = Part { text: clip(line), verdict: Verdict::Deny(why), rule: None };
            return self.parts.push(part);
        }
        let reading = read(line);
        self.reading(&reading);
        if self.parts.is_empty() && !line.trim().is_empty() && !line.trim_start().starts_with('#') {
            self.part(clip(line), None, NO_RULE);
        } else if self.parts.is_empty() {
            self.parts.push(Part { text: String::new(), verdict: Verdict::Allow, rule: None });
        }
    }

    fn reading(&mut self, reading: &Reading) {
        let home = self.cwd.clone();
        for layer in reading.commands.iter().flatten() {
            self.layer(layer);
        }
        self.cwd = home;
        for redirect in &reading.redirects {
            self.redirect(redirect);
        }
        for (name, over) in &reading.loops {
            let over: Vec<&Word> = over.iter().collect();
            if let Some(rule) = self.words(&over) {
                self.part(format!("for {name}"), Some(rule), NO_RULE);
            } else if !is_plain_variable(name) {
                self.part(format!("for {name}"), None, "sets a variable that programs may look at");
            }
        }
        for rule in self.all_rules() {
            if rule.fork_bomb && reading.fork_bomb {
                self.part("a function that starts itself twice".to_owned(), Some(rule), NO_RULE);
            }
            if let Some((from, into)) = flow(rule, reading) {
                self.part(format!("{from} | {into}"), Some(rule), NO_RULE);
            }
        }
        for doubt in &reading.doubts {
            let verdict = Verdict::Ask("not fully understood".to_owned());
            self.parts.push(Part { text: doubt.why.to_owned(), verdict, rule: None });
        }
        let before = std::mem::replace(&mut self.guessing, true);
        for guess in &reading.guessed {
            self.reading(guess);
        }
        self.guessing = before;
    }

    fn layer(&mut self, layer: &Layer) {
        for (name, value) in &layer.assigns {
            self.assignment(name, value, layer.words.is_empty());
        }
        let Some(program) = layer.words.first() else { return };
        let text = normal(layer);
        if layer.words.len() > MOST_WORDS {
            self.part(clip(&text), None, "has more words than are looked at");
        }
        let looks = !self.guessing && self.rules.known.programs.only_looks(layer);
        let all: Vec<&str> = layer.words.iter().skip(1).map(|word| word.text.as_str()).collect();
        let mut found: Hit<'r> = self.words(&path_words(layer));
        for source in &self.rules.sources {
            for at in source.on_command(&text, self.guessing) {
                let rule = &source.rules[at];
                let holds = rule.is_for(self.tool)
                    && (!rule.on_path || self.touches(source, at, &all))
                    && match rule.tier {
                        Tier::Allow if rule.read_only => looks,
                        Tier::Allow => {
                            let folder = program.text.contains('/');
                            !folder && layer.words.iter().all(|word| word.sure == Sure::Known)
                        }
                        _ => true,
                    };
                if holds {
                    found = stricter(found, Some(rule));
                }
            }
        }
        let tier = found.map(|rule| rule.tier);
        if layer.clear && matches!(tier, None | Some(Tier::Allow)) {
            return; // what it wraps decides
        }
        if tier == Some(Tier::Allow) && !looks && self.is_protected(&all) {
            return self.part(text, None, "may change hooks, git's configuration, rules or state");
        }
        self.part(text, found, NO_RULE);
        if layer.name() == "cd"
            && let [_, folder] = layer.words.as_slice()
            && !folder.text.starts_with(['~', '$'])
        {
            self.cwd.push(&folder.text);
        }
    }

    fn assignment(&mut self, name: &str, value: &Word, alone: bool) {
        let text = format!("{name}={}", value.text);
        if let Some(rule) = self.words(&[value]) {
            return self.part(text, Some(rule), NO_RULE);
        }
        let plain = alone
            && is_plain_variable(name)
            && value.sure == Sure::Known
            && !value.text.contains(['[', '$', '`']);
        if !plain && !is_harmless_env(name) {
            self.part(text, None, "sets a variable that programs may look at");
        } else {
            self.allowed(text, None);
        }
    }

    fn allowed(&mut self, text: String, rule: Hit<'r>) {
        if !self.guessing {
            let rule = rule.map(|rule| rule.place.clone());
            self.parts.push(Part { text, verdict: Verdict::Allow, rule });
        }
    }

    fn redirect(&mut self, redirect: &Redirect) {
        let Redirect { op, target, .. } = redirect;
        if op == "<<<" || harmless_redirect(redirect) {
            return;
        }
        let text = format!("{op}{}", target.text);
        let access = if op == "<" { Access::Read } else { Access::Write };
        let mut found = self.named(&[&target.text], Some(access));
        if found.is_none() {
            found = self.words(&[target]);
        }
        let tier = found.map(|rule| rule.tier);
        let known = target.sure == Sure::Known && !target.wild;
        let device = target.text.starts_with("/dev/") || target.text.starts_with("/proc/");
        match access {
            Access::Read if known && !device && matches!(tier, None | Some(Tier::Allow)) => {
                self.allowed(text, found);
            }
            Access::Write
                if tier == Some(Tier::Allow)
                    && (!known || device || self.is_protected(&[&target.text])) =>
            {
                self.part(text, None, "writes to a file");
            }
            Access::Read => self.part(
                text,
                found.filter(|rule| rule.tier > Tier::Allow),
                "reads what is not known",
            ),
            Access::Write => self.part(text, found, "writes to a file"),
        }
    }

    fn path(&mut self, path: &Path, access: Access) {
        let text = path.to_string_lossy().into_owned();
        let found = self.named(&[&text], Some(access));
        if access == Access::Write
            && found.is_some_and(|rule| rule.tier == Tier::Allow)
            && self.is_protected(&[&text])
        {
            return self.part(
                text,
                None,
                "hooks, git's configuration, rules or state: never changed silently",
            );
        }
        self.part(text, found, NO_RULE);
    }

    /// The strictest rule on these paths alone. Allow rules need all names of the path to match.
    fn named(&self, texts: &[&str], access: Option<Access>) -> Hit<'r> {
        let mut found: Hit<'r> = None;
        for place in texts.iter().map(|text| self.place(text)) {
            for source in &self.rules.sources {
                let all = place.all(&source.paths);
                for hit in place.any(&source.paths) {
                    let Some(rule) = source.path_of.get(hit).and_then(|at| source.rules.get(*at))
                    else {
                        continue;
                    };
                    let right = rule.access.is_none() || access.is_some() && rule.access == access;
                    let sure = rule.tier != Tier::Allow || access.is_some() && all.contains(&hit);
                    if !rule.on_command
                        && right
                        && sure
                        && rule.is_for(self.tool)
                        && place.any(&rule.except).is_empty()
                    {
                        found = stricter(found, Some(rule));
                    }
                }
            }
        }
        found
    }

    /// The strictest rule, allow rules aside, on what these words may name.
    fn words(&self, words: &[&Word]) -> Hit<'r> {
        let mut found: Hit<'r> = None;
        if self.guessing && !self.denies_paths() {
            return None;
        }
        for word in words.iter().take(MOST_WORDS) {
            let hit = self.named(&in_word(&word.text), None);
            found = stricter(found, hit.filter(|rule| rule.tier > Tier::Allow));
            if word.wild {
                let hidden = self
                    .all_rules()
                    .filter(|rule| rule.tier > Tier::Allow && rule.access.is_none());
                let could =
                    |rule: &&Rule| rule.samples.iter().any(|name| could_be(&word.text, name));
                found = hidden.filter(could).fold(found, |found, rule| stricter(found, Some(rule)));
            }
        }
        found
    }

    fn place(&self, text: &str) -> Located {
        // Guesses are many and are asked about anyway; they are not worth looking at the disk.
        let find = if self.guessing { Located::by_text } else { Located::new };
        find(&self.cwd, text)
    }

    fn denies_paths(&self) -> bool {
        let alone = |rule: &Rule| rule.on_path && !rule.on_command && rule.access.is_none();
        self.all_rules().any(|rule| rule.tier == Tier::Deny && alone(rule))
    }

    fn touches(&self, source: &Source, at: usize, texts: &[&str]) -> bool {
        let rule = &source.rules[at];
        texts.iter().take(MOST_WORDS).flat_map(|text| in_word(text)).any(|text| {
            let place = self.place(text);
            place.any(&source.paths).iter().any(|hit| source.path_of.get(*hit) == Some(&at))
                && place.any(&rule.except).is_empty()
        })
    }

    fn is_protected(&self, texts: &[&str]) -> bool {
        let globs = &self.rules.known.protected;
        let pieces = texts.iter().take(MOST_WORDS).flat_map(|text| in_word(text));
        pieces.into_iter().any(|text| !self.place(text).any(globs).is_empty())
    }
}

/// The flow from one command into another that a rule means, if the line has it.
fn flow(rule: &Rule, reading: &Reading) -> Option<(String, String)> {
    let (source, sink) = rule.pipe.as_ref()?;
    let find = |regex: &regex::Regex| -> Vec<Option<String>> {
        let hit = |layers: &Vec<Layer>| layers.iter().map(normal).find(|text| regex.is_match(text));
        reading.commands.iter().map(hit).collect()
    };
    let sinks = find(sink);
    if sinks.iter().all(Option::is_none) {
        return None;
    }
    let sources = find(source);
    let end = |found: &[Option<String>], at: usize| found.get(at).cloned().flatten();
    reading.flows.iter().find_map(|&(from, into)| end(&sources, from).zip(end(&sinks, into)))
}

/// Discards or joins streams; touches no file.
fn harmless_redirect(redirect: &Redirect) -> bool {
    let Redirect { op, target, .. } = redirect;
    let digits = !target.text.is_empty() && target.text.chars().all(|c| c.is_ascii_digit());
    match op.as_str() {
        ">&" | "<&" if target.sure == Sure::Known => digits || target.text == "-",
        "<" => target.text == "/dev/null",
        "<<<" => true,
        _ => {
            target.sure == Sure::Known
                && matches!(target.text.as_str(), "/dev/null" | "/dev/stdout" | "/dev/stderr")
        }
    }
}

/// A variable of the line's own, that no program looks at.
fn is_plain_variable(name: &str) -> bool {
    name.chars().all(|c| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit())
        && !name.ends_with("_proxy")
}

/// The form that rules see: the program without its folder, words as they reach it, in quotes where
/// they would not be one word otherwise.
pub(super) fn normal(layer: &Layer) -> String {
    let mut text = String::new();
    for (at, word) in layer.words.iter().enumerate() {
        let shown = if at == 0 { layer.name() } else { word.text.as_str() };
        if at > 0 {
            text.push(' ');
        }
        let plain = |c: char| !c.is_whitespace() && !"'\"\\;&|<>()`".contains(c);
        if at == 0 {
            // Letter case hides nothing on disks that ignore it.
            let name = word.unset.as_deref().filter(|unset| !unset.is_empty());
            let name = name.map_or(shown, |unset| unset.rsplit('/').next().unwrap_or(unset));
            text.push_str(&name.to_lowercase());
        } else if !shown.is_empty() && shown.chars().all(plain) {
            text.push_str(shown);
        } else {
            text.push('\'');
            text.push_str(&shown.replace('\'', r"'\''"));
            text.push('\'');
        }
    }
    text
}

fn stricter<'r>(one: Hit<'r>, other: Hit<'r>) -> Hit<'r> {
    match (one, other) {
        (Some(a), Some(b)) => Some(if b.tier > a.tier { b } else { a }),
        (one, other) => one.or(other),
    }
}

fn strings<'v>(value: &'v serde_json::Value, found: &mut Vec<&'v str>) {
    match value {
        serde_json::Value::String(text) => found.push(text),
        serde_json::Value::Array(items) => items.iter().for_each(|item| strings(item, found)),
        serde_json::Value::Object(fields) => fields.values().for_each(|item| strings(item, found)),
        _ => {}
    }
}

fn clip(text: &str) -> String {
    match text.char_indices().nth(160) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
