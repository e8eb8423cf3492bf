//! The built-in tools, called as a model calls them, on real files and with every bad input we know.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use harness_core::host::process::Limits;
use harness_core::tool::builtin;
use harness_core::{
    Agent, Effect, Event, Observer, Play, Script, Secrets, ToolCall, ToolError, ToolResult,
};
use harness_testkit::fifo;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// An agent in a workspace `ws`, beside a file `secret` that must not be reached.
struct Bench {
    top: TempDir,
    agent: Agent,
}

impl Bench {
    fn new() -> Self {
        let top = TempDir::new().unwrap();
        let root = top.path().canonicalize().unwrap().join("ws");
        fs::create_dir(&root).unwrap();
        fs::write(top.path().join("secret"), "secret").unwrap();
        let mut agent = Agent::new(Arc::new(Script::new(Play::default())), root);
        agent.tools = builtin::all();
        Self { top, agent }
    }

    /// With these files.
    fn with(files: &[(&str, &str)]) -> Self {
        let bench = Self::new();
        files.iter().for_each(|(path, content)| bench.write(path, content));
        bench
    }

    fn path(&self, path: &str) -> PathBuf {
        self.agent.cwd.join(path)
    }

    fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn bytes(&self, path: &str) -> Vec<u8> {
        fs::read(self.path(path)).unwrap()
    }

    /// Calls a tool the whole way: input, gate, tool, mask.
    async fn call(&self, name: &str, input: Value) -> ToolResult {
        self.call_until(name, input, &CancellationToken::new()).await
    }

    async fn call_until(&self, name: &str, input: Value, cancel: &CancellationToken) -> ToolResult {
        let Value::Object(input) = input else { panic!("an input is an object") };
        let call = ToolCall { id: "call".into(), name: name.into(), input, rest: Map::new() };
        let mut acted = self.agent.act(&[call], cancel).await;
        assert_eq!(acted.fatal, None);
        acted.results.remove(0)
    }

    /// What a call that works says.
    async fn done(&self, name: &str, input: Value) -> String {
        let result = self.call(name, input).await;
        assert!(!result.is_error, "{name} failed: {}", result.content.text());
        result.content.text().into_owned()
    }

    /// What a call that fails says.
    async fn fails(&self, name: &str, input: Value) -> String {
        let result = self.call(name, input).await;
        assert!(result.is_error, "{name} did not fail: {}", result.content.text());
        result.content.text().into_owned()
    }
}

/// Ten gigabytes that take no place on the disk: these bytes, then a hole.
fn sparse(path: &Path, start: &[u8]) {
    let file = File::create(path).unwrap();
    file.write_all_at(start, 0).unwrap();
    file.set_len(10 << 30).unwrap();
}

/// A call of each tool that names a path, on this path.
fn calls_on(path: &str) -> [(&'static str, Value); 5] {
    [
        ("read", json!({"path": path})),
        ("write", json!({"path": path, "content": "x"})),
        ("edit", json!({"path": path, "old_string": "secret", "new_string": "x"})),
        ("grep", json!({"pattern": "e", "path": path})),
        ("glob", json!({"pattern": format!("{path}/*")})),
    ]
}

// ---- what every tool shares: schema, input, order, names

#[test]
fn each_schema_and_its_struct_agree() {
    let tools = builtin::all();
    for spec in tools.specs().iter() {
        let tool = tools.get(&spec.name).unwrap();
        let refused = |input: &Map<String, Value>| match tool.clone().prepare(input) {
            Ok(_) => String::new(),
            Err(why) => why.to_string(),
        };
        let schema = &spec.input_schema;
        assert_eq!(
            (&schema["type"], &schema["additionalProperties"]),
            (&json!("object"), &json!(false))
        );
        let properties = schema["properties"].as_object().unwrap();
        let required: Vec<&str> = schema["required"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap())
            .collect();
        let kinds = |field: &Value| match &field["type"] {
            Value::Array(kinds) => kinds.iter().map(|k| k.as_str().unwrap().to_owned()).collect(),
            kind => vec![kind.as_str().unwrap().to_owned()],
        };
        let sample = |field: &Value| match kinds(field)[0].as_str() {
            "string" => json!("x"),
            "integer" => json!(1),
            "boolean" => json!(true),
            other => panic!("{}: a field of type {other} has no sample here", spec.name),
        };
        let full: Map<String, Value> =
            properties.iter().map(|(name, field)| (name.clone(), sample(field))).collect();
        let least: Map<String, Value> = full
            .clone()
            .into_iter()
            .filter(|(name, _)| required.contains(&name.as_str()))
            .collect();
        assert_eq!((refused(&full), refused(&least)), (String::new(), String::new()));

        for (name, field) in properties {
            assert!(field["description"].is_string(), "{}.{name} is not described", spec.name);
            let changed = |value: Value| {
                let mut input = full.clone();
                input.insert(name.clone(), value);
                refused(&input)
            };
            let nullable = kinds(field).contains(&"null".to_owned());
            assert_eq!(changed(Value::Null).is_empty(), nullable, "{}.{name} and null", spec.name);
            for wrong in [json!({"a": 1}), json!([[]]), json!(1.5)] {
                let why = changed(wrong);
                assert!(why.contains(&format!("at `{name}`")), "{}.{name}: {why}", spec.name);
            }
        }
        for name in &required {
            let mut input = full.clone();
            input.shift_remove(*name);
            let why = refused(&input);
            assert!(why.contains(&format!("missing field `{name}`")), "{}: {why}", spec.name);
        }
        let mut extra = full.clone();
        extra.insert("surprise".into(), json!(1));
        let why = refused(&extra);
        assert!(why.contains("unknown field `surprise`") && why.contains(required[0]), "{why}");
    }
}

#[test]
fn schemas_are_plain() {
    let specs = serde_json::to_string(builtin::all().specs().as_ref()).unwrap();
    for word in ["takes", "$ref", "$schema", "$defs", "\"title\"", "\"format\"", "anyOf"] {
        assert!(!specs.contains(word), "{word} in {specs}");
    }
}

#[test]
fn the_tools_come_in_the_same_order_every_time() {
    let names = |tools: &harness_core::Toolbox| {
        tools.specs().iter().map(|spec| spec.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&builtin::all()), ["bash", "read", "write", "edit", "grep", "glob"]);
    let first = serde_json::to_string(builtin::all().specs().as_ref()).unwrap();
    assert_eq!(first, serde_json::to_string(builtin::all().specs().as_ref()).unwrap());
}

#[test]
fn a_second_tool_of_one_name_is_not_taken_and_is_recorded() {
    let tools = builtin::all().with(builtin::Read);
    assert_eq!(tools.clashes(), ["read"]);
    assert_eq!(tools.specs().len(), 6);
    assert_eq!(builtin::all().clashes(), [""; 0]);
}

#[tokio::test]
async fn an_unknown_tool_is_answered_with_the_nearest_names() {
    let bench = Bench::new();
    assert_eq!(bench.fails("raed", json!({})).await, "there is no tool `raed`; available: read");
    assert_eq!(bench.fails("Bash", json!({})).await, "there is no tool `Bash`; available: bash");
    assert_eq!(
        bench.fails("fly_to_the_moon", json!({})).await,
        "there is no tool `fly_to_the_moon`; available: bash, read, write, edit, grep, glob"
    );
}

#[tokio::test]
async fn a_bad_input_names_the_tool_and_the_field_and_runs_nothing() {
    let bench = Bench::new();
    let why = bench.fails("bash", json!({"command": null})).await;
    assert_eq!(
        why,
        "the input of `bash` does not fit at `command`: invalid type: null, expected a string"
    );
    let why = bench.fails("bash", json!({})).await;
    assert_eq!(why, "the input of `bash` does not fit: missing field `command`");
    let why = bench.fails("write", json!({"path": "a", "content": "x", "mode": 7})).await;
    assert!(why.contains("unknown field `mode`, expected `path` or `content`"), "{why}");
    assert!(!bench.path("a").exists());
    for start in [json!(-1), json!("3"), json!(1e30), json!(0.5)] {
        let why = bench.fails("read", json!({"path": "a", "start_line": start})).await;
        assert!(why.contains("does not fit at `start_line`"), "{why}");
    }
}

#[tokio::test]
async fn a_deeply_nested_or_a_huge_input_is_refused_in_a_short_sentence() {
    let bench = Bench::new();
    // What the parser of a reply lets through at most.
    let deep = (0..120).fold(json!("x"), |inner, _| json!([inner]));
    let why = bench.fails("read", json!({"path": deep})).await;
    assert!(why.contains("at `path`") && why.len() < 200, "{why}");
    let why = bench.fails("read", json!({"path": "a", "end_line": "9".repeat(1 << 20)})).await;
    assert!(why.contains("at `end_line`") && why.len() < 2_000, "{} bytes", why.len());
}

#[test]
fn effects_say_which_paths_and_which_line() {
    let tools = builtin::all();
    let effect = |name: &str, input: Value| {
        tools.get(name).unwrap().prepare(input.as_object().unwrap()).unwrap().effect()
    };
    let reads = |path: &str| Effect::Reads(vec![path.into()]);
    assert_eq!(effect("bash", json!({"command": "ls | wc"})), Effect::Runs("ls | wc".into()));
    assert_eq!(effect("read", json!({"path": "a"})), reads("a"));
    let write = effect("write", json!({"path": "a", "content": ""}));
    assert_eq!(write, Effect::Writes(vec!["a".into()]));
    let edit = effect("edit", json!({"path": "a", "old_string": "x", "new_string": ""}));
    assert_eq!(edit, Effect::Writes(vec!["a".into()]));
    assert_eq!(effect("grep", json!({"pattern": "x"})), reads("."));
    assert_eq!(effect("grep", json!({"pattern": "x", "path": "src"})), reads("src"));
    assert_eq!(effect("glob", json!({"pattern": "src/**/*.rs"})), reads("src"));
    assert_eq!(effect("glob", json!({"pattern": "/etc/*"})), reads("/etc"));
    assert_eq!(effect("glob", json!({"pattern": "*.rs"})), reads("."));
}

// ---- paths

#[tokio::test]
async fn no_file_tool_leaves_the_workspace() {
    let bench = Bench::new();
    let top = bench.top.path().canonicalize().unwrap();
    symlink("../secret", bench.path("link")).unwrap();
    symlink(&top, bench.path("up")).unwrap();
    fs::create_dir(bench.path("a")).unwrap();
    let absolute = top.join("secret");
    for path in
        ["../secret", "a/../../secret", "link", "up/secret", "~/x", absolute.to_str().unwrap()]
    {
        for (name, input) in calls_on(path) {
            let why = bench.fails(name, input).await;
            assert!(why.contains("is outside the workspace"), "{name} {path}: {why}");
            assert!(!why.contains('\n'), "{name} {path}: {why}");
        }
    }
    assert_eq!(fs::read(top.join("secret")).unwrap(), b"secret");
    // A walk does not follow the links either.
    assert_eq!(bench.done("grep", json!({"pattern": "secret"})).await, "no line matches `secret`");
    assert!(bench.done("glob", json!({"pattern": "**/*"})).await.starts_with("no file matches"));
}

#[tokio::test]
async fn a_link_inside_the_workspace_is_followed_and_stays_a_link() {
    let bench = Bench::with(&[("real/a.txt", "one\n")]);
    symlink("real", bench.path("folder")).unwrap();
    symlink("real/a.txt", bench.path("link")).unwrap();
    assert_eq!(bench.done("read", json!({"path": "folder/a.txt"})).await, "     1\tone\n");
    bench.done("edit", json!({"path": "link", "old_string": "one", "new_string": "two"})).await;
    assert!(fs::symlink_metadata(bench.path("link")).unwrap().is_symlink());
    assert_eq!(bench.bytes("real/a.txt"), b"two\n");
    let found = bench.done("grep", json!({"pattern": "two", "path": "folder"})).await;
    assert_eq!(found, "real/a.txt:1: two");
    assert_eq!(bench.done("glob", json!({"pattern": "folder/*.txt"})).await, "real/a.txt");
}

#[tokio::test]
async fn what_is_no_regular_file_is_named_and_nothing_waits_for_it() {
    let bench = Bench::with(&[("folder/a", "secret")]);
    fifo(&bench.path("pipe"));
    let _socket = std::os::unix::net::UnixListener::bind(bench.path("socket")).unwrap();
    for (path, kind) in [("folder", "directory"), ("pipe", "named pipe"), ("socket", "socket")] {
        for (name, input) in calls_on(path) {
            if name == "glob" || (name == "grep" && path == "folder") {
                continue;
            }
            let why = bench.fails(name, input).await;
            assert!(why.contains(&format!("is a {kind}, not a regular file")), "{name}: {why}");
        }
    }
    // A walk passes them.
    assert_eq!(bench.done("grep", json!({"pattern": "secret"})).await, "folder/a:1: secret");
    assert_eq!(bench.done("glob", json!({"pattern": "**"})).await, "folder/a");
}

#[tokio::test]
async fn a_path_that_is_not_there_or_empty_is_told() {
    let bench = Bench::new();
    let why = bench.fails("read", json!({"path": "none.txt"})).await;
    assert_eq!(why, "\"none.txt\" does not exist; check the spelling, or list the folder");
    assert!(
        bench.fails("grep", json!({"pattern": "x", "path": "none"})).await.contains("not exist")
    );
    assert!(bench.fails("read", json!({"path": ""})).await.contains("directory"));
    assert!(bench.fails("write", json!({"path": "", "content": ""})).await.contains("directory"));
    assert!(bench.fails("read", json!({"path": "a\u{0}b"})).await.contains("cannot"));
}

#[tokio::test]
async fn a_read_only_workspace_is_a_clear_error_and_can_be_read() {
    let mut bench = Bench::with(&[("a.txt", "one\n")]);
    let mode = |mode| fs::set_permissions(&bench.agent.cwd, fs::Permissions::from_mode(mode));
    mode(0o555).unwrap();
    let is_stopped = File::create(bench.path("probe")).is_err();
    if !is_stopped {
        // Root is stopped by no mode, but by the kernel's own folders.
        mode(0o755).unwrap();
        bench.agent.cwd = "/sys/kernel".into();
    }
    let why = bench.fails("write", json!({"path": "new.txt", "content": "x"})).await;
    assert!(why.starts_with("cannot write \"new.txt\": "), "{why}");
    assert!(!why.contains('\n'), "{why}");
    let long = bench.done("bash", json!({"command": "seq 20000"})).await;
    assert!(long.contains("[the whole output could not be kept: "), "{long}");
    if is_stopped {
        assert_eq!(bench.done("read", json!({"path": "a.txt"})).await, "     1\tone\n");
        fs::set_permissions(&bench.agent.cwd, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[tokio::test]
async fn a_workspace_that_is_gone_is_told_by_every_tool() {
    let bench = Bench::new();
    fs::remove_dir(&bench.agent.cwd).unwrap();
    for (name, input) in calls_on("a").into_iter().chain([("bash", json!({"command": "true"}))]) {
        let why = bench.fails(name, input).await;
        assert!(why.contains("ws"), "{name}: {why}");
    }
}

// ---- bash

#[test]
fn a_command_is_stopped_after_two_minutes_unless_told_otherwise() {
    assert_eq!(Limits::default().timeout, Duration::from_secs(120));
    let about = &builtin::all().specs()[0].description.clone();
    assert!(about.contains("120 seconds"), "{about}");
}

#[tokio::test]
async fn bash_returns_both_streams_and_the_exit_code() {
    let bench = Bench::new();
    let run = |line: &str| json!({"command": line});
    assert_eq!(bench.done("bash", run("echo out; echo err >&2")).await, "out\nerr");
    assert_eq!(bench.done("bash", run("true")).await, "(no output)");
    assert_eq!(bench.fails("bash", run("exit 3")).await, "(no output)\n[exit code 3]");
    assert_eq!(bench.fails("bash", run("echo no; false")).await, "no\n[exit code 1]");
    assert_eq!(
        bench.fails("bash", run("kill -SEGV $$")).await,
        "(no output)\n[killed by signal 11]"
    );
    assert!(bench.fails("bash", run("no_such_program")).await.contains("[exit code 127]"));
    assert!(bench.fails("bash", run("a\u{0}b")).await.contains("NUL"));
    assert!(bench.fails("bash", run("if true")).await.contains("syntax error"));
    assert_eq!(bench.done("bash", run("-n 2>/dev/null; echo -n; echo on")).await, "on");
    assert_eq!(bench.done("bash", run("")).await, "(no output)");
}

#[tokio::test]
async fn bash_runs_in_the_workspace_without_input_and_without_our_key() {
    let mut bench = Bench::new();
    bench.agent.secrets = Secrets::new(["HOME".to_owned()], []);
    let line = "pwd; cat; echo ${HOME-unset}";
    let said = bench.done("bash", json!({"command": line})).await;
    assert_eq!(said, format!("{}\nunset", bench.agent.cwd.display()));
}

#[tokio::test]
async fn bash_survives_output_that_is_no_text() {
    let bench = Bench::new();
    let line = r"printf 'a\377b\0c\033[31mred\033[0m\r\nend'";
    assert_eq!(bench.done("bash", json!({"command": line})).await, "a\u{fffd}bcred\nend");
}

#[tokio::test]
async fn long_output_keeps_its_ends_and_all_of_it_is_in_a_file_that_git_ignores() {
    let bench = Bench::new();
    let line = "git init -q; seq 20000; echo the last line";
    let said = bench.done("bash", json!({"command": line})).await;
    assert!(said.starts_with("1\n2\n3\n"), "{said}");
    assert!(said.contains(" left out …]"), "{said}");
    let (text, note) = said.trim_end().rsplit_once('\n').unwrap();
    assert!(text.ends_with("\n20000\nthe last line"), "{text}");
    assert!(said.len() < 31_000, "{} bytes", said.len());
    let total = 108_894 + "the last line\n".len();
    let start = format!("[all {total} bytes are in .harness/output/bash-");
    assert!(note.starts_with(&start), "{note}");
    let file = note.trim_end_matches(']').rsplit(' ').next().unwrap();
    assert_eq!(bench.bytes(file).len(), total);
    let page = bench.done("read", json!({"path": file, "start_line": 19_999})).await;
    assert_eq!(page, " 19999\t19999\n 20000\t20000\n 20001\tthe last line\n");
    assert_eq!(
        bench.done("bash", json!({"command": "git status --porcelain -uall"})).await,
        "(no output)"
    );
}

#[tokio::test]
async fn a_command_that_adds_everything_to_git_does_not_add_its_own_output() {
    let bench = Bench::new();
    let line = "git init -q; seq 20000; until [ -e .harness/output ]; do :; done; git add --all; git ls-files >list";
    bench.done("bash", json!({"command": line})).await;
    assert_eq!(String::from_utf8(bench.bytes("list")).unwrap(), "");
}

#[tokio::test]
async fn a_link_in_the_place_of_the_state_folder_gets_no_output() {
    let bench = Bench::new();
    fs::create_dir(bench.top.path().join("elsewhere")).unwrap();
    symlink("../elsewhere", bench.path(".harness")).unwrap();
    let said = bench.done("bash", json!({"command": "seq 20000"})).await;
    assert!(said.contains("could not be kept"), "{said}");
    assert_eq!(fs::read_dir(bench.top.path().join("elsewhere")).unwrap().count(), 0);
}

#[tokio::test]
async fn an_interrupted_command_says_what_it_said_so_far() {
    /// Interrupts at the first sign of life.
    struct Stop(CancellationToken);
    impl Observer for Stop {
        fn on(&self, _: &str, event: &Event) {
            if matches!(event, Event::ToolProgress { text, .. } if text.contains("ready")) {
                self.0.cancel();
            }
        }
    }
    let (mut bench, cancel) = (Bench::new(), CancellationToken::new());
    bench.agent.observers.add(Arc::new(Stop(cancel.clone())));
    let input = json!({"command": "echo ready; tail -f /dev/null"});
    let result = bench.call_until("bash", input, &cancel).await;
    let said = result.content.text();
    assert!(result.is_error && said.starts_with("ready\n[interrupted after "), "{said}");
}

// ---- secrets

#[tokio::test]
async fn a_known_secret_is_in_no_result_and_in_no_progress() {
    /// Keeps the progress.
    #[derive(Default)]
    struct Heard(std::sync::Mutex<String>);
    impl Observer for Heard {
        fn on(&self, _: &str, event: &Event) {
            if let Event::ToolProgress { text, .. } = event {
                self.0.lock().unwrap().push_str(text);
            }
        }
    }
    let mut bench = Bench::with(&[("keys.txt", "the key is hunter2hunter2\n")]);
    let heard = Arc::new(Heard::default());
    bench.agent.secrets = Secrets::new([], ["hunter2hunter2".to_owned()]);
    bench.agent.observers.add(heard.clone());
    for (name, input) in [
        ("read", json!({"path": "keys.txt"})),
        ("grep", json!({"pattern": "key"})),
        // In two writes, so that it arrives in two pieces.
        ("bash", json!({"command": "cat keys.txt; printf hunter2; printf 'hunter2\n'"})),
        ("bash", json!({"command": "cat keys.txt; exit 1"})),
        ("edit", json!({"path": "keys.txt", "old_string": "the", "new_string": "my"})),
    ] {
        let text = bench.call(name, input).await.content.text().into_owned();
        assert!(text.contains("key is [secret]") && !text.contains("hunter2"), "{name}: {text}");
    }
    let heard = heard.0.lock().unwrap();
    assert!(heard.contains("[secret]") && !heard.contains("hunter2"), "{heard}");
    assert_eq!(bench.bytes("keys.txt"), b"my key is hunter2hunter2\n");
}

// ---- read

#[tokio::test]
async fn read_numbers_lines_and_takes_a_range() {
    let bench = Bench::with(&[("a.txt", "one\ntwo\n\nfour"), ("empty", ""), ("line", "\n")]);
    let whole = "     1\tone\n     2\ttwo\n     3\t\n     4\tfour\n";
    let read = |range: Value| {
        let mut input = json!({"path": "a.txt"});
        input.as_object_mut().unwrap().extend(range.as_object().unwrap().clone());
        input
    };
    assert_eq!(bench.done("read", read(json!({}))).await, whole);
    let part = bench.done("read", read(json!({"start_line": 2, "end_line": 3}))).await;
    assert_eq!(part, "     2\ttwo\n     3\t\n");
    assert_eq!(bench.done("read", read(json!({"end_line": 99}))).await, whole);
    let past = bench.done("read", read(json!({"start_line": 99}))).await;
    assert_eq!(past, "[the file ends at line 4]");
    for range in
        [json!({"start_line": 0}), json!({"start_line": 3, "end_line": 2}), json!({"end_line": 0})]
    {
        let why = bench.fails("read", read(range)).await;
        assert!(why.contains("lines count from 1"), "{why}");
    }
    assert_eq!(bench.done("read", json!({"path": "empty"})).await, "[the file is empty]");
    assert_eq!(bench.done("read", json!({"path": "line"})).await, "     1\t\n");
}

#[tokio::test]
async fn read_says_where_a_long_file_goes_on_and_how_much_there_is() {
    let bench = Bench::new();
    let lines: String = (1..=5_000).map(|n| format!("line {n:04}\n")).collect();
    bench.write("long.txt", lines);
    let page = bench.done("read", json!({"path": "long.txt"})).await;
    assert_eq!(page.lines().count(), 2_001);
    let told = "[the file goes on for 30000 bytes; read it from start_line 2001]\n";
    assert!(page.ends_with(&format!("  2000\tline 2000\n{told}")), "{}", &page[page.len() - 200..]);
    let last = bench.done("read", json!({"path": "long.txt", "start_line": 4_001})).await;
    assert!(last.ends_with("  5000\tline 5000\n"), "nothing is left out here");
    let some = bench.done("read", json!({"path": "long.txt", "end_line": 2})).await;
    assert_eq!(some, "     1\tline 0001\n     2\tline 0002\n");
}

#[tokio::test]
async fn read_cuts_long_lines_and_stays_in_bounds() {
    let bench = Bench::new();
    bench.write("wide.txt", format!("{}\nafter\n", "é".repeat(1 << 20)));
    let page = bench.done("read", json!({"path": "wide.txt"})).await;
    assert!(page.contains(" [… the line goes on]\n     2\tafter\n"), "{page}");
    assert!(page.len() < 2_200 && !page.contains("not all UTF-8"), "{} bytes", page.len());
    bench.write("many.txt", format!("{}\n", "x".repeat(1_900)).repeat(1_000));
    let page = bench.done("read", json!({"path": "many.txt"})).await;
    assert!(
        page.len() < 103_000 && page.contains("read it from start_line 5"),
        "{} bytes",
        page.len()
    );
}

#[tokio::test]
async fn read_tells_of_line_ends_marks_and_odd_bytes() {
    let bench = Bench::new();
    bench.write("crlf.txt", "\u{feff}one\r\ntwo\r\n");
    let page = bench.done("read", json!({"path": "crlf.txt"})).await;
    assert_eq!(page, "     1\tone\n     2\ttwo\n[the lines of this file end with CR LF]\n");
    bench.write("latin.txt", b"caf\xe9\n");
    let page = bench.done("read", json!({"path": "latin.txt"})).await;
    assert_eq!(
        page,
        "     1\tcaf\u{fffd}\n[this file is not all UTF-8; what is not is shown as \u{fffd}]\n"
    );
    bench.write("picture.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR");
    let why = bench.fails("read", json!({"path": "picture.png"})).await;
    assert!(why.contains("picture.png") && why.contains("a binary file of 16 bytes"), "{why}");
}

#[tokio::test]
async fn ten_gigabytes_stop_no_tool() {
    let bench = Bench::new();
    sparse(&bench.path("hole"), b"");
    sparse(&bench.path("text"), "some words\n".repeat(1_000).as_bytes());
    let why = bench.fails("read", json!({"path": "hole"})).await;
    assert!(why.contains("a binary file of 10737418240 bytes"), "{why}");
    let page = bench.done("read", json!({"path": "text", "start_line": 999})).await;
    assert!(
        page.starts_with("   999\tsome words\n  1000\tsome words\n[from line 1001 on"),
        "{page}"
    );
    let why = bench.fails("read", json!({"path": "text", "start_line": 5_000})).await;
    assert!(why.contains("binary from line 1001 on"), "{why}");
    let edit = json!({"path": "text", "old_string": "some", "new_string": "x"});
    let why = bench.fails("edit", edit).await;
    assert!(why.contains("too large to edit (10737418240 bytes)"), "{why}");
    let found = bench.done("grep", json!({"pattern": "nowhere"})).await;
    assert_eq!(found, "no line matches `nowhere`");
    assert_eq!(bench.done("glob", json!({"pattern": "*"})).await, "hole\ntext");
}

// ---- write

#[tokio::test]
async fn write_makes_folders_and_replaces_whole_files_with_their_mode() {
    let bench = Bench::new();
    let said = bench.done("write", json!({"path": "new/folder/a.sh", "content": "echo é\n"})).await;
    assert_eq!(said, "made new/folder/a.sh (8 bytes)");
    let file = bench.path("new/folder/a.sh");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o751)).unwrap();
    let said = bench.done("write", json!({"path": "new/./folder/a.sh", "content": ""})).await;
    assert_eq!(said, "replaced new/folder/a.sh (0 bytes)");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o751);
    assert_eq!(fs::read_dir(bench.path("new/folder")).unwrap().count(), 1);
    let content = "\u{feff}a\r\nb\0\n\u{1b}[31m";
    bench.done("write", json!({"path": "odd", "content": content})).await;
    assert_eq!(bench.bytes("odd"), content.as_bytes());
    let why = bench.fails("write", json!({"path": "odd/x", "content": ""})).await;
    assert!(why.contains("\"odd/x\"") && !why.contains('\n'), "{why}");
}

// ---- edit

#[tokio::test]
async fn edit_changes_the_one_place_and_shows_it() {
    let bench = Bench::with(&[("a.txt", "one\ntwo\nthree\nfour\nfive\nsix")]);
    fs::set_permissions(bench.path("a.txt"), fs::Permissions::from_mode(0o640)).unwrap();
    let edit = json!({"path": "a.txt", "old_string": "four\nfive", "new_string": "4\n5"});
    let said = bench.done("edit", edit).await;
    let shown = "     2\ttwo\n     3\tthree\n     4\t4\n     5\t5\n     6\tsix\n";
    assert_eq!(said, format!("changed a.txt once:\n{shown}"));
    assert_eq!(bench.bytes("a.txt"), b"one\ntwo\nthree\n4\n5\nsix", "no line end is added");
    assert_eq!(fs::metadata(bench.path("a.txt")).unwrap().permissions().mode() & 0o777, 0o640);
    bench.done("edit", json!({"path": "a.txt", "old_string": "4\n5\nsix", "new_string": ""})).await;
    assert_eq!(bench.bytes("a.txt"), b"one\ntwo\nthree\n");
}

#[tokio::test]
async fn edit_wants_one_place_or_replace_all() {
    let bench = Bench::with(&[("a.txt", "x = 1\ny = 1\nz = 1\n")]);
    let edit = |old: &str, new: &str, all: bool| json!({"path": "a.txt", "old_string": old, "new_string": new, "replace_all": all});
    let why = bench.fails("edit", edit("1", "2", false)).await;
    assert_eq!(
        why,
        "old_string occurs 3 times (lines 1, 2, 3); add context so that it occurs once, or set replace_all"
    );
    assert_eq!(bench.bytes("a.txt"), b"x = 1\ny = 1\nz = 1\n");
    bench.done("edit", edit("y = 1", "y = 2", false)).await;
    let said = bench.done("edit", edit("1", "-1", true)).await;
    assert!(said.starts_with("changed a.txt 2 times:\n     1\tx = -1\n"), "{said}");
    assert_eq!(bench.bytes("a.txt"), b"x = -1\ny = 2\nz = -1\n");
    let why = bench.fails("edit", edit("", "x", false)).await;
    assert_eq!(why, "old_string is empty; use write to make a file");
    let why = bench.fails("edit", edit("z", "z", false)).await;
    assert_eq!(why, "old_string and new_string are the same");
}

#[tokio::test]
async fn edit_hints_at_what_is_almost_there() {
    let bench = Bench::with(&[("a.rs", "\nfn main() {\n\tlet x = 1;\n}\n")]);
    let edit = |old: &str| json!({"path": "a.rs", "old_string": old, "new_string": "y"});
    let why = bench.fails("edit", edit("fn main() {\n    let x = 1;\n}")).await;
    assert!(why.contains("line 2 looks like its beginning: compare white space"), "{why}");
    let why = bench.fails("edit", edit("\n  let x = 1;")).await;
    assert!(why.contains("line 3 looks like its beginning"), "{why}");
    let why = bench.fails("edit", edit("     2\tfn main() {\n     3\t\tlet x = 1;")).await;
    assert!(why.contains("leave out the line numbers"), "{why}");
    let why = bench.fails("edit", edit("fn other()")).await;
    assert_eq!(why, "old_string is not in the file; read the file and copy the text exactly");
    let why = bench.fails("edit", edit("  \n \n")).await;
    assert_eq!(why, "old_string is not in the file; read the file and copy the text exactly");
}

#[tokio::test]
async fn edit_keeps_line_ends_and_byte_order_mark() {
    let bench = Bench::new();
    let crlf = "\u{feff}one\r\ntwo\r\nthree\r\n";
    let edit = |old: &str, new: &str| json!({"path": "a", "old_string": old, "new_string": new});
    for (old, new, expected) in [
        ("one\ntwo", "1\n2", "\u{feff}1\r\n2\r\nthree\r\n"),
        ("two", "2\n2.5", "\u{feff}one\r\n2\r\n2.5\r\nthree\r\n"),
        ("two\r\n", "", "\u{feff}one\r\nthree\r\n"),
        ("one\r\ntwo\r\n", "one\ntwo\n", "\u{feff}one\ntwo\nthree\r\n"),
    ] {
        bench.write("a", crlf);
        bench.done("edit", edit(old, new)).await;
        assert_eq!(String::from_utf8(bench.bytes("a")).unwrap(), expected, "{old:?}");
    }
    // Mixed: what is matched as written is replaced as written.
    bench.write("a", "one\ntwo\nthree\r\nfour");
    bench.done("edit", edit("one\ntwo", "1\n2\n3")).await;
    assert_eq!(bench.bytes("a"), b"1\n2\n3\nthree\r\nfour");
}

#[tokio::test]
async fn edit_refuses_what_is_no_text_or_would_not_fit() {
    let bench = Bench::new();
    let edit = |new: String| json!({"path": "a", "old_string": "a", "new_string": new, "replace_all": true});
    bench.write("a", b"a\xff\xfe");
    let why = bench.fails("edit", edit("b".into())).await;
    assert!(why.contains("is not UTF-8 text"), "{why}");
    bench.write("a", "a".repeat(1 << 20));
    let why = bench.fails("edit", edit("b".repeat(1 << 20))).await;
    assert!(why.contains("would have 1099511627776 bytes"), "{why}");
    assert_eq!(bench.bytes("a").len(), 1 << 20);
    // A file of one long line: the answer shows a part of it.
    bench.write("a", format!("{}!", "x".repeat(1 << 20)));
    let said = bench.done("edit", json!({"path": "a", "old_string": "!", "new_string": "?"})).await;
    assert!(said.len() < 2_000, "{} bytes", said.len());
}

// ---- grep

#[tokio::test]
async fn grep_names_path_line_and_text() {
    let bench = Bench::with(&[
        ("a.txt", "one\ntwo\r\nthree"),
        ("sub/b.txt", "two too\n"),
        ("sub/deep/c.txt", "-two\n"),
    ]);
    let all = "a.txt:2: two\nsub/b.txt:1: two too\nsub/deep/c.txt:1: -two";
    assert_eq!(bench.done("grep", json!({"pattern": "two"})).await, all);
    let found = bench.done("grep", json!({"pattern": "^t", "path": "a.txt"})).await;
    assert_eq!(found, "a.txt:2: two\na.txt:3: three");
    let flat = json!({"pattern": "two", "path": "sub", "recursive": false});
    assert_eq!(bench.done("grep", flat).await, "sub/b.txt:1: two too");
    for pattern in ["-two", "--files", "-e"] {
        let found = bench.done("grep", json!({"pattern": pattern})).await;
        let expected = match pattern {
            "-two" => "sub/deep/c.txt:1: -two".to_owned(),
            other => format!("no line matches `{other}`"),
        };
        assert_eq!(found, expected);
    }
    let why = bench.fails("grep", json!({"pattern": "(unclosed"})).await;
    assert!(why.starts_with("cannot use that pattern: "), "{why}");
}

#[tokio::test]
async fn grep_leaves_out_what_is_ignored_hidden_or_binary() {
    let bench = Bench::with(&[
        (".gitignore", "/built\n*.log\n"),
        ("built/a", "word"),
        ("x.log", "word"),
        (".hidden", "word"),
        (".git/config", "word"),
        ("sub/.gitignore", "own"),
        ("sub/own", "word"),
        ("sub/kept", "word"),
        ("binary", "word\n\0word\n"),
    ]);
    bench.write("latin", b"w\xf6rd word\n");
    let found = bench.done("grep", json!({"pattern": "word", "path": "sub"})).await;
    assert_eq!(found, "sub/kept:1: word");
    let found = bench.done("grep", json!({"pattern": "word"})).await;
    assert_eq!(found, "latin:1: w\u{fffd}rd word\nsub/kept:1: word");
    assert_eq!(bench.done("glob", json!({"pattern": "**/*"})).await, "binary\nlatin\nsub/kept");
    assert_eq!(bench.done("glob", json!({"pattern": "sub/*"})).await, "sub/kept");
    // A name that is given is searched all the same.
    assert_eq!(
        bench.done("grep", json!({"pattern": "word", "path": ".hidden"})).await,
        ".hidden:1: word"
    );
    assert_eq!(
        bench.done("grep", json!({"pattern": "word", "path": "x.log"})).await,
        "x.log:1: word"
    );
}

#[tokio::test]
async fn grep_counts_what_it_leaves_out() {
    let bench = Bench::new();
    for file in 0..10 {
        bench.write(&format!("{file}.txt"), "a match\n".repeat(100));
    }
    let found = bench.done("grep", json!({"pattern": "match"})).await;
    assert_eq!(found.lines().count(), 251);
    assert!(found.ends_with("\n[750 more matches are left out; 10 files match in all]"), "{found}");
}

#[tokio::test]
async fn grep_answers_in_the_order_of_names_however_many_cores_search() {
    let bench = Bench::new();
    for file in 0..2500 {
        let line = if file % 25 == 7 { "a match\n" } else { "nothing\n" };
        bench.write(&format!("{}/{file:04}.txt", file / 100), line);
    }
    let found = bench.done("grep", json!({"pattern": "match"})).await;
    let mut sorted: Vec<_> = found.lines().collect();
    sorted.sort_unstable();
    assert_eq!(found.lines().collect::<Vec<_>>(), sorted);
    assert_eq!(sorted.len(), 100);
}

#[tokio::test]
async fn grep_shows_the_match_in_a_long_line() {
    let bench = Bench::new();
    bench.write("min.js", format!("{}needle{}\n", "é".repeat(100_000), "y".repeat(100_000)));
    let found = bench.done("grep", json!({"pattern": "needle"})).await;
    assert!(found.contains("éneedley") && found.lines().count() == 1, "{found}");
    assert!(found.len() < 1_000, "{} bytes", found.len());
}

// ---- glob

#[tokio::test]
async fn glob_matches_paths_from_the_workspace_on() {
    let bench = Bench::with(&[
        ("a.rs", ""),
        ("src/b.rs", ""),
        ("src/deep/c.rs", ""),
        ("src/[odd]/d.rs", ""),
        ("-dash", ""),
    ]);
    let glob = async |pattern: &str| bench.done("glob", json!({"pattern": pattern})).await;
    assert_eq!(glob("*.rs").await, "a.rs");
    assert_eq!(glob("**/*.rs").await, "a.rs\nsrc/[odd]/d.rs\nsrc/b.rs\nsrc/deep/c.rs");
    assert_eq!(glob("src/*.rs").await, "src/b.rs");
    assert_eq!(glob("./src/**/c.rs").await, "src/deep/c.rs");
    assert_eq!(glob("src/deep/../*.rs").await, "src/b.rs");
    assert_eq!(glob("{a,src/b}.rs").await, "a.rs\nsrc/b.rs");
    assert_eq!(glob("a.rs").await, "a.rs");
    assert_eq!(glob("-*").await, "-dash");
    let absolute = bench.path("src/*.rs");
    assert_eq!(glob(absolute.to_str().unwrap()).await, "src/b.rs");
    assert_eq!(glob("*.py").await, "no file matches `*.py`; `**/` looks into folders too");
    assert_eq!(glob("**/*.py").await, "no file matches `**/*.py`");
    let why = bench.fails("glob", json!({"pattern": "src/{a"})).await;
    assert!(why.starts_with("cannot use that pattern: "), "{why}");
}

#[tokio::test]
async fn glob_of_a_hundred_thousand_files_is_bounded() {
    let bench = Bench::new();
    for folder in 0..10 {
        let seed = bench.path(&format!("{folder}/00000.txt"));
        bench.write(&format!("{folder}/00000.txt"), "");
        // Links are made faster than files; no file may have much more than these.
        for file in 1..10_000 {
            fs::hard_link(&seed, bench.path(&format!("{folder}/{file:05}.txt"))).unwrap();
        }
    }
    let list = bench.done("glob", json!({"pattern": "**/*.txt"})).await;
    assert_eq!(list.lines().count(), 1_001);
    assert!(list.starts_with("0/00000.txt\n0/00001.txt\n"), "in the order of names");
    assert!(
        list.ends_with("\n[99000 more files are left out; use a narrower pattern]"),
        "{}",
        &list[list.len() - 200..]
    );
}

#[tokio::test]
async fn a_search_that_is_interrupted_ends() {
    let bench = Bench::with(&[("a", "word")]);
    let cancel = CancellationToken::new();
    cancel.cancel();
    let tool = bench.agent.tools.get("grep").unwrap();
    let cx = bench.agent.context("call", &cancel);
    let input = json!({"pattern": "word"}).as_object().unwrap().clone();
    let ended = tool.prepare(&input).unwrap().run(&cx).await;
    assert_eq!(ended, Err(ToolError::Failed("interrupted".to_owned())));
}
