#![doc = include_str!("../README.md")]
//!
//! Next page: [s12 · Worktrees](../s12_worktree_task_isolation/index.html)

mod claims;
mod worker;

use std::mem;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use clap::{Args, Subcommand, value_parser};
use harness_cli::{App, Config, Display, Lesson, Screen, columns, say, until_asked_to_leave};
use harness_core::host::state::changed;
use harness_core::host::text;
use harness_core::host::workspace::WorkspaceError;
use harness_core::{
    Agent, AgentError, Content, Conversation, Effect, Event, Hook, HookContext, Mechanism, Mutex,
    NoInput, Tool, ToolContext, ToolError,
};
use s07_task_system::{Graph, NewTask, Priority, Status, Task, TaskBoard};
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
    /// How long a turn waits for its tasks; not at all where somebody sits at a prompt line, which news wakes.
    pub patience: Option<Duration>,
    /// The ids of the tasks whose end the lead has not heard of.
    open: Arc<Mutex<Vec<String>>>,
    /// Holds a permit only while there is news.
    wake: Arc<Notify>,
}

impl Mechanism for Posts {
    fn install(self, agent: &mut Agent) {
        agent.system.push(SYSTEM.to_owned());
        agent.tools.add(PostTask(self.clone()));
        agent.tools.add(TaskStatus(self.claims.board.clone()));
        agent.hooks.push(Arc::new(self));
    }
}

const SYSTEM: &str = "Post tasks, and workers take them from the board, several at the same time, each with a \
    fresh history. Say in each all that one must know, give it a check where a command can tell whether it is \
    done, and make what needs another's work depend on it. You are told when all is settled.";

impl Posts {
    /// The lead's side of a board.
    pub fn new(claims: Claims, patience: Option<Duration>) -> Self {
        Self { claims, patience, open: Arc::default(), wake: Arc::default() }
    }

    /// Wakes whoever waits when the posted tasks are settled, whoever has done them. Runs until dropped.
    pub async fn watch(self) {
        loop {
            let change = changed(&self.claims.file, worker::READ);
            match self.open.lock() {
                open if self.look(&open) == (true, false) => self.wake.notify_one(), // as in `news`
                _ => {}
            }
            change.await;
        }
    }

    /// Whether there is news of these tasks, and whether anything can still come of them by itself.
    fn look(&self, open: &[String]) -> (bool, bool) {
        let Ok(graph) = self.claims.board.load() else { return (false, false) };
        let ready = graph.ready();
        let moves = |id: &String| {
            let busy = |task: &Task| task.id == *id && task.status == Status::InProgress;
            ready.iter().any(|task| task.id == *id) || graph.tasks.iter().any(busy)
        };
        (open.iter().any(|id| is_over(&graph, id)), open.iter().any(moves))
    }

    /// What the lead has not heard of yet. Nobody is woken for it any more.
    fn news(&self, agent: &Agent) -> Option<String> {
        let mut open = self.open.lock();
        pin!(self.wake.notified()).enable(); // takes the permit
        let graph = self.claims.board.load().ok()?; // the tools tell of a damaged board
        let (over, rest) = mem::take(&mut *open).into_iter().partition(|id| is_over(&graph, id));
        *open = rest;
        drop(open);
        let told = over.iter().map(|id: &String| {
            let Some(task) = graph.tasks.iter().find(|task| task.id == *id) else {
                return format!("{id} was removed");
            };
            let first = format!("{id} {} is {}", text::line(&task.description), task.status);
            agent.emit(&Event::Notice(first.clone()));
            let result = text::clip(task.result.as_deref().unwrap_or("-"), 1000, 1000);
            result.lines().fold(first, |all, line| all + "\n> " + line)
        });
        told.reduce(|all, next| all + "\n" + &next)
    }
}

/// Whether nothing more comes of a task: it is done, failed, or not there.
fn is_over(graph: &Graph, id: &str) -> bool {
    let open = [Status::Pending, Status::InProgress];
    !graph.tasks.iter().any(|task| task.id == id && open.contains(&task.status))
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
        input.check.clone().map_or(Effect::Internal, Effect::Runs)
    }

    async fn call(&self, input: Post, _: &ToolContext) -> Result<Content, ToolError> {
        let Post { description, depends_on, priority, check } = input;
        let posts = self.0.clone();
        let create = move |graph: &mut Graph| {
            let new = NewTask { description, depends_on, priority };
            let (id, said) = graph.create(&new).map(|task| (task.id.clone(), task.to_string()))?;
            let rest = graph.tasks.last_mut().map(|task| &mut task.rest);
            rest.zip(check).map(|(rest, check)| rest.insert("check".to_owned(), check.into()));
            posts.open.lock().push(id);
            Ok(format!("posted {said}"))
        };
        self.0.claims.board.clone().answer(|board| board.change(create)).await
    }
}

struct TaskStatus(TaskBoard);

impl Tool for TaskStatus {
    const NAME: &'static str = "task_status";
    const ABOUT: &'static str = "Draws the board: what is done, worked on, open, failed.";
    type Input = NoInput;

    fn effect(&self, _: &NoInput) -> Effect {
        Effect::Internal
    }

    async fn call(&self, _: NoInput, _: &ToolContext) -> Result<Content, ToolError> {
        self.0.clone().answer(|board| Ok(board.load()?.draw(200))).await
    }
}

#[async_trait]
impl Hook for Posts {
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

    /// Where nobody can be woken, a turn is not over while its tasks are worked on.
    async fn before_stop(&self, _: &Conversation, t: &HookContext<'_>) -> Option<String> {
        let patience = self.patience?;
        if self.look(&self.open.lock()) == (false, false) {
            return None; // also where all that is left is blocked
        }
        let _ = timeout(patience, self.wake.notified()).await;
        self.news(t.agent)
    }
}

/// This session's own flags.
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
pub async fn run(mut agent: Agent, flags: Flags, config: Config) -> anyhow::Result<App> {
    let claims = Claims::open(&agent, Duration::from_secs(flags.lease))?;
    if let Some(Command::Worker { idle }) = flags.command {
        agent.observers.add(Arc::new(Display::new(Screen::stdout(), agent.name.clone())));
        let worker = Worker::new(&claims, &agent, &format!("worker-{}", std::process::id()))?;
        let count = worker.work(Some(Duration::from_secs(idle)), &until_asked_to_leave()?).await?;
        say(format!("tasks worked on: {count}"))?;
        return Ok(App::done(agent, ExitCode::SUCCESS));
    }
    Ok(join(agent.into(), claims, flags.workers, config.attended())?)
}

/// Joins the agent and the terminal, with so many workers beside the lead.
///
/// # Errors
/// The workspace cannot be written.
pub fn join(app: App, claims: Claims, count: u16, attended: bool) -> Result<App, WorkspaceError> {
    let cancel = CancellationToken::new();
    let mut workers = JoinSet::new();
    for n in 1..=count {
        let worker = Worker::new(&claims, app.agent(), &format!("worker-{n}"))?;
        let cancel = cancel.clone();
        workers.spawn(async move {
            let ended = worker.work(None, &cancel).await;
            ended.inspect_err(|why| worker.tell(&Event::Notice(why.to_string())))
        });
    }
    // Ten minutes for a turn that nobody can wake again.
    let patience = (!attended && count > 0).then_some(Duration::from_secs(600));
    let posts = Posts::new(claims.clone(), patience);
    tokio::spawn(posts.clone().watch());
    Ok(app
        .wake(posts.wake.clone())
        .with(posts)
        .quick("tasks", "draws the board", move |_, _| Ok(claims.board.load()?.draw(columns())))
        .at_exit(move || async move {
            cancel.cancel(); // what they have claimed is given back
            while workers.join_next().await.is_some() {}
        }))
}
