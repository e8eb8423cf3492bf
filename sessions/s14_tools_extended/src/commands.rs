//! Behind the lesson: `:checkpoints`, `:undo` and `:redo`: whole checkpoints, by the person at the prompt.

use anyhow::{Result, ensure};
use harness_app::App;
use harness_cli::cut;
use harness_core::Chat;
use harness_core::host::text;

use crate::{Checkpoint, Direction, open, restore};

/// Adds the commands to the prompt line.
pub(crate) fn add(app: App) -> App {
    app.quick("checkpoints", "what was changed, a line a prompt", |chat, _| list(chat))
        .quick("undo", "takes back what was changed for the last prompt", |chat, args| {
            go(chat, args, Direction::Undo)
        })
        .quick("redo", "brings back what was undone", |chat, args| go(chat, args, Direction::Redo))
}

fn list(chat: &Chat) -> Result<String> {
    let (_, store) = open(&chat.agent.cwd)?;
    let checkpoints = store.history()?.checkpoints;
    if checkpoints.is_empty() {
        return Ok("nothing was changed yet".to_owned());
    }
    let mut lines = Vec::new();
    for checkpoint in &checkpoints {
        let undone = if checkpoint.undone { "  undone" } else { "" };
        lines.push(format!("{}{undone}", line(checkpoint)));
    }
    Ok(lines.join("\n"))
}

/// One checkpoint: its number, the prompt, the paths.
fn line(checkpoint: &Checkpoint) -> String {
    let steps = checkpoint.steps(Direction::Redo);
    let paths: Vec<_> = steps.iter().map(|step| step.path.to_string_lossy()).collect();
    let paths = cut(&text::visible(&paths.join(", ")), 200);
    format!("{} {} ({paths})", checkpoint.number, checkpoint.prompt)
}

/// Goes one checkpoint back or forth, and lets the model know: what it has read of these files is old.
fn go(chat: &mut Chat, args: &str, direction: Direction) -> Result<String> {
    let (name, word, done) = match direction {
        Direction::Undo => ("undo", "undone", "taken back"),
        Direction::Redo => ("redo", "redone", "brought back"),
    };
    ensure!(args.is_empty(), ":{name} goes by whole checkpoints; for one file, ask for revert");
    let (workspace, store) = open(&chat.agent.cwd)?;
    let line = store.update(|history| {
        let Some(checkpoint) = history.next(direction) else { return Ok(None) };
        let steps = checkpoint.steps(direction);
        restore(&workspace, &steps, &store.blobs).map_err(|why| why.to_string())?;
        checkpoint.undone = direction == Direction::Undo;
        Ok(Some(line(checkpoint)))
    })?;
    let Some(line) = line else { return Ok(format!("there is nothing to be {word}")) };
    chat.conversation.remind(format!("The user has {done} these changes to files:\n{line}"));
    Ok(format!("{word}: {line}"))
}
