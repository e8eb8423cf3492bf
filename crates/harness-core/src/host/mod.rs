//! The ground: what a harness needs of the machine. It knows nothing of models, tools or agents.
//!
//! - files: [`workspace`] (paths that stay inside a folder), [`state`] (a value in a file), [`journal`]
//!   (append-only logs), [`front_matter`] (files that people write), [`own_paths`] (where the harness's own state
//!   lies), [`ownership`] (what a run owns, and who takes it over)
//! - child processes: [`process`]
//! - text: [`text`], [`secrets`], [`ids`]
//! - the rest: [`http`] (the one client), [`trust`] (what the user has agreed to), [`Mutex`](crate::Mutex)

pub mod front_matter;
pub mod http;
pub mod ids;
pub mod journal;
pub mod mutex;
pub mod own_paths;
pub mod ownership;
pub mod process;
pub mod secrets;
pub mod state;
pub mod text;
pub mod trust;
pub mod workspace;
