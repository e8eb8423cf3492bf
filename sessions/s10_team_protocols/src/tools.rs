//! What models see of the protocols.

use std::sync::Arc;

use harness_core::{Content, Effect, Tool, ToolContext, ToolError};
use s09_agent_teams::mail::{Mail, MailOutcome, as_result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::broker::{Peer, Protocol, RequestBroker, UnderReview, failed};
use crate::machine::Step;

/// What `delegate` and `shutdown_teammate` take.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestInput {
    /// The teammate's name.
    name: String,
    /// What it is to do, or to know.
    message: String,
}

pub(crate) struct Delegate(pub(crate) Arc<RequestBroker>);

impl Tool for Delegate {
    const NAME: &'static str = "delegate";
    const ABOUT: &'static str = "Gives a teammate a task and waits for its answer, or its plan.";
    type Input = RequestInput;

    fn effect(&self, _: &RequestInput) -> Effect {
        Effect::Internal
    }

    async fn call(&self, input: RequestInput, cx: &ToolContext) -> Result<Content, ToolError> {
        let answer = self.0.ask(Protocol::Task, &input.name, &input.message, cx).await?;
        as_result(&answer, cx)
    }
}

/// What `submit_plan` takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlanInput {
    /// What you will change and run, step by step.
    plan: String,
}

pub(crate) struct SubmitPlan(pub(crate) Arc<RequestBroker>);

impl Tool for SubmitPlan {
    const NAME: &'static str = "submit_plan";
    const ABOUT: &'static str = "Sends the lead your plan for this task and waits for its verdict.";
    type Input = PlanInput;

    fn effect(&self, _: &PlanInput) -> Effect {
        Effect::Internal
    }

    async fn call(&self, input: PlanInput, cx: &ToolContext) -> Result<Content, ToolError> {
        let me = self.0.peer(&cx.agent)?;
        let task = me.task();
        let verdict = self.0.ask(Protocol::Plan, &self.0.lead, &input.plan, cx).await?;
        let is_from_lead = verdict.from == self.0.lead;
        if is_from_lead && verdict.outcome == Some(MailOutcome::Approved) {
            me.approve(task);
        }
        as_result(&verdict, cx)
    }
}

/// What `review_plan` takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReviewInput {
    /// The id of the mail that holds the plan.
    request: String,
    /// Whether it may be carried out as it is.
    approve: bool,
    /// The reason, or what to mind.
    #[serde(default)]
    comment: String,
}

pub(crate) struct ReviewPlan(pub(crate) Arc<RequestBroker>);

impl Tool for ReviewPlan {
    const NAME: &'static str = "review_plan";
    const ABOUT: &'static str = "Approves or rejects a teammate's plan, then waits for its answer.";
    type Input = ReviewInput;

    fn effect(&self, _: &ReviewInput) -> Effect {
        Effect::Internal
    }

    /// The verdict ends the review. If the plan came while we waited for the teammate's work, the wait goes on.
    async fn call(&self, input: ReviewInput, cx: &ToolContext) -> Result<Content, ToolError> {
        let me = self.0.peer(&cx.agent)?;
        let plan = self.0.take_plan(&input.request)?;
        let verdict = input.verdict_on(&plan, cx);
        let Some(under_review) = me.take_request_to(&plan.from) else {
            let _review = me.exchanges.begin(Step::Asked, &plan.from).map_err(failed)?;
            respond(me, verdict).await?;
            return Ok("sent".into());
        };
        let UnderReview { request, waiting, review } = under_review;
        respond(me, verdict).await?;
        drop(review); // a next plan may come while we wait
        let answer = self.0.wait(me, request, waiting, cx).await?;
        as_result(&answer, cx)
    }
}

impl ReviewInput {
    fn verdict_on(&self, plan: &Mail, cx: &ToolContext) -> Mail {
        let outcome = if self.approve { MailOutcome::Approved } else { MailOutcome::Rejected };
        let comment = cx.secrets.mask(&self.comment);
        Mail { outcome: Some(outcome), ..plan.answer(comment) }
    }
}

/// Sends the answer to what the innermost exchange is about, and ends that.
async fn respond(me: &Peer, answer: Mail) -> Result<(), ToolError> {
    me.mail.mailbox.send(answer).await.map_err(failed)?;
    me.exchanges.step(Step::Responded).map_err(failed)?;
    Ok(())
}

pub(crate) struct ShutdownTeammate(pub(crate) Arc<RequestBroker>);

impl Tool for ShutdownTeammate {
    const NAME: &'static str = "shutdown_teammate";
    const ABOUT: &'static str = "Asks a teammate to end once it has answered what it was asked.";
    type Input = RequestInput;

    fn effect(&self, _: &RequestInput) -> Effect {
        Effect::Internal
    }

    async fn call(&self, input: RequestInput, cx: &ToolContext) -> Result<Content, ToolError> {
        let answer = self.0.ask(Protocol::Shutdown, &input.name, &input.message, cx).await?;
        as_result(&answer, cx)
    }
}
