//! Permissions: rules rule, people approve, the gate joins them.
//!
//! A call passes the gate with what it would do ([`crate::Effect`]). [`Rules`] judge that: files by
//! their resolved paths, shell lines command by command. In reading order:
//!
//! - `gate`: the types · `rules`, `source`: the file · `judge`, `touch`, `forms`: the ruling
//! - `line`: a shell line, read by the crate `harness-shell`
//! - `programs`, `facts`, `git`, `repository`, `index`, `paths`: what is known · `remember`: a person's answers,
//!   kept
//!
//! Pattern rules are no sandbox. They judge what a line says, not what the programs it names do.

mod facts;
mod forms;
mod gate;
mod git;
mod index;
mod judge;
mod line;
mod paths;
mod programs;
mod remember;
mod repository;
mod rules;
mod source;
mod touch;

pub use forms::is_read_only;
pub use gate::{AllowAll, Answer, Approver, Gate, Headless, Policy, Verdict};
pub use judge::{Part, Ruling};
pub use remember::Remember;
pub use rules::{DenyOnly, RuleRef, Rules, RulesError};
