use harness_testkit::{Answer, Fault, StrictServer, When, raw};
use serde_json::{Value, json};

use crate::client::{ask, grown};

fn replies() -> Vec<Answer> {
    let call =
        json!({"type": "tool_use", "id": "toolu_1", "name": "bash", "input": {"command": "ls é"}});
    vec![Answer::blocks(vec![json!({"type": "text", "text": "I look now."}), call])]
}

/// A server whose first request meets these faults.
fn server(faults: &[Fault]) -> StrictServer {
    let server = StrictServer::start(replies());
    for fault in faults {
        server.fault(1, fault.clone());
    }
    server
}

/// The first answer's status, headers worth a look, and text.
async fn answer(fault: Fault) -> (u16, raw::Answer) {
    let server = server(&[fault]);
    let answer = raw::post(server.address(), "/v1/messages", &ask("hi")).await;
    (answer.status, answer)
}

async fn stream(faults: &[Fault]) -> Vec<Value> {
    let server = server(faults);
    raw::post(server.address(), "/v1/messages", &ask("hi")).await.events().await
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["type"].as_str()).collect()
}

fn input(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["delta"]["partial_json"].as_str()).collect()
}

#[tokio::test]
async fn answers_instead_of_the_server() {
    let plain = |code| Fault::Status {
        code,
        headers: vec![("x-should-retry".to_owned(), "false".to_owned())],
        body: "{}".to_owned(),
    };
    for (fault, status, header, value) in [
        (Fault::RetryAfter(3), 429, "retry-after", "3"),
        (Fault::RetryAfterMs(40), 429, "retry-after-ms", "40"),
        (Fault::Overloaded529, 529, "content-type", "application/json"),
        (Fault::Html500, 500, "content-type", "text/html"),
        (Fault::PromptTooLong, 400, "content-type", "application/json"),
        (plain(503), 503, "x-should-retry", "false"),
    ] {
        let (code, answer) = answer(fault.clone()).await;
        assert_eq!(code, status, "{fault:?}");
        assert_eq!(answer.headers[header], value, "{fault:?}");
        assert!(answer.headers.contains_key("request-id"));
    }
}

#[tokio::test]
async fn the_retry_after_a_fault_gets_the_reply_that_was_due() {
    for fault in [Fault::Overloaded529, Fault::EofMidBlock, Fault::EofBeforeStart] {
        let server = server(&[fault]);
        raw::post(server.address(), "/v1/messages", &ask("hi")).await.text().await;
        let events = raw::post(server.address(), "/v1/messages", &ask("hi")).await.events().await;
        assert_eq!(kinds(&events).last(), Some(&"message_stop"));
    }
}

#[tokio::test]
async fn streams_that_end_too_early() {
    let events = stream(&[Fault::MidStreamError("api_error".to_owned())]).await;
    assert_eq!(events.last().unwrap()["error"]["type"], "api_error");
    let events = stream(&[Fault::EofMidBlock]).await;
    assert_eq!(
        kinds(&events),
        ["message_start", "content_block_start", "ping", "content_block_delta"]
    );
    let events = stream(&[Fault::EofBeforeMessageStop]).await;
    assert_eq!(kinds(&events).last(), Some(&"message_delta"));
    assert!(stream(&[Fault::EofBeforeStart]).await.is_empty());
}

#[tokio::test]
async fn a_connection_that_breaks_is_no_polite_end() {
    let (_server, mut answer) = answer_kept(Fault::BrokenConnection).await;
    assert!(answer.pieces().await.is_err());
    let (_server, mut answer) = answer_kept(Fault::EofMidBlock).await;
    assert!(answer.pieces().await.is_ok());
}

/// The server must live as long as its answer is read.
async fn answer_kept(fault: Fault) -> (StrictServer, raw::Answer) {
    let server = server(&[fault]);
    let answer = raw::post(server.address(), "/v1/messages", &ask("hi")).await;
    (server, answer)
}

#[tokio::test]
async fn events_and_deltas_nobody_knows() {
    assert!(kinds(&stream(&[Fault::UnknownEvent]).await).contains(&"weather_report"));
    let events = stream(&[Fault::UnknownDelta]).await;
    assert!(events.iter().any(|event| event["delta"]["type"] == "mood_delta"));
}

#[tokio::test]
async fn how_bytes_travel() {
    let (_server, mut answer) = answer_kept(Fault::Crlf).await;
    let text = answer.text().await;
    assert!(text.starts_with("event: message_start\r\ndata: "));
    assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
    let (_server, mut answer) = answer_kept(Fault::SplitBytes(3)).await;
    let pieces = answer.pieces().await.unwrap();
    assert!(pieces.len() > 100 && pieces.iter().all(|piece| piece.len() <= 3));
    let whole = String::from_utf8(pieces.concat()).unwrap();
    assert_eq!(kinds(&raw::events(&whole)).last(), Some(&"message_stop"));
    let (_server, mut answer) = answer_kept(Fault::OneWrite).await;
    assert_eq!(answer.pieces().await.unwrap().len(), 1);
    let (_server, mut answer) = answer_kept(Fault::NoPings).await;
    let pieces = answer.pieces().await.unwrap();
    let whole = String::from_utf8(pieces.concat()).unwrap();
    assert_eq!(pieces.len(), raw::events(&whole).len(), "an event a write");
    assert!(!kinds(&raw::events(&whole)).contains(&"ping"));
}

#[tokio::test]
async fn other_servers_ways() {
    let events = stream(&[Fault::LateStops]).await;
    let ends = kinds(&events);
    let expected = ["content_block_stop", "content_block_stop", "message_delta", "message_stop"];
    assert!(ends.ends_with(&expected), "{ends:?}");
    let events = stream(&[Fault::WholeInputAtOnce]).await;
    assert_eq!(input(&events), ["{\"command\":\"ls \\u00e9\"}"]);
    let events = stream(&[Fault::UsageNulls]).await;
    assert_eq!(events[0]["message"]["usage"]["cache_read_input_tokens"], Value::Null);
    assert!(events[events.len() - 2].get("usage").is_none());
}

#[tokio::test]
async fn inputs_that_are_no_json() {
    for (fault, stop) in
        [(Fault::InvalidToolJson, "tool_use"), (Fault::MaxTokensInToolInput, "max_tokens")]
    {
        let events = stream(std::slice::from_ref(&fault)).await;
        assert!(serde_json::from_str::<Value>(&input(&events).concat()).is_err(), "{fault:?}");
        assert_eq!(events[events.len() - 2]["delta"]["stop_reason"], stop);
    }
}

#[tokio::test]
async fn thinking_stands_first_and_must_come_back() {
    for (fault, kind) in
        [(Fault::ThinkingEmpty, "thinking"), (Fault::RedactedThinking, "redacted_thinking")]
    {
        let server = server(&[fault]);
        server.fault(2, Fault::Overloaded529).fault(3, Fault::Overloaded529);
        let body = ask("hi");
        let events = raw::post(server.address(), "/v1/messages", &body).await.events().await;
        assert_eq!(events[1]["content_block"]["type"], kind);
        let block = match kind {
            "thinking" => {
                json!({"type": kind, "thinking": "", "signature": events[3]["delta"]["signature"]})
            }
            _ => events[1]["content_block"].clone(),
        };
        let mut reply = vec![block];
        reply.extend(replies().remove(0).content);
        let result = json!([{"type": "tool_result", "tool_use_id": "toolu_1"}]);
        let next = grown(&body, json!(reply), result.clone());
        raw::post(server.address(), "/v1/messages", &next).await;
        assert!(server.violations().is_empty(), "{:?}", server.violations());
        let next = grown(&body, json!(reply[1..]), result);
        raw::post(server.address(), "/v1/messages", &next).await;
        assert_eq!(server.take_violations().len(), 1);
    }
}

#[tokio::test]
async fn replies_that_are_no_answer() {
    let events = stream(&[Fault::Refusal]).await;
    let delta = &events[events.len() - 2]["delta"];
    assert_eq!(
        (&delta["stop_reason"], &delta["stop_details"]["type"]),
        (&json!("refusal"), &json!("refusal"))
    );
    let events = stream(&[Fault::EmptyReply]).await;
    assert_eq!(kinds(&events), ["message_start", "message_delta", "message_stop"]);
}

#[tokio::test]
async fn a_paused_turn_goes_on_from_where_it_was() {
    let play = "prompt: go\nscenes:\n- lines: [{text: Found it.}]";
    let server = StrictServer::start(play);
    server.fault(1, Fault::PauseTurn);
    let mut body = ask("go");
    body["stream"] = json!(false);
    let paused = raw::post(server.address(), "/v1/messages", &body).await.json().await;
    assert_eq!(paused["stop_reason"], "pause_turn");
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": paused["content"]}));
    let reply = raw::post(server.address(), "/v1/messages", &body).await.json().await;
    assert_eq!(reply["content"][0]["text"], "Found it.");
    let mut content = paused["content"].as_array().unwrap().clone();
    content.push(reply["content"][0].clone());
    body["messages"].as_array_mut().unwrap().pop();
    let next = grown(&body, json!(content), json!("go"));
    assert_eq!(raw::post(server.address(), "/v1/messages", &next).await.status, 200);
}

#[tokio::test]
async fn faults_by_what_the_request_says() {
    let server = StrictServer::start("prompt: go\nscenes:\n- lines: [{text: Fine.}]");
    server.fault("bad word", Fault::Overloaded529).fault(When::Always, Fault::NoPings);
    assert_eq!(raw::post(server.address(), "/v1/messages", &ask("go")).await.status, 200);
    assert_eq!(raw::post(server.address(), "/v1/messages", &ask("bad word")).await.status, 529);
}

#[test]
fn the_command_line_knows_them_by_name() {
    assert_eq!("retry-after:3".parse(), Ok(Fault::RetryAfter(3)));
    assert_eq!(
        "mid-stream-error".parse(),
        Ok(Fault::MidStreamError("overloaded_error".to_owned()))
    );
    assert_eq!("split:1".parse(), Ok(Fault::SplitBytes(1)));
    assert!("no-such".parse::<Fault>().is_err());
    assert!("split".parse::<Fault>().is_err());
}
