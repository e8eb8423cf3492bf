//! Servers: programs, here or far away, that bring tools along.
//!
//! This is all of it that does not depend on the protocol they speak: which servers a file names
//! ([`ServerConfig`]), what their tools are called here and what of them a model may see ([`tool_name`],
//! [`Offer`]), what comes back from a call ([`Gathered`]), and who looks after them ([`Servers`]): they
//! start together in the background, are started again when they end, and none of them harms another.
//! The protocol is a [`Life`] and a [`Remote`]; session 21 has one.

mod config;
mod gather;
mod keep;
mod offer;
mod place;
mod server;

pub use config::{ConfigError, Found, ServerConfig, Wire, from_json, from_yaml};
pub use gather::Gathered;
pub use keep::Servers;
pub use offer::{Offer, server_name, tool_name};
pub use place::Place;
pub use server::{Gone, Life, Remote, Server};
