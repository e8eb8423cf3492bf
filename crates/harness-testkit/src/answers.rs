//! Where the server's replies come from: a play, or a list that is read from the top.

use std::collections::VecDeque;
use std::path::Path;

use harness_core::{Message, Play, Request, ToolSpec};
use serde_json::{Map, Value, json};

/// One prepared reply.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Its content blocks, as the API writes them.
    pub content: Vec<Value>,
    /// The API's word for why it ends.
    pub stop: String,
}

impl Answer {
    /// Words, and the turn is over.
    pub fn text(text: &str) -> Self {
        Self::blocks(vec![json!({"type": "text", "text": text})])
    }

    /// One call.
    pub fn call(id: &str, tool: &str, input: Value) -> Self {
        Self::blocks(vec![json!({"type": "tool_use", "id": id, "name": tool, "input": input})])
    }

    /// Blocks; it stops for tools if it calls any.
    pub fn blocks(content: Vec<Value>) -> Self {
        let calls = content.iter().any(|block| block["type"] == "tool_use");
        let stop = if calls { "tool_use" } else { "end_turn" };
        Self { content, stop: stop.to_owned() }
    }

    /// The same, with another reason to stop.
    pub fn stopping(mut self, stop: &str) -> Self {
        stop.clone_into(&mut self.stop);
        self
    }
}

impl From<Message> for Answer {
    fn from(message: Message) -> Self {
        let value = serde_json::to_value(&message).unwrap();
        Self::blocks(value["content"].as_array().cloned().unwrap_or_default())
    }
}

/// Where replies come from.
#[derive(Debug)]
pub enum Answers {
    /// A play: the conversation itself says which line comes next, so any number of agents may ask.
    Play(Play),
    /// A list: one after the other. A reply that a fault spoils stays first in line, for the retry.
    List(VecDeque<Answer>),
}

impl Answers {
    /// The play in this file.
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn from_file(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        let yaml = std::fs::read_to_string(path);
        Self::from_yaml(&yaml.unwrap_or_else(|why| panic!("{}: {why}", path.display())))
    }

    /// The play in this text.
    ///
    /// # Panics
    /// When it is none.
    pub fn from_yaml(yaml: &str) -> Self {
        Self::Play(Play::from_yaml(yaml).unwrap_or_else(|why| panic!("no play: {why}")))
    }

    /// The reply to this body, or what kept it from being found.
    pub(crate) fn next(
        &mut self,
        agent: &str,
        body: &Value,
        spoiled: Spoiled,
    ) -> Result<Answer, String> {
        match self {
            Self::Play(play) => Ok(from_play(play, agent, body)?.into()),
            Self::List(list) => {
                let answer = match spoiled {
                    Spoiled::Yes => list.front().cloned(),
                    Spoiled::No => list.pop_front(),
                };
                answer.ok_or_else(|| "the list of replies is at its end".to_owned())
            }
        }
    }
}

/// Whether the reply will not arrive as it was meant, and will be asked for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoiled {
    Yes,
    No,
}

/// Reads the body back into the request it came from, and asks the play.
fn from_play(play: &Play, agent: &str, body: &Value) -> Result<Message, String> {
    let messages: Vec<Message> =
        serde_json::from_value(body["messages"].clone()).map_err(|why| why.to_string())?;
    // After a pause the model's own words stand last; the line they interrupted is still to come.
    let spoken = messages.iter().rposition(|m| m.role == harness_core::Role::User);
    let system: Vec<String> = match &body["system"] {
        Value::String(text) => vec![text.clone()],
        blocks => blocks
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|block| block["text"].as_str().map(str::to_owned))
            .collect(),
    };
    let tools: Vec<ToolSpec> = Vec::new();
    let extra = Map::new();
    let request = Request {
        agent,
        model: body["model"].as_str().unwrap_or_default(),
        max_tokens: 1,
        system: system.as_slice().into(),
        tools: tools.as_slice().into(),
        messages: &messages[..spoken.map_or(0, |at| at + 1)],
        marks: Vec::new(),
        extra: std::borrow::Cow::Borrowed(&extra),
    };
    // Off its script the play says so aloud, as it does in process.
    let mut reply = play
        .reply_to(&request)
        .unwrap_or_else(|why| Message::assistant(vec![harness_core::Block::text(why)]));
    for block in &mut reply.content {
        if let harness_core::Block::ToolUse(call) = block {
            call.id.insert_str(0, "toolu_"); // as the API's ids begin
        }
    }
    Ok(reply)
}

impl From<Play> for Answers {
    fn from(play: Play) -> Self {
        Self::Play(play)
    }
}

impl<A: Into<Answer>> From<Vec<A>> for Answers {
    fn from(list: Vec<A>) -> Self {
        Self::List(list.into_iter().map(Into::into).collect())
    }
}

impl From<Answer> for Answers {
    fn from(answer: Answer) -> Self {
        vec![answer].into()
    }
}

/// A play as YAML.
impl From<&str> for Answers {
    fn from(yaml: &str) -> Self {
        Self::from_yaml(yaml)
    }
}
