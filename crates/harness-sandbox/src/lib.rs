//! Starts a child at a level of confinement: rules say what may run, the kernel says what it may touch.
//!
//! A line that runs without a question is confined, so a wrong reading of it costs nothing. There
//! are three [`Level`]s:
//!
//! | level | files | network |
//! |---|---|---|
//! | [`Level::ReadOnly`] | reads, never secrets; writes a scratch folder that is deleted; runs nothing of the workspace | none |
//! | [`Level::Workspace`] | writes the workspace too, except what other programs run | loopback of its own |
//! | [`Level::Free`] | everything | everything |
//!
//! A [`Sandbox`] starts a child at a level or says in one line why it cannot. It never starts one at
//! a looser level than it was asked for.
//!
//! Inside: `places` has the names, `walk` remembers folders, `grants` makes rules of both.
//! `read_only`, `filter` and `nursery` tell them to the kernel, `workspace` builds a view with
//! `bwrap`. `refusal` reads in a child's output that it was stopped.

#![cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "a part serves Linux alone"))]

mod error;
mod files;
mod grants;
mod launch;
mod level;
mod path_set;
mod places;
mod policy;
mod refusal;
mod running;
mod sandbox;
mod scratch;
mod seatbelt;
mod variables;
mod walk;

#[cfg(target_os = "linux")]
mod filter;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod nursery;
#[cfg(target_os = "linux")]
mod read_only;
#[cfg(target_os = "linux")]
mod workspace;

#[cfg(not(target_os = "linux"))]
mod macos;

pub use self::error::{ConfineError, SandboxError};
pub use self::launch::Launch;
pub use self::level::{Level, Machine, Missing};
pub use self::places::{is_guarded, is_secret};
pub use self::policy::Policy;
pub use self::refusal::{Cause, Ended, Refusal};
pub use self::running::{Hold, Running, SetAside};
pub use self::sandbox::{Figures, Sandbox};
pub use self::seatbelt::profile;
pub use self::variables::is_secret_variable;

#[cfg(target_os = "linux")]
use self::linux::Engine;
#[cfg(not(target_os = "linux"))]
use self::macos::Engine;
