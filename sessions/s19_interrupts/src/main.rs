//! Session 19: interrupts and steering.

use std::io::{IsTerminal, stdin, stdout};
use std::process::ExitCode;

use s19_interrupts::{LESSON, Lines, Steering};

fn main() -> ExitCode {
    let person = stdin().is_terminal() && stdout().is_terminal();
    let lines = if person { Lines::All } else { Lines::Marked };
    harness_cli::main(LESSON, async |agent| Ok(Steering::new(lines).join(agent.into())))
}
