//! `cargo xtask bench`: speed and memory of what is installed, measured and never asserted in a test.

use std::process::Command;

use crate::Failure;
use crate::repo::{Package, Repo};
use crate::run::{cargo, command, show, target_folder, typed};

pub(crate) const HELP: &str = "\
usage: cargo xtask bench [PART]...

Builds with the profile `dist`, as `harness` is installed, runs what measures and prints one table of what it
found, beside the goals. A part is a program of a crate (src/bin/bench*) or a member's own bench (benches/*.rs
without the test harness): whatever is there is found. It prints rows of fields between tabs: name, value, unit and, where
there is one, the goal (under 10, over 200); or name, - and why there is no figure.";

/// What people install, and so what is measured.
const PROFILE: &str = "dist";
/// The sessions that the programs start, beside `harness`.
const STARTED: [u32; 2] = [1, 3];

/// A program that measures.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    /// What it is called here: `bench-search`, `s17_session_management`.
    name: String,
    kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// One of a crate's programs, `src/bin/bench*`.
    Program,
    /// One of a member's `benches/`: its name.
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
    let programs = parts.iter().filter(|part| part.kind == Kind::Program);
    let mut built: Vec<String> = programs.map(|part| part.name.clone()).collect();
    if !built.is_empty() {
        built.extend(started(repo)?);
        let mut build = cargo(repo);
        build.args(["build", "--profile", PROFILE]);
        for name in &built {
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

/// The programs that those of the crates start, as far as they are there.
fn started(repo: &Repo) -> Result<Vec<String>, String> {
    let is_started = |package: &Package| {
        package.name == "harness" || package.number().is_some_and(|own| STARTED.contains(&own))
    };
    let packages = repo.packages()?.into_iter().filter(is_started);
    Ok(packages.map(|package| package.name).collect())
}

/// What measures, among the files of the repository, by name.
fn parts(files: &[String]) -> Vec<Part> {
    let mut found: Vec<Part> = files.iter().filter_map(|path| part(path)).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn part(path: &str) -> Option<Part> {
    let (group, rest) = path.strip_suffix(".rs")?.split_once('/')?;
    let (package, file) = rest.split_once('/')?;
    if let Some(bench) = file.strip_prefix("benches/") {
        let own = !bench.contains('/');
        let kind = Kind::Bench(bench.to_owned());
        return own.then(|| Part { name: package.to_owned(), kind });
    }
    let program = file.strip_prefix("src/bin/").filter(|_| group == "crates")?;
    let name = program.strip_suffix("/main").unwrap_or(program);
    let measures = name.starts_with("bench") && !name.contains('/');
    measures.then(|| Part { name: name.to_owned(), kind: Kind::Program })
}

impl Part {
    fn command(&self, repo: &Repo) -> Command {
        let name = self.name.as_str();
        match &self.kind {
            Kind::Bench(bench) => {
                let mut cargo = cargo(repo);
                cargo.args([
                    "bench",
                    "--quiet",
                    "--profile",
                    PROFILE,
                    "-p",
                    name,
                    "--bench",
                    bench,
                ]);
                cargo
            }
            Kind::Program => {
                let program = target_folder(repo).join(PROFILE).join(name);
                command(repo, &program.to_string_lossy())
            }
        }
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
            "sessions/s21_mcp_runtime/src/bin/bench.rs",
            "crates/harness-shell/benches/words.rs",
            "crates/harness-shell/benches/words/more.rs",
        ];
        let part = |name: &str, kind| Part { name: name.to_owned(), kind };
        assert_eq!(
            parts(&files.map(str::to_owned)),
            [
                part("bench", Kind::Program),
                part("bench-mail", Kind::Program),
                part("harness-shell", Kind::Bench("words".to_owned())),
                part("s17_session_management", Kind::Bench("speed".to_owned())),
            ]
        );
    }
}
