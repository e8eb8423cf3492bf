//! What models see of the protocols.

use std::sync::Arc;

use harness_core::mail::{FAILED, Mail, shown};
use harness_core::{Content, Effect, Tool, ToolContext, ToolError};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::Step;
use crate::office::{Office, PLAN, SHUTDOWN, TASK, tell};

/// A verdict that begins so is a yes.
const APPROVED: &str = "approved";

/// What a tool returns of a mail: it tells which it was, so that it counts as read.
fn told(mail: &Mail) -> Result<Content, ToolError> {
    match mail.body.starts_with(FAILED) {
        true => Err(ToolError::Failed(shown(mail))),
        false => Ok(shown(mail).into()),
    }
}

/// What `delegate` and `shutdown_teammate` take.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Task {
    /// The teammate's name.
    name: String,
    /// What it is to do, or to know.
    message: String,
}

pub(crate) struct Delegate(pub(crate) Arc<Office>);

impl Tool for Delegate {
    const NAME: &'static str = "delegate";
    const ABOUT: &'static str = "Gives a teammate a task and waits for its answer, or its plan.";
    type Input = Task;

    fn effect(&self, _: &Task) -> Effect {
        Effect::Internal
    }

    async fn call(&self, input: Task, cx: &ToolContext) -> Result<Content, ToolError> {
        told(&self.0.ask(TASK, &input.name, &input.message, cx).await?)
    }
}

/// What `submit_plan` takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    /// What you will change and run, step by step.
    plan: String,
}

pub(crate) struct SubmitPlan(pub(crate) Arc<Office>);

impl Tool for SubmitPlan {
    const NAME: &'static str = "submit_plan";
    const ABOUT: &'static str = "Sends the lead your plan for this task and waits for its verdict.";
    type Input = Plan;

    fn effect(&self, _: &Plan) -> Effect {
        Effect::Internal
    }

    async fn call(&self, input: Plan, cx: &ToolContext) -> Result<Content, ToolError> {
        let seat = self.0.seat(&cx.agent)?;
        let task = seat.task();
        let verdict = self.0.ask(PLAN, &self.0.lead, &input.plan, cx).await?;
        if verdict.from == self.0.lead && verdict.body.starts_with(APPROVED) {
            *seat.approved.lock() = task;
        }
        told(&verdict)
    }
}

/// What `review_plan` takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Review {
    /// The id of the mail that holds the plan.
    request: String,
    /// Whether it may be carried out as it is.
    approve: bool,
    /// Why, or what to mind.
    #[serde(default)]
    comment: String,
}

pub(crate) struct ReviewPlan(pub(crate) Arc<Office>);

impl Tool for ReviewPlan {
    const NAME: &'static str = "review_plan";
    const ABOUT: &'static str = "Approves or rejects a teammate's plan, then waits for its answer.";
    type Input = Review;

    fn effect(&self, _: &Review) -> Effect {
        Effect::Internal
    }

    async fn call(&self, input: Review, cx: &ToolContext) -> Result<Content, ToolError> {
        let (me, plan) = (self.0.seat(&cx.agent)?, self.0.take_plan(&input.request)?);
        let open = me.open.lock().take().filter(|(asked, ..)| asked.to == plan.from);
        let (open, inner) = match open {
            Some((asked, outer, inner)) => (Some((asked, outer)), inner),
            None => (None, me.desk.begin(Step::Asked, &plan.from).map_err(tell)?),
        };
        let verdict = if input.approve { APPROVED } else { "rejected" };
        let verdict = plan.answer(format!("{verdict}. {}", cx.secrets.mask(&input.comment)));
        me.post.mailbox.send(verdict).await.map_err(tell)?;
        me.desk.step(Step::Responded).map_err(tell)?;
        drop(inner); // a next one may begin while we wait
        let Some((asked, outer)) = open else { return Ok("sent".into()) };
        told(&self.0.wait(me, asked, outer, cx).await?)
    }
}

pub(crate) struct ShutdownTeammate(pub(crate) Arc<Office>);

impl Tool for ShutdownTeammate {
    const NAME: &'static str = "shutdown_teammate";
    const ABOUT: &'static str = "Asks a teammate to end once it has answered what it was asked.";
    type Input = Task;

    fn effect(&self, _: &Task) -> Effect {
        Effect::Internal
    }

    async fn call(&self, input: Task, cx: &ToolContext) -> Result<Content, ToolError> {
        told(&self.0.ask(SHUTDOWN, &input.name, &input.message, cx).await?)
    }
}
