//! The Messages API, and every server that speaks it (LiteLLM, Ollama, llama.cpp, vLLM …).
//!
//! From the wire up: [`sse`] makes events of bytes, [`assemble`] makes deltas and one reply of events,
//! and [`Client`] does what the network makes necessary: headers, attempts, time-outs, and errors that
//! say what to do. The first two are pure.

pub mod assemble;
mod client;
mod config;
mod fault;
mod incoming;
mod retry;
pub mod sse;
mod wire;

pub use client::Client;
pub use config::{BASE_URL, Config, ConfigError, IDLE, Key, VERSION};
pub use retry::Patience;
