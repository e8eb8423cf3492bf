//! The protocol, by the official SDK (`rmcp`): one connection to one server.
//!
//! - [`connect`]: how a connection is opened, over standard streams or HTTP;
//! - [`versions`]: the two ages of the protocol, and how each of them says that tools have changed;
//! - [`listing`]: which tools a server has;
//! - [`remote`]: calls, and what they return.

mod connect;
mod errors;
mod listing;
mod remote;
mod versions;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::FusedFuture;
use rmcp::RoleClient;
use rmcp::service::Peer;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::servers::{Connector, Server, ServerConfig, ServerEnv, Transport};
use connect::{Connection, Endpoint, SHUTDOWN_TIMEOUT};
use remote::McpRemote;
use versions::ToolChanges;

/// The least time between two lists of tools, however often a server says that they have changed.
const MIN_LIST_INTERVAL: Duration = Duration::from_millis(200);

/// Reaches one server by the Model Context Protocol.
pub(crate) struct McpConnector {
    endpoint: Endpoint,
}

impl McpConnector {
    pub(crate) fn new(config: ServerConfig, env: Arc<ServerEnv>) -> Self {
        Self { endpoint: Endpoint::new(config, env) }
    }
}

#[async_trait]
impl Connector for McpConnector {
    async fn run(&self, server: &Arc<Server>, stop: &CancellationToken) -> String {
        let limit = self.endpoint.config.start_timeout;
        let opening = timeout(limit, self.endpoint.open());
        let Some(opened) = stop.run_until_cancelled(opening).await else {
            // What was begun has been dropped, and its processes were killed with it.
            return String::new();
        };
        match opened {
            Ok(Ok(connection)) => self.serve(connection, server, stop).await,
            Ok(Err(why)) => why,
            Err(_) => {
                self.endpoint.log.explain(&format!("has not answered within {limit:?}"), None)
            }
        }
    }
}

impl McpConnector {
    /// Publishes the tools until the connection ends or `stop` is cancelled, then shuts the server down.
    /// Returns why it ended.
    async fn serve(
        &self,
        connection: Connection,
        server: &Arc<Server>,
        stop: &CancellationToken,
    ) -> String {
        let Connection { service, child } = connection;
        let peer = service.peer().clone();
        let closing = service.cancellation_token();
        let mut ended = pin!(service.waiting().fuse());
        let why = tokio::select! {
            _ = &mut ended => "has ended".to_owned(),
            why = self.publish_tools(server, &peer) => why,
            () = stop.cancelled() => String::new(),
        };
        server.disconnected();
        closing.cancel();
        if !ended.is_terminated() {
            // Closes the streams, so that the server sees the end of its input.
            let _ = timeout(SHUTDOWN_TIMEOUT, ended).await;
        }
        let end = match child {
            Some(child) => child.end(SHUTDOWN_TIMEOUT).await,
            None => None,
        };
        self.endpoint.log.explain(&why, end)
    }

    /// Publishes the tools, and again whenever the server says that they have changed. Returns why it cannot.
    async fn publish_tools(&self, server: &Arc<Server>, peer: &Peer<RoleClient>) -> String {
        let limit = self.endpoint.config.start_timeout;
        let is_program = matches!(self.endpoint.config.transport, Transport::Stdio { .. });
        let remote = Arc::new(McpRemote { peer: peer.clone(), is_program });
        loop {
            // Before the list, so that no change is missed in between.
            let mut changes = ToolChanges::listen(peer, &self.endpoint.changed).await;
            match timeout(limit, listing::tools(peer)).await {
                Ok(Ok(offers)) => server.publish(remote.clone(), offers),
                Ok(Err(why)) => return format!("cannot list its tools: {why}"),
                Err(_) => return format!("has not listed its tools within {limit:?}"),
            }
            changes.next().await;
            sleep(MIN_LIST_INTERVAL).await;
        }
    }
}
