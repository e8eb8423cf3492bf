//! What this session adds to a task of s07's board.

use s07_task_system::Task;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Fields of a task that workers use. s07 keeps them in the task's `rest`, without knowing them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkFields {
    /// How often the task was tried.
    #[serde(default)]
    pub attempts: u64,
    /// A shell line that succeeds when the task is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
}

impl WorkFields {
    /// The fields of a task; a task that only s07 has seen has none yet.
    ///
    /// # Errors
    /// A field is there and cannot be read. Without its check a task would count as done unproven, so it is
    /// not worked on.
    pub fn of(task: &Task) -> Result<Self, String> {
        let fields = Value::Object(task.rest.clone());
        serde_json::from_value(fields).map_err(|why| {
            format!("task {} cannot be worked on, correct it on the board: {why}", task.id)
        })
    }

    /// Writes the fields into a task. What others have added to it stays.
    ///
    /// # Errors
    /// None that is known: both fields have a JSON form.
    pub fn write(&self, task: &mut Task) -> Result<(), String> {
        let fields = serde_json::to_value(self).map_err(|why| why.to_string())?;
        if let Value::Object(fields) = fields {
            task.rest.extend(fields);
        }
        Ok(())
    }
}
