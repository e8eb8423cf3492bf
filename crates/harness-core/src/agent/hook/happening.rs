//! What hooks outside this program are told, and what they may answer.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::conversation::message::ToolCall;
use crate::permission::Verdict;

/// A kind of event. The names are Claude Code's, but for `PermissionDecided` and `Reply`, which are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// The program is ready. What a hook says goes to the model with the first prompt.
    SessionStart,
    /// The human said something. It can be refused before the model sees it.
    UserPromptSubmit,
    /// A call is about to be judged. It can be denied, asked about or rewritten.
    PreToolUse,
    /// The user is asked about a call.
    PermissionRequest,
    /// A call was denied, or allowed after a question.
    PermissionDecided,
    /// A call has worked. Its result can be replaced.
    PostToolUse,
    /// A call has failed, or never ran.
    PostToolUseFailure,
    /// Older messages were folded into a summary.
    PostCompact,
    /// A subagent starts.
    SubagentStart,
    /// It ended.
    SubagentStop,
    /// A reply is complete.
    Reply,
    /// The lead wants to stop. It can be sent back.
    Stop,
    /// A turn failed.
    StopFailure,
    /// The program is about to leave.
    SessionEnd,
}

/// One event, as everybody is told it: functions, programs and a log.
#[derive(Clone, Debug, PartialEq)]
pub struct Happening {
    /// What happened.
    pub kind: Kind,
    /// To which agent.
    pub agent: String,
    /// The rest, under Claude Code's names: `tool_name`, `tool_input`, `prompt` …
    pub fields: Map<String, Value>,
}

impl Happening {
    /// `fields` is a JSON object; anything else has none.
    pub fn new(kind: Kind, agent: &str, fields: Value) -> Self {
        let Value::Object(fields) = fields else { return Self::new(kind, agent, json!({})) };
        Self { kind, agent: agent.to_owned(), fields }
    }

    /// Something about a call; `more` is a JSON object.
    pub fn of_call(kind: Kind, agent: &str, call: &ToolCall, more: Value) -> Self {
        let (name, input, id) = (&call.name, &call.input, &call.id);
        let call = json!({"tool_name": name, "tool_input": input, "tool_use_id": id});
        let mut happening = Self::new(kind, agent, call);
        happening.fields.extend(Self::new(kind, agent, more).fields);
        happening
    }

    /// The text of a field; "" where there is none.
    pub fn text(&self, field: &str) -> &str {
        self.fields.get(field).and_then(Value::as_str).unwrap_or_default()
    }
}

/// What a hook says. Most say nothing, which is `Answer::default()`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// May it go on? A denied prompt is not sent, a denied stop sends the model back. An allow is no more
    /// than silence: what a rule asks or denies stays asked or denied.
    pub verdict: Option<Verdict>,
    /// Before a call: run it with this input instead.
    pub input: Option<Map<String, Value>>,
    /// After a call: the model reads this instead.
    pub output: Option<String>,
    /// For the model, with its next request.
    pub context: Vec<String>,
    /// For the user, at once.
    pub notices: Vec<String>,
    /// The turn is to end, and why.
    pub halt: Option<String>,
    /// Why the hook itself failed. What follows from that stands in the verdict.
    pub failed: Option<String>,
}

/// What the failure of a hook amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// A no. Before a call that is the rule.
    Block,
    /// Silence, and the user is told. Everywhere else that is the rule.
    Allow,
}

impl Answer {
    /// A no, and why.
    pub fn deny(why: impl Into<String>) -> Self {
        Self { verdict: Some(Verdict::Deny(why.into())), ..Self::default() }
    }

    /// What it amounts to that a hook failed: `told` is what its configuration says of that.
    pub fn failure(kind: Kind, told: Option<OnFailure>, who: &str, why: &str) -> Self {
        let before_call = kind == Kind::PreToolUse;
        let usual = if before_call { OnFailure::Block } else { OnFailure::Allow };
        let what = format!("the hook `{who}` failed: {why}");
        let answer = match told.unwrap_or(usual) {
            OnFailure::Block => Self::deny(format!("{what}; what it cannot judge is blocked")),
            OnFailure::Allow => Self { notices: vec![what], ..Self::default() },
        };
        Self { failed: Some(why.to_owned()), ..answer }
    }

    /// Why it may not go on, if it may not. (Where nobody can be asked, a question is a no.)
    pub fn refusal(&self) -> Option<&str> {
        match &self.verdict {
            Some(Verdict::Deny(why) | Verdict::Ask(why)) => Some(why),
            _ => None,
        }
    }

    /// Both answers as one: the strictest verdict wins, and two different inputs are a no.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.verdict = self.verdict.max(other.verdict);
        if self.input.is_some() && other.input.is_some() && self.input != other.input {
            let torn = "two hooks rewrote the input, each in its own way".to_owned();
            self.verdict = self.verdict.max(Some(Verdict::Deny(torn)));
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
