//! Whatever a conversation is, making room in it leaves one that the server takes.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::{call, lead, reply, says, source, summary, within};
use harness_core::{Block, Content, Message, ToolResult};
use harness_testkit::Rules;
use proptest::prelude::*;
use serde_json::json;

/// A step of a conversation: words, a note, thinking, calls and their results.
#[derive(Clone, Debug)]
enum Step {
    Say(usize),
    Note(usize),
    Reply { thinks: bool, says: usize, calls: Vec<usize> },
}

fn any_step() -> impl Strategy<Value = Step> {
    let size = || prop_oneof![5usize..200, 1_000usize..4_000];
    let calls = prop::collection::vec(size(), 0..4);
    prop_oneof![
        size().prop_map(Step::Say),
        (1usize..50).prop_map(Step::Note),
        (any::<bool>(), 0usize..300, calls).prop_map(|(thinks, says, calls)| Step::Reply {
            thinks,
            says,
            calls
        }),
    ]
}

/// A thought with a seal, as servers send it.
fn thought() -> Block {
    serde_json::from_value(json!({"type": "thinking", "thinking": "Hm.", "signature": "s"}))
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn no_call_is_parted_from_its_answer(
        steps in prop::collection::vec(any_step(), 1..30),
        good in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut lead = lead(2_000, move |request| match source(request) {
            Some(_) if good => says(request, &summary("fine")),
            Some(_) => says(request, "no"),
            None => within(2_000, request, reply(request, vec![thought(), Block::text("Yes.")])),
        });
        let mut id = 0;
        for step in steps {
            match step {
                Step::Say(size) => lead.c.say("w".repeat(size)),
                Step::Note(size) => lead.c.remind("n".repeat(size)),
                Step::Reply { thinks, says, calls } => {
                    let mut content = if thinks { vec![thought()] } else { Vec::new() };
                    content.push(Block::text("r".repeat(says)));
                    let mut results = Vec::new();
                    for size in calls {
                        id += 1;
                        content.push(call(&format!("c{id}"), "look", json!({"bytes": size})));
                        let text = Content::Text(format!("{id} ").repeat(size / 3));
                        results.push(ToolResult::done(format!("c{id}"), text));
                    }
                    lead.c.reply(&Message::assistant(content));
                    lead.c.answer(results);
                }
            }
        }
        // The witness judges each request by the server's rules, and panics at the first wrong one.
        let before = lead.c.clone();
        let stop = runtime.block_on(lead.say("And now?"));
        for body in lead.witness.requests() {
            prop_assert_eq!(Rules::default().check(&body).map_err(|why| why.message), Ok(()));
        }
        match stop {
            Ok(_) => {}
            // Only where a summary was needed and there was none.
            Err(why) => prop_assert!(!good && why.contains("too long"), "{why} {before:?}"),
        }
        prop_assert!(lead.c.messages().iter().any(|m| m.text().contains("And now?")));
    }
}
