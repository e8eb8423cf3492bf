//! Children: agents that are made from the agent that needs them, as it is at that moment.
//!
//! A child has what its parent has for the family: tools, blocks of the system prompt, observers; the gate,
//! the model, the schedule and the directory as far as the spec does not name others. Of each of the parent's
//! hooks it has what that hook says: see [`Hook::for_child`](super::Hook::for_child).

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::{Agent, AgentError, Mechanism};
use crate::agent::hook::Inherit;
use crate::conversation::Conversation;
use crate::event::TurnOutcome;
use crate::tool::{ChildSpec, Parent};

impl Agent {
    /// A child of this agent.
    pub fn child(&self, spec: ChildSpec) -> Agent {
        let mut child = Agent {
            name: spec.name.clone(),
            model: self.model.clone(),
            model_id: spec.model_id.clone().unwrap_or_else(|| self.model_id.clone()),
            max_tokens: self.max_tokens,
            max_steps: self.max_steps.min(spec.max_steps.unwrap_or(usize::MAX)),
            system: self.system.for_child(),
            tools: self.tools.for_child(),
            gate: self.gate.clone(),
            hooks: Vec::new(),
            schedule: self.schedule.clone(),
            observers: self.observers.for_child(),
            cwd: spec.cwd.clone().unwrap_or_else(|| self.cwd.clone()),
            secrets: self.secrets.clone(),
        };
        for block in &spec.instructions {
            child.system.push(block.as_str());
        }
        if let Some(wanted) = spec.tools.clone() {
            child.tools.retain(move |name| wanted.iter().any(|tool| tool == name));
        }
        for hook in &self.hooks {
            match hook.for_child(&spec) {
                Inherit::Nothing => {}
                Inherit::Same => child.hooks.push(hook.clone()),
                Inherit::Fresh(install) => install(&mut child),
            }
        }
        for observer in &spec.observers {
            child.observers.add_for_family(observer.clone());
        }
        if let Some(log) = &spec.log {
            child.hooks.push(log.clone());
        }
        child
    }
}

#[async_trait]
impl Parent for Agent {
    async fn run_child(
        &self,
        spec: ChildSpec,
        conversation: &mut Conversation,
        cancel: &CancellationToken,
    ) -> Result<TurnOutcome, AgentError> {
        self.child(spec).run(conversation, cancel).await
    }
}

impl Inherit {
    /// The child gets this mechanism, installed anew.
    pub fn fresh(mechanism: impl Mechanism + Send + 'static) -> Self {
        Self::Fresh(Box::new(move |child| mechanism.install(child)))
    }
}
