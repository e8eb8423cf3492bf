//! The lesson, played; then the hard cases.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use expect_test::expect;
use harness_core::{Agent, Conversation, TurnOutcome};
use harness_testkit::{Stage, transcript};
use s01_perception_action_loop::{LESSON, only_bash, perceive_and_act};
use tokio_util::sync::CancellationToken;

async fn run(agent: &Agent, prompt: &str) -> (TurnOutcome, Conversation) {
    let mut conversation = Conversation::new();
    conversation.say(prompt);
    let stop = perceive_and_act(agent, &mut conversation, &CancellationToken::new()).await;
    (stop.unwrap(), conversation)
}

#[tokio::test]
async fn the_play() {
    let stage = Stage::new(LESSON.play);
    let (stop, conversation) = run(&only_bash(stage.agent.clone()), &stage.prompts[0]).await;
    assert!(matches!(stop, TurnOutcome::Answered(_)));
    assert_eq!(stage.folder.read("hello.txt"), "hello from the loop\n");
    expect![[r#"
        human: Make a file hello.txt that says hello, and show me that it is there.
        model: I will write the file first.
          call bash {"command":"echo 'hello from the loop' > hello.txt"}
          result (no output)
        model: Now I look at it, instead of believing that it worked.
          call bash {"command":"cat hello.txt"}
          result hello from the loop
        model: hello.txt is there, and it says hello. I called a tool twice; this reply calls none, so the loop ends.
    "#]].assert_eq(&transcript(conversation.messages()));
}

#[tokio::test]
async fn the_core_loop_writes_the_same_transcript() {
    let lines = "
- {text: Two at once., calls: [{tool: bash, input: {command: echo one}}, {tool: bash, input: {command: exit 3}}]}
- {text: One that is not there., calls: [{tool: no_such_tool}]}
- {text: Done.}";
    let mut core = Stage::lines(lines);
    core.agent = only_bash(core.agent);
    core.say("go").await.unwrap();
    let own = Stage::lines(lines);
    let (_, conversation) = run(&only_bash(own.agent.clone()), "go").await;
    assert_eq!(transcript(conversation.messages()), core.transcript());
}

#[tokio::test]
async fn a_failing_command_is_an_error_result_with_its_exit_code() {
    let stage = Stage::lines("- calls: [{tool: bash, input: {command: exit 3}}]\n- {text: I see.}");
    let (_, conversation) = run(&only_bash(stage.agent.clone()), "go").await;
    let result = conversation.messages()[2].results().next().unwrap();
    assert!(result.is_error);
    assert_eq!(result.content.text(), "(no output)\n[exit code 3]");
}

#[tokio::test]
async fn output_that_is_not_text_is_kept() {
    let stage = Stage::lines(
        "- calls: [{tool: bash, input: {command: \"printf 'a\\\\377b\\\\0c'\"}}]\n- {text: I see.}",
    );
    let (_, conversation) = run(&only_bash(stage.agent.clone()), "go").await;
    let result = conversation.messages()[2].results().next().unwrap();
    assert_eq!(result.content.text(), "a\u{fffd}bc");
}

#[tokio::test]
async fn the_step_limit_leaves_a_conversation_that_can_go_on() {
    let mut stage =
        Stage::lines("- calls: [{tool: bash, input: {command: 'true'}}]\n- {text: Done.}");
    stage.agent.max_steps = 1;
    let error = stage.say("go").await.unwrap_err();
    assert_eq!(error, harness_core::AgentError::TooManySteps(1));
    assert!(stage.conversation.calls().is_empty());
    stage.agent.max_steps = 10;
    stage.say("go").await.unwrap(); // the witness judges the request
}
