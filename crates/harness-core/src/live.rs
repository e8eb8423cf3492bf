//! What agents do, told to other processes while it happens. It may be missed, so nothing depends on it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::conversation::message::{Content, ToolCall, ToolResult};
use crate::event::{Event, Observer};
use crate::host::secrets::Secrets;
use crate::host::text;

/// Of a longer result this many bytes of each end are told.
const SHOWN: usize = 1000;

/// What one process tells the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// Where it happens.
    pub by: String,
    /// To which agent.
    pub agent: String,
    /// What happens.
    pub live: Live,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Live {
    /// It is there, and works on this. Said every now and then.
    Here(Option<String>),
    /// It begins to work on something.
    Began(String),
    /// It is done with it.
    Ended(String),
    /// It calls a tool.
    Called(ToolCall),
    /// The tool has answered.
    Answered(ToolCall, ToolResult, Duration),
}

impl Live {
    /// What of an event is told, and of which agent.
    fn of(agent: &str, event: &Event) -> Option<(String, Self)> {
        let (agent, live) = match event {
            Event::ChildStarted { child, task } => (child.as_str(), Self::Began(task.clone())),
            Event::ChildEnded { child, outcome } => (child.as_str(), Self::Ended(outcome.clone())),
            Event::ToolStarted(call) => (agent, Self::Called(call.clone())),
            Event::ToolFinished { call, result, took } => {
                let content = text::clip(&result.content.text(), SHOWN, SHOWN).into_owned();
                let result = ToolResult { content: Content::from(content), ..result.clone() };
                (agent, Self::Answered(call.clone(), result, *took))
            }
            _ => return None,
        };
        Some((agent.to_owned(), live))
    }
}

impl Told {
    /// The event as a display takes it: the agent it happens to, and what. `lead`: who has the children.
    pub fn event(self, lead: &str) -> Option<(String, Event)> {
        let (child, lead) = (self.agent, lead.to_owned());
        Some(match self.live {
            Live::Here(_) => return None,
            Live::Began(task) => (lead, Event::ChildStarted { child, task }),
            Live::Ended(outcome) => (lead, Event::ChildEnded { child, outcome }),
            Live::Called(call) => (child, Event::ToolStarted(call)),
            Live::Answered(call, result, took) => {
                (child, Event::ToolFinished { call, result, took })
            }
        })
    }
}

/// An observer that tells what it sees, without what is secret. `tell` decides whose doings are told, and must
/// not wait.
pub struct Beacon<F> {
    /// Where this is.
    pub by: String,
    /// What is not told.
    pub secrets: Secrets,
    /// Where it goes.
    pub tell: F,
}

impl<F> std::fmt::Debug for Beacon<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Beacon").field("by", &self.by).finish_non_exhaustive()
    }
}

impl<F: Fn(Told) + Send + Sync> Observer for Beacon<F> {
    fn on(&self, agent: &str, event: &Event) {
        let Some((agent, live)) = Live::of(agent, event) else { return };
        let Ok(mut told) = serde_json::to_value(Told { by: self.by.clone(), agent, live }) else {
            return;
        };
        self.secrets.mask_json(&mut told);
        if let Ok(told) = serde_json::from_value(told) {
            (self.tell)(told);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::Map;

    use super::*;

    #[test]
    fn what_is_told_is_masked_and_clipped_and_comes_back_as_the_same_event() {
        let heard = Mutex::new(Vec::new());
        let secrets = Secrets::new([], ["sesame-opens".to_owned()]);
        let beacon = Beacon {
            by: "here".to_owned(),
            secrets,
            tell: |told: Told| heard.lock().unwrap().push(told),
        };
        let (id, name, rest) = ("c1".to_owned(), "bash".to_owned(), Map::new());
        let input = [("command".to_owned(), "echo sesame-opens".into())].into_iter().collect();
        let call = ToolCall { id, name, input, rest };
        let result = ToolResult::done("c1", "x".repeat(1_000_000));
        let task = "a task".to_owned();
        beacon.on("lead", &Event::ChildStarted { child: "ada".to_owned(), task });
        beacon.on("ada", &Event::ToolFinished { call, result, took: Duration::from_secs(1) });
        beacon.on("ada", &Event::SessionStarted);
        let heard = heard.lock().unwrap().clone();
        assert_eq!(heard.len(), 2);
        let text = serde_json::to_string(&heard).unwrap();
        assert!(!text.contains("sesame") && text.len() < 10_000, "{text}");
        let back: Vec<Told> = serde_json::from_str(&text).unwrap();
        assert_eq!(back, heard);
        let (agent, event) = back[0].clone().event("lead").unwrap();
        assert!(
            matches!(event, Event::ChildStarted { child, .. } if (&*child, &*agent) == ("ada", "lead"))
        );
    }
}
