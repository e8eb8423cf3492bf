#![doc = include_str!("../README.md")]
//!
//! Next page: [s11 · Autonomous agents](../s11_autonomous_agents/index.html)

mod machine;
mod office;
mod sequence;
mod tools;

use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use harness_cli::{App, Config, Lesson, columns};
use harness_core::{Agent, Effect, Event, Mechanism, Mutex, Observer, Policy, ToolCall, Verdict};
use s09_agent_teams::{Flags, Team, Teammate, with_team};

pub use machine::{Desk, Guard, Illegal, State, Step, TABLE, WITHIN};

use office::{Office, SHUTDOWN, Seat};
use sequence::{mermaid, sequence};
use tools::{Delegate, ReviewPlan, ShutdownTeammate, SubmitPlan};

/// What the terminal is told of this session.
pub const LESSON: Lesson = Lesson {
    name: env!("CARGO_PKG_NAME"),
    motto: "Who asks waits, who is asked answers, and nobody does both for ever.",
    play: include_str!("../demo.yaml"),
};

/// So long a request is good for, unless told otherwise.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// The mechanism: requests between a lead and its team, by s09's mail and one machine.
#[derive(Debug)]
pub struct Protocols {
    team: Team,
    office: Arc<Office>,
}

impl Mechanism for Protocols {
    fn install(self, agent: &mut Agent) {
        let Self { mut team, office } = self;
        for teammate in mem::take(&mut team.teammates) {
            let work = office.clone().work(teammate, team.staff.stop.clone());
            team.staff.tasks.spawn(work);
        }
        team.install(agent);
        agent.tools.retain(|name| name != "send_to_teammate"); // it would go past the machine
        agent.system.push(SYSTEM.to_owned());
        agent.tools.add(Delegate(office.clone()));
        agent.tools.add(ReviewPlan(office.clone()));
        agent.tools.add(ShutdownTeammate(office.clone()));
        agent.observers.add(office);
    }
}

const SYSTEM: &str = "Give work with delegate. A teammate that has to change something sends you its plan first: \
    read it, and answer with review_plan before anything else. What it was asked comes after that.";

impl Protocols {
    /// Over a team of s09 that is not installed yet. Its requests are good for so long.
    pub fn over(mut team: Team, patience: Duration) -> Self {
        let posts = team.teammates.iter().map(|it| &it.post).chain([&team.staff.post]);
        let (seats, lead) = (posts.map(Seat::new).collect(), team.staff.post.name.clone());
        let office = Arc::new(Office { lead, seats, trace: Mutex::default(), patience });
        for Teammate { agent, post, .. } in &mut team.teammates {
            post.set_aside(|mail| mail.asks().is_some_and(|(what, ..)| what == SHUTDOWN));
            agent.system.push(PLAN_FIRST.to_owned());
            agent.tools.add(Delegate(office.clone()));
            agent.tools.add(SubmitPlan(office.clone()));
            if let Some(seat) = office.seats.get(&agent.name).cloned() {
                let then = agent.gate.policy.clone();
                agent.gate.policy = Arc::new(PlanFirst { seat, then });
            }
        }
        Self { team, office }
    }

    /// Joins the agent and the terminal, which gets `:trace`.
    pub fn join(self, app: App) -> App {
        let (staff, office) = (self.team.staff.clone(), self.office.clone());
        let about = "who asked whom, as text and as a Mermaid diagram";
        let app = app.with(self).quick("trace", about, move |_, _| {
            Ok(match &office.trace.lock()[..] {
                [] => "nobody has asked anybody anything yet".to_owned(),
                all => format!("{}\n\n{}", sequence(all, columns().min(100)), mermaid(all)),
            })
        });
        staff.serve(app)
    }
}

const PLAN_FIRST: &str = "Before you change anything or run a command, send the lead a plan with submit_plan, and \
    do only what was approved. A plan is good for the task that you have now.";

impl Observer for Office {
    /// What the lead left open ends with its turn; answers that come later come as mail.
    fn on(&self, agent: &str, event: &Event) {
        if let (Event::TurnEnded(_) | Event::TurnFailed(_), Some(seat)) =
            (event, self.seats.get(agent))
        {
            *seat.open.lock() = None;
        }
    }
}

/// A teammate's gate: it reads as it likes, and changes nothing before the plan for its task is approved.
struct PlanFirst {
    seat: Arc<Seat>,
    then: Arc<dyn Policy>,
}

impl Policy for PlanFirst {
    fn rule_on(&self, call: &ToolCall, effect: &Effect, cwd: &Path) -> Verdict {
        match effect {
            Effect::Writes(_) | Effect::Runs(_) | Effect::Unknown if !self.seat.may_act() => {
                Verdict::Deny("no plan is approved for this task; send one with submit_plan".into())
            }
            _ => self.then.rule_on(call, effect, cwd),
        }
    }
}

/// The program: a lead with its team, or mail sent and read beside a running one.
///
/// # Errors
/// The team's file or its mailboxes cannot be used.
pub async fn run(agent: Agent, flags: Flags, config: Config) -> Result<App> {
    let join = |team, app| Protocols::over(team, PATIENCE).join(app);
    with_team(agent, flags, config, join).await
}
