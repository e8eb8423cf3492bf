//! The test double, tested: what it must catch, it catches; what is legal, it lets through.

mod cache;
mod client;
mod faults;
mod history;
mod places;
mod rules;
mod server;
mod witness;
