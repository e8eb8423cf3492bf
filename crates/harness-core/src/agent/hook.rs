//! The fourth seam: hooks. Each point has its own kind of answer, so that a hook cannot answer what
//! was not asked.
//!
//! A hook is code in this process. Session 16 puts a bus on this seam, through which programs outside of it
//! decide as well.

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::agent::{Agent, AgentError};
use crate::conversation::Conversation;
use crate::conversation::message::{ToolCall, ToolResult};
use crate::model::Request;
use crate::permission::Verdict;
use crate::tool::{ChildSpec, Effect, ToolContext};

/// Which turn a hook is called in.
#[derive(Clone, Copy, Debug)]
pub struct HookContext<'a> {
    /// The agent whose turn it is.
    pub agent: &'a Agent,
    /// Cancelled when the user interrupts.
    pub cancel: &'a CancellationToken,
    /// Why the hook is called.
    pub why: HookReason,
}

/// Why `before_model` is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HookReason {
    /// The next step of a turn.
    Step,
    /// The model said that the prompt is too long: make it shorter, the same step is tried once more.
    Overflow,
}

/// What a child of an agent gets of one of its hooks.
pub enum Inherit {
    /// Nothing: the hook belongs to this one agent.
    Nothing,
    /// The hook itself, shared with the parent: what it guards or records holds for the whole family.
    Same,
    /// Something of its own, that is installed on the child: see [`Inherit::fresh`].
    Fresh(Box<dyn FnOnce(&mut Agent) + Send>),
}

impl std::fmt::Debug for Inherit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Same => "Same",
            Self::Fresh(_) => "Fresh",
        })
    }
}

/// Code that is asked at six points of a turn. Hooks run in the order they were installed.
#[async_trait]
pub trait Hook: Send + Sync {
    /// Before each request: the place to add news and to compact old messages. Dropped half-way when the
    /// user interrupts, so change the conversation last and at once.
    ///
    /// # Errors
    /// The turn cannot go on.
    async fn before_model(
        &self,
        _c: &mut Conversation,
        _t: &HookContext<'_>,
    ) -> Result<(), AgentError> {
        Ok(())
    }

    /// The request is complete: mark it for the cache, add fields.
    fn shape_request(&self, _r: &mut Request<'_>, _t: &HookContext<'_>) {}

    /// A call is about to be judged. It may be rewritten here; the gate judges what comes out. The
    /// strictest verdict wins, so a hook's `Allow` never overrules the policy. Dropped half a second
    /// after the user interrupts; the call does not run then.
    async fn before_tool(
        &self,
        _call: &mut ToolCall,
        _effect: &Effect,
        _cx: &ToolContext,
    ) -> Verdict {
        Verdict::Allow
    }

    /// A call was answered. Also called for calls that failed, not for those that never ran. Dropped half a
    /// second after the user interrupts.
    async fn after_tool(&self, _call: &ToolCall, _result: &mut ToolResult, _cx: &ToolContext) {}

    /// The conversation may have grown: write it where a crash cannot take it. Called after every append, and
    /// so before tools run, and once more before each request, since hooks may have added to it: so it must
    /// cost nothing where nothing was added. Dropped a second after the user interrupts, and that is an error.
    ///
    /// # Errors
    /// It could not be persisted, and the turn must not go on as if it were.
    async fn persist(&self, _c: &Conversation, _t: &HookContext<'_>) -> Result<(), AgentError> {
        Ok(())
    }

    /// The model wants to stop. `Some` is a reminder that sends it on.
    async fn before_stop(&self, _c: &Conversation, _t: &HookContext<'_>) -> Option<String> {
        None
    }

    /// A child of the agent is made: what does it get of this hook?
    fn for_child(&self, _spec: &ChildSpec) -> Inherit {
        Inherit::Nothing
    }
}
