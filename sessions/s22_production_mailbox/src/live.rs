//! What may be missed: who is there, and what they do. It goes over channels, which keep nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt, future};
use harness_cli::{Display, Screen};
use harness_core::mail::News;
use harness_core::{Content, Event, Observer, Secrets, ToolCall, ToolResult, text};
use s09_agent_teams::State;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::{interval, sleep, timeout};

use crate::mailbox::{BEAT, RedisMailbox, Shared, lock};

/// Of a longer result this many bytes of each end are told.
const SHOWN: usize = 1000;

/// What one process tells the others.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Told {
    /// Where it happens.
    pub by: String,
    /// To which agent.
    pub agent: String,
    /// What happens.
    pub live: Live,
}

/// What happens.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Live {
    /// It reads its mail, and works on this. Said every two seconds.
    Here(Option<String>),
    /// It begins to work on a mail.
    Began(String),
    /// It is done with it.
    Ended(String),
    /// It calls a tool.
    Called(ToolCall),
    /// The tool has answered.
    Answered(ToolCall, ToolResult, Duration),
}

impl Live {
    /// What of an event is told, and of which agent.
    fn of(agent: &str, event: &Event) -> Option<(String, Self)> {
        let live = match event {
            Event::ChildStarted { child, task } => {
                return Some((child.clone(), Self::Began(task.clone())));
            }
            Event::ChildEnded { child, outcome } => {
                return Some((child.clone(), Self::Ended(outcome.clone())));
            }
            Event::ToolStarted(call) => Self::Called(call.clone()),
            Event::ToolFinished { call, result, took } => {
                let content = text::clip(&result.content.text(), SHOWN, SHOWN).into_owned();
                let result = ToolResult { content: Content::from(content), ..result.clone() };
                Self::Answered(call.clone(), result, *took)
            }
            _ => return None,
        };
        Some((agent.to_owned(), live))
    }
}

impl Told {
    /// The event as a display takes it: the agent it happens to, and what.
    pub fn event(self, lead: &str) -> Option<(String, Event)> {
        let child = self.agent.clone();
        let (agent, event) = match self.live {
            Live::Here(_) => return None,
            Live::Began(task) => (lead.to_owned(), Event::ChildStarted { child, task }),
            Live::Ended(outcome) => (lead.to_owned(), Event::ChildEnded { child, outcome }),
            Live::Called(call) => (child, Event::ToolStarted(call)),
            Live::Answered(call, result, took) => {
                (child, Event::ToolFinished { call, result, took })
            }
        };
        Some((agent, event))
    }
}

/// Tells the others what the agents of this process do.
pub struct Beacon {
    /// Where.
    pub mailbox: Arc<RedisMailbox>,
    /// What is not told.
    pub secrets: Secrets,
}

impl std::fmt::Debug for Beacon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Beacon")
    }
}

impl Observer for Beacon {
    /// What does not fit any more is dropped: an observer must not wait.
    fn on(&self, agent: &str, event: &Event) {
        let Some((agent, live)) = Live::of(agent, event) else { return };
        let shared = &self.mailbox.shared;
        // What came from another process is not told again.
        let Some(()) = lock(&shared.held).get_mut(&agent).map(|task| match &live {
            Live::Began(now) => *task = Some(now.clone()),
            Live::Ended(_) => *task = None,
            _ => {}
        }) else {
            return;
        };
        let mut told = serde_json::json!(Told { by: shared.me.clone(), agent, live });
        self.secrets.mask_json(&mut told);
        if let Ok(told) = serde_json::from_value(told) {
            let _ = shared.out.try_send(told);
        }
    }
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
