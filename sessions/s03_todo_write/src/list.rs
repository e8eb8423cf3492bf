//! The list itself: what a plan is, and which changes it allows.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use harness_core::host::own_paths;
use harness_core::host::text;
use harness_core::{StateError, StateFile};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most tasks of a plan. A longer one is no plan.
const MOST: usize = 100;
/// The most characters of a task.
const LONGEST: usize = 200;
/// How many sessions' plans the file keeps.
const SESSIONS: usize = 20;

/// How far a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "a comment on a variant would clutter the schema that the model reads"
)]
pub enum Status {
    Pending,
    InProgress,
    Done,
}

/// One line of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its number. Given once, kept through every rewrite.
    pub id: usize,
    /// What is to do.
    pub text: String,
    /// How far it is.
    pub status: Status,
}

/// A plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    tasks: Vec<Task>,
    /// Which session's plan it is; made when it is first saved.
    session: Option<String>,
    given: usize,
}

impl List {
    /// The tasks, in order.
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// Whether something is left to do.
    pub fn is_unfinished(&self) -> bool {
        self.tasks.iter().any(|task| task.status != Status::Done)
    }

    /// Puts these tasks in place of the old ones. Says what came and what went.
    ///
    /// # Errors
    /// The new list is no plan; the old one stays.
    pub fn rewrite(&mut self, texts: &[String]) -> Result<String, String> {
        let left = self.tasks.iter().filter(|task| task.status != Status::Done).count();
        if texts.is_empty() && left > 0 {
            return Err(format!(
                "an empty list would drop {left} unfinished tasks; name what is left to do"
            ));
        }
        if texts.len() > MOST {
            return Err(format!(
                "{} tasks are too many for a plan; write at most {MOST}",
                texts.len()
            ));
        }
        let mut new: Vec<Task> = Vec::new();
        let mut given = self.given;
        for text in texts {
            let text = plain(text)?;
            if new.iter().any(|task| task.text == text) {
                return Err(format!("“{text}” is in the list twice"));
            }
            let known = self.tasks.iter().find(|task| task.text == text).cloned();
            new.push(known.unwrap_or_else(|| {
                given += 1;
                Task { id: given, text, status: Status::Pending }
            }));
        }
        let count = |in_this: &[Task], not_in: &[Task]| {
            in_this.iter().filter(|task| !not_in.iter().any(|other| other.id == task.id)).count()
        };
        let (came, went) = (count(&new, &self.tasks), count(&self.tasks, &new));
        (self.tasks, self.given) = (new, given);
        Ok(format!("{came} new, {went} dropped"))
    }

    /// Sets a task's status.
    ///
    /// # Errors
    /// There is no such task, or another one is in progress.
    pub fn update(&mut self, id: usize, status: Status) -> Result<String, String> {
        let busy =
            self.tasks.iter().find(|task| task.status == Status::InProgress && task.id != id);
        if let (Status::InProgress, Some(busy)) = (status, busy) {
            return Err(format!("task {} ({}) is in progress; one at a time", busy.id, busy.text));
        }
        let numbers: Vec<usize> = self.tasks.iter().map(|task| task.id).collect();
        let task = self.tasks.iter_mut().find(|task| task.id == id);
        let task = task.ok_or_else(|| format!("there is no task {id} in {numbers:?}"))?;
        task.status = status;
        Ok(format!("task {id} is {}", status.word()))
    }

    /// What was in progress is pending again.
    pub fn put_down(&mut self) {
        for task in &mut self.tasks {
            if task.status == Status::InProgress {
                task.status = Status::Pending;
            }
        }
    }

    /// Writes the plan into `.agent_todo.json`, beside the plans of other sessions, which stay.
    ///
    /// # Errors
    /// The file cannot be written, or is damaged; its bytes stay as they are.
    pub fn save(&mut self, folder: &Path) -> Result<(), StateError> {
        let session = self.session.get_or_insert_with(new_session).clone();
        let file: StateFile<BTreeMap<String, Vec<Task>>> =
            StateFile::new(own_paths::PLANS.in_workspace(folder));
        file.change(|plans| {
            plans.insert(session, self.tasks.clone());
            while plans.len() > SESSIONS {
                plans.pop_first(); // names begin with the time, so the first is the oldest
            }
            Ok(())
        })
    }
}

/// A name for this session that sorts behind all earlier ones.
fn new_session() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}", now.as_nanos(), std::process::id())
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::InProgress => "in progress",
            Status::Done => "done",
        }
    }

    fn mark(self) -> char {
        match self {
            Status::Pending => ' ',
            Status::InProgress => '>',
            Status::Done => 'x',
        }
    }
}

/// The plan as people and models read it. The harness draws it, so it always tells the truth.
impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tasks.is_empty() {
            return f.write_str("(no plan)");
        }
        let lines = self.tasks.iter().map(|t| format!("[{}] {} {}", t.status.mark(), t.id, t.text));
        f.write_str(&lines.collect::<Vec<_>>().join("\n"))
    }
}

/// One line, without control sequences.
fn plain(text: &str) -> Result<String, String> {
    let text = text::strip(text).split_whitespace().collect::<Vec<_>>().join(" ");
    match text.chars().count() {
        0 => Err("a task without words".to_owned()),
        n if n > LONGEST => {
            Err(format!("a task of {n} characters; a plan's line has at most {LONGEST}"))
        }
        _ => Ok(text),
    }
}
