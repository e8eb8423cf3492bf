//! `:checkpoints`, `:undo` and `:redo`: whole checkpoints, by the person at the prompt.

use anyhow::{Result, ensure};
use harness_app::App;
use harness_cli::cut;
use harness_core::Chat;
use harness_core::host::text;
use harness_core::undo::{Checkpoint, Way};

use crate::open;

/// Adds the commands to the prompt line.
pub(crate) fn add(app: App) -> App {
    app.quick("checkpoints", "what was changed, a line a prompt", |chat, _| list(chat))
        .quick("undo", "takes back what was changed for the last prompt", |chat, args| {
            go(chat, args, Way::Back)
        })
        .quick("redo", "brings back what was undone", |chat, args| go(chat, args, Way::Forth))
}

fn list(chat: &Chat) -> Result<String> {
    let checkpoints = open(&chat.agent.cwd)?.1.history()?.checkpoints;
    let undone = |it: &Checkpoint| if it.undone { "  undone" } else { "" };
    let lines: Vec<_> = checkpoints.iter().map(|it| line(it) + undone(it)).collect();
    Ok(if lines.is_empty() { "nothing was changed yet".to_owned() } else { lines.join("\n") })
}

/// One checkpoint: its number, the prompt, the paths.
fn line(checkpoint: &Checkpoint) -> String {
    let steps = checkpoint.steps(Way::Forth);
    let paths: Vec<_> = steps.iter().map(|step| step.path.to_string_lossy()).collect();
    let paths = cut(&text::visible(&paths.join(", ")), 200);
    format!("{} {} ({paths})", checkpoint.number, checkpoint.prompt)
}

/// Goes one checkpoint back or forth, and lets the model know: what it has read of these files is old.
fn go(chat: &mut Chat, args: &str, way: Way) -> Result<String> {
    let (name, word, note) = match way {
        Way::Back => ("undo", "undone", "taken back"),
        Way::Forth => ("redo", "redone", "brought back"),
    };
    ensure!(args.is_empty(), ":{name} goes by whole checkpoints; for one file, ask for revert");
    let (workspace, store) = open(&chat.agent.cwd)?;
    let line = store.update(|history| {
        let Some(checkpoint) = history.next(way) else { return Ok(None) };
        workspace.restore(&checkpoint.steps(way), &store).map_err(|why| why.to_string())?;
        checkpoint.undone = way == Way::Back;
        Ok(Some(line(checkpoint)))
    })?;
    let Some(line) = line else { return Ok(format!("there is nothing to be {word}")) };
    chat.conversation.remind(format!("The user has {note} these changes to files:\n{line}"));
    Ok(format!("{word}: {line}"))
}
