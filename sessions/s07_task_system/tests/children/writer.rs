//! A process that the tests start several times at once: it creates 200 tasks on the board of a folder, and
//! prints each id once the task is on disk.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a process of a test")]

use std::path::PathBuf;

use s07_task_system::{NewTask, TaskBoard};

fn main() {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap());
    let board = TaskBoard::open(folder.join(TaskBoard::FILE));
    for n in 0..200 {
        let description = format!("{} {n}", std::process::id());
        let new = NewTask { description, ..NewTask::default() };
        let id = board.change(|graph| graph.create(&new).map(|task| task.id.clone())).unwrap();
        println!("{id}");
    }
}
