//! How a turn ended.

use crate::model::ModelError;

/// How a turn ended when nothing broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TurnOutcome {
    /// The model has answered.
    Answered(String),
    /// The model declined.
    Refused(String),
    /// The user interrupted it; the conversation is valid and can go on.
    Interrupted,
}

/// Why a turn could not be finished. The conversation is valid all the same.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// The model could not be asked.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The step limit was reached.
    #[error("stopped after {0} steps without an answer; raise --max-steps or say `continue`")]
    TooManySteps(usize),
    /// The server's own tools paused again and again.
    #[error("the server paused its own tools {0} times without an answer; say `continue`")]
    Paused(u32),
    /// A reply was cut at its token limit again and again.
    #[error("the reply was cut at {0} tokens again and again; ask for smaller steps")]
    CutOff(u32),
    /// The server gave a reason to stop that this version does not know.
    #[error("the model stopped for an unknown reason ({0:?}); nothing was run")]
    UnknownStop(String),
    /// Interrupted, and the hook that keeps the conversation did not end.
    #[error("interrupted; what was said last could not be kept in time")]
    NotKept,
    /// A tool or a hook says that the harness cannot go on.
    #[error("{0}")]
    Fatal(String),
}
