//! Measures the built-in `grep` and `glob` on large trees, beside the programs that people would use
//! instead, where they are on PATH. Prints rows for the table of `cargo xtask bench`, which runs it.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a measurement, run by hand")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use harness_core::tool::builtin;
use harness_core::{Agent, Play, Script, ToolCall};
use harness_testkit::Row;
use harness_testkit::measure::milliseconds;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

/// Stands in one file of a hundred.
const NEEDLE: &str = "needle_in_a_haystack";

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let source = tempfile::tempdir().unwrap();
    tree(source.path(), 20_000, 60);
    let agent = agent(source.path());
    let ours = |tool: &str, input: Value| {
        runtime.block_on(async {
            let call = call(tool, input);
            let acted = agent.act(std::slice::from_ref(&call), &CancellationToken::new()).await;
            acted.results[0].content.text().lines().count()
        })
    };
    let found = ours("grep", json!({"pattern": NEEDLE}));
    let needle = || assert_eq!(ours("grep", json!({"pattern": NEEDLE})), found);
    took("grep, a word, 20,000 files", needle).print();
    beside("  rg", source.path(), "rg", &["-n", NEEDLE, "."]);
    beside("  GNU grep", source.path(), "grep", &["-rn", NEEDLE, "."]);

    let pattern = r"fn \w+_(7|9)\(";
    let by_pattern = || _ = ours("grep", json!({"pattern": pattern}));
    by_pattern();
    took("grep, a pattern, 20,000 files", by_pattern).print();
    beside("  rg", source.path(), "rg", &["-n", pattern, "."]);
    let extended = r"fn [A-Za-z0-9_]+_(7|9)\(";
    beside("  GNU grep", source.path(), "grep", &["-rnE", extended, "."]);

    let wide = tempfile::tempdir().unwrap();
    tree(wide.path(), 100_000, 0);
    let agent = self::agent(wide.path());
    let glob = || {
        runtime.block_on(async {
            let call = call("glob", json!({"pattern": "**/*7.rs"}));
            let acted = agent.act(std::slice::from_ref(&call), &CancellationToken::new()).await;
            assert!(acted.results[0].content.text().contains(".rs"));
        });
    };
    glob();
    took("glob, 100,000 files", glob).under(2000.0).print();
    beside("  rg --files", wide.path(), "rg", &["--files", "-g", "*7.rs"]);
    beside("  find", wide.path(), "find", &[".", "-name", "*7.rs"]);
}

/// This many files of so many lines, a hundred in a folder.
fn tree(root: &Path, files: usize, lines: usize) {
    let mut text = String::new();
    for line in 0..lines {
        text.push_str(&format!(
            "    let value_{line} = compute(value_{line}, {line}); // a line\n"
        ));
    }
    for at in 0..files {
        let folder = root.join(format!("part_{}/group_{}", at / 10_000, at / 100 % 100));
        if at % 100 == 0 {
            std::fs::create_dir_all(&folder).unwrap();
        }
        let needle = if at % 100 == 50 { NEEDLE } else { "" };
        let body = match lines {
            0 => String::new(),
            _ => format!("pub fn name_{at}() {{ // {needle}\n{text}}}\n"),
        };
        std::fs::write(folder.join(format!("file_{at}.rs")), body).unwrap();
    }
}

fn agent(root: &Path) -> Agent {
    let mut agent = Agent::new(Arc::new(Script::new(Play::default())), root.to_owned());
    agent.tools = builtin::all();
    agent
}

fn call(tool: &str, input: Value) -> ToolCall {
    let Value::Object(input) = input else { unreachable!("an object") };
    ToolCall { id: "a".into(), name: tool.into(), input, rest: Map::new() }
}

fn took(name: &str, run: impl FnMut()) -> Row {
    Row::new(name, milliseconds(7, run), "ms")
}

/// The same by another program. Those that sort nothing and show everything have less to do, or more.
fn beside(name: &str, root: &Path, program: &str, words: &[&str]) {
    let run = || {
        let mut command = Command::new(program);
        command.args(words).current_dir(root).stdin(Stdio::null()).stderr(Stdio::null());
        command.output()
    };
    match run() {
        Ok(_) => took(name, || _ = run().unwrap()).print(),
        Err(_) => Row::missing(name, format!("no {program} on PATH")).print(),
    }
}
