//! Servers: programs, here or far away, that bring tools along.
//!
//! This is everything about them that does not depend on the protocol they speak:
//!
//! - [`ServerConfig`]: which servers a file names;
//! - [`ServerEnv`]: where they work, and what they get of this program's environment;
//! - [`Offer`], [`tool_name`]: what their tools are called here, and what a model may see of them;
//! - [`OutputBuilder`]: what comes back from a call;
//! - [`Server`], [`ServerPool`]: supervision. They start together in the background and are restarted when
//!   they end, and none of them harms another.
//!
//! The protocol is a [`Connector`] and a [`Remote`].

mod config;
mod env;
mod expand;
mod notices;
mod offer;
mod output;
mod pool;
mod remote;
mod server;
mod supervise;
mod tool;

pub use config::{
    BrokenServer, ConfiguredServer, ServerConfig, ServersError, Transport, from_json, from_yaml,
};
pub use env::ServerEnv;
pub use offer::{Offer, ToolDefinition, server_name, tool_name};
pub use output::OutputBuilder;
pub use pool::ServerPool;
pub use remote::{Disconnected, Remote};
pub use server::Server;
pub use supervise::Connector;
