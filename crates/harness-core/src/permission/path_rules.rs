//! Held against path rules: what a call, a redirect or a word may touch.

use std::path::PathBuf;

use super::judge::{Hit, Judge, MOST_WORDS};
use super::normalise::stricter;
use super::paths::{self, ResolvedPath, could_be, in_word};
use super::source::{Access, Rule, Source, Tier};
use harness_shell::Word;

impl<'r> Judge<'r> {
    /// The rule on a path. Deny and ask hold if it may be meant under any of its names; allow only
    /// if every name is: a link into the workspace does not make a file one of it.
    pub(super) fn named(&self, text: &str, access: Option<Access>) -> Hit<'r> {
        let hits: Vec<Hit<'r>> =
            self.places(text).iter().map(|place| self.at(place, access)).collect();
        let every = hits.iter().all(Option::is_some);
        let strictest = hits.into_iter().fold(None, stricter);
        strictest.filter(|rule| every || rule.tier > Tier::Allow)
    }

    fn at(&self, place: &ResolvedPath, access: Option<Access>) -> Hit<'r> {
        let mut found: Hit<'r> = None;
        for source in &self.rules.sources {
            let of = |hit: usize| source.path_of.get(hit).and_then(|at| source.rules.get(*at));
            for rule in place.matches(&source.paths).into_iter().filter_map(of) {
                let right = rule.access.is_none() || access.is_some() && rule.access == access;
                let sure = rule.tier != Tier::Allow || access.is_some();
                let means = rule.is_for(self.tool) && !place.is_in(&rule.except);
                if !rule.on_command && right && sure && means {
                    found = stricter(found, Some(rule));
                }
            }
        }
        found
    }

    /// The strictest rule, allow rules aside, on what these words may name.
    pub(super) fn words(&self, words: &[&Word]) -> Hit<'r> {
        let mut found: Hit<'r> = None;
        if self.guessing && !self.denies_paths() {
            return None;
        }
        for word in words.iter().take(MOST_WORDS) {
            for text in in_word(&word.text) {
                found = stricter(found, self.named(text, None));
            }
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

    /// The line goes to another folder. It may go back, or not go at all: both places count.
    pub(super) fn go(&mut self, folder: &str) {
        if self.folders.len() > 4 {
            return self.part(
                format!("cd {folder}"),
                None,
                "goes to more folders than are followed",
            );
        }
        let here = self.folders.last().map(PathBuf::as_path).unwrap_or(self.cwd);
        let there =
            if folder.starts_with(['~', '$']) { PathBuf::from(folder) } else { here.join(folder) };
        self.folders.push(there);
    }

    fn places(&self, text: &str) -> Vec<ResolvedPath> {
        let found = self.folders.iter().flat_map(|folder| match self.guessing {
            // Guesses are many and are asked about anyway; they are not worth looking at the disk.
            true => vec![paths::by_text(self.cwd, folder, text)],
            false => paths::places(self.cwd, folder, text),
        });
        found.collect()
    }

    fn denies_paths(&self) -> bool {
        let alone = |rule: &Rule| rule.on_path && !rule.on_command && rule.access.is_none();
        self.all_rules().any(|rule| rule.tier == Tier::Deny && alone(rule))
    }

    /// Does one of these words name a path that this rule means?
    pub(super) fn touches(&self, source: &Source, at: usize, texts: &[&str]) -> bool {
        let pieces = texts.iter().take(MOST_WORDS).flat_map(|text| in_word(text));
        pieces.flat_map(|text| self.places(text)).any(|place| source.means(at, &place))
    }

    pub(super) fn is_protected(&self, texts: &[&str]) -> bool {
        let globs = &self.rules.known.protected;
        let pieces = texts.iter().take(MOST_WORDS).flat_map(|text| in_word(text));
        pieces.flat_map(|text| self.places(text)).any(|place| place.is_in(globs))
    }
}
