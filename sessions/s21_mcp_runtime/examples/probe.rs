//! Real servers and the official conformance suite against this client; `cargo xtask interop` runs it.
//!
//! `probe servers CONFIG FOLDER` starts the servers of a configuration (everything, filesystem and git in
//! FOLDER, beside some that are broken), calls their tools and prints `ok<TAB>what` or `FAIL<TAB>what<TAB>why`,
//! a line each. `probe conformance URL` does what the scenario of the suite asks for.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, reason = "a probe")]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use harness_core::{Agent, Content, Play, Script, ToolSource};
use s21_mcp_runtime::McpServers;
use s21_mcp_runtime::servers::{ServerConfig, ServerEnv, Transport};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const LONG: Duration = Duration::from_secs(90);

/// The servers that are to work.
const REAL: [&str; 3] = ["everything", "files", "git"];

struct Probe {
    agent: Agent,
    servers: McpServers,
    failed: bool,
}

impl Probe {
    fn new(folder: &str) -> Self {
        let play = Play::from_yaml("prompt: go\nscenes: [{lines: [{text: Done.}]}]").unwrap();
        let agent = Agent::new(Arc::new(Script::new(play)), folder);
        let env =
            ServerEnv::new(folder, Default::default(), "this", |name| std::env::var(name).ok());
        let servers = McpServers::new(env);
        Self { agent: agent.with(servers.clone()), servers, failed: false }
    }

    fn check(&mut self, what: &str, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => println!("ok\t{what}"),
            Err(why) => {
                self.failed = true;
                println!("FAIL\t{what}\t{}", why.replace('\n', " "));
            }
        }
    }

    async fn call(
        &self,
        tool: &str,
        input: Value,
        cancel: &CancellationToken,
    ) -> Result<Content, String> {
        let cx = self.agent.context("1", cancel);
        let tool = self.agent.tools.get(tool).map_err(|error| error.to_string())?;
        let input = input.as_object().cloned().expect("an object");
        let call = tool.prepare(&input).map_err(|error| error.to_string())?;
        call.run(&cx).await.map_err(|error| error.to_string())
    }

    /// A call whose result, or whose failure, holds this.
    async fn expect(&mut self, tool: &str, input: Value, wanted: &str, fails: bool) {
        let got = self.call(tool, input, &CancellationToken::new()).await;
        let outcome = match got {
            Ok(content) if !fails && content.text().contains(wanted) => Ok(()),
            Err(why) if fails && why.contains(wanted) => Ok(()),
            other => Err(format!("expected {wanted:?}: {other:?}")),
        };
        self.check(
            &format!("{tool} {}", if fails { "fails as it should" } else { "answers" }),
            outcome,
        );
    }
}

async fn servers(config: &str, folder: &str) -> bool {
    let mut probe = Probe::new(folder);
    let start = Instant::now();
    probe
        .servers
        .yaml(&std::fs::read_to_string(config).expect("a configuration"), config)
        .expect("servers");
    let ready = |name: &str| {
        let tools = probe.servers.servers().tools();
        tools.iter().any(|tool| tool.spec().name.starts_with(&format!("mcp__{name}__")))
    };
    while !REAL.iter().all(|name| ready(name)) && start.elapsed() < LONG {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("the real ones were ready within {:.1} s", start.elapsed().as_secs_f32());
    probe.servers.servers().settle(LONG).await;
    let names: Vec<String> =
        probe.servers.servers().tools().iter().map(|tool| tool.spec().name).collect();
    println!(
        "{} within {:.1} s\n{}",
        probe.servers.servers().summary(),
        start.elapsed().as_secs_f32(),
        probe.servers.servers().table("")
    );
    for name in REAL {
        let count = names.iter().filter(|tool| tool.starts_with(&format!("mcp__{name}__"))).count();
        let outcome = if count > 0 { Ok(()) } else { Err("no tools".to_owned()) };
        probe.check(&format!("{name} is ready, {count} tools"), outcome);
    }
    for news in probe.servers.servers().take_notices() {
        println!("{news}");
    }
    let file = format!("{folder}/note.txt");
    probe.expect("mcp__everything__echo", json!({"message": "hello"}), "hello", false).await;
    probe.expect("mcp__everything__get-sum", json!({"a": 40, "b": 2}), "42", false).await;
    probe.expect("mcp__everything__get-tiny-image", json!({}), "[image]", false).await;
    probe.expect("mcp__everything__get-resource-links", json!({"count": 2}), "://", false).await;
    probe
        .expect(
            "mcp__everything__get-structured-content",
            json!({"location": "New York"}),
            "temperature",
            false,
        )
        .await;
    probe.expect("mcp__everything__get-sum", json!({"a": "x"}), "", true).await;
    probe
        .expect(
            "mcp__files__write_file",
            json!({"path": file, "content": "kept"}),
            "note.txt",
            false,
        )
        .await;
    probe.expect("mcp__files__read_text_file", json!({"path": file}), "kept", false).await;
    probe
        .expect("mcp__files__read_text_file", json!({"path": "/etc/passwd"}), "denied", true)
        .await;
    probe.expect("mcp__git__git_status", json!({"repo_path": folder}), "note.txt", false).await;
    probe.expect("mcp__git__git_log", json!({"repo_path": "/no/such"}), "", true).await;

    let cancel = CancellationToken::new();
    let slow = probe.call(
        "mcp__everything__trigger-long-running-operation",
        json!({"duration": 60, "steps": 60}),
        &cancel,
    );
    let (slow, ()) = tokio::join!(slow, async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        cancel.cancel();
    });
    let outcome = match slow {
        Err(why) if why.starts_with("interrupted") => Ok(()),
        other => Err(format!("{other:?}")),
    };
    probe.check("a long call is interrupted", outcome);
    probe.expect("mcp__everything__echo", json!({"message": "again"}), "again", false).await;
    probe.servers.servers().close().await;
    !probe.failed
}

async fn conformance(url: &str) -> bool {
    let probe = Probe::new(".");
    let config = ServerConfig {
        name: "suite".to_owned(),
        transport: Transport::Http { url: url.to_owned(), headers: Default::default() },
        start_timeout: LONG,
        timeout: LONG,
    };
    probe.servers.start(vec![Ok(config)]);
    probe.servers.servers().settle(LONG).await;
    let scenario = std::env::var("MCP_CONFORMANCE_SCENARIO").unwrap_or_default();
    let call = match scenario.as_str() {
        "tools_call" => Some(("mcp__suite__add_numbers", json!({"a": 5, "b": 3}))),
        "sse-retry" => Some(("mcp__suite__test_reconnection", json!({}))),
        "elicitation-sep1034-client-defaults" => {
            Some(("mcp__suite__test_client_elicitation_defaults", json!({})))
        }
        _ => None,
    };
    println!(
        "{}\n{:?}",
        probe.servers.servers().table("suite"),
        probe.servers.servers().take_notices()
    );
    let mut good = probe.servers.servers().summary().starts_with("1 of 1");
    if let Some((tool, input)) = call {
        // The suite takes a call that comes before the client's own listening stream for one that was
        // never interrupted: it answers it on that stream, and has nothing to measure.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let answer = probe.call(tool, input, &CancellationToken::new()).await;
        println!("{answer:?}");
        good &= answer.is_ok();
    }
    probe.servers.servers().close().await;
    good
}

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let good = match args[..] {
        ["servers", config, folder] => servers(config, folder).await,
        ["conformance", url] => conformance(url).await,
        _ => false,
    };
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
