//! A server's tool among the agent's.

use std::sync::Arc;

use async_trait::async_trait;
use harness_core::{
    Change, Content, DynTool, Effect, PreparedCall, ToolContext, ToolError, ToolSpec,
};
use serde_json::{Map, Value};

use super::server::Server;

/// The tools that a server has now.
pub(super) fn tools_of(server: &Arc<Server>) -> Vec<Arc<dyn DynTool>> {
    let mut tools: Vec<Arc<dyn DynTool>> = Vec::new();
    for (name, spec) in server.tools() {
        tools.push(Arc::new(ServerTool { name, spec, server: server.clone() }));
    }
    tools
}

/// A server's tool. What it does is unknown to the gate, whatever it is called and says of itself.
struct ServerTool {
    /// What the server calls it.
    name: String,
    spec: Arc<ToolSpec>,
    server: Arc<Server>,
}

impl DynTool for ServerTool {
    fn spec(&self) -> ToolSpec {
        ToolSpec::clone(&self.spec)
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
