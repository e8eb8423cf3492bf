//! A server's tool among the agent's.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use harness_core::{
    Change, Content, DynTool, Effect, PreparedCall, ToolContext, ToolError, ToolSpec,
};
use serde_json::{Map, Value};

use super::Server;

/// A server's tool. What it does is unknown to the gate, whatever it is called and says of itself.
pub(super) struct ServerTool {
    pub(super) spec: ToolSpec,
    /// What the server calls it.
    pub(super) name: String,
    pub(super) server: Arc<Server>,
}

impl DynTool for ServerTool {
    fn spec(&self) -> ToolSpec {
        self.spec.clone()
    }

    fn prepare(
        self: Arc<Self>,
        input: &Map<String, Value>,
    ) -> Result<Box<dyn PreparedCall>, ToolError> {
        Ok(Box::new(ServerCall { tool: self, input: input.clone() }))
    }
}

/// One call of a server's tool.
struct ServerCall {
    tool: Arc<ServerTool>,
    input: Map<String, Value>,
}

#[async_trait]
impl PreparedCall for ServerCall {
    fn effect(&self) -> Effect {
        Effect::Unknown
    }

    async fn preview(&self, _: &ToolContext) -> Option<Change> {
        None
    }

    async fn run(self: Box<Self>, cx: &ToolContext) -> Result<Content, ToolError> {
        let call = self.tool.server.call(&self.tool.name, self.input, cx);
        match cx.cancel.run_until_cancelled(call).await {
            Some(result) => result,
            None => Err(ToolError::failed("interrupted; the server was told to give up")),
        }
    }
}

/// What is new, gone or different, a sentence each.
pub(super) fn changes(
    old: &BTreeMap<String, Arc<ServerTool>>,
    new: &BTreeMap<String, Arc<ServerTool>>,
) -> Vec<String> {
    let mut changes = Vec::new();
    for name in new.keys().filter(|name| !old.contains_key(*name)) {
        changes.push(format!("{name:?} is new"));
    }
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        changes.push(format!("{name:?} is gone"));
    }
    for (name, tool) in new {
        let Some(before) = old.get(name) else { continue };
        if before.spec.description != tool.spec.description {
            let description = &tool.spec.description;
            changes.push(format!("the description of {name:?} has changed: {description}"));
        } else if before.spec.input_schema != tool.spec.input_schema {
            changes.push(format!("the input of {name:?} has changed"));
        }
    }
    changes
}
