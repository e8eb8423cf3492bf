//! How long one waits for a reply, and how fast it comes.

use std::time::{Duration, Instant};

use harness_core::Event;

/// A reply that came faster than this came whole (a gateway that does not stream, a script without a
/// pace): there is no speed to tell.
const SHORTEST: Duration = Duration::from_millis(50);

/// Measures a turn from its events. It looks at no clock, the time is told to it.
///
/// ```
/// use std::time::{Duration, Instant};
/// use harness_core::{Delta, Event, Message, Reply, Role, StopReason, Usage};
/// use s13_streaming::Meter;
///
/// let (mut meter, start) = (Meter::default(), Instant::now());
/// let at = |ms| start + Duration::from_millis(ms);
/// let message = Message::assistant(vec![]);
/// let usage = Usage { output_tokens: 60, ..Usage::default() };
/// let reply = Reply::new(message, StopReason::EndTurn, usage);
///
/// meter.on(&Event::Prompt("hello".to_owned()), at(0));
/// meter.on(&Event::Delta(Delta::Text("Good ".to_owned())), at(400));
/// meter.on(&Event::Replied(reply), at(1900));
/// let figures = "first token after 0.4 s, 40 tokens a second, 60 tokens in 1 reply";
/// assert_eq!(meter.take().as_deref(), Some(figures));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Meter {
    /// When the human had said their part.
    asked: Option<Instant>,
    /// From then to the first sign of a reply.
    waited: Option<Duration>,
    /// When the reply under way began.
    began: Option<Instant>,
    /// How long the replies took from their first piece to their end.
    spoke: Duration,
    tokens: u64,
    replies: usize,
}

impl Meter {
    /// Takes the next event of the agent that is measured, and when it was.
    pub fn on(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Prompt(_) => *self = Self { asked: Some(now), ..Self::default() },
            Event::Delta(_) => {
                self.began.get_or_insert(now);
                if let Some(asked) = self.asked {
                    self.waited.get_or_insert(now.saturating_duration_since(asked));
                }
            }
            Event::Replied(reply) => {
                let began = self.began.take().unwrap_or(now);
                self.spoke += now.saturating_duration_since(began);
                // The server's last word on it: its figures are cumulative, so they were never added up.
                self.tokens += reply.usage.output_tokens;
                self.replies += 1;
            }
            _ => {}
        }
    }

    /// The turn is over: what it came to, and the meter stands at zero. `None` if nothing came.
    pub fn take(&mut self) -> Option<String> {
        let turn = std::mem::take(self);
        let mut figures = Vec::new();
        if let Some(waited) = turn.waited {
            figures.push(format!("first token after {:.1} s", waited.as_secs_f64()));
        }
        if turn.tokens > 0 && turn.spoke >= SHORTEST {
            let rate = turn.tokens as f64 / turn.spoke.as_secs_f64();
            figures.push(format!("{rate:.0} tokens a second"));
        }
        if turn.tokens > 0 {
            let replies = if turn.replies == 1 { "reply" } else { "replies" };
            figures.push(format!("{} tokens in {} {replies}", turn.tokens, turn.replies));
        }
        (!figures.is_empty()).then(|| figures.join(", "))
    }
}
