//! Looks whether everything is there that the harness can use, and says how to mend what is not.

use std::fmt;
use std::time::{Duration, Instant};

use harness_app::{App, Config};
use harness_core::host::process::{ChildCommand, End, Limits};
use harness_core::host::text;
use harness_core::{Agent, Conversation};
use s06_context_compact::Compact;
use s21_mcp_runtime::McpServers;
use s22_production_mailbox::{DEFAULT_URL, NoRedis, probe};
use tokio_util::sync::CancellationToken;

use crate::Settings;

/// So long one check may take.
const LIMIT: Duration = Duration::from_secs(30);

/// What one check found: what is there, or what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub name: &'static str,
    /// How it is.
    pub state: State,
    /// What was found, and how to mend it where that is needed.
    pub found: String,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Well,
    /// Not there; the harness works without it, and `found` says what is missing then.
    Without,
    /// Broken: what needs it will fail.
    Broken,
}

impl Finding {
    fn new(name: &'static str, state: State, found: impl Into<String>) -> Self {
        Self { name, state, found: found.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.state {
            State::Well => "ok",
            State::Without => "--",
            State::Broken => "!!",
        };
        write!(f, "{mark} {:<12} {}", self.name, text::line(&self.found))
    }
}

/// Checks everything, one after the other. The model is really asked for a word, if a key or a server is
/// set: that is the only way to know that key, address and model belong together. It costs a few tokens.
pub async fn doctor(agent: &Agent, config: &Config) -> Vec<Finding> {
    let mut findings = vec![settings(agent, config), permissions(config)];
    findings.extend([hooks(agent, config), memory(agent), model(agent).await]);
    findings.push(shell(agent).await);
    findings.push(git(agent).await);
    findings.push(redis(config).await);
    findings.push(mcp(agent, config).await);
    findings
}

fn settings(agent: &Agent, config: &Config) -> Finding {
    let new = |state, found: String| Finding::new("settings", state, found);
    match Settings::load(agent, config, &[]) {
        Err(error) => new(State::Broken, format!("{error:#}; mend the file or remove it")),
        Ok(Settings { told, .. }) if !told.is_empty() => new(State::Without, told.join("; ")),
        Ok(settings) => match settings.off() {
            off if off.is_empty() => new(State::Well, "every mechanism is on".to_owned()),
            off => new(State::Well, format!("switched off: {off}")),
        },
    }
}

fn permissions(config: &Config) -> Finding {
    match config.rules() {
        Ok(_) => Finding::new("permissions", State::Well, "the rules are understood"),
        Err(error) => Finding::new("permissions", State::Broken, format!("{error:#}")),
    }
}

fn hooks(agent: &Agent, config: &Config) -> Finding {
    match s16_event_bus::join(App::from(agent.clone()), config) {
        Ok(_) => Finding::new("hooks", State::Well, "the files of hooks are understood"),
        Err(error) => Finding::new("hooks", State::Broken, format!("{error:#}; mend the file")),
    }
}

fn memory(agent: &Agent) -> Finding {
    let new = |state, found: String| Finding::new("memory", state, found);
    match Compact::open(agent, None) {
        Ok(_) => new(State::Well, "what the workspace tells agents can be read".to_owned()),
        Err(why) => new(State::Broken, format!("{why}; mend the file, or move it away")),
    }
}

async fn model(agent: &Agent) -> Finding {
    let new = |state, found: String| Finding::new("model", state, found);
    if agent.model_id == "script" {
        let mend = "no key and no server is set, so a script speaks: put ANTHROPIC_API_KEY=… into \
            ~/.config/harness/.env";
        return new(State::Without, mend.to_owned());
    }
    let mut asked = agent.clone();
    (asked.tools, asked.hooks, asked.max_tokens) = (Default::default(), Vec::new(), 64);
    asked.max_steps = 1;
    let mut conversation = Conversation::new();
    conversation.say("Answer with the one word: ready");
    let (start, cancel) = (Instant::now(), CancellationToken::new());
    match tokio::time::timeout(LIMIT, asked.run(&mut conversation, &cancel)).await {
        Ok(Ok(_)) => {
            let took = start.elapsed().as_secs_f32();
            new(State::Well, format!("{} answers, in {took:.1} s", agent.model_id))
        }
        Ok(Err(error)) => new(State::Broken, error.to_string()),
        Err(_) => {
            let why = format!("{} has not answered in {} s", agent.model_id, LIMIT.as_secs());
            new(State::Broken, why + "; is ANTHROPIC_BASE_URL right, and the network there?")
        }
    }
}

async fn shell(agent: &Agent) -> Finding {
    let line = r#"echo "${BASH_VERSION:-no bash}""#;
    match run(ChildCommand::shell(line, &agent.cwd, &agent.secrets)).await {
        Ok(version) if version != "no bash" => {
            Finding::new("shell", State::Well, format!("bash {version}"))
        }
        Ok(_) => {
            let found = "there is no /bin/bash, so commands run in /bin/sh: install bash";
            Finding::new("shell", State::Without, found)
        }
        Err(why) => Finding::new("shell", State::Broken, format!("{why}; commands cannot run")),
    }
}

async fn git(agent: &Agent) -> Finding {
    let new = |state, found: String| Finding::new("git", state, found);
    let child = |args: &[&str]| ChildCommand::program("git", args, &agent.cwd, &agent.secrets);
    let version = match run(child(&["--version"])).await {
        Ok(version) => version,
        Err(why) => {
            return new(State::Without, format!("{why}; without it there are no worktrees"));
        }
    };
    match run(child(&["rev-parse", "--show-toplevel"])).await {
        Ok(top) => {
            let ours = match run(child(&["check-ignore", "-q", ".agent_events.log"])).await {
                Ok(_) => "",
                Err(_) => {
                    "; add `.agent_*` to its .gitignore: what this program keeps there is yours alone"
                }
            };
            new(State::Well, format!("{version}; the repository is {top}{ours}"))
        }
        Err(_) => {
            let mend = "this is no repository, so there are no worktrees: `git init` makes one";
            new(State::Without, format!("{version}; {mend}"))
        }
    }
}

async fn redis(config: &Config) -> Finding {
    let new = |state, found: String| Finding::new("redis", state, found);
    let url = config.setting("REDIS_URL");
    match probe(url.as_deref().unwrap_or(DEFAULT_URL)).await {
        Ok(shown) => new(State::Well, format!("{shown}; a team can be in several processes")),
        Err(NoRedis::Away(why)) => {
            let mend = match url {
                Some(_) => "start it there, or mend REDIS_URL",
                None => "`docker run -p 6379:6379 redis` starts one",
            };
            new(State::Without, format!("{why}; a team's mail stays in one process; {mend}"))
        }
        Err(why) => new(State::Broken, format!("{why}; mend REDIS_URL, or take it away")),
    }
}

async fn mcp(agent: &Agent, config: &Config) -> Finding {
    let new = |state, found: String| Finding::new("mcp", state, found);
    let servers = match McpServers::open(agent, config) {
        Ok(mcp) => mcp.servers().clone(),
        Err(error) => return new(State::Broken, format!("{error:#}")),
    };
    servers.settle(LIMIT).await;
    let state = if servers.all_ready() { State::Well } else { State::Broken };
    let found = [vec![servers.summary()], servers.take_notices()].concat();
    servers.close().await;
    new(state, found.join("; "))
}

/// The first line that a program prints.
async fn run(
    child: Result<ChildCommand, harness_core::host::process::ProcessError>,
) -> Result<String, String> {
    let limits = Limits { timeout: LIMIT, ..Limits::default() };
    let (child, cancel) = (child.map_err(|why| why.to_string())?, CancellationToken::new());
    let ran = child.run(limits, &cancel, |_| {}).await.map_err(|why| why.to_string())?;
    let line = ran.output.lines().next().unwrap_or_default().to_owned();
    match ran.end {
        End::Exited(0) => Ok(line),
        _ => Err(line),
    }
}
