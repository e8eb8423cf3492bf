//! Behind the lesson: how full an agent's window is, by the server's own count and an estimate of what has
//! been added since.
//!
//! We do not have the model's tokenizer, and a guess from bytes alone is wrong by a third. But each reply
//! says how many tokens its prompt had. So only what is newer than that count is estimated, and the next
//! count corrects an estimate that was too low.

use std::sync::Arc;

use async_trait::async_trait;
use harness_core::model::models;
use harness_core::{
    Agent, Block, Conversation, Event, Hook, HookContext, Message, Mutex, Observer, Reply, Request,
    Role, ToolSpec,
};

/// How many bytes a token is estimated at before a server has counted. Rather too few than too many: a
/// conversation that seems too large is compacted early, one that seems too small is refused.
const BYTES_PER_TOKEN: usize = 3;

/// What a request is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All blocks of the system prompt.
    SystemPrompt,
    /// The names, descriptions and schemas of the tools.
    Tools,
    /// What the human said.
    UserText,
    /// What the harness told the model.
    Reminders,
    /// What the model said, and blocks of kinds that this program does not know.
    ModelText,
    /// What the model thought.
    Thinking,
    /// The inputs of tool calls: a file that is written stands in one.
    ToolCalls,
    /// What the tools returned.
    ToolResults,
}

impl Part {
    /// All parts, in the order in which a table shows them.
    pub const ALL: [Self; 8] = [
        Self::SystemPrompt,
        Self::Tools,
        Self::UserText,
        Self::Reminders,
        Self::ModelText,
        Self::Thinking,
        Self::ToolCalls,
        Self::ToolResults,
    ];

    /// What a table calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::SystemPrompt => "system prompt",
            Self::Tools => "tools",
            Self::UserText => "your words",
            Self::Reminders => "reminders",
            Self::ModelText => "model's words",
            Self::Thinking => "thinking",
            Self::ToolCalls => "tool calls",
            Self::ToolResults => "tool results",
        }
    }

    fn of(block: &Block, role: Role) -> Self {
        match block {
            Block::Text(_) if role == Role::User => Self::UserText,
            Block::Reminder(_) => Self::Reminders,
            Block::Text(_) | Block::Other(_) => Self::ModelText,
            Block::Thinking(_) | Block::RedactedThinking(_) => Self::Thinking,
            Block::ToolUse(_) => Self::ToolCalls,
            Block::ToolResult(_) => Self::ToolResults,
        }
    }
}

/// How many bytes a model reads in each part of a request.
#[derive(Clone, Copy, Debug, Default)]
struct Sizes {
    system_prompt: usize,
    tools: usize,
    user_text: usize,
    reminders: usize,
    model_text: usize,
    thinking: usize,
    tool_calls: usize,
    tool_results: usize,
}

impl Sizes {
    fn measure(system: &[String], tools: &[ToolSpec], messages: &[Message]) -> Self {
        let mut sizes = Self {
            system_prompt: system.iter().map(String::len).sum(),
            tools: tools.iter().map(ToolSpec::size).sum(),
            ..Self::default()
        };
        for message in messages {
            for block in &message.content {
                *sizes.part_mut(Part::of(block, message.role)) += block.size();
            }
        }
        sizes
    }

    /// Those of the agent's next request.
    fn of_next_request(agent: &Agent, conversation: &Conversation) -> Self {
        Self::measure(agent.system.blocks(), &agent.tools.specs(), conversation.messages())
    }

    fn part(mut self, part: Part) -> usize {
        *self.part_mut(part)
    }

    fn part_mut(&mut self, part: Part) -> &mut usize {
        match part {
            Part::SystemPrompt => &mut self.system_prompt,
            Part::Tools => &mut self.tools,
            Part::UserText => &mut self.user_text,
            Part::Reminders => &mut self.reminders,
            Part::ModelText => &mut self.model_text,
            Part::Thinking => &mut self.thinking,
            Part::ToolCalls => &mut self.tool_calls,
            Part::ToolResults => &mut self.tool_results,
        }
    }

    fn total(self) -> usize {
        Part::ALL.into_iter().map(|part| self.part(part)).sum()
    }
}

/// A request and its reply, as a server has counted them.
#[derive(Clone, Copy, Debug)]
struct Count {
    bytes: usize,
    tokens: u64,
}

/// What is known of one agent's window.
#[derive(Clone, Copy, Debug, Default)]
struct Meter {
    /// The bytes of the request that is under way.
    sent: usize,
    /// The last request that was answered.
    last_count: Option<Count>,
    /// The smallest prompt that was refused as too long, in tokens.
    refused: Option<u64>,
}

impl Meter {
    /// Servers that do not count report zero; they are not believed.
    fn replied(&mut self, reply: &Reply) {
        let prompt = reply.usage.prompt();
        if prompt == 0 || self.sent == 0 {
            return;
        }
        self.last_count = Some(Count {
            bytes: self.sent + reply.message.size(),
            tokens: prompt + reply.usage.output_tokens,
        });
    }

    fn refused(&mut self, tokens: u64) {
        let smallest = self.refused.unwrap_or(tokens);
        self.refused = Some(smallest.min(tokens));
    }

    fn tokens(&self, bytes: usize) -> u64 {
        let Some(Count { bytes: counted, tokens }) = self.last_count else {
            return (bytes / BYTES_PER_TOKEN) as u64;
        };
        if bytes < counted {
            // The conversation was compacted since: fewer bytes, and as many fewer tokens.
            return tokens * bytes as u64 / counted as u64;
        }
        tokens + ((bytes - counted) / BYTES_PER_TOKEN) as u64
    }

    fn bytes(&self, tokens: u64) -> usize {
        let estimate = Count { bytes: BYTES_PER_TOKEN, tokens: 1 };
        let known = self.last_count.unwrap_or(estimate);
        let bytes = u128::from(tokens) * known.bytes as u128 / u128::from(known.tokens.max(1));
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }
}

/// Measures how full the window is of the one agent that has it among its hooks and its observers. A child of that
/// agent has one of its own. Clones share what they know.
#[derive(Clone, Debug, Default)]
pub struct ContextUsage(Arc<Mutex<Meter>>);

impl ContextUsage {
    /// About how many tokens the agent's next request has.
    pub fn tokens(&self, agent: &Agent, conversation: &Conversation) -> u64 {
        let sizes = Sizes::of_next_request(agent, conversation);
        self.0.lock().tokens(sizes.total())
    }

    /// About how many tokens of that are spent on each part, in the order of [`Part::ALL`].
    pub fn parts(&self, agent: &Agent, conversation: &Conversation) -> Vec<(Part, u64)> {
        let sizes = Sizes::of_next_request(agent, conversation);
        let bytes = sizes.total();
        let tokens = self.0.lock().tokens(bytes);
        let share = |part: Part| tokens * sizes.part(part) as u64 / bytes.max(1) as u64;
        Part::ALL.into_iter().map(|part| (part, share(part))).collect()
    }

    /// About how many bytes this many tokens are.
    pub fn bytes(&self, tokens: u64) -> usize {
        self.0.lock().bytes(tokens)
    }

    /// The window in tokens: what the table of models says, or less where the server has refused less.
    pub fn window(&self, agent: &Agent) -> u64 {
        self.window_up_to(models::window(&agent.model_id))
    }

    /// The same with another figure than the table's.
    pub fn window_up_to(&self, window: u64) -> u64 {
        let refused = self.0.lock().refused;
        refused.unwrap_or(window).min(window)
    }

    /// Learns that the server refused a prompt of this many tokens: the window is smaller than that.
    pub fn refused(&self, tokens: u64) {
        self.0.lock().refused(tokens);
    }
}

#[async_trait]
impl Hook for ContextUsage {
    fn shape_request(&self, request: &mut Request<'_>, _: &HookContext<'_>) {
        let sizes = Sizes::measure(&request.system, &request.tools, request.messages);
        self.0.lock().sent = sizes.total();
    }
}

impl Observer for ContextUsage {
    fn on(&self, _: &str, event: &Event) {
        if let Event::Replied(reply) = event {
            self.0.lock().replied(reply);
        }
    }
}
