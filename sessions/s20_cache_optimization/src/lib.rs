#![doc = include_str!("../README.md")]
//!
//! Next page: [s21 · MCP runtime](../s21_mcp_runtime/index.html)

mod ledger;
mod place;

use std::sync::Arc;
use std::time::Instant;

use harness_app::{App, Lesson};
use harness_cli::{DIM, LineFront, Screen};
use harness_core::host::text;
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
    audience: Audience,
    /// What this agent has in the cache.
    known: Arc<Mutex<CachedPrefix>>,
    /// Shared by the family.
    state: Arc<Mutex<State>>,
}

/// Whether the user is told of an agent's calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Audience {
    /// Of each, as it happens.
    User,
    /// In the sums alone: a child's.
    Sums,
}

#[derive(Debug, Default)]
struct State {
    ledger: Ledger,
    /// The server takes no marks.
    refused: bool,
    /// What the user has not been told yet.
    news: Vec<String>,
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
        Self { flags, audience: Audience::User, known: Arc::default(), state: Arc::default() }
    }

    /// Adds a line behind each reply.
    pub fn lines(&self, front: impl Into<LineFront>) -> LineFront {
        let cache = self.clone();
        front.into().add_display(move |screen| Arc::new(Teller { screen, cache }))
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
            audience: Audience::Sums,
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
    fn on(&self, _: &str, event: &Event) {
        let mut state = self.state.lock();
        let news = match event {
            Event::Replied(reply) => state.ledger.answered(&mut self.known.lock(), &reply.usage),
            Event::TurnEnded(_) if self.audience == Audience::User => {
                state.ledger.summary().to_vec()
            }
            // Some gateways know no marks. Better no cache than no answer.
            Event::TurnFailed(why) if why.contains("cache_control") && !state.refused => {
                state.refused = true;
                vec!["[cache] this server refuses marks; the next request has none".to_owned()]
            }
            _ => return,
        };
        if self.audience == Audience::User {
            state.news.extend(news);
        }
    }
}

/// Shows the news when the display is done with what they are about.
struct Teller {
    screen: Screen,
    cache: PromptCache,
}

impl Observer for Teller {
    fn on(&self, _: &str, event: &Event) {
        if let Event::Replied(_) | Event::TurnEnded(_) | Event::TurnFailed(_) = event {
            for line in std::mem::take(&mut self.cache.state.lock().news) {
                self.screen.end_line();
                self.screen.styled(DIM, &text::strip(&line));
                self.screen.end_line();
            }
        }
    }
}
