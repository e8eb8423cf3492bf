//! What a history is made of: messages and their blocks, as the Messages API writes them.
//!
//! Known kinds of blocks are strict: a malformed `tool_use` is an error. What we do not know is kept as
//! it came and sent back unchanged, because the API adds kinds all the time and refuses a history from
//! which a block was cut.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value};

pub(crate) const REMINDER_OPEN: &str = "<system-reminder>\n";
const REMINDER_CLOSE: &str = "\n</system-reminder>";

/// Who speaks. Tool results and the harness's reminders travel as the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The human, the tools and the harness.
    User,
    /// The model.
    Assistant,
}

/// One message: who speaks, and what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// The blocks, in order. A bare string, as the API also allows, is read as one text block.
    #[serde(deserialize_with = "text_or_blocks")]
    pub content: Vec<Block>,
    /// Ids of what this message brought the model (mails, say): see [`Conversation::has_delivered`]. Stored
    /// with the message, and never sent to a server.
    ///
    /// [`Conversation::has_delivered`]: super::Conversation::has_delivered
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delivered: Vec<String>,
}

impl Message {
    /// A message.
    pub fn new(role: Role, content: Vec<Block>) -> Self {
        Self { role, content, delivered: Vec::new() }
    }

    /// A message of the model.
    pub fn assistant(content: Vec<Block>) -> Self {
        Self::new(Role::Assistant, content)
    }

    /// All text blocks joined by a new line; notes, calls and thinking left out.
    pub fn text(&self) -> String {
        let texts = self.content.iter().filter_map(|block| match block {
            Block::Text(text) => Some(text.text.as_str()),
            _ => None,
        });
        texts.collect::<Vec<_>>().join("\n")
    }

    /// About how many bytes a model reads in it: see [`Block::size`].
    pub fn size(&self) -> usize {
        self.content.iter().map(Block::size).sum()
    }

    /// How often the human speaks in it: each thing said is a block of its own.
    pub fn prompts(&self) -> usize {
        let texts = self.content.iter().filter(|block| matches!(block, Block::Text(_))).count();
        if self.role == Role::User { texts } else { 0 }
    }

    /// The tool calls in this message, in order.
    pub fn calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.content.iter().filter_map(|block| match block {
            Block::ToolUse(call) => Some(call),
            _ => None,
        })
    }

    /// The tool results in this message, in order.
    pub fn results(&self) -> impl Iterator<Item = &ToolResult> {
        self.content.iter().filter_map(|block| match block {
            Block::ToolResult(result) => Some(result),
            _ => None,
        })
    }
}

/// One piece of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Block {
    /// What the human or the model says.
    Text(Text),
    /// What the harness tells the model (news, mail, nudges): text inside `<system-reminder>`.
    Reminder(String),
    /// The model wants a tool run.
    ToolUse(ToolCall),
    /// The answer to a call.
    ToolResult(ToolResult),
    /// The model's reasoning, signed by the server; must go back unchanged.
    Thinking(Thinking),
    /// Reasoning that is not ours to read; must go back unchanged.
    RedactedThinking(RedactedThinking),
    /// A kind this version does not know.
    Other(Value),
}

/// Words.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Text {
    /// The words themselves.
    pub text: String,
    /// Fields we do not know, kept.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// A call the model asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The server's name for this call; opaque, unique in a conversation.
    pub id: String,
    /// Which tool.
    pub name: String,
    /// The input, in the model's own key order (prompt caching depends on it).
    #[serde(default)]
    pub input: Map<String, Value>,
    /// Fields we do not know, kept.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolResult {
    /// The id of the call that this answers.
    pub tool_use_id: String,
    /// What the model gets to read.
    #[serde(default)]
    pub content: Content,
    /// Set when the tool failed, was refused or was interrupted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_error: bool,
    /// Ids of what this result brings the model; they pass to the message that holds it.
    #[serde(skip)]
    pub delivered: Vec<String>,
    /// Fields we do not know, kept.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl ToolResult {
    /// The result of a call that worked.
    pub fn done(call_id: impl Into<String>, content: impl Into<Content>) -> Self {
        Self {
            tool_use_id: call_id.into(),
            content: content.into(),
            is_error: false,
            delivered: Vec::new(),
            rest: Map::new(),
        }
    }

    /// The result of a call that did not: a sentence that says why.
    pub fn failed(call_id: impl Into<String>, why: impl Into<Content>) -> Self {
        Self { is_error: true, ..Self::done(call_id, why) }
    }
}

/// What a tool returns: mostly text; blocks (images, documents) where a tool has more to show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// Plain text.
    Text(String),
    /// Content blocks as the API knows them.
    Blocks(Vec<Value>),
}

impl Content {
    /// The text in it; other blocks are named in brackets.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Content::Text(text) => Cow::Borrowed(text),
            Content::Blocks(blocks) => Cow::Owned(
                blocks
                    .iter()
                    .map(|block| match block["text"].as_str() {
                        Some(text) => text.to_owned(),
                        None => format!("[{}]", block["type"].as_str().unwrap_or("unknown block")),
                    })
                    .collect::<Vec<_>>()
                    .join("\n"),
            ),
        }
    }
}

impl Default for Content {
    fn default() -> Self {
        Content::Text(String::new())
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Content::Text(text)
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Content::Text(text.to_owned())
    }
}

/// The model's reasoning. The text may be empty while the signature is not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Thinking {
    /// The reasoning, or "" where the server keeps it to itself.
    #[serde(default)]
    pub thinking: String,
    /// The server's seal over it; "" from servers that do not sign.
    #[serde(default)]
    pub signature: String,
    /// Fields we do not know, kept.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// Reasoning that only the server can read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RedactedThinking {
    /// Opaque.
    pub data: String,
    /// Fields we do not know, kept.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Block {
    /// A text block.
    pub fn text(text: impl Into<String>) -> Self {
        Block::Text(Text { text: text.into(), rest: Map::new() })
    }

    /// About how many bytes a model reads in it: for estimates, where nobody has counted tokens. A picture
    /// or a document costs by what it shows, not by its bytes: 4,800 stand for it.
    pub fn size(&self) -> usize {
        match self {
            Block::Text(text) => text.text.len(),
            Block::Reminder(note) => note.len() + REMINDER_OPEN.len() + REMINDER_CLOSE.len(),
            Block::ToolUse(call) => call.name.len() + fields(&call.input),
            Block::ToolResult(result) => match &result.content {
                Content::Text(text) => text.len(),
                Content::Blocks(blocks) => {
                    blocks.iter().map(|b| b["text"].as_str().map_or(4_800, str::len)).sum()
                }
            },
            // Where the text is kept from us, its seal is about as long.
            Block::Thinking(thinking) => thinking.thinking.len().max(thinking.signature.len()),
            Block::RedactedThinking(thinking) => thinking.data.len(),
            Block::Other(value) => size(value),
        }
    }

    /// Whether it is the model's reasoning, readable or not.
    pub fn is_thinking(&self) -> bool {
        matches!(self, Block::Thinking(_) | Block::RedactedThinking(_))
    }

    pub(crate) fn is_blank(&self) -> bool {
        matches!(self, Block::Text(text) if text.text.trim().is_empty())
    }
}

/// About how many bytes a value has as JSON.
pub(crate) fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(inner) => fields(inner),
        _ => 4,
    }
}

fn fields(fields: &Map<String, Value>) -> usize {
    fields.iter().map(|(name, value)| name.len() + 4 + size(value)).sum()
}

impl Serialize for Block {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(tag = "type", rename_all = "snake_case")]
        enum Wire<'a> {
            Text(&'a Text),
            ToolUse(&'a ToolCall),
            ToolResult(&'a ToolResult),
            Thinking(&'a Thinking),
            RedactedThinking(&'a RedactedThinking),
        }
        match self {
            Block::Text(text) => Wire::Text(text).serialize(serializer),
            Block::Reminder(note) => {
                let text = format!("{REMINDER_OPEN}{note}{REMINDER_CLOSE}");
                Wire::Text(&Text { text, rest: Map::new() }).serialize(serializer)
            }
            Block::ToolUse(call) => Wire::ToolUse(call).serialize(serializer),
            Block::ToolResult(result) => Wire::ToolResult(result).serialize(serializer),
            Block::Thinking(thinking) => Wire::Thinking(thinking).serialize(serializer),
            Block::RedactedThinking(data) => Wire::RedactedThinking(data).serialize(serializer),
            Block::Other(value) => value.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Block {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        fn known<T: de::DeserializeOwned, E: de::Error>(
            fields: Map<String, Value>,
        ) -> Result<T, E> {
            T::deserialize(Value::Object(fields)).map_err(E::custom)
        }
        let mut fields = Map::deserialize(deserializer)?;
        // shift_remove keeps the order of what stays.
        let kind = match fields.shift_remove("type") {
            Some(Value::String(kind)) => kind,
            _ => return Err(de::Error::custom("a content block without a `type`")),
        };
        Ok(match kind.as_str() {
            "text" => {
                let text: Text = known(fields)?;
                match text
                    .text
                    .strip_prefix(REMINDER_OPEN)
                    .and_then(|t| t.strip_suffix(REMINDER_CLOSE))
                {
                    Some(note) => Block::Reminder(note.to_owned()),
                    None => Block::Text(text),
                }
            }
            "tool_use" => Block::ToolUse(known(fields)?),
            "tool_result" => Block::ToolResult(known(fields)?),
            "thinking" => Block::Thinking(known(fields)?),
            "redacted_thinking" => Block::RedactedThinking(known(fields)?),
            _ => {
                fields.shift_insert(0, "type".to_owned(), Value::String(kind));
                Block::Other(Value::Object(fields))
            }
        })
    }
}

fn text_or_blocks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Block>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(vec![Block::text(text)]),
        blocks => Vec::deserialize(blocks).map_err(de::Error::custom),
    }
}
