//! The core of the harness.

pub mod journal;
pub mod process;
pub mod secrets;
pub mod text;
pub mod workspace;
