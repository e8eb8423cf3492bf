//! `cargo xtask bench`: speed and size in release, measured and never asserted in a test.

use crate::Failure;
use crate::repo::Repo;
use crate::run::{cargo, show, typed};

pub(crate) const HELP: &str = "\
usage: cargo xtask bench

Builds in release, runs the measuring programs of harness-testkit (src/bin/bench*.rs) and prints
what they found beside the goal. A measuring program prints lines name<TAB>value<TAB>unit.";

/// A program that measures: what it is called here, and the binary of harness-testkit.
const BENCHES: &[(&str, &str)] = &[("harness", "bench")];

/// The goals, by the names the programs use: the value is to stay under the first number, or over it.
const GOALS: &[(&str, Goal)] = &[
    ("start_to_first_request", Goal::Under(10.0, "ms")),
    ("turn_cost_50", Goal::Under(0.3, "ms")),
    ("turn_cost_500", Goal::Under(0.6, "ms")),
    ("peak_memory_50_turns", Goal::Under(12.0, "MB")),
    ("sse_rate", Goal::Over(200.0, "MB/s")),
];

#[derive(Clone, Copy)]
enum Goal {
    Under(f64, &'static str),
    Over(f64, &'static str),
}

pub(crate) fn run(repo: &Repo, args: &[String]) -> Result<(), Failure> {
    if let Some(arg) = args.first() {
        return Err(Failure::Usage(format!("bench takes no argument, not {arg:?}")));
    }
    let there = |binary: &str| {
        let source = repo.root.join("crates/harness-testkit/src/bin").join(binary);
        source.with_extension("rs").is_file() || source.join("main.rs").is_file()
    };
    let mut rows = Vec::new();
    let mut failed = Vec::new();
    // A bench may start a session: those that exist are built as the user builds them.
    if BENCHES.iter().any(|(_, binary)| there(binary)) {
        show(cargo(repo).args(["build", "--release"]))?;
    }
    for (name, binary) in BENCHES {
        if !there(binary) {
            say!(
                "{name}: there is no crates/harness-testkit/src/bin/{binary}.rs yet, nothing to measure"
            );
            continue;
        }
        let mut command = cargo(repo);
        command.args(["run", "--release", "--quiet", "-p", "harness-testkit", "--bin", binary]);
        say!("== {name}: {}", typed(&command));
        match measured(&mut command) {
            Ok(lines) => rows.extend(lines.lines().filter_map(row)),
            Err(reason) => failed.push(format!("{name}: {reason}")),
        }
    }
    for row in &rows {
        say!("{row}");
    }
    if failed.is_empty() { Ok(()) } else { Err(Failure::Failed(failed.join("; "))) }
}

/// What it says on stdout; what it says on stderr is shown as it comes.
fn measured(command: &mut std::process::Command) -> Result<String, String> {
    let output =
        command.stderr(std::process::Stdio::inherit()).output().map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() { Ok(said) } else { Err(output.status.to_string()) }
}

/// A line `name<TAB>value<TAB>unit` as a row of the table, with its goal; other lines are no rows.
fn row(line: &str) -> Option<String> {
    let [name, value, unit] =
        line.split('\t').map(str::trim).collect::<Vec<_>>().try_into().ok()?;
    let goal = GOALS.iter().find(|(known, _)| *known == name).map(|(_, goal)| *goal);
    let number: Option<f64> = value.parse().ok();
    let goal = match (goal, number) {
        (Some(Goal::Under(limit, u)), Some(n)) if u == unit => mark(n < limit, "under", limit),
        (Some(Goal::Over(limit, u)), Some(n)) if u == unit => mark(n > limit, "over", limit),
        (Some(Goal::Under(_, u) | Goal::Over(_, u)), _) => format!("the goal is in {u}"),
        (None, _) => String::new(),
    };
    Some(format!("{name:<28}{value:>12} {unit:<6} {goal}").trim_end().to_owned())
}

fn mark(met: bool, side: &str, limit: f64) -> String {
    format!("{} (goal: {side} {limit})", if met { "ok" } else { "MISSED" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_show_their_goal_and_other_lines_are_no_rows() {
        let shown =
            |line: &str| row(line).map(|row| row.split_whitespace().collect::<Vec<_>>().join(" "));
        assert_eq!(
            shown("sse_rate\t250.1\tMB/s").as_deref(),
            Some("sse_rate 250.1 MB/s ok (goal: over 200)")
        );
        assert_eq!(
            shown("turn_cost_50\t0.4\tms").as_deref(),
            Some("turn_cost_50 0.4 ms MISSED (goal: under 0.3)")
        );
        assert_eq!(
            shown("turn_cost_50\t400\tus").as_deref(),
            Some("turn_cost_50 400 us the goal is in ms")
        );
        assert_eq!(
            shown("permission_decision\t3\tus").as_deref(),
            Some("permission_decision 3 us")
        );
        assert_eq!(shown("warming up"), None);
    }
}
