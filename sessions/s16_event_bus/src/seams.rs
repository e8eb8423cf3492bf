//! The bus on the agent's seams. As a hook it asks the subscribers and passes on what they decide; as an
//! observer it tells them what happened.

use std::sync::Arc;

use async_trait::async_trait;
use harness_core::{
    Agent, AgentError, Chat, ChildSpec, Content, Conversation, Decision, Effect, Event, Hook,
    HookContext, Inherit, Mechanism, Next, Observer, Observers, Prompt, ToolCall, ToolContext,
    ToolResult, TurnLayer, TurnOutcome, Verdict,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{EventBus, HookEvent, HookEventKind, Note};

/// How often hooks may send the model back to work before one prompt is answered.
const MAX_SENT_BACK: usize = 3;
/// How often hooks may rewrite one call.
const MAX_REWRITES: usize = 5;

impl Mechanism for EventBus {
    fn install(self, agent: &mut Agent) {
        agent.observers.add_for_family(Arc::new(self.clone()));
        agent.hooks.push(Arc::new(self));
    }
}

// ---------------------------------------------------------------- prompts

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
            cancel.run_until_cancelled(self.wait_for_session_start()).await;
            let refusal = self.ask_about_prompt(prompt, &chat.agent, cancel).await;
            if cancel.is_cancelled() {
                return Ok(TurnOutcome::Interrupted);
            }
            if let Some(why) = refusal {
                return Err(AgentError::Fatal(format!("a hook refused the prompt: {why}")));
            }
        }
        next.turn(prompt, chat, cancel).await
    }
}

impl EventBus {
    /// Why the prompt may not be sent, if it may not.
    async fn ask_about_prompt(
        &self,
        prompt: &str,
        agent: &Agent,
        cancel: &CancellationToken,
    ) -> Option<String> {
        let fields = json!({"prompt": prompt});
        let event = HookEvent::new(HookEventKind::UserPromptSubmit, &agent.name, fields);
        let decision = self.ask(&event, &self.context(&agent.cwd, cancel)).await;
        self.show_notices(&agent.name, &agent.observers);
        decision.refusal().map(str::to_owned)
    }

    /// Waits for the hooks that were told at the start: what they say belongs into the first request.
    async fn wait_for_session_start(&self) {
        self.wait_for_running(|kind| kind == HookEventKind::SessionStart).await;
    }

    /// Shows the user what hooks had to say.
    fn show_notices(&self, agent: &str, observers: &Observers) {
        for notice in self.take_notices() {
            observers.emit(agent, &Event::Notice(notice));
        }
    }
}

// ---------------------------------------------------------------- the agent's hooks

#[async_trait]
impl Hook for EventBus {
    /// What guards the agent guards its children. When one of them wants to stop is its parent's affair.
    fn for_child(&self, _: &ChildSpec) -> Inherit {
        Inherit::fresh(ChildGuard(self.clone()))
    }

    /// What hooks have said since this agent's last request goes to the model with this one.
    async fn before_model(
        &self,
        c: &mut Conversation,
        t: &HookContext<'_>,
    ) -> Result<(), AgentError> {
        self.wait_for_session_start().await;
        let agent = &t.agent.name;
        self.show_notices(agent, &t.agent.observers);
        for note in self.lock().notes.extract_if(.., |note| note.agent == *agent) {
            c.remind(format!("A hook says: {}", note.text));
        }
        Ok(())
    }

    /// What counts is what will run. So a rewritten call is judged again, by everybody but the hook that
    /// wrote it.
    async fn before_tool(&self, call: &mut ToolCall, _: &Effect, cx: &ToolContext) -> Verdict {
        let context = self.context(&cx.cwd, &cx.cancel);
        let mut authors = Vec::new();
        let mut verdict = Verdict::Allow;
        for _ in 0..MAX_REWRITES {
            let event =
                HookEvent::about_call(HookEventKind::PreToolUse, &cx.agent, call, json!({}));
            let answers = self.ask_all_except(&authors, &event, &context).await;
            self.show_notices(&cx.agent, &cx.observers);
            if let Some(decided) = answers.decision.verdict {
                verdict = verdict.max(decided);
            }
            if matches!(verdict, Verdict::Deny(_)) {
                return verdict;
            }
            match answers.decision.input {
                Some(input) if input != call.input => call.input = input,
                _ => return verdict,
            }
            authors = answers.authors;
        }
        Verdict::Deny("the hooks keep rewriting each other's input".to_owned())
    }

    /// The call has run, so a denial prevents nothing: it becomes a note for the model.
    async fn after_tool(&self, call: &ToolCall, result: &mut ToolResult, cx: &ToolContext) {
        let took = self.0.stats.stop_timer(&cx.agent, &call.id);
        let event = finished(call, result, &cx.agent, took.as_millis() as u64);
        let decision = self.ask(&event, &self.context(&cx.cwd, &cx.cancel)).await;
        self.show_notices(&cx.agent, &cx.observers);
        if let Some(why) = decision.refusal() {
            let note = Note { agent: cx.agent.clone(), text: why.to_owned() };
            self.lock().notes.push(note);
        }
        if let Some(output) = decision.output {
            result.content = Content::Text(output);
        }
    }

    /// A denial sends the model back to work, but only a few times: a hook that is never content
    /// must not cost money for ever.
    async fn before_stop(&self, c: &Conversation, t: &HookContext<'_>) -> Option<String> {
        let agent = t.agent;
        let sent_back = self.lock().sent_back;
        let fields = json!({
            "stop_hook_active": sent_back > 0,
            "last_assistant_message": c.answered(),
        });
        let event = HookEvent::new(HookEventKind::Stop, &agent.name, fields);
        let decision = self.ask(&event, &self.context(&agent.cwd, t.cancel)).await;
        // A hook that ends the turn does not want the model to go on.
        let refusal = decision.refusal().filter(|_| decision.halt.is_none());
        if let Some(why) = refusal
            && sent_back == MAX_SENT_BACK
        {
            self.notify_user(format!(
                "the model may stop although a hook has sent it back {sent_back} times: {why}"
            ));
        }
        self.show_notices(&agent.name, &agent.observers);
        self.lock().sent_back += 1;
        if sent_back >= MAX_SENT_BACK {
            return None;
        }
        refusal.map(|why| format!("You are not done: {why}"))
    }
}

/// The bus on a child: its calls are judged and its model hears what hooks say, as the agent's own.
#[derive(Debug)]
struct ChildGuard(EventBus);

impl Mechanism for ChildGuard {
    fn install(self, child: &mut Agent) {
        child.hooks.push(Arc::new(self));
    }
}

#[async_trait]
impl Hook for ChildGuard {
    fn for_child(&self, spec: &ChildSpec) -> Inherit {
        self.0.for_child(spec)
    }

    async fn before_model(
        &self,
        c: &mut Conversation,
        t: &HookContext<'_>,
    ) -> Result<(), AgentError> {
        self.0.before_model(c, t).await
    }

    async fn before_tool(&self, call: &mut ToolCall, effect: &Effect, cx: &ToolContext) -> Verdict {
        self.0.before_tool(call, effect, cx).await
    }

    async fn after_tool(&self, call: &ToolCall, result: &mut ToolResult, cx: &ToolContext) {
        self.0.after_tool(call, result, cx).await;
    }
}

fn finished(call: &ToolCall, result: &ToolResult, agent: &str, milliseconds: u64) -> HookEvent {
    let output = result.content.text();
    if result.is_error {
        let more = json!({"error": output, "duration_ms": milliseconds});
        HookEvent::about_call(HookEventKind::PostToolUseFailure, agent, call, more)
    } else {
        let more = json!({"tool_response": output, "duration_ms": milliseconds});
        HookEvent::about_call(HookEventKind::PostToolUse, agent, call, more)
    }
}

// ---------------------------------------------------------------- the agent's events

impl Observer for EventBus {
    fn on(&self, agent: &str, event: &Event) {
        match event {
            Event::ToolStarted(call) => self.0.stats.start_timer(agent, &call.id),
            Event::Prompt(_) => self.lock().sent_back = 0,
            _ => {
                if let Some(event) = hook_event(agent, event) {
                    self.emit(event);
                }
            }
        }
    }
}

/// The event that subscribers are told of; `None` for what they hear of as a hook, or not at all.
fn hook_event(agent: &str, event: &Event) -> Option<HookEvent> {
    let new = |kind, fields| Some(HookEvent::new(kind, agent, fields));
    let about_call = |kind, call, more| Some(HookEvent::about_call(kind, agent, call, more));
    match event {
        Event::SessionStarted => new(HookEventKind::SessionStart, json!({"source": "startup"})),
        Event::Asked { call, why } => {
            about_call(HookEventKind::PermissionRequest, call, json!({"reason": why}))
        }
        Event::Decided { call, decision } => {
            let more = match decision {
                Decision::Allowed => json!({"decision": "allow", "reason": ""}),
                Decision::Denied(why) => json!({"decision": "deny", "reason": why}),
            };
            about_call(HookEventKind::PermissionDecided, call, more)
        }
        // Only a call that never ran: `after_tool` reports the others.
        Event::ToolFinished { call, result, took } if took.is_zero() => {
            let more = json!({"error": result.content.text()});
            about_call(HookEventKind::PostToolUseFailure, call, more)
        }
        Event::Replied(reply) => {
            let fields = json!({
                "text": reply.text(),
                "stop_reason": reply.stop.as_wire(),
                "usage": reply.usage,
            });
            new(HookEventKind::Reply, fields)
        }
        Event::Compacted { messages } => {
            new(HookEventKind::PostCompact, json!({"messages": messages}))
        }
        Event::ChildStarted { child, task } => {
            new(HookEventKind::SubagentStart, json!({"agent_id": child, "prompt": task}))
        }
        Event::ChildEnded { child, outcome } => {
            new(HookEventKind::SubagentStop, json!({"agent_id": child, "outcome": outcome}))
        }
        Event::TurnFailed(error) => new(HookEventKind::StopFailure, json!({"error": error})),
        Event::SessionEnded => new(HookEventKind::SessionEnd, json!({})),
        _ => None,
    }
}
