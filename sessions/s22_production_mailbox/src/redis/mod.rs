//! Behind the lesson: a team's mail in Redis. Streams carry what must arrive, channels what may be missed.
//!
//! A box is a stream with a consumer group. Its reader holds a lease on it (a key that expires), so that one
//! process at a time has an agent's mail. A mail is acknowledged, and then deleted, once it is in its reader's
//! saved history. What was given out and not acknowledged goes to the next reader, and after a few readers
//! that died of it to the dead letters. Each step is one Lua script, so that no crash leaves half of it.
//!
//! | module | one job |
//! |---|---|
//! | [`mailbox`] | the `Mailbox` of session 9, and what a team asks besides |
//! | [`store`] | keys, scripts, and what is given out |
//! | [`background`] | heartbeats, and the channels |
//! | [`server`] | a connection that comes back |

mod background;
mod mailbox;
mod server;
mod store;

pub(crate) use mailbox::HEARTBEAT_INTERVAL;
pub use mailbox::{DeadLetter, RedisMailbox};
pub use server::{NoRedis, probe, without_password};
pub use store::space_of;
