//! Permissions: rules rule, people approve, the gate joins them.

mod ansi;
mod expand;
mod gate;
mod grammar;
mod reading;
mod scan;
mod shell;
mod unwrap;
mod word;

pub use gate::{AllowAll, Answer, Approver, Gate, Headless, Policy, Verdict};
