//! Everything that can go wrong between a model and its client, on demand.
//!
//! A fault works at one of four depths: it answers instead of the server, changes
//! the reply, changes the events, or changes how the bytes travel. Several may be planned for one
//! request; they do not disturb each other as long as they work at different depths.

mod effects;

use std::str::FromStr;

pub(crate) use effects::{Step, error_body, steps};

/// One thing that goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// Any HTTP answer.
    Status {
        /// The status.
        code: u16,
        /// Headers beside `request-id`.
        headers: Vec<(String, String)>,
        /// The body as it is.
        body: String,
    },
    /// 429 with `retry-after`, in seconds.
    RetryAfter(u32),
    /// 429 with `retry-after-ms`.
    RetryAfterMs(u32),
    /// 529 `overloaded_error`.
    Overloaded529,
    /// 500 with a page of HTML, as proxies send.
    Html500,
    /// The reply stands in a wider prompt than the model takes: 400 `prompt is too long`.
    PromptTooLong,
    /// An `error` event of this type after the first delta.
    MidStreamError(String),
    /// The stream ends in the middle of a block, politely.
    EofMidBlock,
    /// The stream ends after `message_delta`.
    EofBeforeMessageStop,
    /// The stream ends before its first event.
    EofBeforeStart,
    /// The connection breaks in the middle of a block.
    BrokenConnection,
    /// An event nobody knows, in the middle.
    UnknownEvent,
    /// A delta nobody knows, in the first block.
    UnknownDelta,
    /// Lines end with CR LF.
    Crlf,
    /// The stream arrives in pieces of this many bytes.
    SplitBytes(usize),
    /// The whole stream arrives at once.
    OneWrite,
    /// The reply hits `max_tokens` in the middle of its last call's input.
    MaxTokensInToolInput,
    /// The model declines, and says nothing.
    Refusal,
    /// A server-side tool needs another request.
    PauseTurn,
    /// The stream waits after its first delta until the test opens this gate.
    Gate(String),
    /// Headers are sent, and not one byte more until the test opens this gate.
    Silent(String),
    /// All `content_block_stop` come at the end (llama.cpp).
    LateStops,
    /// A call's whole input comes in one delta, and no empty one before it (Ollama).
    WholeInputAtOnce,
    /// No pings (Ollama, vLLM).
    NoPings,
    /// A thinking block without text stands first, with its signature.
    ThinkingEmpty,
    /// A `redacted_thinking` block stands first.
    RedactedThinking,
    /// The reply is empty, and ends the turn.
    EmptyReply,
    /// The cache figures are null, and the last usage is missing.
    UsageNulls,
    /// The last call's input is no JSON.
    InvalidToolJson,
}

/// Which requests a fault is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// The n-th request to `/v1/messages`, from 1.
    Request(usize),
    /// Every request whose body contains this text. For several agents at once, whose order nobody
    /// knows.
    Contains(String),
    /// Every one.
    Always,
}

impl From<usize> for When {
    fn from(number: usize) -> Self {
        Self::Request(number)
    }
}

impl From<&str> for When {
    fn from(text: &str) -> Self {
        Self::Contains(text.to_owned())
    }
}

impl When {
    pub(crate) fn holds(&self, number: usize, body: &str) -> bool {
        match self {
            Self::Request(wanted) => *wanted == number,
            Self::Contains(text) => body.contains(text),
            Self::Always => true,
        }
    }
}

/// As the command line writes it: `overloaded`, `retry-after:3`, `mid-stream-error:api_error` …
impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once(':').unwrap_or((text, ""));
        let number = || value.parse().map_err(|_| format!("{text}: a number after the colon"));
        let or =
            |default: &str| if value.is_empty() { default.to_owned() } else { value.to_owned() };
        Ok(match name {
            "status" => {
                let code = number()? as u16;
                let body = error_body("api_error", "asked for on the command line", "");
                Self::Status { code, headers: vec![], body }
            }
            "retry-after" => Self::RetryAfter(number()?),
            "retry-after-ms" => Self::RetryAfterMs(number()?),
            "overloaded" => Self::Overloaded529,
            "html" => Self::Html500,
            "too-long" => Self::PromptTooLong,
            "mid-stream-error" => Self::MidStreamError(or("overloaded_error")),
            "eof-mid-block" => Self::EofMidBlock,
            "eof-before-message-stop" => Self::EofBeforeMessageStop,
            "eof-before-start" => Self::EofBeforeStart,
            "broken-connection" => Self::BrokenConnection,
            "unknown-event" => Self::UnknownEvent,
            "unknown-delta" => Self::UnknownDelta,
            "crlf" => Self::Crlf,
            "split" => Self::SplitBytes(number()? as usize),
            "one-write" => Self::OneWrite,
            "max-tokens" => Self::MaxTokensInToolInput,
            "refusal" => Self::Refusal,
            "pause" => Self::PauseTurn,
            "gate" => Self::Gate(or("gate")),
            "silent" => Self::Silent(or("gate")),
            "late-stops" => Self::LateStops,
            "whole-input" => Self::WholeInputAtOnce,
            "no-pings" => Self::NoPings,
            "thinking" => Self::ThinkingEmpty,
            "redacted-thinking" => Self::RedactedThinking,
            "empty" => Self::EmptyReply,
            "usage-nulls" => Self::UsageNulls,
            "invalid-json" => Self::InvalidToolJson,
            _ => return Err(format!("no fault is called {name:?}")),
        })
    }
}
