use std::sync::Arc;

use harness_core::{Agent, Conversation, TurnOutcome};
use harness_testkit::{Answer, Fault, StrictServer, raw};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::client::{Client, Echo, ask, grown};

const PLAY: &str = "
prompt: go
scenes:
- agent: scout
  lines:
  - text: Scouted.
- lines:
  - text: First é.
    calls: [{tool: echo, input: {word: “hi” 🦀}}, {tool: echo}]
  - text: Done.
";

#[tokio::test]
async fn an_agent_plays_two_turns_over_http() {
    let server = StrictServer::start(PLAY);
    let mut agent = Agent::new(Arc::new(Client(server.address())), std::env::temp_dir());
    agent.tools.add(Echo);
    let mut conversation = Conversation::new();
    for _ in 0..2 {
        conversation.say("go");
        let stop = agent.run(&mut conversation, &CancellationToken::new()).await;
        assert_eq!(stop, Ok(TurnOutcome::Answered("Done.".to_owned())));
    }
    let scout = Agent { name: "scout".to_owned(), ..agent };
    let mut other = Conversation::new();
    other.say("go");
    let stop = scout.run(&mut other, &CancellationToken::new()).await;
    assert_eq!(stop, Ok(TurnOutcome::Answered("Scouted.".to_owned())));
    let requests = server.finish();
    assert_eq!(requests.len(), 5);
    assert_eq!(requests[3]["messages"].as_array().unwrap().len(), 7);
}

#[tokio::test]
async fn the_loop_stays_legal_whatever_the_reply() {
    for fault in [
        Fault::PauseTurn,
        Fault::EmptyReply,
        Fault::Refusal,
        Fault::MaxTokensInToolInput,
        Fault::ThinkingEmpty,
        Fault::RedactedThinking,
        Fault::Overloaded529,
        Fault::PromptTooLong,
    ] {
        for number in 1..=3 {
            let server = StrictServer::start(PLAY);
            server.fault(number, fault.clone());
            let mut agent = Agent::new(Arc::new(Client(server.address())), std::env::temp_dir());
            agent.tools.add(Echo);
            let mut conversation = Conversation::new();
            for _ in 0..3 {
                conversation.say("go");
                let _ = agent.run(&mut conversation, &CancellationToken::new()).await;
            }
            let wrong = server.take_violations();
            assert!(wrong.is_empty(), "{fault:?} in request {number}: {wrong:?}");
        }
    }
}

#[tokio::test]
async fn a_stream_is_what_the_api_sends() {
    let server = StrictServer::start(PLAY);
    let mut answer = raw::post(server.address(), "/v1/messages?beta=true", &ask("go")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    assert!(answer.headers["request-id"].starts_with("req_"));
    let text = answer.text().await;
    let events = raw::events(&text);
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(&kinds[..3], ["message_start", "content_block_start", "ping"]);
    assert_eq!(&kinds[kinds.len() - 2..], ["message_delta", "message_stop"]);
    for (lines, event) in text.split_terminator("\n\n").zip(&events) {
        let expected = format!("event: {}\ndata: {event}", event["type"].as_str().unwrap());
        assert_eq!(lines, expected);
    }
    assert_eq!(events[0]["message"]["content"], json!([]));
    assert_eq!(events[0]["message"]["stop_reason"], json!(null));
    assert!(events[0]["message"]["usage"]["input_tokens"].as_u64().unwrap() > 5);
    let input = |index: usize| -> Vec<String> {
        let mine = events.iter().filter(|event| event["index"] == index);
        mine.filter_map(|event| event["delta"]["partial_json"].as_str().map(str::to_owned))
            .collect()
    };
    let pieces = input(1);
    assert_eq!(pieces[0], "");
    assert!(pieces.len() > 3);
    assert!(
        pieces.iter().any(|piece| piece.ends_with("\\u2") || piece.ends_with("\\ud")),
        "{pieces:?}"
    );
    let whole: serde_json::Value = serde_json::from_str(&pieces.concat()).unwrap();
    assert_eq!(whole, json!({"word": "“hi” 🦀"}));
    assert_eq!(input(2), [""], "no arguments: the empty piece alone");
    let last = &events[events.len() - 2];
    assert_eq!(last["delta"]["stop_reason"], "tool_use");
    assert!(last["usage"]["output_tokens"].as_u64().unwrap() > 1);
}

#[tokio::test]
async fn without_stream_the_whole_object_comes() {
    let server = StrictServer::start(vec![Answer::text("Hello.")]);
    let mut body = ask("hi");
    body["stream"] = json!(false);
    let reply = raw::post(server.address(), "/v1/messages", &body).await.json().await;
    assert_eq!(reply["content"], json!([{"type": "text", "text": "Hello."}]));
    assert_eq!((&reply["type"], &reply["stop_reason"]), (&json!("message"), &json!("end_turn")));
    assert_eq!(reply["usage"]["cache_read_input_tokens"], 0);
}

#[tokio::test]
async fn both_kinds_of_key_are_accepted_and_a_missing_one_is_not() {
    let server = StrictServer::start(PLAY);
    server.require_key("sk-test");
    let body = ask("go").to_string();
    let send = async |headers: &[(&str, &str)]| {
        raw::send(server.address(), "POST", "/v1/messages", headers, &body).await
    };
    assert_eq!(send(&[("x-api-key", "sk-test")]).await.status, 200);
    let extra = [
        ("Authorization", "Bearer sk-test"),
        ("anthropic-version", "2026-10-21"),
        ("anthropic-beta", "x-2030-01-01"),
        ("x-stainless-retry-count", "0"),
    ];
    assert_eq!(send(&extra).await.status, 200);
    for headers in [vec![], vec![("x-api-key", "other")]] {
        let mut answer = send(&headers).await;
        assert_eq!(answer.status, 401);
        let id = answer.headers["request-id"].clone();
        let error = answer.json().await;
        assert_eq!((&error["type"], &error["request_id"]), (&json!("error"), &json!(id)));
        assert_eq!(error["error"]["type"], "authentication_error");
    }
}

#[tokio::test]
async fn the_other_doors() {
    let server = StrictServer::start(PLAY);
    let at = server.address();
    let mut count = ask("go");
    count.as_object_mut().unwrap().retain(|field, _| field == "model" || field == "messages");
    let counted = raw::post(at, "/v1/messages/count_tokens", &count).await.json().await;
    assert!(counted["input_tokens"].as_u64().unwrap() > 5);
    let models = raw::send(at, "GET", "/v1/models?limit=1000", &[], "").await.json().await;
    assert_eq!(models["data"][0]["id"], "claude-sonnet-5-5");
    let one = raw::send(at, "GET", "/v1/models/claude-sonnet-5-5", &[], "").await.json().await;
    assert_eq!(one["max_input_tokens"], 1_000_000);
    assert_eq!(raw::send(at, "HEAD", "/v1/messages", &[], "").await.status, 404);
    for (method, path) in [("GET", "/v1/models/nobody"), ("GET", "/"), ("PUT", "/v1/messages")] {
        let mut answer = raw::send(at, method, path, &[], "").await;
        assert_eq!(answer.status, 404, "{method} {path}");
        assert_eq!(answer.json().await["error"]["type"], "not_found_error");
    }
    assert_eq!(server.recorded()[1].query, "limit=1000");
}

#[tokio::test]
async fn a_body_above_32_megabytes_is_too_large() {
    let server = StrictServer::start(PLAY);
    let body = ask(&"x".repeat(33 * 1024 * 1024));
    let mut answer = raw::post(server.address(), "/v1/messages", &body).await;
    assert_eq!(answer.status, 413);
    assert_eq!(answer.json().await["error"]["type"], "request_too_large");
}

#[tokio::test]
async fn a_prompt_above_the_window_is_too_long_and_no_fault_of_the_client() {
    let server = StrictServer::start(PLAY);
    server.window(100);
    let mut answer = raw::post(server.address(), "/v1/messages", &ask(&"x".repeat(1000))).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().await.contains("prompt is too long: "));
}

#[tokio::test]
async fn what_the_api_refuses_is_refused_and_remembered() {
    let server = StrictServer::start(PLAY);
    let mut body = ask("go");
    body["temperature"] = json!(0);
    let mut answer = raw::post(server.address(), "/v1/messages", &body).await;
    assert_eq!(answer.status, 400);
    let error = answer.json().await;
    assert_eq!(error["error"]["message"], "temperature: Extra inputs are not permitted");
    let wrong = server.take_violations();
    assert_eq!(wrong, ["req_test_1: 400 temperature: Extra inputs are not permitted"]);
    server.finish();
}

#[tokio::test]
#[should_panic(expected = "the history was rewritten at block 2")]
async fn a_dropped_server_fails_the_test_that_broke_the_history() {
    let server = StrictServer::start(vec![Answer::text("Hello."), Answer::text("Bye.")]);
    let body = ask("hi");
    raw::post(server.address(), "/v1/messages", &body).await.text().await;
    let reply = json!([{"type": "text", "text": "Hello."}, {"type": "text", "text": "I lie."}]);
    let next = grown(&body, reply, json!("bye"));
    raw::post(server.address(), "/v1/messages", &next).await.text().await;
}

#[tokio::test]
async fn a_gate_proves_that_two_streams_are_open_at_once() {
    let server = StrictServer::start(PLAY);
    server.fault("go", Fault::Gate("both".to_owned()));
    let mut one = raw::post(server.address(), "/v1/messages", &ask("go")).await;
    let mut two = raw::post(server.address(), "/v1/messages", &ask("go")).await;
    server.held("both", 2).await;
    let start = one.piece().await.unwrap().unwrap();
    assert!(String::from_utf8(start).unwrap().contains("message_start"));
    server.open("both");
    assert!(one.text().await.contains("message_stop"));
    assert!(two.text().await.contains("message_stop"));
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed_and_may_keep_a_part() {
    let server = StrictServer::start(vec![Answer::text("one two three"), Answer::text("Fine.")]);
    server.fault(1, Fault::Gate("gate".to_owned()));
    let body = ask("hi");
    let answer = raw::post(server.address(), "/v1/messages", &body).await;
    server.held("gate", 1).await;
    drop(answer);
    server.held("gate", 0).await;
    let next = grown(&body, json!("one "), json!("stop"));
    let text = raw::post(server.address(), "/v1/messages", &next).await.text().await;
    assert!(text.contains("Fine."));
}

#[tokio::test]
async fn silence_is_headers_and_nothing_more() {
    let server = StrictServer::start(PLAY);
    server.fault(1, Fault::Silent("quiet".to_owned()));
    let mut answer = raw::post(server.address(), "/v1/messages", &ask("go")).await;
    assert_eq!(answer.status, 200);
    server.held("quiet", 1).await;
    server.open("quiet");
    assert!(answer.text().await.contains("message_stop"));
}

#[test]
fn a_test_without_a_runtime_can_use_it_too() {
    use std::io::{Read, Write};
    let server = StrictServer::start(PLAY);
    server.fault(1, Fault::Gate("gate".to_owned()));
    let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
    let body = ask("go").to_string();
    let head = "POST /v1/messages HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";
    write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    server.held_blocking("gate", 1);
    server.open("gate");
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.contains("message_stop"));
}

#[tokio::test]
async fn the_second_turn_reads_the_cache() {
    let server = StrictServer::start(vec![Answer::text("A."), Answer::text("B.")]);
    server.cache(1, harness_testkit::Clock::by_hand());
    let mut body = ask("hi");
    body["cache_control"] = json!({"type": "ephemeral"});
    body["stream"] = json!(false);
    let first = raw::post(server.address(), "/v1/messages", &body).await.json().await;
    let next = grown(&body, json!("A."), json!("more"));
    let second = raw::post(server.address(), "/v1/messages", &next).await.json().await;
    let written = &first["usage"]["cache_creation_input_tokens"];
    assert!(written.as_u64().unwrap() > 0);
    assert_eq!(&second["usage"]["cache_read_input_tokens"], written);
}
