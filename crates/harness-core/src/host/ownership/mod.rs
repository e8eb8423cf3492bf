//! What belongs to which run, across crashes.

pub mod lease;
pub mod register;
pub mod shelf;
