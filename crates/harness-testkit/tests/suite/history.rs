use harness_testkit::History;
use serde_json::{Value, json};

use crate::client::{ask, grown};

fn text(words: &str) -> Value {
    json!({"type": "text", "text": words})
}

fn thinking() -> Value {
    json!({"type": "thinking", "thinking": "", "signature": "sig"})
}

fn call(id: &str) -> Value {
    json!({"type": "tool_use", "id": id, "name": "bash", "input": {"b": 1, "a": 2}})
}

fn result(id: &str) -> Value {
    json!({"type": "tool_result", "tool_use_id": id, "content": "ok"})
}

/// A history that has seen `ask("go")` and sent this whole reply to it.
fn after(reply: &[Value], stop: &str) -> (History, Value) {
    let (mut history, body) = (History::default(), ask("go"));
    let (turn, wrong) = history.see("lead", &body);
    assert!(wrong.is_empty());
    history.sends(turn, reply, stop);
    history.sent(turn);
    (history, body)
}

fn see(history: &mut History, body: &Value) -> String {
    history.see("lead", body).1.join("; ")
}

#[test]
fn a_conversation_that_grows_is_fine() {
    let (mut history, body) = after(&[thinking(), text("Look."), call("t1")], "tool_use");
    let next = grown(&body, json!([thinking(), text("Look."), call("t1")]), json!([result("t1")]));
    assert_eq!(see(&mut history, &next), "");
}

#[test]
fn cache_marks_and_the_order_of_a_blocks_own_fields_mean_nothing() {
    let (mut history, mut body) = after(&[text("Hi.")], "end_turn");
    body["messages"][0]["content"] =
        json!([{"cache_control": {"type": "ephemeral"}, "text": "go", "type": "text"}]);
    body["system"] = Value::Null;
    assert_eq!(see(&mut history, &grown(&body, json!("Hi."), json!("and now?"))), "");
}

#[test]
fn the_last_user_message_may_grow_by_blocks() {
    let (mut history, body) = (History::default(), ask("go"));
    let (turn, _) = history.see("lead", &body);
    history.sends(turn, &[], "end_turn");
    history.sent(turn);
    let mut next = body.clone();
    next["messages"][0]["content"] = json!([text("go"), text("your reply was empty")]);
    assert_eq!(see(&mut history, &next), "");
}

#[test]
fn what_came_back_changed_is_told() {
    let whole = [thinking(), text("Look."), call("t1")];
    let mut sorted = call("t1");
    sorted["input"] = json!({"a": 2, "b": 1});
    let cases = [
        json!([text("Look."), call("t1")]),             // thinking dropped
        json!([thinking(), call("t1")]),                // text dropped
        json!([thinking(), text("Look!"), call("t1")]), // text changed
        json!([thinking(), text("Look."), sorted]),     // another key order: a cache miss
    ];
    for reply in cases {
        let (mut history, body) = after(&whole, "tool_use");
        let wrong = see(&mut history, &grown(&body, reply.clone(), json!([result("t1")])));
        assert!(wrong.contains("the history was rewritten at block"), "{reply}: {wrong}");
    }
}

#[test]
fn a_whole_reply_must_not_be_missing() {
    let (mut history, body) = after(&[text("Hi.")], "end_turn");
    let mut next = body.clone();
    next["messages"][0]["content"] = json!([text("go"), text("again")]);
    assert!(see(&mut history, &next).contains("the reply to it is missing"));
}

#[test]
fn another_conversation_may_start_with_the_same_words() {
    let (mut history, body) = after(&[text("Hi.")], "end_turn");
    assert_eq!(see(&mut history, &body), "");
    let (turn, _) = history.see("lead", &body);
    history.sends(turn, &[text("Hello.")], "end_turn");
    history.sent(turn);
    assert_eq!(see(&mut history, &grown(&body, json!("Hi."), json!("a"))), "");
    assert_eq!(see(&mut history, &grown(&body, json!("Hello."), json!("b"))), "");
}

#[test]
fn a_session_from_elsewhere_is_taken_as_it_is() {
    let (mut history, _) = after(&[text("Hi.")], "end_turn");
    let old = grown(&ask("yesterday"), json!("Good night."), json!("Good morning."));
    assert_eq!(see(&mut history, &old), "");
}

#[test]
fn system_and_tools_must_stay_the_same() {
    for field in ["system", "tools"] {
        let (mut history, body) = after(&[text("Hi.")], "end_turn");
        let mut next = grown(&body, json!("Hi."), json!("and?"));
        next[field] = json!([{"name": "new", "text": "new"}]);
        let wrong = see(&mut history, &next);
        assert!(wrong.contains(&format!("{field} changed")), "{wrong}");
        let (mut history, _) = after(&[text("Hi.")], "end_turn");
        history.allow_rewrites();
        assert_eq!(see(&mut history, &next), "");
    }
}

#[test]
fn a_fold_needs_permission_and_must_drop_thinking() {
    let reply = [thinking(), text("Long ago."), call("t1")];
    let folded = |keep: Value| grown(&ask("summary of it all"), keep, json!([result("t1")]));
    let clean = folded(json!([text("Long ago."), call("t1")]));
    let (mut history, _) = after(&reply, "tool_use");
    assert!(see(&mut history, &clean).contains("rewritten at block 0"));
    let (mut history, _) = after(&reply, "tool_use");
    history.allow_rewrites();
    assert_eq!(see(&mut history, &clean), "");
    let (mut history, _) = after(&reply, "tool_use");
    history.allow_rewrites();
    assert!(see(&mut history, &folded(json!(reply))).contains("thinking after it was kept"));
}

#[test]
fn a_fork_needs_permission_and_both_sides_go_on() {
    let start = || {
        let (mut history, body) = after(&[text("Hi.")], "end_turn");
        let one = grown(&body, json!("Hi."), json!("one"));
        let two = grown(&body, json!("Hi."), json!("two"));
        let (turn, _) = history.see("lead", &one);
        history.sends(turn, &[text("One.")], "end_turn");
        history.sent(turn);
        (history, one, two)
    };
    let (mut history, _, two) = start();
    assert!(see(&mut history, &two).contains("the history was forked at block 2"));
    let (mut history, one, two) = start();
    history.allow_forks();
    let (turn, wrong) = history.see("lead", &two);
    assert!(wrong.is_empty(), "{wrong:?}");
    history.sends(turn, &[text("Two.")], "end_turn");
    history.sent(turn);
    assert_eq!(see(&mut history, &grown(&one, json!("One."), json!("more"))), "");
    assert_eq!(see(&mut history, &grown(&two, json!("Two."), json!("more"))), "");
}

#[test]
fn part_of_a_cancelled_reply_may_come_back() {
    let sent = [thinking(), text("I will look."), call("t1")];
    for (part, fine) in [
        (json!([]), true),
        (json!([text("I will")]), true),
        (json!([thinking(), text("I ")]), true),
        (json!([text("I will look.")]), true), // the call was still being written
        (json!([text("I won't")]), false),
    ] {
        let (mut history, body) = (History::default(), ask("go"));
        let (turn, _) = history.see("lead", &body);
        history.sends(turn, &sent, "tool_use"); // and never `sent`
        let wrong = see(&mut history, &grown(&body, part.clone(), json!("stop")));
        assert_eq!(wrong.is_empty(), fine, "{part}: {wrong}");
    }
}

#[test]
fn after_a_cut_call_the_rest_or_nothing_comes_back() {
    let sent = [text("I will."), call("t1")];
    for reply in [json!([text("I will.")]), json!([])] {
        let (mut history, body) = after(&sent, "max_tokens");
        let mut next = grown(&body, reply.clone(), json!("smaller steps"));
        if reply == json!([]) {
            next = body.clone(); // asked for once more, with more room
            next["max_tokens"] = json!(9000);
        }
        assert_eq!(see(&mut history, &next), "");
    }
}

#[test]
fn a_refusal_may_be_missing_and_empty_texts_may_be_dropped() {
    let (mut history, body) = after(&[text("I can")], "refusal");
    let mut next = body.clone();
    next["messages"][0]["content"] = json!([text("go"), text("please")]);
    assert_eq!(see(&mut history, &next), "");
    let (mut history, body) = after(&[text(""), call("t1")], "tool_use");
    assert_eq!(see(&mut history, &grown(&body, json!([call("t1")]), json!([result("t1")]))), "");
}

#[test]
fn agents_with_the_same_words_are_kept_apart() {
    let (mut history, body) = after(&[text("Hi.")], "end_turn");
    let mut next = body.clone();
    next["messages"][0]["content"] = json!([text("go"), text("mail")]);
    assert!(history.see("worker", &next).1.is_empty());
}
