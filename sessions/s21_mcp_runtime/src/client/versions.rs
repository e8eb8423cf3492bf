//! The two ages of the protocol.
//!
//! Since 2026-07-28 a server is asked what it is (`server/discover`), and a client that wants to hear of changes
//! subscribes to them. Before, up to 2025-11-25, a server is greeted (`initialize`), and it tells every client
//! that it has greeted.

use std::future::pending;
use std::sync::Arc;

use rmcp::model::{
    ClientCapabilities, ClientConfig, Implementation, ProtocolVersion, SubscriptionFilter,
};
use rmcp::service::{NotificationContext, Peer, Subscription};
use rmcp::{ClientHandler, ClientLifecycleMode, RoleClient};
use tokio::sync::Notify;

/// Asks the server what it is. One that refuses the question is older, and is greeted.
pub(super) fn discover_or_initialize() -> ClientLifecycleMode {
    ClientLifecycleMode::Auto {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        legacy_version: None,
    }
}

/// Greets the server in the old way, without asking.
pub(super) fn initialize() -> ClientLifecycleMode {
    ClientLifecycleMode::Initialize
}

/// Our side of a connection. It offers nothing to the server, and hears when a server of the old protocol has
/// changed its tools.
pub(super) struct Client {
    changed: Arc<Notify>,
}

impl Client {
    pub(super) fn new(changed: Arc<Notify>) -> Self {
        Self { changed }
    }
}

impl ClientHandler for Client {
    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.changed.notify_one();
    }

    fn get_info(&self) -> ClientConfig {
        let me = Implementation::new("harness", env!("CARGO_PKG_VERSION"));
        // The newest version that has a greeting; newer servers are asked instead.
        ClientConfig::new(ClientCapabilities::default(), me)
            .with_protocol_version(ProtocolVersion::V_2025_11_25)
    }
}

/// Hears when a server says that its tools have changed, in either age.
pub(super) struct ToolChanges<'a> {
    notified: &'a Notify,
    /// `None` for a server of the old protocol, and for one that does not take the subscription.
    subscription: Option<Subscription>,
}

impl<'a> ToolChanges<'a> {
    pub(super) async fn listen(peer: &Peer<RoleClient>, notified: &'a Notify) -> Self {
        let subscription = if has_subscriptions(peer) {
            let filter = SubscriptionFilter::builder().tools_list_changed().build();
            peer.listen(filter).await.ok()
        } else {
            None
        };
        Self { notified, subscription }
    }

    /// Waits for the next change.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            () = self.notified.notified() => {}
            () = next_of(&mut self.subscription) => {}
        }
    }
}

fn has_subscriptions(peer: &Peer<RoleClient>) -> bool {
    match peer.peer_info() {
        Some(info) => !info.protocol_version.has_initialize(),
        None => false,
    }
}

/// Never returns if there is no subscription, or if it has ended.
async fn next_of(subscription: &mut Option<Subscription>) {
    if let Some(subscription) = subscription
        && let Ok(Some(_)) = subscription.next().await
    {
        return;
    }
    pending().await
}
