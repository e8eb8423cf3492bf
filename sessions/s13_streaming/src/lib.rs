#![doc = include_str!("../README.md")]
//!
//! Next page: [s14 · Extended tools: checkpoints](../s14_tools_extended/index.html)

mod meter;

use std::time::Instant;

use harness_app::Lesson;
use harness_cli::{DIM, Display, Screen, size};
use harness_core::host::text::Stripper;
use harness_core::model::anthropic::assemble::Assembler;
use harness_core::model::anthropic::sse::Decoder;
use harness_core::{Delta, Event, Mutex, Observer};

pub use meter::Meter;

/// What the terminal is told of this session.
pub const LESSON: Lesson = Lesson {
    name: env!("CARGO_PKG_NAME"),
    motto: "Show the work while it is being done.",
    play: include_str!("../demo.yaml"),
};

/// The mechanism: a display that shows a reply while it is being made, and tells afterwards how fast it
/// came. What is no piece of a reply is left to the display that every session has.
#[derive(Debug)]
pub struct Typewriter {
    screen: Screen,
    lead: String,
    others: Display,
    page: Mutex<Page>,
}

/// The reply under way.
#[derive(Debug, Default)]
struct Page {
    part: Part,
    stripper: Stripper,
    /// The calls that are being written: id, tool, bytes so far.
    calls: Vec<(String, String, usize)>,
    meter: Meter,
}

/// What the model is writing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Nothing,
    Thinking,
    Words,
    Calls,
}

impl Typewriter {
    /// A typewriter for the agent of this name; others are told by the line.
    pub fn new(screen: Screen, lead: impl Into<String>) -> Self {
        let lead = lead.into();
        let others = Display::new(screen.clone(), lead.clone());
        Self { screen, lead, others, page: Mutex::default() }
    }
}

impl Observer for Typewriter {
    fn on(&self, agent: &str, event: &Event) {
        if agent != self.lead {
            return self.others.on(agent, event);
        }
        let mut page = self.page.lock();
        page.meter.on(event, Instant::now());
        match event {
            Event::Delta(delta) => page.piece(delta, &self.screen),
            Event::Replied(_) => {
                page.turn_over();
                self.others.on(agent, event);
            }
            Event::TurnEnded(_) | Event::TurnFailed(_) => {
                page.turn_over();
                self.others.on(agent, event);
                if let Some(figures) = page.meter.take() {
                    self.screen.styled_line(DIM, &format!("· {figures}"));
                }
            }
            _ => self.others.on(agent, event),
        }
    }
}

impl Page {
    fn piece(&mut self, delta: &Delta, screen: &Screen) {
        let (part, words) = match delta {
            Delta::Thinking(words) => (Part::Thinking, words.as_str()),
            Delta::Text(words) => (Part::Words, words.as_str()),
            Delta::ToolInput { .. } => (Part::Calls, ""),
            _ => return,
        };
        if part != self.part {
            screen.end_line();
            // A control sequence that was cut off in one part hides nothing of the next.
            (self.part, self.stripper) = (part, Stripper::default());
        }
        match delta {
            Delta::ToolInput { id, name, bytes } => screen.spin(self.written(id, name, *bytes)),
            Delta::Thinking(_) => screen.styled(DIM, &self.stripper.push(words)),
            _ => screen.print(&self.stripper.push(words)),
        }
    }

    /// Notes how far a call has come, and says it of all of them.
    fn written(&mut self, id: &str, name: &str, bytes: usize) -> String {
        match self.calls.iter_mut().find(|call| call.0 == id) {
            Some(call) => call.2 = bytes,
            None => self.calls.push((id.to_owned(), name.to_owned(), bytes)),
        }
        let calls =
            self.calls.iter().map(|(_, name, bytes)| format!("{name} ({})", size(*bytes as u64)));
        format!("writing {}", calls.collect::<Vec<_>>().join(", "))
    }

    /// A new page; the meter goes on.
    fn turn_over(&mut self) {
        *self = Self { meter: std::mem::take(&mut self.meter), ..Self::default() };
    }
}

/// What the client does with a stream, without the network: chunks of bytes become events, events become
/// deltas, and the last delta is the whole reply.
///
/// # Errors
/// Why there is no reply: the server reports an error, the stream makes no sense, or it ends too early.
pub fn deltas<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Delta>, String> {
    let (mut decoder, mut assembler) = (Decoder::default(), Assembler::default());
    let mut deltas = Vec::new();
    for chunk in chunks {
        decoder.feed(chunk);
        while let Some(event) = decoder.next_event().map_err(|e| e.to_string())? {
            deltas.extend(assembler.push(&event).map_err(|e| e.to_string())?);
            if let Some(Delta::Done(_)) = deltas.last() {
                return Ok(deltas);
            }
        }
    }
    Err("the stream ended before the reply was complete".to_owned())
}
