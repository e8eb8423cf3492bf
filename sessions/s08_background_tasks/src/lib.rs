#![doc = include_str!("../README.md")]
//!
//! Next page: [s09 · Agent teams](../s09_agent_teams/index.html)

mod job;
mod jobs;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use harness_app::{App, Lesson};
use harness_core::host::workspace::WorkspaceError;
use harness_core::{
    Agent, AgentError, Content, Conversation, Effect, Event, Hook, HookContext, Mechanism, NoInput,
    Tool, ToolContext, ToolError,
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::timeout;

pub use jobs::{JobNews, Jobs};

/// What the terminal is told of this session.
pub const LESSON: Lesson = Lesson {
    name: env!("CARGO_PKG_NAME"),
    motto: "Start it, go on, and hear of it.",
    play: include_str!("../demo.yaml"),
};

/// The mechanism: four tools over the jobs of a program, and a hook that tells the news.
#[derive(Clone, Debug)]
pub struct Background {
    /// What runs, and what has run.
    pub jobs: Jobs,
    /// How long a turn waits for news before it ends, where nobody can be woken later. Ten minutes, unless
    /// set.
    pub news_timeout: Duration,
    attended: bool,
    owner: String,
}

impl Mechanism for Background {
    fn install(self, agent: &mut Agent) {
        agent.system.push(SYSTEM.to_owned());
        agent.tools.add(BashBackground(self.jobs.clone()));
        agent.tools.add(BackgroundList(self.jobs.clone()));
        agent.tools.add(BackgroundOutput(self.jobs.clone()));
        agent.tools.add(BackgroundStop(self.jobs.clone()));
        agent.hooks.push(Arc::new(self));
    }
}

const SYSTEM: &str = "Run what takes long or never ends (servers, watchers, long tests) with bash_background \
    and go on with other work. You are told when a task ends, so do not look again and again.";

impl Background {
    /// Takes stock of an agent's workspace; the lines are for the user. `attended`: somebody sits at a
    /// prompt line that news can wake; without, a turn waits for what it has begun.
    ///
    /// # Errors
    /// The workspace cannot be used.
    pub async fn open(
        agent: &Agent,
        attended: bool,
    ) -> Result<(Self, Vec<String>), WorkspaceError> {
        let (jobs, lines) = Jobs::open(&agent.cwd, "background", "bg").await?;
        let background = Self {
            jobs,
            news_timeout: Duration::from_secs(600),
            attended,
            owner: agent.name.clone(),
        };
        Ok((background, lines))
    }

    /// Joins the agent and the terminal: news wakes the prompt line, and when the program leaves, nothing of
    /// what was begun is left.
    pub fn join(self, app: App) -> App {
        let wake = self.jobs.wake.clone();
        let listed = self.jobs.clone();
        let closed = self.jobs.clone();
        let owner = self.owner.clone();
        app.with(self)
            .wake(wake)
            .quick("background", "lists the background tasks", move |_, _| Ok(list(&listed)))
            .at_exit(move || async move { closed.close(&owner).await })
    }

    /// What the model does not know yet, once.
    fn news(&self, agent: &Agent) -> Option<String> {
        let mut lines = Vec::new();
        for news in self.jobs.news() {
            agent.emit(&Event::Notice(news.job.clone()));
            lines.push(format!("{}; its output is in {}", news.job, news.file));
            // Each line is marked: what a program prints is not the harness's voice.
            lines.extend(news.excerpt.lines().map(|line| format!("> {line}")));
        }
        if lines.is_empty() { None } else { Some(lines.join("\n")) }
    }
}

fn list(jobs: &Jobs) -> String {
    let lines = jobs.list();
    if lines.is_empty() { "no background tasks".to_owned() } else { lines.join("\n") }
}

/// What `bash_background` takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Start {
    /// The shell line to run.
    command: String,
    /// What to call it, in a word or two.
    label: Option<String>,
}

struct BashBackground(Jobs);

impl Tool for BashBackground {
    const NAME: &'static str = "bash_background";
    const ABOUT: &'static str = "Starts a shell line and returns at once. It runs until its last process has ended, \
        until it is stopped, or until the program ends. You are told when it is over.";
    type Input = Start;

    /// The gate judges it as it judges `bash`.
    fn effect(&self, input: &Start) -> Effect {
        Effect::Runs(input.command.clone())
    }

    async fn call(&self, input: Start, cx: &ToolContext) -> Result<Content, ToolError> {
        let (id, file) = self.0.start(input.command, input.label, cx)?;
        Ok(format!("started {id}; its output goes to {file}").into())
    }
}

struct BackgroundList(Jobs);

impl Tool for BackgroundList {
    const NAME: &'static str = "background_list";
    const ABOUT: &'static str = "Lists the background tasks and how far each is.";
    type Input = NoInput;

    fn effect(&self, _: &NoInput) -> Effect {
        Effect::Internal
    }

    async fn call(&self, _: NoInput, _: &ToolContext) -> Result<Content, ToolError> {
        Ok(list(&self.0).into())
    }
}

/// What `background_output` takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Look {
    /// The task's id.
    id: String,
    /// The byte to begin with; without, where the last look ended.
    offset: Option<u64>,
}

struct BackgroundOutput(Jobs);

impl Tool for BackgroundOutput {
    const NAME: &'static str = "background_output";
    const ABOUT: &'static str =
        "Returns what a background task has printed, both streams together, a piece at a time.";
    type Input = Look;

    fn effect(&self, _: &Look) -> Effect {
        Effect::Internal
    }

    async fn call(&self, input: Look, _: &ToolContext) -> Result<Content, ToolError> {
        Ok(self.0.output(&input.id, input.offset)?.into())
    }
}

/// What `background_stop` takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Which {
    /// The task's id.
    id: String,
}

struct BackgroundStop(Jobs);

impl Tool for BackgroundStop {
    const NAME: &'static str = "background_stop";
    const ABOUT: &'static str = "Stops a background task with all its processes.";
    type Input = Which;

    fn effect(&self, _: &Which) -> Effect {
        Effect::Internal
    }

    async fn call(&self, input: Which, _: &ToolContext) -> Result<Content, ToolError> {
        Ok(self.0.stop(&input.id).await?.into())
    }
}

#[async_trait]
impl Hook for Background {
    async fn before_model(
        &self,
        c: &mut Conversation,
        t: &HookContext<'_>,
    ) -> Result<(), AgentError> {
        if let Some(news) = self.news(t.agent) {
            c.remind(news);
        }
        Ok(())
    }

    /// Where nobody can be woken later, a turn does not end while what it began still runs: it waits for
    /// news, but not for ever.
    async fn before_stop(&self, _: &Conversation, t: &HookContext<'_>) -> Option<String> {
        if self.attended {
            return None;
        }
        let news = self.news(t.agent);
        let running = self.jobs.running();
        if news.is_some() || running.is_empty() {
            return news;
        }
        let waits = format!("waiting for {}; Ctrl-C ends it", running.join(", "));
        t.agent.emit(&Event::Notice(waits));
        let _ = timeout(self.news_timeout, self.jobs.wake.notified()).await;
        self.news(t.agent)
    }
}
