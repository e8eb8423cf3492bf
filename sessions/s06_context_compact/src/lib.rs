#![doc = include_str!("../README.md")]
//!
//! Next page: [s07 · Tasks](../s07_task_system/index.html)

mod disk;
mod summary;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use harness_cli::{App, Lesson, bars};
use harness_core::host::text::digits;
use harness_core::host::workspace::WorkspaceError;
use harness_core::model::models;
use harness_core::{
    Agent, AgentError, ChildSpec, Content, Conversation, Cut, Event, Gauge, Hook, HookContext,
    HookReason, Inherit, Mechanism, Message, ModelError,
};

pub use disk::MEMORY;
pub use summary::HEADINGS;

/// What the terminal is told of this session.
pub const LESSON: Lesson = Lesson {
    name: env!("CARGO_PKG_NAME"),
    motto: "Forget on purpose; the disk remembers.",
    play: include_str!("../demo.yaml"),
};

/// Room is made when the window is so full, in percent.
const FULL: u64 = 92;
/// It is enough when the window is at most so full.
const ROOMY: u64 = 50;
/// The newest messages stay as they are, as far as they fit into this part and are a third at most.
const NEWEST: u64 = 20;
/// After an attempt the next one waits until the conversation has grown by this part.
const PAUSE: u64 = 5;
/// A text of at most so many bytes stays: a stub would hardly be shorter.
const SMALL: usize = 1_000;
/// A script has no window. This one is small enough for the play to fill it.
const OF_A_SCRIPT: u64 = 5_800;

/// This session's own flags.
#[derive(Clone, Copy, Debug, clap::Args)]
#[group(skip)]
pub struct Flags {
    /// The model's window in tokens [default: what is known of the model]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1_000..))]
    pub window: Option<u64>,
}

/// The mechanism: it watches how full the window is, and makes room before a request would not fit.
#[derive(Clone, Debug)]
pub struct Compact {
    window: Option<u64>,
    standing: Vec<String>,
    gauge: Gauge,
    /// How many bytes there were after the last attempt.
    tried: Arc<AtomicUsize>,
}

impl Mechanism for Compact {
    fn install(self, agent: &mut Agent) {
        for block in &self.standing {
            agent.system.push_for_family(block.as_str());
        }
        agent.observers.add(Arc::new(self.gauge.clone()));
        agent.hooks.push(Arc::new(self.gauge.clone()));
        agent.hooks.push(Arc::new(self));
    }
}

impl Compact {
    /// Reads what earlier sessions left in the agent's workspace. Once: a system prompt that changed on
    /// the way would empty the prompt cache. `window` in tokens, where the table of models is wrong.
    ///
    /// # Errors
    /// A file is there and cannot be read.
    pub fn open(agent: &Agent, window: Option<u64>) -> Result<Self, WorkspaceError> {
        let standing = disk::standing(&agent.cwd)?;
        Ok(Self { window, standing, gauge: Gauge::default(), tried: Arc::default() })
    }

    /// Joins the agent and the terminal, which gets `:compact` and `:context`.
    pub fn join(self, app: App) -> App {
        let (app, compact) = (app.with(self.clone()), self.clone());
        app.command("compact", "fold the conversation now; say what matters", move |chat, focus| {
            let compact = compact.clone();
            Box::pin(async move {
                let (agent, c, cancel) = (&chat.agent, &mut chat.conversation, &Default::default());
                let before = compact.gauge.tokens(agent, c);
                let cut = c.cut(1).context("there is nothing to fold yet")?;
                compact
                    .fold(c, cut, &HookContext { agent, cancel, why: HookReason::Step }, focus)
                    .await?;
                Ok(compact.told(before, agent, c))
            })
        })
        .quick("context", "what fills the window", move |chat, _| {
            Ok(self.table(&chat.agent, &chat.conversation, harness_cli::columns()))
        })
    }

    /// The window: as told, else as known; less, where the server refused what should have fitted.
    pub fn window(&self, agent: &Agent) -> u64 {
        let id = agent.model_id.as_str();
        let known = if id == "script" { OF_A_SCRIPT } else { models::window(id) };
        self.gauge.within(agent, self.window.unwrap_or(known))
    }

    /// What fills the window, with bars, on so many columns.
    pub fn table(&self, agent: &Agent, c: &Conversation, columns: usize) -> String {
        let (used, window) = (self.gauge.tokens(agent, c), self.window(agent));
        let mut rows = self.gauge.kinds(agent, c);
        rows.push(("free", window.saturating_sub(used)));
        let table = bars(&rows, window, columns);
        let [used, window, full] = [used, window, window * FULL / 100].map(digits);
        format!("about {used} of {window} tokens\nroom is made at {full}\n{table}")
    }

    /// The layers, from the cheapest on. Where one fails, the conversation is no worse than before.
    async fn make_room(&self, c: &mut Conversation, t: &HookContext<'_>) -> Result<()> {
        let (agent, window) = (t.agent, self.window(t.agent));
        let all: usize = c.messages().iter().map(Message::size).sum();
        let newest = self.gauge.bytes(agent, window * NEWEST / 100).min(all / 3);
        let percent = |c: &Conversation| self.gauge.tokens(agent, c) * 100 / window.max(1);
        let mut lighter = c.clone();
        prune(&mut lighter, agent, newest)?;
        let cut = c.cut(c.fitting(newest));
        let folded = match cut.filter(|cut| c.before(cut).len() > 1) {
            Some(cut) if percent(&lighter) > ROOMY => self.fold(c, cut, t, "").await,
            _ => {
                *c = lighter;
                Ok(())
            }
        };
        if folded.is_err() && percent(c) < 100 {
            return folded; // it still fits as it is
        }
        for newest in [newest, 0] {
            if percent(c) > FULL {
                prune(c, agent, newest)?; // better read from a file than not at all
            }
        }
        if percent(c) > FULL {
            c.shorten_words(newest.max(SMALL), |words| disk::put_away(agent, words))?;
        }
        folded
    }

    /// Replaces what stands before the cut by a summary of it, and adds that to the memory. The
    /// conversation is changed last and at once: whoever interrupts loses nothing.
    async fn fold(
        &self,
        c: &mut Conversation,
        cut: Cut,
        t: &HookContext<'_>,
        focus: &str,
    ) -> Result<()> {
        let (old, window) = (c.before(&cut), self.window(t.agent));
        let room = (self.gauge.bytes(t.agent, window / 2), window / 8);
        let summary = summary::write(t, old, focus, room).await?;
        let note = summary::note(t.agent, old, &summary)?;
        if let Err(why) = disk::remember(t.agent, &summary) {
            t.agent.emit(&Event::Notice(format!("{MEMORY} was not written: {why}")));
        }
        t.agent.emit(&Event::Compacted { messages: old.len() });
        c.compact(cut, note);
        Ok(())
    }

    fn told(&self, before: u64, agent: &Agent, c: &Conversation) -> String {
        let counts = [before, self.gauge.tokens(agent, c), self.window(agent)];
        let [before, after, window] = counts.map(digits);
        format!("about {before} → {after} of {window} tokens, put away in .harness/compacted")
    }
}

#[async_trait]
impl Hook for Compact {
    /// A child has a window of its own to watch. What earlier sessions left is in its system prompt already.
    fn for_child(&self, _: &ChildSpec) -> Inherit {
        Inherit::fresh(Self {
            window: self.window,
            standing: Vec::new(),
            gauge: Gauge::default(),
            tried: Arc::default(),
        })
    }

    /// Inside the turn, before each request: one long turn overflows as well as many short ones.
    async fn before_model(
        &self,
        c: &mut Conversation,
        t: &HookContext<'_>,
    ) -> Result<(), AgentError> {
        let before = self.gauge.tokens(t.agent, c);
        if t.why == HookReason::Overflow {
            self.gauge.refused(t.agent, before);
        }
        let window = self.window(t.agent);
        let bytes = |tokens| self.gauge.bytes(t.agent, tokens);
        let again = self.tried.load(Ordering::Relaxed) + bytes(window * PAUSE / 100);
        if t.why == HookReason::Step && (before <= window * FULL / 100 || bytes(before) < again) {
            return Ok(());
        }
        let made = self.make_room(c, t).await;
        let after = self.gauge.tokens(t.agent, c);
        self.tried.store(bytes(after), Ordering::Relaxed);
        let what = match made {
            _ if after < before => self.told(before, t.agent, c),
            Ok(()) => "no room was made: nothing is left to put away".to_owned(),
            Err(why) => format!("no room was made: {why:#}"),
        };
        if after < window || t.why == HookReason::Step {
            t.agent.emit(&Event::Notice(what)); // an estimate is no reason to refuse; the server may
            return Ok(());
        }
        let kinds = self.gauge.kinds(t.agent, c);
        let most = kinds.iter().max_by_key(|(_, tokens)| *tokens).map_or("", |(kind, _)| kind);
        Err(ModelError::TooLong { why: format!("{what}; most of it is {most}") }.into())
    }
}

/// The first layer: puts results away, but for the newest that fit into so many bytes, and those that
/// the model has not seen yet. With no bytes at all, it puts away these too.
fn prune(c: &mut Conversation, agent: &Agent, newest: usize) -> Result<(), WorkspaceError> {
    let results: Vec<_> = c.messages().iter().flat_map(Message::results).cloned().collect();
    let last = c.messages().last().map_or(0, |message| message.results().count());
    let (unseen, mut bytes) = (if newest == 0 { 0 } else { last }, 0);
    for (at, result) in results.iter().rev().enumerate() {
        let Content::Text(text) = &result.content else { continue };
        bytes += text.len();
        if at >= unseen && bytes > newest && text.len() > SMALL {
            c.shorten(&result.tool_use_id, disk::put_away(agent, text)?);
        }
    }
    Ok(())
}
