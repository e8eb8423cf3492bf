//! The lesson, played; then the hard cases.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use expect_test::expect;
use harness_core::{Content, Gate, Headless, Rules, ToolContext, ToolSource};
use harness_testkit::{Folder, Key, Program, Stage, Terminal, hash_in, outputs, wait_until_gone};
use rustix::process::{Pid, Signal, kill_process};
use s21_mcp_runtime::servers::ServerEnv;
use s21_mcp_runtime::{BUILT_IN, LESSON, McpServers, OWN};
use serde_json::{Value, json};

const LONG: Duration = Duration::from_secs(60);
const THIS: &str = env!("CARGO_BIN_EXE_s21_mcp_runtime");
const BAD_SERVER: &str = env!("CARGO_BIN_EXE_s21_mcp_runtime_bad_server");

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A stage with these servers, all of them ready or failed.
async fn staged(play: &str, yaml: &str) -> (Stage, McpServers) {
    let stage = Stage::new(play);
    let (cwd, secrets) = (&stage.agent.cwd, stage.agent.secrets.clone());
    let servers = McpServers::new(ServerEnv::new(cwd, secrets, THIS, variable));
    servers.yaml(yaml, "test.yaml").unwrap();
    servers.servers().settle(LONG).await;
    (stage.with(servers.clone()), servers)
}

// ---------------------------------------------------------------- the play

#[tokio::test]
async fn the_play() {
    let (mut stage, servers) = staged(LESSON.play, BUILT_IN).await;
    expect![[r#"
        human: How many kilometres is a marathon, 26.2 miles?
        model: There is a server that converts lengths. I ask it.
          call mcp__demo__convert {"value":26.2,"from":"miles","to":"km"}
          error `miles` is not a unit; use km, m, mi, ft
        model: It calls them otherwise.
          call mcp__demo__convert {"value":26.2,"from":"mi","to":"km"}
          result 26.2 mi = 42.16 km
        model: Now I see what becomes of us when a server dies during a call.
          call mcp__demo__fall_over {}
          error the MCP server demo ended during the call; what it had done by then is unknown. It is being restarted
        model: An error, and nothing worse. It should be back.
          call mcp__demo__convert {"value":26.2,"from":"mi","to":"m"}
          result 26.2 mi = 42164.81 m
        model: A marathon is 42.16 km. The server fell over once and was started again.
    "#]].assert_eq(&stage.play().await);
    servers.servers().close().await;
}

fn program() -> Program {
    Program::new(THIS, LESSON.play)
}

#[test]
fn the_readme_shows_what_the_program_prints() {
    let printed = Program::printed(program().command(), "\n:mcp demo\nq\n");
    for shown in &outputs(include_str!("../README.md"))[..3] {
        assert!(printed.contains(shown), "{shown}\n---\n{printed}");
    }
}

#[test]
fn the_binary_plays_it_through_a_pipe_and_over_the_wire() {
    for play in [Program::play, Program::play_over_the_wire] {
        let said = play(&program());
        assert!(said.contains("1 of 1 servers ready, 2 tools"), "{said}");
        assert!(said.contains("  `miles` is not a unit; use km, m, mi, ft"), "{said}");
        assert!(said.contains("The server fell over once and was started again.\n"), "{said}");
    }
}

#[test]
fn where_nobody_can_allow_the_servers_tools_the_play_claims_nothing() {
    let program = program();
    let mut command = program.command();
    command.arg("--ask");
    let said = String::from_utf8(Program::pipe(command, "\nq\n").stdout).unwrap();
    assert!(said.contains("I may not ask the server, so I cannot tell.\n"), "{said}");
    assert!(!said.contains("42.16"), "{said}");
}

#[test]
fn the_play_in_a_terminal() {
    let program = program();
    let mut terminal = Terminal::start(program.command(), 80, 40);
    terminal.wait_for("s21 >>");
    terminal.key(Key::Enter);
    terminal.wait_for("was started again.");
    terminal.line(":mcp");
    terminal.wait_for("demo: ready; 2 tools");
    terminal.line("q");
    assert!(terminal.wait_for_end().success());
}

// ---------------------------------------------------------------- helpers

/// A server of the test's own that behaves in this way, as a line of the list of servers.
fn bad(name: &str, mode: &str) -> String {
    let server = json!({"name": name, "command": BAD_SERVER, "env": {"MODE": mode}, "timeout": 3,
        "start_timeout": 20});
    format!("- {server}\n")
}

const NOTHING: &str = "prompt: go\nscenes: [{lines: [{text: Done.}]}]";

/// These servers, and a context to call their tools in.
async fn servers(list: &[String]) -> (Stage, McpServers) {
    staged(NOTHING, &format!("servers:\n{}", list.concat())).await
}

fn context(stage: &Stage) -> ToolContext {
    stage.agent.context("1", &Default::default())
}

/// Calls a tool: what it returned, or why not.
async fn call(stage: &Stage, name: &str, input: Value) -> Result<Content, String> {
    let tool = stage.agent.tools.get(name).map_err(|error| error.to_string())?;
    let Value::Object(input) = input else { panic!("no object") };
    let call = tool.prepare(&input).map_err(|error| error.to_string())?;
    call.run(&context(stage)).await.map_err(|error| error.to_string())
}

async fn text(stage: &Stage, name: &str) -> Result<String, String> {
    call(stage, name, json!({})).await.map(|content| content.text().into_owned())
}

fn names(servers: &McpServers) -> Vec<String> {
    servers.servers().tools().iter().map(|tool| tool.spec().name).collect()
}

/// The process ids that servers of the mode `stubborn` have left in this folder.
fn pids(folder: &Path) -> Vec<i32> {
    let file = std::fs::read_to_string(folder.join("pids")).unwrap_or_default();
    file.lines().map(|pid| pid.parse().unwrap()).collect()
}

// ---------------------------------------------------------------- servers that misbehave

#[tokio::test]
async fn good_servers_work_beside_one_that_hangs_and_some_that_crash() {
    let slow = bad("hangs", "silent").replace("\"start_timeout\":20", "\"start_timeout\":1");
    let gone = "- {name: gone, command: ./no-such-program}\n".to_owned();
    let list = [slow, bad("one", "good"), bad("exits", "exits"), gone, bad("two", "good")];
    let (stage, servers) = servers(&list).await;
    for name in ["mcp__one__echo", "mcp__two__echo"] {
        let said = call(&stage, name, json!({"a": 1})).await.unwrap();
        assert_eq!(said.text(), "{\"a\":1}");
    }
    let mut news = servers.servers().take_notices();
    news.sort();
    assert_eq!(news.len(), 3, "{news:?}");
    assert_eq!(
        news[0],
        "MCP server exits ended before it had answered with exit code 3: no licence found"
    );
    assert!(news[1].starts_with("MCP server gone cannot start ./no-such-program: "), "{news:?}");
    assert!(news[2].starts_with("MCP server hangs has not answered within 1s"), "{news:?}");
    servers.servers().close().await;
}

#[tokio::test]
async fn noise_on_standard_output_is_no_message() {
    let (stage, servers) = servers(&[bad("s", "noise")]).await;
    assert_eq!(text(&stage, "mcp__s__echo").await.unwrap(), "{}");
    let log = stage.folder.read(".harness/mcp/s.log");
    assert!(log.contains("log: tools/call\n") && log.contains("the bad server starts\n"), "{log}");
    servers.servers().close().await;
}

#[tokio::test]
async fn a_server_that_leaves_when_it_is_asked_what_it_is_is_greeted_instead() {
    let (stage, servers) = servers(&[bad("s", "old")]).await;
    assert_eq!(text(&stage, "mcp__s__echo").await.unwrap(), "{}");
    servers.servers().close().await;
}

#[tokio::test]
async fn a_server_that_dies_in_a_call_is_an_error_and_comes_back() {
    let (stage, servers) = servers(&[bad("s", "good")]).await;
    for tool in ["mcp__s__die", "mcp__s__half", "mcp__s__huge"] {
        let error = text(&stage, tool).await.unwrap_err();
        assert!(error.starts_with("the MCP server s ended during the call"), "{tool}: {error}");
        assert_eq!(text(&stage, "mcp__s__echo").await.unwrap(), "{}");
    }
    let news = servers.servers().take_notices();
    assert!(news[0].ends_with("with exit code 9: out of memory; restarting (1 of 5)"), "{news:?}");
    assert!(news[1].contains("cut off"), "{news:?}");
    assert!(news[2].contains("longer than 16 MB"), "{news:?}");
    servers.servers().close().await;
}

#[tokio::test]
async fn a_server_that_dies_again_and_again_is_given_up() {
    let (stage, servers) = servers(&[bad("s", "good")]).await;
    for _ in 0..6 {
        text(&stage, "mcp__s__die").await.unwrap_err();
    }
    servers.servers().settle(LONG).await;
    let error = text(&stage, "mcp__s__echo").await.unwrap_err();
    assert!(error.contains("there is no tool"), "{error}");
    assert!(servers.servers().table("").starts_with("s: has ended with exit code 9"));
    servers.servers().close().await;
}

#[tokio::test]
async fn an_answer_to_another_call_is_none_and_no_answer_has_an_end() {
    let (stage, servers) =
        servers(&[bad("s", "good").replace("\"timeout\":3", "\"timeout\":1")]).await;
    for tool in ["mcp__s__wrong_id", "mcp__s__hang"] {
        let error = text(&stage, tool).await.unwrap_err();
        assert!(error.contains("has not answered within 1s"), "{error}");
    }
    // It was told to give up, and it is of use all the same.
    assert_eq!(text(&stage, "mcp__s__cancelled").await.unwrap(), "2 calls were cancelled");
    servers.servers().close().await;
}

#[tokio::test]
async fn an_interrupt_tells_the_server_to_give_up() {
    let (stage, servers) = servers(&[bad("s", "good")]).await;
    let tool = stage.agent.tools.get("mcp__s__mark").unwrap();
    let cx = context(&stage);
    let cancel = cx.cancel.clone();
    let marked = stage.agent.cwd.join("marked");
    let (ended, ()) = tokio::join!(tool.prepare(&Default::default()).unwrap().run(&cx), async {
        while !marked.exists() {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    });
    assert_eq!(ended.unwrap_err().to_string(), "interrupted; the server was told to give up");
    assert_eq!(text(&stage, "mcp__s__cancelled").await.unwrap(), "1 calls were cancelled");
    servers.servers().close().await;
}

#[tokio::test]
async fn one_bad_tool_does_not_cost_the_others() {
    let (_stage, servers) = servers(&[bad("s", "bad_list")]).await;
    let names = names(&servers);
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names[0].starts_with("mcp__s__dotted_name_"), "{names:?}");
    assert_eq!(names[1], "mcp__s__echo");
    let news = servers.servers().take_notices().join("\n");
    assert!(news.contains("\"text_schema\" is left out: invalid type"), "{news}");
    assert!(news.contains("\"echo\" is offered twice; the first one is used"), "{news}");
    servers.servers().close().await;
}

#[tokio::test]
async fn an_odd_name_is_made_valid_and_finds_its_way_back() {
    let (stage, servers) = servers(&[bad("s", "bad_list")]).await;
    assert_eq!(text(&stage, &names(&servers)[0]).await.unwrap(), "you called dotted.name");
    servers.servers().close().await;
}

#[tokio::test]
async fn all_pages_are_read_and_a_circle_of_pages_has_an_end() {
    let (_stage, servers) = servers(&[bad("p", "pages"), bad("c", "circle")]).await;
    let names = names(&servers);
    let of = |start: &str| names.iter().filter(|name| name.starts_with(start)).count();
    assert_eq!((of("mcp__p__"), of("mcp__c__")), (3, 1), "{names:?}");
    servers.servers().close().await;
}

#[tokio::test]
async fn a_storm_of_notices_is_survived() {
    let (stage, servers) = servers(&[bad("s", "storm")]).await;
    assert_eq!(text(&stage, "mcp__s__echo").await.unwrap(), "{}");
    let lists = text(&stage, "mcp__s__lists").await.unwrap();
    assert!(lists.parse::<u32>().unwrap() < 100, "the tools were listed {lists} times");
    servers.servers().close().await;
}

#[tokio::test]
async fn a_description_that_changes_is_told_and_counts_from_the_next_step_on() {
    let play = "
prompt: go
scenes:
- lines:
  - calls: [{tool: mcp__s__change}]
  - {text: Done.}";
    // The old protocol tells it to whoever is there, the new one to whoever has asked.
    for mode in ["good", "modern"] {
        let (mut stage, servers) = staged(play, &format!("servers:\n{}", bad("s", mode))).await;
        stage.witness = stage.witness.clone().allow_rewrites();
        stage.play().await;
        let news = loop {
            match servers.servers().take_notices() {
                news if news.is_empty() => tokio::task::yield_now().await,
                news => break news,
            }
        };
        let changed = "MCP server s: the description of \"echo\" has changed: Now it sends mail.";
        assert_eq!(news, [changed], "{mode}");
        stage.say("go").await.unwrap();
        let body = stage.witness.requests().pop().unwrap().to_string();
        assert!(body.contains("Now it sends mail."), "{body}");
        servers.servers().close().await;
    }
}

// ---------------------------------------------------------------- what comes back

#[tokio::test]
async fn results_of_every_kind_reach_the_model() {
    let (stage, servers) = servers(&[bad("s", "good")]).await;
    let Content::Blocks(blocks) = call(&stage, "mcp__s__kinds", json!({})).await.unwrap() else {
        panic!("no blocks")
    };
    expect![[r#"
        words
        [audio (audio/wav, 3 bytes) is not shown]
        guide: file:///guide (read me)
        file:///a:
        inside
        [file:///b (x/y, 3 bytes) is not shown]"#]]
    .assert_eq(blocks[0]["text"].as_str().unwrap());
    assert_eq!(blocks[1]["source"]["media_type"], "image/png");
    assert_eq!(text(&stage, "mcp__s__structured").await.unwrap(), "{\"n\":1}");
    assert_eq!(text(&stage, "mcp__s__empty").await.unwrap(), "(no output)");
    assert_eq!(text(&stage, "mcp__s__fails").await.unwrap_err(), "the disk is full");
    assert_eq!(text(&stage, "mcp__s__refuses").await.unwrap_err(), "no such thing");
    let odd = text(&stage, "mcp__s__nonsense").await.unwrap_err();
    assert_eq!(odd, "the server's answer is not understood");
    let long = text(&stage, "mcp__s__long").await.unwrap();
    assert!(long.len() < 31_000 && long.contains("bytes are in .harness/output/"), "{long}");
    servers.servers().close().await;
}

// ---------------------------------------------------------------- rights

#[tokio::test]
async fn a_servers_tool_never_has_the_rights_of_a_built_in_one() {
    let play = "
prompt: go
scenes:
- lines:
  - calls: [{tool: mcp__s__read, input: {path: README.md}}]
  - calls: [{tool: mcp__t__echo, input: {}}]
  - {text: Done.}";
    let yaml = format!("servers:\n{}{}", bad("s", "good"), bad("t", "good"));
    let (mut stage, servers) = staged(play, &yaml).await;
    let rules = "
default: ask
always_allow:
- {path: './**', access: read, reason: reads}
- {tool: mcp__t__*, reason: known}";
    let rules = Rules::parse(rules, "test").unwrap();
    stage.agent.gate = Gate { policy: Arc::new(rules), approver: Arc::new(Headless) };
    stage.play().await;
    let results = stage.results();
    assert!(results[0].starts_with("denied: "), "{results:?}");
    assert_eq!(results[1], "{}");
    servers.servers().close().await;
}

#[tokio::test]
async fn a_server_gets_no_variable_that_was_not_given_to_it() {
    let (stage, servers) = servers(&[bad("s", "good")]).await;
    let names = text(&stage, "mcp__s__env").await.unwrap();
    let given = ["HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "USER", "MODE"];
    let ours = |name: &str| given.contains(&name) || name.starts_with("HARNESS_FAMILY_");
    assert!(names.lines().all(ours), "{names}");
    servers.servers().close().await;
}

#[test]
fn a_workspaces_own_servers_start_only_once_the_user_has_agreed() {
    let program = program();
    let this = THIS;
    let own = format!(
        "{{\"mcpServers\": {{\"mine\": {{\"command\": \"{this}\", \"args\": [\"serve-demo\"]}}}}}}"
    );
    program.folder.write(OWN, &own);
    let untrusted = Program::printed(program.command(), ":mcp\n:trust\nq\n");
    assert!(untrusted.contains(".mcp.json is not trusted yet and has no effect"), "{untrusted}");
    assert!(!untrusted.contains("mine: "), "{untrusted}");
    let agree = format!(":trust {}\n\n:mcp\nq\n", hash_in(&untrusted));
    let trusting = Program::printed(program.command(), &agree);
    assert!(trusting.contains("mine: "), "{trusting}");
    let later = Program::printed(program.command(), ":mcp\nq\n");
    assert!(later.contains("mine: "), "{later}");
    program.folder.write(OWN, &own.replace("serve-demo", "serve-other"));
    let changed = Program::printed(program.command(), ":mcp\nq\n");
    assert!(
        changed.contains("has changed since you agreed") && !changed.contains("mine: "),
        "{changed}"
    );
}

// ---------------------------------------------------------------- start and end

/// A program whose configuration names these servers beside nothing else.
fn configured(list: &str) -> (Program, Folder) {
    let config = Folder::new();
    config.write("mcp_config.yaml", &format!("servers:\n{list}"));
    let repository = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/permissions.yaml");
    config.write("permissions.yaml", &std::fs::read_to_string(repository).unwrap());
    (program(), config)
}

#[test]
fn the_configuration_is_found_from_any_folder() {
    let output = Program::printed(program().command(), ":mcp\nq\n");
    assert!(output.contains("demo: ready; 2 tools"), "{output}");
}

#[test]
fn an_empty_configuration_is_no_error() {
    let (program, config) = configured("");
    let mut command = program.command();
    command.arg("--config").arg(config.path());
    assert!(Program::printed(command, ":mcp\nq\n").contains("there is no MCP server"));
}

#[test]
fn a_silent_server_does_not_hold_up_the_prompt() {
    let (program, config) = configured("- {name: silent, command: sleep, args: ['1000']}\n");
    let mut command = program.command();
    command.arg("--config").arg(config.path());
    let mut terminal = Terminal::start(command, 100, 30);
    terminal.wait_for("0 of 1 servers ready");
    terminal.wait_for("s21 >>");
    terminal.line(":mcp");
    terminal.wait_for("silent: is starting");
    terminal.line("q");
    assert!(terminal.wait_for_end().success());
}

#[test]
fn no_process_of_a_server_outlives_the_program() {
    for ending in ["q", "-p", "TERM", "two Ctrl-C"] {
        let (program, config) = configured(&bad("stubborn", "stubborn"));
        let mut command = program.command();
        command.arg("--config").arg(config.path());
        if ending == "-p" {
            let prompt = "How many kilometres is a marathon, 26.2 miles?";
            Program::pipe(
                {
                    command.args(["-p", prompt]);
                    command
                },
                "",
            );
        } else {
            let mut terminal = Terminal::start(command, 100, 30);
            terminal.wait_for("1 of 1 servers ready");
            terminal.wait_for("s21 >>");
            match ending {
                "q" => _ = terminal.line("q"),
                "TERM" => {
                    let pid = Pid::from_raw(terminal.pid().cast_signed()).unwrap();
                    kill_process(pid, Signal::TERM).unwrap();
                }
                _ => {
                    terminal.key(Key::CtrlC);
                    terminal.wait_for("Ctrl-C again leaves");
                    terminal.key(Key::CtrlC);
                }
            }
            terminal.wait_for_end();
        }
        let pids = pids(program.folder.path());
        assert_eq!(pids.len(), 2, "{ending}");
        for pid in pids {
            wait_until_gone(&pid.to_string());
        }
    }
}
