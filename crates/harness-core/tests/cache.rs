//! Where one request parts from the one before. The simulated cache has its tests in harness-testkit.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::borrow::Cow;

use harness_core::model::cache::Prefix;
use harness_core::{Block, CacheLife, CachePosition, Mark, Message, Request, Role, ToolSpec};
use serde_json::{Map, Value, json};

/// Two tools, a system prompt and these messages, the user's and the model's in turn, with a mark on the last.
fn request<'a>(messages: &'a [Message], extra: &'a Map<String, Value>) -> Request<'a> {
    let tool = |name: &str| ToolSpec {
        name: name.to_owned(),
        description: String::new(),
        input_schema: json!({"type": "object"}),
    };
    let last = messages.len() - 1;
    let place = CachePosition::Message { message: last, block: messages[last].content.len() - 1 };
    Request {
        agent: "lead",
        model: "claude-opus-5",
        max_tokens: 1,
        system: vec!["Be brief.".to_owned()].into(),
        tools: vec![tool("bash"), tool("read")].into(),
        messages,
        marks: vec![Mark { place, life: CacheLife::FiveMinutes }],
        extra: Cow::Borrowed(extra),
    }
}

fn said(texts: &[&str]) -> Vec<Message> {
    let roles = [Role::User, Role::Assistant].into_iter().cycle();
    let message = |(text, role): (&&str, Role)| Message::new(role, vec![Block::text(*text)]);
    texts.iter().zip(roles).map(message).collect()
}

#[test]
fn what_only_grows_has_not_changed() {
    let (short, long, none) = (said(&["one"]), said(&["one", "yes", "two"]), Map::new());
    let (first, next) = (request(&short, &none), request(&long, &none));
    assert_eq!(Prefix::of(&first).change(&Prefix::of(&next)), None);
    // Marks move from request to request, and are no part of it.
    let unmarked = Request { marks: vec![], ..first.clone() };
    assert_eq!(Prefix::of(&first).change(&Prefix::of(&unmarked)), None);
    // What was never marked was never kept.
    let other = said(&["another"]);
    assert_eq!(Prefix::of(&unmarked).change(&Prefix::of(&request(&other, &none))), None);
}

#[test]
fn the_first_block_that_is_not_as_it_was_is_named() {
    let (messages, none) = (said(&["one", "yes", "two"]), Map::new());
    let before = request(&messages, &none);
    let change = |next: Request<'_>| Prefix::of(&before).change(&Prefix::of(&next)).unwrap();
    let mut next = before.clone();
    next.tools.to_mut()[1].description.push('.');
    next.system.to_mut()[0].push('.'); // later, and so not named
    assert_eq!(change(next), "tool 2 (`read`) is the first that changed");
    let mut next = before.clone();
    next.tools.to_mut().swap(0, 1);
    assert_eq!(change(next), "tool 1 (`read`) stands where tool 1 (`bash`) stood");
    let mut next = before.clone();
    next.system.to_mut()[0].push(' ');
    assert_eq!(change(next), "system block 1 is the first that changed");
    let other = said(&["one", "no", "two"]);
    assert_eq!(change(request(&other, &none)), "message 2, block 1 is the first that changed");
    let shorter = said(&["one"]);
    assert_eq!(change(request(&shorter, &none)), "message 2, block 1 is the first that is gone");
    let next = Request { model: "claude-opus-5-5", ..before.clone() };
    assert_eq!(change(next), "the model changed, from claude-opus-5 to claude-opus-5-5");
    let thinking = Map::from_iter([("thinking".to_owned(), json!({"type": "adaptive"}))]);
    assert_eq!(change(request(&messages, &thinking)), "the settings changed");
}
