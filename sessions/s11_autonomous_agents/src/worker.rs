//! A worker: an agent that finds its tasks by itself.

use std::sync::Arc;
use std::time::Duration;

use harness_core::agent::task::outcome;
use harness_core::host::ownership::lease::Owner;
use harness_core::host::state::changed;
use harness_core::host::workspace::WorkspaceError;
use harness_core::tool::builtin::blocking;
use harness_core::{Agent, ChildKind, ChildSpec, Event, StateError, ToolError, TurnOutcome};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::claims::{Claim, Claims, Found, Outcome};

/// The most steps of one task.
const MAX_STEPS: usize = 50;
/// How often the board is read while it does not change: a lease expires without a change of any file.
pub(crate) const READ_INTERVAL: Duration = Duration::from_secs(1);

const SYSTEM: &str = "You are a worker: this task is from a board, and you do it alone; nobody can answer a \
    question. Others work in the same folder, so touch only what the task is about. Your last message is kept \
    on the board for the tasks that wait for this one: say what came of it.";

/// The mechanism: claim, run, complete, and again.
#[derive(Debug)]
pub struct Worker {
    claims: Claims,
    agent: Agent,
    lead: String,
    owner: Arc<Owner>,
}

impl Worker {
    /// A child of this agent becomes a worker of that name.
    ///
    /// # Errors
    /// The workspace cannot be written.
    pub fn new(claims: &Claims, lead: &Agent, name: &str) -> Result<Self, WorkspaceError> {
        Ok(Self {
            agent: child_for(lead, name),
            lead: lead.name.clone(),
            owner: Arc::new(claims.leases.owner(name)?),
            claims: claims.clone(),
        })
    }

    /// Makes its agent anew, as a child of the lead as it is now: what was installed since then reaches it, too.
    pub(crate) fn join(&mut self, lead: &Agent) {
        self.agent = child_for(lead, &self.agent.name);
    }

    /// Works until nothing is left that anybody could do, or until there was nothing to do for so long;
    /// without `idle`, until it is cancelled. Then what it has claimed is given back. Returns how many
    /// tasks it has worked on.
    ///
    /// # Errors
    /// The board cannot be used.
    pub async fn work(
        &self,
        idle: Option<Duration>,
        cancel: &CancellationToken,
    ) -> Result<usize, ToolError> {
        let mut count = 0;
        let mut idle_since = Instant::now();
        while !cancel.is_cancelled() {
            // Taken before the board is read, so that no change falls in between.
            let change = changed(&self.claims.file, READ_INTERVAL);
            let claims = self.claims.clone();
            let owner = self.owner.clone();
            match blocking(move || Ok(claims.claim(&owner)?)).await? {
                Found::Claim(claim) => {
                    self.one(*claim, cancel).await?;
                    count += 1;
                    idle_since = Instant::now();
                }
                Found::Nothing if idle.is_some() => break,
                _ if idle.is_some_and(|idle| idle_since.elapsed() > idle) => break,
                _ => _ = cancel.run_until_cancelled(change).await,
            }
        }
        Ok(count)
    }

    /// Does a task and says so, and ends the claim by what came of it.
    async fn one(&self, claim: Claim, cancel: &CancellationToken) -> Result<(), ToolError> {
        let (child, task) = (self.agent.name.clone(), claim.task.to_string());
        self.emit(&Event::ChildStarted { child: child.clone(), task });
        let own = cancel.child_token();
        let (leases, id) = (&self.claims.leases, &claim.task.id);
        let outcome = leases.renew_while(id, &self.owner, &own, self.run(&claim, &own)).await;
        let (claims, owner) = (self.claims.clone(), self.owner.clone());
        let ended = blocking(move || match claims.end(&claim, &owner, outcome) {
            Ok(status) => Ok(format!("{} is {status}", claim.task.id)),
            Err(StateError::Refused(lost)) => Ok(lost),
            Err(error) => Err(error.into()),
        });
        self.emit(&Event::ChildEnded { child, outcome: ended.await? });
        Ok(())
    }

    /// Runs the agent on a task. What it says is no proof: a check decides, where the task has one. It passes
    /// the gate like any other call.
    async fn run(&self, claim: &Claim, cancel: &CancellationToken) -> Outcome {
        if claim.task.description.trim().is_empty() {
            return Outcome::Again("it has no words".to_owned());
        }
        let note = format!("The workspace is {}.", self.agent.cwd.display());
        let ended =
            self.agent.clone().run_task(&self.agent.cwd, note, &claim.words(), cancel).await;
        let Ok(TurnOutcome::Answered(said)) = ended else {
            return match ended {
                Ok(TurnOutcome::Interrupted) => Outcome::Back,
                ended => Outcome::Again(outcome(&ended)),
            };
        };
        let Some(check) = &claim.check else { return Outcome::Done(said) };
        let passed = self.agent.passes_check(check, cancel).await;
        if cancel.is_cancelled() {
            return Outcome::Back;
        }
        match passed {
            Ok(()) => Outcome::Done(said),
            Err(why) => Outcome::Again(format!("its check failed: {why}")),
        }
    }

    /// A worker's beginning and end are told as events of its lead.
    pub(crate) fn emit(&self, event: &Event) {
        self.agent.observers.emit(&self.lead, event);
    }
}

fn child_for(lead: &Agent, name: &str) -> Agent {
    let mut spec = ChildSpec::new(name, ChildKind::Task);
    spec.max_steps = Some(MAX_STEPS);
    spec.instructions.push(SYSTEM.to_owned());
    lead.child(spec)
}
