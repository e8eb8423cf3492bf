//! Permissions: rules rule, people approve, the gate joins them.
//!
//! A call passes the gate with what it would do ([`crate::Effect`]). [`Rules`] judge that: files by
//! their resolved paths, shell lines command by command. In reading order:
//!
//! - `gate`: the types · `rules`, `source`: the file · `judge`, `path_rules`, `normalise`: the ruling
//! - `line`: a shell line, read by the crate `harness-shell`
//! - `programs`, `tables`, `git`, `repository`, `index`, `paths`: what is known · `remember`: a person's answers,
//!   kept
//!
//! Pattern rules are no sandbox. They judge what a line says, not what the programs it names do.

mod gate;
mod git;
mod index;
mod judge;
mod line;
mod normalise;
mod path_rules;
mod paths;
mod programs;
mod remember;
mod repository;
mod rules;
mod source;
mod tables;

pub use gate::{AllowAll, Approval, Approver, Gate, Headless, Permit, Policy, Question, Verdict};
pub use judge::{Part, Ruling};
pub use normalise::is_read_only;
pub use remember::Remember;
pub use rules::{DenyOnly, RuleRef, Rules, RulesError};
