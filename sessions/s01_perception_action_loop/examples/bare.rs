//! The whole agent in one file, down to the HTTP request, without any crate of this course. Every coding
//! agent has this loop inside. What the course adds is what you will miss here.
//!
//! Run it with a key:
//!
//! ```sh
//! ANTHROPIC_API_KEY=… cargo run --example bare -- "How many lines has the longest file here?"
//! ```
//!
//! Or without one. A scripted server then takes the model's place and checks every request as the real one
//! would. Start the server in one terminal and the agent in another:
//!
//! ```sh
//! cargo run -p harness-testkit --bin strict-server -- \
//!     --play sessions/s01_perception_action_loop/demo.yaml --port 8099
//! ANTHROPIC_BASE_URL=http://127.0.0.1:8099 ANTHROPIC_API_KEY=test cargo run --example bare -- \
//!     "Make a file hello.txt that says hello, and show me that it is there."
//! ```
//!
//! **It runs whatever command the model names, in the current folder, without asking.** Use a folder or a
//! container that you can afford to lose.
//!
//! What you will miss, and the session that brings it:
//!
//! - s01, the library of this session: a second prompt; a history that the API accepts whatever happens; the
//!   exit code of a command; a timeout; a second try when the server is busy; a key that commands cannot read
//! - s02: more tools, with their input checked; errors that the model can act on; results cut to a limit
//! - s03 a plan, s04 subagents, s05 skills
//! - s06: compaction, once the history no longer fits into the model's window
//! - s07 a graph of tasks, s08 commands in the background, s09 to s12 teams of agents
//! - s13: the reply on the screen while it is being written
//! - s14 undo, s15 permissions, s16 hooks, s17 conversations that are kept on disk
//! - s18: several calls of one reply at the same time
//! - s19: interrupting it without losing the conversation
//! - s20 prompt caching, s21 tools from MCP servers
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "on purpose without the harness: it starts processes with no timeout and no permission, and prints"
)]

use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use reqwest::{Client, redirect};
use serde_json::{Value, json};
use tokio::process::Command;

const SYSTEM: &str =
    "You are a coding agent. Use bash to do what you are asked, then say what you did.";

const NOBODY_TO_ASK: &str = "there is no model to ask: set ANTHROPIC_API_KEY; or start `cargo run -p \
    harness-testkit --bin strict-server -- --play sessions/s01_perception_action_loop/demo.yaml --port 8099` \
    in another terminal and set ANTHROPIC_BASE_URL=http://127.0.0.1:8099";

const USAGE: &str = "there is no prompt; usage: cargo run --example bare -- \"Make a file hello.txt that \
    says hello, and show me that it is there.\"";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bare: {why:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let server = Server::from_environment()?;
    let words: Vec<String> = std::env::args().skip(1).collect();
    let prompt = words.join(" ");
    if prompt.trim().is_empty() {
        bail!(USAGE);
    }
    agent(&server, &prompt).await
}

/// The agent: asks the model, runs the commands it calls for, and asks again, until it calls for none.
async fn agent(server: &Server, prompt: &str) -> Result<()> {
    let mut messages = vec![json!({"role": "user", "content": prompt})];
    loop {
        // Think. The model remembers nothing, so it is sent the whole history every time.
        let request = json!({
            "model": server.model,
            "max_tokens": 16_384,
            "system": SYSTEM,
            "tools": [bash_schema()],
            "messages": messages,
        });
        show_request(server, &request);
        let reply = server.ask(&request).await?;
        let blocks = reply["content"].as_array().context("the reply has no content")?;
        messages.push(json!({"role": "assistant", "content": blocks}));
        show_words(blocks);
        match reply["stop_reason"].as_str() {
            Some("tool_use") => {}
            Some("end_turn") => return Ok(()),
            _ => bail!("the reply is incomplete: stop_reason is {}", reply["stop_reason"]),
        }
        // Act. Every call is answered, and all answers go into the very next message.
        let mut results = Vec::new();
        for call in blocks.iter().filter(|block| block["type"] == "tool_use") {
            show_call(call, &messages);
            let output = bash(call["input"]["command"].as_str().unwrap_or_default()).await?;
            let result = json!({
                "type": "tool_result",
                "tool_use_id": call["id"],
                "content": output,
            });
            show_result(&result, &messages);
            results.push(result);
        }
        messages.push(json!({"role": "user", "content": results}));
    }
}

/// The only tool, as the model is told of it.
fn bash_schema() -> Value {
    json!({
        "name": "bash",
        "description": "Runs a command in the current folder and returns what it prints.",
        "input_schema": {
            "type": "object",
            "properties": {"command": {"type": "string"}},
            "required": ["command"],
        },
    })
}

/// Runs a command and returns what it printed, all standard output first.
async fn bash(command: &str) -> Result<String> {
    let mut child = Command::new("bash");
    child.args(["-c", command]).stdin(Stdio::null());
    let output = child.output().await.context("cannot start bash")?;
    let printed = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&printed).into_owned())
}

/// Where the model is, and how it is asked.
struct Server {
    http: Client,
    url: String,
    key: String,
    model: String,
}

impl Server {
    fn from_environment() -> Result<Self> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let key = variable("ANTHROPIC_API_KEY");
        let base = variable("ANTHROPIC_BASE_URL");
        if key.is_none() && base.is_none() {
            bail!(NOBODY_TO_ASK);
        }
        let base = base.unwrap_or_else(|| "https://api.anthropic.com".to_owned());
        let model = variable("MODEL_ID").unwrap_or_else(|| "claude-sonnet-5-5".to_owned());
        // reqwest is built without a TLS provider of its own, and panics if none is installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // A redirect would carry the key to whatever address the answer names.
        let http = Client::builder().redirect(redirect::Policy::none()).build()?;
        let url = format!("{}/v1/messages", base.trim_end_matches('/'));
        Ok(Self { http, url, key: key.unwrap_or_default(), model })
    }

    /// One request, one reply.
    async fn ask(&self, request: &Value) -> Result<Value> {
        let post = self.http.post(&self.url).json(request);
        let post = post.header("x-api-key", &self.key).header("anthropic-version", "2023-06-01");
        let sent = post.send().await.map_err(reqwest::Error::without_url);
        let response = sent.with_context(|| format!("the request to {} failed", self.url))?;
        let status = response.status();
        let body = response.text().await.context("the answer broke off")?;
        let reply: Value = serde_json::from_str(&body)
            .with_context(|| format!("HTTP {status}, and the answer is not JSON"))?;
        if !status.is_success() {
            bail!("HTTP {status}: {}", reply["error"]["message"]);
        }
        Ok(reply)
    }
}

/// Shows the first request as it is sent. Later ones differ only in their messages.
fn show_request(server: &Server, request: &Value) {
    match request["messages"].as_array().map_or(0, Vec::len) {
        1 => println!("POST {}\n{request:#}\n", server.url),
        count => println!("\nPOST {} with {count} messages\n", server.url),
    }
}

fn show_words(blocks: &[Value]) {
    for words in blocks.iter().filter_map(|block| block["text"].as_str()) {
        println!("{words}");
    }
}

/// Shows the calls of the first reply as they came over the wire, later ones as a person reads them.
fn show_call(call: &Value, messages: &[Value]) {
    match messages.len() {
        2 => println!("{call:#}"),
        _ => println!("▸ bash {}", call["input"]["command"].as_str().unwrap_or_default()),
    }
}

fn show_result(result: &Value, messages: &[Value]) {
    match messages.len() {
        2 => println!("{result:#}"),
        _ => println!("{}", result["content"].as_str().unwrap_or_default().trim_end()),
    }
}
