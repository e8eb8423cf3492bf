use std::time::Duration;

use harness_core::model::cache::{Clock, Simulated};
use serde_json::{Value, json};

use crate::client::ask;

fn cache(minimum: u64) -> (Simulated, Clock) {
    let clock = Clock::by_hand();
    (Simulated::new(minimum, clock.clone()), clock)
}

fn mark(life: &str) -> Value {
    json!({"type": "ephemeral", "ttl": life})
}

/// A system prompt with a mark, and this many user messages, the last with a mark.
fn body(messages: usize) -> Value {
    let mut body = ask("go");
    body["system"] =
        json!([{"type": "text", "text": "s".repeat(4000), "cache_control": mark("1h")}]);
    let message =
        |at: usize| json!({"role": "user", "content": [{"type": "text", "text": format!("{at}")}]});
    body["messages"] = (0..messages).map(message).collect();
    body["messages"][messages - 1]["content"][0]["cache_control"] = mark("5m");
    body
}

/// Counts and stores, as a request whose reply begins at once.
fn run(cache: &mut Simulated, body: &Value) -> (u64, u64, u64) {
    let count = cache.count(body);
    cache.store(&count);
    (count.read, count.written_1h, count.written_5m)
}

#[test]
fn the_second_request_reads_what_the_first_wrote() {
    let (mut cache, _) = cache(1);
    let (read, hour, minutes) = run(&mut cache, &body(1));
    assert_eq!(read, 0);
    assert!(hour > 1000 && minutes > 0);
    let next = run(&mut cache, &body(2));
    assert_eq!((next.0, next.1), (hour + minutes, 0));
    assert!(next.2 > 0);
}

#[test]
fn the_figures_add_up_to_the_prompt() {
    let (mut cache, _) = cache(1);
    let unmarked = cache.count(&ask("go"));
    assert_eq!((unmarked.prompt(), unmarked.read), (unmarked.input, 0));
    let whole = cache.count(&body(3));
    cache.store(&whole);
    let again = cache.count(&body(3));
    assert_eq!(whole.prompt(), again.prompt());
    assert_eq!(again.read, whole.written_1h + whole.written_5m);
    let json = whole.to_json(7);
    assert_eq!(json["cache_creation"]["ephemeral_1h_input_tokens"], whole.written_1h);
    assert_eq!(json["cache_creation_input_tokens"], whole.written_1h + whole.written_5m);
    assert_eq!(json["output_tokens"], 7);
}

#[test]
fn one_changed_byte_is_a_miss_from_there_on() {
    let (mut cache, _) = cache(1);
    let (_, hour, _) = run(&mut cache, &body(2));
    let mut changed = body(2);
    changed["messages"][0]["content"][0]["text"] = json!("x");
    assert_eq!(run(&mut cache, &changed).0, hour); // the system prompt is still there
    let mut tools = body(2);
    tools["tools"] = json!([{"name": "new"}]);
    assert_eq!(run(&mut cache, &tools).0, 0);
}

#[test]
fn effort_parts_the_messages_but_not_the_system_prompt() {
    let (mut cache, _) = cache(1);
    let (_, hour, _) = run(&mut cache, &body(2));
    let mut other = body(2);
    other["output_config"] = json!({"effort": "low"});
    assert_eq!(run(&mut cache, &other).0, hour);
}

#[test]
fn below_the_minimum_nothing_is_kept() {
    let (mut cache, _) = cache(100_000);
    assert_eq!(run(&mut cache, &body(2)), (0, 0, 0));
    assert_eq!(run(&mut cache, &body(2)), (0, 0, 0));
}

#[test]
fn entries_end_with_their_lifetime_and_a_read_renews_them() {
    let (mut cache, clock) = cache(1);
    let (_, hour, minutes) = run(&mut cache, &body(1));
    clock.advance(Duration::from_secs(4 * 60));
    assert_eq!(run(&mut cache, &body(1)).0, hour + minutes);
    clock.advance(Duration::from_secs(4 * 60)); // eight minutes after it was written
    assert_eq!(run(&mut cache, &body(1)).0, hour + minutes);
    clock.advance(Duration::from_secs(5 * 60));
    assert_eq!(run(&mut cache, &body(1)).0, hour);
    clock.advance(Duration::from_secs(60 * 60));
    assert_eq!(run(&mut cache, &body(1)).0, 0);
}

#[test]
fn a_read_looks_back_twenty_positions() {
    for (grown_by, hit) in [(19, true), (20, false)] {
        let (mut cache, _) = cache(1);
        let mut first = body(1);
        first["system"] = json!("short");
        let (_, _, written) = run(&mut cache, &first);
        let mut next = body(1 + grown_by);
        next["system"] = json!("short");
        assert_eq!(run(&mut cache, &next).0, if hit { written } else { 0 });
    }
}

#[test]
fn an_entry_can_be_read_only_once_the_reply_has_begun() {
    let (mut cache, _) = cache(1);
    let first = cache.count(&body(1));
    assert_eq!(cache.count(&body(1)).read, 0, "fired at the same time");
    cache.store(&first);
    assert!(cache.count(&body(1)).read > 0);
}

#[test]
fn a_mark_at_the_top_stands_on_the_last_block() {
    let (mut cache, _) = cache(1);
    let mut body = ask("go");
    body["cache_control"] = mark("5m");
    let count = cache.count(&body);
    assert_eq!((count.input, count.written_5m), (0, count.prompt()));
}
