//! The bus on the seams: what it is told as an observer, and what it decides as a hook.

use std::sync::Arc;

use async_trait::async_trait;
use harness_core::{
    Agent, AgentError, Chat, ChildSpec, Content, Conversation, Decision, Effect, Event, Hook,
    HookContext, Inherit, Mechanism, Next, Observer, Prompt, ToolCall, ToolContext, ToolResult,
    TurnLayer, TurnOutcome, Verdict,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{EventBus, Happening, Kind};

/// How often the hooks may send the model back before one prompt is answered.
const SENT_BACK: usize = 3;
/// How often the hooks may rewrite one call.
const ROUNDS: usize = 5;

impl Mechanism for EventBus {
    fn install(self, agent: &mut Agent) {
        agent.observers.add_for_family(Arc::new(self.clone()));
        agent.hooks.push(Arc::new(self));
    }
}

#[async_trait]
impl TurnLayer for EventBus {
    /// A prompt that is refused never enters the conversation.
    async fn turn(
        &self,
        prompt: Prompt,
        chat: &mut Chat,
        cancel: &CancellationToken,
        next: Next<'_>,
    ) -> Result<TurnOutcome, AgentError> {
        if let Prompt::Said(prompt) = &prompt {
            cancel.run_until_cancelled(self.settle(|kind| kind == Kind::SessionStart)).await;
            let (agent, fields) = (&chat.agent, json!({"prompt": prompt}));
            let said = Happening::new(Kind::UserPromptSubmit, &agent.name, fields);
            let answer = self.ask(&said, &agent.cwd, cancel, &mut Vec::new()).await;
            self.speak(&agent.name, &agent.observers);
            if cancel.is_cancelled() {
                return Ok(TurnOutcome::Interrupted);
            }
            if let Some(why) = answer.refusal() {
                return Err(AgentError::Fatal(format!("a hook refused the prompt: {why}")));
            }
        }
        next.turn(prompt, chat, cancel).await
    }
}

#[async_trait]
impl Hook for EventBus {
    /// What guards the agent guards its children.
    fn for_child(&self, _: &ChildSpec) -> Inherit {
        Inherit::Same
    }

    /// What hooks have said since its last request goes to the model with this one.
    async fn before_model(
        &self,
        c: &mut Conversation,
        t: &HookContext<'_>,
    ) -> Result<(), AgentError> {
        self.settle(|kind| kind == Kind::SessionStart).await;
        let name = &t.agent.name;
        self.speak(name, &t.agent.observers);
        for (_, note) in self.lock().notes.extract_if(.., |(agent, _)| agent == name) {
            c.remind(format!("A hook says: {note}"));
        }
        Ok(())
    }

    /// What counts is what will run: whoever has not written the input as it is now judges it.
    async fn before_tool(&self, call: &mut ToolCall, _: &Effect, cx: &ToolContext) -> Verdict {
        let (mut authors, mut verdict) = (Vec::new(), Verdict::Allow);
        for _ in 0..ROUNDS {
            let judged = Happening::of_call(Kind::PreToolUse, &cx.agent, call, json!({}));
            let answer = self.ask(&judged, &cx.cwd, &cx.cancel, &mut authors).await;
            self.speak(&cx.agent, &cx.observers);
            verdict = answer.verdict.into_iter().fold(verdict, Verdict::max);
            match answer.input.filter(|input| *input != call.input) {
                Some(input) if !matches!(verdict, Verdict::Deny(_)) => call.input = input,
                _ => return verdict,
            }
        }
        Verdict::Deny("the hooks keep rewriting each other's input".to_owned())
    }

    async fn after_tool(&self, call: &ToolCall, result: &mut ToolResult, cx: &ToolContext) {
        let (kind, name) = match result.is_error {
            true => (Kind::PostToolUseFailure, "error"),
            false => (Kind::PostToolUse, "tool_response"),
        };
        let took = self.0.watch.stop(&cx.agent, &call.id).as_millis() as u64;
        let more = json!({name: result.content.text(), "duration_ms": took});
        let happening = Happening::of_call(kind, &cx.agent, call, more);
        let answer = self.ask(&happening, &cx.cwd, &cx.cancel, &mut Vec::new()).await;
        self.speak(&cx.agent, &cx.observers);
        // It has run: a no is a word to the model.
        let why = answer.refusal().map(|why| (cx.agent.clone(), why.to_owned()));
        self.lock().notes.extend(why);
        if let Some(output) = answer.output {
            result.content = Content::Text(output);
        }
    }

    async fn before_stop(&self, c: &Conversation, t: &HookContext<'_>) -> Option<String> {
        let (agent, before) = (t.agent, self.lock().sent_back);
        if agent.name != self.0.lead {
            return None;
        }
        let more = json!({"stop_hook_active": before > 0, "last_assistant_message": c.answered()});
        let stop = Happening::new(Kind::Stop, &agent.name, more);
        let answer = self.ask(&stop, &agent.cwd, t.cancel, &mut Vec::new()).await;
        let again = answer.refusal().filter(|_| answer.halt.is_none());
        if let (Some(why), SENT_BACK) = (again, before) {
            let notice = format!("a hook wanted more after {before} times; it was let stop: {why}");
            self.lock().notices.push(notice);
        }
        self.speak(&agent.name, &agent.observers);
        self.lock().sent_back += 1;
        again.filter(|_| before < SENT_BACK).map(|why| format!("You are not done: {why}"))
    }
}

impl Observer for EventBus {
    fn on(&self, agent: &str, event: &Event) {
        let new = |kind, fields| Happening::new(kind, agent, fields);
        let of_call = |kind, call, more| Happening::of_call(kind, agent, call, more);
        self.tell(match event {
            Event::SessionStarted => new(Kind::SessionStart, json!({"source": "startup"})),
            Event::Asked { call, why } => {
                of_call(Kind::PermissionRequest, call, json!({"reason": why}))
            }
            Event::Decided { call, decision } => {
                let (word, why) = match decision {
                    Decision::Allowed => ("allow", ""),
                    Decision::Denied(why) => ("deny", why.as_str()),
                };
                of_call(Kind::PermissionDecided, call, json!({"decision": word, "reason": why}))
            }
            Event::ToolStarted(call) => return self.0.watch.start(agent, &call.id),
            // A call that never ran; nobody else tells of it.
            Event::ToolFinished { call, result, took } if took.is_zero() => {
                of_call(Kind::PostToolUseFailure, call, json!({"error": result.content.text()}))
            }
            Event::Replied(reply) => {
                let (text, stop) = (reply.text(), reply.stop.as_wire());
                let fields = json!({"text": text, "stop_reason": stop, "usage": reply.usage});
                new(Kind::Reply, fields)
            }
            Event::Compacted { messages } => new(Kind::PostCompact, json!({"messages": messages})),
            Event::ChildStarted { child, task } => {
                new(Kind::SubagentStart, json!({"agent_id": child, "prompt": task}))
            }
            Event::ChildEnded { child, outcome } => {
                new(Kind::SubagentStop, json!({"agent_id": child, "outcome": outcome}))
            }
            Event::TurnFailed(error) => new(Kind::StopFailure, json!({"error": error})),
            Event::SessionEnded => new(Kind::SessionEnd, json!({})),
            Event::Prompt(_) if agent == self.0.lead => return self.lock().sent_back = 0,
            _ => return,
        });
    }
}
