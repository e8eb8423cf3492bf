#![doc = include_str!("../README.md")]
//!
//! Next page: [s07 · Tasks](../s07_task_system/index.html)

mod bars;
mod disk;
mod summary;
mod usage;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use harness_app::{App, Lesson};
use harness_core::host::text::digits;
use harness_core::host::workspace::WorkspaceError;
use harness_core::model::models;
use harness_core::{
    Agent, AgentError, Chat, ChildSpec, Content, Conversation, Cut, Event, Hook, HookContext,
    HookReason, Inherit, Mechanism, Message, ModelError, ToolResult,
};
use tokio_util::sync::CancellationToken;

pub use disk::MEMORY;
pub use summary::HEADINGS;
pub use usage::{ContextUsage, Part};

use bars::{Row, Stroke, bars};
use summary::Limits;

/// What the terminal is told of this session.
pub const LESSON: Lesson = Lesson {
    name: env!("CARGO_PKG_NAME"),
    motto: "Forget on purpose; the disk remembers.",
    play: include_str!("../demo.yaml"),
};

/// Room is made when the window is fuller than this, in percent.
const FULL: u64 = 92;
/// The window is roomy enough when it is at most this full, in percent.
const ROOMY: u64 = 50;
/// The newest messages stay as they are: as many as fit into this part of the window, in percent, but at
/// most a third of the conversation.
const NEWEST: u64 = 20;
/// After an attempt the next one waits until the conversation has grown by this part of the window, in
/// percent.
const PAUSE: u64 = 5;
/// A text of at most this many bytes stays: a stub would hardly be shorter.
const SMALL: usize = 1_000;
/// The window of a script, in tokens: small enough for the play to fill it.
const SCRIPT_WINDOW: u64 = 5_800;

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
    usage: ContextUsage,
    /// How many bytes the conversation had after the last attempt.
    last_attempt: Arc<AtomicUsize>,
}

impl Mechanism for Compact {
    fn install(self, agent: &mut Agent) {
        for block in &self.standing {
            agent.system.push_for_family(block.as_str());
        }
        agent.observers.add(Arc::new(self.usage.clone()));
        agent.hooks.push(Arc::new(self.usage.clone()));
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
        let usage = ContextUsage::default();
        Ok(Self { window, standing, usage, last_attempt: Arc::default() })
    }

    /// Joins the agent and the terminal, which gets `:compact` and `:context`.
    pub fn join(self, app: App) -> App {
        let about = "compact the conversation now; say what matters";
        let compact = self.clone();
        let app = app.with(self.clone()).command("compact", about, move |chat, focus| {
            let compact = compact.clone();
            Box::pin(async move { compact.now(chat, focus).await })
        });
        app.quick("context", "what fills the window", move |chat, _| {
            Ok(self.table(&chat.agent, &chat.conversation, harness_cli::columns()))
        })
    }

    /// `:compact`: as much as can be, and at once.
    async fn now(&self, chat: &mut Chat, focus: &str) -> Result<String> {
        let agent = &chat.agent;
        let conversation = &mut chat.conversation;
        let before = self.usage.tokens(agent, conversation);
        let cut = conversation.cut(1).context("there is nothing to compact yet")?;
        let cancel = CancellationToken::new();
        let context = HookContext { agent, cancel: &cancel, why: HookReason::Step };
        self.compact(conversation, cut, &context, focus).await?;
        Ok(self.describe(before, agent, conversation))
    }

    /// The window in tokens: as the user says, else as the table of models says; less, where the server has
    /// refused what should have fitted.
    pub fn window(&self, agent: &Agent) -> u64 {
        let known = match agent.model_id.as_str() {
            "script" => SCRIPT_WINDOW,
            id => models::window(id),
        };
        self.usage.window_up_to(self.window.unwrap_or(known))
    }

    /// How full the window is, in percent.
    fn percent(&self, agent: &Agent, c: &Conversation) -> u64 {
        self.usage.tokens(agent, c) * 100 / self.window(agent).max(1)
    }

    /// What fills the window, as a table of bars that is at most `columns` wide.
    pub fn table(&self, agent: &Agent, c: &Conversation, columns: usize) -> String {
        let used = self.usage.tokens(agent, c);
        let window = self.window(agent);
        let full = window * FULL / 100;
        let free = window.saturating_sub(used);
        let parts = self.usage.parts(agent, c).into_iter();
        let mut rows: Vec<Row<'_>> = parts
            .map(|(part, number)| Row { name: part.name(), number, stroke: Stroke::Full })
            .collect();
        rows.push(Row { name: "free", number: free, stroke: Stroke::Light });
        format!(
            "about {} of {} tokens\nroom is made at {}\n{}",
            digits(used),
            digits(window),
            digits(full),
            bars(&rows, window, columns),
        )
    }

    /// The layers, from the cheapest on. Where one fails, the conversation is no worse than before.
    async fn make_room(&self, c: &mut Conversation, t: &HookContext<'_>) -> Result<()> {
        let agent = t.agent;
        let all: usize = c.messages().iter().map(Message::size).sum();
        let newest = self.usage.bytes(self.window(agent) * NEWEST / 100).min(all / 3);

        // The first layer, on a copy: it may not be enough.
        let mut lighter = c.clone();
        prune(&mut lighter, agent, newest)?;

        // The second layer, on the original: the summary is made from the whole results.
        let cut = c.cut(c.fitting(newest)).filter(|cut| c.before(cut).len() > 1);
        let compacted = match cut {
            Some(cut) if self.percent(agent, &lighter) > ROOMY => self.compact(c, cut, t, "").await,
            _ => {
                *c = lighter;
                Ok(())
            }
        };
        if compacted.is_err() && self.percent(agent, c) < 100 {
            return compacted; // it still fits as it is
        }

        // Whatever is left: better read from a file than not at all.
        for newest in [newest, 0] {
            if self.percent(agent, c) > FULL {
                prune(c, agent, newest)?;
            }
        }
        if self.percent(agent, c) > FULL {
            c.shorten_words(newest.max(SMALL), |text| disk::stub(agent, text))?;
        }
        compacted
    }

    /// Replaces what stands before the cut by a summary of it, and adds that to the memory. The conversation
    /// is changed last and at once, so an interrupt loses nothing.
    async fn compact(
        &self,
        c: &mut Conversation,
        cut: Cut,
        t: &HookContext<'_>,
        focus: &str,
    ) -> Result<()> {
        let old = c.before(&cut);
        let window = self.window(t.agent);
        let limits =
            Limits { source_bytes: self.usage.bytes(window / 2), summary_tokens: window / 8 };
        let summary = summary::write(t, old, focus, limits).await?;
        let reminder = summary::reminder(t.agent, old, &summary)?;
        if let Err(why) = disk::remember(t.agent, &summary) {
            t.agent.emit(&Event::Notice(format!("{MEMORY} was not written: {why}")));
        }
        t.agent.emit(&Event::Compacted { messages: old.len() });
        c.compact(cut, reminder);
        Ok(())
    }

    fn describe(&self, before: u64, agent: &Agent, c: &Conversation) -> String {
        format!(
            "about {} → {} of {} tokens, put away in .harness/compacted",
            digits(before),
            digits(self.usage.tokens(agent, c)),
            digits(self.window(agent)),
        )
    }
}

#[async_trait]
impl Hook for Compact {
    /// A child has a window of its own to watch. What earlier sessions left is in its system prompt already.
    fn for_child(&self, _: &ChildSpec) -> Inherit {
        Inherit::fresh(Self {
            window: self.window,
            standing: Vec::new(),
            usage: ContextUsage::default(),
            last_attempt: Arc::default(),
        })
    }

    /// Inside the turn, before each request: one long turn overflows as well as many short ones.
    async fn before_model(
        &self,
        c: &mut Conversation,
        t: &HookContext<'_>,
    ) -> Result<(), AgentError> {
        let before = self.usage.tokens(t.agent, c);
        if t.why == HookReason::Overflow {
            self.usage.refused(before);
        }
        let window = self.window(t.agent);
        let bytes = |tokens| self.usage.bytes(tokens);
        let next_attempt = self.last_attempt.load(Ordering::Relaxed) + bytes(window * PAUSE / 100);
        let fits = before <= window * FULL / 100;
        if t.why == HookReason::Step && (fits || bytes(before) < next_attempt) {
            return Ok(());
        }

        let made = self.make_room(c, t).await;
        let after = self.usage.tokens(t.agent, c);
        self.last_attempt.store(bytes(after), Ordering::Relaxed);

        let what = match made {
            _ if after < before => self.describe(before, t.agent, c),
            Ok(()) => "no room was made: nothing is left to put away".to_owned(),
            Err(why) => format!("no room was made: {why:#}"),
        };
        if after < window || t.why == HookReason::Step {
            // An estimate is no reason to give up; the server may take the request.
            t.agent.emit(&Event::Notice(what));
            return Ok(());
        }
        let parts = self.usage.parts(t.agent, c);
        let largest = parts.iter().max_by_key(|(_, tokens)| *tokens);
        let largest = largest.map_or("", |(part, _)| part.name());
        Err(ModelError::TooLong { why: format!("{what}; most of it is {largest}") }.into())
    }
}

/// The first layer: puts results away, but for the newest that fit into this many bytes, and those that the
/// model has not seen yet. With no bytes at all, it puts away these too.
fn prune(c: &mut Conversation, agent: &Agent, newest: usize) -> Result<(), WorkspaceError> {
    let results: Vec<ToolResult> =
        c.messages().iter().flat_map(Message::results).cloned().collect();
    let unseen = match c.messages().last() {
        Some(last) if newest > 0 => last.results().count(),
        _ => 0,
    };
    let mut bytes = 0;
    for (age, result) in results.iter().rev().enumerate() {
        let Content::Text(text) = &result.content else { continue };
        bytes += text.len();
        let is_old = age >= unseen && bytes > newest;
        if is_old && text.len() > SMALL {
            c.shorten(&result.tool_use_id, disk::stub(agent, text)?);
        }
    }
    Ok(())
}
