//! Permissions: rules rule, people approve, the gate joins them.
//!
//! A call passes the gate with what it would do ([`crate::Effect`]). [`Rules`] judge that: files by
//! their resolved paths, shell lines command by command. Reading order: `gate` (the types), `rules`
//! (the file), `judge` (the ruling); then how a line is taken apart: `shell`, `grammar` and `scan`
//! (two readers that must agree), `word`, `ansi` and `expand` (what a word really says), `unwrap` and
//! `reading` (what a command really runs); then what is known: `programs`, `git`, `paths`. `remember`
//! keeps a person's answers.
//!
//! Pattern rules are no sandbox. They judge what a line says, not what the programs it names do.

mod ansi;
mod expand;
mod gate;
mod git;
mod grammar;
mod judge;
mod paths;
mod programs;
mod reading;
mod remember;
mod rules;
mod scan;
mod shell;
mod unwrap;
mod word;

pub use gate::{AllowAll, Answer, Approver, Gate, Headless, Policy, Verdict};
pub use judge::{Part, Ruling, is_read_only};
pub use remember::Remember;
pub use rules::{DenyOnly, RuleRef, Rules, RulesError};
