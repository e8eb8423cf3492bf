//! What was changed, kept so that it can be taken back: over many steps, and after a restart.
//!
//! [`History`] is the data: checkpoints, and in each the changes that were made for one prompt. A
//! [`Store`] has it on disk, and beside it the bytes that its changes need, in plain files named by
//! their hash. What a change *is* comes from two snapshots ([`crate::host::workspace::Snapshot`]).

mod history;
mod store;

pub use history::{Change, Checkpoint, History, Way};
pub use store::{Hash, Store};
