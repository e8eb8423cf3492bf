//! Permissions: rules rule, people approve, the gate joins them.
//!
//! A call passes the gate with what it would do ([`crate::Effect`]). [`Rules`] judge that: files by
//! their resolved paths, shell lines command by command. In reading order:
//!
//! - `gate`: the types · `rules`, `source`: the file · `judge`, `touch`, `forms`: the ruling
//! - `shell`, `grammar`, `scan`: a line taken apart by two readers that must agree · `word`, `ansi`,
//!   `expand`: what a word really says · `unwrap`, `wrappers`, `reading`: what a command really runs
//! - `programs`, `facts`, `git`, `repository`, `index`, `paths`: what is known · `remember`: a person's answers,
//!   kept
//!
//! Pattern rules are no sandbox. They judge what a line says, not what the programs it names do.

mod ansi;
mod expand;
mod facts;
mod forms;
mod gate;
mod git;
mod grammar;
mod index;
mod judge;
mod paths;
mod programs;
mod reading;
mod remember;
mod repository;
mod rules;
mod scan;
mod shell;
mod source;
mod touch;
mod unwrap;
mod word;
mod wrappers;

pub use forms::is_read_only;
pub use gate::{AllowAll, Answer, Approver, Gate, Headless, Policy, Verdict};
pub use judge::{Part, Ruling};
pub use remember::Remember;
pub use rules::{DenyOnly, RuleRef, Rules, RulesError};
