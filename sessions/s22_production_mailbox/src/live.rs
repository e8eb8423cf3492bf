//! What is shown of teammates in other processes. It comes over channels, which keep nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use harness_app::Viewers;
use harness_core::Mutex;
use harness_core::live::{Live, Told};
use harness_core::mail::News;
use harness_redis::{BEAT, RedisMailbox};
use s09_agent_teams::State;
use tokio::time::interval;

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
    pub(crate) async fn show(self, viewers: Viewers) {
        let (mut live, mut tick) = (self.mailbox.live(), interval(BEAT / 4));
        loop {
            tokio::select! {
                told = live.recv() => match told {
                    Ok(told) if told.by != self.mailbox.me() => self.tell(told, &viewers),
                    _ => {} // our own; or more than we could show, which may be missed
                },
                _ = tick.tick() => {
                    for news in self.news.take() {
                        viewers.notice(&self.lead, news);
                    }
                }
            }
        }
    }

    fn tell(&self, told: Told, viewers: &Viewers) {
        if let Some(state) = self.states.get(&told.agent) {
            match &told.live {
                Live::Began(task) | Live::Here(Some(task)) => {
                    set(state, State::Working(task.clone()))
                }
                Live::Ended(_) | Live::Here(None) => set(state, State::Idle),
                _ => {}
            }
        }
        if let Some((agent, event)) = told.event(&self.lead) {
            viewers.emit(&agent, &event);
        }
    }
}

/// What a member is known to do from now on.
pub(crate) fn set(state: &Mutex<State>, now: State) {
    *state.lock() = now;
}
