//! Measures the harness itself, in release: its start, its turns, its memory, what it reads and decides.
//! Prints rows for the table of `cargo xtask bench`, which runs it.
//!
//! The sessions are measured as a user runs them: a process against a server on loopback.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a measurement, run by hand"
)]

mod instructions;
mod server;
mod work;

use std::io::{Read, Write};
use std::process::Command;
use std::time::Instant;

use harness_core::permission::Rules;
use harness_testkit::Row;
use harness_testkit::measure::{middle, milliseconds};
use serde_json::{Value, json};

use server::{Server, Session, call, text};

const S01: &str = "s01_perception_action_loop";
const ROUND_TRIPS: usize = 200;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [first, what, times] = args.as_slice()
        && first == instructions::DO
    {
        return instructions::work(what, times.parse().unwrap());
    }
    for (row, name, goal) in [("s01", S01, 10.0), ("harness", "harness", 20.0)] {
        let took = milliseconds_of_starts(name);
        Row::new(format!("start to first request, {row}"), took, "ms").under(goal).print();
    }

    let trip = round_trip();
    Row::new("a bare round trip on loopback", trip, "ms").print();
    let todo = turns("s03_todo_write", "todo_read", json!({}), 520);
    for (at, goal) in [(10, 0.3), (100, 0.3), (500, 0.6)] {
        let own = around(&todo.turns, at) - trip;
        Row::new(format!("a turn's own cost at turn {at}, s03"), own, "ms").under(goal).print();
    }
    let shell =
        milliseconds(201, || Command::new("/bin/bash").args(["-c", "true"]).status().unwrap());
    Row::new("bash -c true by itself", shell, "ms").print();
    let bash = turns(S01, "bash", json!({"command": "true"}), 520);
    Row::new("a turn with bash at turn 500, s01", around(&bash.turns, 500), "ms").print();

    let fifty = |name| turns(name, "bash", json!({"command": "true"}), 50);
    let whole = fifty("harness");
    Row::new("a turn with bash at turn 40, harness", around(&whole.turns, 40), "ms").print();

    Row::new("peak memory, 50 turns, s01", fifty(S01).peak, "MB").under(12.0).print();
    Row::new("peak memory, 520 turns, s01", bash.peak, "MB").print();
    Row::new("peak memory, 50 turns, harness", whole.peak, "MB").print();

    let stream = work::stream(100_000);
    let took = milliseconds(7, || work::parse(&stream));
    Row::new("SSE, bytes to message", stream.len() as f64 / 1000.0 / took, "MB/s")
        .over(200.0)
        .print();

    let load = milliseconds(11, || Rules::built_in().unwrap());
    Row::new("permission rules, compiled", load, "ms").print();
    for ((name, line), goal) in work::lines().into_iter().zip([1.0, 50.0]) {
        let took = milliseconds(21, work::decision(line));
        Row::new(format!("permission decision, {name}"), took, "ms").under(goal).print();
    }

    instructions::rows();
}

/// From the start of a program to its first request, in the middle of twenty-one.
fn milliseconds_of_starts(name: &str) -> f64 {
    let start = || {
        let begun = Instant::now();
        let mut session = Session::start(&[], name);
        session.server.request();
        let took = begun.elapsed().as_secs_f64() * 1000.0;
        session.end();
        took
    };
    harness_testkit::measure::median(21, start)
}

/// One run of a session: the milliseconds from each answer to the next request, and the most memory it had.
struct Run {
    turns: Vec<f64>,
    peak: f64,
}

/// `count` replies that call the tool, then one that does not.
fn turns(name: &str, tool: &str, input: Value, count: usize) -> Run {
    let mut session = Session::start(&[], name);
    session.server.request();
    let mut turns = Vec::with_capacity(count);
    for turn in 0..count {
        let answer = call(turn, tool, &input);
        let begun = Instant::now();
        session.server.answer(&answer);
        session.server.request();
        turns.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    let peak = session.peak();
    session.end();
    Run { turns, peak }
}

/// What an answer and a request cost without any client: the smallest one there can be.
fn round_trip() -> f64 {
    let mut server = Server::start();
    let mut socket = server.connect();
    let client = std::thread::spawn(move || {
        socket.set_nodelay(true).unwrap();
        let mut buffer = [0; 4096];
        for _ in 0..=ROUND_TRIPS {
            socket.write_all(b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n").unwrap();
            let _ = socket.read(&mut buffer).unwrap();
        }
    });
    server.request();
    let answer = text();
    let trip = milliseconds(ROUND_TRIPS, || {
        server.answer(&answer);
        server.request();
    });
    server.answer(&answer);
    client.join().unwrap();
    trip
}

/// The median of the twenty-one turns around this one.
fn around(turns: &[f64], at: usize) -> f64 {
    middle(turns[at.saturating_sub(10)..(at + 11).min(turns.len())].to_vec())
}
