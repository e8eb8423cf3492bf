//! How many tasks a second are put on a board, and taken from it; run by `cargo xtask bench`.
#![expect(clippy::unwrap_used, reason = "a measurement, run by hand")]

use std::time::Instant;

use harness_testkit::{Row, measure::milliseconds};
use s07_task_system::{NewTask, Status, TaskBoard, Update};

const TASKS: usize = 500;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let board = TaskBoard::open(folder.path().join(TaskBoard::FILE));
    let rate = |name: &str, each: &dyn Fn(usize)| {
        let begun = Instant::now();
        (0..TASKS).for_each(each);
        Row::new(name, TASKS as f64 / begun.elapsed().as_secs_f64(), "1/s").print();
    };
    rate("board, tasks created", &|at| {
        let new = serde_json::json!({"description": format!("task {at}: do what is to be done")});
        let new: NewTask = serde_json::from_value(new).unwrap();
        board.change(|graph| graph.create(&new).map(drop)).unwrap();
    });
    // As a worker takes one: what is next, and that it is in progress, in one step.
    rate("board, tasks claimed", &|_| {
        let claim = board.change(|graph| {
            let task_id = graph.ready()[0].id.clone();
            graph.update(&Update { task_id, status: Status::InProgress, result: None }).map(drop)
        });
        claim.unwrap();
    });
    let load = milliseconds(101, || board.load().unwrap());
    Row::new(format!("board of {TASKS} tasks, loaded"), load, "ms").print();
}
