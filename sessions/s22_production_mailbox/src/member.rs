//! One member of the team in one process: it works where its mail is leased, and stands by everywhere else.

use std::pin::pin;
use std::sync::Arc;

use harness_core::{Agent, Mutex};
use s09_agent_teams::mail::{MailError, MailNotices};
use s09_agent_teams::{Member, Teammate, TeammateStatus};
use tokio_util::sync::CancellationToken;

use crate::redis::{HEARTBEAT_INTERVAL, RedisMailbox};

/// Runs one member in one process. Several processes may run the same member; one at a time has the lease of
/// its mail and works, the others stand by.
#[derive(Clone, Debug)]
pub struct MemberRunner {
    /// The agent of which the member is a child.
    pub origin: Agent,
    /// The member.
    pub member: Member,
    /// Where its mail is.
    pub mailbox: Arc<RedisMailbox>,
    /// What the user is to be told.
    pub notices: MailNotices,
    /// What it does, as far as is known here.
    pub status: Arc<Mutex<TeammateStatus>>,
}

impl MemberRunner {
    /// Works off the mail while no other process does, until it is stopped.
    ///
    /// # Errors
    /// The member cannot be made of this agent, or what is kept of its conversation is damaged.
    pub async fn run(self, stop: CancellationToken) -> Result<(), MailError> {
        let mut told_of = None;
        while !stop.is_cancelled() {
            if let Some(other) = self.other_reader(&stop).await {
                if told_of.as_ref() != Some(&other) {
                    self.tell_standby(&other);
                    told_of = Some(other);
                }
                self.wait_for_change(&stop).await;
                continue;
            }
            told_of = None;
            self.work_if_first(&stop).await?;
            self.mailbox.release(&self.member.name).await;
        }
        Ok(())
    }

    /// The other process that reads this member's mail, if there is one.
    async fn other_reader(&self, stop: &CancellationToken) -> Option<String> {
        let name = &self.member.name;
        let asked = stop.run_until_cancelled(self.mailbox.reader(name)).await?;
        let reader = asked.ok()??;
        if self.mailbox.has_lease(name) {
            return None;
        }
        Some(reader)
    }

    fn tell_standby(&self, other: &str) {
        *self.status.lock() = TeammateStatus::Elsewhere;
        self.notices.add(format!("{} works in {other}; standing by here", self.member.name));
    }

    async fn wait_for_change(&self, stop: &CancellationToken) {
        stop.run_until_cancelled(self.mailbox.wait_for_change(HEARTBEAT_INTERVAL)).await;
    }

    /// Takes the lease and works, unless another process takes it first.
    async fn work_if_first(&self, stop: &CancellationToken) -> Result<(), MailError> {
        let mailbox = self.mailbox.clone();
        let opened =
            Teammate::open(&self.origin, &self.member, mailbox, self.notices.clone()).await;
        let why = match opened {
            Ok(teammate) => {
                self.work(teammate, stop).await;
                return Ok(());
            }
            Err(why) => why,
        };
        let is_server_away = self.mailbox.is_lost(); // the user was told
        if is_server_away || self.mailbox.reader(&self.member.name).await?.is_some() {
            self.wait_for_change(stop).await;
            return Ok(());
        }
        Err(why)
    }

    /// Works until it is stopped, or another process has taken the lease.
    async fn work(&self, mut teammate: Teammate, stop: &CancellationToken) {
        let name = &self.member.name;
        teammate.status = self.status.clone();
        *self.status.lock() = TeammateStatus::Idle;
        let turn = stop.child_token();
        let mut work = pin!(teammate.work(turn.clone()));
        while self.mailbox.has_lease(name) {
            tokio::select! {
                () = &mut work => return,
                () = self.mailbox.wait_for_change(HEARTBEAT_INTERVAL) => {}
            }
        }
        self.notices.add(format!("{name} lost its lease here: this process stood still"));
        turn.cancel();
        work.await;
    }
}
