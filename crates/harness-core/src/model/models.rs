//! What is known of each model, as of 2026-11-23: a table that ages, kept in one place.
//!
//! Source: the "Models overview", "Pricing" and "Model deprecations" pages of Anthropic's platform
//! documentation. An id that is not in it is treated with caution, and never by what its name
//! resembles: a gateway may call anything anything.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::model::Usage;

/// The day of this table.
pub const AS_OF: &str = "2026-11-23";

/// The model used when nothing else is said.
pub const DEFAULT: &str = "claude-sonnet-5-5";

/// A model in the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Known {
    /// Its id.
    pub id: &'static str,
    /// Another id of the same model, with its date.
    pub dated: Option<&'static str>,
    /// How many tokens prompt and reply may have together.
    pub window: u64,
    /// The most tokens of one reply.
    pub max_output: u32,
    /// What it costs.
    pub price: Price,
    /// What it costs instead, for the whole request, when the prompt has more tokens than this.
    pub price_above: Option<(u64, Price)>,
    /// The shortest prefix that is cached, in tokens, where that is documented.
    pub cache_minimum: Option<u64>,
    /// How it thinks.
    pub thinking: Thinking,
    /// Its effort when a request names none, where it has that setting.
    pub effort: Option<&'static str>,
    /// When it retires and what to use instead, where that is announced.
    pub retires: Option<(&'static str, &'static str)>,
}

/// US dollars per million tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    /// Prompt, not cached.
    pub input: f64,
    /// Reply, thinking included.
    pub output: f64,
    /// Written to the cache for five minutes.
    pub write_5m: f64,
    /// Written to the cache for an hour.
    pub write_1h: f64,
    /// Read from the cache.
    pub read: f64,
}

/// How a model thinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thinking {
    /// Only with a token budget (`enabled`), off unless asked for.
    Budget,
    /// Adaptive, off unless asked for.
    OnDemand,
    /// Adaptive, on unless disabled.
    ByDefault,
    /// Adaptive, always on.
    Always,
    /// Not known well enough to ask for anything.
    Unsure,
}

const fn price(input: f64, output: f64, write_5m: f64, write_1h: f64, read: f64) -> Price {
    Price { input, output, write_5m, write_1h, read }
}

/// What most of them have in common; the lines below say what differs.
const COMMON: Known = Known {
    id: "",
    dated: None,
    window: 1_000_000,
    max_output: 128_000,
    price: price(5.0, 25.0, 6.25, 10.0, 0.5),
    price_above: None,
    cache_minimum: None,
    thinking: Thinking::Always,
    effort: Some("high"),
    retires: None,
};
const SMALLER: Known =
    Known { window: 200_000, max_output: 64_000, thinking: Thinking::Budget, ..COMMON };
const FABLE_5_2: Known = Known { price: price(8.0, 40.0, 10.0, 16.0, 0.2), ..COMMON };
const FABLE_5_1: Known = Known { price: price(10.0, 50.0, 12.5, 20.0, 0.25), ..COMMON };
const FABLE_5: Known =
    Known { price: price(10.0, 50.0, 12.5, 20.0, 1.0), cache_minimum: Some(512), ..COMMON };

/// Every model that can be asked for, newest line first.
pub const KNOWN: &[Known] = &[
    Known { id: "claude-fable-5-2", ..FABLE_5_2 },
    Known { id: "claude-mythos-5-2", effort: None, ..FABLE_5_2 },
    Known { id: "claude-fable-5-1", ..FABLE_5_1 },
    Known { id: "claude-mythos-5-1", ..FABLE_5_1 },
    Known { id: "claude-fable-5", ..FABLE_5 },
    Known { id: "claude-mythos-5", ..FABLE_5 },
    Known {
        id: "claude-opus-5-5",
        price: price(4.0, 20.0, 5.0, 8.0, 0.2),
        effort: Some("medium"),
        ..COMMON
    },
    Known {
        id: "claude-opus-5",
        cache_minimum: Some(512),
        thinking: Thinking::ByDefault,
        ..COMMON
    },
    Known {
        id: "claude-opus-4-8",
        cache_minimum: Some(1024),
        thinking: Thinking::OnDemand,
        ..COMMON
    },
    Known {
        id: "claude-opus-4-7",
        cache_minimum: Some(2048),
        thinking: Thinking::OnDemand,
        ..COMMON
    },
    Known {
        id: "claude-opus-4-6",
        cache_minimum: Some(4096),
        thinking: Thinking::OnDemand,
        ..COMMON
    },
    Known {
        id: "claude-opus-4-5",
        dated: Some("claude-opus-4-5-20251101"),
        cache_minimum: Some(4096),
        ..SMALLER
    },
    Known {
        id: "claude-sonnet-5-5",
        price: price(2.0, 10.0, 2.5, 4.0, 0.1),
        thinking: Thinking::ByDefault,
        ..COMMON
    },
    Known {
        id: "claude-sonnet-5",
        price: price(2.0, 10.0, 2.5, 4.0, 0.2),
        cache_minimum: Some(1024),
        thinking: Thinking::ByDefault,
        ..COMMON
    },
    Known {
        id: "claude-sonnet-4-6",
        price: price(3.0, 15.0, 3.75, 6.0, 0.3),
        cache_minimum: Some(1024),
        thinking: Thinking::OnDemand,
        ..COMMON
    },
    Known {
        id: "claude-sonnet-4-5",
        dated: Some("claude-sonnet-4-5-20250929"),
        price: price(3.0, 15.0, 3.75, 6.0, 0.3),
        cache_minimum: Some(1024),
        effort: None,
        retires: Some(("2026-11-30", "claude-sonnet-5-5")),
        ..SMALLER
    },
    Known {
        id: "claude-haiku-5-5",
        price: price(0.1, 0.5, 0.125, 0.2, 0.01),
        price_above: Some((100_000, price(0.5, 2.5, 0.625, 1.0, 0.05))),
        thinking: Thinking::ByDefault,
        effort: Some("medium"),
        ..COMMON
    },
    Known {
        id: "claude-haiku-4-5",
        dated: Some("claude-haiku-4-5-20251001"),
        price: price(1.0, 5.0, 1.25, 2.0, 0.1),
        cache_minimum: Some(4096),
        effort: None,
        ..SMALLER
    },
    Known {
        id: "claude-mythos-preview",
        // Its cache prices are not published: the usual multiples.
        price: price(10.0, 50.0, 12.5, 20.0, 1.0),
        thinking: Thinking::Unsure,
        effort: None,
        retires: Some(("2026-06-30", "claude-mythos-5-2")),
        ..COMMON
    },
];

/// Models that are gone: id, when, what to use instead. Where no replacement was named, it is the
/// current model of the same line.
const RETIRED: &[(&str, &str, &str)] = &[
    ("claude-sonnet-4-20250514", "on 2026-06-15", "claude-sonnet-4-6"),
    ("claude-sonnet-4-0", "on 2026-06-15", "claude-sonnet-4-6"),
    ("claude-opus-4-20250514", "on 2026-06-15", "claude-opus-4-8"),
    ("claude-opus-4-0", "on 2026-06-15", "claude-opus-4-8"),
    ("claude-opus-4-1-20250805", "on 2026-08-05", "claude-opus-5-5"),
    ("claude-opus-4-1", "on 2026-08-05", "claude-opus-5-5"),
    ("claude-3-7-sonnet-20250219", "on 2026-02-19", "claude-sonnet-5-5"),
    ("claude-3-7-sonnet-latest", "on 2026-02-19", "claude-sonnet-5-5"),
    ("claude-3-5-haiku-20241022", "on 2026-02-19", "claude-haiku-5-5"),
    ("claude-3-5-haiku-latest", "on 2026-02-19", "claude-haiku-5-5"),
    ("claude-3-haiku-20240307", "on 2026-04-20", "claude-haiku-5-5"),
    ("claude-3-5-sonnet-20241022", "before 2026-02-19", "claude-sonnet-5-5"),
    ("claude-3-5-sonnet-20240620", "before 2026-02-19", "claude-sonnet-5-5"),
    ("claude-3-5-sonnet-latest", "before 2026-02-19", "claude-sonnet-5-5"),
    ("claude-3-sonnet-20240229", "before 2026-02-19", "claude-sonnet-5-5"),
    ("claude-3-opus-20240229", "before 2026-02-19", "claude-opus-5-5"),
];

/// What is known of a model.
pub fn known(id: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|model| model.id == id || model.dated == Some(id))
}

/// How many tokens prompt and reply may have together; 200,000 for a model that is not known.
pub fn window(id: &str) -> u64 {
    known(id).map_or(200_000, |model| model.window)
}

/// The most tokens this model gives in one reply; 32,000 for one that is not known, since a server
/// may refuse a request for more than it can give.
pub fn max_output(id: &str) -> u32 {
    known(id).map_or(32_000, |model| model.max_output)
}

/// What this model wants in a request beside the usual fields. A model that thinks unasked says
/// nothing of it unless it is asked for a summary: then minutes pass in silence.
pub fn extra(id: &str) -> Cow<'static, Map<String, Value>> {
    let mut extra = Map::new();
    match known(id).map(|model| model.thinking) {
        Some(Thinking::Always | Thinking::ByDefault) => {
            let thinking = json!({"type": "adaptive", "display": "summarized"});
            extra.insert("thinking".to_owned(), thinking);
        }
        Some(Thinking::Budget | Thinking::OnDemand | Thinking::Unsure) | None => {}
    }
    Cow::Owned(extra)
}

/// Whether the table knows this model.
pub fn is_known(id: &str) -> bool {
    known(id).is_some()
}

/// What one request cost, in US dollars. `None` for a model that is not known. Of one request, not of
/// a sum of them: a price may depend on the size of the prompt.
pub fn cost(id: &str, usage: &Usage) -> Option<f64> {
    let model = known(id)?;
    let price = match model.price_above {
        Some((tokens, higher)) if usage.prompt() > tokens => higher,
        _ => model.price,
    };
    let one_hour = usage.cache_creation_1h_tokens.min(usage.cache_creation_input_tokens);
    let five_minutes = usage.cache_creation_input_tokens - one_hour;
    let parts = [
        (usage.input_tokens, price.input),
        (usage.output_tokens, price.output),
        (five_minutes, price.write_5m),
        (one_hour, price.write_1h),
        (usage.cache_read_input_tokens, price.read),
    ];
    Some(parts.iter().map(|(tokens, price)| *tokens as f64 * price).sum::<f64>() / 1e6)
}

/// What a prompt cost, the reply aside, and what it would have cost. In US dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PromptCost {
    /// What it cost.
    pub paid: f64,
    /// If nothing of it had been read from the cache.
    pub unread: f64,
    /// If nothing had been read and nothing written.
    pub plain: f64,
}

/// What a request's prompt cost, with a cache and without. `None` for a model that is not known.
pub fn prompt_cost(id: &str, usage: &Usage) -> Option<PromptCost> {
    let paid = Usage { output_tokens: 0, ..*usage };
    let input_tokens = usage.input_tokens + usage.cache_read_input_tokens;
    let unread = Usage { input_tokens, cache_read_input_tokens: 0, ..paid };
    let plain = Usage { input_tokens: usage.prompt(), ..Usage::default() };
    // All three have the same prompt, and so the same price range.
    Some(PromptCost {
        paid: cost(id, &paid)?,
        unread: cost(id, &unread)?,
        plain: cost(id, &plain)?,
    })
}

/// One line for a user whose model is retired or about to be, with what to use instead.
pub fn notice(id: &str) -> Option<String> {
    if let Some((id, when, instead)) = RETIRED.iter().find(|gone| gone.0 == id) {
        return Some(format!("{id} was retired {when}; use {instead}"));
    }
    let (on, instead) = known(id)?.retires?;
    Some(format!("{id} is deprecated and retires on {on}; use {instead}"))
}
