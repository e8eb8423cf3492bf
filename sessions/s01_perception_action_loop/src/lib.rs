#![doc = include_str!("../README.md")]
//!
//! Next page: [s02 · Tools](../s02_tool_use/index.html)

use async_trait::async_trait;
use harness_app::Lesson;
use harness_core::tool::builtin::Bash;
use harness_core::{
    Agent, AgentError, Chat, Conversation, Next, Prompt, StopReason, Toolbox, TurnLayer,
    TurnOutcome,
};
use tokio_util::sync::CancellationToken;

/// What the terminal is told of this session.
pub const LESSON: Lesson = Lesson {
    name: env!("CARGO_PKG_NAME"),
    motto: "The loop is the agent.",
    play: include_str!("../demo.yaml"),
};

/// The loop of this lesson, written out. Every later session uses the core's, which does the same and
/// lets mechanisms hook in; this one shows that there is nothing else to it.
#[derive(Clone, Copy, Debug)]
pub struct Loop;

#[async_trait]
impl TurnLayer for Loop {
    async fn turn(
        &self,
        prompt: Prompt,
        chat: &mut Chat,
        cancel: &CancellationToken,
        _: Next<'_>,
    ) -> Result<TurnOutcome, AgentError> {
        if let Prompt::Said(text) = prompt {
            chat.conversation.say(text);
        }
        perceive_and_act(&chat.agent, &mut chat.conversation, cancel).await
    }
}

/// Thinks, acts, and again, until the model calls no tool.
///
/// # Errors
/// The model cannot be asked, a tool says that the harness is broken, or the step limit is reached.
pub async fn perceive_and_act(
    agent: &Agent,
    conversation: &mut Conversation,
    cancel: &CancellationToken,
) -> Result<TurnOutcome, AgentError> {
    for _ in 0..agent.max_steps {
        // Think: the whole history goes to the model, one reply comes back.
        let Some(reply) = agent.think(conversation, cancel).await? else {
            return Ok(TurnOutcome::Interrupted);
        };
        if reply.stop == StopReason::Refusal {
            return Ok(TurnOutcome::Refused(reply.text()));
        }
        conversation.reply(&reply.message);
        // Act: run what it called, and answer every call in the very next message.
        let calls = conversation.calls();
        if calls.is_empty() {
            return Ok(TurnOutcome::Answered(conversation.answered()));
        }
        let acted = agent.act(&calls, cancel).await;
        conversation.answer(acted.results);
        if let Some(fatal) = acted.fatal {
            return Err(fatal);
        }
    }
    Err(AgentError::TooManySteps(agent.max_steps))
}

/// This agent with one tool, which is enough: a shell reads, writes and searches.
pub fn only_bash(mut agent: Agent) -> Agent {
    agent.tools = Toolbox::new().with(Bash);
    agent
}
