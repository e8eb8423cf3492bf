//! The machine: which step may follow which, as a table.

use std::sync::Arc;

use harness_core::Mutex;

/// How far an exchange is. There is always one: with nobody, which is idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
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
    /// Whoever was at it is gone: an error, an interrupt, a panic.
    Dropped,
}

use State::{Idle, Requesting, Responding, Waiting};
use Step::{Answered, Ask, Asked, Dropped, Expired, Responded, Sent};

/// All that may happen. What is not in here is refused, and changes nothing.
pub const TABLE: [(State, Step, State); 9] = [
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

/// What may begin inside an exchange that is open: who waits may be asked, and who is asked may ask back.
pub const WITHIN: [(State, Step); 2] = [(Waiting, Asked), (Responding, Ask)];

/// A step that is not in the table. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not possible while {1:?}")]
pub struct Illegal(pub Step, pub State);

/// An agent's exchanges, the outermost first, and with whom each is. A clone is the same desk.
#[derive(Clone, Debug, Default)]
pub struct Desk(Arc<Mutex<Vec<(State, String)>>>);

impl Desk {
    /// How far the innermost exchange is.
    pub fn state(&self) -> State {
        self.0.lock().last().map_or(Idle, |(state, _)| *state)
    }

    /// Whether an exchange with this peer is so far.
    pub fn is(&self, state: State, peer: &str) -> bool {
        self.0.lock().iter().any(|(now, with)| *now == state && with == peer)
    }

    /// Begins an exchange with this peer, by [`Step::Ask`] or [`Step::Asked`]. It ends with the guard.
    ///
    /// # Errors
    /// Another one is open in which this one may not begin.
    pub fn begin(&self, step: Step, peer: &str) -> Result<Guard, Illegal> {
        let mut open = self.0.lock();
        let now = open.last().map_or(Idle, |(state, _)| *state);
        if now != Idle && !WITHIN.contains(&(now, step)) {
            return Err(Illegal(step, now));
        }
        open.push((after(Idle, step)?, peer.to_owned()));
        Ok(Guard { desk: self.clone(), depth: open.len() - 1 })
    }

    /// The next step of the innermost exchange.
    ///
    /// # Errors
    /// It is not in the table; nothing has changed.
    pub fn step(&self, step: Step) -> Result<State, Illegal> {
        let mut open = self.0.lock();
        // Idle is with nobody, so what begins there begins with `begin`.
        let Some((state, _)) = open.last_mut() else { return Err(Illegal(step, Idle)) };
        *state = after(*state, step)?;
        let next = *state;
        open.retain(|(state, _)| *state != Idle);
        Ok(next)
    }
}

fn after(now: State, step: Step) -> Result<State, Illegal> {
    let row = TABLE.iter().find(|(state, on, _)| (*state, *on) == (now, step));
    row.map(|(_, _, next)| *next).ok_or(Illegal(step, now))
}

/// An open exchange. However it is left, by an answer, an error, an interrupt or a panic, what is still open of
/// it is dropped: nobody waits or responds for ever.
#[derive(Debug)]
#[must_use]
pub struct Guard {
    desk: Desk,
    depth: usize,
}

impl Drop for Guard {
    fn drop(&mut self) {
        while self.desk.0.lock().len() > self.depth && self.desk.step(Dropped).is_ok() {}
    }
}
