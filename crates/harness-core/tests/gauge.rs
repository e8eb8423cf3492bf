//! How full a window is: the server's count where there is one, an estimate where there is none.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use harness_core::{
    Agent, Block, Conversation, Delta, Gauge, Message, Model, ModelStream, Reply, Request,
    StopReason, ToolResult, Usage,
};
use tokio_util::sync::CancellationToken;

/// Says "Yes." and that the prompt had so many tokens.
struct Counts(u64);

impl Model for Counts {
    fn stream(&self, _: &Request<'_>) -> ModelStream {
        let message = Message::assistant(vec![Block::text("Yes.")]);
        let usage = Usage {
            input_tokens: self.0 / 2,
            cache_read_input_tokens: self.0 - self.0 / 2,
            output_tokens: if self.0 > 0 { 10 } else { 0 },
            ..Usage::default()
        };
        let reply = Reply::new(message, StopReason::EndTurn, usage);
        stream::iter([Ok(Delta::Done(reply))]).boxed()
    }
}

/// An agent with a gauge, after one turn: 3,000 bytes of words, four of reply.
async fn after_a_turn(tokens: u64) -> (Agent, Conversation, Gauge) {
    let mut agent = Agent::new(Arc::new(Counts(tokens)), std::env::temp_dir());
    agent.model_id = "claude-haiku-4-5".to_owned();
    let gauge = Gauge::default();
    agent.hooks.push(Arc::new(gauge.clone()));
    agent.observers.add(Arc::new(gauge.clone()));
    let mut c = Conversation::new();
    c.say("x".repeat(3_000));
    assert_eq!(gauge.tokens(&agent, &c), 1_000, "nobody has counted yet");
    agent.run(&mut c, &CancellationToken::new()).await.unwrap();
    (agent, c, gauge)
}

#[tokio::test]
async fn what_the_server_counted_is_believed_and_what_is_new_is_estimated() {
    let (agent, mut c, gauge) = after_a_turn(700).await;
    assert_eq!(gauge.tokens(&agent, &c), 710, "its own reply is counted as well");
    c.say("y".repeat(300));
    assert_eq!(gauge.tokens(&agent, &c), 810);
    assert_eq!(gauge.bytes(&agent, 710), 3_004);
}

#[tokio::test]
async fn fewer_bytes_are_fewer_tokens() {
    let (agent, mut c, gauge) = after_a_turn(1_492).await;
    assert_eq!(gauge.tokens(&agent, &c), 1_502);
    c.shorten_words(10, |_| Ok::<_, ()>("z".repeat(1_498))).unwrap();
    assert_eq!(gauge.tokens(&agent, &c), 751);
}

#[tokio::test]
async fn a_server_that_counts_nothing_is_not_believed() {
    let (agent, c, gauge) = after_a_turn(0).await;
    assert_eq!(gauge.tokens(&agent, &c), 1_001);
}

#[tokio::test]
async fn each_name_has_its_own_count() {
    let (agent, c, gauge) = after_a_turn(9_990).await;
    let other = Agent { name: "helper".to_owned(), ..agent.clone() };
    assert_eq!((gauge.tokens(&agent, &c), gauge.tokens(&other, &c)), (10_000, 1_001));
}

#[tokio::test]
async fn a_refusal_makes_the_window_smaller_for_good() {
    let (agent, _, gauge) = after_a_turn(700).await;
    assert_eq!(gauge.window(&agent), 200_000);
    gauge.refused(&agent, 8_000);
    gauge.refused(&agent, 9_000);
    assert_eq!((gauge.window(&agent), gauge.within(&agent, 5_000)), (8_000, 5_000));
}

#[tokio::test]
async fn every_kind_of_block_is_counted_and_the_parts_are_the_whole() {
    let (mut agent, mut c, gauge) = after_a_turn(0).await;
    agent.system.push("s".repeat(30));
    agent.tools = harness_core::tool::builtin::all();
    let call =
        serde_json::from_str(r#"{"type":"tool_use","id":"a","name":"write","input":{"path":"a"}}"#);
    c.reply(&Message::assistant(vec![call.unwrap()]));
    c.answer(vec![ToolResult::done("a", "r".repeat(60))]);
    c.remind("n".repeat(90));
    let kinds = gauge.kinds(&agent, &c);
    let full: Vec<&str> = kinds.iter().filter(|(_, n)| *n > 0).map(|(kind, _)| *kind).collect();
    let all = [
        "system prompt",
        "tools",
        "your words",
        "notes",
        "model's words",
        "tool calls",
        "tool results",
    ];
    assert_eq!(full, all);
    let sum: u64 = kinds.iter().map(|(_, tokens)| tokens).sum();
    let whole = gauge.tokens(&agent, &c);
    assert!(whole - sum < kinds.len() as u64, "{sum} of {whole}: {kinds:?}");
}
