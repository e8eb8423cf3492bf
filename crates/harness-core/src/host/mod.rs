//! The ground: what a harness needs of the machine, and knows nothing of models, tools or agents.
//!
//! - files: [`workspace`] (paths that stay inside a folder), [`state`] (a value in a file), [`journal`]
//!   (append-only logs), [`front_matter`] (files that people write), [`ownership`] (what belongs to which run)
//! - children: [`process`]
//! - words: [`text`], [`secrets`], [`ids`]
//! - the rest: [`http`] (one client), [`trust`] (what the user has agreed to), [`Mutex`](crate::Mutex)

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
