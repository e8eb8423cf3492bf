//! The sixth seam: in which order the calls of one reply run, and what each of them goes through.

use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::FutureExt;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::agent::Agent;
use crate::conversation::INTERRUPTED;
use crate::conversation::message::{Content, ToolCall, ToolResult};
use crate::event::Event;
use crate::host::mutex::Mutex;
use crate::host::secrets::Secrets;
use crate::model::invalid_input;
use crate::permission::{Permit, Verdict};
use crate::tool::{Effect, Parent, PreparedCall, ToolContext, ToolError};

/// Grace period after cancellation in which a tool, and the hooks around it, may still return partial output.
const GRACE: Duration = Duration::from_millis(500);

/// Runs the calls of one reply. Every call must be answered; [`Runner::run`] answers one.
#[async_trait]
pub trait Schedule: Send + Sync {
    /// The results, in any order: the conversation puts them into call order.
    async fn run(&self, calls: &[ToolCall], runner: &Runner<'_>) -> Vec<ToolResult>;
}

/// One after the other.
#[derive(Clone, Copy, Debug)]
pub struct InOrder;

#[async_trait]
impl Schedule for InOrder {
    async fn run(&self, calls: &[ToolCall], runner: &Runner<'_>) -> Vec<ToolResult> {
        let mut results = Vec::with_capacity(calls.len());
        for call in calls {
            results.push(runner.run(call).await);
        }
        results
    }
}

/// What a call goes through: admitted (input, hooks, gate), then performed (the tool, hooks after).
pub struct Runner<'a> {
    agent: &'a Agent,
    /// The agent as it is now, for calls that send children: made once for all calls of a reply.
    parent: Arc<dyn Parent>,
    cancel: &'a CancellationToken,
    fatal: Mutex<Option<String>>,
}

/// A call that may run.
pub struct Admitted {
    /// The call, as the hooks left it.
    pub call: ToolCall,
    /// What it will do.
    pub effect: Effect,
    prepared: Box<dyn PreparedCall>,
    permit: Permit,
    cx: ToolContext,
}

impl std::fmt::Debug for Admitted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admitted").field("call", &self.call).field("effect", &self.effect).finish()
    }
}

impl std::fmt::Debug for Runner<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").field("agent", &self.agent).finish_non_exhaustive()
    }
}

impl<'a> Runner<'a> {
    pub(crate) fn new(agent: &'a Agent, cancel: &'a CancellationToken) -> Self {
        Self { agent, parent: Arc::new(agent.clone()), cancel, fatal: Mutex::new(None) }
    }

    /// Where the calls work.
    pub fn cwd(&self) -> &Path {
        &self.agent.cwd
    }

    /// What a call would do as it is written, for a schedule that looks ahead. No hook is asked, and a
    /// hook may still rewrite it. `None`: it would be refused anyway.
    pub fn foresee(&self, call: &ToolCall) -> Option<Effect> {
        self.prepare(call).ok().map(|(_, effect)| effect)
    }

    /// Answers one call.
    pub async fn run(&self, call: &ToolCall) -> ToolResult {
        match self.admit(call).await {
            Ok(admitted) => self.perform(admitted).await,
            Err(result) => result,
        }
    }

    /// Finds the tool, reads the input, asks the hooks and, last, the gate.
    ///
    /// # Errors
    /// The call may not run; the result says why.
    pub async fn admit(&self, call: &ToolCall) -> Result<Admitted, ToolResult> {
        let mut call = call.clone();
        if self.has_ended() {
            return Err(self.refused(&call, INTERRUPTED.to_owned()));
        }
        let cx = self.agent.context_of(self.parent.clone(), &call.id, self.cancel);
        match self.judge(&mut call, &cx).await {
            Ok((prepared, effect, permit)) => Ok(Admitted { call, effect, prepared, permit, cx }),
            Err(why) => Err(self.refused(&call, why)),
        }
    }

    async fn judge(
        &self,
        call: &mut ToolCall,
        cx: &ToolContext,
    ) -> Result<(Box<dyn PreparedCall>, Effect, Permit), String> {
        let (mut prepared, mut effect) = self.prepare(call)?;
        let mut verdict = Verdict::Allow;
        let late = self.late().shared();
        let mut as_prepared = call.clone();
        for hook in &self.agent.hooks {
            let said = tokio::select! {
                biased;
                said = hook.before_tool(call, &effect, cx) => said,
                () = late.clone() => return Err(INTERRUPTED.to_owned()),
            };
            verdict = verdict.max(said);
            if *call != as_prepared {
                // Rewritten: the next hook and the gate judge what will run.
                (prepared, effect) = self.prepare(call)?;
                as_prepared = call.clone();
            }
        }
        let preview = prepared.preview(cx);
        match self.agent.gate.decide(call, &effect, verdict, preview, cx).await {
            Ok(permit) => Ok((prepared, effect, permit)),
            Err(why) => Err(format!("denied: {why}")),
        }
    }

    /// Finds the tool and reads the input. The text of a failure is for the model.
    fn prepare(&self, call: &ToolCall) -> Result<(Box<dyn PreparedCall>, Effect), String> {
        if let Some(raw) = invalid_input(call) {
            return Err(format!("the input was not a JSON object: {raw}"));
        }
        let tool = self.agent.tools.get(&call.name).map_err(|error| error.to_string())?;
        let prepare = AssertUnwindSafe(|| {
            let prepared = tool.prepare(&call.input)?;
            let effect = prepared.effect();
            Ok::<_, ToolError>((prepared, effect))
        });
        let prepared = std::panic::catch_unwind(prepare).map_err(|_| panicked(call))?;
        prepared.map_err(|error| error.to_string())
    }

    /// Runs the tool. A panic in it is its failure, not ours. What was interrupted since it was admitted
    /// is not begun.
    pub async fn perform(&self, admitted: Admitted) -> ToolResult {
        let Admitted { call, prepared, permit, cx, .. } = admitted;
        if self.has_ended() {
            return self.refused(&call, INTERRUPTED.to_owned());
        }
        if let Some(approved) = permit.approved
            && prepared.preview(&cx).await.as_ref() != Some(&approved)
        {
            let path = approved.path.display();
            let why =
                format!("{path} has changed since the person agreed; look at it and try again");
            return self.refused(&call, why);
        }
        cx.emit(&Event::ToolStarted(call.clone()));
        let start = Instant::now();
        let late = self.late().shared();
        let outcome = self.outcome(&call, prepared, &cx, late.clone()).await;
        let mut result = match outcome {
            Ok(content) => ToolResult::done(call.id.as_str(), content),
            Err(why) => ToolResult::failed(call.id.as_str(), why),
        };
        result.delivered = cx.deliveries.take();
        mask(&mut result.content, &cx.secrets); // before the hooks, which may write it down
        let hooks = async {
            for hook in &self.agent.hooks {
                hook.after_tool(&call, &mut result, &cx).await;
            }
        };
        tokio::select! {
            biased; // also when no time is left: what need not wait is done
            () = hooks => {}
            () = late => {}
        }
        mask(&mut result.content, &cx.secrets); // and what they have added
        self.emit_finished(&call, &result, start.elapsed());
        result
    }

    /// What the tool returns, or why there is nothing.
    async fn outcome(
        &self,
        call: &ToolCall,
        prepared: Box<dyn PreparedCall>,
        cx: &ToolContext,
        late: impl Future<Output = ()>,
    ) -> Result<Content, String> {
        let start = Instant::now();
        let work = AssertUnwindSafe(prepared.run(cx)).catch_unwind();
        let done = tokio::select! {
            done = work => done,
            () = late => {
                return Err(format!("interrupted after {:.1} s", start.elapsed().as_secs_f64()));
            }
        };
        match done {
            Ok(Ok(content)) => Ok(content),
            Ok(Err(ToolError::Failed(why))) => Err(why),
            Ok(Err(ToolError::Fatal(why))) => {
                *self.fatal.lock() = Some(why.clone());
                Err(why)
            }
            Err(_) => Err(panicked(call)),
        }
    }

    /// Returns when what still runs after an interrupt is no longer waited for.
    async fn late(&self) {
        self.cancel.cancelled().await;
        tokio::time::sleep(GRACE).await;
    }

    /// The fatal failure, if a tool had one.
    pub(crate) fn into_fatal(self) -> Option<String> {
        self.fatal.into_inner()
    }

    /// The result of a call that never ran.
    fn refused(&self, call: &ToolCall, why: String) -> ToolResult {
        let result = ToolResult::failed(call.id.as_str(), why);
        self.emit_finished(call, &result, Duration::ZERO);
        result
    }

    fn emit_finished(&self, call: &ToolCall, result: &ToolResult, took: Duration) {
        let event = Event::ToolFinished { call: call.clone(), result: result.clone(), took };
        self.agent.emit(&event);
    }

    /// The turn was interrupted, or a tool says that the harness cannot go on.
    fn has_ended(&self) -> bool {
        self.cancel.is_cancelled() || self.fatal.lock().is_some()
    }
}

fn panicked(call: &ToolCall) -> String {
    format!("the tool `{}` panicked; this is a bug in the tool", call.name)
}

/// A known secret that a tool came upon (it may have read `.env`) goes no further than here.
fn mask(content: &mut Content, secrets: &Secrets) {
    fn text(text: &mut String, secrets: &Secrets) {
        if let Cow::Owned(masked) = secrets.mask(text) {
            *text = masked;
        }
    }
    match content {
        Content::Text(words) => text(words, secrets),
        Content::Blocks(blocks) => {
            for block in blocks {
                if let Some(Value::String(words)) = block.get_mut("text") {
                    text(words, secrets);
                }
            }
        }
    }
}
