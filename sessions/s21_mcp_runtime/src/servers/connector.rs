//! What a protocol has to bring: a way to reach a server, and a way to call its tools.

use std::sync::Arc;

use async_trait::async_trait;
use harness_core::{Content, ToolContext, ToolError};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::Server;

/// Reaches one server.
#[async_trait]
pub trait Connector: Send + Sync + 'static {
    /// One connection, from beginning to end. Connects, publishes the tools with [`Server::publish`] (again on
    /// every change), and shuts the server down with everything it has started when `stop` is cancelled.
    /// Returns why the connection ended, as the end of a sentence that begins with the server's name.
    async fn run(&self, server: &Arc<Server>, stop: &CancellationToken) -> String;
}

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
