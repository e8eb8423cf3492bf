//! The third seam: the gate. Every call passes it last, on its final input, with one question at most.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use crate::conversation::message::ToolCall;
use crate::event::{Decision, Event};
use crate::tool::{Effect, ToolContext};

/// What a rule, a hook or a policy says of a call. Ordered: `max` is "the strictest wins".
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It may run.
    Allow,
    /// Somebody has to be asked, and why.
    Ask(String),
    /// It may not run, and why.
    Deny(String),
}

/// Rules. Pure, so that a table can test them: the same call gets the same verdict, and nothing is run.
pub trait Policy: Send + Sync {
    /// What the rules say of this call, started in this directory.
    fn rule_on(&self, call: &ToolCall, effect: &Effect, cwd: &Path) -> Verdict;

    /// What the user is told of it before the first prompt, in a line.
    fn told(&self) -> &'static str {
        "each call is judged by this session's own policy"
    }
}

/// What a person says to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Approval {
    /// Yes, this call.
    Once,
    /// Yes, and do not ask again for its like in this session.
    Session,
    /// Yes, and remember it.
    Always,
    /// No, and why; the model reads it.
    No(String),
}

/// Somebody who can be asked.
#[async_trait]
pub trait Approver: Send + Sync {
    /// May this call run? Dropped when the user interrupts, which is a no.
    async fn approve(&self, call: &ToolCall, why: &str, cx: &ToolContext) -> Approval;
}

/// Policy and approver, joined. A value of the agent: its clones stand behind the same gate.
#[derive(Clone)]
pub struct Gate {
    /// Who rules.
    pub policy: Arc<dyn Policy>,
    /// Who is asked.
    pub approver: Arc<dyn Approver>,
}

impl Gate {
    /// Lets through what the policy allows and what the approver approves; `hooks` is the strictest
    /// verdict of the hooks before it. A refusal is a sentence for the model.
    pub async fn decide(
        &self,
        call: &ToolCall,
        effect: &Effect,
        hooks: Verdict,
        cx: &ToolContext,
    ) -> Decision {
        let why = match hooks.max(self.policy.rule_on(call, effect, &cx.cwd)) {
            Verdict::Allow => return Decision::Allowed,
            Verdict::Deny(why) => return self.told(call, cx, Decision::Denied(why)),
            Verdict::Ask(why) => why,
        };
        let event = Event::Asked { call: call.clone(), why: why.clone() };
        cx.observers.emit(&cx.agent, &event);
        let answer = tokio::select! {
            biased;
            () = cx.cancel.cancelled() => Approval::No("the user interrupted".to_owned()),
            answer = self.approver.approve(call, &why, cx) => answer,
        };
        let decision = match answer {
            Approval::Once | Approval::Session | Approval::Always => Decision::Allowed,
            Approval::No(why) => Decision::Denied(why),
        };
        self.told(call, cx, decision)
    }

    fn told(&self, call: &ToolCall, cx: &ToolContext, decision: Decision) -> Decision {
        let event = Event::Decided { call: call.clone(), decision: decision.clone() };
        cx.observers.emit(&cx.agent, &event);
        decision
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

/// A policy that allows everything. For tests and for agents that have no dangerous tool.
#[derive(Clone, Copy, Debug)]
pub struct AllowAll;

impl Policy for AllowAll {
    fn rule_on(&self, _: &ToolCall, _: &Effect, _: &Path) -> Verdict {
        Verdict::Allow
    }

    fn told(&self) -> &'static str {
        "calls run without asking"
    }
}

/// Nobody is there to be asked: the answer is no, and says so.
#[derive(Clone, Copy, Debug)]
pub struct Headless;

#[async_trait]
impl Approver for Headless {
    async fn approve(&self, _: &ToolCall, why: &str, _: &ToolContext) -> Approval {
        Approval::No(format!(
            "this needs a person's approval and nobody is there to give it ({why})"
        ))
    }
}
