//! Who only looks on: the log, the figures, the timer.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use harness_cli::{columns, cut};
use harness_core::Mutex;
use harness_core::agent::hook::program::Setting;
use harness_core::host::journal::Journal;
use harness_core::host::own_paths;
use harness_core::host::text;
use harness_core::host::workspace::Workspace;
use serde_json::{Map, Value, json};

use crate::{Answer, Happening, Kind};

/// The log, in the workspace.
const LOG: &str = own_paths::EVENTS.name;
/// The most of one text that is logged, in bytes from each end.
const SHOWN: usize = 1000;

/// The fields whose size is logged too.
const SIZED: [&str; 5] = ["tool_input", "tool_response", "error", "prompt", "text"];

pub(crate) struct Watch {
    setting: Setting,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    log: Option<Journal<Value>>,
    /// Why there is no log any more.
    fault: Option<String>,
    /// When a call began, by agent and call id: two calls of one tool may run at the same time.
    running: HashMap<(String, String), Instant>,
    /// By tool and by hook: how often, how often it was a no, and for how long in all.
    rows: BTreeMap<String, (usize, usize, Duration)>,
}

impl Watch {
    pub(crate) fn new(setting: &Setting) -> Self {
        // Not through a link: in somebody's workspace it may lead to any file of the user's.
        let folder = Workspace::open(&setting.cwd);
        let place = folder.and_then(|folder| Ok(folder.absolute(folder.resolve(LOG)?)));
        let fault = place.as_ref().err().map(|error| format!("no events are logged: {error}"));
        let log = place.ok().map(|place| Journal::new(place).unsynced()); // no turn waits for a log
        let state = State { log, fault, ..State::default() };
        Self { setting: setting.clone(), state: Mutex::new(state) }
    }

    /// Logs what happened, and counts the calls.
    pub(crate) fn saw(&self, happening: &Happening) {
        let failed = happening.kind == Kind::PostToolUseFailure;
        if failed || happening.kind == Kind::PostToolUse {
            let took = happening.fields.get("duration_ms").and_then(Value::as_u64).unwrap_or(0);
            self.count(happening.text("tool_name"), failed, Duration::from_millis(took));
        }
        self.write(json!(happening.kind), &happening.agent, happening.fields.clone());
    }

    /// Logs what a hook answered, and counts it.
    pub(crate) fn heard(&self, to: &Happening, hook: &str, answer: &Answer, took: Duration) {
        self.count(&format!("{:?} {hook}", to.kind), answer.refusal().is_some(), took);
        let fields = json!({"on": to.kind, "tool_use_id": to.text("tool_use_id"), "hook": hook,
            "refused": answer.refusal(), "failed": answer.failed, "rewrote": answer.input.is_some(),
            "duration_ms": took.as_millis() as u64});
        self.write(json!("Hook"), &to.agent, fields.as_object().cloned().unwrap_or_default());
    }

    /// A call begins.
    pub(crate) fn start(&self, agent: &str, call_id: &str) {
        self.state.lock().running.insert((agent.to_owned(), call_id.to_owned()), Instant::now());
    }

    /// It has ended: how long it ran.
    pub(crate) fn stop(&self, agent: &str, call_id: &str) -> Duration {
        let call = (agent.to_owned(), call_id.to_owned());
        self.state.lock().running.remove(&call).map_or(Duration::ZERO, |start| start.elapsed())
    }

    /// The figures, a row a line.
    pub(crate) fn stats(&self) -> String {
        let mut table = format!("{:>6} {:>6} {:>8}\n", "times", "no", "seconds");
        for (name, (times, no, took)) in &self.state.lock().rows {
            let (name, took) = (text::line(name), took.as_secs_f64());
            let row = format!("{times:>6} {no:>6} {took:>8.1}  {name}");
            let _ = writeln!(table, "{}", cut(&row, columns()));
        }
        table
    }

    /// Why there is no log any more; said once.
    pub(crate) fn fault(&self) -> Option<String> {
        self.state.lock().fault.take()
    }

    fn count(&self, row: &str, no: bool, took: Duration) {
        let mut state = self.state.lock();
        let row = state.rows.entry(row.to_owned()).or_default();
        *row = (row.0 + 1, row.1 + usize::from(no), row.2 + took);
    }

    fn write(&self, event: Value, agent: &str, fields: Map<String, Value>) {
        let time = jiff::Timestamp::now().to_string();
        let mut line = json!({"time": time, "session": self.setting.session, "event": event,
            "agent": agent});
        for (name, mut value) in fields {
            self.setting.secrets.mask_json(&mut value);
            let bytes = clip(&mut value);
            if SIZED.contains(&name.as_str()) {
                line[format!("{name}_bytes")] = bytes.into();
            }
            line[name] = value;
        }
        let mut state = self.state.lock();
        if let Some(Err(error)) = state.log.as_ref().map(|log| log.append(&line)) {
            let fault = format!("events are no longer logged: {error}");
            (state.log, state.fault) = (None, Some(fault));
        }
    }
}

/// Shortens what is long, and says how many bytes it had.
fn clip(value: &mut Value) -> usize {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if text.len() > 2 * SHOWN {
        *value = text::clip(&text, SHOWN, SHOWN).into();
    }
    text.len()
}
