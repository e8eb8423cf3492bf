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
use crate::event::{Decision, Event};
use crate::host::mutex::Mutex;
use crate::host::secrets::Secrets;
use crate::model::invalid_input;
use crate::permission::Verdict;
use crate::tool::{DynTool, Effect, ToolContext, ToolError};

/// How long a tool, and the hooks around it, may go on after a cancel, to return what they have.
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
#[derive(Debug)]
pub struct Runner<'a> {
    agent: &'a Agent,
    cancel: &'a CancellationToken,
    fatal: Mutex<Option<String>>,
}

/// A call that may run.
pub struct Admitted {
    /// The call, as the hooks left it.
    pub call: ToolCall,
    /// What it will do.
    pub effect: Effect,
    tool: Arc<dyn DynTool>,
    cx: ToolContext,
}

impl std::fmt::Debug for Admitted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admitted").field("call", &self.call).field("effect", &self.effect).finish()
    }
}

impl<'a> Runner<'a> {
    pub(crate) fn new(agent: &'a Agent, cancel: &'a CancellationToken) -> Self {
        Self { agent, cancel, fatal: Mutex::new(None) }
    }

    /// Where the calls work.
    pub fn cwd(&self) -> &Path {
        &self.agent.cwd
    }

    /// What a call would do as it is written, for a schedule that looks ahead. No hook is asked, and a
    /// hook may still rewrite it. `None`: it would be refused anyway.
    pub fn foresee(&self, call: &ToolCall) -> Option<Effect> {
        let tool = self.agent.tools.get(&call.name).ok()?;
        invalid_input(call).is_none().then(|| effect_of(&*tool, call).ok())?
    }

    /// Answers one call.
    pub async fn run(&self, call: &ToolCall) -> ToolResult {
        match self.admit(call).await {
            Ok(admitted) => self.perform(admitted).await,
            Err(result) => result,
        }
    }

    /// Finds the tool, checks the input, asks the hooks and, last, the gate.
    ///
    /// # Errors
    /// The call may not run; the result says why.
    pub async fn admit(&self, call: &ToolCall) -> Result<Admitted, ToolResult> {
        let mut call = call.clone();
        if self.has_ended() {
            return Err(self.answered(&call, Err(INTERRUPTED.to_owned()), Duration::ZERO));
        }
        let cx = self.agent.context(&call.id, self.cancel);
        match self.judge(&mut call, &cx).await {
            Ok((tool, effect)) => Ok(Admitted { call, effect, tool, cx }),
            Err(why) => Err(self.answered(&call, Err(why), Duration::ZERO)),
        }
    }

    async fn judge(
        &self,
        call: &mut ToolCall,
        cx: &ToolContext,
    ) -> Result<(Arc<dyn DynTool>, Effect), String> {
        if let Some(raw) = invalid_input(call) {
            return Err(format!("the input was not a JSON object: {raw}"));
        }
        let mut tool = self.agent.tools.get(&call.name).map_err(|e| e.to_string())?;
        let mut effect = effect_of(&*tool, call)?;
        let mut verdict = Verdict::Allow;
        let late = self.late().shared();
        for hook in &self.agent.hooks {
            let said = tokio::select! {
                biased;
                said = hook.before_tool(call, &effect, cx) => said,
                () = late.clone() => return Err(INTERRUPTED.to_owned()),
            };
            verdict = verdict.max(said);
            // The hook may have rewritten it: look again, so that the next one sees what will run.
            tool = self.agent.tools.get(&call.name).map_err(|e| e.to_string())?;
            effect = effect_of(&*tool, call)?;
        }
        match self.agent.gate.decide(call, &effect, verdict, cx).await {
            Decision::Allowed => Ok((tool, effect)),
            Decision::Denied(why) => Err(format!("denied: {why}")),
        }
    }

    /// Runs the tool. A panic in it is its failure, not ours. What was interrupted since it was admitted
    /// is not begun.
    pub async fn perform(&self, admitted: Admitted) -> ToolResult {
        let Admitted { call, tool, cx, .. } = admitted;
        if self.has_ended() {
            return self.answered(&call, Err(INTERRUPTED.to_owned()), Duration::ZERO);
        }
        cx.observers.emit(&cx.agent, &Event::ToolStarted(call.clone()));
        let start = Instant::now();
        let work = AssertUnwindSafe(tool.call(call.input.clone(), &cx)).catch_unwind();
        let late = self.late().shared();
        let outcome = tokio::select! {
            done = work => match done {
                Ok(Ok(content)) => Ok(content),
                Ok(Err(ToolError::Failed(why))) => Err(why),
                Ok(Err(ToolError::Fatal(why))) => {
                    *self.fatal.lock() = Some(why.clone());
                    Err(why)
                }
                Err(_) => Err(panicked(&call)),
            },
            () = late.clone() => Err(format!("interrupted after {:.1} s", start.elapsed().as_secs_f64())),
        };
        let mut result = match outcome {
            Ok(content) => ToolResult::done(call.id.as_str(), content),
            Err(why) => ToolResult::failed(call.id.as_str(), why),
        };
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
        self.told(&call, result, start.elapsed())
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

    fn answered(
        &self,
        call: &ToolCall,
        outcome: Result<String, String>,
        took: Duration,
    ) -> ToolResult {
        let result = match outcome {
            Ok(text) => ToolResult::done(call.id.as_str(), text),
            Err(why) => ToolResult::failed(call.id.as_str(), why),
        };
        self.told(call, result, took)
    }

    fn told(&self, call: &ToolCall, result: ToolResult, took: Duration) -> ToolResult {
        let event = Event::ToolFinished { call: call.clone(), result, took };
        self.agent.observers.emit(&self.agent.name, &event);
        match event {
            Event::ToolFinished { result, .. } => result,
            _ => unreachable!("the event above"),
        }
    }

    /// The turn was interrupted, or a tool says that the harness cannot go on.
    fn has_ended(&self) -> bool {
        self.cancel.is_cancelled() || self.fatal.lock().is_some()
    }
}

fn effect_of(tool: &dyn DynTool, call: &ToolCall) -> Result<Effect, String> {
    let effect = std::panic::catch_unwind(AssertUnwindSafe(|| tool.effect(&call.input)));
    effect.map_err(|_| panicked(call))?.map_err(|e| e.to_string())
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
