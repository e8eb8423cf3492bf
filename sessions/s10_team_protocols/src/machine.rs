//! The machine: which step may follow which, as a table.

use std::sync::Arc;

use harness_core::Mutex;

/// How far an exchange is. When none is open, an agent is idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing is open.
    Idle,
    /// A request is being written and sent.
    Requesting,
    /// It is sent, and its answer is waited for.
    Waiting,
    /// Somebody else's request is being answered.
    Responding,
}

/// What happens in an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A request is to be made.
    Ask,
    /// It is on its way.
    Sent,
    /// Its answer is here.
    Answered,
    /// Its deadline has passed.
    Expired,
    /// Somebody asks.
    Asked,
    /// They have their answer.
    Responded,
    /// The agent has left the exchange: by an error, an interrupt, a panic.
    Dropped,
}

use Phase::{Idle, Requesting, Responding, Waiting};
use Step::{Answered, Ask, Asked, Dropped, Expired, Responded, Sent};

/// All that may happen. What is not in here is refused, and changes nothing.
pub const TABLE: [(Phase, Step, Phase); 9] = [
    (Idle, Ask, Requesting),
    (Idle, Asked, Responding),
    (Requesting, Sent, Waiting),
    (Requesting, Dropped, Idle),
    (Waiting, Answered, Idle),
    (Waiting, Expired, Idle),
    (Waiting, Dropped, Idle),
    (Responding, Responded, Idle),
    (Responding, Dropped, Idle),
];

/// What may begin inside an exchange that is open: an agent that waits may be asked, and an agent that is asked
/// may ask back.
pub const NESTED: [(Phase, Step); 2] = [(Waiting, Asked), (Responding, Ask)];

/// A step that is not in the table. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not possible while {1:?}")]
pub struct Illegal(pub Step, pub Phase);

/// One agent's open exchanges, the outermost first. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Exchanges(Arc<Mutex<Vec<Exchange>>>);

/// An exchange that is open.
#[derive(Debug)]
struct Exchange {
    phase: Phase,
    /// The name of the agent that it is with.
    peer: String,
}

impl Exchanges {
    /// How far the innermost exchange is.
    pub fn phase(&self) -> Phase {
        phase_of(&self.0.lock())
    }

    /// Whether an exchange with this peer is in this phase.
    pub fn has(&self, phase: Phase, peer: &str) -> bool {
        self.0.lock().iter().any(|exchange| exchange.phase == phase && exchange.peer == peer)
    }

    /// Begins an exchange with this peer, by [`Step::Ask`] or [`Step::Asked`]. It ends with the guard.
    ///
    /// # Errors
    /// Another one is open in which this one may not begin.
    pub fn begin(&self, step: Step, peer: &str) -> Result<ExchangeGuard, Illegal> {
        let mut open = self.0.lock();
        let now = phase_of(&open);
        if now != Idle && !NESTED.contains(&(now, step)) {
            return Err(Illegal(step, now));
        }
        let depth = open.len();
        open.push(Exchange { phase: after(Idle, step)?, peer: peer.to_owned() });
        Ok(ExchangeGuard { exchanges: self.clone(), depth })
    }

    /// The next step of the innermost exchange. Returns its new phase.
    ///
    /// # Errors
    /// It is not in the table; nothing has changed.
    pub fn step(&self, step: Step) -> Result<Phase, Illegal> {
        let mut open = self.0.lock();
        // An idle agent has no exchange; one begins with `begin`.
        let Some(innermost) = open.last_mut() else { return Err(Illegal(step, Idle)) };
        let next = after(innermost.phase, step)?;
        innermost.phase = next;
        if next == Idle {
            open.pop();
        }
        Ok(next)
    }

    fn depth(&self) -> usize {
        self.0.lock().len()
    }
}

fn phase_of(open: &[Exchange]) -> Phase {
    open.last().map_or(Idle, |innermost| innermost.phase)
}

fn after(now: Phase, step: Step) -> Result<Phase, Illegal> {
    let row = TABLE.iter().find(|(phase, on, _)| *phase == now && *on == step);
    row.map(|(_, _, next)| *next).ok_or(Illegal(step, now))
}

/// An open exchange. However it is left, by an answer, an error, an interrupt or a panic, what is still open of
/// it is dropped: no agent waits or responds for ever.
#[derive(Debug)]
#[must_use]
pub struct ExchangeGuard {
    exchanges: Exchanges,
    /// How many exchanges were open before it.
    depth: usize,
}

impl Drop for ExchangeGuard {
    fn drop(&mut self) {
        while self.exchanges.depth() > self.depth && self.exchanges.step(Dropped).is_ok() {}
    }
}
