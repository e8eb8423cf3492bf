//! Shows the lead's user what teammates in other processes do.

use std::collections::BTreeMap;
use std::sync::Arc;

use harness_app::Viewers;
use harness_core::Mutex;
use s09_agent_teams::TeammateStatus;
use s09_agent_teams::mail::MailNotices;
use tokio::time::interval;

use crate::presence::{Activity, PresenceEvent};
use crate::redis::{HEARTBEAT_INTERVAL, RedisMailbox};

/// What other processes publish, and the mailbox's notices, as the lead's user sees them.
#[derive(Debug)]
pub(crate) struct RemoteDisplay {
    pub(crate) lead: String,
    pub(crate) mailbox: Arc<RedisMailbox>,
    /// What `list_teammates` says of each member.
    pub(crate) statuses: BTreeMap<String, Arc<Mutex<TeammateStatus>>>,
    pub(crate) notices: MailNotices,
}

impl RemoteDisplay {
    /// Runs until the program ends.
    pub(crate) async fn run(self, viewers: Viewers) {
        let mut presence = self.mailbox.presence();
        let mut tick = interval(HEARTBEAT_INTERVAL / 4);
        loop {
            tokio::select! {
                event = presence.recv() => {
                    // An error says that more came than we could show, which may be missed.
                    let Ok(event) = event else { continue };
                    let is_own = event.by == self.mailbox.holder();
                    if !is_own {
                        self.show(event, &viewers);
                    }
                }
                _ = tick.tick() => {
                    for notice in self.notices.take() {
                        viewers.notice(&self.lead, notice);
                    }
                }
            }
        }
    }

    fn show(&self, event: PresenceEvent, viewers: &Viewers) {
        if let Some(known) = self.statuses.get(&event.agent)
            && let Some(status) = status_of(&event.activity)
        {
            *known.lock() = status;
        }
        if let Some((agent, event)) = event.into_event(&self.lead) {
            viewers.emit(&agent, &event);
        }
    }
}

/// What an activity says of a member's status, if anything.
fn status_of(activity: &Activity) -> Option<TeammateStatus> {
    match activity {
        Activity::Started(task) | Activity::Heartbeat(Some(task)) => {
            Some(TeammateStatus::Working(task.clone()))
        }
        Activity::Ended(_) | Activity::Heartbeat(None) => Some(TeammateStatus::Idle),
        Activity::ToolStarted(_) | Activity::ToolFinished { .. } => None,
    }
}
