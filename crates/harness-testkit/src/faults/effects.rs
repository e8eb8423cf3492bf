//! What each fault does, depth by depth.

use serde_json::{Value, json};

use super::Fault;
use crate::history::UNREADABLE;
use crate::sse::{self, Event};

/// Status, headers and body.
pub(crate) type HttpAnswer = (u16, Vec<(String, String)>, String);

/// One step of a body on its way.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    Bytes(String),
    Raw(Vec<u8>),
    Gate(String),
    Break,
}

pub(crate) fn error_body(kind: &str, message: &str, request_id: &str) -> String {
    let error = json!({"type": kind, "message": message});
    json!({"type": "error", "error": error, "request_id": request_id}).to_string()
}

impl Fault {
    /// The HTTP answer that this fault is, if it is one.
    pub(crate) fn status(&self, request_id: &str) -> Option<HttpAnswer> {
        let limit = |name: &str, wait: u32| {
            let body = error_body(
                "rate_limit_error",
                "This request would exceed your rate limit",
                request_id,
            );
            Some((429, vec![(name.to_owned(), wait.to_string())], body))
        };
        match self {
            Self::Status { code, headers, body } => Some((*code, headers.clone(), body.clone())),
            Self::RetryAfter(seconds) => limit("retry-after", *seconds),
            Self::RetryAfterMs(millis) => limit("retry-after-ms", *millis),
            Self::Overloaded529 => {
                Some((529, vec![], error_body("overloaded_error", "Overloaded", request_id)))
            }
            Self::Html500 => {
                let html = ("content-type".to_owned(), "text/html".to_owned());
                Some((
                    500,
                    vec![html],
                    "<html><h1>500 Internal Server Error</h1></html>".to_owned(),
                ))
            }
            Self::PromptTooLong => {
                let message = "prompt is too long: 1000001 tokens > 1000000 maximum";
                Some((400, vec![], error_body("invalid_request_error", message, request_id)))
            }
            _ => None,
        }
    }

    /// Whether the client will have to ask again for what it should have got.
    pub(crate) fn spoils(&self) -> bool {
        matches!(
            self,
            Self::MidStreamError(_)
                | Self::EofMidBlock
                | Self::EofBeforeMessageStop
                | Self::EofBeforeStart
                | Self::BrokenConnection
                | Self::MaxTokensInToolInput
                | Self::Refusal
                | Self::PauseTurn
                | Self::EmptyReply
        ) || self.status("").is_some()
    }

    /// Whether the reply ends before its end.
    pub(crate) fn cuts(&self) -> bool {
        matches!(
            self,
            Self::MidStreamError(_)
                | Self::EofMidBlock
                | Self::EofBeforeMessageStop
                | Self::EofBeforeStart
                | Self::BrokenConnection
        )
    }

    /// Changes the reply.
    pub(crate) fn on_message(&self, message: &mut Value, number: usize) {
        let first = |message: &mut Value, block: Value| {
            if let Some(content) = message["content"].as_array_mut() {
                content.insert(0, block);
            }
        };
        match self {
            Self::ThinkingEmpty => {
                let signature = format!("EqQBCkYIBxgC{number:04}AA==");
                first(message, json!({"type": "thinking", "thinking": "", "signature": signature}));
            }
            Self::RedactedThinking => {
                let data = format!("EmwKAhgBEgy{number:04}AA==");
                first(message, json!({"type": "redacted_thinking", "data": data}));
            }
            Self::EmptyReply => {
                message["content"] = json!([]);
                message["stop_reason"] = json!("end_turn");
            }
            Self::Refusal => {
                message["content"] = json!([]);
                message["stop_reason"] = json!("refusal");
                message["stop_details"] = json!({
                    "type": "refusal", "category": null, "explanation": "This was asked for by a test.",
                });
            }
            Self::PauseTurn => {
                let id = format!("srvtoolu_test_{number}");
                message["content"] = json!([
                    {"type": "server_tool_use", "id": id, "name": "web_search",
                     "input": {"query": "harness"}},
                    {"type": "web_search_tool_result", "tool_use_id": id, "content": []},
                ]);
                message["stop_reason"] = json!("pause_turn");
            }
            Self::MaxTokensInToolInput => message["stop_reason"] = json!("max_tokens"),
            _ => {}
        }
    }

    /// Changes the reply's usage.
    pub(crate) fn on_message_usage(&self, message: &mut Value) {
        if *self == Self::UsageNulls {
            for field in
                ["cache_creation_input_tokens", "cache_read_input_tokens", "cache_creation"]
            {
                message["usage"][field] = Value::Null;
            }
        }
    }

    /// What the last call's input counts as, when it is spoilt on the way.
    pub(crate) fn spoils_input(&self) -> Option<Value> {
        let spoilt = matches!(self, Self::InvalidToolJson | Self::MaxTokensInToolInput);
        spoilt.then(|| json!({ UNREADABLE: true }))
    }

    /// Changes the events.
    pub(crate) fn on_events(&self, events: &mut Vec<Event>) {
        let is = |kind: &'static str| move |event: &Event| event["type"] == kind;
        let delta = events.iter().position(is("content_block_delta"));
        let after_delta = delta.map_or(1, |at| at + 1).min(events.len());
        match self {
            Self::MidStreamError(kind) => {
                events.truncate(after_delta);
                let error = json!({"type": kind, "message": "asked for by a test"});
                events.push(json!({"type": "error", "error": error}));
            }
            Self::EofMidBlock | Self::BrokenConnection => events.truncate(after_delta),
            Self::EofBeforeMessageStop => events.retain(|event| event["type"] != "message_stop"),
            Self::EofBeforeStart => events.clear(),
            Self::UnknownEvent => {
                events.insert(after_delta, json!({"type": "weather_report", "index": 0}));
            }
            Self::UnknownDelta => {
                let delta = json!({"type": "mood_delta", "mood": "sunny"});
                let event = json!({"type": "content_block_delta", "index": 0, "delta": delta});
                events.insert(after_delta, event);
            }
            Self::LateStops => {
                let mut stops = events.clone();
                stops.retain(is("content_block_stop"));
                events.retain(|event| event["type"] != "content_block_stop");
                let end = events.iter().position(is("message_delta")).unwrap_or(events.len());
                events.splice(end..end, stops);
            }
            Self::WholeInputAtOnce => join_inputs(events),
            Self::NoPings => events.retain(|event| event["type"] != "ping"),
            Self::UsageNulls => {
                for event in events.iter_mut().filter(|event| event["type"] == "message_delta") {
                    event.as_object_mut().map(|fields| fields.shift_remove("usage"));
                }
            }
            Self::InvalidToolJson | Self::MaxTokensInToolInput => self.cut_input(events),
            _ => {}
        }
    }

    /// Cuts the last call's input in the middle. Without a call, the last text.
    fn cut_input(&self, events: &mut Vec<Event>) {
        let mut inputs = events.iter().filter(|event| event["delta"]["type"] == "input_json_delta");
        let of_last = inputs.next_back().map(|event| event["index"].clone());
        let index = of_last.or_else(|| {
            let mut deltas = events.iter().filter(|event| event["type"] == "content_block_delta");
            deltas.next_back().map(|event| event["index"].clone())
        });
        let mine: Vec<usize> = (0..events.len())
            .filter(|&at| events[at]["type"] == "content_block_delta")
            .filter(|&at| Some(&events[at]["index"]) == index.as_ref())
            .collect();
        for at in mine.iter().skip(mine.len().div_ceil(2)).rev() {
            events.remove(*at);
        }
        let Some(&last) = mine.get(mine.len().div_ceil(2).saturating_sub(1)) else { return };
        let has_input = events[last]["delta"]["partial_json"].is_string();
        let broken = match *self == Self::InvalidToolJson {
            true => "{\"command\": \"ls\" oops",
            false => "{\"cut",
        };
        if has_input && (*self == Self::InvalidToolJson || mine.len() == 1) {
            events[last]["delta"]["partial_json"] = json!(broken);
        }
    }

    /// Changes how the bytes travel.
    pub(crate) fn on_steps(&self, steps: &mut Vec<Step>) {
        match self {
            Self::Gate(name) => {
                // In either dialect.
                let first = ["content_block_delta", r#""delta":{"content":"#];
                let delta = |step: &Step| matches!(step, Step::Bytes(text) if first.iter().any(|it| text.contains(it)));
                let after = steps.iter().position(delta).map_or(0, |at| at + 1);
                steps.insert(after, Step::Gate(name.clone()));
            }
            Self::Silent(name) => steps.insert(0, Step::Gate(name.clone())),
            Self::BrokenConnection => steps.push(Step::Break),
            Self::OneWrite => {
                let all = steps.iter().filter_map(|step| match step {
                    Step::Bytes(text) => Some(text.as_str()),
                    _ => None,
                });
                *steps = vec![Step::Bytes(all.collect())];
            }
            Self::SplitBytes(size) => {
                let pieces = steps.drain(..).flat_map(|step| match step {
                    Step::Bytes(text) => text
                        .into_bytes()
                        .chunks((*size).max(1))
                        .map(|bytes| Step::Raw(bytes.to_vec()))
                        .collect(),
                    step => vec![step],
                });
                *steps = pieces.collect();
            }
            _ => {}
        }
    }

    pub(crate) fn line_end(faults: &[Fault]) -> &'static str {
        if faults.contains(&Fault::Crlf) { "\r\n" } else { "\n" }
    }
}

/// All faults at work on one reply's events.
pub(crate) fn steps(message: &Value, faults: &[Fault]) -> Vec<Step> {
    let mut events = sse::events(message);
    faults.iter().for_each(|fault| fault.on_events(&mut events));
    let line_end = Fault::line_end(faults);
    let bytes = events.iter().map(|event| Step::Bytes(sse::bytes(event, line_end)));
    let mut steps: Vec<Step> = bytes.collect();
    faults.iter().for_each(|fault| fault.on_steps(&mut steps));
    steps
}

fn join_inputs(events: &mut Vec<Event>) {
    let mut joined: Vec<Event> = Vec::new();
    for event in events.drain(..) {
        let part = event["delta"]["partial_json"].as_str().map(str::to_owned);
        match (joined.last_mut(), part) {
            (Some(last), Some(part))
                if last["delta"]["partial_json"].is_string() && last["index"] == event["index"] =>
            {
                let whole = last["delta"]["partial_json"].as_str().unwrap_or_default().to_owned();
                last["delta"]["partial_json"] = json!(whole + &part);
            }
            _ => joined.push(event),
        }
    }
    // A call without arguments still gets its object.
    for event in joined.iter_mut().filter(|event| event["delta"]["partial_json"] == "") {
        event["delta"]["partial_json"] = json!("{}");
    }
    *events = joined;
}
