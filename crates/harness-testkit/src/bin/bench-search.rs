//! Measures the built-in `grep` and `glob` on large trees, beside the programs that people would use
//! instead, where they are on PATH. Prints `name<TAB>value<TAB>unit`; run by `cargo xtask bench`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a measurement, run by hand"
)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use harness_core::{Agent, Play, Script, ToolCall, tools};
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
    measure("grep_20000_files", || assert_eq!(ours("grep", json!({"pattern": NEEDLE})), found));
    beside("rg_20000_files", source.path(), "rg", &["-n", NEEDLE, "."]);
    beside("gnu_grep_20000_files", source.path(), "grep", &["-rn", NEEDLE, "."]);

    let pattern = r"fn \w+_(7|9)\(";
    ours("grep", json!({"pattern": pattern}));
    measure("grep_pattern_20000_files", || _ = ours("grep", json!({"pattern": pattern})));
    beside("rg_pattern_20000_files", source.path(), "rg", &["-n", pattern, "."]);
    let extended = r"fn [A-Za-z0-9_]+_(7|9)\(";
    beside("gnu_grep_pattern_20000_files", source.path(), "grep", &["-rnE", extended, "."]);

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
    measure("glob_100000_files", glob);
    beside("rg_files_100000_files", wide.path(), "rg", &["--files", "-g", "*7.rs"]);
    beside("find_100000_files", wide.path(), "find", &[".", "-name", "*7.rs"]);
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
    agent.tools = tools::all();
    agent
}

fn call(tool: &str, input: Value) -> ToolCall {
    let Value::Object(input) = input else { unreachable!("an object") };
    ToolCall { id: "a".into(), name: tool.into(), input, rest: Map::new() }
}

/// The median of seven.
fn measure(name: &str, mut run: impl FnMut()) {
    let mut found: Vec<f64> = (0..7)
        .map(|_| {
            let begun = Instant::now();
            run();
            begun.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    found.sort_by(f64::total_cmp);
    println!("{name}\t{:.1}\tms", found[3]);
}

fn beside(name: &str, root: &Path, program: &str, words: &[&str]) {
    let run = || {
        let mut command = Command::new(program);
        command.args(words).current_dir(root).stdin(Stdio::null()).stderr(Stdio::null());
        command.output()
    };
    match run() {
        Ok(_) => measure(name, || _ = run().unwrap()),
        Err(why) => eprintln!("{name}: {program}: {why}"),
    }
}
