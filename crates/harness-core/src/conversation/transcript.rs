//! A conversation as a play that a person can read: for files, for summaries, for snapshots in tests.
//!
//! ```text
//! human: Which files are here?
//! model: I will look.
//!   call bash {"command":"ls"}
//!   result a.txt
//!     b.txt
//! model: Two.
//! note: a teammate wrote
//! ```
//!
//! Longer texts go on under themselves, four spaces in. A result that failed reads `error …`, thinking
//! `thinks …`; where one message holds several results they are numbered.

use crate::conversation::message::{Block, Message, Role};
use crate::host::text;

/// Renders messages. Of a text that is longer than `longest` bytes the beginning and the end are shown.
pub fn transcript(messages: &[Message], longest: usize) -> String {
    let mut lines = String::new();
    for message in messages {
        let many = message.results().count() > 1;
        let mut results = 0;
        for block in &message.content {
            let (label, text) = match block {
                Block::Text(text) => {
                    let who = if message.role == Role::User { "human:" } else { "model:" };
                    (who.to_owned(), text.text.clone())
                }
                Block::Reminder(note) => ("note:".to_owned(), note.clone()),
                Block::ToolUse(call) => {
                    let input = serde_json::to_string(&call.input).unwrap_or_default();
                    (format!("  call {}", call.name), input)
                }
                Block::ToolResult(result) => {
                    results += 1;
                    let word = if result.is_error { "error" } else { "result" };
                    let number = if many { format!(" {results}") } else { String::new() };
                    (format!("  {word}{number}"), result.content.text().into_owned())
                }
                Block::Thinking(thinking) if thinking.thinking.is_empty() => {
                    ("  thinks".to_owned(), "(not shown)".to_owned())
                }
                Block::Thinking(thinking) => ("  thinks".to_owned(), thinking.thinking.clone()),
                Block::RedactedThinking(_) => ("  thinks".to_owned(), "(redacted)".to_owned()),
                Block::Other(value) => {
                    let kind = value["type"].as_str().unwrap_or("unknown");
                    (format!("  {kind}"), String::new())
                }
            };
            entry(&mut lines, &label, &text::clip(&text, longest - longest / 3, longest / 3));
        }
    }
    lines
}

fn entry(lines: &mut String, label: &str, text: &str) {
    let mut first = true;
    for line in text.trim_end().split('\n') {
        let line = if first { format!("{label} {line}") } else { format!("    {line}") };
        lines.push_str(line.trim_end());
        lines.push('\n');
        first = false;
    }
}
