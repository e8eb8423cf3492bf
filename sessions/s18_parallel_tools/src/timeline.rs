//! What ran when: a few bars after each turn, and how much time it saved.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use harness_cli::{DIM, Screen, columns, cut, fill, title, wide};
use harness_core::host::text;
use harness_core::{Event, Mutex, Observer};

/// So many calls get a bar; a turn may have hundreds.
const ROWS: usize = 16;
/// The longest bar, and the shortest that is worth drawing.
const BAR: std::ops::RangeInclusive<usize> = 6..=40;
/// The widest title.
const TITLE: usize = 28;

/// Draws a timeline after each turn with more than one call.
#[derive(Debug)]
pub struct Timeline {
    screen: Screen,
    lead: String,
    page: Mutex<Page>,
}

impl Timeline {
    /// For the agent of this name; what others do is told by the display alone.
    pub fn new(screen: Screen, lead: impl Into<String>) -> Self {
        Self { screen, lead: lead.into(), page: Mutex::default() }
    }
}

impl Observer for Timeline {
    fn on(&self, agent: &str, event: &Event) {
        if agent != self.lead {
            return;
        }
        let mut page = self.page.lock();
        match event {
            Event::Prompt(_) => *page = Page::default(),
            Event::ToolStarted(call) => page.start(&call.id, title(call), Instant::now()),
            Event::ToolFinished { call, .. } => page.finish(&call.id, Instant::now()),
            Event::TurnEnded(_) | Event::TurnFailed(_) => {
                let spans = std::mem::take(&mut *page).spans;
                for line in draw(&spans, columns()).lines() {
                    self.screen.styled_line(DIM, line);
                }
            }
            _ => {}
        }
    }
}

/// A call on the turn's time axis. What the model thinks and what the user is asked takes no time on it: it
/// goes on only while a tool runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// What was called.
    pub title: String,
    /// When it started.
    pub from: Duration,
    /// When it was answered.
    pub to: Duration,
}

/// The turn so far.
#[derive(Debug, Default)]
struct Page {
    spans: Vec<Span>,
    /// The calls that run, and their spans.
    running: HashMap<String, usize>,
    /// When the tools that run now began, and where that is on the axis.
    since: Option<(Instant, Duration)>,
    /// Where the axis ends.
    end: Duration,
}

impl Page {
    fn start(&mut self, id: &str, title: String, now: Instant) {
        if self.running.is_empty() {
            self.since = Some((now, self.end));
        }
        let from = self.at(now);
        self.running.insert(id.to_owned(), self.spans.len());
        self.spans.push(Span { title, from, to: from });
    }

    fn finish(&mut self, id: &str, now: Instant) {
        // One that was refused has never run.
        let Some(span) = self.running.remove(id) else { return };
        self.end = self.at(now);
        self.spans[span].to = self.end;
    }

    fn at(&self, now: Instant) -> Duration {
        self.since.map_or(self.end, |(since, at)| at + now.saturating_duration_since(since))
    }
}

/// Draws the spans, a bar each, in so many columns; nothing for a single one. Where there is little room the
/// bars give way first. The time saved is the sum of what the calls took, less the time in which any ran.
pub fn draw(spans: &[Span], columns: usize) -> String {
    if spans.len() < 2 {
        return String::new();
    }
    let wall = spans.iter().map(|span| span.to).max().unwrap_or_default();
    let sum: Duration = spans.iter().map(|span| span.to - span.from).sum();
    let saved = format!("saved {}", short(sum.saturating_sub(wall)));
    let mut drawn = format!("· {} calls, {} of work in {}", spans.len(), short(sum), short(wall));
    // At 40 columns the figure that matters most has a line of its own.
    let apart = wide(&drawn) + wide(&saved) + 2 > columns;
    let _ = writeln!(drawn, "{}{saved}", if apart { ",\n  " } else { ": " });

    let columns = columns.min(80);
    let widest = spans.iter().map(|span| wide(&span.title)).max().unwrap_or_default();
    let widest = widest.min(TITLE).min((columns / 2).saturating_sub(6));
    let room = columns.saturating_sub(widest + 13).min(*BAR.end());
    for Span { title, from, to } in spans.iter().take(ROWS) {
        let bar = if room < *BAR.start() { String::new() } else { bar(*from, *to, wall, room) };
        let title = fill(&middle(title, widest), widest);
        let row = format!("  {title} {bar} {:>8}", short(*to - *from));
        let _ = writeln!(drawn, "{}", cut(&row, columns));
    }
    if spans.len() > ROWS {
        let _ = writeln!(drawn, "  … {} more", spans.len() - ROWS);
    }
    text::strip(&drawn).into_owned()
}

fn bar(from: Duration, to: Duration, wall: Duration, room: usize) -> String {
    let column = |at: Duration| {
        let part = at.as_secs_f64() / wall.as_secs_f64().max(f64::MIN_POSITIVE);
        ((part * room as f64).round() as usize).min(room)
    };
    let start = column(from).min(room - 1);
    let long = column(to).saturating_sub(start).max(1);
    format!("{}{}{}", "·".repeat(start), "█".repeat(long), "·".repeat(room - start - long))
}

/// Both ends of a title: calls of one tool often differ at the end only.
fn middle(title: &str, columns: usize) -> String {
    let title = cut(title, usize::MAX);
    if wide(&title) <= columns {
        return title;
    }
    let back = |text: &str| text.chars().rev().collect::<String>();
    let (head, tail) = (cut(&title, columns / 2 + 1), cut(&back(&title), columns - columns / 2));
    head + &back(tail.strip_suffix('…').unwrap_or(&tail))
}

fn short(time: Duration) -> String {
    match time.as_millis() {
        ms @ 0..100 => format!("{ms} ms"),
        100..100_000 => format!("{:.2} s", time.as_secs_f64()),
        _ => format!("{:.0} s", time.as_secs_f64()),
    }
}
