//! The display that every session has: words as they arrive, a line a tool, a few lines of its result.

use std::sync::{Mutex, MutexGuard, PoisonError};

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
    /// Whose line is the last one on the screen.
    last: Mutex<String>,
}

impl Display {
    /// A display for the agent of this name.
    pub fn new(screen: Screen, lead: impl Into<String>) -> Self {
        Self { screen, lead: lead.into(), stripper: Mutex::default(), last: Mutex::default() }
    }

    /// The next line is this agent's. Says whether the last one was too.
    fn turns_to(&self, agent: &str) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *last, agent.to_owned()) == agent
    }

    fn words(&self, delta: &Delta) {
        let (words, thinking) = match delta {
            Delta::Text(words) => (words, false),
            Delta::Thinking(words) => (words, true),
            Delta::ToolInput { name, bytes, .. } => {
                self.screen.end_line(); // the spinner needs a line of its own
                return self.screen.spin(format!("writing {name} ({bytes} bytes)"));
            }
            _ => return,
        };
        let words = self.stripper().push(words);
        match thinking {
            true => self.screen.styled(DIM, &words),
            false => self.screen.print(&words),
        }
    }

    fn stripper(&self) -> MutexGuard<'_, text::Stripper> {
        self.stripper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was begun ends here: the line, the spinner, and a control sequence that was never closed,
    /// which would hide the beginning of the next reply.
    fn end(&self) {
        *self.stripper() = text::Stripper::default();
        self.screen.end_line();
        self.screen.rest();
    }

    /// Shows a result under its call. `by` names the agent where another one's lines came between.
    fn finished(&self, by: &str, call: &ToolCall, result: &ToolResult) {
        let (style, text) = match result.is_error {
            true => (RED, result.content.text()),
            false => (DIM, result.content.text()),
        };
        let text = text::strip(&text);
        let lines: Vec<&str> = text.trim_end().lines().collect();
        for line in lines.iter().take(LINES) {
            self.screen.styled_line(style, &format!("{by}  {line}"));
        }
        if lines.len() > LINES {
            let more = lines.len() - LINES;
            self.screen.styled_line(DIM, &format!("{by}  … {more} more lines"));
        }
        if text.trim().is_empty() {
            self.screen.styled_line(DIM, &format!("{by}  ({} said nothing)", call.name));
        }
    }
}

impl Observer for Display {
    fn on(&self, agent: &str, event: &Event) {
        let lead = agent == self.lead;
        let by = if lead { String::new() } else { format!("{agent}: ") };
        match event {
            Event::Delta(delta) if lead => self.words(delta),
            Event::Replied(_) if lead => self.end(),
            Event::Replied(reply) => {
                self.turns_to(agent);
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
                self.turns_to(agent);
                self.screen.styled_line(CYAN, &format!("{by}▸ {}", title(call)));
                self.screen.spin(call.name.clone());
            }
            Event::ToolFinished { call, result, took } => {
                self.screen.rest();
                let follows = self.turns_to(agent) || took.is_zero();
                if took.is_zero() {
                    self.screen.styled_line(CYAN, &format!("{by}▸ {}", title(call)));
                }
                self.finished(if follows { "" } else { &by }, call, result);
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
            Event::TurnEnded(_) | Event::TurnFailed(_) if lead => self.end(),
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

#[cfg(test)]
mod tests {
    use harness_core::Stop;

    use super::*;

    fn shown(events: &[Event]) -> String {
        let display = Display::new(Screen::memory(), "lead");
        events.iter().for_each(|event| display.on("lead", event));
        display.screen.written()
    }

    fn words(text: &str) -> Event {
        Event::Delta(Delta::Text(text.to_owned()))
    }

    #[test]
    fn a_control_sequence_that_was_never_closed_hides_no_later_reply() {
        let cut = Event::TurnEnded(Stop::Interrupted);
        assert_eq!(shown(&[words("one\x1b]0;title"), cut, words("two")]), "one\ntwo");
    }

    #[test]
    fn a_result_names_its_agent_where_anothers_line_came_between() {
        let display = Display::new(Screen::memory(), "lead");
        let (id, name) = ("1".to_owned(), "look".to_owned());
        let call = ToolCall { id, name, input: Default::default(), rest: Default::default() };
        let started = Event::ToolStarted(call.clone());
        let result = ToolResult::done("1", "seen");
        let took = std::time::Duration::from_secs(1);
        let finished = Event::ToolFinished { call, result, took };
        display.on("a", &started);
        display.on("a", &finished);
        display.on("a", &started);
        display.on("b", &started);
        display.on("a", &finished);
        let shown = display.screen.written();
        let shown: Vec<&str> = shown.lines().map(str::trim_end).collect();
        assert_eq!(shown, ["a: ▸ look", "  seen", "a: ▸ look", "b: ▸ look", "a:   seen"]);
    }

    #[test]
    fn a_call_that_is_being_written_gets_a_line_of_its_own() {
        let (id, name) = ("1".to_owned(), "bash".to_owned());
        let call = Event::Delta(Delta::ToolInput { id, name, bytes: 7 });
        assert_eq!(shown(&[words("I look."), call]), "I look.\n");
    }
}
