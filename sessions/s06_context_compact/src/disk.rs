//! Behind the lesson, what the disk remembers: the whole of what left the window, and the memory across sessions.

use std::path::Path;

use harness_core::Agent;
use harness_core::host::own_paths::{self, OwnPath};
use harness_core::host::text;
use harness_core::host::workspace::{Workspace, WorkspaceError};

/// The memory across sessions, in the workspace.
pub const MEMORY: &str = own_paths::MEMORY.name;

/// Files that stand in the system prompt, where no fold touches them, and what each is.
const STANDING: [(&str, &str); 3] = [
    ("AGENTS.md", "What the owners of this workspace tell agents"),
    ("CLAUDE.md", "What the owners of this workspace tell agents"),
    (MEMORY, "What you noted in earlier sessions; check it before you rely on it"),
];
/// State of other mechanisms, which a summary must not retell: the harness copies it.
const STATE: [OwnPath; 2] = [own_paths::PLANS, own_paths::BOARD];
/// How many bytes are read of each state file, and of the memory.
const MAX_STATE: usize = 8_000;
/// How many bytes are read of what the owners tell agents. They stand in every request.
const MAX_INSTRUCTIONS: usize = 40_000;

/// Stores the whole text in a file, and returns the path.
pub(crate) fn store(agent: &Agent, text: &str) -> Result<String, WorkspaceError> {
    let path = Workspace::open(&agent.cwd)?.store_text("compacted", &agent.secrets.mask(text))?;
    Ok(path.display().to_string())
}

/// Stores the whole text, and returns what stands in its place: where it is, its beginning and its end.
pub(crate) fn stub(agent: &Agent, text: &str) -> Result<String, WorkspaceError> {
    let path = store(agent, text)?;
    let part = text::clip(text, 160, 160);
    Ok(format!("[{} bytes were put away to make room; all of it is in {path}]\n{part}", text.len()))
}

/// Adds a summary to the memory, under its date. What is there stays, byte for byte.
pub(crate) fn remember(agent: &Agent, summary: &str) -> Result<(), WorkspaceError> {
    let entry = format!("# {}\n\n{summary}\n", jiff::Zoned::now().date());
    Workspace::open(&agent.cwd)?.update(MEMORY, |old| {
        let mut bytes = old.map_or_else(Vec::new, |old| [old, b"\n".to_vec()].concat());
        bytes.extend_from_slice(agent.secrets.mask(&entry).as_bytes());
        Ok(bytes)
    })
}

/// What earlier sessions and the owners of the workspace have to say: a block of system prompt each.
pub(crate) fn standing(cwd: &Path) -> Result<Vec<String>, WorkspaceError> {
    let mut blocks: Vec<String> = Vec::new();
    for (name, what) in STANDING {
        let Some(text) = read(cwd, name)? else { continue };
        let text = match name {
            MEMORY => newest(&text).into(),
            _ => text::clip(&text, MAX_INSTRUCTIONS * 3 / 4, MAX_INSTRUCTIONS / 4),
        };
        // One of the two is often a link to the other.
        if !blocks.iter().any(|block| block.ends_with(&*text)) {
            blocks.push(format!("{what} ({name}):\n\n{text}"));
        }
    }
    Ok(blocks)
}

/// The state files that are there, word for word.
pub(crate) fn state(cwd: &Path) -> Result<String, WorkspaceError> {
    let mut copies = String::new();
    for OwnPath { name, .. } in STATE {
        if let Some(text) = read(cwd, name)? {
            let text = text::clip(&text, MAX_STATE / 4, MAX_STATE * 3 / 4);
            copies.push_str(&format!("\n\n{name}, copied as it is on disk:\n{text}"));
        }
    }
    Ok(copies)
}

/// The last entries of the memory, as many whole ones as fit; of a longer one its end.
fn newest(memory: &str) -> &str {
    let from = memory.ceil_char_boundary(memory.len().saturating_sub(MAX_STATE));
    match memory[from..].find("\n# ") {
        Some(at) if from > 0 => &memory[from + at + 1..],
        _ => &memory[from..],
    }
}

fn read(cwd: &Path, name: &str) -> Result<Option<String>, WorkspaceError> {
    let bytes = Workspace::open(cwd)?.read(name)?.unwrap_or_default();
    let text = text::strip(String::from_utf8_lossy(&bytes).trim()).into_owned();
    Ok(Some(text).filter(|text| !text.is_empty()))
}
