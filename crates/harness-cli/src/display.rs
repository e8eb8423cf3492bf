//! The display that every session has: words as they arrive, a line for each tool call, a few lines of its result.

use harness_core::host::text;
use harness_core::{Delta, Event, Mutex, Observer, ToolCall, ToolResult};
use serde_json::Value;

use crate::screen::{BOLD, CYAN, DIM, RED, Screen, width};
use crate::wide::cut;

/// How many lines of a result are shown; the model always gets all of it.
const MAX_RESULT_LINES: usize = 8;
/// How much of each argument a title shows where a call has several, in columns.
const MAX_ARGUMENT_COLUMNS: usize = 40;

/// Prints what happens. The lead's words are streamed; other agents get whole lines, under their names.
#[derive(Debug)]
pub struct Display {
    screen: Screen,
    lead: String,
    stripper: Mutex<text::Stripper>,
    running: Mutex<Running>,
}

/// The calls that run now, several where the schedule lets them (s18).
#[derive(Debug, Default)]
struct Running {
    /// Their ids and tools, in the order in which they started.
    calls: Vec<(String, String)>,
    /// Whose title or result was shown last.
    last: String,
}

impl Display {
    /// A display for the agent of this name.
    pub fn new(screen: Screen, lead: impl Into<String>) -> Self {
        Self { screen, lead: lead.into(), stripper: Mutex::default(), running: Mutex::default() }
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
        let words = self.stripper.lock().push(words);
        if thinking {
            self.screen.styled(DIM, &words);
        } else {
            self.screen.print(&words);
        }
    }

    /// Ends what was begun: the line, the spinner, and a control sequence that was never closed, which would
    /// hide the beginning of the next reply.
    fn end(&self) {
        *self.stripper.lock() = text::Stripper::default();
        self.screen.end_line();
        self.screen.rest();
    }

    fn finished(&self, call: &ToolCall, result: &ToolResult) {
        let style = if result.is_error { RED } else { DIM };
        let text = result.content.text();
        let text = text::strip(&text);
        let lines: Vec<&str> = text.trim_end().lines().collect();
        for line in lines.iter().take(MAX_RESULT_LINES) {
            self.screen.styled_line(style, &format!("  {line}"));
        }
        let hidden = lines.len().saturating_sub(MAX_RESULT_LINES);
        if hidden > 0 {
            self.screen.styled_line(DIM, &format!("  … {hidden} more lines"));
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
            Event::Replied(_) if lead => self.end(),
            Event::Replied(reply) => {
                self.running.lock().last.clear();
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
                self.running.lock().start(agent, call);
                self.screen.spin(self.running.lock().label());
            }
            Event::ToolFinished { call, result, took } => {
                self.screen.rest();
                let shown_last = self.running.lock().end(agent, call);
                if took.is_zero() {
                    self.screen.styled_line(CYAN, &format!("{by}▸ {}", title(call)));
                } else if shown_last == ShownLast::Other {
                    // Say again whose result this is.
                    self.screen.styled_line(CYAN, &format!("{by}◂ {}", title(call)));
                }
                self.finished(call, result);
                self.screen.spin(self.running.lock().label());
            }
            Event::Compacted { messages } => {
                self.screen
                    .styled_line(DIM, &format!("{by}{messages} messages compacted into a summary"));
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
                *self.running.lock() = Running::default();
                self.end();
            }
            _ => {}
        }
    }
}

/// What was shown last when a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ShownLast {
    /// The title of this call: its result follows.
    Title,
    /// Something of another call's.
    Other,
}

impl Running {
    fn start(&mut self, agent: &str, call: &ToolCall) {
        self.last = key(agent, call);
        self.calls.push((key(agent, call), call.name.clone()));
    }

    fn end(&mut self, agent: &str, call: &ToolCall) -> ShownLast {
        let key = key(agent, call);
        self.calls.retain(|(id, _)| *id != key);
        let last = std::mem::take(&mut self.last);
        if last == key { ShownLast::Title } else { ShownLast::Other }
    }

    /// What the spinner says.
    fn label(&self) -> String {
        match &self.calls[..] {
            [] => "thinking".to_owned(),
            [(_, name)] => name.clone(),
            [(_, name), rest @ ..] => format!("{name} and {} more", rest.len()),
        }
    }
}

/// Agents that work side by side (s12) may have calls of the same id.
fn key(agent: &str, call: &ToolCall) -> String {
    format!("{agent} {}", call.id)
}

/// A call in a line: the tool, and what it works on.
pub fn title(call: &ToolCall) -> String {
    let input = if call.input.len() == 1 {
        call.input.values().map(words).collect()
    } else {
        let arguments = call.input.iter().map(|(name, value)| {
            let value = cut(&words(value), MAX_ARGUMENT_COLUMNS);
            format!("{name}={value}")
        });
        arguments.collect::<Vec<_>>().join(" ")
    };
    let two_lines = width().max(20) * 2;
    cut(text::visible(&format!("{} {input}", call.name)).trim_end(), two_lines)
}

/// A value as a person would write it: a text without quotes.
fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use harness_core::TurnOutcome;
    use serde_json::json;

    use super::*;

    fn shown(events: &[Event]) -> String {
        let display = Display::new(Screen::memory(), "lead");
        events.iter().for_each(|event| display.on("lead", event));
        display.screen.written()
    }

    fn spoken(text: &str) -> Event {
        Event::Delta(Delta::Text(text.to_owned()))
    }

    #[test]
    fn a_control_sequence_that_was_never_closed_hides_no_later_reply() {
        let cut = Event::TurnEnded(TurnOutcome::Interrupted);
        assert_eq!(shown(&[spoken("one\x1b]0;title"), cut, spoken("two")]), "one\ntwo");
    }

    #[test]
    fn a_title_has_no_blank_behind_it() {
        for (input, wanted) in [(json!({}), "list"), (json!({"path": "a \n"}), "list a")] {
            let call = json!({"id": "1", "name": "list", "input": input});
            assert_eq!(title(&serde_json::from_value(call).unwrap()), wanted);
        }
    }

    #[test]
    fn a_result_names_its_agent_where_anothers_line_came_between() {
        let call: ToolCall =
            serde_json::from_value(json!({"id": "1", "name": "look", "input": {"at": "it"}}))
                .unwrap();
        let result = ToolResult::done("1", "seen");
        let took = std::time::Duration::from_millis(1);
        let (start, finish) =
            (Event::ToolStarted(call.clone()), Event::ToolFinished { call, result, took });
        let display = Display::new(Screen::memory(), "lead");
        for (agent, event) in
            [("a", &start), ("a", &finish), ("a", &start), ("b", &start), ("a", &finish)]
        {
            display.on(agent, event);
        }
        expect_test::expect![[r#"
            a: ▸ look it
              seen
            a: ▸ look it
            b: ▸ look it
            a: ◂ look it
              seen
        "#]]
        .assert_eq(&display.screen.written());
    }

    #[test]
    fn results_that_come_in_another_order_say_whose_they_are() {
        let call = |id: &str| -> ToolCall {
            serde_json::from_value(json!({"id": id, "name": "read", "input": {"path": id}}))
                .unwrap()
        };
        let start = |id: &str| Event::ToolStarted(call(id));
        let finish = |id: &str| Event::ToolFinished {
            call: call(id),
            result: ToolResult::done(id, format!("text of {id}")),
            took: std::time::Duration::from_millis(1),
        };
        let events = [start("a"), finish("a"), start("b"), start("c"), finish("c"), finish("b")];
        expect_test::expect![[r#"
            ▸ read a
              text of a
            ▸ read b
            ▸ read c
              text of c
            ◂ read b
              text of b
        "#]]
        .assert_eq(&shown(&events));
    }

    #[test]
    fn a_call_that_is_being_written_gets_a_line_of_its_own() {
        let (id, name) = ("1".to_owned(), "bash".to_owned());
        let call = Event::Delta(Delta::ToolInput { id, name, bytes: 7 });
        assert_eq!(shown(&[spoken("I look."), call]), "I look.\n");
    }
}
