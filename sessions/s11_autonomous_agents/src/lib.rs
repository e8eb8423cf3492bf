#![doc = include_str!("../README.md")]
//!
//! Next page: [s12 · Worktrees](../s12_worktree_task_isolation/index.html)

mod claims;
mod fields;
mod worker;

use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use clap::{Args, Subcommand, value_parser};
use harness_app::{App, Config, Lesson};
use harness_cli::{Display, Screen, columns, say, until_asked_to_leave};
use harness_core::host::state::changed;
use harness_core::host::text;
use harness_core::host::workspace::WorkspaceError;
use harness_core::{
    Agent, AgentError, Content, Conversation, Effect, Event, Hook, HookContext, Mechanism, Mutex,
    NoInput, Tool, ToolContext, ToolError,
};
use s07_task_system::{Graph, NewTask, Priority, Status, TaskBoard};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use claims::{Claim, Claims, Found, MAX_ATTEMPTS, Outcome};
pub use fields::WorkFields;
pub use worker::Worker;

/// What the terminal is told of this session.
pub const LESSON: Lesson = Lesson {
    name: env!("CARGO_PKG_NAME"),
    motto: "Nobody hands out work; whoever is free takes it.",
    play: include_str!("../demo.yaml"),
};

/// How long a turn that nobody can wake again waits for its tasks.
const TURN_TIMEOUT: Duration = Duration::from_secs(600);
/// The most columns of the board as a model reads it.
const BOARD_COLUMNS: usize = 200;
/// The most bytes of each end of a result that the lead is told.
const MAX_RESULT_BYTES: usize = 1000;

/// The lead's side of a board: it posts tasks, and is told when they are settled.
#[derive(Clone, Debug)]
pub struct BoardLead {
    /// The board, and the claims on its tasks.
    pub claims: Claims,
    /// How long a turn waits for its tasks. Without, it does not wait: somebody sits at a prompt line, which is
    /// woken when there is news.
    pub turn_timeout: Option<Duration>,
    /// The ids of the posted tasks that the lead was not told of as settled.
    unsettled: Arc<Mutex<Vec<String>>>,
    /// Holds a permit only while there is news.
    wake: Arc<Notify>,
}

/// What there is to say of the tasks that the lead has posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Progress {
    /// A task is settled that the lead was not told of.
    has_news: bool,
    /// A task is worked on, or can be started by a worker.
    goes_on: bool,
}

impl Mechanism for BoardLead {
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

impl BoardLead {
    /// The lead's side of a board.
    pub fn new(claims: Claims, turn_timeout: Option<Duration>) -> Self {
        Self { claims, turn_timeout, unsettled: Arc::default(), wake: Arc::default() }
    }

    /// Wakes an idle lead when all that can come of the posted tasks has come, by whatever worker. Runs until it
    /// is dropped.
    pub async fn watch(self) {
        loop {
            let change = changed(&self.claims.file, worker::READ_INTERVAL);
            self.wake_if_settled();
            change.await;
        }
    }

    fn wake_if_settled(&self) {
        // Held while it wakes: `take_news` takes the permit under the same lock.
        let unsettled = self.unsettled.lock();
        let progress = self.progress(&unsettled);
        if progress.has_news && !progress.goes_on {
            self.wake.notify_one();
        }
    }

    fn progress(&self, ids: &[String]) -> Progress {
        let Ok(graph) = self.claims.board.load() else {
            return Progress { has_news: false, goes_on: false };
        };
        let ready = graph.ready();
        let is_ready = |id: &String| ready.iter().any(|task| task.id == *id);
        Progress {
            has_news: ids.iter().any(|id| is_settled(&graph, id)),
            goes_on: ids.iter().any(|id| is_ready(id) || is_in_progress(&graph, id)),
        }
    }

    /// What the lead was not told of yet. Nobody is woken for it any more.
    fn take_news(&self, agent: &Agent) -> Option<String> {
        let mut unsettled = self.unsettled.lock();
        pin!(self.wake.notified()).enable(); // takes the permit
        let graph = self.claims.board.load().ok()?; // the tools tell of a damaged board
        let settled: Vec<String> = unsettled.extract_if(.., |id| is_settled(&graph, id)).collect();
        drop(unsettled);
        if settled.is_empty() {
            return None;
        }
        let told: Vec<String> = settled.iter().map(|id| tell(agent, &graph, id)).collect();
        Some(told.join("\n"))
    }
}

/// Whether nothing more comes of a task: it is done, has failed, or was removed.
fn is_settled(graph: &Graph, id: &str) -> bool {
    let open = [Status::Pending, Status::InProgress];
    !graph.tasks.iter().any(|task| task.id == id && open.contains(&task.status))
}

fn is_in_progress(graph: &Graph, id: &str) -> bool {
    graph.tasks.iter().any(|task| task.id == id && task.status == Status::InProgress)
}

/// Tells the user in a line what became of a task, and returns the same with its result, for the model.
fn tell(agent: &Agent, graph: &Graph, id: &str) -> String {
    let Some(task) = graph.tasks.iter().find(|task| task.id == id) else {
        return format!("{id} was removed");
    };
    let headline = format!("{id} {} is {}", text::line(&task.description), task.status);
    agent.emit(&Event::Notice(headline.clone()));
    let result = task.result.as_deref().unwrap_or("-");
    let quoted = text::clip(result, MAX_RESULT_BYTES, MAX_RESULT_BYTES);
    quoted.lines().fold(headline, |told, line| told + "\n> " + line)
}

/// What `post_task` takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PostTaskInput {
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

struct PostTask(BoardLead);

impl Tool for PostTask {
    const NAME: &'static str = "post_task";
    const ABOUT: &'static str = "Posts a task for whichever worker is free. Returns its id.";
    type Input = PostTaskInput;

    /// A check is run later: the gate judges it now, and once more when it runs.
    fn effect(&self, input: &PostTaskInput) -> Effect {
        match &input.check {
            Some(check) => Effect::Runs(check.clone()),
            None => Effect::Internal,
        }
    }

    async fn call(&self, input: PostTaskInput, _: &ToolContext) -> Result<Content, ToolError> {
        let PostTaskInput { description, depends_on, priority, check } = input;
        let new = NewTask { description, depends_on, priority };
        let fields = WorkFields { attempts: 0, check };
        let lead = self.0.clone();
        let board = self.0.claims.board.clone();
        board.answer(|board| board.change(move |graph| lead.post(graph, &new, &fields))).await
    }
}

impl BoardLead {
    /// Puts a task on the board. Its id is noted under the board's lock, so that nobody settles it before.
    fn post(
        &self,
        graph: &mut Graph,
        new: &NewTask,
        fields: &WorkFields,
    ) -> Result<String, String> {
        let task = graph.create(new)?;
        let id = task.id.clone();
        let told = format!("posted {task}");
        if let Some(task) = graph.tasks.iter_mut().find(|task| task.id == id) {
            fields.write(task)?;
        }
        self.unsettled.lock().push(id);
        Ok(told)
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
        self.0.clone().answer(|board| Ok(board.load()?.draw(BOARD_COLUMNS))).await
    }
}

#[async_trait]
impl Hook for BoardLead {
    async fn before_model(
        &self,
        c: &mut Conversation,
        t: &HookContext<'_>,
    ) -> Result<(), AgentError> {
        if let Some(news) = self.take_news(t.agent) {
            c.remind(news);
        }
        Ok(())
    }

    /// Where nobody can be woken, a turn is not over while its tasks are worked on.
    async fn before_stop(&self, _: &Conversation, t: &HookContext<'_>) -> Option<String> {
        let turn_timeout = self.turn_timeout?;
        let progress = self.progress(&self.unsettled.lock());
        if !progress.has_news && !progress.goes_on {
            return None; // also where all that is left waits for a task that failed
        }
        let _ = timeout(turn_timeout, self.wake.notified()).await;
        self.take_news(t.agent)
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
pub async fn run(agent: Agent, flags: Flags, config: Config) -> anyhow::Result<App> {
    let claims = Claims::open(&agent, Duration::from_secs(flags.lease))?;
    match flags.command {
        Some(Command::Worker { idle }) => {
            work_alone(agent, claims, Duration::from_secs(idle)).await
        }
        None => Ok(join(agent.into(), claims, flags.workers, config.attended())?),
    }
}

/// The subcommand `worker`: works until nothing is left to do.
async fn work_alone(mut agent: Agent, claims: Claims, idle: Duration) -> anyhow::Result<App> {
    agent.observers.add_for_family(Arc::new(Display::new(Screen::stdout(), agent.name.clone())));
    let name = format!("worker-{}", std::process::id());
    let worker = Worker::new(&claims, &agent, &name)?;
    let count = worker.work(Some(idle), &until_asked_to_leave()?).await?;
    say(format!("tasks worked on: {count}"))?;
    Ok(App::done(agent, ExitCode::SUCCESS))
}

/// Joins the agent and the terminal, with so many workers beside the lead.
///
/// # Errors
/// The workspace cannot be written.
pub fn join(app: App, claims: Claims, count: u16, attended: bool) -> Result<App, WorkspaceError> {
    let stop = CancellationToken::new();
    let mut workers = Vec::new();
    for number in 1..=count {
        workers.push(Worker::new(&claims, app.agent(), &format!("worker-{number}"))?);
    }
    // They begin when the lead is complete, so that they have all that it has.
    let tasks = TaskTracker::new();
    let begin = {
        let tasks = tasks.clone();
        let stop = stop.clone();
        move |lead: &Agent| {
            for mut worker in workers {
                worker.join(lead);
                tasks.spawn(work_beside_lead(worker, stop.clone()));
            }
        }
    };
    let must_wait = !attended && count > 0;
    let lead = BoardLead::new(claims.clone(), must_wait.then_some(TURN_TIMEOUT));
    tokio::spawn(lead.clone().watch());
    let app = app.wake(lead.wake.clone()).with(lead).at_start(begin);
    let app =
        app.quick("tasks", "draws the board", move |_, _| Ok(claims.board.load()?.draw(columns())));
    Ok(app.at_exit(move || async move {
        stop.cancel(); // what they have claimed is given back
        tasks.close();
        tasks.wait().await;
    }))
}

async fn work_beside_lead(worker: Worker, stop: CancellationToken) {
    if let Err(why) = worker.work(None, &stop).await {
        worker.emit(&Event::Notice(why.to_string()));
    }
}
