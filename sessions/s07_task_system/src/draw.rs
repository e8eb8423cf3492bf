//! The graph as text, for people and models alike. The harness draws it, so it always tells the truth.

use std::fmt;

use harness_cli::{Node, cut, tree};
use harness_core::host::text;

use crate::{Graph, Status, Task, Waits};

/// Of a larger graph what is done is not drawn.
const LARGE: usize = 200;

impl Graph {
    /// As a tree: below a task stands what waits for it.
    pub fn draw(&self, columns: usize) -> String {
        let mut shown = self.waits().unwrap_or_default();
        shown.retain(|waits| self.tasks.len() <= LARGE || waits.task.status != Status::Done);
        let node = |Waits { task, failed, .. }: &_| Node {
            name: &task.id,
            after: &task.depends_on,
            text: format!("[{}] {task}", [' ', '>', 'x', '!'][task.status as usize]),
            note: failed.map_or_else(String::new, |by| format!("blocked by {}", by.id)),
        };
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

/// As the tools spell it.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(["pending", "in_progress", "done", "failed"][*self as usize])
    }
}

/// On one line: its id, how urgent it is, what is to do, and of a failed one why.
impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = self.result.iter().filter(|_| self.status == Status::Failed);
        let words = why.fold(self.description.clone(), |words, why| words + ": " + why);
        let urgent = ["high: ", "", "low: "][self.priority as usize];
        write!(f, "{} {urgent}{}", self.id, cut(&text::strip(&words), 200))
    }
}
