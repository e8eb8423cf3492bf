//! Reads a shell line: which programs would run, with which words, and what is not certain.
//!
//! It says what a line *names*. What the programs do once they run, no reading of the line can tell. In
//! reading order:
//!
//! - `word`, `ansi`, `expand`: what a word says once quotes, escapes and known variables are resolved
//! - `ast`, `grammar`, `scan`, `parse`: a line taken apart by two readers that must agree
//! - `unwrap`, `wrappers`: what a command such as `env`, `xargs` or `sh -c` really runs
//! - `reading`: all of it, down to the scripts inside scripts
//!
//! ```
//! use harness_shell::{Certainty, read};
//!
//! let reading = read("cd src && grep -n TODO *.rs | head", char::is_control);
//! let names: Vec<&str> = reading.commands.iter().map(|layers| layers[0].name()).collect();
//! assert_eq!(names, ["cd", "grep", "head"]);
//! assert!(reading.doubts.is_empty());
//!
//! let reading = read("timeout 5 rm $X", char::is_control);
//! assert_eq!(reading.commands[0].iter().map(|layer| layer.name()).collect::<Vec<_>>(), ["timeout", "rm"]);
//! assert_eq!(reading.commands[0][1].words[1].sure, Certainty::Unknown);
//! ```

mod ansi;
mod ast;
mod expand;
mod grammar;
mod parse;
mod reading;
mod scan;
mod unwrap;
mod word;
mod wrappers;

pub use ast::{Doubt, Redirect};
pub use expand::{Certainty, Word};
pub use parse::{IsHidden, TOO_LONG};
pub use reading::{Reading, read};
pub use unwrap::{EXEC, Layer};
