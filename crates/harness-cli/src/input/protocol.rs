//! What the two sides of the input say to each other: [`Input`](super::Input), which a front asks, and the
//! thread that reads.

use std::collections::VecDeque;

use tokio::sync::oneshot;

/// What came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed {
    /// A line, without its end.
    Line(String),
    /// Ctrl-C at the prompt.
    Interrupted,
    /// There is no more.
    End,
}

/// What was typed before a question was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ahead {
    /// It may answer it.
    Counts,
    /// It must never count as a yes: with lines waiting the answer is none, and half a line is thrown away.
    Refused,
}

/// What the thread is to do next.
pub(crate) enum Want {
    /// Edit a line at this prompt.
    Prompt(String),
    /// Ask this, and send the answer.
    Question(String, Ahead, oneshot::Sender<Option<String>>),
    /// Take whole lines while a turn runs.
    Watch,
}

/// What both sides see.
#[derive(Default)]
pub(crate) struct Shared {
    /// The prompt line is being edited.
    pub(crate) at_prompt: bool,
    /// A question that the next line of the open prompt answers.
    pub(crate) question: Option<oneshot::Sender<Option<String>>>,
    /// Lines typed during a turn that nobody has taken yet.
    pub(crate) ahead: VecDeque<String>,
    /// Lines typed at a question whose turn was interrupted meanwhile.
    pub(crate) orphans: VecDeque<String>,
}
