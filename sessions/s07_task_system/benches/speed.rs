//! How many tasks a second are put on a board, and taken from it; run by `cargo xtask bench`.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement, run by hand")]

use std::time::Instant;

use s07_task_system::{NewTask, Status, TaskBoard, Update};

const TASKS: usize = 500;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let board = TaskBoard::open(folder.path().join(TaskBoard::FILE));
    let rate = |name: &str, each: &dyn Fn(usize)| {
        let begun = Instant::now();
        (0..TASKS).for_each(each);
        println!("{name}\t{:.0}\t1/s", TASKS as f64 / begun.elapsed().as_secs_f64());
    };
    rate("board_creates", &|at| {
        let new = serde_json::json!({"description": format!("task {at}: do what is to be done")});
        let new: NewTask = serde_json::from_value(new).unwrap();
        board.change(|graph| graph.create(&new).map(drop)).unwrap();
    });
    // As a worker takes one: what is next, and that it is in progress, in one step.
    rate("board_claims", &|_| {
        let claim = board.change(|graph| {
            let task_id = graph.ready()[0].id.clone();
            graph.update(&Update { task_id, status: Status::InProgress, result: None }).map(drop)
        });
        claim.unwrap();
    });
    let begun = Instant::now();
    let loads = 100;
    (0..loads).for_each(|_| drop(board.load().unwrap()));
    println!(
        "board_load_500\t{:.3}\tms",
        begun.elapsed().as_secs_f64() * 1000.0 / f64::from(loads)
    );
}
