//! The test double, tested: what it must catch, it catches; what is legal, it lets through.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail loudly")]

mod cache;
mod chat;
mod client;
mod faults;
mod history;
mod places;
mod rules;
mod server;
mod witness;
