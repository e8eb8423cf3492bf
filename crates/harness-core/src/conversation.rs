//! The history as data: messages, blocks, calls and results, and the one type that keeps them valid.
//!
//! The Messages API refuses a history in which a tool call is not answered in the very next message,
//! and a client that lets one arise has lost its session for good. So nobody edits a
//! [`Conversation`] by hand: there is no `push`. Each method is total and leaves a history that can
//! be sent: a missing answer becomes "interrupted", an answer to nothing is dropped, neighbours of
//! one role are merged.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value};

/// What a call is answered with when its answer never came.
pub const INTERRUPTED: &str = "interrupted: this call did not finish";

const NOTE_OPEN: &str = "<system-reminder>\n";
const NOTE_CLOSE: &str = "\n</system-reminder>";

/// Who speaks. Tool results and the harness's notes travel as the user.
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
}

impl Message {
    /// All text blocks joined by a new line; notes, calls and thinking left out.
    pub fn text(&self) -> String {
        let texts = self.content.iter().filter_map(|block| match block {
            Block::Text(text) => Some(text.text.as_str()),
            _ => None,
        });
        texts.collect::<Vec<_>>().join("\n")
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

/// One piece of a message. Known kinds are strict; what we do not know is kept as it came and sent
/// back unchanged, because the API adds kinds all the time and refuses a history with a block cut out.
#[derive(Clone, Debug, PartialEq)]
pub enum Block {
    /// What the human or the model says.
    Text(Text),
    /// What the harness tells the model (news, mail, nudges): text inside `<system-reminder>`.
    Note(String),
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
    /// Fields we do not know, kept.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl ToolResult {
    /// The result of a call that worked.
    pub fn done(call_id: impl Into<String>, content: impl Into<Content>) -> Self {
        let (tool_use_id, content) = (call_id.into(), content.into());
        Self { tool_use_id, content, is_error: false, rest: Map::new() }
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

    fn is_thinking(&self) -> bool {
        matches!(self, Block::Thinking(_) | Block::RedactedThinking(_))
    }

    fn is_blank(&self) -> bool {
        matches!(self, Block::Text(text) if text.text.trim().is_empty())
    }
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
            Block::Note(note) => {
                let text = format!("{NOTE_OPEN}{note}{NOTE_CLOSE}");
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
                match text.text.strip_prefix(NOTE_OPEN).and_then(|t| t.strip_suffix(NOTE_CLOSE)) {
                    Some(note) => Block::Note(note.to_owned()),
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

/// A place where the history may be cut: never between a call and its answer.
#[derive(Debug)]
pub struct Cut {
    at: usize,
}

/// What loading had to mend. Its text is for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repair {
    /// A call had no answer and got "interrupted".
    Answered(String),
    /// A result answered no call and was dropped.
    Dropped(String),
    /// The history did not begin with the user; a note now stands before it.
    Begun,
    /// A message held nothing and was left out.
    Empty,
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Repair::Answered(id) => write!(f, "call {id} had no result; it is marked interrupted"),
            Repair::Dropped(id) => write!(f, "a result for {id} answered no call; dropped"),
            Repair::Begun => f.write_str("the first messages are missing"),
            Repair::Empty => f.write_str("an empty message was left out"),
        }
    }
}

/// The history of one agent. It is data: cloning it forks the conversation.
#[derive(Clone, Debug, Default)]
pub struct Conversation {
    messages: Vec<Message>,
    ids: HashSet<String>,
}

impl Conversation {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// The human says something. Blank text is nothing said.
    pub fn say(&mut self, text: impl Into<String>) {
        let mut text = text.into();
        if text.starts_with(NOTE_OPEN) {
            // What the human types is never taken for the harness's voice.
            text.insert(0, '\n');
        }
        self.append(Role::User, vec![Block::text(text)], &mut Vec::new());
    }

    /// The harness tells the model something that the human did not say.
    pub fn note(&mut self, text: impl Into<String>) {
        self.append(Role::User, vec![Block::Note(text.into())], &mut Vec::new());
    }

    /// The model replied. A call id that is empty or taken (some servers repeat them) is made unique.
    pub fn reply(&mut self, message: &Message) {
        self.append(Role::Assistant, message.content.clone(), &mut Vec::new());
    }

    /// The calls of the last reply that wait for an answer, as the history holds them.
    pub fn calls(&self) -> Vec<ToolCall> {
        self.open().cloned().collect()
    }

    /// Answers the open calls, in call order whatever order the results come in.
    pub fn answer(&mut self, results: Vec<ToolResult>) {
        let results = results.into_iter().map(Block::ToolResult).collect();
        self.append(Role::User, results, &mut Vec::new());
    }

    /// What the model has answered: its words since the human last spoke or a tool last answered.
    pub fn answered(&self) -> String {
        let since = |m: &&Message| {
            m.role == Role::Assistant || m.content.iter().all(|b| matches!(b, Block::Note(_)))
        };
        let replies = self.messages.iter().rev().take_while(since);
        let mut texts: Vec<String> = replies.map(Message::text).collect();
        texts.reverse();
        texts.concat()
    }

    /// The messages, ready to be sent.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The latest place to cut at which at least `keep` messages stay, if there is one.
    pub fn cut(&self, keep: usize) -> Option<Cut> {
        let latest = self.messages.len().checked_sub(keep)?;
        (1..=latest.min(self.messages.len().saturating_sub(1)))
            .rev()
            .find(|&at| self.messages[at].results().next().is_none())
            .map(|at| Cut { at })
    }

    /// What a fold at this cut would replace.
    pub fn before(&self, cut: &Cut) -> &[Message] {
        &self.messages[..cut.at.min(self.messages.len())]
    }

    /// Replaces everything before the cut by a summary, told as a note. Thinking that came after it is
    /// dropped, since the server binds it to the very text that is now gone.
    pub fn fold(&mut self, cut: Cut, summary: impl Into<String>) {
        let kept = self.messages.split_off(cut.at.min(self.messages.len()));
        self.messages.clear();
        self.ids.clear();
        self.note(summary);
        for mut message in kept {
            message.content.retain(|block| !block.is_thinking());
            self.append(message.role, message.content, &mut Vec::new());
        }
    }

    /// Replaces an old result by a short stub; thinking after it is dropped, as in a fold.
    pub fn shorten(&mut self, call_id: &str, stub: impl Into<String>) {
        let holds = |m: &Message| m.results().any(|result| result.tool_use_id == call_id);
        let Some(at) = self.messages.iter().position(holds) else { return };
        for block in &mut self.messages[at].content {
            match block {
                Block::ToolResult(result) if result.tool_use_id == call_id => {
                    result.content = Content::Text(stub.into());
                    break;
                }
                _ => {}
            }
        }
        let later = self.messages.split_off(at + 1);
        for mut message in later {
            message.content.retain(|block| !block.is_thinking());
            for call in message.calls() {
                self.ids.remove(&call.id);
            }
            self.append(message.role, message.content, &mut Vec::new());
        }
    }

    /// Makes a conversation of messages that were read from somewhere. It mends and tells what it
    /// mended; it never refuses, because a cut file is all that a user may have left of a day's work.
    pub fn recover(messages: Vec<Message>) -> (Self, Vec<Repair>) {
        let (mut conversation, mut repairs) = (Self::new(), Vec::new());
        for message in messages {
            conversation.append(message.role, message.content, &mut repairs);
        }
        if conversation.open().next().is_some() {
            conversation.close(Vec::new(), &mut repairs);
        }
        (conversation, repairs)
    }

    fn open(&self) -> impl Iterator<Item = &ToolCall> {
        self.messages.last().into_iter().flat_map(Message::calls)
    }

    /// The only place that adds to the history, and so the only place that keeps it valid.
    fn append(&mut self, role: Role, mut content: Vec<Block>, repairs: &mut Vec<Repair>) {
        let mut results = Vec::new();
        if role == Role::User {
            content = content
                .into_iter()
                .filter_map(|block| match block {
                    Block::ToolResult(result) => {
                        results.push(result);
                        None
                    }
                    block => Some(block),
                })
                .collect();
        }
        if self.open().next().is_some() {
            self.close(results, repairs);
        } else {
            repairs.extend(results.into_iter().map(|result| Repair::Dropped(result.tool_use_id)));
        }
        content.retain(|block| !matches!(block, Block::Text(text) if text.text.is_empty()));
        if content.iter().all(Block::is_blank) {
            repairs.extend((!content.is_empty()).then_some(Repair::Empty));
            return;
        }
        if role == Role::Assistant {
            if self.messages.is_empty() {
                repairs.push(Repair::Begun);
                self.note("The beginning of this conversation is missing.");
            }
            for block in &mut content {
                if let Block::ToolUse(call) = block {
                    self.make_unique(call);
                }
            }
        }
        self.merge(role, content);
    }

    /// Answers every open call, in call order; what is missing was interrupted.
    fn close(&mut self, mut results: Vec<ToolResult>, repairs: &mut Vec<Repair>) {
        let ids: Vec<String> = self.open().map(|call| call.id.clone()).collect();
        let mut answers = Vec::with_capacity(ids.len());
        for id in ids {
            match results.iter().position(|result| result.tool_use_id == id) {
                Some(at) => answers.push(Block::ToolResult(results.remove(at))),
                None => {
                    answers.push(Block::ToolResult(ToolResult::failed(id.clone(), INTERRUPTED)));
                    repairs.push(Repair::Answered(id));
                }
            }
        }
        repairs.extend(results.into_iter().map(|result| Repair::Dropped(result.tool_use_id)));
        self.merge(Role::User, answers);
    }

    fn merge(&mut self, role: Role, content: Vec<Block>) {
        match self.messages.last_mut() {
            Some(last) if last.role == role => last.content.extend(content),
            _ => self.messages.push(Message { role, content }),
        }
    }

    fn make_unique(&mut self, call: &mut ToolCall) {
        if call.id.is_empty() || self.ids.contains(&call.id) {
            let stem = if call.id.is_empty() { "call" } else { &call.id };
            let free = (1..).map(|n| format!("{stem}_{n}")).find(|id| !self.ids.contains(id));
            call.id = free.unwrap_or_default();
        }
        self.ids.insert(call.id.clone());
    }
}
