//! The models of the proxy, and the proxy.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use harness_core::Play;
use harness_testkit::{Answers, Fault, Folder, Program, StrictServer, When, scrubbed};

/// What `mock` says.
pub(crate) const MOCK: &str = "A mock was asked, and this is what it says.";
/// What the harness has beside its play: a tool of each kind, calls that fail, another agent.
const EVERYTHING: &str = "
prompt: go
setup: {git: true, files: {one.txt: one}}
scenes:
- system: You are a subagent
  lines: [{text: I looked around.}]
- agent: alpha
  lines: [{text: I am alpha.}]
- lines:
  - text: All at once.
    calls:
    - {tool: todo_write, input: {tasks: [read, write]}}
    - {tool: task_create, input: {description: write it down}}
    - {tool: read, input: {path: one.txt}}
    - {tool: read, input: {path: none.txt}}
    - {tool: mcp__demo__convert, input: {value: 1, from: km, to: m}}
  - calls:
    - {tool: bash_background, input: {command: echo beside}}
    - {tool: spawn_subagent, input: {prompt: look around}}
    - {tool: load_skill, input: {name: code-review}}
    - {tool: send_to_teammate, input: {name: alpha, message: Who are you?}}
  - calls:
    - {tool: write, input: {path: one.txt, content: two}}
    - {tool: bash, input: {command: exit 3}}
    - {tool: no_such_tool, input: {}}
  - text: That was all of it.
";
/// A fresh proxy imports for a while, and looks for new prices.
const PATIENCE: Duration = Duration::from_secs(180);

/// A model of the proxy: the program that asks it, and the server that speaks behind it.
pub(crate) struct Session {
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) yaml: String,
    pub(crate) play: Play,
    pub(crate) server: StrictServer,
    /// It speaks its own play, and nothing goes wrong.
    pub(crate) speaks: bool,
}

impl Session {
    fn new(name: &str, program: &str, yaml: String) -> Self {
        let play = Play::from_yaml(&yaml).unwrap();
        let server = StrictServer::start(Answers::Play(play.clone()));
        let program = std::env::current_exe().unwrap().with_file_name(program);
        assert!(program.is_file(), "{} is not built", program.display());
        Self { name: name.to_owned(), program, yaml, play, server, speaks: name != "everything" }
    }

    /// One whose server does this.
    fn wrong(name: &str, of: &Session, does: impl FnOnce(&StrictServer)) -> Self {
        let program = of.program.file_name().unwrap().to_str().unwrap();
        let session = Self { speaks: false, ..Self::new(name, program, of.yaml.clone()) };
        does(&session.server);
        session
    }
}

/// Every session, the harness, and what goes wrong.
pub(crate) fn sessions(root: &Path) -> Vec<Session> {
    let mut names: Vec<String> = std::fs::read_dir(root.join("sessions"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let play = |path: String| std::fs::read_to_string(root.join(path).join("demo.yaml")).unwrap();
    let own = |name: &String| Session::new(name, name, play(format!("sessions/{name}")));
    let mut all: Vec<Session> = names.iter().map(own).collect();
    all.push(Session::new("harness", "harness", play("crates/harness".to_owned())));
    all.push(Session::new("everything", "harness", EVERYTHING.to_owned()));
    let held = |server: &StrictServer| _ = server.fault(When::Always, Fault::Gate("word".into()));
    let locked = Session::wrong("locked", &all[0], |server| _ = server.require_key("another"));
    let held = Session::wrong("held", &all[0], held);
    all.extend([locked, held]);
    all
}

/// LiteLLM, until it is dropped.
pub(crate) struct Proxy {
    pub(crate) child: Child,
    pub(crate) port: u16,
    folder: Folder,
}

impl Proxy {
    pub(crate) fn start(
        litellm: &Path,
        config: &str,
        sessions: &[Session],
    ) -> Result<Self, String> {
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
        models.push_str(&format!(
            "  - model_name: responses\n    litellm_params:\n      model: openai/responses\n      \
             api_base: {}/v1\n      api_key: none\n",
            sessions[0].server.base_url()
        ));
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
        let child = command.spawn().map_err(|why| format!("{}: {why}", litellm.display()))?;
        let mut proxy = Self { child, port, folder };
        let begun = Instant::now();
        while !proxy.is_alive() {
            let ended = proxy.child.try_wait().unwrap();
            if ended.is_some() || begun.elapsed() > PATIENCE {
                eprintln!("{}", proxy.said());
                return Err("the proxy did not come up, see above".to_owned());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        println!("ok\tthe proxy is up after {:.0} s", begun.elapsed().as_secs_f64());
        Ok(proxy)
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
    pub(crate) fn run(
        &self,
        session: &Session,
        model: &str,
        key: &str,
        words: &[&str],
        input: &str,
    ) -> Output {
        let program = Program::new(&session.program, &session.yaml);
        let mut command = asking(&program, self.port, model, key);
        command.args(words);
        Program::pipe(command, input)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn asking(program: &Program, port: u16, model: &str, key: &str) -> Command {
    let mut command = program.command();
    command.env("ANTHROPIC_BASE_URL", format!("http://127.0.0.1:{port}"));
    command.env("ANTHROPIC_AUTH_TOKEN", key).env("MODEL_ID", model);
    command
}
