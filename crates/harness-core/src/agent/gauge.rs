//! How full an agent's window is: by the server's own count, and an estimate of what came since.
//!
//! Nobody here has the model's tokenizer, and a guess from bytes alone is wrong by a third. But each
//! reply says how many tokens its prompt had. So only what is newer than that is guessed, and what
//! was guessed too low once is known from then on.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use crate::agent::Agent;
use crate::agent::hook::{Hook, HookContext};
use crate::conversation::Conversation;
use crate::conversation::message::{Block, Message, Role};
use crate::event::{Event, Observer};
use crate::host::mutex::Mutex;
use crate::model::models;
use crate::model::{Reply, Request, ToolSpec};

/// Where nobody has counted yet, a token stands for so many bytes. Rather too few than too many: a
/// conversation that seems too large is shortened early, one that seems too small is refused.
const BYTES: usize = 3;

/// What a request is made of.
const KINDS: [&str; 8] = [
    "system prompt",
    "tools",
    "your words",
    "notes",
    "model's words",
    "thinking",
    "tool calls",
    "tool results",
];

/// Bytes of what a model reads, by kind. Calls count as well: a file that is written is in one.
#[derive(Clone, Copy)]
struct Sizes([usize; KINDS.len()]);

impl Sizes {
    fn of(system: &[String], tools: &[ToolSpec], messages: &[Message]) -> Self {
        let mut sizes = [0; KINDS.len()];
        sizes[0] = system.iter().map(String::len).sum();
        sizes[1] = tools.iter().map(ToolSpec::size).sum();
        for message in messages {
            for block in &message.content {
                let kind = match block {
                    Block::Text(_) if message.role == Role::User => 2,
                    Block::Reminder(_) => 3,
                    Block::Text(_) | Block::Other(_) => 4,
                    Block::Thinking(_) | Block::RedactedThinking(_) => 5,
                    Block::ToolUse(_) => 6,
                    Block::ToolResult(_) => 7,
                };
                sizes[kind] += block.size();
            }
        }
        Self(sizes)
    }

    fn total(&self) -> usize {
        self.0.iter().sum()
    }
}

/// What is known of one agent.
#[derive(Clone, Copy, Debug, Default)]
struct Meter {
    /// Bytes of the request that is under way.
    sent: usize,
    /// Bytes and tokens of the last one that was answered, its reply included.
    counted: Option<(usize, u64)>,
    /// A prompt of so many tokens was refused as too long.
    refused: Option<u64>,
}

impl Meter {
    /// Servers that count nothing say zero, and are not believed.
    fn counted(&mut self, reply: &Reply) {
        let prompt = reply.usage.prompt();
        if prompt > 0 && self.sent > 0 {
            let bytes = self.sent + reply.message.size();
            self.counted = Some((bytes, prompt + reply.usage.output_tokens));
        }
    }

    fn tokens(&self, bytes: usize) -> u64 {
        match self.counted {
            // Messages were folded since: fewer bytes, and as many fewer tokens.
            Some((counted, tokens)) if bytes < counted => tokens * bytes as u64 / counted as u64,
            Some((counted, tokens)) => tokens + ((bytes - counted) / BYTES) as u64,
            None => (bytes / BYTES) as u64,
        }
    }
}

/// Measures, for each agent it is installed on (add it to the hooks and to the observers), how full the
/// window is. Agents are told apart by their names. Clones share what they know.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<Mutex<BTreeMap<String, Meter>>>);

impl Gauge {
    /// About how many tokens the agent's next request has.
    pub fn tokens(&self, agent: &Agent, c: &Conversation) -> u64 {
        let sizes = Sizes::of(agent.system.blocks(), &agent.tools.specs(), c.messages());
        self.meter(&agent.name).tokens(sizes.total())
    }

    /// What they are spent on: each kind, in the order in which they stand in a request.
    pub fn kinds(&self, agent: &Agent, c: &Conversation) -> Vec<(&'static str, u64)> {
        let Sizes(sizes) = Sizes::of(agent.system.blocks(), &agent.tools.specs(), c.messages());
        let (all, bytes) = (self.tokens(agent, c), sizes.iter().sum::<usize>().max(1));
        let part = |size| all * size as u64 / bytes as u64;
        KINDS.into_iter().zip(sizes.map(part)).collect()
    }

    /// About how many bytes so many tokens are.
    pub fn bytes(&self, agent: &Agent, tokens: u64) -> usize {
        let (bytes, counted) = self.meter(&agent.name).counted.unwrap_or((BYTES, 1));
        let bytes = u128::from(tokens) * bytes as u128 / u128::from(counted.max(1));
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// The window in tokens: as the table of models knows it, or less, where the server refused less.
    pub fn window(&self, agent: &Agent) -> u64 {
        self.within(agent, models::window(&agent.model_id))
    }

    /// The same with another figure than the table's.
    pub fn within(&self, agent: &Agent, window: u64) -> u64 {
        self.meter(&agent.name).refused.map_or(window, |refused| refused.min(window))
    }

    /// The server refused a prompt of so many tokens: the window is smaller than that.
    pub fn refused(&self, agent: &Agent, tokens: u64) {
        self.change(&agent.name, |meter| {
            meter.refused = Some(meter.refused.map_or(tokens, |refused| refused.min(tokens)));
        });
    }

    fn meter(&self, agent: &str) -> Meter {
        let meters = self.0.lock();
        meters.get(agent).copied().unwrap_or_default()
    }

    fn change(&self, agent: &str, change: impl FnOnce(&mut Meter)) {
        let mut meters = self.0.lock();
        change(meters.entry(agent.to_owned()).or_default());
    }
}

#[async_trait]
impl Hook for Gauge {
    fn shape_request(&self, request: &mut Request<'_>, t: &HookContext<'_>) {
        let sizes = Sizes::of(&request.system, &request.tools, request.messages);
        self.change(&t.agent.name, |meter| meter.sent = sizes.total());
    }
}

impl Observer for Gauge {
    fn on(&self, agent: &str, event: &Event) {
        if let Event::Replied(reply) = event {
            self.change(agent, |meter| meter.counted(reply));
        }
    }
}
