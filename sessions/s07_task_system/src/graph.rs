//! The graph: what a task is, which moves it can make, and what keeps it from its start.

use Status::{Done, Failed, InProgress, Pending};
use clap::{Args, ValueEnum};
use harness_core::host::{ids, text};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::order::order;

/// How far a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "it would clutter the schema that the model reads")]
pub enum Status {
    Pending,
    InProgress,
    Done,
    Failed,
}

/// The moves that a task can make, and what they are called. What is not in this table is refused.
pub const MOVES: [(Status, Status, &str); 6] = [
    (Pending, InProgress, "start"),
    (Pending, Failed, "give up"),
    (InProgress, Done, "finish"),
    (InProgress, Failed, "fail"),
    (InProgress, Pending, "put back"),
    (Failed, Pending, "retry"),
];

/// Which of several tasks comes first: the smallest.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    ValueEnum,
)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "it would clutter the schema that the model reads")]
pub enum Priority {
    High,
    #[default]
    Medium,
    Low,
}

/// What is needed to make a task.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Args)]
#[serde(deny_unknown_fields)]
pub struct NewTask {
    /// What is to do
    pub description: String,
    /// The ids of the tasks that must be done before
    #[serde(default)]
    #[arg(long = "after", value_name = "ID")]
    pub depends_on: Vec<String>,
    /// Which of several tasks comes first
    #[serde(default)]
    #[arg(long, value_enum, default_value_t)]
    pub priority: Priority,
}

/// What is needed to move one.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Update {
    /// The task's id, or as much of its beginning as no other id has
    pub task_id: String,
    /// Its new status
    pub status: Status,
    /// What came of it, for the tasks that wait for it; or why it failed
    pub result: Option<String>,
}

/// One node of the graph.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task {
    /// Given once; good as the name of a file.
    pub id: String,
    /// What is to do.
    pub description: String,
    /// How far it is.
    pub status: Status,
    /// Which of several comes first.
    #[serde(default)]
    pub priority: Priority,
    /// The ids of the tasks that must be done before.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// What came of it, or why it failed. Kept through a retry, for whoever tries.
    pub result: Option<String>,
    /// Fields that others have added. Kept.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What keeps a task from its start.
#[derive(Clone, Debug)]
pub struct Waits<'a> {
    /// The task.
    pub task: &'a Task,
    /// Those right before it that are not done.
    pub on: Vec<&'a Task>,
    /// One before it, perhaps some steps away, that failed: nothing moves until it is retried.
    pub failed: Option<&'a Task>,
}

/// All tasks, the oldest first. No clock is asked: the place in the list is the age.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Graph {
    /// The tasks. A board checks what was done to them before it keeps them.
    pub tasks: Vec<Task>,
}

impl Graph {
    /// Adds a task.
    ///
    /// # Errors
    /// It has no words, or depends on what is not there.
    pub fn create(&mut self, new: &NewTask) -> Result<&Task, String> {
        let description = text::strip(&new.description).trim().to_owned();
        if description.is_empty() {
            return Err("a task without words".to_owned());
        }
        let whole_id = |prefix: &String| Ok(self.tasks[self.find(prefix)?].id.clone());
        let depends_on = new.depends_on.iter().map(whole_id).collect::<Result<_, String>>()?;
        let id = ids::fresh(|id| self.find(id).is_ok());
        self.tasks.push(Task {
            id,
            description,
            status: Pending,
            priority: new.priority,
            depends_on,
            result: None,
            rest: Map::new(),
        });
        Ok(&self.tasks[self.tasks.len() - 1])
    }

    /// Moves a task to another status, and keeps what came of it.
    ///
    /// # Errors
    /// There is no such move, or the task cannot start yet.
    pub fn update(&mut self, update: &Update) -> Result<&Task, String> {
        let place = self.find(&update.task_id)?;
        let to = update.status;
        let Task { id, status: from, .. } = &self.tasks[place];
        if !MOVES.iter().any(|(start, end, _)| (start, end) == (from, &to)) {
            let open = MOVES.iter().filter(|(start, ..)| start == from);
            let open: String = open.map(|(_, end, verb)| format!("; {verb}: {end}")).collect();
            return Err(format!("{id} is {from} and cannot become {to}{open}"));
        }
        let Waits { on, failed, .. } = self.waits()?.swap_remove(place);
        let blocker = failed.or(on.first().copied());
        if to == InProgress
            && let Some(by) = blocker
        {
            return Err(format!("{id} cannot start: it waits for {by}, which is {}", by.status));
        }
        let task = &mut self.tasks[place];
        task.status = to;
        // Both ends of a long one: what went wrong is often said last.
        let kept = |result: &String| text::clip(&text::strip(result), 4000, 4000).into_owned();
        task.result = update.result.as_ref().map(kept).or(task.result.take());
        Ok(task)
    }

    /// The place of the one task whose id begins so.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub fn find(&self, prefix: &str) -> Result<usize, String> {
        ids::find(prefix, self.tasks.iter().map(|task| task.id.as_str()))
    }

    /// What can be started now: by priority, and of one priority the oldest first.
    pub fn ready(&self) -> Vec<&Task> {
        let mut ready = self.waits().unwrap_or_default();
        ready.retain(|waits| waits.task.status == Pending && waits.on.is_empty());
        ready.sort_by_key(|waits| waits.task.priority);
        ready.into_iter().map(|waits| waits.task).collect()
    }

    /// What each task waits for, in the order of the list.
    ///
    /// # Errors
    /// This is no graph: an id that is none or stands there twice, an unknown one, a circle.
    pub fn waits(&self) -> Result<Vec<Waits<'_>>, String> {
        if let Some(task) = self.tasks.iter().find(|task| !ids::is_id(&task.id)) {
            return Err(format!("{:?} is no id of eight hexadecimal digits", task.id));
        }
        let tasks = self.tasks.iter().map(|task| (task.id.as_str(), task.depends_on.as_slice()));
        let order = order(tasks).map_err(|error| error.to_string())?;
        let all = self.tasks.iter().map(|task| Waits { task, on: Vec::new(), failed: None });
        let mut waits: Vec<Waits<'_>> = all.collect();
        // In this order a task comes after those before it, so what keeps them is known.
        for place in order.places {
            let before = order.before[place].iter().copied();
            let open: Vec<usize> =
                before.filter(|before| self.tasks[*before].status != Done).collect();
            let failed = open.iter().find_map(|before| match &self.tasks[*before] {
                task if task.status == Failed => Some(task),
                _ => waits[*before].failed,
            });
            waits[place].failed = failed;
            waits[place].on = open.iter().map(|before| &self.tasks[*before]).collect();
        }
        Ok(waits)
    }
}
