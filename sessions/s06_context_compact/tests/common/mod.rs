//! A model that a closure speaks for, and an agent around it.
#![allow(dead_code, clippy::unwrap_used, reason = "each test binary uses a part of it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{StreamExt, stream};
use harness_core::{
    Agent, Block, Content, Conversation, Delta, Effect, Message, Model, ModelError, ModelStream,
    Reply, Request, StopReason, Tool, ToolCall, ToolContext, ToolError, Usage,
};
use harness_testkit::{Folder, Witness};
use s06_context_compact::Compact;
use serde_json::Map;

pub(crate) type Said = Result<Reply, ModelError>;

/// A model that a closure speaks for. A token is four bytes to it.
#[derive(Clone)]
pub(crate) struct By(pub(crate) Arc<dyn Fn(&Request<'_>) -> Said + Send + Sync>);

impl Model for By {
    fn stream(&self, request: &Request<'_>) -> ModelStream {
        stream::iter([(self.0)(request).map(Delta::Done)]).boxed()
    }
}

/// A reply with a usage, as a server counts it.
pub(crate) fn reply(request: &Request<'_>, content: Vec<Block>) -> Said {
    let calls = content.iter().any(|block| matches!(block, Block::ToolUse(_)));
    let stop = if calls { StopReason::ToolUse } else { StopReason::EndTurn };
    let input_tokens = (serde_json::to_string(request).unwrap().len() / 4) as u64;
    let output_tokens = (serde_json::to_string(&content).unwrap().len() / 4) as u64;
    let usage = Usage { input_tokens, output_tokens, ..Usage::default() };
    Ok(Reply::new(Message::assistant(content), stop, usage))
}

/// What a server with this window says to a larger prompt.
pub(crate) fn within(window: usize, request: &Request<'_>, answer: Said) -> Said {
    let tokens = serde_json::to_string(request).unwrap().len() / 4;
    match tokens > window {
        true => Err(ModelError::TooLong { why: format!("{tokens} > {window}") }),
        false => answer,
    }
}

pub(crate) fn says(request: &Request<'_>, text: &str) -> Said {
    reply(request, vec![Block::text(text)])
}

pub(crate) fn call(id: &str, tool: &str, input: serde_json::Value) -> Block {
    let input = input.as_object().cloned().unwrap_or_default();
    Block::ToolUse(ToolCall { id: id.into(), name: tool.into(), input, rest: Map::new() })
}

/// A good summary; `word` is in it.
pub(crate) fn summary(word: &str) -> String {
    format!(
        "## Goal\n{word}\n## Done\n-\n## In progress\n-\n## Files\n-\n## Decisions\n-\n## Next\n-"
    )
}

/// What the summary is made of, if this is the request for one.
pub(crate) fn source(request: &Request<'_>) -> Option<String> {
    (request.agent == "compact").then(|| request.messages[0].text())
}

/// Returns so many bytes, other ones each time.
#[derive(Default)]
pub(crate) struct Look(AtomicUsize);

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Size {
    /// How many bytes.
    bytes: usize,
}

impl Tool for Look {
    const NAME: &'static str = "look";
    const ABOUT: &'static str = "Returns so many bytes.";
    type Input = Size;

    fn effect(&self, _: &Size) -> Effect {
        Effect::Internal
    }

    async fn call(&self, input: Size, _: &ToolContext) -> Result<Content, ToolError> {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        Ok(format!("look {number} ").repeat(input.bytes / 7 + 1)[..input.bytes].to_owned().into())
    }
}

/// An agent in a folder of its own, with one tool, a small window, and a witness of its requests.
pub(crate) struct Lead {
    pub(crate) folder: Folder,
    pub(crate) agent: Agent,
    pub(crate) compact: Compact,
    pub(crate) witness: Witness<By>,
    pub(crate) c: Conversation,
}

pub(crate) fn lead(
    window: u64,
    model: impl Fn(&Request<'_>) -> Said + Send + Sync + 'static,
) -> Lead {
    lead_in(Folder::new(), window, model)
}

pub(crate) fn lead_in(
    folder: Folder,
    window: u64,
    model: impl Fn(&Request<'_>) -> Said + Send + Sync + 'static,
) -> Lead {
    let witness = Witness::new(By(Arc::new(model))).allow_rewrites();
    let mut agent = Agent::new(Arc::new(witness.clone()), folder.path());
    agent.tools.add(Look::default());
    let compact = Compact::open(&agent, Some(window)).unwrap();
    let agent = agent.with(compact.clone());
    Lead { folder, agent, compact, witness, c: Conversation::new() }
}

impl Lead {
    pub(crate) async fn say(&mut self, words: &str) -> Result<harness_core::TurnOutcome, String> {
        self.c.say(words);
        let stop = self.agent.run(&mut self.c, &Default::default()).await;
        stop.map_err(|error| error.to_string())
    }

    /// The sizes of all requests so far, in tokens as the model counts.
    pub(crate) fn sizes(&self) -> Vec<usize> {
        let requests = self.witness.requests_of("lead");
        requests.iter().map(|body| body.to_string().len() / 4).collect()
    }
}
