//! Behind the lesson: what agents do, published to other processes while it happens. An event may be missed,
//! so nothing depends on one.

use std::time::Duration;

use harness_core::host::text;
use harness_core::{Content, Event, Observer, Secrets, ToolCall, ToolResult};
use serde::{Deserialize, Serialize};

/// The most bytes of each end of a result that are published.
const MAX_RESULT_BYTES: usize = 1000;

/// What one process tells the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PresenceEvent {
    /// The process in which it happens, as it calls itself.
    pub by: String,
    /// The agent to which it happens.
    pub agent: String,
    /// What happens.
    pub activity: Activity,
}

/// What an agent in some process does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activity {
    /// It is there, and works on this. Repeated every few seconds.
    Heartbeat(Option<String>),
    /// It begins to work on this task.
    Started(String),
    /// It has ended its task like this.
    Ended(String),
    /// It calls a tool.
    ToolStarted(ToolCall),
    /// The tool has answered.
    ToolFinished {
        /// The call.
        call: ToolCall,
        /// Its result, clipped.
        result: ToolResult,
        /// How long it took.
        took: Duration,
    },
}

/// What of an event is published, and the agent it is about.
fn published(agent: &str, event: &Event) -> Option<(String, Activity)> {
    let agent = agent.to_owned();
    match event {
        Event::ChildStarted { child, task } => {
            Some((child.clone(), Activity::Started(task.clone())))
        }
        Event::ChildEnded { child, outcome } => {
            Some((child.clone(), Activity::Ended(outcome.clone())))
        }
        Event::ToolStarted(call) => Some((agent, Activity::ToolStarted(call.clone()))),
        Event::ToolFinished { call, result, took } => {
            let call = call.clone();
            let result = clipped(result);
            Some((agent, Activity::ToolFinished { call, result, took: *took }))
        }
        _ => None,
    }
}

fn clipped(result: &ToolResult) -> ToolResult {
    let text = result.content.text();
    let content = text::clip(&text, MAX_RESULT_BYTES, MAX_RESULT_BYTES).into_owned();
    ToolResult { content: Content::from(content), ..result.clone() }
}

impl PresenceEvent {
    /// The event as a display takes it, and the agent it happens to. The agents of a team are children of
    /// `lead`. `None` for a heartbeat, which shows nothing.
    pub fn into_event(self, lead: &str) -> Option<(String, Event)> {
        let child = self.agent;
        let lead = lead.to_owned();
        match self.activity {
            Activity::Heartbeat(_) => None,
            Activity::Started(task) => Some((lead, Event::ChildStarted { child, task })),
            Activity::Ended(outcome) => Some((lead, Event::ChildEnded { child, outcome })),
            Activity::ToolStarted(call) => Some((child, Event::ToolStarted(call))),
            Activity::ToolFinished { call, result, took } => {
                Some((child, Event::ToolFinished { call, result, took }))
            }
        }
    }
}

/// An observer that publishes what it sees, without secrets.
pub struct PresencePublisher<F> {
    /// How this process calls itself.
    pub by: String,
    /// What is masked.
    pub secrets: Secrets,
    /// Takes what is published, and decides which agents others are told of. It must not block.
    pub publish: F,
}

impl<F> std::fmt::Debug for PresencePublisher<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PresencePublisher").field("by", &self.by).finish_non_exhaustive()
    }
}

impl<F: Fn(PresenceEvent) + Send + Sync> Observer for PresencePublisher<F> {
    fn on(&self, agent: &str, event: &Event) {
        let Some((agent, activity)) = published(agent, event) else { return };
        let event = PresenceEvent { by: self.by.clone(), agent, activity };
        if let Some(masked) = masked(&self.secrets, &event) {
            (self.publish)(masked);
        }
    }
}

/// The same event without secrets, wherever in it they stand.
fn masked(secrets: &Secrets, event: &PresenceEvent) -> Option<PresenceEvent> {
    let mut value = serde_json::to_value(event).ok()?;
    secrets.mask_json(&mut value);
    serde_json::from_value(value).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::Map;

    use super::*;

    #[test]
    fn what_is_published_is_masked_and_clipped_and_comes_back_as_the_same_event() {
        let heard = Mutex::new(Vec::new());
        let secrets = Secrets::new([], ["sesame-opens".to_owned()]);
        let publisher = PresencePublisher {
            by: "here".to_owned(),
            secrets,
            publish: |event: PresenceEvent| heard.lock().unwrap().push(event),
        };
        let call = ToolCall {
            id: "c1".to_owned(),
            name: "bash".to_owned(),
            input: [("command".to_owned(), "echo sesame-opens".into())].into_iter().collect(),
            rest: Map::new(),
        };
        let result = ToolResult::done("c1", "x".repeat(1_000_000));
        let task = "a task".to_owned();
        publisher.on("lead", &Event::ChildStarted { child: "ada".to_owned(), task });
        publisher.on("ada", &Event::ToolFinished { call, result, took: Duration::from_secs(1) });
        publisher.on("ada", &Event::SessionStarted);
        let heard = heard.lock().unwrap().clone();
        assert_eq!(heard.len(), 2);
        let text = serde_json::to_string(&heard).unwrap();
        assert!(!text.contains("sesame") && text.len() < 10_000, "{text}");
        let back: Vec<PresenceEvent> = serde_json::from_str(&text).unwrap();
        assert_eq!(back, heard);
        let (agent, event) = back[0].clone().into_event("lead").unwrap();
        assert!(
            matches!(event, Event::ChildStarted { child, .. } if (&*child, &*agent) == ("ada", "lead"))
        );
    }
}
