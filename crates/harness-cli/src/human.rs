//! `--human`: the learner plays the model, and sees exactly what a model would see.

use futures_util::stream;
use futures_util::{FutureExt, StreamExt};
use harness_core::host::text;
use harness_core::{
    Block, Delta, Message, Model, ModelError, ModelStream, Reply, Request, Role, StopReason,
    ToolCall, Usage,
};
use serde_json::{Map, Value};

use crate::input::{Ahead, Input, Typed};
use crate::screen::{BOLD, DIM, Screen};

/// A model that is a person.
#[derive(Debug)]
pub struct Human {
    input: Input,
    screen: Screen,
}

impl Human {
    /// Reads from this input, shows on this screen.
    pub fn new(input: Input, screen: Screen) -> Self {
        Self { input, screen }
    }

    fn show(&self, request: &Request<'_>) {
        self.screen.rest();
        self.screen.styled_line(BOLD, "--- what the model sees ---");
        if request.messages.len() == 1 {
            for block in request.system.iter() {
                self.screen.line(format!("system: {}", text::strip(block)));
            }
            for tool in request.tools.iter() {
                let schema = &tool.input_schema["properties"];
                self.screen.line(format!("tool {}: {} {schema}", tool.name, tool.description));
            }
        }
        let last_reply = request.messages.iter().rposition(|m| m.role == Role::Assistant);
        for message in &request.messages[last_reply.map_or(0, |at| at + 1)..] {
            for block in &message.content {
                self.screen.line(text::strip(&seen(block)));
            }
        }
        self.screen.styled_line(
            DIM,
            "--- you are the model: words, or tool {\"field\": \"value\"}; Enter alone sends ---",
        );
    }
}

fn seen(block: &Block) -> String {
    match block {
        Block::Text(text) => format!("user: {}", text.text),
        Block::Reminder(note) => format!("note: {note}"),
        Block::ToolResult(result) => {
            let failed = if result.is_error { " (error)" } else { "" };
            format!("result of {}{failed}: {}", result.tool_use_id, result.content.text())
        }
        other => serde_json::to_string(other).unwrap_or_default(),
    }
}

impl Model for Human {
    fn stream(&self, request: &Request<'_>) -> ModelStream {
        self.show(request);
        let tools: Vec<String> = request.tools.iter().map(|tool| tool.name.clone()).collect();
        let turn = request.messages.len();
        let input = self.input.clone();
        let screen = self.screen.clone();
        let reply = async move {
            let mut reply = TypedReply { turn, ..TypedReply::default() };
            loop {
                let Typed::Line(line) = read(&input, &screen).await else {
                    let why = "the person who plays the model left";
                    return Err(ModelError::Other(why.to_owned()));
                };
                if line.trim().is_empty() && !reply.is_empty() {
                    return Ok(Delta::Done(reply.finish()));
                }
                match parse(&line, &tools) {
                    Ok(said) => reply.add(said),
                    Err(why) => screen.error(why),
                }
            }
        };
        stream::once(reply.boxed()).boxed()
    }
}

/// A reply as it is typed. Texts come first in it, then calls, as in a model's replies.
#[derive(Default)]
struct TypedReply {
    /// How many messages there were before it.
    turn: usize,
    lines: Vec<String>,
    calls: Vec<ToolCall>,
}

impl TypedReply {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.calls.is_empty()
    }

    fn add(&mut self, said: Said) {
        match said {
            Said::Text(line) => self.lines.push(line),
            Said::Call(name, input) => {
                let number = self.lines.len() + self.calls.len();
                let id = format!("human_{}_{number}", self.turn);
                self.calls.push(ToolCall { id, name, input, rest: Map::new() });
            }
        }
    }

    fn finish(self) -> Reply {
        let stop = if self.calls.is_empty() { StopReason::EndTurn } else { StopReason::ToolUse };
        let mut content = Vec::new();
        if !self.lines.is_empty() {
            content.push(Block::text(self.lines.join("\n")));
        }
        content.extend(self.calls.into_iter().map(Block::ToolUse));
        Reply::new(Message::assistant(content), stop, Usage::default())
    }
}

async fn read(input: &Input, screen: &Screen) -> Typed {
    const PROMPT: &str = "model> ";
    if !input.is_terminal() {
        let typed = input.next().await;
        if let Typed::Line(line) = &typed {
            screen.line(format!("{PROMPT}{line}")); // a pipe has no echo
        }
        return typed;
    }
    match input.question(PROMPT, Ahead::Counts).await {
        Some(line) => Typed::Line(line),
        None => Typed::End,
    }
}

/// What a line means.
enum Said {
    Text(String),
    Call(String, Map<String, Value>),
}

/// `tool {…}` is a call; everything else is text. A tool that is not there can be called too, as a model
/// does it, if what follows is an input.
fn parse(line: &str, tools: &[String]) -> Result<Said, String> {
    let (name, arguments) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
    let known = tools.iter().any(|tool| tool == name);
    let named = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !named && !known || !arguments.trim_start().starts_with('{') {
        return Ok(Said::Text(line.to_owned()));
    }
    match serde_json::from_str(arguments) {
        Ok(Value::Object(arguments)) => Ok(Said::Call(name.to_owned(), arguments)),
        _ if !known => Ok(Said::Text(line.to_owned())),
        Ok(_) => Err(format!("the input of {name} must be a JSON object")),
        Err(e) => Err(format!("the input of {name} is not JSON ({e}); type the line again")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_does_not_exist_can_be_called_and_words_stay_words() {
        let tools = ["bash".to_owned()];
        let called = |line: &str| match parse(line, &tools) {
            Ok(Said::Call(name, _)) => Some(name),
            _ => None,
        };
        assert_eq!(called("shout {\"words\": \"hi\"}").as_deref(), Some("shout"));
        assert_eq!(called("bash {}").as_deref(), Some("bash"));
        for words in ["It is { that opens a block", "shout {loud}", "in-between {}", "{}", "shout"]
        {
            assert!(
                matches!(parse(words, &tools), Ok(Said::Text(text)) if text == words),
                "{words}"
            );
        }
        assert!(parse("bash {loud}", &tools).is_err());
    }
}
