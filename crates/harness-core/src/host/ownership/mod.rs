//! What a run owns, and how another run takes it over when the first one is gone.
//!
//! A *run* is one program from its start to its end, however it ends. It claims a name or a number by a
//! [`RunLock`]: a lock file that the kernel releases when the process ends. Whoever finds the lock free may
//! take over what its owner left. On that foundation stand
//!
//! - [`lease`]: time-limited ownership, lost without heartbeats (a task of a board);
//! - [`registry`]: work that its run names itself, all in one list (a working tree);
//! - [`numbered`]: records that are given the next free number, a file each (a background command).

pub mod lease;
pub mod numbered;
pub mod registry;
mod run_lock;

pub use run_lock::RunLock;
