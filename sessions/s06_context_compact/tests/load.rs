//! The promise of this session, held over 2,000 turns and a real connection.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::sync::Arc;

use common::Look;
use harness_core::model::anthropic::{Client, Config, Key};
use harness_core::{Agent, Conversation, TurnOutcome};
use harness_testkit::{Folder, StrictServer, cache::estimate};
use s06_context_compact::Compact;

const WINDOW: u64 = 4_000;

const PLAY: &str = r###"
prompt: go
scenes:
- agent: compact
  lines: [{text: "## Goal\nMany turns.\n## Done\nSome.\n## In progress\n-\n## Files\n-\n## Decisions\n-\n## Next\nThe next turn."}]
- said: '00$'
  lines:
  - {text: A look at something that no window holds., calls: [{tool: look, input: {bytes: 40000}}]}
  - {text: That was much.}
- said: '5$'
  lines:
  - {text: Two looks., calls: [{tool: look, input: {bytes: 3000}}, {tool: look, input: {bytes: 900}}]}
  - {text: One more look., calls: [{tool: look, input: {bytes: 2000}}]}
  - {text: Seen.}
- said: '^Turn'
  lines:
  - {text: One look., calls: [{tool: look, input: {bytes: 3000}}]}
  - {text: Seen.}
"###;

#[tokio::test]
async fn two_thousand_turns_with_large_results_stay_under_the_window() {
    let (folder, server) = (Folder::new(), StrictServer::start(PLAY));
    server.window(WINDOW).allow_rewrites();
    let client = Client::new(Config::new(server.base_url(), Key::ApiKey("k".to_owned()))).unwrap();
    let mut agent = Agent::new(Arc::new(client), folder.path());
    agent.tools.add(Look::default());
    let compact = Compact::open(&agent, Some(WINDOW)).unwrap();
    let agent = agent.with(compact);
    let mut c = Conversation::new();
    for turn in 1..=2_000 {
        c.say(format!("Turn {turn}"));
        let stop = agent.run(&mut c, &Default::default()).await.unwrap();
        let expected = if turn % 100 == 0 { "That was much." } else { "Seen." };
        assert_eq!(stop, TurnOutcome::Answered(expected.to_owned()), "turn {turn}");
    }
    // Each request was judged by the server; none was refused, or there would be more than these.
    let requests = server.finish();
    let summaries = requests.iter().filter(|body| body["tools"].is_null()).count();
    assert_eq!(requests.len() - summaries, 200 * 3 + 1_800 * 2);
    let largest = requests.iter().map(estimate).max().unwrap();
    assert!(largest <= WINDOW, "{largest}");
    assert!(summaries > 0 && summaries < 1_000, "{summaries} summaries");
    println!(
        "2,000 turns: {} requests, {summaries} of them for summaries; the largest had {largest} of {WINDOW} tokens",
        requests.len()
    );
}
