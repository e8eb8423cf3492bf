#![doc = "What the tests of this workspace stand on: never a dependency of a shipped binary."]
//!
//! A test double that accepts everything proves nothing. So the two doubles here check what they are
//! sent, on every request: [`StrictServer`] over real HTTP, [`Witness`] in process. Both use the same
//! two judges: [`rules`] (what the Messages API refuses in one request) and [`history`] (how this
//! request must follow from the one before). Both fail the test when something was wrong.
//!
//! | module | one job |
//! |---|---|
//! | [`rules`] | refuses a request body that the API would refuse, in the API's words |
//! | [`history`] | a conversation's next request must continue the one before |
//! | [`cache`] | counts tokens by estimate and simulates the prompt cache: [`mod@harness_core::model::cache`] |
//! | [`sse`] | writes a reply as the API streams it |
//! | [`chat`] | the other dialect, chat completions, for what stands behind a gateway |
//! | [`faults`] | everything that can go wrong on the way, on demand |
//! | [`gates`] | holds streams at named points, so that tests need no sleeps |
//! | [`answers`] | where the server's replies come from: a play, or a list |
//! | [`server`] | the server itself |
//! | [`measure`] | rows and medians for what `cargo xtask bench` runs |
//! | [`wait`] | agents and tests that wait for each other, without a clock |
//! | [`witness`] | the same checks around any `Model`, without a network |
//! | [`stage`] | an agent in a folder of its own, for a lesson's test |
//! | [`notices`] | what the user was told |
//! | [`program`] | a session's binary, started as its user starts it |
//! | [`transcript`] | a conversation as a readable play, for snapshots |
//! | [`folder`] | temporary folders, real git repositories, clean environments |
//! | [`disk`] | named pipes, and disks that are soon full |
//! | [`pty`] | a program in a real terminal of a given size |
//! | [`redis`] | a real Redis of a test's own, to be killed and started again |
//! | [`raw`] | a tiny HTTP/1.1 client that shows every byte |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test double fails loudly"
)]

pub mod answers;
pub mod chat;
pub mod disk;
pub mod faults;
pub mod folder;
pub mod gates;
pub mod history;
pub mod measure;
pub mod notices;
pub mod program;
pub mod pty;
pub mod raw;
pub mod redis;
mod routes;
pub mod rules;
pub mod server;
pub mod sse;
pub mod stage;
pub mod wait;
pub mod witness;

pub use answers::{Answer, Answers};
pub use disk::{SmallDisk, fifo};
pub use faults::{Fault, When};
pub use folder::{Folder, scrubbed, skip};
pub use harness_core::model::cache;
pub use harness_core::model::cache::{Clock, Simulated};
pub use history::History;
pub use measure::Row;
pub use notices::Notices;
pub use program::{Program, hash_in, outputs};
pub use pty::{Key, Terminal};
pub use redis::{Pause, Redis};
pub use rules::{Endpoint, Refusal, Rules, judge};
pub use server::{Recorded, StrictServer};
pub use stage::Stage;
pub use wait::{Gate, Meet, wait_until, wait_until_gone};
pub use witness::Witness;

/// The whole of a conversation as a play that a person can read: [`mod@harness_core::conversation::transcript`].
pub fn transcript(messages: &[harness_core::Message]) -> String {
    harness_core::transcript(messages, usize::MAX)
}
