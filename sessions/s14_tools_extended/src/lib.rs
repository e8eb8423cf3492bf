#![doc = include_str!("../README.md")]
//!
//! Next page: [s15 · Permissions](../s15_permissions/index.html)

mod blobs;
mod commands;
mod history;
mod restore;
mod snapshot;
mod store;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use harness_app::{App, Lesson};
use harness_cli::cut;
use harness_core::host::text;
use harness_core::host::workspace::Workspace;
use harness_core::permission::is_read_only;
use harness_core::{
    Agent, ChildSpec, Content, Effect, Event, Hook, Inherit, Mechanism, Mutex, Observer, Secrets,
    StateError, Tool, ToolCall, ToolContext, ToolError, ToolResult, TurnOutcome, Verdict,
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

pub use blobs::BlobStore;
pub use history::{Change, Checkpoint, Direction, History};
pub use restore::restore;
pub use snapshot::{Changes, KnownFiles, PathState, Snapshot, Step};
pub use store::CheckpointStore;

/// What the terminal is told of this session.
pub const LESSON: Lesson = Lesson {
    name: env!("CARGO_PKG_NAME"),
    motto: "What can be taken back can be tried.",
    play: include_str!("../demo.yaml"),
};

/// The mechanism: a hook around every call that may change files, and the tool `revert`.
///
/// All that it keeps is on disk; this is only what goes on right now. Clones of the agent share it.
#[derive(Clone, Debug, Default)]
pub struct Checkpoints(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    now: Mutex<Now>,
    known: Mutex<KnownFiles>,
}

/// What goes on right now.
#[derive(Debug, Default)]
struct Now {
    secrets: Secrets,
    /// What the human said last.
    prompt: String,
    /// The checkpoint that belongs to it, by workspace.
    open: HashMap<PathBuf, u64>,
    calls: Vec<Pending>,
    /// What the user was told since.
    told: HashSet<String>,
}

/// A call between its admission and its end.
#[derive(Debug)]
struct Pending {
    agent: String,
    call: ToolCall,
    started: bool,
    cwd: PathBuf,
    cancel: CancellationToken,
    /// What it may change; a folder stands for all in it.
    paths: Vec<PathBuf>,
    before: Snapshot,
    /// How many changes had been made by then.
    seen: u64,
    /// The change that it takes back.
    reverts: Option<u64>,
}

impl Mechanism for Checkpoints {
    fn install(self, agent: &mut Agent) {
        self.0.now.lock().secrets = agent.secrets.clone();
        agent.tools.add_for_family(Revert(self.clone()));
        agent.observers.add_for_family(Arc::new(self.clone()));
        agent.hooks.push(Arc::new(self));
    }
}

impl Checkpoints {
    /// Joins the agent and the terminal, which gets `:checkpoints`, `:undo` and `:redo`.
    pub fn join(self, app: App) -> App {
        commands::add(app.with(self))
    }
}

/// What `revert` takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The file, relative to the workspace.
    path: PathBuf,
}

struct Revert(Checkpoints);

impl Tool for Revert {
    const NAME: &'static str = "revert";
    const ABOUT: &'static str = "Takes back the last change that was made to a file, by whatever tool, bash \
        included. Call it again to go further back. Refused when somebody else has changed the file since.";
    type Input = Input;

    fn effect(&self, input: &Input) -> Effect {
        Effect::Writes(vec![input.path.clone()]) // and so it can itself be undone
    }

    async fn call(&self, input: Input, cx: &ToolContext) -> Result<Content, ToolError> {
        let shared = self.0.0.clone();
        let cx = cx.clone();
        let none = format!("no change to {:?} is left to take back", input.path);
        let done = blocking(move || shared.revert(&input.path, &cx)).await;
        match done {
            Ok(Some(done)) => Ok(done.into()),
            Ok(None) => Err(ToolError::Failed(none)),
            Err(why) => Err(ToolError::Failed(why)),
        }
    }
}

#[async_trait]
impl Hook for Checkpoints {
    /// What a child changes can be taken back, too.
    fn for_child(&self, _: &ChildSpec) -> Inherit {
        Inherit::Same
    }

    /// Keeps what the call may change. Where that cannot be done somebody is asked.
    async fn before_tool(&self, call: &mut ToolCall, effect: &Effect, cx: &ToolContext) -> Verdict {
        let mut pending = Pending {
            agent: cx.agent.clone(),
            call: call.clone(),
            started: false,
            cwd: cx.cwd.clone(),
            cancel: cx.cancel.clone(),
            paths: reach(effect, &cx.cwd),
            before: Snapshot::default(),
            seen: 0,
            reverts: None,
        };
        let shared = self.0.clone();
        let kept = blocking(move || {
            pending.look(&shared)?;
            shared.now.lock().calls.push(pending);
            Ok(())
        });
        match kept.await {
            Ok(()) => Verdict::Allow,
            Err(why) => Verdict::Ask(format!("it could not be taken back: {why}")),
        }
    }

    /// Looks again, and adds what has changed to the checkpoint of this prompt.
    async fn after_tool(&self, call: &ToolCall, _: &mut ToolResult, cx: &ToolContext) {
        let is_this = |it: &Pending| it.agent == cx.agent && it.call == *call;
        let Some(pending) = self.0.take(is_this) else { return };
        let shared = self.0.clone();
        let lost = blocking(move || shared.finish(&pending)).await;
        for what in lost.unwrap_or_else(|why| vec![why]) {
            let notice = format!("not all of this can be taken back: {what}");
            if self.0.now.lock().told.insert(notice.clone()) {
                cx.observers.emit(&cx.agent, &Event::Notice(notice));
            }
        }
    }
}

impl Observer for Checkpoints {
    fn on(&self, agent: &str, event: &Event) {
        match event {
            Event::Prompt(prompt) => {
                let mut now = self.0.now.lock();
                now.prompt = cut(&text::strip(&now.secrets.mask(prompt)), 60);
                now.open.clear();
                now.told.clear();
            }
            Event::ToolStarted(call) => self.0.start(agent, call),
            // One that was denied. One that ran is gone already.
            Event::ToolFinished { call, .. } => {
                self.0.take(|it| !it.started && it.agent == agent && it.call.id == call.id);
            }
            Event::TurnEnded(TurnOutcome::Interrupted) => {
                self.0.finish_started(|it| it.cancel.is_cancelled());
            }
            _ => {}
        }
    }
}

/// What a call may change, judged by what it does, never by its name.
fn reach(effect: &Effect, cwd: &Path) -> Vec<PathBuf> {
    let whole_workspace = vec![PathBuf::from(".")];
    match effect {
        Effect::Internal | Effect::Reads(_) => Vec::new(),
        Effect::Runs(line) if is_read_only(line) => Vec::new(),
        Effect::Writes(paths) => match Workspace::open(cwd) {
            // The name itself, which may be a link, and where it leads. What is outside has no checkpoint.
            Ok(workspace) => {
                let both = |path| [workspace.resolve_name(path), workspace.resolve(path)];
                paths.iter().flat_map(both).flatten().collect()
            }
            Err(_) => whole_workspace,
        },
        _ => whole_workspace,
    }
}

/// A workspace, and the checkpoints of it.
fn open(cwd: &Path) -> Result<(Workspace, CheckpointStore), StateError> {
    let workspace = Workspace::open(cwd)?;
    let store = CheckpointStore::open(&workspace)?;
    Ok((workspace, store))
}

impl Pending {
    /// Keeps what is there now.
    fn look(&mut self, shared: &Shared) -> Result<(), StateError> {
        if self.paths.is_empty() {
            return Ok(());
        }
        let (workspace, store) = open(&self.cwd)?;
        let mut known = shared.known.lock();
        let seen = store.history()?.made;
        let cancel = &self.cancel;
        self.before =
            Snapshot::take(&workspace, &self.paths, None, &store.blobs, &mut known, cancel)?;
        self.seen = seen;
        Ok(())
    }
}

impl Shared {
    /// A question may have stood for minutes since the call was admitted, and somebody may have worked
    /// on the file meanwhile: what counts is what is there when the call starts.
    fn start(&self, agent: &str, call: &ToolCall) {
        let is_this = |it: &Pending| !it.started && it.agent == agent && it.call.id == call.id;
        let Some(mut pending) = self.take(is_this) else { return };
        let rewritten = pending.call != *call;
        if rewritten {
            // By a hook that was installed after this one: nobody has told us what it does now.
            pending.call = call.clone();
            pending.paths = vec![PathBuf::from(".")];
        }
        pending.started = true;
        if pending.look(self).is_err() && rewritten {
            pending.paths.clear();
        }
        self.now.lock().calls.push(pending);
    }

    /// Records what the call has changed. Returns what was changed and is lost.
    fn finish(&self, pending: &Pending) -> Result<Vec<String>, StateError> {
        let Pending { cwd, paths, before, seen, reverts, .. } = pending;
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let (workspace, store) = open(cwd)?;
        // Not to be cancelled: what is not looked at now cannot be taken back.
        let never = CancellationToken::new();
        // Until it is recorded nobody else looks: what was seen later must not be recorded earlier.
        let mut known = self.known.lock();
        let after =
            Snapshot::take(&workspace, paths, Some(before), &store.blobs, &mut known, &never)?;
        let Changes { steps, lost } = before.compare(&after);
        if !steps.is_empty() {
            store.update(|history| {
                let mut now = self.now.lock();
                let open = now.open.get(cwd).copied();
                let open = history.record(open, &now.prompt, *seen, *reverts, steps);
                if let Some(number) = open {
                    now.open.insert(cwd.clone(), number);
                }
                Ok(())
            })?;
        }
        Ok(lost)
    }

    /// Takes back the last change of a path. `None`: there is none.
    fn revert(&self, path: &Path, cx: &ToolContext) -> Result<Option<String>, StateError> {
        let (workspace, store) = open(&cx.cwd)?;
        let history = store.history()?;
        // The name itself, which may be a link, and where it leads.
        let name = workspace.resolve_name(path)?;
        let target = workspace.resolve(path).ok();
        let change = history.last_change(&name);
        let change = change.or_else(|| history.last_change(target.as_deref()?));
        let Some(Change { number, step, .. }) = change else { return Ok(None) };
        for pending in &mut self.now.lock().calls {
            if pending.agent == cx.agent && pending.call.id == cx.call_id {
                pending.reverts = Some(*number);
            }
        }
        restore(&workspace, &[step.back()], &store.blobs)?;
        let name = &step.path;
        Ok(Some(match step.from {
            PathState::Absent => {
                format!("{} is gone again: that change had made it", name.display())
            }
            _ => format!("{} is what it was before that change", name.display()),
        }))
    }

    /// Ends calls that nobody will end: what they have changed so far can be taken back too.
    fn finish_started(&self, which: impl Fn(&Pending) -> bool) {
        while let Some(pending) = self.take(|it| it.started && which(it)) {
            let _ = self.finish(&pending); // nobody is left to be told
        }
    }

    /// Takes a call out of the list, if it is there.
    fn take(&self, is_this: impl Fn(&Pending) -> bool) -> Option<Pending> {
        let calls = &mut self.now.lock().calls;
        let place = calls.iter().position(is_this)?;
        Some(calls.remove(place))
    }
}

impl Drop for Shared {
    /// The program leaves, perhaps in the middle of a call.
    fn drop(&mut self) {
        self.finish_started(|_| true);
    }
}

/// Runs what reads and writes files on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StateError> + Send + 'static,
) -> Result<T, String> {
    let work = move || work().map_err(|error| error.to_string());
    spawn_blocking(work).await.map_err(|broken| broken.to_string())?
}
