//! How full a window is: the server's count where there is one, an estimate where there is none.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use harness_core::{
    Agent, Block, ChildKind, ChildSpec, Conversation, Delta, Message, Model, ModelStream, Reply,
    Request, StopReason, ToolResult, Usage,
};
use s06_context_compact::{ContextUsage, Part};
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

/// An agent with a meter of its context, after one turn: 3,000 bytes of words, four of reply.
async fn after_a_turn(tokens: u64) -> (Agent, Conversation, ContextUsage) {
    let mut agent = Agent::new(Arc::new(Counts(tokens)), std::env::temp_dir());
    agent.model_id = "claude-haiku-4-5".to_owned();
    let usage = ContextUsage::default();
    agent.hooks.push(Arc::new(usage.clone()));
    agent.observers.add(Arc::new(usage.clone()));
    let mut c = Conversation::new();
    c.say("x".repeat(3_000));
    assert_eq!(usage.tokens(&agent, &c), 1_000, "nobody has counted yet");
    agent.run(&mut c, &CancellationToken::new()).await.unwrap();
    (agent, c, usage)
}

#[tokio::test]
async fn what_the_server_counted_is_believed_and_what_is_new_is_estimated() {
    let (agent, mut c, usage) = after_a_turn(700).await;
    assert_eq!(usage.tokens(&agent, &c), 710, "its own reply is counted as well");
    c.say("y".repeat(300));
    assert_eq!(usage.tokens(&agent, &c), 810);
    assert_eq!(usage.bytes(710), 3_004);
}

#[tokio::test]
async fn fewer_bytes_are_fewer_tokens() {
    let (agent, mut c, usage) = after_a_turn(1_492).await;
    assert_eq!(usage.tokens(&agent, &c), 1_502);
    c.shorten_words(10, |_| Ok::<_, ()>("z".repeat(1_498))).unwrap();
    assert_eq!(usage.tokens(&agent, &c), 751);
}

#[tokio::test]
async fn a_server_that_counts_nothing_is_not_believed() {
    let (agent, c, usage) = after_a_turn(0).await;
    assert_eq!(usage.tokens(&agent, &c), 1_001);
}

#[tokio::test]
async fn what_a_child_sends_is_not_counted_for_its_parent() {
    let (agent, c, usage) = after_a_turn(9_990).await;
    let child = agent.child(ChildSpec::new("helper", ChildKind::Subagent));
    let mut other = Conversation::new();
    other.say("x".repeat(9_000));
    child.run(&mut other, &CancellationToken::new()).await.unwrap();
    assert_eq!(usage.tokens(&agent, &c), 10_000);
}

#[tokio::test]
async fn a_refusal_makes_the_window_smaller_for_good() {
    let (agent, _, usage) = after_a_turn(700).await;
    assert_eq!(usage.window(&agent), 200_000);
    usage.refused(8_000);
    usage.refused(9_000);
    assert_eq!((usage.window(&agent), usage.window_up_to(5_000)), (8_000, 5_000));
}

#[tokio::test]
async fn every_kind_of_block_is_counted_and_the_parts_are_the_whole() {
    let (mut agent, mut c, usage) = after_a_turn(0).await;
    agent.system.push("s".repeat(30));
    agent.tools = harness_core::tool::builtin::all();
    let call =
        serde_json::from_str(r#"{"type":"tool_use","id":"a","name":"write","input":{"path":"a"}}"#);
    c.reply(&Message::assistant(vec![call.unwrap()]));
    c.answer(vec![ToolResult::done("a", "r".repeat(60))]);
    c.remind("n".repeat(90));
    let parts = usage.parts(&agent, &c);
    let full = parts.iter().filter(|(_, tokens)| *tokens > 0);
    let full: Vec<Part> = full.map(|(part, _)| *part).collect();
    let all_but_thinking = [
        Part::SystemPrompt,
        Part::Tools,
        Part::UserText,
        Part::Reminders,
        Part::ModelText,
        Part::ToolCalls,
        Part::ToolResults,
    ];
    assert_eq!(full, all_but_thinking);
    let sum: u64 = parts.iter().map(|(_, tokens)| tokens).sum();
    let whole = usage.tokens(&agent, &c);
    assert!(whole - sum < parts.len() as u64, "{sum} of {whole}: {parts:?}");
}
