//! `cargo xtask bench`: speed and size in release, measured and never asserted in a test.

use std::process::Command;

use crate::Failure;
use crate::repo::Repo;
use crate::run::{cargo, command, show, typed};

pub(crate) const HELP: &str = "\
usage: cargo xtask bench [PART]...

Builds in release, runs what measures and prints what it found beside the goal. A part is a program
of harness-testkit (src/bin/bench*.rs) or a session's own (benches/*.rs without the test harness, or
examples/bench.rs): whatever is there is found. It prints lines name<TAB>value<TAB>unit.";

/// Where the programs of the testkit are.
const SHARED: &str = "crates/harness-testkit/src/bin";
/// Sessions that these programs start.
const STARTED: [&str; 3] = ["s01_perception_action_loop", "s03_todo_write", "harness"];

/// The goals, by the names the programs use: the value is to stay under the first number, or over it.
const GOALS: &[(&str, Goal)] = &[
    ("start_to_first_request", Goal::Under(10.0, "ms")),
    ("start_to_first_request_harness", Goal::Under(20.0, "ms")),
    ("turn_cost_50", Goal::Under(0.3, "ms")),
    ("turn_cost_500", Goal::Under(0.6, "ms")),
    ("peak_memory_50_turns", Goal::Under(12.0, "MB")),
    ("sse_rate", Goal::Over(200.0, "MB/s")),
    ("permission_200_chars", Goal::Under(1.0, "ms")),
    ("permission_100_kB", Goal::Under(50.0, "ms")),
    ("glob_100000_files", Goal::Under(2000.0, "ms")),
];

#[derive(Clone, Copy)]
enum Goal {
    Under(f64, &'static str),
    Over(f64, &'static str),
}

/// A program that measures.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    /// What it is called here: `bench-search`, `s17_session_management`.
    name: String,
    place: Place,
}

/// Where it lies.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Testkit,
    /// A session's `benches/`: the name of the bench.
    Bench(String),
    /// A session's `examples/bench.rs`.
    Example,
}

pub(crate) fn run(repo: &Repo, args: &[String]) -> Result<(), Failure> {
    let all = parts(&repo.files()?);
    let names = || all.iter().map(|part| part.name.as_str());
    if let Some(unknown) = args.iter().find(|arg| names().all(|name| name != arg.as_str())) {
        let near = crate::names::near(unknown, names());
        return Err(Failure::Usage(format!("nothing measures {unknown:?}{near}")));
    }
    let wanted = |part: &&Part| args.is_empty() || args.contains(&part.name);
    let parts: Vec<&Part> = all.iter().filter(wanted).collect();
    let shared: Vec<&str> =
        parts.iter().filter(|p| p.place == Place::Testkit).map(|p| p.name.as_str()).collect();
    if !shared.is_empty() {
        let mut build = cargo(repo);
        build.args(["build", "--release"]);
        for name in shared.iter().chain(&STARTED) {
            build.args(["--bin", name]);
        }
        show(&mut build)?;
    }
    let mut rows = Vec::new();
    let mut failed = Vec::new();
    for part in parts {
        let mut command = part.command(repo);
        say!("== {}: {}", part.name, typed(&command));
        match measured(&mut command) {
            Ok(lines) => rows.extend(lines.lines().filter_map(row)),
            Err(reason) => failed.push(format!("{}: {reason}", part.name)),
        }
    }
    say!();
    for row in &rows {
        say!("{row}");
    }
    if failed.is_empty() { Ok(()) } else { Err(Failure::Failed(failed.join("; "))) }
}

/// What measures, among the files of the repository.
fn parts(files: &[String]) -> Vec<Part> {
    let part = |path: &String| {
        let file = path.strip_suffix(".rs")?;
        if let Some(name) = file.strip_prefix(SHARED) {
            let name = name.trim_start_matches('/').trim_end_matches("/main");
            let own = name.starts_with("bench") && !name.contains('/');
            return own.then(|| Part { name: name.to_owned(), place: Place::Testkit });
        }
        let (package, rest) = file.strip_prefix("sessions/")?.split_once('/')?;
        let place = match rest.split_once('/')? {
            ("benches", bench) if !bench.contains('/') => Place::Bench(bench.to_owned()),
            ("examples", "bench") => Place::Example,
            _ => return None,
        };
        Some(Part { name: package.to_owned(), place })
    };
    files.iter().filter_map(part).collect()
}

impl Part {
    fn command(&self, repo: &Repo) -> Command {
        let mut cargo = cargo(repo);
        let name = self.name.as_str();
        match &self.place {
            Place::Bench(bench) => cargo.args(["bench", "--quiet", "-p", name, "--bench", bench]),
            Place::Example => {
                cargo.args(["run", "--release", "--quiet", "-p", name, "--example", "bench"])
            }
            Place::Testkit => {
                let target = std::env::var_os("CARGO_TARGET_DIR").map(std::path::PathBuf::from);
                let target = target.unwrap_or_else(|| repo.root.join("target"));
                return command(repo, &target.join("release").join(name).to_string_lossy());
            }
        };
        cargo
    }
}

/// What it says on stdout; what it says on stderr is shown as it comes.
fn measured(command: &mut Command) -> Result<String, String> {
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
    Some(format!("{name:<32}{value:>12} {unit:<6} {goal}").trim_end().to_owned())
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

    #[test]
    fn what_measures_is_found_by_where_it_lies() {
        let files = [
            "crates/harness-testkit/src/bin/bench.rs",
            "crates/harness-testkit/src/bin/bench-mail/main.rs",
            "crates/harness-testkit/src/bin/bench-mail/more.rs",
            "crates/harness-testkit/src/bin/strict-server.rs",
            "sessions/s17_session_management/benches/speed.rs",
            "sessions/s17_session_management/src/lib.rs",
            "sessions/s22_production_mailbox/examples/bench.rs",
            "sessions/s22_production_mailbox/examples/other.rs",
        ];
        let part = |name: &str, place| Part { name: name.to_owned(), place };
        assert_eq!(
            parts(&files.map(str::to_owned)),
            [
                part("bench", Place::Testkit),
                part("bench-mail", Place::Testkit),
                part("s17_session_management", Place::Bench("speed".to_owned())),
                part("s22_production_mailbox", Place::Example),
            ]
        );
    }
}
