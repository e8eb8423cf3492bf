//! One-shot runs without a terminal: the answer, the exit code, and what other programs can read.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;

use harness_app::{App, EXIT_INTERRUPTED, OneShot, OneShotOutcome, OutputFormat};
use harness_core::{Mutex, Secrets};
use harness_testkit::Stage;
use serde_json::Value;

const PLAY: &str = "
prompt: go
scenes:
- lines:
  - {text: I look., calls: [{tool: bash, input: {command: echo seen}}]}
  - {text: \"Seen.\\n\"}
";

/// What was streamed, and what came of it.
struct Ran {
    lines: Vec<Value>,
    outcome: OneShotOutcome,
}

fn started(stage: &Stage, format: OutputFormat) -> (OneShot, Arc<Mutex<Vec<Value>>>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let written = lines.clone();
    let write_line = move |line: &str| written.lock().push(serde_json::from_str(line).unwrap());
    let app = App::from(stage.agent.clone());
    (OneShot::start(app, format, write_line).unwrap(), lines)
}

async fn run(stage: &Stage, format: OutputFormat) -> Ran {
    let (mut one_shot, lines) = started(stage, format);
    one_shot.run("go".to_owned()).await;
    let outcome = one_shot.outcome();
    one_shot.leave().await;
    let lines = lines.lock().clone();
    Ran { lines, outcome }
}

#[tokio::test]
async fn text_is_the_answer_alone_and_says_that_a_display_has_shown_it() {
    let ran = run(&Stage::new(PLAY), OutputFormat::Text).await;
    let output = Some("Seen.".to_owned());
    let outcome = OneShotOutcome { exit_code: 0, output, error: None, was_streamed: true };
    assert_eq!(ran.outcome, outcome);
    assert_eq!(ran.lines, [Value::Null; 0]);
}

#[tokio::test]
async fn stream_json_hands_out_a_line_for_each_thing_and_the_result_last() {
    let ran = run(&Stage::new(PLAY), OutputFormat::StreamJson).await;
    let kinds: Vec<_> = ran.lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["system", "assistant", "user", "assistant"]);
    let result: Value = serde_json::from_str(&ran.outcome.output.unwrap()).unwrap();
    assert_eq!(result["type"], "result");
    assert_eq!(result["result"], "Seen.\n");
    assert_eq!(result["num_turns"], 2);
}

#[tokio::test]
async fn a_secret_that_the_model_says_is_masked_in_every_line() {
    let mut stage = Stage::lines("- {text: The word is sesame-opens.}");
    stage.agent.secrets = Secrets::new([], ["sesame-opens".to_owned()]);
    let (mut one_shot, lines) = started(&stage, OutputFormat::StreamJson);
    one_shot.run("go".to_owned()).await;
    let lines = format!("{:?}", lines.lock());
    let result = one_shot.outcome().output.unwrap();
    for written in [lines, result] {
        assert!(written.contains("The word is ") && !written.contains("sesame"), "{written}");
    }
}

#[tokio::test]
async fn the_step_limit_has_its_own_exit_code_and_no_output() {
    let mut stage = Stage::new(PLAY);
    stage.agent.max_steps = 1;
    let ran = run(&stage, OutputFormat::Text).await;
    assert_eq!(ran.outcome.exit_code, 3);
    assert_eq!(ran.outcome.output, None);
    let error = ran.outcome.error.unwrap();
    assert!(error.contains("stopped after 1 steps"), "{error}");
}

#[tokio::test]
async fn a_turn_that_was_cancelled_or_given_up_is_interrupted() {
    let stage = Stage::new(PLAY);
    let (mut cancelled, _) = started(&stage, OutputFormat::Text);
    cancelled.cancellation().cancel();
    cancelled.run("go".to_owned()).await;
    assert_eq!(cancelled.outcome().exit_code, EXIT_INTERRUPTED);

    let (mut given_up, _) = started(&stage, OutputFormat::Json);
    drop(given_up.run("go".to_owned()));
    let outcome = given_up.outcome();
    assert_eq!(outcome.exit_code, EXIT_INTERRUPTED);
    let result: Value = serde_json::from_str(&outcome.output.unwrap()).unwrap();
    assert_eq!(result["subtype"], "interrupted");
}
