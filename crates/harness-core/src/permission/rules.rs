//! The rules: a YAML file, checked and compiled. From then on they are data; a judgement looks at the disk only
//! for what a call names, to follow links and to read a repository's configuration.
//!
//! Pattern rules are no sandbox. They judge what a line says, not what the programs it names then
//! do: a build script, a test or an interpreter that was allowed may do anything its user may.

use std::path::Path;
use std::sync::Arc;

use globset::GlobSet;

use super::gate::{Policy, Verdict};
use super::normalise;
use super::paths;
use super::programs::Programs;
use super::source::Source;
use crate::conversation::message::ToolCall;
use crate::tool::Effect;

/// The policy that comes with the program, as it is written.
const BUILT_IN: &str = include_str!("../../../../config/permissions.yaml");
const BUILT_IN_NAME: &str = "config/permissions.yaml";

/// What is wrong with a policy. There is no policy then: a broken one never becomes an empty one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {what}")]
pub struct RulesError {
    /// The file, as it was named.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1.
    pub column: usize,
    /// What is wrong, and what to do.
    pub what: String,
}

/// Where a rule stands, and why it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleRef {
    /// The file.
    pub file: String,
    /// The line it begins on, counted from 1.
    pub line: usize,
    /// Its reason.
    pub reason: String,
}

/// A compiled policy. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Rules {
    pub(super) sources: Vec<Arc<Source>>,
    pub(super) known: Arc<Known>,
    pub(super) denies_rest: bool,
}

/// What is known whatever the rules are.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) programs: Programs,
    pub(super) protected: GlobSet,
}

impl Rules {
    /// The text of the policy that comes with the program.
    pub const BUILT_IN: &str = BUILT_IN;

    /// The policy that comes with the program: `config/permissions.yaml`, compiled in. Its examples
    /// are tried by a test and not again at every start.
    ///
    /// # Errors
    /// The compiled-in file is broken, which that test does not let happen.
    pub fn built_in() -> Result<Self, RulesError> {
        Self::of(Source::read(BUILT_IN, BUILT_IN_NAME, true)?)
    }

    /// Only its `always_deny` tier, for [`Rules::deny_only`]: there is less to compile and to hold.
    ///
    /// # Errors
    /// As above.
    pub fn built_in_denials() -> Result<Self, RulesError> {
        Self::of(Source::read(BUILT_IN, BUILT_IN_NAME, false)?)
    }

    /// A policy from YAML (its format: the head of `config/permissions.yaml`). The compiled-in
    /// `always_deny` tier holds beside it.
    ///
    /// # Errors
    /// Anything that is not understood: an unknown key, a regex, an example that does not hold, a
    /// file without rules. The error names file, line and column.
    pub fn parse(yaml: &str, source_name: &str) -> Result<Self, RulesError> {
        let rules = Self::of(Source::read(yaml, source_name, true)?)?;
        rules.check_examples()?;
        Ok(rules.and(Self::built_in_denials()?))
    }

    fn of((source, denies_rest): (Source, bool)) -> Result<Self, RulesError> {
        let broken =
            |what: String| RulesError { file: BUILT_IN_NAME.to_owned(), line: 1, column: 1, what };
        let protected = paths::protected().map_err(|e| broken(e.to_string()))?;
        let known = Arc::new(Known { programs: Programs::default(), protected });
        Ok(Self { sources: vec![Arc::new(source)], known, denies_rest })
    }

    /// Both policies together: every rule of both holds, and the strictest that matches wins.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.sources.extend(other.sources);
        self.denies_rest |= other.denies_rest;
        self
    }

    /// Only the `always_deny` tier: what is in force in every session. Everything else is allowed.
    pub fn deny_only(&self) -> DenyOnly {
        DenyOnly(self.clone())
    }

    /// Every example of every rule must hold, or the rule does not mean what its author thinks.
    fn check_examples(&self) -> Result<(), RulesError> {
        for source in &self.sources {
            for (at, rule) in source.rules.iter().enumerate() {
                for (example, wanted) in &source.examples[at] {
                    if normalise::example(self, source, at, example) != *wanted {
                        let verb = if *wanted { "does not match" } else { "matches" };
                        let RuleRef { file, line, .. } = &rule.place;
                        let what = format!("the rule {verb} its example `{example}`");
                        return Err(RulesError {
                            file: file.clone(),
                            line: *line,
                            column: 1,
                            what,
                        });
                    }
                }
            }
        }
        Ok(())
    }
}

impl Policy for Rules {
    fn rule_on(&self, call: &ToolCall, effect: &Effect, cwd: &Path) -> Verdict {
        self.explain(call, effect, cwd).verdict
    }

    fn told(&self) -> &'static str {
        match self.denies_rest {
            true => "what no rule allows is refused",
            false => "what no rule allows is asked first; where nobody can be asked, it is refused",
        }
    }
}

/// [`Rules::deny_only`].
#[derive(Clone, Debug)]
pub struct DenyOnly(Rules);

impl Policy for DenyOnly {
    fn rule_on(&self, call: &ToolCall, effect: &Effect, cwd: &Path) -> Verdict {
        match self.0.explain(call, effect, cwd).verdict {
            Verdict::Deny(why) => Verdict::Deny(why),
            Verdict::Ask(_) | Verdict::Allow => Verdict::Allow,
        }
    }

    fn told(&self) -> &'static str {
        "calls run without asking, but for what is never done"
    }
}
