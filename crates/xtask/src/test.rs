//! `cargo xtask test`: everything CI runs, stopping at the first failure.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::cargo_test::{self, Where};
use crate::repo::Repo;
use crate::run::{cargo, show, typed};
use crate::{check, eject, programs};

pub(crate) const HELP: &str = "\
usage: cargo xtask test

Runs what CI runs, and stops at the first step that fails, with the command that runs it again:
  fmt, clippy (warnings are errors), tests and doctests, docs without warnings, check,
  eject (three sessions are written out and tested where they stand alone).
A program the tests need and the machine lacks is installed by apt-get where this user may,
and named with its command where not.

A test that cannot run here writes a line `SKIPPED: what and why` to stderr and passes.
With CI=true a skip is a failure: HARNESS_NO_SKIP=1 is set, under which tests fail instead,
the lock file is taken as it is, and any `SKIPPED:` line that still comes fails the step.";

/// The step whose skips count.
const TESTS: &str = "tests";
/// What CI writes out and tests alone, of those that exist: the first, a plain one, one with git2.
const EJECTED: [&str; 3] = ["s01_", "s03_", "s12_"];

/// One step: a cargo command, with what it needs in its environment.
struct Step {
    name: &'static str,
    args: &'static [&'static str],
    env: Option<(&'static str, &'static str)>,
    /// Whether cargo resolves packages for it, and so takes `--locked`.
    resolves: bool,
}

const STEPS: [Step; 4] = [
    Step { name: "fmt", args: &["fmt", "--all", "--", "--check"], env: None, resolves: false },
    Step {
        name: "clippy",
        args: &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
        env: None,
        resolves: true,
    },
    Step { name: TESTS, args: &["test", "--workspace"], env: None, resolves: true },
    Step {
        name: "docs",
        args: &["doc", "--workspace", "--no-deps"],
        env: Some(("RUSTDOCFLAGS", "-D warnings")),
        resolves: true,
    },
];

pub(crate) fn run(repo: &Repo, args: &[String]) -> Result<(), Failure> {
    if let Some(arg) = args.first() {
        return Err(Failure::Usage(format!("test takes no argument, not {arg:?}")));
    }
    let place = Where::find();
    let started = Instant::now();
    programs::prepare(repo, place)?;
    let mut report = Vec::new();
    let mut timed = |name: &str, again: &str, step: &mut dyn FnMut() -> Result<String, String>| {
        say!("\n== {name}: {again}");
        let start = Instant::now();
        let outcome = step();
        let took = seconds(start.elapsed());
        match outcome {
            Ok(note) => {
                say!("== {name}: ok, {took}");
                report.push(format!("  {name:<8}{took:>9}  {note}"));
                Ok(())
            }
            Err(reason) => {
                let failed = format!(
                    "step `{name}` failed after {took}: {reason}; run it again with: {again}"
                );
                Err(Failure::Failed(failed))
            }
        }
    };
    for step in &STEPS {
        let mut command = step.command(repo, place);
        timed(step.name, &typed(&command), &mut || match step.name {
            TESTS => cargo_test::run(&mut command, place),
            _ => show(&mut command).map(|()| String::new()),
        })?;
    }
    timed("check", "cargo xtask check", &mut || match check::run(repo, &[]) {
        Ok(()) => Ok(String::new()),
        Err(Failure::Failed(reason) | Failure::Usage(reason)) => Err(reason),
    })?;
    let names = repo.sessions()?.into_iter().map(|session| session.name);
    for name in names.filter(|name| EJECTED.iter().any(|start| name.starts_with(start))) {
        let again = format!("cargo xtask eject {name} DIR && cd DIR && cargo test");
        timed("eject", &again, &mut || eject::tested_alone(repo, &name, place))?;
    }
    say!("\n== all steps passed in {}\n{}", seconds(started.elapsed()), report.join("\n"));
    Ok(())
}

impl Step {
    fn command(&self, repo: &Repo, place: Where) -> Command {
        let mut command = cargo(repo);
        let (own, rest) = self.args.split_at(1);
        command.args(own);
        if place == Where::Ci && self.resolves {
            command.arg("--locked");
        }
        if self.name == TESTS {
            place.set_for(&mut command);
        }
        command.args(rest).envs(self.env);
        command
    }
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ci_takes_the_lock_file_as_it_is() {
        let repo = Repo { root: ".".into() };
        let words =
            |place| STEPS.iter().map(|step| typed(&step.command(&repo, place))).collect::<Vec<_>>();
        let in_ci = words(Where::Ci);
        let here = words(Where::Here);
        assert!(in_ci[0].ends_with("fmt --all -- --check"));
        assert!(in_ci[1].ends_with("clippy --locked --workspace --all-targets -- -D warnings"));
        assert!(in_ci[2].starts_with("HARNESS_NO_SKIP=\"1\" "));
        assert!(here[2].ends_with("test --workspace") && !here[2].contains("NO_SKIP"));
        assert!(here[3].starts_with("RUSTDOCFLAGS=\"-D warnings\" "));
    }
}
