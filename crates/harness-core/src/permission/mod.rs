//! Permissions: rules rule, people approve, the gate joins them.

mod gate;

pub use gate::{AllowAll, Answer, Approver, Gate, Headless, Policy, Verdict};
