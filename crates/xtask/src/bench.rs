//! `cargo xtask bench`: speed and size in release, measured and never asserted in a test.

use std::process::Command;

use crate::Failure;
use crate::repo::Repo;
use crate::run::{cargo, command, show, typed};

pub(crate) const HELP: &str = "\
usage: cargo xtask bench [PART]...

Builds in release, runs what measures and prints one table of what it found, beside the goals. A part
is a program of harness-testkit (src/bin/bench*) or a session's own (benches/*.rs without the test
harness): whatever is there is found. It prints rows of fields between tabs: name, value, unit and, where
there is one, the goal (under 10, over 200); or name, - and why there is no figure.";

/// Where the programs of the testkit are.
const SHARED: &str = "crates/harness-testkit/src/bin";
/// Sessions that these programs start.
const STARTED: [&str; 3] = ["s01_perception_action_loop", "s03_todo_write", "harness"];

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
    say!("{}", line("what", "found", "unit", "goal"));
    rows.iter().for_each(|row| say!("{row}"));
    if failed.is_empty() { Ok(()) } else { Err(Failure::Failed(failed.join("; "))) }
}

/// What measures, among the files of the repository: the whole first, then the sessions.
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
            _ => return None,
        };
        Some(Part { name: package.to_owned(), place })
    };
    let mut found: Vec<Part> = files.iter().filter_map(part).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

impl Part {
    fn command(&self, repo: &Repo) -> Command {
        let mut cargo = cargo(repo);
        let name = self.name.as_str();
        match &self.place {
            Place::Bench(bench) => cargo.args(["bench", "--quiet", "-p", name, "--bench", bench]),
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

/// What a program printed as a row of the table; a line of another form is no row.
fn row(said: &str) -> Option<String> {
    let (name, rest) = said.split_once('\t')?;
    let (value, rest) = rest.split_once('\t')?;
    let (unit, goal) = rest.split_once('\t').unwrap_or((rest, ""));
    let kept = match (value.parse::<f64>(), goal.split_once(' ')) {
        (Ok(value), Some(("under", limit))) => value < limit.parse().ok()?,
        (Ok(value), Some(("over", limit))) => value > limit.parse().ok()?,
        (_, None) => return Some(line(name, value, unit, goal)),
        _ => return None,
    };
    Some(line(name, value, unit, &format!("{goal}: {}", if kept { "ok" } else { "MISSED" })))
}

fn line(name: &str, value: &str, unit: &str, goal: &str) -> String {
    format!("{name:<40}{value:>10} {unit:<8} {goal}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_show_their_goal_and_other_lines_are_no_rows() {
        let shown =
            |said: &str| row(said).map(|row| row.split_whitespace().collect::<Vec<_>>().join(" "));
        for (said, expected) in [
            ("the rate\t250.1\tMB/s\tover 200", Some("the rate 250.1 MB/s over 200: ok")),
            ("a turn\t0.4\tms\tunder 0.3", Some("a turn 0.4 ms under 0.3: MISSED")),
            ("a decision\t3\tus", Some("a decision 3 us")),
            ("by rg\t-\tno rg on PATH", Some("by rg - no rg on PATH")),
            ("a turn\t0.4\tms\tabout 0.3", None),
            ("warming up", None),
        ] {
            assert_eq!(shown(said).as_deref(), expected, "{said}");
        }
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
            "sessions/s21_mcp_runtime/examples/probe.rs",
        ];
        let part = |name: &str, place| Part { name: name.to_owned(), place };
        assert_eq!(
            parts(&files.map(str::to_owned)),
            [
                part("bench", Place::Testkit),
                part("bench-mail", Place::Testkit),
                part("s17_session_management", Place::Bench("speed".to_owned())),
            ]
        );
    }
}
