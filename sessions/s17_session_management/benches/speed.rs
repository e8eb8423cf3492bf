//! Keeps and resumes a session of 10,000 messages; run by `cargo xtask bench`.
#![expect(clippy::unwrap_used, reason = "a measurement, run by hand")]

use std::sync::Arc;
use std::time::Instant;

use harness_core::{Agent, Block, Conversation, Message, Play, Script};
use harness_testkit::Row;
use harness_testkit::measure::{median, middle};
use s17_session_management::SessionStore;

const MESSAGES: usize = 10_000;
/// The last ones, each kept by itself.
const ALONE: usize = 200;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let script = Arc::new(Script::new(Play::default()));
    let agent = Agent::new(script, folder.path().canonicalize().unwrap());
    let store = SessionStore::new(&agent);
    let mut conversation = Conversation::new();
    let mut alone = Vec::new();
    for at in 0..MESSAGES {
        add(&mut conversation, at);
        let begun = Instant::now();
        match at {
            at if at >= MESSAGES - ALONE => {
                store.save(&conversation).unwrap();
                alone.push(begun.elapsed().as_secs_f64() * 1000.0);
            }
            at if at % 100 == 0 => store.save(&conversation).unwrap(),
            _ => {}
        }
    }
    Row::new("session, one more message at 10,000", middle(alone), "ms").print();
    let id = store.current().unwrap();
    let size = std::fs::metadata(store.path(&id)).unwrap().len();
    Row::new("session, the file of 10,000", size as f64 / 1e6, "MB").print();
    drop(store);
    let resume = median(7, || {
        let store = SessionStore::new(&agent);
        let begun = Instant::now();
        let past = store.resume(&id).unwrap();
        let took = begun.elapsed().as_secs_f64() * 1000.0;
        assert_eq!(past.conversation.messages().len(), MESSAGES);
        took
    });
    Row::new("session, 10,000 messages resumed", resume, "ms").print();
}

/// A prompt, a call, its result, an answer, and again, with texts as long as they are in work.
fn add(conversation: &mut Conversation, at: usize) {
    match at % 2 {
        0 => conversation.say(format!("question {at}: {}", "what does it do? ".repeat(20))),
        _ => conversation.reply(&Message::assistant(vec![Block::text(format!(
            "answer {at}: {}",
            "it does this. ".repeat(40)
        ))])),
    }
}
