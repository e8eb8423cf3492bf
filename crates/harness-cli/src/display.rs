//! The display that every session has: words as they arrive, a line a tool, a few lines of its result.

use std::sync::{Mutex, PoisonError};

use harness_core::{Delta, Event, Observer, ToolCall, ToolResult, text};
use serde_json::Value;

use crate::screen::{BOLD, CYAN, DIM, RED, Screen, cut, width};

/// How many lines of a result are shown; the model always gets all of it.
const LINES: usize = 8;

/// Prints what happens. The lead streams; other agents are told by the line, under their names.
#[derive(Debug)]
pub struct Display {
    screen: Screen,
    lead: String,
    stripper: Mutex<text::Stripper>,
}

impl Display {
    /// A display for the agent of this name.
    pub fn new(screen: Screen, lead: impl Into<String>) -> Self {
        Self { screen, lead: lead.into(), stripper: Mutex::default() }
    }

    fn words(&self, delta: &Delta) {
        let (words, thinking) = match delta {
            Delta::Text(words) => (words, false),
            Delta::Thinking(words) => (words, true),
            Delta::ToolInput { name, bytes, .. } => {
                return self.screen.spin(format!("writing {name} ({bytes} bytes)"));
            }
            _ => return,
        };
        let words = self.stripper.lock().unwrap_or_else(PoisonError::into_inner).push(words);
        match thinking {
            true => self.screen.styled(DIM, &words),
            false => self.screen.print(&words),
        }
    }

    fn finished(&self, call: &ToolCall, result: &ToolResult) {
        let (style, text) = match result.is_error {
            true => (RED, result.content.text()),
            false => (DIM, result.content.text()),
        };
        let text = text::strip(&text);
        let lines: Vec<&str> = text.trim_end().lines().collect();
        for line in lines.iter().take(LINES) {
            self.screen.styled_line(style, &format!("  {line}"));
        }
        if lines.len() > LINES {
            let more = lines.len() - LINES;
            self.screen.styled_line(DIM, &format!("  … {more} more lines"));
        }
        if text.trim().is_empty() {
            self.screen.styled_line(DIM, &format!("  ({} said nothing)", call.name));
        }
    }
}

impl Observer for Display {
    fn on(&self, agent: &str, event: &Event) {
        let lead = agent == self.lead;
        let by = if lead { String::new() } else { format!("{agent}: ") };
        match event {
            Event::Delta(delta) if lead => self.words(delta),
            Event::Replied(_) if lead => {
                self.screen.end_line();
                self.screen.rest();
            }
            Event::Replied(reply) => {
                for line in text::strip(&reply.text()).lines() {
                    self.screen.line(format!("{by}{line}"));
                }
            }
            Event::Prompt(_) if lead => self.screen.spin("thinking"),
            Event::Retrying { wait, why } => {
                let seconds = wait.as_secs_f64();
                let line = format!("{by}{why}; trying again in {seconds:.1} s");
                self.screen.styled_line(DIM, &text::strip(&line));
            }
            Event::ToolStarted(call) => {
                self.screen.styled_line(CYAN, &format!("{by}▸ {}", title(call)));
                self.screen.spin(call.name.clone());
            }
            Event::ToolFinished { call, result, took } => {
                self.screen.rest();
                if took.is_zero() {
                    self.screen.styled_line(CYAN, &format!("{by}▸ {}", title(call)));
                }
                self.finished(call, result);
                self.screen.spin("thinking");
            }
            Event::Folded { messages } => {
                self.screen
                    .styled_line(DIM, &format!("{by}{messages} messages folded into a summary"));
            }
            Event::ChildStarted { child, task } => {
                self.screen
                    .styled_line(BOLD, &format!("{by}{child} starts: {}", text::strip(task)));
            }
            Event::ChildEnded { child, outcome } => {
                self.screen.styled_line(BOLD, &format!("{by}{child}: {}", text::strip(outcome)));
            }
            Event::Notice(notice) => self.screen.line(format!("{by}{}", text::strip(notice))),
            Event::TurnEnded(_) | Event::TurnFailed(_) if lead => {
                self.screen.end_line();
                self.screen.rest();
            }
            _ => {}
        }
    }
}

/// A call in a line: the tool, and what it works on.
pub fn title(call: &ToolCall) -> String {
    let value = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let input = match call.input.len() {
        1 => call.input.values().map(value).collect(),
        _ => {
            let pairs = call.input.iter().map(|(k, v)| format!("{k}={}", cut(&value(v), 40)));
            pairs.collect::<Vec<_>>().join(" ")
        }
    };
    cut(&text::visible(&format!("{} {input}", call.name)), width().max(20) * 2)
}
