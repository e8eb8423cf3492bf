//! What may be missed: who is there, and what they do. It goes over channels, which keep nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures_util::{StreamExt, future};
use harness_cli::{Display, Screen};
use harness_core::live::{Beacon, Live, Told};
use harness_core::mail::News;
use harness_core::{Observer, Secrets, text};
use s09_agent_teams::State;
use tokio::sync::mpsc;
use tokio::time::{interval, sleep, timeout};

use crate::mailbox::{BEAT, RedisMailbox};
use crate::shared::{Shared, lock};

/// Tells the others what the agents of this process do.
pub(crate) fn beacon(mailbox: &RedisMailbox, secrets: Secrets) -> Arc<dyn Observer> {
    let shared = mailbox.shared.clone();
    let by = shared.me.clone();
    let tell = move |told: Told| {
        // What came from another process is not told again.
        if let Some(task) = lock(&shared.held).get_mut(&told.agent) {
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
        let held = lock(&shared.held).clone();
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

/// Shows the lead's user what teammates in other processes do, and the mailbox's news.
#[derive(Debug)]
pub(crate) struct Echo {
    pub(crate) lead: String,
    pub(crate) mailbox: Arc<RedisMailbox>,
    /// What `list_teammates` says.
    pub(crate) states: BTreeMap<String, Arc<Mutex<State>>>,
    pub(crate) news: News,
}

impl Echo {
    /// Until the program ends.
    pub(crate) async fn show(self, screen: Screen) {
        let display = Display::new(screen.clone(), &*self.lead);
        let (mut live, mut tick) = (self.mailbox.shared.live.subscribe(), interval(BEAT / 4));
        loop {
            tokio::select! {
                told = live.recv() => match told {
                    Ok(told) if told.by != self.mailbox.shared.me => self.tell(told, &display),
                    _ => {} // our own; or more than we could show, which may be missed
                },
                _ = tick.tick() => self.news.take().iter().for_each(|news| screen.line(text::strip(news))),
            }
        }
    }

    fn tell(&self, told: Told, display: &Display) {
        if let Some(state) = self.states.get(&told.agent) {
            match &told.live {
                Live::Began(task) | Live::Here(Some(task)) => {
                    *lock(state) = State::Working(task.clone())
                }
                Live::Ended(_) | Live::Here(None) => *lock(state) = State::Idle,
                _ => {}
            }
        }
        if let Some((agent, event)) = told.event(&self.lead) {
            display.on(&agent, &event);
        }
    }
}
