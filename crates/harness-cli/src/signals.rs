//! The signals that end a turn or the program.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long a turn may take to end when the program has to leave.
pub(crate) const TURN_GRACE_PERIOD: Duration = Duration::from_secs(2);

/// The signals that end a turn or the program.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    quit: Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Ctrl-C: stop the turn.
    Interrupt,
    /// The system wants the program to leave, with this exit code.
    Leave(u8),
}

impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// The next signal. Safe to drop half-way.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Interrupt,
            _ = self.terminate.recv() => Asked::Leave(143),
            _ = self.hangup.recv() => Asked::Leave(129),
            _ = self.quit.recv() => Asked::Leave(131),
        }
    }

    /// Waits for what has to be done before the program leaves. Ctrl-C does not wait for it.
    pub(crate) async fn unless_interrupted(&mut self, last: impl Future<Output = ()>) {
        let interrupted = async { while self.next().await != Asked::Interrupt {} };
        tokio::select! {
            () = last => {}
            () = interrupted => {}
        }
    }
}

/// For a subcommand that works until it is told to stop: cancelled by the first signal that asks the program
/// to leave. Without this such a signal ends it at once.
///
/// # Errors
/// The system gives no signals.
pub fn until_asked_to_leave() -> io::Result<CancellationToken> {
    let mut signals = Signals::new()?;
    let cancel = CancellationToken::new();
    let asked = cancel.clone();
    tokio::spawn(async move {
        signals.next().await;
        asked.cancel();
    });
    Ok(cancel)
}
