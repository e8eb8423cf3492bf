//! The other dialect: chat completions, as OpenAI and all who imitate it speak them. A gateway stands
//! between that and the harness, so the strict server speaks it too: a request is read back into one of
//! the Messages API, judged by the same rules and history, and the reply is written the other way.

use serde_json::{Map, Value, json};

use crate::sse;

/// The end of a stream.
const DONE: &str = "data: [DONE]\n\n";

/// A body of `POST …/chat/completions` as one of `POST /v1/messages`.
///
/// # Errors
/// A message that the dialect does not have.
pub fn request(body: &Value) -> Result<Value, String> {
    let (mut system, mut messages) = (Vec::new(), Vec::<Value>::new());
    for (at, message) in body["messages"].as_array().into_iter().flatten().enumerate() {
        let wrong = |what: &str| format!("messages.{at}: {what}");
        let (role, content) = match message["role"].as_str() {
            Some("system" | "developer") => {
                system.extend(texts(&message["content"]));
                continue;
            }
            Some("user") => ("user", texts(&message["content"])),
            Some("assistant") => ("assistant", said(message).map_err(|why| wrong(&why))?),
            Some("tool") => ("user", vec![result(message)]),
            role => return Err(wrong(&format!("no role is called {role:?}"))),
        };
        // Each result is a message of its own there; here those of one step stand in one.
        match messages.last_mut() {
            Some(last) if last["role"] == role && role == "user" => {
                last["content"]
                    .as_array_mut()
                    .into_iter()
                    .for_each(|all| all.extend(content.clone()));
            }
            _ => messages.push(json!({"role": role, "content": content})),
        }
    }
    let tools = body["tools"].as_array().into_iter().flatten().map(|tool| {
        let own = &tool["function"];
        json!({"name": own["name"], "description": own["description"], "input_schema": own["parameters"]})
    });
    let tools: Vec<Value> = tools.collect();
    let most = ["max_completion_tokens", "max_tokens"].iter().find_map(|name| body[name].as_u64());
    let mut read = json!({
        "model": body["model"], "max_tokens": most.unwrap_or(4096),
        "stream": body["stream"] == true, "messages": messages,
    });
    if !system.is_empty() {
        read["system"] = json!(system);
    }
    if !tools.is_empty() {
        read["tools"] = json!(tools);
    }
    Ok(read)
}

/// A content, a text or a list of parts, as text blocks.
fn texts(content: &Value) -> Vec<Value> {
    let block = |text: &str| json!({"type": "text", "text": text});
    match content {
        Value::String(text) if !text.is_empty() => vec![block(text)],
        Value::Array(parts) => {
            parts.iter().filter_map(|part| part["text"].as_str()).map(block).collect()
        }
        _ => Vec::new(),
    }
}

/// What the model said: words, then calls, whose arguments are JSON in a string.
fn said(message: &Value) -> Result<Vec<Value>, String> {
    let mut blocks = texts(&message["content"]);
    for call in message["tool_calls"].as_array().into_iter().flatten() {
        let own = &call["function"];
        let arguments = own["arguments"].as_str().unwrap_or_default();
        let input: Map<String, Value> = serde_json::from_str(arguments)
            .map_err(|why| format!("arguments that are no object: {arguments:?}: {why}"))?;
        blocks.push(
            json!({"type": "tool_use", "id": call["id"], "name": own["name"], "input": input}),
        );
    }
    Ok(blocks)
}

fn result(message: &Value) -> Value {
    let content = texts(&message["content"]);
    json!({"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": content})
}

/// A reply of the Messages API as a chat completion.
pub fn completion(message: &Value) -> Value {
    let (text, calls) = parts(message);
    let calls: Vec<Value> = calls.iter().map(|(call, _)| call.clone()).collect();
    let mut own = json!({"role": "assistant", "content": text, "refusal": null});
    if !calls.is_empty() {
        own["tool_calls"] = json!(calls);
    }
    let mut whole = frame(message, "chat.completion");
    whole["choices"] =
        json!([{"index": 0, "message": own, "logprobs": null, "finish_reason": finish(message)}]);
    whole["usage"] = usage(message);
    whole
}

/// The same as a stream, each event as it travels: words one by one, the arguments of a call in pieces.
pub fn chunks(message: &Value, counts_usage: bool) -> Vec<String> {
    let (text, calls) = parts(message);
    let mut deltas = vec![json!({"role": "assistant", "content": ""})];
    let words = text.as_str().unwrap_or_default().split_inclusive(' ');
    deltas.extend(words.map(|word| json!({"content": word})));
    for (at, (call, input)) in calls.into_iter().enumerate() {
        let mut begun = call;
        begun["index"] = json!(at);
        begun["function"]["arguments"] = json!("");
        deltas.push(json!({"tool_calls": [begun]}));
        let pieces = match input.as_object().is_some_and(Map::is_empty) {
            true => vec!["{}".to_owned()],
            false => sse::fragments(&input),
        };
        deltas.extend(
            pieces.into_iter().filter(|piece| !piece.is_empty()).map(
                |piece| json!({"tool_calls": [{"index": at, "function": {"arguments": piece}}]}),
            ),
        );
    }
    let chunk = |delta: Value, reason: Value| {
        let mut chunk = frame(message, "chat.completion.chunk");
        chunk["choices"] = json!([{"index": 0, "delta": delta, "finish_reason": reason}]);
        chunk
    };
    let mut events: Vec<Value> =
        deltas.into_iter().map(|delta| chunk(delta, Value::Null)).collect();
    events.push(chunk(json!({}), json!(finish(message))));
    if counts_usage {
        let mut last = frame(message, "chat.completion.chunk");
        last["choices"] = json!([]);
        last["usage"] = usage(message);
        events.push(last);
    }
    let written = events.iter().map(|event| format!("data: {event}\n\n"));
    written.chain([DONE.to_owned()]).collect()
}

/// The words, and each call with its input.
fn parts(message: &Value) -> (Value, Vec<(Value, Value)>) {
    let blocks = || message["content"].as_array().into_iter().flatten();
    let text: String = blocks().filter_map(|block| block["text"].as_str()).collect();
    let calls = blocks().filter(|block| block["type"] == "tool_use").map(|block| {
        let own = json!({"name": block["name"], "arguments": block["input"].to_string()});
        (json!({"id": block["id"], "type": "function", "function": own}), block["input"].clone())
    });
    (if text.is_empty() { Value::Null } else { json!(text) }, calls.collect())
}

fn frame(message: &Value, object: &str) -> Value {
    json!({"id": message["id"], "object": object, "created": 1_790_000_000, "model": message["model"]})
}

fn finish(message: &Value) -> &'static str {
    match message["stop_reason"].as_str() {
        Some("tool_use") => "tool_calls",
        Some("max_tokens") => "length",
        Some("refusal") => "content_filter",
        _ => "stop",
    }
}

fn usage(message: &Value) -> Value {
    let count = |field: &str| message["usage"][field].as_u64().unwrap_or_default();
    let (prompt, said) = (count("input_tokens"), count("output_tokens"));
    json!({"prompt_tokens": prompt, "completion_tokens": said, "total_tokens": prompt + said})
}
