//! Claims: who does which task of a board. All of it under the board's lock, so two never do one.

use std::path::PathBuf;
use std::time::Duration;

use harness_core::host::own_paths;
use harness_core::host::ownership::lease::{Lease, Leases, Owner, Table};
use harness_core::host::workspace::{Workspace, WorkspaceError};
use harness_core::{Agent, StateError};
use s07_task_system::{Graph, Status, Task, TaskBoard, Update};

use crate::fields::WorkFields;

/// How often a task is tried before it counts as failed.
pub const MAX_ATTEMPTS: u64 = 3;

/// A board whose tasks are done by workers. Clones share it.
#[derive(Clone, Debug)]
pub struct Claims {
    /// The board of s07. A task here has more fields: [`WorkFields`].
    pub board: TaskBoard,
    /// Its file.
    pub file: PathBuf,
    /// The leases beside it, in `.agent_tasks.leases.json`.
    pub leases: Leases,
}

/// A task that belongs to one worker while it holds the lease on it.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The task, as it was when it was claimed.
    pub task: Task,
    /// Which attempt this is, from 1 on.
    pub attempt: u64,
    /// The command that decides whether the task is done.
    pub check: Option<String>,
    /// What came of the tasks before it.
    pub before: Vec<Task>,
}

impl Claim {
    /// All that a worker is told: it has not seen the conversation that the task comes from.
    pub fn words(&self) -> String {
        let mut words = self.task.description.clone();
        for task in &self.before {
            let result = task.result.as_deref().unwrap_or("done");
            words += &format!("\n\nBefore this, {}: {result}", task.description);
        }
        if let Some(check) = &self.check {
            words += &format!("\n\nIt is done when this succeeds: {check}");
        }
        if let Some(why) = &self.task.result
            && self.attempt > 1
        {
            words += &format!("\n\nThis was tried before. {why}");
        }
        words
    }
}

/// What came of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, and its check has passed.
    Done(String),
    /// It did not work out, for this reason. It is tried again, unless that was the last attempt.
    Again(String),
    /// The worker was asked to stop. This was no attempt.
    Back,
}

/// What a worker finds.
#[derive(Debug)]
pub enum Found {
    /// A task of its own.
    Claim(Box<Claim>),
    /// Nothing yet, but others are at work.
    Wait,
    /// Nothing is left that anybody could do.
    Nothing,
}

impl Claims {
    /// The claims of an agent's workspace. A lease that is not renewed for `length` has expired.
    ///
    /// # Errors
    /// The workspace cannot be written.
    pub fn open(agent: &Agent, length: Duration) -> Result<Self, WorkspaceError> {
        let owners = Workspace::open(&agent.cwd)?.state_dir()?.join("workers");
        let file = agent.cwd.join(TaskBoard::FILE);
        let board = TaskBoard::open(&file);
        let leases = Leases::new(own_paths::LEASES.in_workspace(&agent.cwd), owners, length);
        Ok(Self { board, file, leases })
    }

    /// Claims the most urgent task that can be started. Expired leases are taken back first.
    ///
    /// # Errors
    /// A file cannot be used; it stays as it is.
    pub fn claim(&self, owner: &Owner) -> Result<Found, StateError> {
        let (graph, table) = (self.board.load()?, self.leases.load()?);
        let has_expired = |task| self.expired_because(task, &table).is_some();
        if graph.ready().is_empty() && !graph.tasks.iter().any(has_expired) {
            let busy = graph.tasks.iter().any(|task| task.status == Status::InProgress);
            return Ok(if busy { Found::Wait } else { Found::Nothing });
        }
        // The leases are written first. After a kill between the two files there is a lease on a task that
        // is not in progress, and that is nobody's.
        let claim = |graph: &mut Graph, table: &mut Table| {
            self.take_back(graph, table)?;
            let Some(id) = graph.ready().first().map(|task| task.id.clone()) else {
                return Ok(Found::Wait);
            };
            let at = graph.find(&id)?;
            let mut fields = WorkFields::of(&graph.tasks[at])?;
            fields.attempts += 1;
            fields.write(&mut graph.tasks[at])?;
            let task = graph.update(&to(&id, Status::InProgress, None))?.clone();
            table.insert(id, owner.lease());
            let before = graph.tasks.iter().filter(|other| task.depends_on.contains(&other.id));
            Ok(Found::Claim(Box::new(Claim {
                attempt: fields.attempts,
                check: fields.check,
                before: before.cloned().collect(),
                task,
            })))
        };
        self.board.change(|graph| {
            self.leases.change(|table| claim(graph, table)).map_err(|why| why.to_string())
        })
    }

    /// Ends a claim, and says what became of the task.
    ///
    /// # Errors
    /// The lease was lost meanwhile: then the task is another one's, and nothing is changed. Or a file
    /// cannot be used.
    pub fn end(
        &self,
        claim: &Claim,
        owner: &Owner,
        outcome: Outcome,
    ) -> Result<Status, StateError> {
        let id = &claim.task.id;
        let own = |lease: &Lease| lease.owner == owner.id;
        // The board is written first, for the same reason.
        let status = self.board.change(|graph| {
            let table = self.leases.load().map_err(|why| why.to_string())?;
            let at = graph.tasks.iter().position(|task| task.id == *id && in_progress(task));
            let Some(at) = at.filter(|_| table.get(id).is_some_and(own)) else {
                return Err(format!("{id} was taken from {}; its work does not count", owner.id));
            };
            match outcome {
                Outcome::Done(result) => {
                    Ok(graph.update(&to(id, Status::Done, Some(result)))?.status)
                }
                Outcome::Again(why) => again(graph, id, claim.attempt, why),
                Outcome::Back => {
                    let mut fields = WorkFields::of(&graph.tasks[at])?;
                    fields.attempts = claim.attempt - 1;
                    fields.write(&mut graph.tasks[at])?;
                    Ok(graph.update(&to(id, Status::Pending, None))?.status)
                }
            }
        })?;
        self.leases
            .change(|table| Ok(table.extract_if(.., |of, it| of == id && own(it)).count()))?;
        Ok(status)
    }

    /// Puts back what dead and silent workers had. A lease goes when its task is not in progress any more:
    /// on disk, since a kill may come before the board is written.
    fn take_back(&self, graph: &mut Graph, table: &mut Table) -> Result<(), String> {
        let kept = |id: &String| graph.tasks.iter().any(|task| task.id == *id && in_progress(task));
        for (_, lease) in table.extract_if(.., |id, _| !kept(id)) {
            self.leases.forget(&lease.owner);
        }
        let expired = |task: &Task| {
            let why = self.expired_because(task, table)?;
            Some((task.id.clone(), attempts(task), why))
        };
        let expired: Vec<_> = graph.tasks.iter().filter_map(expired).collect();
        for (id, attempt, why) in expired {
            if let Some(lease) = table.get(&id) {
                self.leases.forget(&lease.owner);
            }
            again(graph, &id, attempt, why.to_owned())?;
        }
        Ok(())
    }

    /// Why the lease on a task in progress has expired, if it has. A task without a lease was begun by a
    /// person, or by an agent that does not use leases; it is left alone.
    fn expired_because(&self, task: &Task, table: &Table) -> Option<&'static str> {
        let lease = table.get(&task.id).filter(|_| in_progress(task))?;
        self.leases.expired_because(&task.id, lease)
    }
}

fn in_progress(task: &Task) -> bool {
    task.status == Status::InProgress
}

/// Puts a task back, or gives it up.
fn again(graph: &mut Graph, id: &str, attempt: u64, why: String) -> Result<Status, String> {
    let why = format!("attempt {attempt} of {MAX_ATTEMPTS}: {why}");
    let status = if attempt < MAX_ATTEMPTS { Status::Pending } else { Status::Failed };
    Ok(graph.update(&to(id, status, Some(why)))?.status)
}

/// How often a task was tried; never, where that cannot be read.
fn attempts(task: &Task) -> u64 {
    WorkFields::of(task).unwrap_or_default().attempts
}

fn to(id: &str, status: Status, result: Option<String>) -> Update {
    Update { task_id: id.to_owned(), status, result }
}
