//! What the cache has brought: every call, at its true price.

use std::time::{Duration, Instant};

use harness_core::host::text::digits;
use harness_core::model::cache::{Prefix, Simulated};
use harness_core::model::models;
use harness_core::model::models::PromptCost;
use harness_core::{Request, Usage};

/// So long an entry lives after its last use.
const LIFE: Duration = Duration::from_secs(5 * 60);
/// So many calls are in the table, the newest ones.
const ROWS: usize = 20;

/// One answered request.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    read: u64,
    written: u64,
    prompt: u64,
    cost: Option<PromptCost>,
}

impl Call {
    /// What the server counted, at this model's prices.
    pub fn new(usage: &Usage, model: &str) -> Self {
        let (read, written) = (usage.cache_read_input_tokens, usage.cache_creation_input_tokens);
        let cost = models::prompt_cost(priced(model), usage);
        Self { read, written, prompt: usage.prompt(), cost }
    }

    /// A request that reads and writes is a hit: what it writes is only what is new.
    fn result(&self) -> &'static str {
        match (self.read, self.written) {
            (0, 0) => "NONE",
            (0, _) => "MISS",
            _ => "HIT",
        }
    }

    /// A part of the price, in tokens of a prompt without a cache.
    fn tokens(&self, dollars: impl Fn(PromptCost) -> f64) -> Option<f64> {
        let cost = self.cost.filter(|cost| cost.plain > 0.0)?;
        Some(dollars(cost) / cost.plain * self.prompt as f64)
    }

    /// The line for it.
    pub fn line(&self) -> String {
        let [read, written, prompt] = [self.read, self.written, self.prompt].map(digits);
        let saved = self.tokens(|cost| cost.unread - cost.paid).map(signed);
        let saved = saved.map_or(String::new(), |saved| format!(" (saved ~{saved} tokens)"));
        let what = match (self.read, self.written) {
            (0, 0) => format!("{prompt} tokens at full price"),
            (0, _) => format!("{written} tokens written"),
            (_, 0) => format!("{read} tokens read{saved}"),
            _ => format!("{read} tokens read{saved}, {written} written"),
        };
        format!("[cache] {} → {what}", self.result())
    }
}

/// What is known of one agent's prefix.
#[derive(Debug, Default)]
pub struct CachedPrefix {
    /// The last request that was answered, and when it went out.
    last: Option<(Prefix, Instant)>,
    /// The one that is under way.
    asked: Option<(Prefix, Instant)>,
    /// The tokens that the server must still have.
    held: u64,
    warned: bool,
}

/// Every call since the start.
#[derive(Debug, Default)]
pub struct Ledger {
    model: String,
    calls: Vec<Call>,
}

impl Ledger {
    /// An agent's request goes out.
    pub fn sent(&mut self, known: &mut CachedPrefix, request: &Request<'_>, now: Instant) {
        request.model.clone_into(&mut self.model);
        known.asked = Some((Prefix::of(request), now));
    }

    /// Its reply has come. Returns what there is to say, a line each.
    pub fn answered(&mut self, known: &mut CachedPrefix, usage: &Usage) -> Vec<String> {
        let Some(asked) = known.asked.take() else { return Vec::new() };
        let call = Call::new(usage, &asked.0.model);
        let mut lines = Vec::from_iter((call.prompt > 0).then(|| call.line()));
        if let Some(last) = known.last.as_ref().filter(|_| call.read < known.held) {
            let (read, held, why) = (digits(call.read), digits(known.held), why(last, &asked));
            lines.push(format!("[cache] only {read} of {held} tokens were still there: {why}"));
        }
        known.held = call.read + call.written;
        if known.held == 0 && !std::mem::replace(&mut known.warned, true) {
            lines.push(format!("[cache] nothing is cached: {}", few(&asked.0.model, call.prompt)));
        }
        known.last = Some(asked);
        self.calls.push(call);
        lines
    }

    /// All of it: tokens in one line, dollars in another.
    pub fn summary(&self) -> [String; 2] {
        let calls = self.calls.iter();
        let written = digits(calls.clone().map(|call| call.written).sum());
        let hits = calls.clone().filter(|call| call.read > 0).count();
        let saved: Option<f64> = calls.clone().map(|it| it.tokens(|it| it.plain - it.paid)).sum();
        let paid: Option<f64> = calls.clone().map(|call| call.cost.map(|cost| cost.paid)).sum();
        let plain: Option<f64> = calls.map(|call| call.cost.map(|cost| cost.plain)).sum();
        let (saved, calls) = (saved.map_or("?".to_owned(), signed), self.calls.len());
        let plural = if calls == 1 { "" } else { "s" };
        let told = format!("{calls} call{plural} | written={written} | hits={hits}");
        let [paid, plain] = [paid, plain].map(money);
        [
            format!("[cache summary] {told} | total saved≈{saved} tokens"),
            format!("[cache cost] {paid} for prompts, instead of {plain}"),
        ]
    }

    /// The newest calls, a row each, and what is behind the figures.
    pub fn table(&self) -> String {
        let row = |at: &str, result: &str, read: &str, written: &str, saved: &str| {
            format!("{at:>4} {result:<4} {read:>9} {written:>9} {saved:>9}")
        };
        let rows = self.calls.iter().enumerate().skip(self.calls.len().saturating_sub(ROWS));
        let rows = rows.map(|(at, call)| {
            let [at, read, written] = [at as u64 + 1, call.read, call.written].map(digits);
            let saved = money(call.cost.map(|cost| cost.plain - cost.paid));
            row(&at, call.result(), &read, &written, &saved)
        });
        let mut lines = vec![row("call", "", "read", "written", "saved")];
        lines.extend(rows);
        lines.extend(self.summary());
        let sum = |part: fn(&Call) -> u64| self.calls.iter().map(part).sum::<u64>();
        let percent = sum(|call| call.read) * 100 / sum(|call| call.prompt).max(1);
        lines.push(format!("{percent} % of all prompt tokens were read from the cache"));
        lines.push(match models::known(priced(&self.model)) {
            None if self.model.is_empty() => "no model was asked yet".to_owned(),
            None => format!("the prices of {} are not known", self.model),
            Some(models::Known { id, price, .. }) => format!(
                "{id}: ${} a million tokens, ${} written for five minutes, ${} for an hour, ${} read ({})",
                price.input, price.write_5m, price.write_1h, price.read, models::AS_OF
            ),
        });
        lines.join("\n")
    }
}

/// Whose prices count: a script costs nothing, so those of the default model.
fn priced(model: &str) -> &str {
    if model == "script" { models::DEFAULT } else { model }
}

/// Why a prompt of so many tokens leaves nothing in the cache.
fn few(model: &str, prompt: u64) -> String {
    let (who, least) = match model {
        "script" => ("the simulation", Some(Simulated::default().minimum)),
        _ => (model, models::known(model).and_then(|known| known.cache_minimum)),
    };
    let tokens = digits(prompt);
    match least {
        _ if prompt == 0 => "the server counts no tokens, so nobody knows".to_owned(),
        Some(least) if prompt < least => {
            format!("{tokens} tokens, and {who} keeps no prefix below {}", digits(least))
        }
        None if prompt < 4_096 => {
            format!("{tokens} tokens may be too few for {who}; others want 512 to 4,096")
        }
        _ => format!("{tokens} tokens are enough, but the server seems to have no cache"),
    }
}

/// Why less was read than there was.
fn why((last, then): &(Prefix, Instant), (now, at): &(Prefix, Instant)) -> String {
    let apart = at.saturating_duration_since(*then);
    last.change(now).unwrap_or_else(|| match apart > LIFE {
        true => {
            format!("nothing changed, but {} minutes passed, and 5 are kept", apart.as_secs() / 60)
        }
        false => "nothing changed here; the server has let go of it".to_owned(),
    })
}

fn signed(tokens: f64) -> String {
    let sign = if tokens <= -0.5 { "-" } else { "" };
    format!("{sign}{}", digits(tokens.abs().round() as u64))
}

fn money(dollars: Option<f64>) -> String {
    let sign = if dollars <= Some(-0.00005) { "-" } else { "" };
    dollars.map_or("?".to_owned(), |dollars| format!("{sign}${:.4}", dollars.abs()))
}
