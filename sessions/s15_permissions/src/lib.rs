#![doc = include_str!("../README.md")]
//!
//! Next page: [s16 · Event bus](../s16_event_bus/index.html)

mod check;
mod command;

use std::sync::Arc;

use harness_app::Lesson;
use harness_core::{Agent, Mechanism, Rules};

pub use check::Check;
pub use command::{Command, run};

/// What the terminal is told of this session.
pub const LESSON: Lesson = Lesson {
    name: env!("CARGO_PKG_NAME"),
    motto: "Rules rule, people approve, and the strictest verdict wins.",
    play: include_str!("../demo.yaml"),
};

/// The mechanism: the whole policy as the agent's gate. Who is asked stays as it is.
#[derive(Clone, Debug)]
pub struct Permissions {
    /// What is denied, asked and allowed.
    pub rules: Rules,
}

impl Mechanism for Permissions {
    fn install(self, agent: &mut Agent) {
        // The gate holds without these words; they save the model the search for a way around it.
        agent.system.push_for_family(SYSTEM);
        agent.gate.policy = Arc::new(self.rules);
    }
}

const SYSTEM: &str = "Every call passes a policy: some run, some are put to the user first, some never run. A \
    denied call is the user's decision. Do not try it in another spelling or with another tool; say what it was \
    for, and go on without it.";
