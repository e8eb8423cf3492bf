//! The third seam: the gate. Every call passes it last, on its final input, with one question at most.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use crate::conversation::message::ToolCall;
use crate::event::{Decision, Event};
use crate::tool::{Change, Effect, ToolContext};

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

/// Rules. A policy runs nothing and asks nobody, so a table of calls can test it.
///
/// It need not be pure. [`Rules`](super::Rules) look at the disk: a path is judged where its links lead, and a git
/// command by what the repository's configuration would start. So the same call can get another verdict when
/// the disk has changed, and what was judged can change before it runs.
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

/// What a person is asked.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The call that wants to run.
    pub call: &'a ToolCall,
    /// Why it is asked.
    pub why: &'a str,
    /// What it would make of a file, where the tool can say so.
    pub change: Option<&'a Change>,
}

/// Somebody who can be asked.
#[async_trait]
pub trait Approver: Send + Sync {
    /// May this call run? Dropped when the user interrupts, which is a no.
    async fn approve(&self, question: &Question<'_>, cx: &ToolContext) -> Approval;
}

/// That a call may run, and on what condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permit {
    /// The change that a person was shown. If the call would make another one by now, it does not run.
    pub approved: Option<Change>,
}

/// Policy and approver, joined. A value of the agent: its children stand behind the same gate.
#[derive(Clone)]
pub struct Gate {
    /// Who rules.
    pub policy: Arc<dyn Policy>,
    /// Who is asked.
    pub approver: Arc<dyn Approver>,
}

impl Gate {
    /// Lets through what the policy allows and what the approver approves; `hooks` is the strictest
    /// verdict of the hooks before it. `preview` is only asked for where a person is.
    ///
    /// # Errors
    /// The call may not run; the reason is a sentence for the model.
    pub async fn decide(
        &self,
        call: &ToolCall,
        effect: &Effect,
        hooks: Verdict,
        preview: impl Future<Output = Option<Change>>,
        cx: &ToolContext,
    ) -> Result<Permit, String> {
        let why = match hooks.max(self.policy.rule_on(call, effect, &cx.cwd)) {
            Verdict::Allow => return Ok(Permit::default()),
            Verdict::Deny(why) => return self.denied(call, cx, why),
            Verdict::Ask(why) => why,
        };
        cx.emit(&Event::Asked { call: call.clone(), why: why.clone() });
        let asked = async {
            let change = preview.await;
            let question = Question { call, why: &why, change: change.as_ref() };
            let approval = self.approver.approve(&question, cx).await;
            (approval, change)
        };
        let (approval, change) = tokio::select! {
            biased;
            () = cx.cancel.cancelled() => {
                return self.denied(call, cx, "the user interrupted".to_owned());
            }
            answered = asked => answered,
        };
        match approval {
            Approval::Once | Approval::Session | Approval::Always => {
                self.decided(call, cx, Decision::Allowed);
                Ok(Permit { approved: change })
            }
            Approval::No(why) => self.denied(call, cx, why),
        }
    }

    fn denied(&self, call: &ToolCall, cx: &ToolContext, why: String) -> Result<Permit, String> {
        self.decided(call, cx, Decision::Denied(why.clone()));
        Err(why)
    }

    fn decided(&self, call: &ToolCall, cx: &ToolContext, decision: Decision) {
        cx.emit(&Event::Decided { call: call.clone(), decision });
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
    async fn approve(&self, question: &Question<'_>, _: &ToolContext) -> Approval {
        let why = question.why;
        Approval::No(format!(
            "this needs a person's approval and nobody is there to give it ({why})"
        ))
    }
}
