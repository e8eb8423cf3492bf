#![doc = include_str!("../README.md")]
//!
//! Next page: [s23 · Worktrees, advanced](../s23_worktree_advanced/index.html)

mod command;
mod display;
mod member;
mod presence;
mod redis;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryFutureExt;
use harness_app::{App, Lesson};
use harness_core::{Agent, Mutex};
use s09_agent_teams::mail::{MailError, MailNotices, MemoryMailbox};
use s09_agent_teams::{Member, Team, TeammateStatus};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use crate::redis::{DeadLetter, NoRedis, RedisMailbox, probe, space_of, without_password};
pub use command::{Command, Flags, TeamFlags, join, run};
pub use member::MemberRunner;
pub use presence::{Activity, PresenceEvent, PresencePublisher};

use display::RemoteDisplay;

/// What the terminal is told of this session.
pub const LESSON: Lesson = Lesson {
    name: env!("CARGO_PKG_NAME"),
    motto: "What must arrive is kept and acknowledged; what may be missed is only told.",
    play: include_str!("../demo.yaml"),
};

/// Where Redis is, unless `REDIS_URL` says otherwise.
pub const DEFAULT_URL: &str = "redis://127.0.0.1:6379";
/// How long the end of the program waits for members to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Where the team's mail is kept.
#[derive(Clone, Debug)]
pub enum TeamMailbox {
    /// In Redis: workers in other processes take part.
    Redis(Arc<RedisMailbox>),
    /// In this process alone.
    Memory(Arc<MemoryMailbox>),
}

impl TeamMailbox {
    /// The Redis at this address if there is one, else memory; and what the user is told of it.
    ///
    /// # Errors
    /// A server was named and does not let us in. Mail that quietly went elsewhere would be worse.
    pub async fn open(
        url: Option<&str>,
        space: &str,
        names: &[&str],
        notices: &MailNotices,
    ) -> Result<(Self, String), NoRedis> {
        let was_named = url.is_some();
        let url = url.unwrap_or(DEFAULT_URL);
        let boxes = names.iter().copied();
        match RedisMailbox::open(url, space, boxes.clone(), notices.clone()).await {
            Ok(mailbox) => {
                let told = mailbox.describe().await;
                Ok((Self::Redis(Arc::new(mailbox)), told))
            }
            Err(why @ NoRedis::Refused(_)) if was_named => Err(why),
            Err(why) => {
                let told =
                    format!("{why}; mail is kept in this process alone, and gone when it ends");
                Ok((Self::Memory(Arc::new(MemoryMailbox::new(boxes))), told))
            }
        }
    }

    /// The dead letters of an agent, oldest first, each with the reason.
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
    pub async fn team(
        &self,
        app: App,
        members: Vec<Member>,
        notices: MailNotices,
    ) -> Result<App, MailError> {
        match self {
            Self::Redis(mailbox) => over_redis(app, members, mailbox.clone(), notices).await,
            Self::Memory(mailbox) => {
                let agent = app.agent().clone();
                let team = Team::open(&agent, members, mailbox.clone(), notices).await?;
                Ok(team.join(app))
            }
        }
    }
}

/// A team whose members may run in any process. This one runs all of them too: each works here while no other
/// process does.
async fn over_redis(
    app: App,
    members: Vec<Member>,
    mailbox: Arc<RedisMailbox>,
    notices: MailNotices,
) -> Result<App, MailError> {
    let agent = app.agent().clone();
    // The team's own teammates would hold their leases from the start; here each has a runner instead.
    let mut team = Team::open(&agent, Vec::new(), mailbox.clone(), notices.clone()).await?;
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let mut statuses = BTreeMap::new();
    for member in &members {
        let status: Arc<Mutex<TeammateStatus>> = Arc::default();
        statuses.insert(member.name.clone(), status.clone());
        team = team.with_remote(member.clone(), status);
    }
    let begin = {
        let mailbox = mailbox.clone();
        let notices = notices.clone();
        let statuses = statuses.clone();
        let stop = stop.clone();
        let tasks = tasks.clone();
        move |lead: &Agent| {
            for member in members {
                let runner = MemberRunner {
                    origin: lead.clone(),
                    status: statuses[&member.name].clone(),
                    member,
                    mailbox: mailbox.clone(),
                    notices: notices.clone(),
                };
                let notices = notices.clone();
                let run = runner.run(stop.clone());
                tasks.spawn(run.inspect_err(move |why| notices.add(why.to_string())));
            }
        }
    };
    let publisher = mailbox.publisher(agent.secrets);
    let display = RemoteDisplay { lead: agent.name, mailbox: mailbox.clone(), statuses, notices };
    tokio::spawn(display.run(app.viewers()));
    let app = team.join(app).observer(publisher).at_start(begin);
    Ok(app.at_exit(move || async move {
        stop.cancel();
        tasks.close();
        let _ = tokio::time::timeout(STOP_TIMEOUT, tasks.wait()).await;
        mailbox.leave().await;
    }))
}
