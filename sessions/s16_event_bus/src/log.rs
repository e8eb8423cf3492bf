//! The log: a line of JSON for each event, and one for each decision about it.

use std::time::Duration;

use harness_core::host::journal::Journal;
use harness_core::host::own_paths;
use harness_core::host::text;
use harness_core::host::workspace::Workspace;
use harness_core::{Mutex, Secrets};
use serde_json::{Map, Value, json};

use crate::program::ProgramContext;
use crate::{HookDecision, HookEvent};

/// The log, in the workspace.
const LOG_FILE: &str = own_paths::EVENTS.name;
/// How many bytes of a text are logged, from each of its ends.
const MAX_LOGGED_BYTES: usize = 1000;
/// The fields whose size is logged too, because they may be clipped.
const FIELDS_WITH_SIZE: [&str; 5] = ["tool_input", "tool_response", "error", "prompt", "text"];

/// The log of one bus. A log that cannot be written stops nothing; the user is told once.
pub(crate) struct EventLog {
    session: String,
    secrets: Secrets,
    state: Mutex<LogState>,
}

struct LogState {
    journal: Option<Journal<Value>>,
    /// Why there is no log, until the user has been told.
    fault: Option<String>,
}

impl EventLog {
    pub(crate) fn open(context: &ProgramContext) -> Self {
        let state = match journal(context) {
            Ok(journal) => LogState { journal: Some(journal), fault: None },
            Err(fault) => LogState { journal: None, fault: Some(fault) },
        };
        Self {
            session: context.session.clone(),
            secrets: context.secrets.clone(),
            state: Mutex::new(state),
        }
    }

    /// Logs an event.
    pub(crate) fn event(&self, event: &HookEvent) {
        self.write(json!(event.kind), &event.agent, event.fields.clone());
    }

    /// Logs what a hook decided about an event.
    pub(crate) fn decision(
        &self,
        event: &HookEvent,
        hook: &str,
        decision: &HookDecision,
        took: Duration,
    ) {
        let mut fields = Map::new();
        fields.insert("on".to_owned(), json!(event.kind));
        fields.insert("tool_use_id".to_owned(), json!(event.text("tool_use_id")));
        fields.insert("hook".to_owned(), json!(hook));
        fields.insert("refused".to_owned(), json!(decision.refusal()));
        fields.insert("failed".to_owned(), json!(decision.failed));
        fields.insert("rewrote".to_owned(), json!(decision.input.is_some()));
        fields.insert("duration_ms".to_owned(), json!(took.as_millis() as u64));
        self.write(json!("Hook"), &event.agent, fields);
    }

    /// Why nothing is logged any more; `Some` only once.
    pub(crate) fn take_fault(&self) -> Option<String> {
        self.state.lock().fault.take()
    }

    fn write(&self, event: Value, agent: &str, fields: Map<String, Value>) {
        let mut line = json!({
            "time": jiff::Timestamp::now().to_string(),
            "session": self.session,
            "event": event,
            "agent": agent,
        });
        for (name, mut value) in fields {
            self.secrets.mask_json(&mut value);
            let size = clip(&mut value);
            if FIELDS_WITH_SIZE.contains(&name.as_str()) {
                line[format!("{name}_bytes")] = size.into();
            }
            line[name] = value;
        }
        let mut state = self.state.lock();
        let Some(journal) = &state.journal else { return };
        if let Err(error) = journal.append(&line) {
            state.journal = None;
            state.fault = Some(format!("events are no longer logged: {error}"));
        }
    }
}

/// Opens the log, unless the file is a link: in somebody's workspace that may lead to any file of the user's.
fn journal(context: &ProgramContext) -> Result<Journal<Value>, String> {
    let not_logged = |error: &dyn std::fmt::Display| format!("no events are logged: {error}");
    let workspace = Workspace::open(&context.cwd).map_err(|error| not_logged(&error))?;
    let resolved = workspace.resolve(LOG_FILE).map_err(|error| not_logged(&error))?;
    // Unsynced, because no turn is to wait for the log.
    Ok(Journal::new(workspace.absolute(resolved)).unsynced())
}

/// Shortens a long value to the two ends of its text. Returns how many bytes it had.
fn clip(value: &mut Value) -> usize {
    let text = match &*value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.len() > 2 * MAX_LOGGED_BYTES {
        *value = text::clip(&text, MAX_LOGGED_BYTES, MAX_LOGGED_BYTES).into();
    }
    text.len()
}
