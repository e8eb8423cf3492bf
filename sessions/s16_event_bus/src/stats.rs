//! The figures behind `:stats`: how often each tool and each hook ran, and for how long.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use harness_cli::{columns, cut};
use harness_core::Mutex;
use harness_core::host::text;
use serde_json::Value;

use crate::{HookDecision, HookEvent, HookEventKind};

/// Figures and running timers of one bus.
#[derive(Default)]
pub(crate) struct Stats {
    rows: Mutex<BTreeMap<String, Row>>,
    timers: Mutex<HashMap<TimerKey, Instant>>,
}

/// Agent and call id. Not the tool's name: two calls of one tool may run at the same time.
type TimerKey = (String, String);

/// The figures of one tool or hook.
#[derive(Default)]
struct Row {
    times: usize,
    refused: usize,
    took: Duration,
}

impl Stats {
    /// A call starts.
    pub(crate) fn start_timer(&self, agent: &str, call_id: &str) {
        let key = (agent.to_owned(), call_id.to_owned());
        self.timers.lock().insert(key, Instant::now());
    }

    /// A call ended: how long it ran; zero if it never started.
    pub(crate) fn stop_timer(&self, agent: &str, call_id: &str) -> Duration {
        let key = (agent.to_owned(), call_id.to_owned());
        match self.timers.lock().remove(&key) {
            Some(start) => start.elapsed(),
            None => Duration::ZERO,
        }
    }

    /// Counts a call that ended. Other events are not counted.
    pub(crate) fn event(&self, event: &HookEvent) {
        let failed = match event.kind {
            HookEventKind::PostToolUse => false,
            HookEventKind::PostToolUseFailure => true,
            _ => return,
        };
        let milliseconds = event.fields.get("duration_ms").and_then(Value::as_u64);
        let took = Duration::from_millis(milliseconds.unwrap_or(0));
        self.count(event.text("tool_name"), failed, took);
    }

    /// Counts what a hook decided about an event.
    pub(crate) fn decision(
        &self,
        event: &HookEvent,
        hook: &str,
        decision: &HookDecision,
        took: Duration,
    ) {
        let name = format!("{:?} {hook}", event.kind);
        self.count(&name, decision.refusal().is_some(), took);
    }

    /// The figures, a line for each tool and hook, cut to the width of the terminal.
    pub(crate) fn table(&self) -> String {
        let mut table = format!("{:>6} {:>6} {:>8}\n", "times", "no", "seconds");
        for (name, row) in self.rows.lock().iter() {
            let name = text::line(name);
            let seconds = row.took.as_secs_f64();
            let line = format!("{:>6} {:>6} {seconds:>8.1}  {name}", row.times, row.refused);
            table.push_str(&cut(&line, columns()));
            table.push('\n');
        }
        table
    }

    fn count(&self, name: &str, refused: bool, took: Duration) {
        let mut rows = self.rows.lock();
        let row = rows.entry(name.to_owned()).or_default();
        row.times += 1;
        row.refused += usize::from(refused);
        row.took += took;
    }
}
