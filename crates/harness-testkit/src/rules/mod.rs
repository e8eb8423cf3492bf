//! What the Messages API refuses, in its own words: one request body at a time, nothing remembered.
//!
//! The wording is the API's where it is known. Where the API is laxer than a harness should be, the
//! message says "the harness". [`crate::history`] judges what one body alone cannot show.

mod fields;
mod messages;
mod settings;
mod tools;

use std::borrow::Cow;

use harness_core::{Conversation, Request};
use serde_json::{Map, Value};

/// Why a request is refused, as the HTTP answer will say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The API's word for the kind of error.
    pub error_type: &'static str,
    /// What was wrong, with the path to it.
    pub message: String,
}

impl Refusal {
    /// A 400: the request is malformed.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self { status: 400, error_type: "invalid_request_error", message: message.into() }
    }
}

/// Which door the body came through: they take different fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Endpoint {
    /// `POST /v1/messages`
    #[default]
    Messages,
    /// `POST /v1/messages/count_tokens`
    CountTokens,
}

/// What surrounds the body and changes what is legal in it.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Which endpoint was asked.
    pub endpoint: Endpoint,
    /// The values of the `anthropic-beta` header; some fields need one.
    pub betas: Vec<String>,
    /// The server's last reply in this conversation was `pause_turn`: it may stand last.
    pub paused: bool,
}

/// Judges a body sent to `POST /v1/messages` without beta headers.
///
/// # Errors
/// The first thing the API would refuse.
pub fn check(body: &Value) -> Result<(), Refusal> {
    Rules::default().check(body)
}

impl Rules {
    /// Judges a body.
    ///
    /// # Errors
    /// The first thing the API would refuse.
    pub fn check(&self, body: &Value) -> Result<(), Refusal> {
        fields::top_level(self, body)?;
        settings::check(body)?;
        tools::tools(body)?;
        tools::system(body)?;
        fields::blocks(body)?;
        marks(body)?;
        messages::texts(body)?;
        messages::pairs(body)?;
        messages::ending(body, self.paused)
    }
}

/// What the server would say of this conversation, once the human has said something more.
///
/// # Errors
/// Why it is refused, with the body.
///
/// # Panics
/// Never: a request can be written.
pub fn judge(conversation: &Conversation) -> Result<(), String> {
    let mut conversation = conversation.clone();
    conversation.say("go on");
    let request = Request {
        agent: "lead",
        model: "m",
        max_tokens: 100,
        system: Vec::new().into(),
        tools: Vec::new().into(),
        messages: conversation.messages(),
        marks: Vec::new(),
        extra: Cow::Owned(Map::new()),
    };
    let body = serde_json::to_value(&request).unwrap();
    Rules::default().check(&body).map_err(|refusal| format!("{}\n{body:#}", refusal.message))
}

/// The blocks of a message: a bare string is one text block.
pub(crate) fn content_of(message: &Value) -> Vec<Value> {
    match &message["content"] {
        Value::String(text) => vec![serde_json::json!({"type": "text", "text": text})],
        Value::Array(blocks) => blocks.clone(),
        _ => Vec::new(),
    }
}

pub(crate) fn list<'a>(body: &'a Value, field: &str) -> &'a [Value] {
    body[field].as_array().map_or(&[], Vec::as_slice)
}

fn refuse(message: impl Into<String>) -> Result<(), Refusal> {
    Err(Refusal::invalid(message))
}

/// At most four cache marks, one-hour marks before five-minute ones, in the order tools, system,
/// messages. A mark at the top level takes a slot and stands on the last block.
fn marks(body: &Value) -> Result<(), Refusal> {
    let mut lives: Vec<String> = Vec::new();
    let mut note = |owner: &Value| {
        if let Some(mark) = owner.get("cache_control").filter(|mark| !mark.is_null()) {
            lives.push(mark["ttl"].as_str().unwrap_or("5m").to_owned());
        }
    };
    list(body, "tools").iter().for_each(&mut note);
    list(body, "system").iter().for_each(&mut note);
    for message in list(body, "messages") {
        for block in list(message, "content") {
            note(block);
            list(block, "content").iter().for_each(&mut note);
        }
    }
    note(body);
    if lives.len() > 4 {
        return refuse(format!(
            "A maximum of 4 blocks with cache_control may be provided. Found {}.",
            lives.len()
        ));
    }
    match lives.windows(2).any(|pair| pair[0] == "5m" && pair[1] == "1h") {
        true => refuse(
            "cache_control: a ttl='1h' cache_control block must not come after a ttl='5m' \
             cache_control block.",
        ),
        false => Ok(()),
    }
}
