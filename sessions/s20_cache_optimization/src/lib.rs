#![doc = include_str!("../README.md")]
//!
//! Next page: [s21 · MCP runtime](../s21_mcp_runtime/index.html)

mod ledger;
mod place;

use std::sync::Arc;
use std::time::Instant;

use harness_app::{App, Lesson, Viewers};
use harness_core::model::models;
use harness_core::{
    Agent, CacheLife, ChildSpec, Event, Hook, HookContext, Inherit, Mechanism, Mutex, Observer,
    Request,
};

pub use ledger::{CachedPrefix, Call, Ledger};
pub use place::place;

/// What the terminal is told of this session.
pub const LESSON: Lesson = Lesson {
    name: env!("CARGO_PKG_NAME"),
    motto: "What stands first and stays the same is paid for once.",
    play: include_str!("../demo.yaml"),
};

/// This session's own flags.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
#[group(skip)]
pub struct Flags {
    /// Keep tools and system prompt for an hour: dearer to write, there after a long pause
    #[arg(long)]
    pub hour: bool,

    /// Put the time into the system prompt, as one should not, and see what it costs
    #[arg(long)]
    pub clock: bool,
}

/// The mechanism: marks every request for the server's cache, and keeps the books.
#[derive(Clone, Debug)]
pub struct PromptCache {
    flags: Flags,
    /// Who sees a line for each reply, if anybody does. A child's calls are in the sums alone.
    viewers: Option<Viewers>,
    /// What this agent has in the cache.
    known: Arc<Mutex<CachedPrefix>>,
    /// Shared by the family.
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    ledger: Ledger,
    /// The server takes no marks.
    refused: bool,
}

impl Mechanism for PromptCache {
    /// Install it last: what a later hook changes in a request is not what was marked.
    fn install(self, agent: &mut Agent) {
        agent.observers.add(Arc::new(self.clone()));
        agent.hooks.push(Arc::new(self));
    }
}

impl PromptCache {
    /// For an agent; its children are marked and counted too.
    pub fn new(flags: Flags) -> Self {
        Self { flags, viewers: None, known: Arc::default(), state: Arc::default() }
    }

    /// Shows a line behind each reply of the agent's, and a summary behind each turn.
    pub fn shown_to(self, viewers: Viewers) -> Self {
        Self { viewers: Some(viewers), ..self }
    }

    /// Joins the agent and the terminal, which gets `:cache`.
    pub fn join(self, app: App) -> App {
        let simulated = (app.agent().model_id == "script").then(|| {
            let told = "a script has no cache: hits and misses are simulated, at the prices of";
            format!("{told} {}", models::DEFAULT)
        });
        let about = "what was read from the cache, what was written, and what it saved";
        app.with(self.clone())
            .notices(simulated)
            .quick("cache", about, move |_, _| Ok(self.state.lock().ledger.table()))
    }
}

impl Hook for PromptCache {
    /// A child has a prefix of its own; its calls count in the same sums.
    fn for_child(&self, _: &ChildSpec) -> Inherit {
        Inherit::fresh(Self {
            flags: self.flags,
            viewers: None,
            known: Arc::default(),
            state: self.state.clone(),
        })
    }

    fn shape_request(&self, request: &mut Request<'_>, _: &HookContext<'_>) {
        if self.flags.clock {
            request.system.to_mut().push(format!("It is {}.", jiff::Timestamp::now()));
        }
        let mut state = self.state.lock();
        if !state.refused {
            let life = if self.flags.hour { CacheLife::OneHour } else { CacheLife::FiveMinutes };
            request.marks = place(request, life);
        }
        state.ledger.sent(&mut self.known.lock(), request, Instant::now());
    }
}

impl Observer for PromptCache {
    fn on(&self, agent: &str, event: &Event) {
        let lines = self.lines(event);
        let Some(viewers) = &self.viewers else { return };
        for line in lines {
            viewers.notice(agent, line);
        }
    }
}

impl PromptCache {
    /// Enters an event in the books. Returns what there is to say of it, a line each.
    fn lines(&self, event: &Event) -> Vec<String> {
        let mut state = self.state.lock();
        match event {
            Event::Replied(reply) => state.ledger.answered(&mut self.known.lock(), &reply.usage),
            Event::TurnEnded(_) => state.ledger.summary().to_vec(),
            // Some gateways know no marks. Better no cache than no answer.
            Event::TurnFailed(why) if why.contains("cache_control") && !state.refused => {
                state.refused = true;
                vec!["[cache] this server refuses marks; the next request has none".to_owned()]
            }
            _ => Vec::new(),
        }
    }
}
