//! One member of the team: it works where its mail is leased, and stands by everywhere else.

use std::pin::pin;
use std::sync::{Arc, Mutex};

use harness_core::Agent;
use harness_core::mail::{MailError, News};
use s09_agent_teams::{Member, State, Teammate};
use tokio_util::sync::CancellationToken;

use crate::mailbox::{BEAT, RedisMailbox, lock};

/// The place of one member in one process. There may be several; one at a time has the lease and works.
#[derive(Debug)]
pub struct Seat {
    /// What it does, as far as is known here.
    pub state: Arc<Mutex<State>>,
    origin: Agent,
    member: Member,
    mailbox: Arc<RedisMailbox>,
    news: News,
}

impl Seat {
    /// A seat for this member, a clone of `origin`.
    pub fn new(origin: Agent, member: Member, mailbox: Arc<RedisMailbox>, news: News) -> Self {
        Self { state: Arc::default(), origin, member, mailbox, news }
    }

    /// Works off the mail while nobody else does, until it is stopped.
    ///
    /// # Errors
    /// The member cannot be made of this agent, or its record is damaged.
    pub async fn serve(self, stop: CancellationToken) -> Result<(), MailError> {
        let name = &self.member.name;
        let mut by = None;
        while !stop.is_cancelled() {
            let told = self.news.clone();
            let opened =
                Teammate::open(&self.origin, &self.member, self.mailbox.clone(), told).await;
            let mut teammate = match opened {
                Ok(teammate) => teammate,
                Err(why) => {
                    let reader = self.mailbox.reader(name).await;
                    match reader {
                        Ok(Some(reader)) if !self.mailbox.reads(name) => {
                            if by.as_ref() != Some(&reader) {
                                *lock(&self.state) = State::Elsewhere;
                                self.news
                                    .add(format!("{name} works in {reader}; standing by here"));
                                by = Some(reader);
                            }
                        }
                        Err(why) => self.news.add(why.to_string()),
                        // Its reader has left just now, or Redis was away.
                        Ok(None) if !matches!(why, MailError::Store(_)) => continue,
                        Ok(_) => return Err(why),
                    }
                    stop.run_until_cancelled(self.mailbox.changed(BEAT)).await;
                    continue;
                }
            };
            by = None;
            teammate.state = self.state.clone();
            *lock(&self.state) = State::Idle;
            let turn = stop.child_token();
            let mut work = pin!(teammate.work(turn.clone()));
            tokio::select! {
                () = &mut work => {}
                () = self.lost() => {
                    self.news.add(format!("{name} lost its lease here: this process stood still"));
                    turn.cancel();
                    work.await;
                }
            }
            self.mailbox.release(name).await;
        }
        Ok(())
    }

    /// Waits until another process has the lease.
    async fn lost(&self) {
        while self.mailbox.reads(&self.member.name) {
            self.mailbox.changed(BEAT).await;
        }
    }
}
