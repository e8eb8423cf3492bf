//! What was sent, block by block, so that it can be said where the next request parts from it.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Serialize;

use crate::model::{CachePosition, Request};

/// A request as it is remembered: no texts, only enough to tell whether they changed.
#[derive(Clone, Debug, Default)]
pub struct Prefix {
    /// The model that was asked. No two share a cache.
    pub model: String,
    blocks: Vec<Piece>,
    /// How many of them stand before the last mark.
    marked: usize,
    /// What else parts one cache from another: how the model thinks, and the like.
    beside: u64,
}

#[derive(Clone, Debug, PartialEq)]
struct Piece {
    name: String,
    hash: u64,
}

impl Prefix {
    /// Remembers a request. Counts from one, as people do.
    pub fn of(request: &Request<'_>) -> Self {
        let (mut blocks, mut marked) = (Vec::new(), 0);
        let mut add = |place, name, hash| {
            blocks.push(Piece { name, hash });
            if request.marks.iter().any(|mark| mark.place == place) {
                marked = blocks.len();
            }
        };
        for (at, tool) in request.tools.iter().enumerate() {
            add(CachePosition::Tool(at), format!("tool {} (`{}`)", at + 1, tool.name), hash(tool));
        }
        for (at, text) in request.system.iter().enumerate() {
            add(CachePosition::System(at), format!("system block {}", at + 1), hash(text));
        }
        for (message, of) in request.messages.iter().enumerate() {
            for (block, it) in of.content.iter().enumerate() {
                let name = format!("message {}, block {}", message + 1, block + 1);
                add(CachePosition::Message { message, block }, name, hash(it));
            }
        }
        Self { model: request.model.to_owned(), blocks, marked, beside: hash(&request.extra) }
    }

    /// Where `next` parts from what was marked here. `None`: nowhere.
    pub fn change(&self, next: &Self) -> Option<String> {
        if self.model != next.model {
            return Some(format!("the model changed, from {} to {}", self.model, next.model));
        }
        let mut marked = self.blocks.iter().take(self.marked).enumerate();
        match marked.find(|(at, was)| next.blocks.get(*at) != Some(was)) {
            Some((at, was)) => Some(match next.blocks.get(at) {
                Some(is) if is.name == was.name => format!("{} is the first that changed", is.name),
                Some(is) => format!("{} stands where {} stood", is.name, was.name),
                None => format!("{} is the first that is gone", was.name),
            }),
            None if self.beside != next.beside => Some("the settings changed".to_owned()),
            None => None,
        }
    }
}

fn hash(item: &impl Serialize) -> u64 {
    let mut hasher = DefaultHasher::new();
    serde_json::to_string(item).unwrap_or_default().hash(&mut hasher);
    hasher.finish()
}
