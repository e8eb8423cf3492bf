//! The chores of this workspace: `cargo xtask test | check | new | eject | interop | bench`.
//!
//! Outside `default-members`, so that no session ever compiles it, and built of std and a parser of Rust (`syn`)
//! alone, since CI builds it first. Its tests may take the testkit: they play every session there is, and write
//! it out.
#![expect(clippy::print_stderr, reason = "a chore talks to whoever runs it")]
#![expect(clippy::disallowed_methods, reason = "chores start cargo, git, pip and apt-get")]

/// A line on stdout; a reader that went away (`| head`) is no error.
macro_rules! say {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($words)*);
    }};
}

mod bench;
mod cargo_test;
mod check;
mod eject;
mod interop;
mod manifest;
mod names;
mod new;
mod programs;
mod repo;
mod run;
mod test;

use std::process::ExitCode;

use repo::Repo;

/// Why a chore ended badly: the caller's words (exit 2) or the work itself (exit 1).
enum Failure {
    Usage(String),
    Failed(String),
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

struct Chore {
    name: &'static str,
    about: &'static str,
    help: &'static str,
    run: fn(&Repo, &[String]) -> Result<(), Failure>,
}

const CHORES: &[Chore] = &[
    Chore {
        name: "test",
        about: "what CI runs: format, lints, tests, docs, structure",
        help: test::HELP,
        run: test::run,
    },
    Chore {
        name: "check",
        about: "the structure and invariants of the architecture",
        help: check::HELP,
        run: check::run,
    },
    Chore {
        name: "new",
        about: "copy a session under a name of your own",
        help: new::HELP,
        run: new::run,
    },
    Chore {
        name: "eject",
        about: "write a session as a workspace that stands alone",
        help: eject::HELP,
        run: eject::run,
    },
    Chore {
        name: "interop",
        about: "play against real clients from the registries",
        help: interop::HELP,
        run: interop::run,
    },
    Chore {
        name: "bench",
        about: "measure speed and memory, as installed",
        help: bench::HELP,
        run: bench::run,
    },
];

fn help() -> String {
    let mut text = String::from("usage: cargo xtask CHORE [ARGS]\n\n");
    for chore in CHORES {
        text.push_str(&format!("  {:<9}{}\n", chore.name, chore.about));
    }
    text.push_str("\ncargo xtask CHORE --help says more");
    text
}

fn dispatch(args: &[String]) -> Result<(), Failure> {
    let asks_help = |arg: &String| matches!(arg.as_str(), "-h" | "--help" | "help");
    let Some((name, rest)) = args.split_first() else {
        return Err(Failure::Usage(format!("which chore?\n\n{}", help())));
    };
    if asks_help(name) {
        say!("{}", help());
        return Ok(());
    }
    let Some(chore) = CHORES.iter().find(|chore| chore.name == name) else {
        let near = names::near(name, CHORES.iter().map(|chore| chore.name));
        return Err(Failure::Usage(format!("no chore is called {name:?}{near}")));
    };
    if rest.iter().any(asks_help) {
        say!("{}", chore.help.trim_end());
        return Ok(());
    }
    (chore.run)(&Repo::find()?, rest)
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(reason)) => {
            eprintln!("xtask: {reason}");
            ExitCode::from(2)
        }
        Err(Failure::Failed(reason)) => {
            eprintln!("xtask: {reason}");
            ExitCode::FAILURE
        }
    }
}
