//! What may be missed: who is there, and what they do. It goes over channels, which keep nothing.

use std::sync::Arc;

use futures_util::{StreamExt, future};
use harness_core::live::{Beacon, Live, Told};
use harness_core::{Observer, Secrets};
use tokio::sync::mpsc;
use tokio::time::{interval, sleep, timeout};

use crate::mailbox::BEAT;
use crate::shared::Shared;

/// Tells the others what the agents of this process do.
pub(crate) fn beacon(shared: Arc<Shared>, secrets: Secrets) -> Arc<dyn Observer> {
    let by = shared.me.clone();
    let tell = move |told: Told| {
        // What came from another process is not told again.
        if let Some(task) = shared.held.lock().get_mut(&told.agent) {
            match &told.live {
                Live::Began(now) => *task = Some(now.clone()),
                Live::Ended(_) => *task = None,
                _ => {}
            }
            let _ = shared.out.try_send(told); // what does not fit any more is dropped
        }
    };
    Arc::new(Beacon { by, secrets, tell })
}

/// What a mailbox does by itself, until it is dropped.
pub(crate) async fn tasks(shared: Arc<Shared>, outgoing: mpsc::Receiver<Told>) {
    future::join3(listen(&shared), beat(&shared), speak(&shared, outgoing)).await;
}

/// Keeps the leases, and says who is here.
async fn beat(shared: &Shared) {
    let mut beat = interval(BEAT);
    loop {
        beat.tick().await;
        shared.renew().await;
        let held = shared.held.lock().clone();
        // Also without a lease: what listens knows by this that it still hears.
        let mut all = vec![String::new()];
        all.extend(held.into_iter().filter_map(|(agent, task)| {
            let told = Told { by: shared.me.clone(), agent, live: Live::Here(task) };
            serde_json::to_string(&told).ok()
        }));
        for text in all {
            let _ = shared.server.once(shared.command("PUBLISH", "live", "").arg(text)).await;
        }
    }
}

async fn speak(shared: &Shared, mut outgoing: mpsc::Receiver<Told>) {
    while let Some(told) = outgoing.recv().await {
        if let Ok(text) = serde_json::to_string(&told) {
            let _ = shared.server.once(shared.command("PUBLISH", "live", "").arg(text)).await;
        }
    }
}

/// Hears that mail came, and what the others do. Nothing depends on it: see `LOOK`.
async fn listen(shared: &Shared) {
    let channels = [shared.key("mail", ""), shared.key("live", "")];
    loop {
        if let Ok(listener) = shared.server.listen(&channels).await {
            shared.came.notify_waiters(); // something may have come before we listened
            let mut messages = listener.into_on_message();
            // Our own beat is among them: three that are missed say that this connection is dead.
            while let Ok(Some(message)) = timeout(BEAT * 3, messages.next()).await {
                let payload = message.get_payload_bytes();
                if message.get_channel_name() == channels[0] {
                    shared.came.notify_waiters();
                } else if let Ok(told) = serde_json::from_slice(payload) {
                    let _ = shared.live.send(told);
                }
            }
            let _ = shared.server.once(&redis::cmd("PING")).await; // so that a loss is told when it happens
        }
        sleep(BEAT / 4).await;
    }
}
