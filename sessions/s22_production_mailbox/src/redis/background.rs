//! What a mailbox does by itself: it renews its leases, and it speaks and listens on the channels. Those carry
//! what may be missed: that mail came, which processes are there, and what they do.

use std::sync::Arc;

use futures_util::{StreamExt, future};
use harness_core::{Observer, Secrets};
use redis::Msg;
use tokio::sync::mpsc;
use tokio::time::{interval, sleep, timeout};

use super::mailbox::HEARTBEAT_INTERVAL;
use super::store::Store;
use crate::presence::{Activity, PresenceEvent, PresencePublisher};

/// An observer that publishes what those agents do whose mail this process reads.
pub(crate) fn publisher(store: Arc<Store>, secrets: Secrets) -> Arc<dyn Observer> {
    let by = store.holder.clone();
    let publish = move |event: PresenceEvent| {
        let mut leases = store.leases.lock();
        // What came from another process is shown here too, and is not published again.
        let Some(task) = leases.get_mut(&event.agent) else { return };
        match &event.activity {
            Activity::Started(now) => *task = Some(now.clone()),
            Activity::Ended(_) => *task = None,
            _ => {}
        }
        let _ = store.outgoing.try_send(event); // when the queue is full it is dropped
    };
    Arc::new(PresencePublisher { by, secrets, publish })
}

/// Runs until it is dropped, with the mailbox.
pub(crate) async fn run(store: Arc<Store>, outgoing: mpsc::Receiver<PresenceEvent>) {
    future::join3(listen(&store), send_heartbeats(&store), send_events(&store, outgoing)).await;
}

/// Renews the leases, and says who is here.
async fn send_heartbeats(store: &Store) {
    let mut heartbeat = interval(HEARTBEAT_INTERVAL);
    loop {
        heartbeat.tick().await;
        store.renew_leases().await;
        // Also without a lease: an empty message tells our own listener that it still hears.
        store.publish(String::new()).await;
        let leases = store.leases.lock().clone();
        for (agent, task) in leases {
            let by = store.holder.clone();
            store
                .publish_event(&PresenceEvent { by, agent, activity: Activity::Heartbeat(task) })
                .await;
        }
    }
}

async fn send_events(store: &Store, mut outgoing: mpsc::Receiver<PresenceEvent>) {
    while let Some(event) = outgoing.recv().await {
        store.publish_event(&event).await;
    }
}

/// Hears that mail came, and what other processes do. Nothing depends on it: boxes are polled too.
async fn listen(store: &Store) {
    loop {
        listen_once(store).await;
        sleep(HEARTBEAT_INTERVAL / 4).await;
    }
}

/// Listens until the connection is lost.
async fn listen_once(store: &Store) {
    let mail = store.key("mail", "");
    let live = store.key("live", "");
    let Ok(listener) = store.server.listen(&[mail.clone(), live]).await else { return };
    store.changed.notify_waiters(); // something may have come before we listened
    let mut messages = listener.into_on_message();
    // Our own heartbeat is among them: when three are missing, this connection is dead.
    while let Ok(Some(message)) = timeout(HEARTBEAT_INTERVAL * 3, messages.next()).await {
        if message.get_channel_name() == mail {
            store.changed.notify_waiters();
        } else {
            hear(store, &message);
        }
    }
    let _ = store.server.once(&redis::cmd("PING")).await; // so that a loss is told when it happens
}

fn hear(store: &Store, message: &Msg) {
    if let Ok(event) = serde_json::from_slice(message.get_payload_bytes()) {
        let _ = store.presence.send(event); // an error says that nobody subscribes
    }
}
