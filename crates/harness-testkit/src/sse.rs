//! A finished reply as the API streams it: events, and events as bytes.

use serde_json::{Value, json};

/// One server-sent event. Its name is the `type` in its data.
pub type Event = Value;

/// The most bytes of a piece of tool input.
const FRAGMENT: usize = 11;

/// The events of a reply: exactly the order the API keeps. `message` is the object that a request
/// without `stream` would get.
pub fn events(message: &Value) -> Vec<Event> {
    let mut start = message.clone();
    start["content"] = json!([]);
    start["stop_reason"] = Value::Null;
    start["stop_sequence"] = Value::Null;
    start["usage"]["output_tokens"] = json!(1);
    if let Some(fields) = start.as_object_mut() {
        fields.shift_remove("stop_details");
    }
    let mut events = vec![json!({"type": "message_start", "message": start})];
    let empty = Vec::new();
    for (index, block) in message["content"].as_array().unwrap_or(&empty).iter().enumerate() {
        let (shell, deltas) = parts(block);
        events.push(json!({"type": "content_block_start", "index": index, "content_block": shell}));
        if index == 0 {
            events.push(json!({"type": "ping"}));
        }
        events.extend(
            deltas.into_iter().map(
                |delta| json!({"type": "content_block_delta", "index": index, "delta": delta}),
            ),
        );
        events.push(json!({"type": "content_block_stop", "index": index}));
    }
    let mut delta = json!({
        "stop_reason": message["stop_reason"],
        "stop_sequence": message["stop_sequence"],
    });
    if !message["stop_details"].is_null() {
        delta["stop_details"] = message["stop_details"].clone();
    }
    let usage = json!({"output_tokens": message["usage"]["output_tokens"]});
    events.push(json!({"type": "message_delta", "delta": delta, "usage": usage}));
    events.push(json!({"type": "message_stop"}));
    events
}

/// What a block starts as, and the deltas that fill it.
fn parts(block: &Value) -> (Value, Vec<Value>) {
    match block["type"].as_str() {
        Some("text") => {
            let words = block["text"].as_str().unwrap_or_default().split_inclusive(' ');
            let deltas = words.map(|word| json!({"type": "text_delta", "text": word}));
            (json!({"type": "text", "text": ""}), deltas.collect())
        }
        Some("tool_use") => {
            let mut shell = block.clone();
            shell["input"] = json!({});
            let deltas = fragments(&block["input"])
                .into_iter()
                .map(|part| json!({"type": "input_json_delta", "partial_json": part}));
            (shell, deltas.collect())
        }
        Some("thinking") => {
            let words = block["thinking"].as_str().unwrap_or_default().split_inclusive(' ');
            let mut deltas: Vec<Value> =
                words.map(|word| json!({"type": "thinking_delta", "thinking": word})).collect();
            deltas.push(json!({"type": "signature_delta", "signature": block["signature"]}));
            (json!({"type": "thinking", "thinking": "", "signature": ""}), deltas)
        }
        // Everything else arrives whole.
        _ => (block.clone(), Vec::new()),
    }
}

/// A call's input in pieces: the first one empty, the others cut in the middle of strings and of
/// `\u` escapes (which stand for every character outside ASCII). An input without arguments is
/// the empty piece alone.
pub fn fragments(input: &Value) -> Vec<String> {
    let mut fragments = vec![String::new()];
    if input.as_object().is_some_and(serde_json::Map::is_empty) {
        return fragments;
    }
    let mut rest = ascii(&input.to_string());
    while !rest.is_empty() {
        // Cut inside the first escape that begins in this piece, else after FRAGMENT bytes.
        let escape = rest.find("\\u").filter(|at| *at < FRAGMENT).map(|at| at + 3);
        let tail = rest.split_off(escape.unwrap_or(FRAGMENT).min(rest.len()));
        fragments.push(std::mem::replace(&mut rest, tail));
    }
    fragments
}

/// JSON with every character outside ASCII written as an escape.
fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            text.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            text.push_str(&format!("\\u{unit:04x}"));
        }
    }
    text
}

/// An event as it travels.
pub fn bytes(event: &Event, line_end: &str) -> String {
    let name = event["type"].as_str().unwrap_or_default();
    format!("event: {name}{line_end}data: {event}{line_end}{line_end}")
}
