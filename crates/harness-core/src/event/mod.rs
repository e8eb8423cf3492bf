//! What happens, told as it happens. Events tell; hooks decide: an observer returns nothing.

mod observers;
mod outcome;

use std::time::Duration;

use crate::conversation::message::{ToolCall, ToolResult};
use crate::model::{Delta, Reply};

pub use observers::{Observer, Observers};
pub use outcome::{AgentError, TurnOutcome};

/// Something that happened. New kinds come with new sessions, so a match needs a `_` arm.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The program is ready for its first prompt.
    SessionStarted,
    /// The human said something.
    Prompt(String),
    /// A piece of a reply; never [`Delta::Done`] nor [`Delta::Retrying`].
    Delta(Delta),
    /// A reply is complete.
    Replied(Reply),
    /// A request failed and will be sent again.
    Retrying {
        /// How long until then.
        wait: Duration,
        /// What went wrong.
        why: String,
    },
    /// A call was admitted and starts.
    ToolStarted(ToolCall),
    /// A running tool shows something.
    ToolProgress {
        /// Which call.
        call_id: String,
        /// A piece of its output.
        text: String,
    },
    /// A call was answered: done, failed, unknown, denied or interrupted.
    ToolFinished {
        /// The call, as it was run.
        call: ToolCall,
        /// Its answer.
        result: ToolResult,
        /// How long it ran; zero if it never started.
        took: Duration,
    },
    /// The user is asked whether a call may run.
    Asked {
        /// The call.
        call: ToolCall,
        /// Why it is asked.
        why: String,
    },
    /// A call was denied, or allowed after a question.
    Decided {
        /// The call.
        call: ToolCall,
        /// Whether it may run.
        decision: Decision,
    },
    /// Older messages were replaced by a summary.
    Compacted {
        /// How many messages were replaced.
        messages: usize,
    },
    /// A subagent, teammate or worker starts.
    ChildStarted {
        /// Its name.
        child: String,
        /// What it is to do.
        task: String,
    },
    /// It ended.
    ChildEnded {
        /// Its name.
        child: String,
        /// How it ended, in a few words.
        outcome: String,
    },
    /// A sentence for the user.
    Notice(String),
    /// A turn ended.
    TurnEnded(TurnOutcome),
    /// A turn failed; the text is the error's.
    TurnFailed(String),
    /// The program is about to leave.
    SessionEnded,
}

/// How a question about a call was settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may run.
    Allowed,
    /// It may not, and why.
    Denied(String),
}
