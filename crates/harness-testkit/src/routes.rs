//! The server's doors, and how one request is answered.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State as Extract};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use futures_util::{StreamExt, stream};
use harness_core::model::cache::{Count, estimate};
use harness_core::model::models;
use serde_json::{Value, json};

use crate::answers::Spoiled;
use crate::chat;
use crate::faults::{Fault, Step, error_body, steps};
use crate::history::Turn;
use crate::rules::{Endpoint, Refusal, Rules};
use crate::server::{Recorded, Shared};

const BODY_LIMIT: usize = 32 * 1024 * 1024;

pub(crate) fn app(shared: Arc<Shared>) -> Router {
    Router::new().fallback(answer).with_state(shared)
}

async fn answer(Extract(shared): Extract<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let headers = parts.headers.iter().map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    let mut recorded = Recorded {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: headers.collect(),
        body: Value::Null,
        text: String::new(),
    };
    let bytes = read(body).await;
    if let Some(bytes) = &bytes {
        recorded.body = serde_json::from_slice(bytes).unwrap_or_default();
        recorded.text = String::from_utf8_lossy(bytes).into_owned();
    }
    let path = recorded.path.trim_end_matches('/').to_owned();
    let id = {
        let mut state = shared.state.lock().unwrap();
        state.recorded.push(recorded.clone());
        state.served += usize::from(recorded.is_turn() && parts.method == Method::POST);
        format!("req_test_{}", state.recorded.len())
    };
    let refuse =
        |status, kind, message: &str| plain(&id, status, &[], error_body(kind, message, &id));
    let key = shared.state.lock().unwrap().key.clone();
    if !has_key(&recorded, key.as_deref()) {
        return refuse(401, "authentication_error", "invalid x-api-key");
    }
    if bytes.is_none() {
        return refuse(413, "request_too_large", "Request exceeds the maximum size");
    }
    match (parts.method.as_str(), path.as_str()) {
        ("POST", "/v1/messages" | "/v1/messages/count_tokens") if recorded.body.is_null() => {
            shared.state.lock().unwrap().violate(format!("{id}: the body is not JSON"));
            refuse(400, "invalid_request_error", "The request body is not valid JSON")
        }
        ("POST", "/v1/messages") => messages(&shared, &recorded, &id, Dialect::Messages),
        ("POST", _) if recorded.is_turn() => match chat::request(&recorded.body) {
            Ok(body) => {
                let counts_usage = recorded.body["stream_options"]["include_usage"] == true;
                let read = Recorded { body, ..recorded };
                messages(&shared, &read, &id, Dialect::Chat { counts_usage })
            }
            Err(why) => refused(&shared, &id, &Refusal::invalid(why)),
        },
        ("POST", "/v1/messages/count_tokens") => {
            let rules = Rules { endpoint: Endpoint::CountTokens, ..rules_for(&recorded) };
            match rules.check(&recorded.body) {
                Err(refusal) => refused(&shared, &id, &refusal),
                Ok(()) => {
                    let count = json!({"input_tokens": estimate(&recorded.body)});
                    plain(&id, 200, &[], count.to_string())
                }
            }
        }
        ("GET", "/v1/models") => {
            let list = json!({
                "data": [model(models::DEFAULT)], "has_more": false,
                "first_id": models::DEFAULT, "last_id": models::DEFAULT,
            });
            plain(&id, 200, &[], list.to_string())
        }
        ("GET", path) if path == format!("/v1/models/{}", models::DEFAULT) => {
            plain(&id, 200, &[], model(models::DEFAULT).to_string())
        }
        (_, path) => refuse(404, "not_found_error", &format!("Not found: {path}")),
    }
}

/// The body, or `None` if it is too large. It is read to its end either way: a connection closed over
/// unread bytes would take the answer with it.
async fn read(body: Body) -> Option<Vec<u8>> {
    let (mut bytes, mut size) = (Vec::new(), 0);
    let mut pieces = body.into_data_stream();
    while let Some(Ok(piece)) = pieces.next().await {
        size += piece.len();
        if size <= BODY_LIMIT {
            bytes.extend_from_slice(&piece);
        }
    }
    (size <= BODY_LIMIT).then_some(bytes)
}

/// Both headers are accepted; without a key to require, any request is.
fn has_key(recorded: &Recorded, wanted: Option<&str>) -> bool {
    let Some(wanted) = wanted else { return true };
    let bearer = recorded.headers.get("authorization").and_then(|v| v.strip_prefix("Bearer "));
    let key = recorded.headers.get("x-api-key").map(String::as_str).or(bearer);
    key == Some(wanted)
}

fn rules_for(recorded: &Recorded) -> Rules {
    let betas = recorded.headers.get("anthropic-beta").map_or("", String::as_str);
    let betas = betas.split(',').map(|beta| beta.trim().to_owned()).collect();
    Rules { betas, ..Rules::default() }
}

fn model(id: &str) -> Value {
    json!({
        "id": id, "type": "model", "display_name": id, "created_at": "2026-09-28T00:00:00Z",
        "lifecycle": "active", "max_input_tokens": 1_000_000, "max_tokens": models::max_output(id),
    })
}

/// How a reply is written.
#[derive(Clone, Copy)]
enum Dialect {
    Messages,
    Chat { counts_usage: bool },
}

/// `POST /v1/messages`, or what was read back into it: judged, then answered as planned.
fn messages(shared: &Arc<Shared>, recorded: &Recorded, id: &str, dialect: Dialect) -> Response {
    let mut state = shared.state.lock().unwrap();
    let (number, body) = (state.served, &recorded.body);
    state.tell(&format!("request {number} from {}", recorded.agent()));
    let text = body.to_string();
    let planned = state.faults.iter().filter(|(when, _)| when.holds(number, &text));
    let faults: Vec<Fault> = planned.map(|(_, fault)| fault.clone()).collect();

    let paused = state.history.paused(body);
    if let Err(refusal) = (Rules { paused, ..rules_for(recorded) }).check(body) {
        drop(state);
        return refused(shared, id, &refusal);
    }
    let prompt = estimate(body);
    if prompt > state.window {
        let message = format!("prompt is too long: {prompt} tokens > {} maximum", state.window);
        return plain(id, 400, &[], error_body("invalid_request_error", &message, id));
    }
    let (turn, wrong) = state.history.see(recorded.agent(), body);
    for what in &wrong {
        state.violate(format!("{id}: {what}"));
    }
    if wrong.iter().any(|what| what.contains("thinking after it was kept")) {
        let message = "messages: Invalid `signature` in `thinking` block. The block is bound to a \
                       different conversation. Remove the block, or set \
                       `thinking.block_binding.prefix_mismatch_behavior` to \"drop_block\".";
        return plain(id, 400, &[], error_body("invalid_request_error", message, id));
    }
    if let Some((status, headers, body)) = faults.iter().find_map(|fault| fault.status(id)) {
        return plain(id, status, &headers, body);
    }
    let spoiled = if faults.iter().any(Fault::spoils) { Spoiled::Yes } else { Spoiled::No };
    let answer = match state.answers.next(recorded.agent(), body, spoiled) {
        Ok(answer) => answer,
        Err(why) => {
            state.violate(format!("{id}: {why}"));
            return plain(id, 500, &[], error_body("api_error", &why, id));
        }
    };
    let count = state.cache.count(body);
    let mut message = json!({
        "id": format!("msg_test_{number}"), "type": "message", "role": "assistant",
        "model": body["model"], "content": answer.content, "stop_reason": answer.stop,
        "stop_sequence": null, "stop_details": null,
    });
    faults.iter().for_each(|fault| fault.on_message(&mut message, number));
    message["usage"] = count.to_json(estimate(&message["content"]));
    faults.iter().for_each(|fault| fault.on_message_usage(&mut message));

    let mut content = message["content"].as_array().cloned().unwrap_or_default();
    if let Some(input) = faults.iter().find_map(Fault::spoils_input)
        && let Some(call) = content.iter_mut().rfind(|block| block["type"] == "tool_use")
    {
        call["input"] = input;
    }
    state.history.sends(turn, &content, message["stop_reason"].as_str().unwrap_or_default());
    drop(state);
    let way = Way { shared: shared.clone(), turn, count, whole: !faults.iter().any(Fault::cuts) };
    match body["stream"] == true {
        true => {
            let steps = match dialect {
                Dialect::Messages => steps(&message, &faults),
                Dialect::Chat { counts_usage } => {
                    let chunks = chat::chunks(&message, counts_usage);
                    let mut steps: Vec<Step> = chunks.into_iter().map(Step::Bytes).collect();
                    faults.iter().for_each(|fault| fault.on_steps(&mut steps));
                    steps
                }
            };
            way.respond(id, "text/event-stream", steps)
        }
        false => {
            let message = match dialect {
                Dialect::Messages => message,
                Dialect::Chat { .. } => chat::completion(&message),
            };
            let mut steps = vec![Step::Bytes(message.to_string())];
            if let Some(Fault::MidStreamError(kind)) = faults.iter().find(|fault| fault.cuts()) {
                return plain(id, 529, &[], error_body(kind, "asked for by a test", id));
            }
            if faults.iter().any(Fault::cuts) {
                let text = message.to_string();
                steps = vec![Step::Bytes(text.chars().take(text.chars().count() / 2).collect())];
            }
            faults.iter().for_each(|fault| fault.on_steps(&mut steps));
            way.respond(id, "application/json", steps)
        }
    }
}

fn refused(shared: &Shared, id: &str, refusal: &Refusal) -> Response {
    shared.state.lock().unwrap().violate(format!("{id}: {} {}", refusal.status, refusal.message));
    plain(id, refusal.status, &[], error_body(refusal.error_type, &refusal.message, id))
}

fn plain(id: &str, status: u16, headers: &[(String, String)], body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    let all = response.headers_mut();
    all.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    all.insert("request-id", HeaderValue::from_str(id).unwrap());
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        all.insert(name, HeaderValue::from_str(value).unwrap());
    }
    response
}

/// A reply on its way to the client.
struct Way {
    shared: Arc<Shared>,
    turn: Turn,
    count: Count,
    /// It will be sent to its end, if the client stays.
    whole: bool,
}

impl Way {
    fn respond(self, id: &str, kind: &'static str, steps: Vec<Step>) -> Response {
        let start = (self, steps.into_iter().peekable(), false);
        let body = stream::unfold(start, |(way, mut steps, begun)| async move {
            loop {
                // Whatever was said before is flushed first: every step is a write of its own.
                tokio::task::yield_now().await;
                let step = steps.next()?;
                let piece = match step {
                    Step::Gate(name) => {
                        way.shared.gates.pass(&name).await;
                        continue;
                    }
                    Step::Break => Err(std::io::Error::other("the connection breaks, as planned")),
                    Step::Bytes(text) => Ok(Bytes::from(text)),
                    Step::Raw(bytes) => Ok(Bytes::from(bytes)),
                };
                let mut state = way.shared.state.lock().unwrap();
                if !begun {
                    state.cache.store(&way.count);
                }
                if way.whole && steps.peek().is_none() {
                    state.history.sent(way.turn);
                }
                drop(state);
                return Some((piece, (way, steps, true)));
            }
        });
        let mut response = plain(id, 200, &[], String::new());
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        *response.body_mut() = Body::from_stream(body);
        response
    }
}
