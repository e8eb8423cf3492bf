//! What subscribers are told.

use harness_core::ToolCall;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// What a subscriber can wait for. The names are Claude Code's, except `PermissionDecided` and `Reply`, which
/// are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum HookEventKind {
    /// The program is ready. What a hook says goes to the model with the first prompt.
    SessionStart,
    /// The user sent a prompt. A hook can refuse it before the model sees it.
    UserPromptSubmit,
    /// A call is about to be judged. A hook can deny it, ask about it or rewrite it.
    PreToolUse,
    /// The user is asked about a call.
    PermissionRequest,
    /// A call was denied, or allowed after a question.
    PermissionDecided,
    /// A call succeeded. A hook can replace its result.
    PostToolUse,
    /// A call failed, or never ran.
    PostToolUseFailure,
    /// Older messages were replaced by a summary.
    PostCompact,
    /// A subagent starts.
    SubagentStart,
    /// A subagent ended.
    SubagentStop,
    /// A reply of the model is complete.
    Reply,
    /// The lead wants to stop. A hook can send it back to work.
    Stop,
    /// A turn failed.
    StopFailure,
    /// The program is about to exit.
    SessionEnd,
}

/// One event, in the form in which functions, programs and the log get it.
#[derive(Clone, Debug, PartialEq)]
pub struct HookEvent {
    /// What happened.
    pub kind: HookEventKind,
    /// The name of the agent it happened to.
    pub agent: String,
    /// The details, under Claude Code's names: `tool_name`, `tool_input`, `prompt` …
    pub fields: Map<String, Value>,
}

impl HookEvent {
    /// An event with these fields. They are a JSON object; anything else counts as an empty one.
    pub fn new(kind: HookEventKind, agent: &str, fields: Value) -> Self {
        let fields = match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        Self { kind, agent: agent.to_owned(), fields }
    }

    /// An event about a call: the call's name, input and id, and the fields in `more`, a JSON object.
    pub fn about_call(kind: HookEventKind, agent: &str, call: &ToolCall, more: Value) -> Self {
        let fields = json!({
            "tool_name": call.name,
            "tool_input": call.input,
            "tool_use_id": call.id,
        });
        let mut event = Self::new(kind, agent, fields);
        if let Value::Object(more) = more {
            event.fields.extend(more);
        }
        event
    }

    /// The text in a field; empty if there is none.
    pub fn text(&self, field: &str) -> &str {
        self.fields.get(field).and_then(Value::as_str).unwrap_or_default()
    }
}
