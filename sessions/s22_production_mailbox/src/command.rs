//! Flags, `worker`, `watch` and `:dead`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, Subcommand};
use harness_app::{App, Config};
use harness_cli::{Display, Screen, columns, cut, say, title};
use harness_core::Agent;
use harness_core::host::text;
use harness_core::live::{Live, Told};
use harness_core::mail::{Mailbox, News, check_name};
use harness_redis::BEAT;
use s09_agent_teams::Member;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{DEFAULT_URL, DeadLetter, Office, RedisMailbox, Seat, space};

/// This session's own flags.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[command(flatten)]
    team: TeamFlags,
    /// The subcommand that was given.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Which team, and whose.
#[derive(Args, Clone, Debug, Default)]
pub struct TeamFlags {
    /// The team, in the form of team.yaml [default: alpha and beta]
    #[arg(long, value_name = "FILE", global = true)]
    pub team: Option<PathBuf>,
    /// Whose mail this is, for a worker whose workspace is elsewhere; the lead says its own at the start
    #[arg(long, value_name = "NAME", global = true)]
    pub space: Option<String>,
}

/// The subcommands of this session.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Runs one teammate in this process, for the lead of the same workspace or space
    Worker {
        /// The teammate
        name: String,
    },
    /// Shows the team as it works: who is there, what waits for whom, what is done
    Watch,
}

/// The program: a lead with its team, or one of the subcommands.
///
/// # Errors
/// The flags, the team's file or the Redis cannot be used.
pub async fn run(agent: Agent, flags: Flags, config: Config) -> Result<App> {
    let Some(command) = flags.command.clone() else {
        return join(agent.into(), &flags.team, &config).await;
    };
    let (members, space) = (flags.team.members()?, flags.team.space(&agent)?);
    let names = names(&members, &agent)?;
    let (news, url) = (News::default(), config.setting("REDIS_URL"));
    let url = url.as_deref().unwrap_or(DEFAULT_URL);
    let mailbox = RedisMailbox::open(url, &space, names.iter().copied(), news.clone()).await;
    let mailbox = Arc::new(mailbox.map_err(|why| anyhow!("{why}; `worker` and `watch` need one"))?);
    match command {
        Command::Watch => watch(&mailbox, &names).await?,
        Command::Worker { name } => {
            let Some(member) = members.iter().find(|it| it.name == name) else {
                let names: Vec<&str> = members.iter().map(|it| it.name.as_str()).collect();
                bail!("there is no member {name:?} in the team; there is {}", names.join(", "));
            };
            let told = mailbox.told().await;
            worker(agent.clone(), member.clone(), mailbox, news, &told).await?;
        }
    }
    Ok(App::done(agent, ExitCode::SUCCESS))
}

/// Joins the team to the terminal, with its mail in Redis or, where there is none, in memory.
///
/// # Errors
/// Those of [`run`].
pub async fn join(app: App, flags: &TeamFlags, config: &Config) -> Result<App> {
    let (members, space) = (flags.members()?, flags.space(app.agent())?);
    let names = names(&members, app.agent())?;
    let (news, url) = (News::default(), config.setting("REDIS_URL"));
    let (office, told) = Office::open(url.as_deref(), &space, &names, &news).await?;
    let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    let app = office.team(app, members.clone(), news).await?.notices([told]);
    Ok(app.command("dead", "lists the dead letters", move |_, _| {
        let (office, names) = (office.clone(), names.clone());
        Box::pin(async move { dead(&office, &names).await })
    }))
}

impl TeamFlags {
    fn members(&self) -> Result<Vec<Member>> {
        let Some(file) = &self.team else {
            return Member::list(include_str!("../team.yaml"), "team.yaml");
        };
        let name = file.display().to_string();
        let yaml = std::fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
        Member::list(&yaml, &name)
    }

    fn space(&self, agent: &Agent) -> Result<String> {
        let space = self.space.clone().unwrap_or_else(|| space(&agent.cwd));
        check_name(&space).context("--space")?;
        Ok(space)
    }
}

/// Those who have a box: the members and their lead.
fn names<'a>(members: &'a [Member], lead: &'a Agent) -> Result<Vec<&'a str>> {
    let names: Vec<&str> = members.iter().map(|it| it.name.as_str()).chain([&*lead.name]).collect();
    names.iter().try_for_each(|name| check_name(name))?;
    Ok(names)
}

/// All dead letters, a line each.
async fn dead(office: &Office, names: &[String]) -> Result<String> {
    let mut lines = String::new();
    for name in names {
        for DeadLetter { mail, why } in office.dead(name).await? {
            let (from, body) = match &mail {
                Ok(mail) => (mail.from.as_str(), mail.body.as_str()),
                Err(text) => ("?", text.as_str()),
            };
            let line = format!(
                "{from} to {name}: “{}”\n  {}",
                text::line(&cut(body, 200)),
                text::line(&why)
            );
            let _ = writeln!(lines, "{line}");
        }
    }
    Ok(if lines.is_empty() { "no dead letters".to_owned() } else { lines.trim_end().to_owned() })
}

/// Runs one teammate until a signal comes.
async fn worker(
    mut agent: Agent,
    member: Member,
    mailbox: Arc<RedisMailbox>,
    news: News,
    told: &str,
) -> Result<()> {
    let screen = Screen::stdout();
    let name = &member.name;
    screen.line(text::strip(&format!(
        "{name} works here. {told}\nworking in {}",
        agent.cwd.display()
    )));
    screen.line(agent.gate.policy.told());
    agent.observers.add(Arc::new(Display::new(screen.clone(), agent.name.clone())));
    agent.observers.add(mailbox.beacon(agent.secrets.clone()));
    let stop = CancellationToken::new();
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let (mail, state) = (mailbox.clone(), Arc::default());
    let seat = Seat { origin: agent, member, mailbox: mail, news: news.clone(), state };
    let seat = seat.serve(stop.clone());
    let mut seat = std::pin::pin!(seat);
    let served = loop {
        tokio::select! {
            served = &mut seat => break served,
            _ = interrupt.recv() => stop.cancel(),
            _ = terminate.recv() => stop.cancel(),
            () = tokio::time::sleep(BEAT / 4) => {}
        }
        news.take().iter().for_each(|news| screen.line(text::strip(news)));
    };
    mailbox.leave().await;
    served?;
    Ok(screen.check()?)
}

/// Prints what changes, until nobody reads it any more.
async fn watch(mailbox: &RedisMailbox, names: &[&str]) -> Result<()> {
    let mut live = mailbox.live();
    let (mut tasks, mut shown) = (BTreeMap::new(), BTreeMap::new());
    let mut tick = tokio::time::interval(BEAT / 4);
    loop {
        let line = tokio::select! {
            told = live.recv() => told.ok().and_then(|told| live_line(told, &mut tasks)),
            _ = tick.tick() => None,
        };
        let mut lines: Vec<String> = line.into_iter().collect();
        for &name in names {
            let (reader, waiting) = (mailbox.reader(name).await?, mailbox.waiting(name).await?);
            let doing = match (&reader, tasks.get(name)) {
                (None, _) => "nobody reads its mail".to_owned(),
                (Some(by), Some(task)) => format!("working on “{task}” in {by}"),
                (Some(by), None) => format!("there, in {by}"),
            };
            let row = format!("{name}: {doing}; mails not done: {waiting}");
            if shown.insert(name, row.clone()).as_ref() != Some(&row) {
                lines.push(row);
            }
        }
        lines.iter().try_for_each(|line| say(cut(&text::line(line), columns())))?;
    }
}

/// A line for what happens; who is there, and what each works on, is kept.
fn live_line(told: Told, tasks: &mut BTreeMap<String, String>) -> Option<String> {
    let agent = told.agent;
    match told.live {
        Live::Began(task) | Live::Here(Some(task)) => _ = tasks.insert(agent, task),
        Live::Here(None) => _ = tasks.remove(&agent),
        Live::Ended(outcome) => {
            tasks.remove(&agent);
            return Some(format!("{agent}: {outcome}"));
        }
        Live::Called(call) => return Some(format!("{agent} ▸ {}", title(&call))),
        Live::Answered(_, result, _) if result.is_error => {
            return Some(format!("{agent} ◂ {}", result.content.text()));
        }
        Live::Answered(..) => {}
    }
    None
}
