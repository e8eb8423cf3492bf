//! How a server is reached, and how it is kept connected.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::server::Server;

/// How often a server that ends is restarted.
const MAX_RESTARTS: u32 = 5;
/// A server that has run for longer than this has not failed to start: the count of restarts begins anew.
const STABLE_AFTER: Duration = Duration::from_secs(60);
/// The wait before the first restart; each further one is twice as long.
const RESTART_DELAY: Duration = Duration::from_millis(250);

/// Reaches one server: the protocol.
#[async_trait]
pub trait Connector: Send + Sync + 'static {
    /// One connection, from beginning to end. Connects, publishes the tools with [`Server::publish`] (again on
    /// every change), and shuts the server down with everything it has started when `stop` is cancelled.
    /// Returns why the connection ended, as the end of a sentence that begins with the server's name.
    async fn run(&self, server: &Arc<Server>, stop: &CancellationToken) -> String;
}

/// Keeps the server connected until `stop` is cancelled or it has failed for good. A server that was never
/// ready is not restarted: it is not there, or its configuration is wrong.
pub(super) async fn supervise(
    server: Arc<Server>,
    connector: impl Connector,
    stop: CancellationToken,
) {
    let mut failures = 0;
    loop {
        let connected = Instant::now();
        let why = connector.run(&server, &stop).await;
        if stop.is_cancelled() {
            return;
        }
        if connected.elapsed() > STABLE_AFTER {
            failures = 0;
        }
        failures += 1;
        if !server.was_ready() || failures > MAX_RESTARTS {
            server.notify(&format!(" {why}"));
            server.give_up(why);
            return;
        }
        server.notify(&format!(" {why}; restarting ({failures} of {MAX_RESTARTS})"));
        server.disconnected();
        let delay = RESTART_DELAY * 2_u32.pow(failures - 1);
        if stop.run_until_cancelled(sleep(delay)).await.is_none() {
            return;
        }
    }
}
