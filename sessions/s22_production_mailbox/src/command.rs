//! Flags, `worker`, `watch` and `:dead`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, Subcommand};
use harness_app::{App, Config};
use harness_cli::{Display, Screen, columns, cut, say, title};
use harness_core::Agent;
use harness_core::host::text;
use s09_agent_teams::Member;
use s09_agent_teams::mail::{MailNotices, Mailbox, check_name};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::presence::{Activity, PresenceEvent};
use crate::redis::{DeadLetter, HEARTBEAT_INTERVAL, RedisMailbox, space_of};
use crate::{DEFAULT_URL, MemberRunner, TeamMailbox};

/// The most columns of a dead letter's body.
const LETTER_COLUMNS: usize = 200;

/// This session's own flags.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[command(flatten)]
    team: TeamFlags,
    /// The subcommand that was given.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The team, and the mail that it reads.
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
    let members = flags.team.members()?;
    let space = flags.team.space(&agent)?;
    let names = names(&members, &agent)?;
    let notices = MailNotices::default();
    let url = config.setting("REDIS_URL").unwrap_or_else(|| DEFAULT_URL.to_owned());
    let mailbox = RedisMailbox::open(&url, &space, names.iter().copied(), notices.clone())
        .await
        .map_err(|why| anyhow!("{why}; `worker` and `watch` need one"))?;
    match command {
        Command::Watch => watch(&mailbox, &names).await?,
        Command::Worker { name } => {
            let member = find(&members, &name)?;
            worker(agent.clone(), member, Arc::new(mailbox), notices).await?;
        }
    }
    Ok(App::done(agent, ExitCode::SUCCESS))
}

/// Joins the team to the terminal, with its mail in Redis or, where there is none, in memory.
///
/// # Errors
/// Those of [`run`].
pub async fn join(app: App, flags: &TeamFlags, config: &Config) -> Result<App> {
    let members = flags.members()?;
    let space = flags.space(app.agent())?;
    let names = names(&members, app.agent())?;
    let notices = MailNotices::default();
    let url = config.setting("REDIS_URL");
    let (mailbox, told) = TeamMailbox::open(url.as_deref(), &space, &names, &notices).await?;
    let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    let app = mailbox.team(app, members, notices).await?.notices([told]);
    Ok(app.command("dead", "lists the dead letters", move |_, _| {
        let mailbox = mailbox.clone();
        let names = names.clone();
        Box::pin(async move { dead_letters(&mailbox, &names).await })
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
        let space = self.space.clone().unwrap_or_else(|| space_of(&agent.cwd));
        check_name(&space).context("--space")?;
        Ok(space)
    }
}

/// The names that have a box: the members and their lead.
fn names<'a>(members: &'a [Member], lead: &'a Agent) -> Result<Vec<&'a str>> {
    let mut names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
    names.push(&lead.name);
    for name in &names {
        check_name(name)?;
    }
    Ok(names)
}

fn find(members: &[Member], name: &str) -> Result<Member> {
    if let Some(found) = members.iter().find(|member| member.name == name) {
        return Ok(found.clone());
    }
    let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
    bail!("there is no member {name:?} in the team; available: {}", names.join(", "));
}

/// All dead letters, each with the reason on a line of its own.
async fn dead_letters(mailbox: &TeamMailbox, names: &[String]) -> Result<String> {
    let mut lines = String::new();
    for name in names {
        for DeadLetter { mail, why } in mailbox.dead(name).await? {
            let (from, body) = match &mail {
                Ok(mail) => (mail.from.as_str(), mail.body.as_str()),
                Err(text) => ("?", text.as_str()),
            };
            let body = text::line(&cut(body, LETTER_COLUMNS));
            let why = text::line(&why);
            let _ = writeln!(lines, "{from} to {name}: “{body}”\n  {why}");
        }
    }
    if lines.is_empty() {
        return Ok("no dead letters".to_owned());
    }
    Ok(lines.trim_end().to_owned())
}

/// Runs one teammate until a signal comes.
async fn worker(
    mut agent: Agent,
    member: Member,
    mailbox: Arc<RedisMailbox>,
    notices: MailNotices,
) -> Result<()> {
    let screen = Screen::stdout();
    let about = mailbox.describe().await;
    let place = agent.cwd.display();
    let greeting = format!("{} works here. {about}\nworking in {place}", member.name);
    screen.line(text::strip(&greeting));
    screen.line(agent.gate.policy.told());
    agent.observers.add_for_family(Arc::new(Display::new(screen.clone(), agent.name.clone())));
    agent.observers.add_for_family(mailbox.publisher(agent.secrets.clone()));
    let runner = MemberRunner {
        origin: agent,
        member,
        mailbox: mailbox.clone(),
        notices: notices.clone(),
        status: Arc::default(),
    };
    let ended = run_until_signal(runner, &notices, &screen).await;
    mailbox.leave().await;
    ended?;
    Ok(screen.check()?)
}

/// Runs a member, and shows the mailbox's notices meanwhile. A signal ends it in order.
async fn run_until_signal(
    runner: MemberRunner,
    notices: &MailNotices,
    screen: &Screen,
) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = CancellationToken::new();
    let mut run = pin!(runner.run(stop.clone()));
    loop {
        let ended = tokio::select! {
            ended = &mut run => Some(ended),
            _ = interrupt.recv() => None,
            _ = terminate.recv() => None,
            () = tokio::time::sleep(HEARTBEAT_INTERVAL / 4) => {
                show(notices, screen);
                continue;
            }
        };
        show(notices, screen);
        match ended {
            Some(ended) => return Ok(ended?),
            None => stop.cancel(),
        }
    }
}

fn show(notices: &MailNotices, screen: &Screen) {
    for notice in notices.take() {
        screen.line(text::strip(&notice));
    }
}

/// Prints what changes, until nobody reads it any more.
async fn watch(mailbox: &RedisMailbox, names: &[&str]) -> Result<()> {
    let mut presence = mailbox.presence();
    let mut tick = tokio::time::interval(HEARTBEAT_INTERVAL / 4);
    let mut tasks = BTreeMap::new();
    let mut rows_shown = BTreeMap::new();
    loop {
        let mut lines = Vec::new();
        tokio::select! {
            event = presence.recv() => if let Ok(event) = event {
                note_task(&event, &mut tasks);
                lines.extend(line_of(&event));
            },
            _ = tick.tick() => {}
        }
        for &name in names {
            let row = row(mailbox, name, tasks.get(name)).await?;
            if rows_shown.get(name) != Some(&row) {
                rows_shown.insert(name, row.clone());
                lines.push(row);
            }
        }
        for line in lines {
            say(cut(&text::line(&line), columns()))?;
        }
    }
}

/// Where a member works, on what, and how much it has to do.
async fn row(mailbox: &RedisMailbox, name: &str, task: Option<&String>) -> Result<String> {
    let open = mailbox.unacknowledged(name).await?;
    let doing = match (mailbox.reader(name).await?, task) {
        (None, _) => "nobody reads its mail".to_owned(),
        (Some(by), Some(task)) => format!("working on “{task}” in {by}"),
        (Some(by), None) => format!("there, in {by}"),
    };
    Ok(format!("{name}: {doing}; mails not done: {open}"))
}

/// Remembers what each agent works on.
fn note_task(event: &PresenceEvent, tasks: &mut BTreeMap<String, String>) {
    match &event.activity {
        Activity::Started(task) | Activity::Heartbeat(Some(task)) => {
            tasks.insert(event.agent.clone(), task.clone());
        }
        Activity::Ended(_) | Activity::Heartbeat(None) => {
            tasks.remove(&event.agent);
        }
        Activity::ToolStarted(_) | Activity::ToolFinished { .. } => {}
    }
}

/// A line for what happens, where that is not in an agent's row.
fn line_of(event: &PresenceEvent) -> Option<String> {
    let agent = &event.agent;
    match &event.activity {
        Activity::Ended(outcome) => Some(format!("{agent}: {outcome}")),
        Activity::ToolStarted(call) => Some(format!("{agent} ▸ {}", title(call))),
        Activity::ToolFinished { result, .. } if result.is_error => {
            Some(format!("{agent} ◂ {}", result.content.text()))
        }
        _ => None,
    }
}
