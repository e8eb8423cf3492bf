//! The agent in one file, `examples/bare.rs`, as a program against the strict server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::net::TcpListener;
use std::process::{Command, Output};

use harness_testkit::{Fault, Folder, StrictServer, scrubbed};
use s01_perception_action_loop::LESSON;
use serde_json::Value;

const README: &str = include_str!("../README.md");
const EXAMPLE: &str = include_str!("../examples/bare.rs");
const PROMPT: &str = "Make a file hello.txt that says hello, and show me that it is there.";
const KEY: &str = "test-key-0123456789abcdef";

/// The program in this folder, with nothing of the tester's environment. Cargo builds examples before it
/// runs tests, unless it is told to run this file alone.
fn bare(folder: &Folder) -> Command {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().parent().unwrap().join("examples/bare");
    assert!(program.exists(), "build it first: cargo build --example bare");
    let mut command = scrubbed(program, folder.path());
    command.current_dir(folder.path());
    for proxy in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        command.env_remove(proxy);
    }
    command
}

/// The same with this address, the key and the prompt of the play.
fn asking(base: &str, folder: &Folder) -> Command {
    let mut command = bare(folder);
    command.env("ANTHROPIC_BASE_URL", base).env("ANTHROPIC_API_KEY", KEY).arg(PROMPT);
    command
}

fn play() -> StrictServer {
    let server = StrictServer::start(LESSON.play);
    server.require_key(KEY);
    server
}

/// Runs it where it has to fail: its only line on standard error.
fn error(mut command: Command) -> String {
    let Output { status, stderr, .. } = command.output().unwrap();
    let line = String::from_utf8(stderr).unwrap();
    assert_eq!((status.code(), line.lines().count()), (Some(1), 1), "{line}");
    line.strip_prefix("bare: ").expect(&line).trim_end().to_owned()
}

/// Runs it against the play with this fault in the first reply.
fn error_after(fault: Fault, folder: &Folder) -> String {
    let server = play();
    server.fault(1, fault);
    error(asking(&server.base_url(), folder))
}

/// The blocks of the lesson with this tag.
fn blocks(tag: &str) -> Vec<&'static str> {
    let fence = format!("```{tag}\n");
    let behind = README.split(fence.as_str()).skip(1);
    behind.map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn it_plays_the_play_and_every_request_is_one_that_the_api_accepts() {
    let (server, folder) = (play(), Folder::new());
    let Output { status, stdout, stderr } = asking(&server.base_url(), &folder).output().unwrap();
    let (said, errors) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert!(status.success() && errors.is_empty(), "{errors}");
    assert_eq!(folder.read("hello.txt"), "hello from the loop\n");
    for shown in [
        "\"name\": \"bash\"",
        "\"type\": \"tool_use\"",
        "▸ bash cat hello.txt\nhello from the loop\n",
    ] {
        assert!(said.contains(shown), "{shown} is missing:\n{said}");
    }
    let answer = "hello.txt is there, and it says hello. I called a tool twice; this reply calls \
        none, so the loop ends.";
    assert_eq!(said.lines().last(), Some(answer));
    assert!(!said.contains(KEY), "the key is shown");
    let version = server.recorded()[0].headers["anthropic-version"].clone();
    assert_eq!((version.as_str(), server.finish().len()), ("2023-06-01", 3));
}

#[test]
fn the_lesson_shows_the_loop_as_it_stands_in_the_example() {
    let shown = blocks("text").into_iter().find(|block| block.contains("async fn agent("));
    assert!(EXAMPLE.contains(shown.expect("the lesson shows the loop")));
}

#[test]
fn the_lesson_shows_the_json_as_it_goes_over_the_wire() {
    let (server, folder) = (play(), Folder::new());
    assert!(asking(&server.base_url(), &folder).output().unwrap().status.success());
    let requests = server.finish();
    let read = |block: &str| serde_json::from_str::<Value>(block).expect(block);
    let shown: Vec<Value> = blocks("json").into_iter().map(read).collect();
    assert_eq!(shown[0], requests[0]);
    assert_eq!(shown[1], requests[1]["messages"][1]["content"][1]);
    assert_eq!(shown[2], requests[1]["messages"][2]["content"][0]);
    assert_eq!(shown.len(), 3);
}

#[test]
fn without_a_key_and_an_address_it_says_how_to_start() {
    let folder = Folder::new();
    let mut command = bare(&folder);
    command.arg(PROMPT).env("ANTHROPIC_API_KEY", "");
    let line = error(command);
    assert!(line.starts_with("there is no model to ask: set ANTHROPIC_API_KEY"), "{line}");
    assert!(line.contains("strict-server -- --play") && line.contains("ANTHROPIC_BASE_URL=http"));
    assert!(!folder.has("hello.txt"));
}

#[test]
fn without_a_prompt_it_asks_for_one_and_for_nothing_else() {
    let (server, folder) = (play(), Folder::new());
    let mut command = bare(&folder);
    command.env("ANTHROPIC_BASE_URL", server.base_url());
    assert!(error(command).starts_with("there is no prompt; usage: cargo run --example bare -- "));
    assert!(server.finish().is_empty());
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let line = error(asking(&format!("http://{address}"), &Folder::new()));
    let expected = format!("the request to http://{address}/v1/messages failed: ");
    assert!(line.starts_with(&expected) && line.contains("onnection refused"), "{line}");
}

#[test]
fn a_refusal_of_the_server_is_told_in_its_own_words() {
    let server = play();
    server.require_key("another key");
    let line = error(asking(&server.base_url(), &Folder::new()));
    assert_eq!(line, "HTTP 401 Unauthorized: \"invalid x-api-key\"");
}

#[test]
fn an_answer_that_is_not_json_is_told_with_its_status() {
    let line = error_after(Fault::Html500, &Folder::new());
    let expected = "HTTP 500 Internal Server Error, and the answer is not JSON: ";
    assert!(line.starts_with(expected), "{line}");
}

#[test]
fn json_that_is_no_reply_is_told() {
    let body = "{\"hello\": \"world\"}".to_owned();
    let fault = Fault::Status { code: 200, headers: Vec::new(), body };
    assert_eq!(error_after(fault, &Folder::new()), "the reply has no content");
}

#[test]
fn an_answer_that_breaks_off_is_told() {
    let line = error_after(Fault::BrokenConnection, &Folder::new());
    assert!(line.starts_with("the answer broke off: "), "{line}");
}

#[test]
fn a_call_that_was_cut_at_the_token_limit_is_not_run() {
    let folder = Folder::new();
    let line = error_after(Fault::MaxTokensInToolInput, &folder);
    assert_eq!(line, "the reply is incomplete: stop_reason is \"max_tokens\"");
    assert!(!folder.has("hello.txt"));
}

#[test]
fn a_machine_without_bash_is_told() {
    let (server, folder) = (play(), Folder::new());
    let mut command = asking(&server.base_url(), &folder);
    command.env("PATH", folder.path());
    let line = error(command);
    assert!(line.starts_with("cannot start bash: No such file"), "{line}");
}
