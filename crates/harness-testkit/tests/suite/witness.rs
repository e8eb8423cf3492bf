use std::sync::Arc;

use harness_core::{Agent, Block, Conversation, Message, Model, Play, Request, Role, Script};
use harness_testkit::{Witness, transcript};
use serde_json::Map;
use tokio_util::sync::CancellationToken;

use crate::client::Echo;

fn script() -> Script {
    let yaml = "prompt: go\nscenes:\n- lines:\n  - {text: First., calls: [{tool: echo, input: \
                {word: hi}}, {tool: echo, input: {word: fail}}]}\n  - {text: Done.}";
    Script::new(Play::from_yaml(yaml).unwrap())
}

fn agent(witness: &Witness<Script>) -> Agent {
    let mut agent = Agent::new(Arc::new(witness.clone()), std::env::temp_dir());
    agent.tools.add(Echo);
    agent
}

#[tokio::test]
async fn two_turns_of_a_good_loop_and_their_transcript() {
    let witness = Witness::new(script());
    let agent = agent(&witness);
    let mut conversation = Conversation::new();
    for _ in 0..2 {
        conversation.say("go");
        conversation.remind("it is Monday");
        agent.run(&mut conversation, &CancellationToken::new()).await.unwrap();
    }
    assert_eq!(witness.requests().len(), 4);
    assert_eq!(witness.requests_of("lead").len(), 4);
    assert!(witness.violations().is_empty());
    let play = transcript(conversation.messages());
    let turn = r#"human: go
note: it is Monday
model: First.
  call echo {"word":"hi"}
  call echo {"word":"fail"}
  result 1 hi
  error 2 it failed
    badly
model: Done.
"#;
    assert_eq!(play, turn.repeat(2));
}

fn request(messages: &[Message]) -> Request<'_> {
    Request {
        agent: "lead",
        model: "claude-sonnet-5-5",
        max_tokens: 100,
        system: Vec::new().into(),
        tools: Vec::new().into(),
        messages,
        marks: Vec::new(),
        extra: std::borrow::Cow::Owned(Map::new()),
    }
}

fn said(role: Role, text: &str) -> Message {
    Message::new(role, vec![Block::text(text)])
}

async fn hear(model: &impl Model, messages: &[Message]) {
    use futures_util::StreamExt;
    let stream = model.stream(&request(messages));
    let _: Vec<_> = stream.collect().await;
}

#[tokio::test]
async fn a_broken_history_is_caught() {
    let witness = Witness::collecting(script());
    let first = said(Role::User, "go");
    hear(&witness, std::slice::from_ref(&first)).await;
    // The reply called two tools: here they vanish, and the words are others.
    let other = [first, said(Role::Assistant, "Something else."), said(Role::User, "well?")];
    hear(&witness, &other).await;
    assert!(witness.violations().join("\n").contains("the history was rewritten at block 1"));
    let prefilled = [said(Role::User, "x"), said(Role::Assistant, "Sure:")];
    hear(&witness, &prefilled).await;
    assert!(witness.violations().join("\n").contains("request 3 of lead: This model does not"));
}

#[tokio::test]
#[should_panic(expected = "the history was rewritten at block 0")]
async fn a_changed_first_message_panics() {
    let yaml = "prompt: go\nscenes:\n- lines: [{text: Hello.}]";
    let witness = Witness::new(Script::new(Play::from_yaml(yaml).unwrap()));
    let mut messages = vec![said(Role::User, "go")];
    hear(&witness, &messages).await;
    messages[0] = said(Role::User, "go, it is now 12:01");
    messages.extend([said(Role::Assistant, "Hello."), said(Role::User, "and?")]);
    hear(&witness, &messages).await;
}

#[tokio::test]
async fn a_cancelled_reply_comes_back_in_part() {
    use futures_util::StreamExt;
    let yaml = "prompt: go\nscenes:\n- lines: [{text: one two three}]";
    let witness = Witness::new(Script::new(Play::from_yaml(yaml).unwrap()));
    let mut messages = vec![said(Role::User, "go")];
    let mut stream = witness.stream(&request(&messages));
    stream.next().await.unwrap().unwrap();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    messages.extend([said(Role::Assistant, "one two "), said(Role::User, "stop")]);
    hear(&witness, &messages).await;
}

#[tokio::test]
#[should_panic(
    expected = "request 1 of lead: This model does not support assistant message prefill"
)]
async fn a_panic_that_was_caught_still_fails_the_test() {
    let witness = Witness::new(script());
    let inside = witness.clone();
    let task = tokio::spawn(async move {
        let prefilled = [said(Role::User, "x"), said(Role::Assistant, "Sure:")];
        hear(&inside, &prefilled).await;
    });
    assert!(task.await.is_err());
}

#[tokio::test]
async fn a_fold_that_is_allowed_and_a_fold_that_is_not() {
    let folded = async |witness: Witness<Script>| {
        let agent = agent(&witness);
        let mut conversation = Conversation::new();
        conversation.say("go");
        agent.run(&mut conversation, &CancellationToken::new()).await.unwrap();
        conversation.say("go");
        let cut = conversation.cut(2).unwrap();
        conversation.compact(cut, "They said go, and it was done.");
        agent.run(&mut conversation, &CancellationToken::new()).await.unwrap();
        witness.violations()
    };
    let wrong = folded(Witness::collecting(script())).await;
    assert!(wrong.join("").contains("the history was rewritten at block 0"), "{wrong:?}");
    let wrong = folded(Witness::new(script()).allow_rewrites()).await;
    assert!(wrong.is_empty(), "{wrong:?}");
}
