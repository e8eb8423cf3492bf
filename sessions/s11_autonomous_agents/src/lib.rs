#![doc = include_str!("../README.md")]

mod claims;
mod worker;

use std::pin::pin;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use clap::{Args, Subcommand, value_parser};
use harness_cli::{App, Display, Lesson, Screen, columns, until_asked_to_leave};
use harness_core::{
    Agent, AgentError, Content, Conversation, Effect, Event, Hook, Mechanism, NoInput, Relay, Tool,
    ToolContext, ToolError, Turn, state::changed, text, tools::blocking,
};
use s07_task_system::{Graph, NewTask, Priority, Status, Task};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use claims::{ATTEMPTS, Claim, Claims, Found, Outcome};
pub use worker::Worker;

/// What the terminal is told of this session.
pub const LESSON: Lesson = Lesson {
    name: env!("CARGO_PKG_NAME"),
    motto: "Nobody hands out work; whoever is free takes it.",
    play: include_str!("../demo.yaml"),
};

/// What the lead has of it: it posts tasks, and hears when they are settled.
#[derive(Clone, Debug)]
pub struct Posts {
    /// Where the tasks are.
    pub claims: Claims,
    /// A turn that nobody can wake again waits so long for its tasks. Ten minutes, unless set.
    pub patience: Duration,
    /// Whether it waits at all: there are workers, and nobody sits at a prompt line.
    pub waits: bool,
    lead: String,
    /// The ids of the tasks whose end the lead has not heard of.
    open: Arc<Mutex<Vec<String>>>,
    /// Holds a permit only while there is news.
    wake: Arc<Notify>,
}

impl Mechanism for Posts {
    fn install(self, agent: &mut Agent) {
        agent.system.push(SYSTEM.to_owned());
        agent.tools.add(PostTask(self.clone()));
        agent.tools.add(TaskStatus(self.claims.clone()));
        agent.hooks.push(Arc::new(self));
    }
}

const SYSTEM: &str = "You do not do the work yourself: post tasks, and workers take them from the board, each \
    with a fresh history and several at the same time. Say in each task all that one must know, give it a check \
    where a command can tell whether it is done, and make what needs another's work depend on it. You are told \
    when all is settled.";

impl Posts {
    /// The lead's side of a board.
    pub fn new(claims: Claims, lead: &Agent) -> Self {
        let (patience, lead) = (Duration::from_secs(600), lead.name.clone());
        let (open, wake) = (Arc::default(), Arc::default());
        Self { claims, patience, waits: false, lead, open, wake }
    }

    /// Wakes whoever waits when the posted tasks are settled, whoever has done them. Runs until dropped.
    pub async fn watch(self) {
        loop {
            let change = changed(&self.claims.file, worker::READ);
            {
                let open = self.lock();
                if self.look(&open) == (true, false) {
                    self.wake.notify_one(); // under the lock, as in `news`
                }
            }
            change.await;
        }
    }

    /// Whether there is news of these tasks, and whether anything can still come of them by itself.
    fn look(&self, open: &[String]) -> (bool, bool) {
        let Ok(graph) = self.claims.board.load() else { return (false, false) };
        let ready = graph.ready();
        let moves = |task: &&Task| {
            task.status == Status::InProgress || ready.iter().any(|it| it.id == task.id)
        };
        let over = |task: &&Task| matches!(task.status, Status::Done | Status::Failed);
        let ours: Vec<&Task> = graph.tasks.iter().filter(|task| open.contains(&task.id)).collect();
        (ours.len() < open.len() || ours.iter().any(over), ours.iter().any(moves))
    }

    /// What the lead has not heard of yet. Nobody is woken for it any more.
    fn news(&self, agent: &Agent) -> Option<String> {
        let mut open = self.lock();
        pin!(self.wake.notified()).enable(); // takes the permit
        let graph = self.claims.board.load().ok()?; // a damaged board is told by the tools
        let mut news = Vec::new();
        open.retain(|id| match graph.tasks.iter().find(|task| task.id == *id) {
            None => {
                news.push(format!("{id} was removed"));
                false
            }
            Some(task) if !matches!(task.status, Status::Done | Status::Failed) => true,
            Some(task) => {
                let result = text::clip(task.result.as_deref().unwrap_or("-"), 1000, 1000);
                let result: String = result.lines().map(|line| format!("\n> {line}")).collect();
                news.push(format!(
                    "{id} {} is {}:{result}",
                    text::line(&task.description),
                    task.status
                ));
                false
            }
        });
        drop(open);
        for line in news.iter().filter_map(|news| news.lines().next()) {
            agent.tell(&Event::Notice(line.trim_end_matches(':').to_owned()));
        }
        news.into_iter().reduce(|all, next| all + "\n" + &next)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Hook for Posts {
    async fn before_model(&self, c: &mut Conversation, t: &Turn<'_>) -> Result<(), AgentError> {
        if t.agent.name == self.lead
            && let Some(news) = self.news(t.agent)
        {
            c.note(news);
        }
        Ok(())
    }

    /// Where nobody can be woken, a turn is not over while its tasks are worked on.
    async fn before_stop(&self, _: &Conversation, t: &Turn<'_>) -> Option<String> {
        let (news, moves) = self.look(&self.lock());
        if t.agent.name != self.lead || !self.waits || !(news || moves) {
            return None;
        }
        let _ = timeout(self.patience, self.wake.notified()).await;
        self.news(t.agent)
    }
}

/// What `post_task` takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Post {
    /// What is to be done, with all that one must know for it.
    description: String,
    /// The ids of the tasks that must be done before.
    #[serde(default)]
    depends_on: Vec<String>,
    /// Which of several tasks comes first.
    #[serde(default)]
    priority: Priority,
    /// A shell line that succeeds when it is done.
    check: Option<String>,
}

struct PostTask(Posts);

impl Tool for PostTask {
    const NAME: &'static str = "post_task";
    const ABOUT: &'static str = "Posts a task for whoever is free. The answer holds its id.";
    type Input = Post;

    /// A check is run later: the gate judges it now, and once more when it runs.
    fn effect(&self, input: &Post) -> Effect {
        input.check.clone().map_or(Effect::Reads(vec![]), Effect::Runs)
    }

    async fn call(&self, input: Post, _: &ToolContext) -> Result<Content, ToolError> {
        let Post { description, depends_on, priority, check } = input;
        let posts = self.0.clone();
        let create = move |graph: &mut Graph| {
            let new = NewTask { description, depends_on, priority };
            let (id, said) = graph.create(&new).map(|task| (task.id.clone(), task.to_string()))?;
            if let (Some(check), Some(task)) = (check, graph.tasks.last_mut()) {
                task.rest.insert("check".to_owned(), check.into());
            }
            Ok((id, said))
        };
        blocking(move || {
            let mut open = posts.lock();
            let (id, said) = posts.claims.board.change(create)?;
            open.push(id);
            Ok(format!("posted {said}").into())
        })
        .await
    }
}

struct TaskStatus(Claims);

impl Tool for TaskStatus {
    const NAME: &'static str = "task_status";
    const ABOUT: &'static str = "Draws the board, and says who works on what.";
    type Input = NoInput;

    fn effect(&self, _: &NoInput) -> Effect {
        Effect::Reads(vec![])
    }

    async fn call(&self, _: NoInput, _: &ToolContext) -> Result<Content, ToolError> {
        let claims = self.0.clone();
        blocking(move || Ok(claims.draw(200)?.into())).await
    }
}

/// What the program can be started with.
#[derive(Args, Debug)]
pub struct Flags {
    /// How many workers stand beside the prompt
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = value_parser!(u16).range(..=64))]
    workers: u16,
    /// How many seconds a worker may be silent before others take its task
    #[arg(long, value_name = "SECONDS", default_value_t = 60, global = true, value_parser = value_parser!(u64).range(1..))]
    lease: u64,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Works on the tasks of this folder's board, beside all others who do, until nothing is left to do
    Worker {
        /// Leave after so many seconds without a task
        #[arg(long, value_name = "SECONDS", default_value_t = 60)]
        idle: u64,
    },
}

/// The program: a lead at the prompt with workers beside it, or one more worker.
///
/// # Errors
/// The workspace or the board cannot be used.
pub async fn run(agent: Agent, flags: Flags, attended: bool) -> anyhow::Result<App> {
    let claims = Claims::open(&agent, Duration::from_secs(flags.lease))?;
    if let Some(Command::Worker { idle }) = flags.command {
        let mut agent = agent;
        agent.observers.add(Arc::new(Display::new(Screen::stdout(), agent.name.clone())));
        let worker = Worker::new(&claims, &agent, &format!("worker-{}", std::process::id()))?;
        let count = worker.work(Some(Duration::from_secs(idle)), &until_asked_to_leave()?).await?;
        Screen::stdout().line(format!("tasks worked on: {count}"));
        return Ok(App::done(agent, ExitCode::SUCCESS));
    }
    let (relay, cancel, mut workers) =
        (Relay::new(&agent), CancellationToken::new(), JoinSet::new());
    let watched = Agent { observers: relay.observers(), ..agent.clone() };
    for n in 1..=flags.workers {
        let worker = Worker::new(&claims, &watched, &format!("worker-{n}"))?;
        let (cancel, agent) = (cancel.clone(), watched.clone());
        workers.spawn(async move {
            if let Err(error) = worker.work(None, &cancel).await {
                agent.tell(&Event::Notice(format!("worker-{n} has stopped: {error}")));
            }
        });
    }
    let mut posts = Posts::new(claims.clone(), &agent);
    posts.waits = !attended && flags.workers > 0;
    tokio::spawn(posts.clone().watch());
    let mut agent = agent;
    agent.hooks.push(Arc::new(relay));
    let wake = posts.wake.clone();
    Ok(App::from(agent.with(posts))
        .wake(wake)
        .quick("tasks", "draws the board", move |_, _| Ok(claims.draw(columns())?))
        .at_exit(move || async move {
            cancel.cancel(); // what they have claimed is given back
            while workers.join_next().await.is_some() {}
        }))
}
