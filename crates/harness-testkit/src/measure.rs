//! What the programs of `cargo xtask bench` share: rows of its table, and medians.

use std::fmt;
use std::time::Instant;

/// A row of the table: what was measured, the figure, its unit, and the goal where there is one. It is
/// printed as fields between tabs, and `cargo xtask bench` puts the rows of all programs side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    name: String,
    found: Result<f64, String>,
    unit: &'static str,
    goal: Option<String>,
}

impl Row {
    /// A figure.
    pub fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), found: Ok(value), unit, goal: None }
    }

    /// There is no figure here, and this is why: a program that is not installed, say.
    pub fn missing(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self { name: name.into(), found: Err(why.into()), unit: "", goal: None }
    }

    /// The figure should stay below this.
    #[must_use]
    pub fn under(self, limit: f64) -> Self {
        Self { goal: Some(format!("under {limit}")), ..self }
    }

    /// The figure should be above this.
    #[must_use]
    pub fn over(self, limit: f64) -> Self {
        Self { goal: Some(format!("over {limit}")), ..self }
    }

    /// Prints it.
    pub fn print(self) {
        println!("{self}");
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, found, unit, goal } = self;
        match found {
            Ok(value) => {
                // Three digits say all that a measurement knows.
                let digits = [100.0, 10.0, 1.0].iter().filter(|size| value < *size).count();
                write!(f, "{name}\t{value:.digits$}\t{unit}")?;
            }
            Err(why) => write!(f, "{name}\t-\t{why}")?,
        }
        goal.iter().try_for_each(|goal| write!(f, "\t{goal}"))
    }
}

/// How long this takes, in milliseconds: the median of so many times.
pub fn milliseconds<T>(times: usize, mut run: impl FnMut() -> T) -> f64 {
    median(times, || {
        let begun = Instant::now();
        std::hint::black_box(run());
        begun.elapsed().as_secs_f64() * 1000.0
    })
}

/// The median of so many measurements.
pub fn median(times: usize, measure: impl FnMut() -> f64) -> f64 {
    middle(std::iter::repeat_with(measure).take(times).collect())
}

/// The median of these; of none, no number.
pub fn middle(mut found: Vec<f64>) -> f64 {
    found.sort_by(f64::total_cmp);
    found.get(found.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_three_digits_and_its_goal_or_why_there_is_no_figure() {
        let shown = |row: Row| row.to_string();
        assert_eq!(shown(Row::new("start", 6.123, "ms").under(10.0)), "start\t6.12\tms\tunder 10");
        assert_eq!(shown(Row::new("rate", 512.3, "MB/s").over(200.0)), "rate\t512\tMB/s\tover 200");
        assert_eq!(shown(Row::new("start", 24.56, "ms")), "start\t24.6\tms");
        assert_eq!(shown(Row::new("turn", 0.1234, "ms")), "turn\t0.123\tms");
        assert_eq!(shown(Row::missing("rg", "rg is not on PATH")), "rg\t-\trg is not on PATH");
    }

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        assert_eq!(middle(vec![9.0, 1.0, 5.0]), 5.0);
        assert!(middle(Vec::new()).is_nan());
    }
}
