//! Running `cargo test` and telling what came of it, skipped tests included.

use std::process::Command;

use crate::run::watched;

/// The variable under which a test fails instead of skipping.
const NO_SKIP: &str = "HARNESS_NO_SKIP";

/// Where the tests run, and so what a skip means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    /// On somebody's machine: a test that cannot run there says so and passes.
    Here,
    /// In CI, where everything is there: a skip is a failure.
    Ci,
}

impl Where {
    /// As the variable `CI` says.
    pub(crate) fn find() -> Self {
        let is_ci = |value: &String| !matches!(value.as_str(), "" | "0" | "false");
        if std::env::var("CI").ok().filter(is_ci).is_some() { Self::Ci } else { Self::Here }
    }

    /// Tells tests that they may not skip, where they may not.
    pub(crate) fn set_for(self, command: &mut Command) {
        if self == Self::Ci {
            command.env(NO_SKIP, "1");
        }
    }
}

/// Runs a command that tests: what it says of its tests in one line, as an error where it failed.
pub(crate) fn run(command: &mut Command, place: Where) -> Result<String, String> {
    let noteworthy = |line: &str| line.starts_with("SKIPPED:") || line.starts_with("test result:");
    place.set_for(command);
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
    if !passed {
        return Err(said);
    }
    if skipped > 0 && place == Where::Ci {
        return Err(format!("{said}, and with CI=true a skip is a failure"));
    }
    Ok(said)
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
    fn in_ci_no_test_may_skip() {
        let told = |place: Where| {
            let mut command = Command::new("cargo");
            place.set_for(&mut command);
            command.get_envs().any(|(name, _)| name == NO_SKIP)
        };
        assert!(told(Where::Ci) && !told(Where::Here));
    }
}
