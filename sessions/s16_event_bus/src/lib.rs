#![doc = include_str!("../README.md")]
//!
//! Next page: [s17 · Sessions](../s17_session_management/index.html)

mod decision;
mod event;
mod log;
pub mod program;
mod seams;
mod stats;
mod subscriber;
mod trust;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::FutureExt;
use futures_util::future::join_all;
use harness_app::{App, Config, Lesson, Viewers};
use harness_core::host::ids;
use harness_core::{Agent, Mutex, Verdict};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use decision::{HookDecision, OnFailure};
pub use event::{HookEvent, HookEventKind};
use log::EventLog;
use program::{INSIDE_HOOK, ProgramContext, parse_hooks};
use stats::Stats;
use subscriber::Subscriber;
pub use trust::OWN;

/// What the terminal is told of this session.
pub const LESSON: Lesson = Lesson {
    name: env!("CARGO_PKG_NAME"),
    motto: "Events tell, hooks decide; a guard that breaks is a no.",
    play: include_str!("../demo.yaml"),
};

/// The hooks where there is no other configuration.
pub const BUILT_IN: &str = include_str!("../../../config/hooks.yaml");
/// How long the program waits for running hooks before it exits.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

// ---------------------------------------------------------------- the bus

/// The mechanism: whoever wants to know of something, or to decide it, subscribes to that kind of event.
///
/// A clone is the same bus.
#[derive(Clone)]
pub struct EventBus(Arc<Inner>);

struct Inner {
    /// The name of the agent that the bus was made for.
    /// The names of its tools at that time.
    tools: Vec<String>,
    context: ProgramContext,
    log: EventLog,
    stats: Stats,
    state: Mutex<BusState>,
}

#[derive(Default)]
struct BusState {
    subscribers: Vec<Arc<Subscriber>>,
    /// What hooks have said to the models. It goes with the next request of the agent it is for.
    notes: Vec<Note>,
    /// What hooks have said to the user.
    notices: Vec<String>,
    /// How often hooks have sent the lead back to work since the user's last prompt.
    sent_back: usize,
    /// Programs that were told of an event and are still running.
    running: Vec<(HookEventKind, JoinHandle<()>)>,
}

struct Note {
    agent: String,
    text: String,
}

impl EventBus {
    /// A bus for this agent and its children. It logs to `.agent_events.log` in the workspace.
    pub fn new(agent: &Agent) -> Self {
        let context = ProgramContext {
            session: ids::fresh(|_| false),
            cwd: agent.cwd.clone(),
            secrets: agent.secrets.clone(),
            cancel: CancellationToken::new(),
        };
        let tools = agent.tools.specs().iter().map(|tool| tool.name.clone()).collect();
        Self(Arc::new(Inner {
            tools,
            log: EventLog::open(&context),
            stats: Stats::default(),
            context,
            state: Mutex::default(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, BusState> {
        self.0.state.lock()
    }
}

// ---------------------------------------------------------------- subscribing

impl EventBus {
    /// Subscribes a function to events of this kind.
    pub fn on(
        self,
        kind: HookEventKind,
        decide: impl Fn(&HookEvent) -> HookDecision + Send + Sync + 'static,
    ) -> Self {
        let subscriber = Subscriber::Function { kind, decide: Box::new(decide) };
        self.lock().subscribers.push(Arc::new(subscriber));
        self
    }

    /// Subscribes the programs that a file names, in place of those it named before.
    ///
    /// # Errors
    /// The file is not understood. None of its hooks count, and nothing else has changed.
    pub fn load(&self, yaml: &str, file: &str) -> Result<()> {
        let programs = parse_hooks(yaml, file)?;
        let mut state = self.lock();
        state.subscribers.retain(|subscriber| !subscriber.is_from(file));
        for program in programs {
            let is_about_tools =
                matches!(program.kind, HookEventKind::PreToolUse | HookEventKind::PostToolUse);
            if is_about_tools && !self.0.tools.iter().any(|tool| program.concerns(tool)) {
                let matcher = program.matcher();
                state.notices.push(format!("{file}: the matcher `{matcher}` matches no tool"));
            }
            let file = file.to_owned();
            state.subscribers.push(Arc::new(Subscriber::Program { program, file }));
        }
        Ok(())
    }
}

// ---------------------------------------------------------------- asking: hooks decide

/// What the subscribers decided, and who of them rewrote the input.
struct Answers {
    decision: HookDecision,
    authors: Vec<Arc<Subscriber>>,
}

impl EventBus {
    /// Asks every subscriber of this event; the strictest decision counts.
    async fn ask(&self, event: &HookEvent, context: &ProgramContext) -> HookDecision {
        self.ask_all_except(&[], event, context).await.decision
    }

    /// Asks every subscriber of this event, all at the same time, except the authors of the input as it is
    /// now: nobody judges their own words.
    async fn ask_all_except(
        &self,
        authors: &[Arc<Subscriber>],
        event: &HookEvent,
        context: &ProgramContext,
    ) -> Answers {
        self.0.log.event(event);
        self.0.stats.event(event);
        let mut subscribers = self.lock().subscribers.clone();
        subscribers.retain(|it| it.concerns(event) && !is_author(authors, it));
        let asked = subscribers.iter().map(|it| self.ask_one(it, event, context));
        let decisions = join_all(asked).await;

        let mut answers = Answers { decision: HookDecision::default(), authors: Vec::new() };
        for (subscriber, decision) in subscribers.into_iter().zip(decisions) {
            if decision.input.is_some() {
                answers.authors.push(subscriber);
            }
            answers.decision = answers.decision.and(decision);
        }
        if let Some(reason) = answers.decision.halt.clone() {
            end_turn(&mut answers.decision, &reason, context);
        }
        self.take_words(&mut answers.decision, &event.agent);
        answers
    }

    async fn ask_one(
        &self,
        subscriber: &Subscriber,
        event: &HookEvent,
        context: &ProgramContext,
    ) -> HookDecision {
        let start = Instant::now();
        let decision = subscriber.decide(event, context).await;
        let took = start.elapsed();
        self.0.log.decision(event, subscriber.name(), &decision, took);
        self.0.stats.decision(event, subscriber.name(), &decision, took);
        decision
    }

    /// Moves what the decision says to the model and to the user to where it waits for them.
    fn take_words(&self, decision: &mut HookDecision, agent: &str) {
        let mut state = self.lock();
        for text in decision.context.drain(..) {
            state.notes.push(Note { agent: agent.to_owned(), text });
        }
        state.notices.append(&mut decision.notices);
    }

    /// The context of a program that is asked in this directory, until `cancel`.
    fn context(&self, cwd: &Path, cancel: &CancellationToken) -> ProgramContext {
        ProgramContext { cwd: cwd.to_owned(), cancel: cancel.clone(), ..self.0.context.clone() }
    }
}

/// Whether this subscriber is one of those that wrote the input.
fn is_author(authors: &[Arc<Subscriber>], subscriber: &Arc<Subscriber>) -> bool {
    authors.iter().any(|author| Arc::ptr_eq(author, subscriber))
}

/// A hook wants the turn to end: what it was asked about is denied, and the turn is cancelled.
fn end_turn(decision: &mut HookDecision, reason: &str, context: &ProgramContext) {
    let denied = Verdict::Deny(reason.to_owned());
    decision.verdict = decision.verdict.take().max(Some(denied));
    decision.notices.push(format!("a hook ended the turn: {reason}"));
    context.cancel.cancel();
}

// ---------------------------------------------------------------- emitting: events tell

impl EventBus {
    /// Emits an event that is over and can no longer be decided. Functions are called before this returns;
    /// programs run on beside the agent.
    fn emit(&self, event: HookEvent) {
        let kind = event.kind;
        let bus = self.clone();
        let mut asking = Box::pin(async move {
            let whole_run = &bus.0.context;
            let context = bus.context(&whole_run.cwd, &whole_run.cancel.child_token());
            bus.ask(&event, &context).await;
        });
        // The first poll calls the functions and starts the programs.
        let is_done = (&mut asking).now_or_never().is_some();
        if !is_done {
            let mut state = self.lock();
            state.running.retain(|(_, task)| !task.is_finished());
            state.running.push((kind, tokio::spawn(asking)));
        }
    }

    /// Waits for the programs that were told of events of the kinds chosen by `which`.
    async fn wait_for_running(&self, which: impl Fn(HookEventKind) -> bool) {
        let chosen: Vec<_> = self.lock().running.extract_if(.., |(kind, _)| which(*kind)).collect();
        join_all(chosen.into_iter().map(|(_, task)| task)).await;
    }

    /// Gives the running programs time to end, then kills them.
    async fn close(&self, viewers: &Viewers, agent: &str) {
        let mut all_ended = std::pin::pin!(self.wait_for_running(|_| true));
        if timeout(CLOSE_TIMEOUT, &mut all_ended).await.is_err() {
            self.0.context.cancel.cancel();
            all_ended.await;
        }
        for notice in self.take_notices() {
            viewers.notice(agent, notice);
        }
    }

    /// A sentence for the user, shown as soon as there is an occasion.
    fn notify_user(&self, notice: String) {
        self.lock().notices.push(notice);
    }

    fn take_notices(&self) -> Vec<String> {
        let mut notices = std::mem::take(&mut self.lock().notices);
        notices.extend(self.0.log.take_fault());
        notices
    }
}

impl fmt::Debug for EventBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventBus({} subscribers)", self.lock().subscribers.len())
    }
}

// ---------------------------------------------------------------- joining the program

/// Joins the agent and the terminal: a bus, and on it the hooks of `hooks.yaml` and, once they are trusted,
/// the workspace's own.
///
/// # Errors
/// A file of hooks is not understood.
pub fn join(app: App, config: &Config) -> Result<App> {
    let bus = EventBus::new(app.agent());
    let app = app.with(bus.clone());
    if std::env::var_os(INSIDE_HOOK).is_some() {
        // Its hooks would start it again, and so on for ever.
        let notice = "a hook started this program, so its own hooks do not run".to_owned();
        return Ok(app.notices([notice]));
    }
    let (hooks, file) = config.read("hooks.yaml", BUILT_IN)?;
    bus.load(&hooks, &file)?;
    let app = trust::join_workspace_hooks(app, &bus, config)?;
    let notices = bus.take_notices();
    let stats = bus.clone();
    let closing = bus.clone();
    let viewers = app.viewers();
    let agent = app.agent().name.clone();
    Ok(app
        .layer(bus)
        .notices(notices)
        .quick("stats", "what ran, how often and how long", move |_, _| Ok(stats.0.stats.table()))
        .at_exit(async move || closing.close(&viewers, &agent).await))
}
