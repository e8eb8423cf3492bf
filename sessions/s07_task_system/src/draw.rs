//! Behind the lesson: the graph as text, for people and models alike. The harness draws it, so it always
//! tells the truth.

use std::fmt;

use harness_cli::cut;
use harness_core::host::text;

use crate::tree::{Node, tree};
use crate::{Graph, Priority, Status, Task, Waits};

/// In a graph of more tasks than this, those that are done are not drawn.
const LARGE: usize = 200;

impl Graph {
    /// As a tree: below a task stands what waits for it.
    pub fn draw(&self, columns: usize) -> String {
        let mut shown = self.waits().unwrap_or_default();
        shown.retain(|waits| self.tasks.len() <= LARGE || waits.task.status != Status::Done);
        let nodes: Vec<Node<'_>> = shown.iter().map(node).collect();
        let done = self.tasks.iter().filter(|task| task.status == Status::Done).count();
        format!("{done} of {} done\n{}", self.tasks.len(), tree(&nodes, columns))
    }

    /// What to do next, in full, with what came of the tasks before it; or why there is nothing.
    pub fn next(&self) -> String {
        let Some(task) = self.ready().first().copied() else {
            return format!("nothing can be started:\n{}", self.draw(200));
        };
        let mut text = format!("next is {}: {}", task.id, task.description);
        for done in self.tasks.iter().filter(|other| task.depends_on.contains(&other.id)) {
            text += &format!("\nafter {done}: {}", done.result.as_deref().unwrap_or("done"));
        }
        text
    }
}

fn node<'a>(waits: &Waits<'a>) -> Node<'a> {
    let task = waits.task;
    let mark = match task.status {
        Status::Pending => ' ',
        Status::InProgress => '>',
        Status::Done => 'x',
        Status::Failed => '!',
    };
    let note = match waits.failed {
        Some(failed) => format!("blocked by {}", failed.id),
        None => String::new(),
    };
    Node { name: &task.id, after: &task.depends_on, text: format!("[{mark}] {task}"), note }
}

/// As the tools spell it.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::InProgress => "in_progress",
            Self::Done => "done",
            Self::Failed => "failed",
        })
    }
}

/// On one line: its id, how urgent it is, what is to do, and of a failed one why.
impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urgency = match self.priority {
            Priority::High => "high: ",
            Priority::Medium => "",
            Priority::Low => "low: ",
        };
        let mut words = self.description.clone();
        if let (Status::Failed, Some(why)) = (self.status, &self.result) {
            words += ": ";
            words += why;
        }
        write!(f, "{} {urgency}{}", self.id, cut(&text::strip(&words), 200))
    }
}
