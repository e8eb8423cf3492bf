//! Whether a request follows from the one before it.
//!
//! A conversation only grows. Its next request is the previous one, byte for byte (tools, system,
//! messages), then the reply to it as it was sent, then what the user and the tools said since. Anything
//! else loses the prompt cache and, on models with preserved thinking, the session. Compared is block by
//! block, cache marks aside: neighbouring messages of one role are one turn, so the last user message
//! may grow by further blocks.
//!
//! **How conversations are told apart.** By their content: a request belongs to the earlier request (of
//! the same agent, where agents have names) that it continues exactly, the longest if there are several.
//! - It continues none and holds no words of a model: a new conversation.
//! - It continues none and holds words, but none that were sent here, nor does it begin with all of an
//!   earlier request: a conversation from elsewhere (a session read from disk). It is taken as it is.
//! - Else somebody changed the past. Its closest relative is
//!   found. If everything after the first difference comes from the user, it is a *fork* and needs
//!   [`History::allow_forks`]; else, or if tools or system differ, a *rewrite* and needs
//!   [`History::allow_rewrites`]. Allowed or not, signed thinking after the difference is an error: the
//!   server bound it to the text that is gone.
//!
//! **How much of a reply must come back.** All of it, thinking included, with these exceptions:
//! - Empty text blocks may be dropped, and a reply of nothing but blank text altogether.
//! - A reply that broke off, or whose stream the client left, may be missing, or come back as its first
//!   blocks, or as one text: the beginning of what it said.
//! - The beginning of its text alone is also taken for a whole reply: the client may have cancelled
//!   while the rest was already on its way.
//! - A refusal may be missing, or a reply that ended with an unknown word. After `max_tokens` or a full window a call at the end may be missing, or
//!   the whole reply.
//! - A call whose input was no JSON may come back with any input.

use harness_core::model::cache::canonical;
use serde_json::{Value, json};

use crate::rules::{content_of, list};

/// Which request of which conversation; handed out by [`History::see`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn(usize);

/// Remembers every conversation's last request and the reply to it.
#[derive(Debug, Default)]
pub struct History {
    threads: Vec<Thread>,
    rewrites: bool,
    forks: bool,
}

#[derive(Debug)]
struct Thread {
    agent: String,
    tools: String,
    system: String,
    blocks: Vec<Piece>,
    reply: Sent,
}

#[derive(Clone, Debug, PartialEq)]
struct Piece {
    of_model: bool,
    kind: String,
    /// The text of a text block.
    text: String,
    /// The block as compared: without cache mark and nulls, its own fields sorted, all inside kept.
    canonical: String,
}

/// What is known of a reply.
#[derive(Debug, Default)]
struct Sent {
    blocks: Vec<Piece>,
    text: String,
    stop: String,
    whole: bool,
}

impl History {
    /// The test moves the prefix on purpose (compaction, tools that come and go).
    pub fn allow_rewrites(&mut self) {
        self.rewrites = true;
    }

    /// The test forks conversations on purpose.
    pub fn allow_forks(&mut self) {
        self.forks = true;
    }

    /// A request comes in. Returns its place, and what is wrong with it.
    pub fn see(&mut self, agent: &str, body: &Value) -> (Turn, Vec<String>) {
        let new = Thread {
            agent: agent.to_owned(),
            tools: frame(&body["tools"]),
            system: frame(&body["system"]),
            blocks: flatten(body),
            reply: Sent::default(),
        };
        let same = |old: &Thread| {
            (&old.agent, &old.tools, &old.system) == (&new.agent, &new.tools, &new.system)
        };
        let old = self.threads.iter().enumerate();
        let continued = old
            .filter(|(_, old)| same(old) && continues(old, &new))
            .max_by_key(|(_, old)| old.blocks.len())
            .map(|(at, _)| at);
        if let Some(at) = continued {
            self.threads[at] = new;
            return (Turn(at), Vec::new());
        }
        let wrong = self.judge(&new);
        self.threads.push(new);
        (Turn(self.threads.len() - 1), wrong)
    }

    /// The reply to this request begins: `content` is what it will be. Until [`History::sent`], any part
    /// of it may come back.
    pub fn sends(&mut self, turn: Turn, content: &[Value], stop: &str) {
        let reply = &mut self.threads[turn.0].reply;
        reply.blocks = content.iter().map(|block| piece(true, block)).collect();
        reply.blocks.retain(|piece| !piece.is_empty());
        reply.text = reply.blocks.iter().map(|piece| piece.text.as_str()).collect();
        stop.clone_into(&mut reply.stop);
    }

    /// More words of a reply that is not known to its end yet.
    pub fn says(&mut self, turn: Turn, words: &str) {
        self.threads[turn.0].reply.text.push_str(words);
    }

    /// The reply has been sent to its end.
    pub fn sent(&mut self, turn: Turn) {
        self.threads[turn.0].reply.whole = true;
    }

    /// Whether this request goes on with a reply that the server itself paused.
    pub fn paused(&self, body: &Value) -> bool {
        let blocks = flatten(body);
        self.threads.iter().any(|old| {
            let own = &old.reply.blocks;
            old.reply.stop == "pause_turn"
                && blocks.len() == old.blocks.len() + own.len()
                && blocks.starts_with(&old.blocks)
                && blocks.ends_with(own)
        })
    }

    fn judge(&self, new: &Thread) -> Vec<String> {
        let own = |old: &&Thread| old.agent == new.agent;
        let Some(old) = self.threads.iter().filter(own).max_by_key(|old| kinship(old, new)) else {
            return Vec::new();
        };
        let (common, shared) = kinship(old, new);
        let has_model = new.blocks.iter().any(|piece| piece.of_model);
        if !has_model {
            let same_frame = old.tools == new.tools && old.system == new.system;
            let grew = common == old.blocks.len() && new.blocks.len() > common;
            return match same_frame && grew && !self.forks {
                true => vec![format!(
                    "the conversation goes on, but the reply to it is missing: {}",
                    old.reply.show()
                )],
                false => Vec::new(),
            };
        }
        if shared == 0 && common < old.blocks.len() {
            return Vec::new();
        }
        let mut wrong = Vec::new();
        let mut moved = common;
        for (name, was, is) in
            [("tools", &old.tools, &new.tools), ("system", &old.system, &new.system)]
        {
            if was != is {
                moved = 0;
                if !self.rewrites {
                    wrong.push(format!("{name} changed: was {}, is {}", clip(was), clip(is)));
                }
            }
        }
        let is_fork = moved > 0 && !new.blocks[common..].iter().any(|piece| piece.of_model);
        let allowed = self.rewrites || (is_fork && self.forks);
        if wrong.is_empty() && !allowed {
            let mut said = old.blocks.iter().chain(&old.reply.blocks);
            let was = said.nth(common).map_or("the end", |piece| &piece.canonical);
            let is = new.blocks.get(common).map_or("the end", |piece| &piece.canonical);
            let what = if is_fork { "forked" } else { "rewritten" };
            wrong.push(format!(
                "the history was {what} at block {common}: was {}, is {}",
                clip(was),
                clip(is)
            ));
        }
        if new.blocks[moved..].iter().any(|piece| piece.kind.ends_with("thinking")) {
            wrong.push(format!(
                "the prefix moved at block {moved}, and thinking after it was kept: the server binds \
                 it to the text before it"
            ));
        }
        wrong
    }
}

/// How many blocks two conversations have in common from the start (the old one's reply counts), and
/// how many of the model's blocks in the new one were in the old one at all.
fn kinship(old: &Thread, new: &Thread) -> (usize, usize) {
    let said: Vec<&Piece> = old.blocks.iter().chain(&old.reply.blocks).collect();
    let common = said.iter().zip(&new.blocks).take_while(|(a, b)| **a == *b).count();
    let of_model = new.blocks.iter().filter(|piece| piece.of_model);
    let shared = of_model.filter(|piece| said.contains(piece)).count();
    (common, shared)
}

/// Whether the new request is the old one, its reply, and words of the user.
fn continues(old: &Thread, new: &Thread) -> bool {
    let Some(rest) = new.blocks.strip_prefix(old.blocks.as_slice()) else { return false };
    let reply = rest.iter().take_while(|piece| piece.of_model).count();
    let (reply, since) = rest.split_at(reply);
    if since.iter().any(|piece| piece.of_model) {
        return false;
    }
    match reply.is_empty() {
        true => old.reply.may_be_missing(since.is_empty()),
        false => old.reply.came_back_as(reply),
    }
}

impl Sent {
    /// `again`: the very same request is sent once more, as a retry does.
    fn may_be_missing(&self, again: bool) -> bool {
        let cut = matches!(self.stop.as_str(), "max_tokens" | "model_context_window_exceeded");
        let strange =
            !["end_turn", "tool_use", "stop_sequence", "pause_turn"].contains(&&*self.stop);
        !self.whole
            || (strange && !cut) // a refusal, or a word that no client knows
            || (cut && again)
            || self.without_cut_call().is_some_and(|rest| rest.is_empty())
            || self.blocks.iter().all(|piece| piece.kind == "text" && piece.text.trim().is_empty())
    }

    /// The blocks before a call that was cut at the token limit.
    fn without_cut_call(&self) -> Option<&[Piece]> {
        let cut = matches!(self.stop.as_str(), "max_tokens" | "model_context_window_exceeded");
        let (last, rest) = self.blocks.split_last()?;
        (cut && last.kind == "tool_use").then_some(rest)
    }

    fn came_back_as(&self, reply: &[Piece]) -> bool {
        let same = |a: &[Piece], b: &[Piece]| {
            a.len() == b.len() && a.iter().zip(b).all(|(sent, back)| sent.equals(back))
        };
        let blocks = self.blocks.as_slice();
        if same(blocks, reply) || self.without_cut_call().is_some_and(|rest| same(rest, reply)) {
            return true;
        }
        if let [Piece { kind, text, .. }] = reply
            && kind == "text"
            && self.text.starts_with(text.as_str())
            && (!self.whole || text.len() < self.text.len())
        {
            return true;
        }
        let partial = !self.whole || self.stop == "refusal";
        let Some((last, first)) = reply.split_last().filter(|_| partial) else { return false };
        let Some(cut) = blocks.get(first.len()) else { return false };
        let cut_text =
            cut.kind == "text" && last.kind == "text" && cut.text.starts_with(&last.text);
        same(&blocks[..first.len()], first) && (cut_text || cut.equals(last))
    }

    fn show(&self) -> String {
        clip(&self.blocks.iter().map(|piece| piece.canonical.as_str()).collect::<String>())
    }
}

/// Stands in a sent call's input where what was streamed was no JSON.
pub(crate) const UNREADABLE: &str = "(unreadable input)";

impl Piece {
    fn is_empty(&self) -> bool {
        self.kind == "text" && self.text.is_empty()
    }

    fn equals(&self, back: &Piece) -> bool {
        match self.kind == "tool_use" && self.canonical.contains(UNREADABLE) {
            true => back.kind == "tool_use",
            false => self == back,
        }
    }
}

fn flatten(body: &Value) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for message in list(body, "messages") {
        let of_model = message["role"] == "assistant";
        let blocks = content_of(message);
        pieces.extend(blocks.iter().map(|block| piece(of_model, block)).filter(|p| !p.is_empty()));
    }
    pieces
}

fn piece(of_model: bool, block: &Value) -> Piece {
    let kind = block["type"].as_str().unwrap_or_default().to_owned();
    let text = if kind == "text" { block["text"].as_str().unwrap_or_default() } else { "" };
    Piece { of_model, text: text.to_owned(), canonical: canonical(block), kind }
}

/// Tools or system as compared.
fn frame(value: &Value) -> String {
    match value {
        Value::Array(items) => items.iter().map(canonical).collect::<Vec<_>>().join("\n"),
        Value::String(text) => canonical(&json!({"type": "text", "text": text})),
        _ => String::new(),
    }
}

fn clip(text: &str) -> String {
    match text.char_indices().nth(160) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
