//! `cargo xtask test`: everything CI runs, stopping at the first failure.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::repo::Repo;
use crate::run::{cargo, show, typed, watched};
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

/// The variable under which a test fails instead of skipping.
const NO_SKIP: &str = "HARNESS_NO_SKIP";
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
    let ci = std::env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"));
    let started = Instant::now();
    programs::prepare(repo, ci)?;
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
        let mut command = step.command(repo, ci);
        timed(step.name, &typed(&command), &mut || match step.name {
            TESTS => tests(&mut command, ci),
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
        timed("eject", &again, &mut || ejected(repo, &name, ci))?;
    }
    say!("\n== all steps passed in {}\n{}", seconds(started.elapsed()), report.join("\n"));
    Ok(())
}

impl Step {
    fn command(&self, repo: &Repo, ci: bool) -> Command {
        let mut command = cargo(repo);
        let (own, rest) = self.args.split_at(1);
        command.args(own);
        if ci && self.resolves {
            command.arg("--locked");
        }
        if ci && self.name == TESTS {
            command.env(NO_SKIP, "1");
        }
        command.args(rest).envs(self.env);
        command
    }
}

fn tests(command: &mut Command, ci: bool) -> Result<String, String> {
    let noteworthy = |line: &str| line.starts_with("SKIPPED:") || line.starts_with("test result:");
    let (passed, lines) = watched(command, noteworthy)?;
    let skips: Vec<&String> = lines.iter().filter(|line| line.starts_with("SKIPPED:")).collect();
    let count = Count::of(&lines);
    let skipped = skips.len();
    let said = format!(
        "{} passed, {} failed, {} ignored, {skipped} skipped",
        count.passed, count.failed, count.ignored
    );
    for skip in &skips {
        say!("{skip}");
    }
    say!("== tests: {said}");
    match (passed, skips.is_empty() || !ci) {
        (true, true) => Ok(said),
        (true, false) => Err(format!("{said}, and with CI=true a skip is a failure")),
        (false, _) => Err(said),
    }
}

/// What the test binaries said at their ends, summed up.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    passed: usize,
    failed: usize,
    ignored: usize,
}

impl Count {
    /// From lines like `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; …`.
    fn of(lines: &[String]) -> Self {
        let mut count = Self::default();
        let results = lines.iter().filter_map(|line| line.strip_prefix("test result:"));
        for part in results.flat_map(|rest| rest.split([';', '.'])) {
            let Some((number, what)) = part.trim().split_once(' ') else { continue };
            let Ok(number) = number.parse::<usize>() else { continue };
            match what {
                "passed" => count.passed += number,
                "failed" => count.failed += number,
                "ignored" => count.ignored += number,
                _ => {}
            }
        }
        count
    }
}

/// Writes a session out and runs its tests there; the packages that are built already are not built again.
pub(crate) fn ejected(repo: &Repo, name: &str, ci: bool) -> Result<String, String> {
    let target = repo.root.join("target");
    let dir = target.join("eject").join(name);
    if dir.exists() {
        std::fs::remove_dir_all(&dir)
            .map_err(|e| format!("cannot clear {}: {e}", dir.display()))?;
    }
    eject::eject(repo, name, &dir)?;
    let mut command = cargo(repo);
    command.arg("test").current_dir(&dir).env("CARGO_TARGET_DIR", &target);
    if ci {
        command.env(NO_SKIP, "1");
    }
    let said = tests(&mut command, ci)?;
    std::fs::remove_dir_all(&dir).map_err(|e| format!("cannot clear {}: {e}", dir.display()))?;
    Ok(format!("{name}: {said}"))
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_binaries_are_summed() {
        let lines = [
            "SKIPPED: no redis".to_owned(),
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1.50s".to_owned(),
            "test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out".to_owned(),
        ];
        assert_eq!(Count::of(&lines), Count { passed: 7, failed: 2, ignored: 1 });
    }

    #[test]
    fn ci_takes_the_lock_file_as_it_is() {
        let repo = Repo { root: ".".into() };
        let words =
            |ci| STEPS.iter().map(|step| typed(&step.command(&repo, ci))).collect::<Vec<_>>();
        assert!(
            words(true)[1].ends_with("clippy --locked --workspace --all-targets -- -D warnings")
        );
        assert!(words(true)[2].starts_with("HARNESS_NO_SKIP=\"1\" "));
        assert!(
            words(false)[2].ends_with("test --workspace") && !words(false)[2].contains(NO_SKIP)
        );
        assert!(words(false)[3].starts_with("RUSTDOCFLAGS=\"-D warnings\" "));
        assert!(words(true)[0].ends_with("fmt --all -- --check"));
    }
}
