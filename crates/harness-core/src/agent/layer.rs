//! The seventh seam: turn layers, the middleware around a whole turn.
//!
//! A layer sees a turn before the loop begins and after it has ended: it can refuse a prompt, split it into
//! tasks, or begin the turn again. It works wherever an agent does, with or without a terminal.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::{Agent, AgentError};
use crate::conversation::Conversation;
use crate::event::TurnOutcome;

/// An agent and the conversation it is in.
#[derive(Debug)]
pub struct Chat {
    /// The agent.
    pub agent: Agent,
    /// Its conversation.
    pub conversation: Conversation,
}

/// Why a turn begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// A person said this.
    Said(String),
    /// Nobody said anything: there is news that a `before_model` hook adds, or a turn goes on.
    News,
}

impl Prompt {
    /// What was said; nothing for news.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Said(text) => Some(text),
            Self::News => None,
        }
    }
}

impl From<&str> for Prompt {
    fn from(text: &str) -> Self {
        Self::Said(text.to_owned())
    }
}

/// Middleware around a turn. Do your part and call `next`; the last `next` runs the loop.
#[async_trait]
pub trait TurnLayer: Send + Sync {
    /// Answers what the person said. The conversation is valid however this ends.
    ///
    /// # Errors
    /// The turn could not be finished; the next one can be started all the same.
    async fn turn(
        &self,
        prompt: Prompt,
        chat: &mut Chat,
        cancel: &CancellationToken,
        next: Next<'_>,
    ) -> Result<TurnOutcome, AgentError>;
}

/// The layers that are still to come, and behind them the loop.
#[derive(Clone, Copy, Default)]
pub struct Next<'a>(&'a [Arc<dyn TurnLayer>]);

impl<'a> Next<'a> {
    /// A turn through these layers, the first one outermost.
    pub fn through(layers: &'a [Arc<dyn TurnLayer>]) -> Self {
        Self(layers)
    }

    /// Hands the turn on.
    ///
    /// # Errors
    /// As in [`TurnLayer::turn`].
    pub async fn turn(
        self,
        prompt: Prompt,
        chat: &mut Chat,
        cancel: &CancellationToken,
    ) -> Result<TurnOutcome, AgentError> {
        if let Some((outermost, inner)) = self.0.split_first() {
            return outermost.turn(prompt, chat, cancel, Next(inner)).await;
        }
        if let Prompt::Said(text) = prompt {
            chat.conversation.say(text);
        }
        chat.agent.run(&mut chat.conversation, cancel).await
    }
}

impl std::fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Next({})", self.0.len())
    }
}
