//! What subscribers may answer, and how two answers become one.

use harness_core::Verdict;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::event::HookEventKind;

/// What a hook decides. Most decide nothing, which is `HookDecision::default()`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HookDecision {
    /// Whether it may go on. A denied prompt is not sent, a denied stop sends the model back to work. An
    /// allow is no more than silence: what a rule asks about or denies stays asked or denied.
    pub verdict: Option<Verdict>,
    /// Before a call: run it with this input instead.
    pub input: Option<Map<String, Value>>,
    /// After a call: the model reads this instead of the result.
    pub output: Option<String>,
    /// For the model, with its next request.
    pub context: Vec<String>,
    /// For the user, at once.
    pub notices: Vec<String>,
    /// The turn must end, for this reason.
    pub halt: Option<String>,
    /// Why the hook itself failed. What follows from that is in `verdict`.
    pub failed: Option<String>,
}

/// What the failure of a hook counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// A denial. The default before a call.
    Block,
    /// Silence, and the user is told. The default everywhere else.
    Allow,
}

impl OnFailure {
    /// A guard that broke guards nothing, so before a call its failure blocks. Afterwards there is nothing
    /// left to prevent.
    fn default_for(kind: HookEventKind) -> Self {
        match kind {
            HookEventKind::PreToolUse => Self::Block,
            _ => Self::Allow,
        }
    }
}

impl HookDecision {
    /// A denial, and the reason for it.
    pub fn deny(reason: impl Into<String>) -> Self {
        Self { verdict: Some(Verdict::Deny(reason.into())), ..Self::default() }
    }

    /// The decision that the failure of the hook `name` counts as. `configured` is its `on_failure`, if its
    /// file sets one.
    pub fn failure(
        kind: HookEventKind,
        configured: Option<OnFailure>,
        name: &str,
        reason: &str,
    ) -> Self {
        let message = format!("the hook `{name}` failed: {reason}");
        let on_failure = configured.unwrap_or(OnFailure::default_for(kind));
        let mut decision = match on_failure {
            OnFailure::Block => {
                Self::deny(format!("{message}; blocked, because it could not be checked"))
            }
            OnFailure::Allow => Self { notices: vec![message], ..Self::default() },
        };
        decision.failed = Some(reason.to_owned());
        decision
    }

    /// Why it may not go on, if it may not. Where nobody can be asked, a question counts as a denial.
    pub fn refusal(&self) -> Option<&str> {
        match &self.verdict {
            Some(Verdict::Deny(reason) | Verdict::Ask(reason)) => Some(reason),
            _ => None,
        }
    }

    /// Both decisions as one: the strictest verdict wins, and two different inputs are a denial.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.verdict = self.verdict.max(other.verdict);
        if self.input.is_some() && other.input.is_some() && self.input != other.input {
            let conflict =
                Verdict::Deny("two hooks rewrote the input in different ways".to_owned());
            self.verdict = self.verdict.max(Some(conflict));
        }
        self.input = self.input.or(other.input);
        self.output = self.output.or(other.output);
        self.context.extend(other.context);
        self.notices.extend(other.notices);
        self.halt = self.halt.or(other.halt);
        self.failed = self.failed.or(other.failed);
        self
    }
}
