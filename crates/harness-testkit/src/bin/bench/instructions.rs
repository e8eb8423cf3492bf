//! How many instructions something takes: the same on a busy machine as on an idle one, where time is not.
//!
//! Valgrind counts those of a whole run. So each thing is done often and oftener, and the difference
//! counts: what the start and the end of a program take falls out.

use std::process::{Command, Stdio};

use harness_testkit::Row;
use serde_json::json;

use crate::server::{Session, call};
use crate::work;

const VALGRIND: [&str; 3] = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"];
/// What this program does instead of measuring when it is counted: `--do WHAT TIMES`.
pub(crate) const DO: &str = "--do";
const SSE: &str = "SSE, a piece of 50 bytes";

pub(crate) fn rows() {
    let found = Command::new(VALGRIND[0]).arg("--version").stdout(Stdio::null()).status();
    if found.is_err() {
        let why = "no valgrind on PATH";
        return Row::missing("instructions: turns, decisions, SSE", why).print();
    }
    for at in [10, 100, 500] {
        let (from, to) = (at - 5, at + 5); // what only the first turn takes is in both
        let each = (session(to) - session(from)) / (to - from) as f64;
        Row::new(format!("instructions: turn {at}, s03"), each / 1000.0, "k").print();
    }
    let [(short, _), (long, _)] = work::lines();
    for (what, times) in [(short, 50), (long, 2), (SSE, 2000)] {
        let each = (this(what, 2 * times) - this(what, times)) / times as f64;
        let name = if what == SSE { what.to_owned() } else { format!("permission, {what}") };
        Row::new(format!("instructions: {name}"), each / 1000.0, "k").print();
    }
}

/// The work to be counted.
pub(crate) fn work(what: &str, times: usize) {
    if what == SSE {
        return work::parse(&work::stream(times));
    }
    let line = work::lines().into_iter().find(|(name, _)| *name == what).unwrap().1;
    let decide = work::decision(line);
    (0..times).for_each(|_| decide());
}

/// Those of this program while it does something so often.
fn this(what: &str, times: usize) -> f64 {
    let mut run = Command::new(VALGRIND[0]);
    run.args(&VALGRIND[1..]).arg(std::env::current_exe().unwrap());
    let output = run.args([DO, what, &times.to_string()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    collected(&String::from_utf8_lossy(&output.stderr))
}

/// Those of a session of so many turns.
fn session(turns: usize) -> f64 {
    let mut session = Session::start(&VALGRIND, "s03_todo_write");
    session.server.request();
    for turn in 0..turns {
        session.server.answer(&call(turn, "todo_read", &json!({})));
        session.server.request();
    }
    collected(&session.end())
}

/// `==1234== Collected : 56789`.
fn collected(said: &str) -> f64 {
    let line = said.lines().find_map(|line| line.split_once("Collected :"));
    line.and_then(|(_, count)| count.trim().parse().ok()).expect("valgrind says what it counted")
}
