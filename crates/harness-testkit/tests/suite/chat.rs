//! The other dialect: what stands behind a gateway.

use harness_testkit::raw::post;
use harness_testkit::{Answer, Fault, StrictServer, raw};
use serde_json::{Value, json};

const PATH: &str = "/v1/chat/completions";

fn bash() -> Value {
    let schema = json!({"type": "object", "properties": {"command": {"type": "string"}}});
    json!({"type": "function", "function": {"name": "bash", "description": "Runs.", "parameters": schema}})
}

fn body(messages: Value) -> Value {
    json!({"model": "m", "max_tokens": 100, "tools": [bash()], "messages": messages})
}

fn server() -> StrictServer {
    StrictServer::start(vec![
        Answer::blocks(vec![
            json!({"type": "text", "text": "I look."}),
            json!({"type": "tool_use", "id": "call_1", "name": "bash", "input": {"command": "ls -la /tmp"}}),
        ]),
        Answer::text("Nothing there."),
    ])
}

#[tokio::test]
async fn a_call_its_result_and_the_last_words_go_through_it() {
    let server = server();
    let asked = json!({"role": "user", "content": [{"type": "text", "text": "Look."}]});
    let system = json!({"role": "system", "content": "Be short."});
    let first = post(server.address(), PATH, &body(json!([system, asked]))).await.json().await;
    let said = &first["choices"][0]["message"];
    assert_eq!(first["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(said["tool_calls"][0]["function"]["arguments"], r#"{"command":"ls -la /tmp"}"#);

    let result = json!({"role": "tool", "tool_call_id": "call_1", "content": "total 0"});
    let mut next = body(json!([system, asked, said, result]));
    next["stream"] = json!(true);
    next["stream_options"] = json!({"include_usage": true});
    let text = post(server.address(), PATH, &next).await.text().await;
    let events = raw::events(text.strip_suffix("data: [DONE]\n\n").unwrap());
    let delta = |event: &Value| event["choices"][0]["delta"]["content"].as_str().map(str::to_owned);
    assert_eq!(events.iter().filter_map(delta).collect::<String>(), "Nothing there.");
    assert!(events.last().unwrap()["usage"]["prompt_tokens"].as_u64() > Some(0));
    assert_eq!(server.finish().len(), 2);
}

#[tokio::test]
async fn a_call_is_streamed_in_pieces_that_make_its_arguments() {
    let server = server();
    let mut asked = body(json!([{"role": "user", "content": "Look."}]));
    asked["stream"] = json!(true);
    let text = post(server.address(), PATH, &asked).await.text().await;
    let events = raw::events(text.strip_suffix("data: [DONE]\n\n").unwrap());
    let own = |event: &Value| event["choices"][0]["delta"]["tool_calls"][0].clone();
    let calls: Vec<Value> = events.iter().map(own).filter(|call| !call.is_null()).collect();
    let pieces = calls.iter().filter_map(|call| call["function"]["arguments"].as_str());
    assert_eq!(pieces.collect::<String>(), r#"{"command":"ls -la /tmp"}"#);
    assert_eq!((&calls[0]["id"], &calls[0]["index"]), (&json!("call_1"), &json!(0)));
    assert!(calls.len() > 2);
    let last = &events.last().unwrap()["choices"][0];
    assert_eq!(last["finish_reason"], "tool_calls");
}

#[tokio::test]
async fn a_gate_holds_a_stream_after_its_first_word() {
    let server = server();
    server.fault(1, Fault::Gate("word".to_owned()));
    let mut asked = body(json!([{"role": "user", "content": "Look."}]));
    asked["stream"] = json!(true);
    let mut answer = post(server.address(), PATH, &asked).await;
    server.held("word", 1).await;
    let mut said = String::new();
    let patience = std::time::Duration::from_secs(60);
    while !said.contains(r#""content":"I ""#) {
        let piece = tokio::time::timeout(patience, answer.piece()).await.expect("the first word");
        said += &String::from_utf8(piece.unwrap().unwrap()).unwrap();
    }
    server.open("word");
    said += &answer.text().await;
    assert!(said.ends_with("data: [DONE]\n\n"), "{said}");
}

#[tokio::test]
async fn what_the_messages_api_refuses_is_refused_in_it_too() {
    let server = server();
    let call = json!({"role": "assistant", "content": null, "tool_calls": [
        {"id": "call_1", "type": "function", "function": {"name": "bash", "arguments": "{}"}}]});
    let user = |text: &str| json!({"role": "user", "content": text});
    let unanswered = body(json!([user("Look."), call, user("And now?")]));
    assert_eq!(post(server.address(), PATH, &unanswered).await.status, 400);
    let mut broken = call.clone();
    broken["tool_calls"][0]["function"]["arguments"] = json!("{\"command\": ");
    let result = json!({"role": "tool", "tool_call_id": "call_1", "content": "x"});
    let cut = body(json!([user("Look."), broken, result]));
    assert_eq!(post(server.address(), PATH, &cut).await.status, 400);
    let odd = body(json!([{"role": "function", "content": "x"}]));
    assert_eq!(post(server.address(), PATH, &odd).await.status, 400);
    assert_eq!(server.take_violations().len(), 3);
}
