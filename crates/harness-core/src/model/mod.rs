//! The first seam: what a model is to the loop. One method, and it streams.
//!
//! Callers that do not stream can drop all deltas but the last: it is always [`Delta::Done`] and holds the whole
//! reply. Two methods, one that streams and one that waits, would soon behave differently.

pub mod anthropic;
pub mod cache;
pub mod models;
pub mod script;

use std::borrow::Cow;
use std::time::Duration;

use futures_util::stream::BoxStream;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::conversation::message;
use crate::conversation::message::{Message, ToolCall};

/// What a model streams: deltas, and exactly one [`Delta::Done`], last. Or an error, and nothing after it.
pub type ModelStream = BoxStream<'static, Result<Delta, ModelError>>;

/// Something that continues a conversation.
pub trait Model: Send + Sync {
    /// Asks for the next reply. The request is read before this returns: the stream borrows nothing.
    fn stream(&self, request: &Request<'_>) -> ModelStream;
}

/// One piece of a reply as it arrives.
#[derive(Clone, Debug, PartialEq)]
pub enum Delta {
    /// Words for the user.
    Text(String),
    /// A piece of the model's reasoning, where the server shows it.
    Thinking(String),
    /// A call is being written.
    ToolInput {
        /// The call's id.
        id: String,
        /// The tool's name.
        name: String,
        /// Bytes of its input so far.
        bytes: usize,
    },
    /// The request failed and will be sent again.
    Retrying {
        /// How long until then.
        wait: Duration,
        /// What went wrong, in a few words.
        why: String,
    },
    /// The reply is complete.
    Done(Reply),
}

/// A complete reply.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// What the model said, role assistant.
    pub message: Message,
    /// Why it stopped.
    pub stop: StopReason,
    /// The tokens it took.
    pub usage: Usage,
    /// The model that replied: as the server calls it where the table of models knows that name, else as it was
    /// asked for. Empty until the agent has it.
    pub model: String,
}

impl Reply {
    /// A reply of a model that has not said its name.
    pub fn new(message: Message, stop: StopReason, usage: Usage) -> Self {
        Self { message, stop, usage, model: String::new() }
    }

    /// What it cost in US dollars; `None` where the price is not known. Sums are made of these: a price may
    /// depend on the size of the prompt, and the model may have changed in between.
    pub fn cost(&self) -> Option<f64> {
        models::cost(&self.model, &self.usage)
    }

    /// The request asked this model. A gateway's own name for it, which no table knows, gives way.
    pub(crate) fn answered_for(&mut self, requested: &str) {
        if !models::is_known(&self.model) {
            self.model = requested.to_owned();
        }
    }

    /// The reply's text, all text blocks joined.
    pub fn text(&self) -> String {
        self.message.text()
    }
}

/// Why a model stopped speaking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// It has finished.
    EndTurn,
    /// It waits for tools. The blocks decide, not this: some servers get it wrong.
    ToolUse,
    /// It ran into `max_tokens`: the last block may be cut.
    MaxTokens,
    /// It met a stop sequence.
    StopSequence,
    /// A server-side tool needs another request: send the history again as it is.
    PauseTurn,
    /// It declines. The text, if any, says why.
    Refusal,
    /// The window is full.
    WindowExceeded,
    /// A reason this version does not know: never taken for success.
    Other(String),
}

impl StopReason {
    /// Reads the API's word for it.
    pub fn from_wire(word: &str) -> Self {
        match word {
            "end_turn" => Self::EndTurn,
            "tool_use" => Self::ToolUse,
            "max_tokens" => Self::MaxTokens,
            "stop_sequence" => Self::StopSequence,
            "pause_turn" => Self::PauseTurn,
            "refusal" => Self::Refusal,
            "model_context_window_exceeded" => Self::WindowExceeded,
            other => Self::Other(other.to_owned()),
        }
    }

    /// The API's word for it.
    pub fn as_wire(&self) -> &str {
        match self {
            Self::EndTurn => "end_turn",
            Self::ToolUse => "tool_use",
            Self::MaxTokens => "max_tokens",
            Self::StopSequence => "stop_sequence",
            Self::PauseTurn => "pause_turn",
            Self::Refusal => "refusal",
            Self::WindowExceeded => "model_context_window_exceeded",
            Self::Other(word) => word,
        }
    }
}

/// Tokens, as the server counted them. The prompt's size is the sum of the three input figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Prompt tokens that came after the last cache mark.
    pub input_tokens: u64,
    /// Prompt tokens written to the cache, five-minute and one-hour entries together.
    pub cache_creation_input_tokens: u64,
    /// Of these, tokens in one-hour entries (they cost more).
    pub cache_creation_1h_tokens: u64,
    /// Prompt tokens read from the cache.
    pub cache_read_input_tokens: u64,
    /// Tokens of the reply, thinking included.
    pub output_tokens: u64,
}

impl Usage {
    /// The whole prompt, in tokens.
    pub fn prompt(&self) -> u64 {
        self.input_tokens + self.cache_creation_input_tokens + self.cache_read_input_tokens
    }
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.input_tokens += other.input_tokens;
        self.cache_creation_input_tokens += other.cache_creation_input_tokens;
        self.cache_creation_1h_tokens += other.cache_creation_1h_tokens;
        self.cache_read_input_tokens += other.cache_read_input_tokens;
        self.output_tokens += other.output_tokens;
    }
}

/// A tool as the model sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ToolSpec {
    /// Its name: letters, digits, `_` and `-`, at most 64.
    pub name: String,
    /// When and how to use it.
    pub description: String,
    /// JSON Schema of its input: an object.
    pub input_schema: Value,
}

impl ToolSpec {
    /// About how many bytes a model reads in it, for estimates.
    pub fn size(&self) -> usize {
        self.name.len() + self.description.len() + message::size(&self.input_schema)
    }
}

/// How long a cache entry lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheLife {
    /// Five minutes, renewed by each read.
    FiveMinutes,
    /// One hour, at a higher price to write. Must come before any five-minute mark.
    OneHour,
}

/// Where in the request a cache mark stands: on the last block of what is to be cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CachePosition {
    /// On this tool.
    Tool(usize),
    /// On this system block.
    System(usize),
    /// On this block of this message.
    Message {
        /// Which message.
        message: usize,
        /// Which of its blocks.
        block: usize,
    },
}

/// A `cache_control` mark; merged in while the request is written, so that the history stays clean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Where it stands.
    pub place: CachePosition,
    /// How long the entry lives.
    pub life: CacheLife,
}

/// One request to a model. The history is borrowed: a turn writes it out once and never copies it.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Which agent asks. Never part of the body; plays choose their scene by it.
    pub agent: &'a str,
    /// The model's id.
    pub model: &'a str,
    /// The most tokens the reply may have, thinking included.
    pub max_tokens: u32,
    /// The system prompt, a block each.
    pub system: Cow<'a, [String]>,
    /// The tools, in a stable order.
    pub tools: Cow<'a, [ToolSpec]>,
    /// The history.
    pub messages: &'a [Message],
    /// Cache marks, at most four.
    pub marks: Vec<Mark>,
    /// Whatever else goes into the body: what one model needs and the loop ignores.
    pub extra: Cow<'a, Map<String, Value>>,
}

/// The body of `POST /v1/messages`, without `stream`.
impl Serialize for Request<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let life = |place| self.marks.iter().find(|mark| mark.place == place).map(|mark| mark.life);
        let mut body = serializer.serialize_map(None)?;
        body.serialize_entry("model", self.model)?;
        body.serialize_entry("max_tokens", &self.max_tokens)?;
        if !self.tools.is_empty() {
            let tools = self.tools.iter().enumerate();
            body.serialize_entry(
                "tools",
                &List(|| tools.clone().map(|(i, t)| Marked(t, life(CachePosition::Tool(i))))),
            )?;
        }
        if !self.system.is_empty() {
            let blocks = self.system.iter().enumerate();
            let text = |text| SystemBlock { kind: "text", text };
            let marked =
                || blocks.clone().map(|(i, s)| Marked(text(s), life(CachePosition::System(i))));
            body.serialize_entry("system", &List(marked))?;
        }
        let messages = || {
            let numbered = self.messages.iter().enumerate();
            numbered.map(|(m, message)| WireMessage(message, m, &life))
        };
        body.serialize_entry("messages", &List(messages))?;
        for (name, value) in self.extra.iter() {
            body.serialize_entry(name, value)?;
        }
        body.end()
    }
}

#[derive(Serialize)]
struct SystemBlock<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    text: &'a str,
}

/// A sequence written from an iterator, without collecting it.
struct List<F>(F);

impl<F: Fn() -> I, I: Iterator<Item: Serialize>> Serialize for List<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for item in self.0() {
            list.serialize_element(&item)?;
        }
        list.end()
    }
}

struct Marked<T>(T, Option<CacheLife>);

impl<T: Serialize> Serialize for Marked<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct With<'a, T> {
            #[serde(flatten)]
            inner: &'a T,
            cache_control: Value,
        }
        let cache_control = match self.1 {
            None => return self.0.serialize(serializer),
            Some(CacheLife::FiveMinutes) => serde_json::json!({"type": "ephemeral"}),
            Some(CacheLife::OneHour) => serde_json::json!({"type": "ephemeral", "ttl": "1h"}),
        };
        With { inner: &self.0, cache_control }.serialize(serializer)
    }
}

/// A message as a server gets it: what only we store with it stays here.
struct WireMessage<'a, F>(&'a Message, usize, &'a F);

impl<F: Fn(CachePosition) -> Option<CacheLife>> Serialize for WireMessage<'_, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(message, at, life) = *self;
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("role", &message.role)?;
        let blocks = message.content.iter().enumerate();
        let marked = || {
            blocks.clone().map(|(b, block)| {
                Marked(block, life(CachePosition::Message { message: at, block: b }))
            })
        };
        map.serialize_entry("content", &List(marked))?;
        map.end()
    }
}

/// What can go wrong with a model. Each text is one line that says what to do about it.
#[derive(Clone, Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum ModelError {
    /// 401 or 403: the key is missing, wrong, or may not do this.
    #[error(
        "the server refused the key ({why}); check ANTHROPIC_API_KEY or ANTHROPIC_AUTH_TOKEN in .env"
    )]
    Unauthorized {
        /// The server's words.
        why: String,
    },
    /// 404: no such model, or it was retired.
    #[error(
        "the server does not know this model ({why}); set MODEL_ID or --model to a current one"
    )]
    NoSuchModel {
        /// The server's words, and what is known of the model.
        why: String,
    },
    /// The prompt is larger than the model's window.
    #[error("the conversation is too long for the model ({why})")]
    TooLong {
        /// The server's words.
        why: String,
    },
    /// Another 4xx: sending it again would not help.
    #[error("the server refused the request ({status}: {why})")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The server's words.
        why: String,
    },
    /// Nobody answers at that address.
    #[error(
        "cannot reach {url} ({why}); check ANTHROPIC_BASE_URL, the network, and that the server runs"
    )]
    Unreachable {
        /// The address, without credentials.
        url: String,
        /// What the network said.
        why: String,
    },
    /// Overload, rate limit or a server fault, after all attempts.
    #[error("the server is not available after {attempts} attempts ({why}); try again later")]
    Unavailable {
        /// How many times it was tried.
        attempts: u32,
        /// The last answer.
        why: String,
    },
    /// The stream ended early, stalled or made no sense, after words had been shown.
    #[error("the reply broke off ({why}); what was said so far is kept, say `continue` to go on")]
    Broken {
        /// What was wrong.
        why: String,
    },
    /// Anything else that the model's own side could not do (a script at its end, a closed input).
    #[error("{0}")]
    Other(String),
}

/// A call whose input was not a JSON object is kept under this one key, so that the history stays
/// valid; the tool is not run and the model reads what was wrong with it.
pub const INVALID_JSON: &str = "INVALID_JSON";

/// The raw text of a call's input that could not be read, if this is such a call.
pub fn invalid_input(call: &ToolCall) -> Option<&str> {
    match call.input.len() {
        1 => call.input.get(INVALID_JSON).and_then(Value::as_str),
        _ => None,
    }
}
