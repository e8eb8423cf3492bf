//! The far end of a connection: what a protocol has to bring so that tools can be called.

use async_trait::async_trait;
use harness_core::{Content, ToolContext, ToolError};
use serde_json::{Map, Value};

/// A server that is connected.
#[async_trait]
pub trait Remote: Send + Sync {
    /// Calls a tool by the name that the server gave it, and returns the result. When this future is dropped,
    /// the server is told to cancel the call.
    ///
    /// # Errors
    /// The connection ended before the server had answered.
    async fn call(
        &self,
        tool: &str,
        input: Map<String, Value>,
        cx: &ToolContext,
    ) -> Result<Result<Content, ToolError>, Disconnected>;
}

/// The connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnected;
