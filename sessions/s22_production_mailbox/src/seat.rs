//! One member of the team: it works where its mail is leased, and stands by everywhere else.

use std::pin::pin;
use std::sync::Arc;

use harness_core::mail::{MailError, News};
use harness_core::{Agent, Mutex};
use harness_redis::{BEAT, RedisMailbox};
use s09_agent_teams::{Member, State, Teammate};
use tokio_util::sync::CancellationToken;

use crate::live::set;

/// The place of one member in one process. There may be several; one at a time has the lease and works.
#[derive(Clone, Debug)]
pub struct Seat {
    /// The agent of which the member is a clone.
    pub origin: Agent,
    /// Who sits here.
    pub member: Member,
    /// Where its mail is.
    pub mailbox: Arc<RedisMailbox>,
    /// What the user is to be told.
    pub news: News,
    /// What it does, as far as is known here.
    pub state: Arc<Mutex<State>>,
}

impl Seat {
    /// Works off the mail while nobody else does, until it is stopped.
    ///
    /// # Errors
    /// The member cannot be made of this agent, or its record is damaged.
    pub async fn serve(self, stop: CancellationToken) -> Result<(), MailError> {
        let (name, mailbox) = (&self.member.name, &self.mailbox);
        let mut before = None;
        while !stop.is_cancelled() {
            let reader = stop.run_until_cancelled(mailbox.reader(name)).await;
            let other = reader.and_then(Result::ok).flatten().filter(|_| !mailbox.reads(name));
            if let Some(by) = &other {
                if before != other {
                    set(&self.state, State::Elsewhere);
                    self.news.add(format!("{name} works in {by}; standing by here"));
                }
                before = other;
                stop.run_until_cancelled(mailbox.changed(BEAT)).await;
                continue;
            }
            before = None;
            match Teammate::open(&self.origin, &self.member, mailbox.clone(), self.news.clone())
                .await
            {
                Ok(teammate) => self.work(teammate, &stop).await,
                // Somebody was faster, or the server is away, which is told.
                Err(_) if mailbox.is_lost() || mailbox.reader(name).await?.is_some() => {
                    stop.run_until_cancelled(mailbox.changed(BEAT)).await;
                }
                Err(why) => return Err(why),
            }
            mailbox.release(name).await;
        }
        Ok(())
    }

    /// Until it is stopped, or another process has taken the lease.
    async fn work(&self, mut teammate: Teammate, stop: &CancellationToken) {
        let name = &self.member.name;
        teammate.state = self.state.clone();
        set(&self.state, State::Idle);
        let turn = stop.child_token();
        let mut work = pin!(teammate.work(turn.clone()));
        while self.mailbox.reads(name) {
            tokio::select! {
                () = &mut work => return,
                () = self.mailbox.changed(BEAT) => {}
            }
        }
        self.news.add(format!("{name} lost its lease here: this process stood still"));
        turn.cancel();
        work.await;
    }
}
