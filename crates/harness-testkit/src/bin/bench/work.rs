//! Work that is done in this process: one decision of the rules, one reply that is read.

use std::hint::black_box;
use std::path::Path;

use harness_core::model::anthropic::assemble::Assembler;
use harness_core::model::anthropic::sse::Decoder;
use harness_core::permission::Rules;
use harness_core::{Effect, Policy, ToolCall};
use serde_json::{Map, json};

use crate::server::text;

/// The lines that the rules decide on, and what to call them.
pub(crate) fn lines() -> [(&'static str, String); 2] {
    let mut short = String::from(
        "git log --oneline -20 | grep -i fix && cargo test -p harness-core --quiet 2>&1 | tail -n 20 \
         && ls -la src tests && rm -rf target/tmp/old-build && echo all of it is done",
    );
    short.extend(std::iter::repeat_n('!', 200_usize.saturating_sub(short.len())));
    [("200 chars", short), ("100 kB", format!("{} true", "echo one && ".repeat(8500)))]
}

/// One decision of the built-in rules, to be made again and again.
pub(crate) fn decision(line: String) -> impl Fn() {
    let rules = Rules::built_in().unwrap();
    let input = Map::from_iter([("command".to_owned(), json!(line))]);
    let call = ToolCall { id: "a".into(), name: "bash".into(), input, rest: Map::new() };
    let effect = Effect::Runs(line);
    move || _ = black_box(rules.rule_on(&call, &effect, Path::new("/tmp")))
}

/// A reply of so many pieces of fifty bytes, as a model streams it.
pub(crate) fn stream(pieces: usize) -> String {
    let words = "Fifty bytes of text, as a model would stream it.  ";
    let delta = json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": words}});
    let whole = text();
    let at = whole.find("event: content_block_delta").unwrap();
    let event = format!("event: content_block_delta\ndata: {delta}\n\n");
    [&whole[..at], &event.repeat(pieces), &whole[at..]].concat()
}

/// Reads a reply as the client does, from its bytes to the message.
pub(crate) fn parse(stream: &str) {
    let (mut decoder, mut assembler) = (Decoder::default(), Assembler::default());
    for chunk in stream.as_bytes().chunks(16 * 1024) {
        decoder.feed(chunk);
        while let Some(event) = decoder.next_event().unwrap() {
            black_box(assembler.push(&event).unwrap());
        }
    }
}
