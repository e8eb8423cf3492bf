//! Keeps and resumes a session of 10,000 messages; run by `cargo xtask bench`.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement, run by hand")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use harness_core::{Agent, Block, Conversation, Message, Play, Role, Script};
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
                alone.push(begun.elapsed());
            }
            at if at % 100 == 0 => store.save(&conversation).unwrap(),
            _ => {}
        }
    }
    println!("session_append_at_10000\t{:.3}\tms", median(alone));
    let id = store.current().unwrap();
    let size = std::fs::metadata(store.path(&id)).unwrap().len();
    println!("session_file_10000_messages\t{:.1}\tMB", size as f64 / 1e6);
    drop(store);
    let resumed = (0..7).map(|_| {
        let store = SessionStore::new(&agent);
        let begun = Instant::now();
        let past = store.resume(&id).unwrap();
        let took = begun.elapsed();
        assert_eq!(past.conversation.messages().len(), MESSAGES);
        took
    });
    println!("session_resume_10000_messages\t{:.1}\tms", median(resumed.collect()));
}

/// A prompt, a call, its result, an answer, and again, with texts as long as they are in work.
fn add(conversation: &mut Conversation, at: usize) {
    match at % 2 {
        0 => conversation.say(format!("question {at}: {}", "what does it do? ".repeat(20))),
        _ => conversation.reply(&Message {
            role: Role::Assistant,
            content: vec![Block::text(format!("answer {at}: {}", "it does this. ".repeat(40)))],
        }),
    }
}

fn median(mut found: Vec<Duration>) -> f64 {
    found.sort();
    found[found.len() / 2].as_secs_f64() * 1000.0
}
