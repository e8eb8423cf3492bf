#![doc = include_str!("../README.md")]
//!
//! Next page: [s17 · Sessions](../s17_session_management/index.html)

mod seams;
mod watch;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::FutureExt;
use futures_util::future::join_all;
use harness_app::{App, Config, Given, Lesson, Viewers, WorkspaceFile};
use harness_core::agent::hook::program::{INSIDE, Program, Setting, read};
use harness_core::host::ids;
use harness_core::{Agent, Event, Mutex, Observers, Verdict};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use harness_core::agent::hook::happening::{Answer, Happening, Kind, OnFailure};
use watch::Watch;

/// What the terminal is told of this session.
pub const LESSON: Lesson = Lesson {
    name: env!("CARGO_PKG_NAME"),
    motto: "Events tell, hooks decide; a guard that breaks is a no.",
    play: include_str!("../demo.yaml"),
};

/// The hooks where there is no other configuration.
pub const BUILT_IN: &str = include_str!("../../../config/hooks.yaml");
/// A workspace's own hooks.
pub const OWN: &str = ".harness/hooks.yaml";
/// So long the program waits for hooks when it leaves.
const LAST: Duration = Duration::from_secs(10);

/// The mechanism: who wants to know of something, or to decide it, subscribes to that kind of event.
#[derive(Clone)]
pub struct EventBus(Arc<Inner>);

struct Inner {
    lead: String,
    tools: Vec<String>,
    setting: Setting,
    watch: Watch,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    hooks: Vec<Arc<Subscriber>>,
    /// For the models, by agent: they go with its next request.
    notes: Vec<(String, String)>,
    /// For the user.
    notices: Vec<String>,
    /// How often the lead was sent back since the human last spoke.
    sent_back: usize,
    /// Programs that were told something and are not done.
    told: Vec<(Kind, JoinHandle<()>)>,
}

/// Who is asked, and when.
enum Subscriber {
    Function(Kind, Box<dyn Fn(&Happening) -> Answer + Send + Sync>),
    /// A program, and the file that names it.
    Program(Program, String),
}

impl Subscriber {
    fn concerns(&self, happening: &Happening) -> bool {
        let (kind, tool) = (happening.kind, happening.text("tool_name"));
        match self {
            Self::Function(own, _) => *own == kind,
            Self::Program(program, _) => program.kind == kind && program.concerns(tool),
        }
    }

    /// A function that panics has failed, as a program that crashes has.
    async fn ask(&self, happening: &Happening, setting: &Setting) -> (Answer, &str) {
        match self {
            Self::Program(program, _) => (program.ask(happening, setting).await, &program.name),
            Self::Function(kind, answer) => {
                let answer = catch_unwind(AssertUnwindSafe(|| answer(happening)));
                let failed = |_| Answer::failure(*kind, None, "a function", "it panicked");
                (answer.unwrap_or_else(failed), "a function")
            }
        }
    }
}

impl fmt::Debug for EventBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventBus({} hooks)", self.lock().hooks.len())
    }
}

impl EventBus {
    /// A bus for this agent and its clones. It logs to `.agent_events.log` in the workspace.
    pub fn new(agent: &Agent) -> Self {
        let setting = Setting {
            session: ids::fresh(|_| false),
            cwd: agent.cwd.clone(),
            secrets: agent.secrets.clone(),
            cancel: CancellationToken::new(),
        };
        let tools = agent.tools.specs().iter().map(|tool| tool.name.clone()).collect();
        let (lead, watch) = (agent.name.clone(), Watch::new(&setting));
        Self(Arc::new(Inner { lead, tools, setting, watch, state: Mutex::default() }))
    }

    /// Subscribes a function.
    pub fn on(
        self,
        kind: Kind,
        answer: impl Fn(&Happening) -> Answer + Send + Sync + 'static,
    ) -> Self {
        self.lock().hooks.push(Arc::new(Subscriber::Function(kind, Box::new(answer))));
        self
    }

    /// Subscribes the programs of a file, in place of those that it named before.
    ///
    /// # Errors
    /// The file is not understood. Nothing of it counts, and nothing else has changed.
    pub fn hooks(&self, yaml: &str, file: &str) -> Result<()> {
        let programs = read(yaml, file)?;
        let mut state = self.lock();
        state.hooks.retain(|hook| !matches!(&**hook, Subscriber::Program(_, of) if of == file));
        for program in programs {
            let of_tools = matches!(program.kind, Kind::PreToolUse | Kind::PostToolUse);
            if of_tools && !self.0.tools.iter().any(|tool| program.concerns(tool)) {
                let matcher = program.matcher();
                state.notices.push(format!("{file}: `{matcher}` fits no tool that is here now"));
            }
            state.hooks.push(Arc::new(Subscriber::Program(program, file.to_owned())));
        }
        Ok(())
    }

    /// Asks all who subscribed to this, at the same time; the strictest answer counts. Who wrote the input
    /// as it is now stands in `authors`, and is not asked about its own words.
    async fn ask(
        &self,
        happening: &Happening,
        cwd: &Path,
        cancel: &CancellationToken,
        authors: &mut Vec<Arc<Subscriber>>,
    ) -> Answer {
        self.0.watch.saw(happening);
        let setting =
            &Setting { cwd: cwd.into(), cancel: cancel.clone(), ..self.0.setting.clone() };
        let mut hooks = self.lock().hooks.clone();
        let is_author = |hook: &_| authors.iter().any(|author| Arc::ptr_eq(author, hook));
        hooks.retain(|hook| hook.concerns(happening) && !is_author(hook));
        let answers = join_all(hooks.iter().map(|hook| async move {
            let start = Instant::now();
            let (answer, name) = hook.ask(happening, setting).await;
            self.0.watch.heard(happening, name, &answer, start.elapsed());
            answer
        }));
        let mut all = Answer::default();
        authors.clear();
        for (hook, answer) in hooks.iter().zip(answers.await) {
            authors.extend(answer.input.is_some().then(|| hook.clone()));
            all = all.and(answer);
        }
        if let Some(why) = &all.halt {
            all.verdict = all.verdict.max(Some(Verdict::Deny(why.clone())));
            all.notices.push(format!("a hook ended the turn: {why}"));
            cancel.cancel();
        }
        let mut state = self.lock();
        state.notes.extend(all.context.drain(..).map(|note| (happening.agent.clone(), note)));
        state.notices.append(&mut all.notices);
        all
    }

    /// Tells what cannot be decided any more. Functions are called on the spot; programs run on beside
    /// the agent.
    fn tell(&self, happening: Happening) {
        let (bus, kind) = (self.clone(), happening.kind);
        let mut asking = Box::pin(async move {
            let Setting { cwd, cancel, .. } = &bus.0.setting;
            bus.ask(&happening, cwd, &cancel.child_token(), &mut Vec::new()).await;
        });
        if (&mut asking).now_or_never().is_none() {
            let mut state = self.lock();
            state.told.retain(|(_, task)| !task.is_finished());
            state.told.push((kind, tokio::spawn(asking)));
        }
    }

    /// Waits for the programs that were told.
    async fn settle(&self, which: impl Fn(Kind) -> bool) {
        let told: Vec<_> = self.lock().told.extract_if(.., |(kind, _)| which(*kind)).collect();
        join_all(told.into_iter().map(|(_, task)| task)).await;
    }

    async fn close(&self, viewers: &Viewers) {
        let mut settled = std::pin::pin!(self.settle(|_| true));
        if tokio::time::timeout(LAST, &mut settled).await.is_err() {
            self.0.setting.cancel.cancel();
            settled.await;
        }
        for notice in self.notices() {
            viewers.notice(&self.0.lead, notice);
        }
    }

    /// Shows the user what hooks had to say.
    fn speak(&self, agent: &str, observers: &Observers) {
        let notices = self.notices().into_iter().map(Event::Notice);
        notices.for_each(|notice| observers.emit(agent, &notice));
    }

    fn notices(&self) -> Vec<String> {
        self.lock().notices.drain(..).chain(self.0.watch.fault()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock()
    }
}

/// Joins the agent and the terminal, with a bus and on it the hooks of `hooks.yaml` and, once they are
/// trusted, the workspace's.
///
/// # Errors
/// A file of hooks is not understood.
pub fn join(app: App, config: &Config) -> Result<App> {
    let (bus, own) = (EventBus::new(app.agent()), WorkspaceFile::new(app.agent(), OWN, config));
    let app = app.with(bus.clone());
    if std::env::var_os(INSIDE).is_some() {
        // Its hooks would start it again, and so on for ever.
        let told = "a hook has started this program: its own hooks do not run".to_owned();
        return Ok(app.notices([told]));
    }
    let (hooks, file) = config.read("hooks.yaml", BUILT_IN)?;
    bus.hooks(&hooks, &file)?;
    match own.read()? {
        Some(Given::Trusted(text)) => bus.hooks(&text, OWN)?,
        Some(Given::Untrusted(why)) => bus.lock().notices.push(why),
        None => {}
    }
    let notices = bus.notices();
    let (stats, trusting, last) = (bus.clone(), bus.clone(), bus.clone());
    let viewers = app.viewers();
    Ok(app
        .layer(bus)
        .notices(notices)
        .trusts(own, move |text| trusting.hooks(text, OWN))
        .quick("stats", "what ran, how often and how long", move |_, _| Ok(stats.0.watch.stats()))
        .at_exit(async move || last.close(&viewers).await))
}
