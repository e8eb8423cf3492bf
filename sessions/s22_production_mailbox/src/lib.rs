#![doc = include_str!("../README.md")]
//!
//! Next page: [s23 · Worktrees, advanced](../s23_worktree_advanced/index.html)

mod command;
mod live;
mod seat;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryFutureExt;
use harness_app::{App, Lesson};
use harness_core::Mutex;
use harness_core::mail::{MailError, MemoryMailbox, News};
use s09_agent_teams::{Member, State, Team};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use command::{Command, Flags, TeamFlags, join, run};
pub use harness_redis::{DeadLetter, NoRedis, RedisMailbox, shown, space};
pub use seat::Seat;

use live::Echo;

/// What the terminal is told of this session.
pub const LESSON: Lesson = Lesson {
    name: env!("CARGO_PKG_NAME"),
    motto: "What must arrive is kept and acknowledged; what may be missed is only told.",
    play: include_str!("../demo.yaml"),
};

/// Where Redis is, unless `REDIS_URL` says otherwise.
pub const DEFAULT_URL: &str = "redis://127.0.0.1:6379";

/// Where the team's mail is kept.
#[derive(Clone, Debug)]
pub enum Office {
    /// In Redis: workers in other processes take part.
    Redis(Arc<RedisMailbox>),
    /// In this process alone.
    Memory(Arc<MemoryMailbox>),
}

impl Office {
    /// The Redis at this address if there is one, else memory; and what the user is told of it.
    ///
    /// # Errors
    /// Somebody is there and does not let us in. Mail that quietly went elsewhere would be worse.
    pub async fn open(
        url: Option<&str>,
        space: &str,
        names: &[&str],
        news: &News,
    ) -> Result<(Self, String), NoRedis> {
        let names = || names.iter().copied();
        let at = url.unwrap_or(DEFAULT_URL);
        match RedisMailbox::open(at, space, names(), news.clone()).await {
            Ok(mailbox) => {
                let told = mailbox.told().await;
                Ok((Self::Redis(Arc::new(mailbox)), told))
            }
            Err(why @ NoRedis::Refused(_)) if url.is_some() => Err(why),
            Err(why) => {
                let told =
                    format!("{why}; mail is kept in this process alone, and gone when it ends");
                Ok((Self::Memory(Arc::new(MemoryMailbox::new(names()))), told))
            }
        }
    }

    /// The dead letters of an agent, oldest first: what was sent, and why it is here.
    ///
    /// # Errors
    /// The server is away.
    pub async fn dead(&self, name: &str) -> Result<Vec<DeadLetter>, MailError> {
        match self {
            Self::Redis(mailbox) => mailbox.dead(name).await,
            Self::Memory(mailbox) => {
                let letters = mailbox.dead().into_iter().filter(|(mail, _)| mail.to == name);
                Ok(letters.map(|(mail, why)| DeadLetter { mail: Ok(mail), why }).collect())
            }
        }
    }

    /// Gives this session a team over this mail.
    ///
    /// # Errors
    /// Another process leads this team, or a member cannot be made.
    pub async fn team(&self, app: App, members: Vec<Member>, news: News) -> Result<App, MailError> {
        let agent = app.agent().clone();
        let mailbox = match self {
            Self::Redis(mailbox) => mailbox.clone(),
            Self::Memory(mailbox) => {
                return Ok(Team::open(&agent, members, mailbox.clone(), news).await?.join(app));
            }
        };
        let mut team = Team::open(&agent, Vec::new(), mailbox.clone(), news.clone()).await?;
        let origin = agent.clone();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let mut states = BTreeMap::new();
        for member in members {
            let state: Arc<Mutex<State>> = Arc::default();
            states.insert(member.name.clone(), state.clone());
            team = team.elsewhere(member.clone(), state.clone());
            let (origin, mailbox, news) = (origin.clone(), mailbox.clone(), news.clone());
            let served =
                Seat { origin, member, mailbox, state, news: news.clone() }.serve(stop.clone());
            tasks.spawn(served.inspect_err(move |why| news.add(why.to_string())));
        }
        let beacon = mailbox.beacon(agent.secrets);
        let echo = Echo { lead: agent.name, mailbox: mailbox.clone(), states, news };
        tokio::spawn(echo.show(app.viewers()));
        let app = team.join(app).observer(beacon);
        Ok(app.at_exit(move || async move {
            stop.cancel();
            tasks.close();
            let _ = tokio::time::timeout(Duration::from_secs(2), tasks.wait()).await;
            mailbox.leave().await;
        }))
    }
}
