//! Session 7: a graph of tasks.

use std::process::ExitCode;

use clap::Subcommand;
use harness_cli::{App, Commands, columns, say};
use s07_task_system::{LESSON, NewTask, TaskBoard};

#[derive(Subcommand)]
enum Command {
    /// Adds a task and prints its id
    Add(NewTask),
    /// Draws the graph
    List,
}

fn main() -> ExitCode {
    harness_cli::main_with(LESSON, async |agent, Commands { command }: Commands<Command>| {
        let board = TaskBoard::open(agent.cwd.join(TaskBoard::FILE));
        let said = match command {
            Some(Command::Add(new)) => board.change(|graph| Ok(graph.create(&new)?.id.clone()))?,
            Some(Command::List) => board.load()?.draw(columns()),
            None => return Ok(board.join(agent.into())),
        };
        say(said)?;
        Ok(App::done(agent, ExitCode::SUCCESS))
    })
}
