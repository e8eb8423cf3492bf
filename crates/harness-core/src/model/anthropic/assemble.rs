//! Events to deltas and one reply, as the Messages API streams them and as the servers that imitate it
//! do (each tolerance below was seen in one of them).
//!
//! Pure: no clock, no network. What cannot be read is an error and never skipped, because a skipped
//! event may be a tool call; what is merely unknown (events, deltas, kinds of blocks) is ignored or
//! kept, because the API adds them all the time.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::sse::Event;
use super::wire::{StopDetails, Wire, WireDelta, WireUsage};
use crate::conversation::message::{Block, Message, RedactedThinking, Text, Thinking, ToolCall};
use crate::model::{Delta, INVALID_JSON, Reply, StopReason, Usage};

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The server says so itself, after its 200.
    #[error("{kind}: {message}")]
    Server {
        /// The error's type, `overloaded_error` for instance; "" where it has none.
        kind: String,
        /// The server's words.
        message: String,
    },
    /// The stream ended early or made no sense.
    #[error("{0}")]
    Broken(String),
}

/// Takes a stream's events, gives deltas; the last one is [`Delta::Done`].
#[derive(Debug, Default)]
pub struct Assembler {
    /// In the order they began. Found by index from the end: some servers interleave blocks, close all
    /// of them at the end, or use one index again.
    blocks: Vec<Open>,
    begun: bool,
    stop: Option<StopReason>,
    usage: Usage,
    /// Why the model declines, where the server says so.
    refusal: String,
    /// The model that replies, as the server calls it; empty where it does not say.
    model: String,
}

/// A block under way.
#[derive(Debug)]
struct Open {
    index: u64,
    block: Block,
    /// A tool's input so far: read only when it is whole.
    json: String,
}

impl Assembler {
    /// Takes the next event. Once it has given [`Delta::Done`] there is nothing more to take.
    ///
    /// # Errors
    /// The server reports an error, or the event makes no sense.
    pub fn push(&mut self, event: &Event<'_>) -> Result<Option<Delta>, Fault> {
        let data = event.data.trim_ascii();
        if data.is_empty() || data == "[DONE]" {
            return Ok(None); // the latter is a habit of OpenAI's API
        }
        let wire = match serde_json::from_str::<Wire<'_>>(data) {
            Ok(wire) => wire,
            Err(_) if event.name == "error" => return Err(server_error(data)),
            Err(error) => return unreadable(data, &error),
        };
        match &*wire.kind {
            "content_block_delta" => Ok(self.delta(wire.index, wire.delta.unwrap_or_default())),
            "content_block_start" => {
                let block = wire.content_block.map(|raw| serde_json::from_str(raw.get()));
                match block {
                    Some(Ok(block)) => self.start(wire.index, block),
                    _ => Err(Fault::Broken("a block began without a type".to_owned())),
                }
            }
            "message_start" => {
                let message = wire.message.unwrap_or_default();
                self.model = message.model.to_string();
                self.begin(message.usage.and_then(WireUsage::read))
            }
            "message_delta" => {
                let delta = wire.delta.unwrap_or_default();
                if !delta.stop_reason.is_empty() {
                    self.stop = Some(StopReason::from_wire(&delta.stop_reason));
                }
                if let Some(details) = delta.stop_details.and_then(StopDetails::read) {
                    self.refusal = details;
                }
                self.count(wire.usage.and_then(WireUsage::read));
                Ok(None)
            }
            "message_stop" => self.finish().map(|reply| Some(Delta::Done(reply))),
            "error" => Err(server_error(data)),
            "" if wire.error.is_some() => Err(server_error(data)),
            // content_block_stop says nothing that message_stop does not, and some servers send it late.
            _ => Ok(None),
        }
    }

    /// Reads an answer that came whole: some gateways ignore `stream`. The deltas end in `Done`.
    ///
    /// # Errors
    /// As for [`Assembler::push`].
    pub fn whole(body: &str) -> Result<Vec<Delta>, Fault> {
        #[derive(Deserialize)]
        struct Whole {
            content: Option<Vec<Map<String, Value>>>,
            #[serde(default)]
            model: Option<String>,
            #[serde(default)]
            stop_reason: Option<String>,
            #[serde(default)]
            stop_details: Option<Box<serde_json::value::RawValue>>,
            #[serde(default)]
            usage: Option<Box<serde_json::value::RawValue>>,
        }
        let whole = match serde_json::from_str::<Whole>(body) {
            Ok(whole) => whole,
            Err(error) => return Err(Fault::Broken(format!("the answer is no message ({error})"))),
        };
        let Some(content) = whole.content else { return Err(server_error(body)) };
        let mut message = Self { model: whole.model.unwrap_or_default(), ..Self::default() };
        let mut deltas = Vec::new();
        for (index, block) in (0..).zip(content) {
            deltas.extend(message.start(index, block)?);
        }
        message.stop = whole.stop_reason.as_deref().map(StopReason::from_wire);
        message.refusal =
            whole.stop_details.and_then(|raw| StopDetails::read(&raw)).unwrap_or_default();
        message.count(whole.usage.and_then(|raw| WireUsage::read(&raw)));
        deltas.push(Delta::Done(message.finish()?));
        Ok(deltas)
    }

    fn begin(&mut self, usage: Option<WireUsage>) -> Result<Option<Delta>, Fault> {
        if self.begun && !self.blocks.is_empty() {
            return Err(Fault::Broken("a second message began inside the first".to_owned()));
        }
        self.begun = true;
        self.count(usage);
        Ok(None)
    }

    fn start(&mut self, index: u64, block: Map<String, Value>) -> Result<Option<Delta>, Fault> {
        let block = read_block(block)?;
        let delta = match &block {
            Block::Text(text) => shown(&text.text).map(Delta::Text),
            Block::Thinking(thinking) => shown(&thinking.thinking).map(Delta::Thinking),
            Block::ToolUse(call) => Some(progress(call, 0)),
            _ => None,
        };
        self.blocks.push(Open { index, block, json: String::new() });
        Ok(delta)
    }

    /// A delta that does not fit its block is ignored, as the API asks for unknown ones.
    fn delta(&mut self, index: u64, delta: WireDelta<'_>) -> Option<Delta> {
        let known = self.blocks.iter().rposition(|open| open.index == index);
        if known.is_none() && &*delta.kind == "text_delta" {
            // Words for a block that was never begun are words all the same.
            self.blocks.push(Open { index, block: Block::text(""), json: String::new() });
        }
        let open = match known {
            Some(at) => self.blocks.get_mut(at)?,
            None => self.blocks.last_mut().filter(|open| open.index == index)?,
        };
        match (&mut open.block, &*delta.kind) {
            (Block::Text(block), "text_delta") => {
                block.text.push_str(&delta.text);
                shown(&delta.text).map(Delta::Text)
            }
            (Block::ToolUse(call), "input_json_delta") => {
                open.json.push_str(&delta.partial_json);
                let some = !delta.partial_json.is_empty();
                some.then(|| progress(call, open.json.len()))
            }
            (Block::Thinking(block), "thinking_delta") => {
                block.thinking.push_str(&delta.thinking);
                shown(&delta.thinking).map(Delta::Thinking)
            }
            (Block::Thinking(block), "signature_delta") => {
                block.signature = delta.signature.into_owned();
                None
            }
            (Block::Text(block), "citations_delta") => {
                let citation = serde_json::from_str(delta.citation?.get()).ok()?;
                match block.rest.entry("citations").or_insert_with(|| Value::Array(Vec::new())) {
                    Value::Array(citations) => citations.push(citation),
                    other => *other = Value::Array(vec![citation]),
                }
                None
            }
            _ => None,
        }
    }

    fn count(&mut self, usage: Option<WireUsage>) {
        if let Some(usage) = usage {
            usage.merge_into(&mut self.usage);
        }
    }

    /// The message is complete: closes what is still open.
    fn finish(&mut self) -> Result<Reply, Fault> {
        let Some(stop) = self.stop.take() else {
            let why = "the reply ended without a stop reason, so it may be cut";
            return Err(Fault::Broken(why.to_owned()));
        };
        let mut content: Vec<Block> = Vec::with_capacity(self.blocks.len());
        self.blocks.sort_by_key(|open| open.index); // stable
        for open in std::mem::take(&mut self.blocks) {
            match open.block {
                // The API itself sends empty ones and refuses to have them back.
                Block::Text(text) if text.text.is_empty() => {}
                Block::ToolUse(mut call) => {
                    if !open.json.trim_ascii().is_empty() {
                        call.input = serde_json::from_str(&open.json)
                            .unwrap_or_else(|_| invalid(Value::String(open.json)));
                    }
                    content.push(Block::ToolUse(call));
                }
                block => content.push(block),
            }
        }
        let message = Message::assistant(content);
        let model = std::mem::take(&mut self.model);
        Ok(self.with_reason(Reply { message, stop, usage: self.usage, model }))
    }

    /// A refusal without a word gets the server's explanation as its text.
    fn with_reason(&mut self, mut reply: Reply) -> Reply {
        let why = std::mem::take(&mut self.refusal);
        if reply.stop == StopReason::Refusal && !why.is_empty() && reply.text().trim().is_empty() {
            reply.message.content.push(Block::text(why));
        }
        reply
    }
}

fn shown(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn progress(call: &ToolCall, bytes: usize) -> Delta {
    Delta::ToolInput { id: call.id.clone(), name: call.name.clone(), bytes }
}

fn invalid(raw: Value) -> Map<String, Value> {
    Map::from_iter([(INVALID_JSON.to_owned(), raw)])
}

/// Reads a block as it begins. What a kind of block must have and a server left out is put in.
fn read_block(mut fields: Map<String, Value>) -> Result<Block, Fault> {
    let Some(Value::String(kind)) = fields.get("type") else {
        return Err(Fault::Broken("a block began without a type".to_owned()));
    };
    let required: &[&str] = match kind.as_str() {
        "text" => &["text"],
        "tool_use" => &["id", "name"],
        "thinking" => &["thinking", "signature"],
        "redacted_thinking" => &["data"],
        _ => return Ok(Block::Other(Value::Object(fields))),
    };
    let Some(Value::String(kind)) = fields.shift_remove("type") else {
        return Err(Fault::Broken("a block began without a type".to_owned()));
    };
    for field in required {
        if fields.get(*field).is_none_or(Value::is_null) {
            fields.insert((*field).to_owned(), Value::String(String::new()));
        }
    }
    if kind == "tool_use" {
        let input = match fields.shift_remove("input") {
            Some(Value::Object(input)) => input,
            None | Some(Value::Null) => Map::new(),
            Some(Value::String(text)) if text.trim().is_empty() => Map::new(),
            Some(Value::String(text)) => {
                serde_json::from_str(&text).unwrap_or_else(|_| invalid(Value::String(text)))
            }
            Some(other) => invalid(Value::String(other.to_string())),
        };
        fields.insert("input".to_owned(), Value::Object(input));
    }
    // Not through Block's own reader: there a text may turn out to be the harness's note.
    let fields = Value::Object(fields);
    let block = match kind.as_str() {
        "text" => Text::deserialize(fields).map(Block::Text),
        "tool_use" => ToolCall::deserialize(fields).map(Block::ToolUse),
        "thinking" => Thinking::deserialize(fields).map(Block::Thinking),
        _ => RedactedThinking::deserialize(fields).map(Block::RedactedThinking),
    };
    block.map_err(|error| Fault::Broken(format!("a {kind} block could not be read ({error})")))
}

/// The server's own report, in whatever shape it comes.
fn server_error(data: &str) -> Fault {
    let super::fault::Words { kind, message, .. } = super::fault::Words::read(data);
    Fault::Server { kind, message }
}

/// An event that is not what it should be: no matter where its kind is unknown, else the end.
fn unreadable(data: &str, error: &serde_json::Error) -> Result<Option<Delta>, Fault> {
    const KNOWN: [&str; 5] =
        ["message_start", "content_block_start", "content_block_delta", "message_delta", "error"];
    const DELTAS: [&str; 5] =
        ["text_delta", "input_json_delta", "thinking_delta", "signature_delta", "citations_delta"];
    if let Ok(event) = serde_json::from_str::<Value>(data) {
        let (kind, delta) = (event["type"].as_str(), event["delta"]["type"].as_str());
        let known = kind.is_some_and(|kind| KNOWN.contains(&kind));
        if !known || delta.is_some_and(|delta| !DELTAS.contains(&delta)) {
            return Ok(None);
        }
    }
    Err(Fault::Broken(format!("an event could not be read ({error})")))
}
