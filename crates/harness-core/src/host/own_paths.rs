//! The harness's own places in a workspace: where each kind of state lies, and who may write it.
//!
//! This is the only list of them. The gate reads from it what is never written without a question; walks,
//! searches and snapshots leave all of it out, because it changes while nobody works on the workspace.

use std::path::{Component, Path, PathBuf};

/// A place in a workspace that belongs to the harness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnPath {
    /// Its path, relative to the root of the workspace: a single name that begins with a dot.
    pub name: &'static str,
    /// Whether it is a file or a folder.
    pub shape: Shape,
    /// Whether the agent's file tools may write it.
    pub file_tools: FileTools,
}

/// What lies at a place of the harness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A file, and the ones beside it with a longer name: its lock, and what was set aside as damaged.
    File,
    /// A folder and everything in it.
    Folder,
}

/// Whether the agent's file tools may write a place of the harness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileTools {
    /// As any other path of the workspace.
    Allowed,
    /// Only after a question, whatever a rule allows.
    Asked,
}

/// The plans of the last sessions. The harness draws the plan that the user sees from its own state, so a
/// file that was edited by hand would tell another story.
pub const PLANS: OwnPath = file(".agent_todo.json");
/// The task board. Workers start what stands there, and run its checks.
pub const BOARD: OwnPath = file(".agent_tasks.json");
/// Who works on which task of the board. Whoever writes it can take work away from its owner.
pub const LEASES: OwnPath = file(".agent_tasks.leases.json");
/// The memory across sessions. It stands in the system prompt, so it speaks with the harness's voice.
pub const MEMORY: OwnPath = file(".agent_memory.md");
/// The log of events. It is evidence of what the agent did.
pub const EVENTS: OwnPath = file(".agent_events.log");
/// The mail of a team, a box for each agent. Whoever writes it speaks with another agent's voice.
pub const MAILBOXES: OwnPath = folder(".mailboxes", FileTools::Asked);
/// The saved conversations. Resumed, they speak with the user's voice.
pub const SESSIONS: OwnPath = folder(".sessions", FileTools::Asked);
/// The working trees of tasks. The one place where agents work as they do anywhere in a workspace, so their
/// file tools may write it. Searches of the user's checkout leave it out all the same: each tree is a copy of
/// everything.
pub const WORKTREES: OwnPath = folder(".worktrees", FileTools::Allowed);
/// Everything else: settings, hooks, servers, checkpoints, logs and stored output. Some of it names programs
/// to start.
pub const STATE: OwnPath = folder(".harness", FileTools::Asked);

/// All of them.
pub const ALL: [OwnPath; 9] =
    [PLANS, BOARD, LEASES, MEMORY, EVENTS, MAILBOXES, SESSIONS, WORKTREES, STATE];

/// Every name that begins so is ours too, also when it is not listed: another version of the harness may have
/// more files.
const FILE_PREFIX: &str = ".agent_";

impl OwnPath {
    /// Where it lies in the workspace with this root.
    pub fn in_workspace(&self, root: &Path) -> PathBuf {
        root.join(self.name)
    }

    fn is_at(&self, name: &[u8]) -> bool {
        match self.shape {
            Shape::File => name.starts_with(self.name.as_bytes()),
            Shape::Folder => name == self.name.as_bytes(),
        }
    }

    fn glob(&self) -> String {
        match self.shape {
            Shape::File => format!("{}*", self.name),
            Shape::Folder => format!("{}/**", self.name),
        }
    }
}

/// Whether a path, relative to the root of a workspace, belongs to git or to the harness.
pub fn is_own(path: impl AsRef<Path>) -> bool {
    let Some(Component::Normal(name)) = path.as_ref().components().next() else { return false };
    let name = name.as_encoded_bytes();
    name == b".git"
        || name.starts_with(FILE_PREFIX.as_bytes())
        || ALL.iter().any(|own| own.is_at(name))
}

/// Globs for the places that the agent's file tools may not write without a question.
pub(crate) fn protected_globs() -> Vec<String> {
    let asked = ALL.iter().filter(|own| own.file_tools == FileTools::Asked);
    let mut globs: Vec<String> = asked.map(OwnPath::glob).collect();
    globs.push(format!("{FILE_PREFIX}*"));
    globs
}

/// A file of the harness. None of them is for the agent's file tools.
const fn file(name: &'static str) -> OwnPath {
    OwnPath { name, shape: Shape::File, file_tools: FileTools::Asked }
}

const fn folder(name: &'static str, file_tools: FileTools) -> OwnPath {
    OwnPath { name, shape: Shape::Folder, file_tools }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_of_the_harness_is_its_own_with_all_that_lies_in_or_beside_it() {
        for own in ALL {
            assert!(is_own(own.name), "{}", own.name);
            let companion = match own.shape {
                Shape::File => format!("{}.lock", own.name),
                Shape::Folder => format!("{}/x", own.name),
            };
            assert!(is_own(&companion), "{companion}");
        }
        for own in [".git/config", ".agent_of_another_version"] {
            assert!(is_own(own), "{own}");
        }
        for other in ["", ".", "src/.harness", ".harness.md", ".gitignore", "agent_todo.json"] {
            assert!(!is_own(other), "{other}");
        }
    }

    #[test]
    fn agents_write_their_working_trees_and_nothing_else_of_the_harness() {
        let allowed: Vec<OwnPath> =
            ALL.into_iter().filter(|own| own.file_tools == FileTools::Allowed).collect();
        assert_eq!(allowed, [WORKTREES]);
        let globs = protected_globs();
        assert_eq!(
            globs.len(),
            ALL.len(),
            "all but the working trees, and the files by their prefix"
        );
        assert!(!globs.iter().any(|glob| glob.starts_with(WORKTREES.name)));
    }
}
