//! The ruling: what a call would do, held against the rules, part by part.

use std::path::{Path, PathBuf};

use super::gate::Verdict;
use super::line::read;
use super::normalise::{
    clip, flow, harmless_redirect, is_plain_variable, normal, stricter, strings,
};
use super::programs::{is_harmless_env, path_words};
use super::repository::Repositories;
use super::rules::{RuleRef, Rules};
use super::source::{Access, Rule, Tier};
use crate::conversation::message::ToolCall;
use crate::tool::Effect;
use harness_shell::Layer;
use harness_shell::Reading;
use harness_shell::{Certainty, Word};
use harness_shell::{Redirect, TOO_LONG};

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
pub(super) const MOST_WORDS: usize = 500;

const NO_RULE: &str = "no rule allows this";

impl Rules {
    /// What the rules say of this call, part by part.
    pub fn explain(&self, call: &ToolCall, effect: &Effect, cwd: &Path) -> Ruling {
        let judge = Judge::new(self, &call.name, cwd);
        judge.call(call, effect)
    }

    /// What the rules say of a shell line.
    pub fn explain_line(&self, line: &str, cwd: &Path) -> Ruling {
        let mut judge = Judge::new(self, "bash", cwd);
        judge.line(line);
        judge.ruling()
    }
}

pub(super) struct Judge<'r> {
    pub(super) rules: &'r Rules,
    pub(super) tool: &'r str,
    /// The workspace.
    pub(super) cwd: &'r Path,
    /// Where relative names may start: the workspace and every folder that the line goes to.
    pub(super) folders: Vec<PathBuf>,
    repositories: Repositories,
    parts: Vec<Part>,
    /// What is judged was only guessed at, and is asked about anyway: only what is denied counts.
    pub(super) guessing: bool,
}

pub(super) type Hit<'r> = Option<&'r Rule>;

impl<'r> Judge<'r> {
    fn new(rules: &'r Rules, tool: &'r str, cwd: &'r Path) -> Self {
        let folders = vec![cwd.to_path_buf()];
        let (repositories, parts) = (Repositories::default(), Vec::new());
        Self { rules, tool, cwd, folders, repositories, parts, guessing: false }
    }

    fn call(mut self, call: &ToolCall, effect: &Effect) -> Ruling {
        let mut tool: Hit<'r> = None;
        for rule in self.all_rules().filter(|rule| rule.on_tool_alone() && rule.is_for(&call.name))
        {
            tool = stricter(tool, Some(rule));
        }
        match effect {
            Effect::Runs(line) => self.line(line),
            Effect::Internal => {
                // Allowed where reading is.
                let reads = |rule: &&Rule| {
                    rule.tier == Tier::Allow && rule.on_path && rule.access == Some(Access::Read)
                };
                let rule = self.all_rules().find(reads);
                self.part(call.name.clone(), rule, NO_RULE);
            }
            Effect::Reads(paths) if !paths.is_empty() => {
                paths.iter().for_each(|path| self.path(path, Access::Read))
            }
            Effect::Writes(paths) if !paths.is_empty() => {
                paths.iter().for_each(|path| self.path(path, Access::Write))
            }
            // An effect on paths that names none says nothing.
            Effect::Reads(_) | Effect::Writes(_) | Effect::Unknown => {
                // What it does is not known, so any text in its input may be a path.
                let mut texts = Vec::new();
                call.input.values().for_each(|value| strings(value, &mut texts));
                let mut found = tool;
                for text in texts {
                    found = stricter(found, self.named(text, None));
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

    pub(super) fn part(&mut self, text: String, rule: Hit<'r>, otherwise: &str) {
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

    pub(super) fn all_rules(&self) -> impl Iterator<Item = &'r Rule> + use<'r> {
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
        for layer in reading.commands.iter().flatten() {
            self.layer(layer);
        }
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
        let mut looks = !self.guessing && self.rules.known.programs.only_looks(layer);
        let mut otherwise = NO_RULE;
        if looks && layer.name() == "git" && !self.repositories.are_plain(layer, &self.folders) {
            looks = false;
            otherwise = "a repository's own configuration may name programs, and git starts them";
        }
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
                            !folder && layer.words.iter().all(|word| word.sure == Certainty::Known)
                        }
                        _ => true,
                    };
                if holds {
                    found = stricter(found, Some(rule));
                }
            }
        }
        let tier = found.map(|rule| rule.tier);
        if layer.transparent && matches!(tier, None | Some(Tier::Allow)) {
            return; // what it wraps decides
        }
        if tier == Some(Tier::Allow) && !looks && self.is_protected(&all) {
            return self.part(text, None, "may change hooks, git's configuration, rules or state");
        }
        self.part(text, found, otherwise);
        if layer.name() == "cd" {
            // The last word: `cd -P folder`.
            self.go(layer.words[1..].last().map_or("~", |folder| &folder.text));
        }
    }

    fn assignment(&mut self, name: &str, value: &Word, alone: bool) {
        let text = format!("{name}={}", value.text);
        if let Some(rule) = self.words(&[value]) {
            return self.part(text, Some(rule), NO_RULE);
        }
        let plain = alone
            && is_plain_variable(name)
            && value.sure == Certainty::Known
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
        let mut found = self.named(&target.text, Some(access));
        if found.is_none() {
            found = self.words(&[target]);
        }
        let tier = found.map(|rule| rule.tier);
        let known =
            target.sure == Certainty::Known && !target.wild && !target.text.starts_with('~');
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
        let found = self.named(&text, Some(access));
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
}
