//! A team's mail in Redis: streams for what must arrive, channels for what may be missed.
//!
//! The lesson about it is session 22. This crate is apart from it because `harness` needs it too, and because
//! nobody else is to build a Redis client.
//!
//! A box is a stream with a consumer group. Who reads it holds a lease on it (a key that runs out), so that one
//! process at a time has an agent's mail. A mail is acknowledged, and then deleted, once it is in its reader's
//! saved history; what was given out and not acknowledged goes to the next reader, and after a few who died of
//! it to the dead letters. Each step is one Lua script, so that no crash leaves half of it.

mod mailbox;
mod pulse;
mod server;
mod shared;

pub use mailbox::{BEAT, DeadLetter, RedisMailbox};
pub use server::{NoRedis, look, shown};
pub use shared::space;
