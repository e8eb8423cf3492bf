#![doc = include_str!("../README.md")]
//!
//! Next page: [s20 · Prompt caching](../s20_cache_optimization/index.html)

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use harness_app::{App, Lesson, SteeringOutcome};
use harness_core::{
    Agent, AgentError, Chat, Conversation, Event, Hook, HookContext, Mechanism, Mutex, Next,
    Prompt, TurnLayer, TurnOutcome,
};
use tokio_util::sync::CancellationToken;

/// What the terminal is told of this session.
pub const LESSON: Lesson = Lesson {
    name: env!("CARGO_PKG_NAME"),
    motto: "Stop is a result; what you type is never lost.",
    play: include_str!("../demo.yaml"),
};

/// The mechanism: what is typed while the agent works is told to it before its next request, or at once.
///
/// Stopping needs nothing from here. Ctrl-C cancels the token that every part of a turn listens to, and the
/// core answers what is open.
#[derive(Clone, Debug)]
pub struct Steering {
    lines: Lines,
    state: Arc<Mutex<State>>,
}

/// Which of the lines that come while the agent works are meant for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// All but the terminal's own commands: somebody sits there and watches.
    All,
    /// Those that begin with `!`. The lines of a pipe were written beforehand: they are prompts.
    Marked,
}

#[derive(Debug, Default)]
struct State {
    /// What was typed and not told yet, in order.
    queue: Vec<String>,
    /// What waits as a next prompt. As long as something does, what is typed later waits behind it.
    waiting: VecDeque<String>,
    /// It is not to wait for the end of the step.
    at_once: bool,
    /// Ends the step under way, and not the turn.
    step: CancellationToken,
}

impl Mechanism for Steering {
    fn install(self, agent: &mut Agent) {
        agent.hooks.push(Arc::new(self));
    }
}

impl Steering {
    /// Takes these lines.
    pub fn new(lines: Lines) -> Self {
        Self { lines, state: Arc::default() }
    }

    /// Joins the agent and the terminal.
    pub fn join(self, app: App) -> App {
        let help = match self.lines {
            Lines::All => "while it works: a line is told at the next step, !line at once",
            Lines::Marked => "while it works: !line is told at once, other lines are prompts",
        };
        app.with(self.clone())
            .layer(self.clone())
            .steering(Arc::new(self))
            .notices([format!("{help}; Ctrl-C stops it")])
    }

    /// A step begins. It ends with the turn, or before.
    fn begin(&self, turn: &CancellationToken) -> CancellationToken {
        let mut state = self.state.lock();
        state.at_once = false; // what is queued is told before the next request, and that is now
        state.step = turn.child_token();
        state.step.clone()
    }
}

impl harness_app::Steering for Steering {
    fn typed(&self, line: String) -> SteeringOutcome {
        let words = line.trim();
        let marked = words.strip_prefix('!').map(str::trim);
        let own = words.starts_with(':') || ["", "q", "exit", "quit"].contains(&words);
        if marked.is_none() && (own || self.lines == Lines::Marked) {
            return SteeringOutcome::Waits(line);
        }
        let mut state = self.state.lock();
        if marked.is_none() && !state.waiting.is_empty() {
            state.waiting.push_back(words.to_owned());
            return SteeringOutcome::Waits(line);
        }
        state.queue.extend(marked.or(Some(words)).filter(|it| !it.is_empty()).map(str::to_owned));
        let waiting = state.queue.join(" · ");
        SteeringOutcome::Taken(match marked {
            None => format!("told at the next step: {waiting}"),
            Some(_) if state.queue.is_empty() => {
                "nothing is queued: write words behind !".to_owned()
            }
            Some(_) => {
                state.at_once = true;
                state.step.cancel();
                format!("told at once: {waiting}")
            }
        })
    }

    fn take_undelivered(&self) -> Vec<String> {
        let mut state = self.state.lock();
        let left = std::mem::take(&mut state.queue);
        left.iter().rev().for_each(|line| state.waiting.push_front(line.clone()));
        left
    }
}

#[async_trait]
impl TurnLayer for Steering {
    /// A `!` ends a step as Ctrl-C ends a turn, with the history as it has to be; then the turn goes on.
    async fn turn(
        &self,
        prompt: Prompt,
        chat: &mut Chat,
        cancel: &CancellationToken,
        next: Next<'_>,
    ) -> Result<TurnOutcome, AgentError> {
        // Nobody works yet, so there is nothing to interrupt.
        let mut prompt = match prompt {
            Prompt::Said(words) => words.strip_prefix('!').unwrap_or(&words).trim().into(),
            Prompt::News => Prompt::News,
        };
        if prompt.text() == Some("") {
            return Ok(TurnOutcome::Answered(String::new()));
        }
        if let Prompt::Said(prompt) = &prompt {
            let waiting = &mut self.state.lock().waiting;
            let sent = waiting.iter().position(|line| line == prompt);
            // A prompt that did not wait was typed when nothing waited any more.
            waiting.drain(..sent.map_or(waiting.len(), |at| at + 1));
        }
        loop {
            let step = self.begin(cancel);
            let ended = next.turn(std::mem::replace(&mut prompt, Prompt::News), chat, &step).await;
            if cancel.is_cancelled() || ended.is_err() || !self.state.lock().at_once {
                return ended;
            }
        }
    }
}

#[async_trait]
impl Hook for Steering {
    async fn before_model(
        &self,
        c: &mut Conversation,
        t: &HookContext<'_>,
    ) -> Result<(), AgentError> {
        let mut state = self.state.lock();
        for line in state.queue.drain(..) {
            t.agent.emit(&Event::Notice(format!("» {line}")));
            c.say(line); // the human's own words, so no note: nothing may fold or doubt them
        }
        Ok(())
    }
}
