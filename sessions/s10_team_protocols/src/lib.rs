#![doc = include_str!("../README.md")]
//!
//! Next page: [s11 · Autonomous agents](../s11_autonomous_agents/index.html)

mod broker;
mod machine;
mod sequence;
mod tools;

use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use harness_app::{App, Config, Lesson};
use harness_cli::columns;
use harness_core::{Agent, Effect, Event, Mechanism, Mutex, Observer, Policy, ToolCall, Verdict};
use s09_agent_teams::{Flags, Team, Teammate, with_team};

pub use machine::{ExchangeGuard, Exchanges, Illegal, NESTED, Phase, Step, TABLE};

use broker::{Peer, RequestBroker, is_shutdown};
use sequence::{mermaid, sequence};
use tools::{Delegate, ReviewPlan, ShutdownTeammate, SubmitPlan};

/// What the terminal is told of this session.
pub const LESSON: Lesson = Lesson {
    name: env!("CARGO_PKG_NAME"),
    motto: "Who asks waits, who is asked answers, and nobody does both for ever.",
    play: include_str!("../demo.yaml"),
};

/// How long a request is good for, unless told otherwise.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(600);
/// The most columns of a drawn trace.
const TRACE_COLUMNS: usize = 100;

/// The mechanism: requests between a lead and its team, by s09's mail and one machine.
#[derive(Debug)]
pub struct Protocols {
    team: Team,
    broker: Arc<RequestBroker>,
}

impl Protocols {
    /// Over a team of s09 that is not installed yet. Its requests are good for `timeout`.
    pub fn over(mut team: Team, timeout: Duration) -> Self {
        let mut peers = vec![&team.staff.mail];
        peers.extend(team.teammates.iter().map(|teammate| &teammate.mail));
        let peers = peers.into_iter().map(|mail| (mail.name.clone(), Arc::new(Peer::new(mail))));
        let broker = Arc::new(RequestBroker {
            lead: team.staff.mail.name.clone(),
            peers: peers.collect(),
            trace: Mutex::default(),
            timeout,
        });
        for teammate in &mut team.teammates {
            bind(teammate, &broker);
        }
        Self { team, broker }
    }

    /// Joins the agent and the terminal, which gets `:trace`. The teammates begin when the lead is complete.
    pub fn join(mut self, app: App) -> App {
        let staff = self.team.staff.clone();
        let broker = self.broker.clone();
        let teammates = mem::take(&mut self.team.teammates);
        let begin = {
            let staff = staff.clone();
            let broker = broker.clone();
            move |lead: &Agent| {
                for teammate in teammates {
                    let broker = broker.clone();
                    staff.begin(teammate, lead, |teammate, stop| broker.serve(teammate, stop));
                }
            }
        };
        let about = "requests and answers so far, as text and as a Mermaid diagram";
        let app =
            app.with(self).at_start(begin).quick("trace", about, move |_, _| Ok(trace(&broker)));
        staff.serve(app)
    }
}

/// Binds a teammate to the protocols, before its work begins.
fn bind(teammate: &mut Teammate, broker: &Arc<RequestBroker>) {
    teammate.mail.exclude(is_shutdown); // that is answered by the broker, and not by a model
    let broker = broker.clone();
    teammate.shape(move |agent| {
        agent.system.push(PLAN_FIRST);
        agent.tools.add(Delegate(broker.clone()));
        agent.tools.add(SubmitPlan(broker.clone()));
        if let Some(peer) = broker.peers.get(&agent.name) {
            let then = agent.gate.policy.clone();
            agent.gate.policy = Arc::new(PlanFirst { peer: peer.clone(), then });
        }
    });
}

fn trace(broker: &RequestBroker) -> String {
    let trace = broker.trace.lock();
    if trace.is_empty() {
        return "nobody has asked anybody anything yet".to_owned();
    }
    let drawn = sequence(&trace, columns().min(TRACE_COLUMNS));
    format!("{drawn}\n\n{}", mermaid(&trace))
}

impl Mechanism for Protocols {
    fn install(self, agent: &mut Agent) {
        let Self { mut team, broker } = self;
        for teammate in mem::take(&mut team.teammates) {
            let serve = broker.clone().serve(teammate, team.staff.stop.clone());
            team.staff.tasks.spawn(serve);
        }
        team.install(agent);
        agent.tools.retain(|name| name != "send_to_teammate"); // it would go past the machine
        agent.system.push(SYSTEM.to_owned());
        agent.tools.add(Delegate(broker.clone()));
        agent.tools.add(ReviewPlan(broker.clone()));
        agent.tools.add(ShutdownTeammate(broker.clone()));
        agent.observers.add(broker);
    }
}

const SYSTEM: &str = "Give work with delegate. A teammate that has to change something sends you its plan first: \
    read it, and answer with review_plan before anything else. What it was asked comes after that.";

const PLAN_FIRST: &str = "Before you change anything or run a command, send the lead a plan with submit_plan, and \
    do only what was approved. A plan is good for the task that you have now.";

impl Observer for RequestBroker {
    /// What the lead left open ends with its turn; answers that come later come as mail.
    fn on(&self, agent: &str, event: &Event) {
        let is_end = matches!(event, Event::TurnEnded(_) | Event::TurnFailed(_));
        if let Some(peer) = self.peers.get(agent)
            && is_end
        {
            peer.end_turn();
        }
    }
}

/// A teammate's gate: it reads as it likes, and changes nothing before the plan for its task is approved.
struct PlanFirst {
    peer: Arc<Peer>,
    /// The gate of the family, which decides on what is left.
    then: Arc<dyn Policy>,
}

impl Policy for PlanFirst {
    fn rule_on(&self, call: &ToolCall, effect: &Effect, cwd: &Path) -> Verdict {
        let only_looks = matches!(effect, Effect::Reads(_) | Effect::Internal);
        if !only_looks && !self.peer.may_act() {
            let why = "no plan is approved for this task; send one with submit_plan";
            return Verdict::Deny(why.into());
        }
        self.then.rule_on(call, effect, cwd)
    }
}

/// The program: a lead with its team, or mail sent and read beside a running one.
///
/// # Errors
/// The team's file or its mailboxes cannot be used.
pub async fn run(agent: Agent, flags: Flags, config: Config) -> Result<App> {
    let join = |team, app| Protocols::over(team, REQUEST_TIMEOUT).join(app);
    with_team(agent, flags, config, join).await
}
