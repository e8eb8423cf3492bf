//! Sessions through a real LiteLLM proxy, in front of the strict server in its other dialect.
//!
//! ```text
//! option-b LITELLM CONFIG ROOT
//! ```
//! The program `litellm`, the repository's `litellm_config.yaml`, and the repository: the sessions in it and
//! the harness, whose programs lie beside this one. The file is taken as it is, with more models: `mock`,
//! which LiteLLM answers itself, one a session, behind which its play is spoken, and some that go wrong.
//! One line a check: `ok<TAB>what`, or `FAIL<TAB>what<TAB>why`; run by `cargo xtask interop litellm`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "checks that are run by hand, and fail loudly"
)]

mod proxy;

use std::io::Read;
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::{ExitCode, Output, Stdio};

use harness_testkit::Program;
use serde_json::Value;

use proxy::{MOCK, Proxy, Session, asking, sessions};

const USAGE: &str = "usage: option-b LITELLM CONFIG ROOT";
/// The `master_key` of the configuration.
const KEY: &str = "sk-local";

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [litellm, config, root] = &arguments[..] else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let sessions = sessions(root);
    let proxy = match Proxy::start(litellm, &std::fs::read_to_string(config).unwrap(), &sessions) {
        Ok(proxy) => proxy,
        Err(why) => {
            println!("FAIL\tstart\t{why}");
            return ExitCode::FAILURE;
        }
    };
    let mut checks = Checks::default();
    for session in sessions.iter().filter(|session| session.speaks) {
        checks.add(&format!("{}: by pipe, streamed", session.name), || by_pipe(&proxy, session));
        checks
            .add(&format!("{}: -p, the whole turn", session.name), || in_one_shot(&proxy, session));
    }
    let named = |name: &str| sessions.iter().find(|session| session.name == name).unwrap();
    checks.add("harness: a tool of every kind, in one turn", || {
        everything(&proxy, named("everything"))
    });
    let first = &sessions[0];
    checks.add("mock: a reply that is no stream, though one was asked for", || mock(&proxy, first));
    let refused = [
        ("a wrong key", "mock", "sk-wrong", "refused the key"),
        ("a model that the proxy does not have", "claude-sonnet-5-5", KEY, "set MODEL_ID"),
        ("a provider's key that the proxy lacks", "nebius", KEY, "missing where the gateway runs"),
        ("the same of Anthropic's", "claude", KEY, "missing where the gateway runs"),
        ("a provider that refuses the proxy's key", "locked", KEY, "refused the gateway's key"),
        ("a provider without the Responses API", "responses", KEY, "look at this model's entry"),
    ];
    for (what, model, key, part) in refused {
        checks.add(&format!("{what} is told, at once"), || {
            failing(&proxy, first, model, key, part);
        });
    }
    checks.add("a proxy that stops in mid-stream is told, and the program ends", || {
        stopped(proxy, named("held"));
    });
    checks.add("a proxy that is not there is named", || not_there(first));
    ExitCode::from(u8::from(checks.failed > 0))
}

#[derive(Default)]
struct Checks {
    failed: usize,
}

impl Checks {
    fn add(&mut self, what: &str, check: impl FnOnce()) {
        std::panic::set_hook(Box::new(|_| {})); // a failure becomes a line
        let ended = catch_unwind(AssertUnwindSafe(check));
        drop(std::panic::take_hook());
        let Err(panic) = ended else {
            println!("ok\t{what}");
            return;
        };
        let why = panic.downcast_ref::<String>().map(String::as_str);
        let why = why.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
        println!("FAIL\t{what}\t{}", why.split_whitespace().collect::<Vec<_>>().join(" "));
        self.failed += 1;
    }
}

fn shown(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said} {errors}", output.status);
    for lost in ["I am a script, not a model", "has come to its end", "the play expected"] {
        assert!(!said.contains(lost), "off its script: {said}");
    }
    said
}

/// What the proxy made of the requests was legal, each went on from the one before, and there were some.
fn judged(session: &Session, before: usize) -> usize {
    let wrong = session.server.take_violations();
    assert!(wrong.is_empty(), "{}", wrong.join("; "));
    let asked = session.server.requests();
    assert!(asked.len() > before, "the model was not asked");
    let streams = asked[before..].iter().all(|body| body["stream"] == true);
    assert!(streams, "the proxy did not ask for streams");
    asked.len() - before
}

fn by_pipe(proxy: &Proxy, session: &Session) {
    let before = session.server.requests().len();
    let input = session.play.prompt.join("\n") + "\nq\n";
    let said = shown(&proxy.run(session, &session.name, KEY, &[], &input));
    judged(session, before);
    assert!(said.contains(" >> "), "{said}");
}

fn in_one_shot(proxy: &Proxy, session: &Session) {
    let before = session.server.requests().len();
    let words = ["-p", &session.play.prompt[0], "--output-format", "json"];
    let result = json(&proxy.run(session, &session.name, KEY, &words, ""));
    let asked = judged(session, before);
    assert!(result["num_turns"].as_u64() <= Some(asked as u64), "{result}");
    assert!(!result["result"].as_str().unwrap().is_empty(), "{result}");
    // Counted in the last event alone.
    assert!(result["usage"]["input_tokens"].as_u64() > Some(0), "{result}");
    assert!(result["usage"]["output_tokens"].as_u64() > Some(0), "{result}");
}

fn json(output: &Output) -> Value {
    let said = shown(output);
    serde_json::from_str(&said).unwrap_or_else(|why| panic!("one JSON object: {why}: {said}"))
}

fn mock(proxy: &Proxy, session: &Session) {
    let words = ["-p", "hello", "--output-format", "json"];
    let result = json(&proxy.run(session, "mock", KEY, &words, ""));
    assert_eq!(result["result"], MOCK, "{result}");
}

/// It ends with one line that says what to do, and waits for nothing.
fn failing(proxy: &Proxy, session: &Session, model: &str, key: &str, part: &str) {
    let output = proxy.run(session, model, key, &["-p", "hello"], "");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains(part) && !errors.contains("trying again"), "{errors}");
}

fn everything(proxy: &Proxy, session: &Session) {
    let words = ["--accept-edits", "--allow", "exit 3", "--allow", "echo beside"];
    let before = session.server.requests().len();
    let said = shown(&proxy.run(session, &session.name, KEY, &words, "go\nq\n"));
    judged(session, before);
    let parts = [
        "this needs a person's approval",
        "I looked around.",
        "I am alpha.",
        "exit code 3",
        "no_such_tool",
        "That was all of it.",
    ];
    for part in parts {
        assert!(said.contains(part), "{part}: {said}");
    }
}

fn stopped(mut proxy: Proxy, session: &Session) {
    let program = Program::new(&session.program, &session.yaml);
    let mut command = asking(&program, proxy.port, &session.name, KEY);
    command.args(["-p", "hello"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut errors = child.stderr.take().unwrap();
    let mut said = String::new();
    let mut byte = [0];
    // Behind what it says at its start, the first words of the reply.
    while said.lines().count() <= 3 {
        assert_eq!(errors.read(&mut byte).unwrap(), 1, "it ended: {said}");
        said.push(char::from(byte[0]));
    }
    proxy.child.kill().unwrap();
    errors.read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{said}");
    assert!(said.contains("error: the reply broke off ("), "{said}");
    session.server.open("word");
}

fn not_there(session: &Session) {
    let program = Program::new(&session.program, &session.yaml);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = asking(&program, port, "mock", KEY);
    command.args(["-p", "hello"]);
    let output = Program::pipe(command, "");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    let named = format!("error: cannot reach http://127.0.0.1:{port}/v1/messages (");
    assert!(errors.contains(&named) && errors.contains("that the server runs"), "{errors}");
}
