//! Sessions through a real LiteLLM proxy, in front of the strict server in its other dialect.
//!
//! ```text
//! option-b LITELLM CONFIG SESSIONS
//! ```
//! The program `litellm`, the repository's `litellm_config.yaml`, and the folder of the sessions, whose
//! programs lie beside this one. The file is taken as it is, with two kinds of models more: `mock`,
//! which LiteLLM answers itself, and one a session, behind which its play is spoken. One line a check:
//! `ok<TAB>what`, or `FAIL<TAB>what<TAB>why`; run by `cargo xtask interop litellm`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "checks that are run by hand, and fail loudly"
)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

use harness_core::Play;
use harness_testkit::{Answers, Folder, Program, StrictServer, scrubbed};
use serde_json::Value;

const USAGE: &str = "usage: option-b LITELLM CONFIG SESSIONS";
/// What `mock` says.
const MOCK: &str = "A mock was asked, and this is what it says.";
/// The `master_key` of the configuration.
const KEY: &str = "sk-local";
/// A fresh proxy imports for a while, and looks for new prices.
const PATIENCE: Duration = Duration::from_secs(180);

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [litellm, config, folder] = &arguments[..] else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    std::panic::set_hook(Box::new(|_| {})); // each failure becomes a line
    let sessions = sessions(folder);
    let proxy = Proxy::start(litellm, &std::fs::read_to_string(config).unwrap(), &sessions);
    let mut checks = Checks::default();
    for session in &sessions {
        checks.add(&format!("{}: by pipe, streamed", session.name), || by_pipe(&proxy, session));
        checks
            .add(&format!("{}: -p, the whole turn", session.name), || in_one_shot(&proxy, session));
    }
    let first = &sessions[0];
    checks.add("mock: a reply that is no stream, though one was asked for", || mock(&proxy, first));
    checks.add("a wrong key is told as one, at once", || {
        failing(&proxy, first, "mock", "sk-wrong", "refused the key");
    });
    checks.add("a model that the proxy does not have is told, at once", || {
        failing(&proxy, first, "claude-sonnet-5-5", KEY, "set MODEL_ID");
    });
    checks.add("a provider's key that the proxy lacks is told, at once", || {
        failing(&proxy, first, "nebius", KEY, "missing where the gateway runs");
    });
    match checks.failed {
        0 => ExitCode::SUCCESS,
        _ => {
            eprintln!("{}", proxy.said());
            ExitCode::FAILURE
        }
    }
}

#[derive(Default)]
struct Checks {
    failed: usize,
}

impl Checks {
    fn add(&mut self, what: &str, check: impl FnOnce()) {
        let Err(panic) = catch_unwind(AssertUnwindSafe(check)) else {
            println!("ok\t{what}");
            return;
        };
        let why = panic.downcast_ref::<String>().map(String::as_str);
        let why = why.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
        println!("FAIL\t{what}\t{}", why.split_whitespace().collect::<Vec<_>>().join(" "));
        self.failed += 1;
    }
}

/// A session, and the server that speaks its play.
struct Session {
    name: String,
    program: PathBuf,
    yaml: String,
    play: Play,
    server: StrictServer,
}

/// Those whose programs are there.
fn sessions(folder: &Path) -> Vec<Session> {
    let own = std::env::current_exe().unwrap();
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let there = |name: String| {
        let program = own.with_file_name(&name);
        let yaml = std::fs::read_to_string(folder.join(&name).join("demo.yaml")).ok()?;
        let play = Play::from_yaml(&yaml).unwrap();
        let server = StrictServer::start(Answers::Play(play.clone()));
        program.is_file().then_some(Session { name, program, yaml, play, server })
    };
    names.into_iter().filter_map(there).collect()
}

/// LiteLLM, until it is dropped.
struct Proxy {
    child: Child,
    port: u16,
    folder: Folder,
}

impl Proxy {
    fn start(litellm: &Path, config: &str, sessions: &[Session]) -> Self {
        let folder = Folder::new();
        let mut models = format!(
            "model_list:\n  - model_name: mock\n    litellm_params:\n      model: openai/mock\n      \
             api_key: none\n      mock_response: \"{MOCK}\"\n"
        );
        for Session { name, server, .. } in sessions {
            models.push_str(&format!(
                "  - model_name: {name}\n    litellm_params:\n      model: hosted_vllm/{name}\n      \
                 api_base: {}/v1\n      api_key: none\n",
                server.base_url()
            ));
        }
        // So that a play knows which agent speaks.
        let general = "general_settings:\n  forward_client_headers_to_llm_api: true\n";
        let config = config.replacen("model_list:\n", &models, 1).replacen(
            "general_settings:\n",
            general,
            1,
        );
        let config = folder.write("litellm.yaml", &config);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let said = std::fs::File::create(folder.path().join("said")).unwrap();
        let mut command = scrubbed(litellm, folder.path());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().ends_with("_API_KEY") {
                command.env_remove(name);
            }
        }
        command.env("LITELLM_LOCAL_MODEL_COST_MAP", "True").env("NO_PROXY", "127.0.0.1");
        command.current_dir(folder.path()).arg("--config").arg(config);
        command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        command.stdin(Stdio::null()).stderr(said.try_clone().unwrap()).stdout(said);
        let mut proxy = Self { child: command.spawn().unwrap(), port, folder };
        let begun = Instant::now();
        while !proxy.is_alive() {
            let ended = proxy.child.try_wait().unwrap();
            if ended.is_some() || begun.elapsed() > PATIENCE {
                eprintln!("{}", proxy.said());
                println!("FAIL\tstart\tthe proxy did not come up, see above");
                std::process::exit(1);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        println!("ok\tthe proxy is up after {:.0} s", begun.elapsed().as_secs_f64());
        proxy
    }

    fn is_alive(&self) -> bool {
        let ask = || {
            let mut socket = TcpStream::connect(("127.0.0.1", self.port))?;
            socket.set_read_timeout(Some(Duration::from_secs(5)))?;
            socket.write_all(b"GET /health/liveliness HTTP/1.0\r\n\r\n")?;
            let mut answer = String::new();
            socket.read_to_string(&mut answer).map(|_| answer)
        };
        ask().is_ok_and(|answer: String| answer.contains(" 200 "))
    }

    /// The end of what it said.
    fn said(&self) -> String {
        let said = self.folder.read("said");
        let lines: Vec<&str> = said.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// Runs a session as its user does with Option B.
    fn run(
        &self,
        session: &Session,
        model: &str,
        key: &str,
        words: &[&str],
        input: &str,
    ) -> Output {
        let program = Program::new(&session.program, &session.yaml);
        let mut command = program.command();
        command.env("ANTHROPIC_BASE_URL", format!("http://127.0.0.1:{}", self.port));
        command.env("ANTHROPIC_AUTH_TOKEN", key).env("MODEL_ID", model).args(words);
        Program::pipe(command, input)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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
