//! The server's prompt cache, seen from here: a [`Prefix`] says where a request parts from the one before, and
//! a [`Simulated`] cache stands in for models that have none: plays, and the tests' server.
//!
//! In the simulation a token is four bytes. It is honest where that matters to a harness: a prefix that changed in one
//! byte is a miss; a read looks back at most twenty positions from each mark; nothing is written where no
//! mark stands, or below the model's minimum; entries end with their lifetime; an entry can be read only
//! once the reply of the request that wrote it has begun.

mod prefix;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

pub use self::prefix::Prefix;
use crate::host::mutex::Mutex;
use crate::model::Usage;

/// How many positions a read walks back from a mark, the mark's own included.
const LOOK_BACK: usize = 20;
const FIVE_MINUTES: Duration = Duration::from_secs(5 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// The time a cache lives by: the real one, or one that a test moves by hand.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Time>);

#[derive(Debug)]
enum Time {
    Real(Instant),
    ByHand(Mutex<Duration>),
}

impl Clock {
    /// Real time.
    pub fn real() -> Self {
        Self(Arc::new(Time::Real(Instant::now())))
    }

    /// Stands still until [`Clock::advance`].
    pub fn by_hand() -> Self {
        Self(Arc::new(Time::ByHand(Mutex::new(Duration::ZERO))))
    }

    /// Time since the clock was made.
    pub fn now(&self) -> Duration {
        match &*self.0 {
            Time::Real(start) => start.elapsed(),
            Time::ByHand(now) => *now.lock(),
        }
    }

    /// Moves a clock that goes by hand; real time goes by itself.
    pub fn advance(&self, by: Duration) {
        if let Time::ByHand(now) = &*self.0 {
            *now.lock() += by;
        }
    }
}

/// What one request costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Tokens after the last mark.
    pub input: u64,
    /// Tokens read from the cache.
    pub read: u64,
    /// Tokens written to five-minute entries.
    pub written_5m: u64,
    /// Tokens written to one-hour entries.
    pub written_1h: u64,
    /// What is to be stored once the reply begins.
    entries: Vec<(u64, Duration, Duration)>,
}

impl Count {
    /// The whole prompt.
    pub fn prompt(&self) -> u64 {
        self.input + self.read + self.written_5m + self.written_1h
    }

    /// The same as a reply's usage.
    pub fn usage(&self, output_tokens: u64) -> Usage {
        Usage {
            input_tokens: self.input,
            cache_creation_input_tokens: self.written_5m + self.written_1h,
            cache_creation_1h_tokens: self.written_1h,
            cache_read_input_tokens: self.read,
            output_tokens,
        }
    }

    /// The `usage` object of a reply, as the API writes it.
    pub fn to_json(&self, output_tokens: u64) -> Value {
        json!({
            "input_tokens": self.input,
            "cache_creation_input_tokens": self.written_5m + self.written_1h,
            "cache_read_input_tokens": self.read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": self.written_5m,
                "ephemeral_1h_input_tokens": self.written_1h,
            },
            "output_tokens": output_tokens,
            "service_tier": "standard",
            "server_tool_use": null,
        })
    }
}

/// Tokens of any JSON value, by estimate.
pub fn estimate(value: &Value) -> u64 {
    value.to_string().len().div_ceil(4) as u64
}

/// The cache. Asked in two steps: [`Simulated::count`] when a request comes, [`Simulated::store`] when its
/// reply begins.
#[derive(Debug)]
pub struct Simulated {
    /// The fewest tokens of a prefix that is kept.
    pub minimum: u64,
    /// What entries live by.
    pub clock: Clock,
    /// Prefix → how long it lives from each use, and until when.
    entries: HashMap<u64, (Duration, Duration)>,
}

impl Default for Simulated {
    fn default() -> Self {
        Self::new(1024, Clock::real())
    }
}

/// One place in the prompt where a prefix can end.
struct Position {
    /// Hash of everything up to here.
    prefix: u64,
    /// Tokens up to here.
    tokens: u64,
    /// A mark stands here.
    mark: Option<Duration>,
}

impl Simulated {
    /// An empty cache.
    pub fn new(minimum: u64, clock: Clock) -> Self {
        Self { minimum, clock, entries: HashMap::new() }
    }

    /// Counts a request, and renews the entries it reads. What it writes is stored by
    /// [`Simulated::store`], when the reply begins.
    pub fn count(&mut self, body: &Value) -> Count {
        let now = self.clock.now();
        self.entries.retain(|_, (_, until)| *until > now);
        let positions = positions(body);
        let total = positions.last().map_or(0, |position| position.tokens);
        let marks: Vec<usize> = (0..positions.len())
            .filter(|&at| positions[at].mark.is_some() && positions[at].tokens >= self.minimum)
            .collect();
        let mut read = None;
        for &mark in &marks {
            let found = (mark.saturating_sub(LOOK_BACK - 1)..=mark)
                .rev()
                .find(|&at| self.entries.contains_key(&positions[at].prefix));
            if let Some(at) = found {
                if let Some((life, until)) = self.entries.get_mut(&positions[at].prefix) {
                    *until = now + *life;
                }
                read = read.max(Some(at));
            }
        }
        let mut count =
            Count { read: read.map_or(0, |at| positions[at].tokens), ..Count::default() };
        let mut covered = count.read;
        for &mark in marks.iter().filter(|mark| read.is_none_or(|read| **mark > read)) {
            let position = &positions[mark];
            let Some(life) = position.mark else { continue };
            match life == HOUR {
                true => count.written_1h += position.tokens - covered,
                false => count.written_5m += position.tokens - covered,
            }
            covered = position.tokens;
            count.entries.push((position.prefix, life, now + life));
        }
        count.input = total - covered;
        count
    }

    /// The reply has begun: what its request wrote can be read from now on.
    pub fn store(&mut self, count: &Count) {
        for (prefix, life, until) in &count.entries {
            self.entries.insert(*prefix, (*life, *until));
        }
    }
}

fn life(mark: &Value) -> Option<Duration> {
    (!mark.is_null()).then(|| if mark["ttl"] == "1h" { HOUR } else { FIVE_MINUTES })
}

/// Tools, then system, then messages, one position a tool or block.
fn positions(body: &Value) -> Vec<Position> {
    let mut hasher = DefaultHasher::new();
    body["model"].to_string().hash(&mut hasher);
    let mut positions: Vec<Position> = Vec::new();
    let mut tokens = 0;
    let mut place = |hasher: &mut DefaultHasher, level: &str, item: &Value| {
        let text = canonical(item);
        (level, &text).hash(hasher);
        tokens += text.len().div_ceil(4) as u64;
        let mark = life(&item["cache_control"]);
        positions.push(Position { prefix: hasher.finish(), tokens, mark });
    };
    list(body, "tools").iter().for_each(|tool| place(&mut hasher, "tool", tool));
    if let Some(text) = body["system"].as_str() {
        place(&mut hasher, "system", &json!({"type": "text", "text": text}));
    }
    list(body, "system").iter().for_each(|block| place(&mut hasher, "system", block));
    // These change how messages are read, so they part the caches of messages.
    for field in ["tool_choice", "thinking", "output_config"] {
        body[field].to_string().hash(&mut hasher);
    }
    for message in list(body, "messages") {
        let role = message["role"].as_str().unwrap_or_default();
        content_of(message).iter().for_each(|block| place(&mut hasher, role, block));
    }
    // Automatic caching: a mark at the top level stands on the last block (a request
    // ends with the user, so it is never thinking).
    if let (Some(life), Some(position)) = (life(&body["cache_control"]), positions.last_mut()) {
        position.mark = position.mark.or(Some(life));
    }
    positions
}

/// A tool or block as the cache sees it: its own fields sorted, since their order means nothing, without mark
/// and nulls; what is inside them is kept in its order, as the input of a call is part of the prefix.
pub fn canonical(block: &Value) -> String {
    let Some(fields) = block.as_object() else { return block.to_string() };
    let mut fields: Vec<(&String, &Value)> = fields
        .iter()
        .filter(|(name, value)| {
            let unset = **name == "is_error" && **value == json!(false);
            *name != "cache_control" && !value.is_null() && !unset
        })
        .collect();
    fields.sort_by_key(|(name, _)| *name);
    let sorted: Map<String, Value> =
        fields.into_iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    Value::Object(sorted).to_string()
}

fn list<'a>(body: &'a Value, field: &str) -> &'a [Value] {
    body[field].as_array().map_or(&[], Vec::as_slice)
}

/// The blocks of a message; words alone are one block.
fn content_of(message: &Value) -> Vec<Value> {
    match &message["content"] {
        Value::String(text) => vec![json!({"type": "text", "text": text})],
        Value::Array(blocks) => blocks.clone(),
        _ => Vec::new(),
    }
}
