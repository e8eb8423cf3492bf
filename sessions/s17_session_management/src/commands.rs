//! What the user types: flags and commands.

use anyhow::{Context, Result};
use harness_app::{App, remind_of_surroundings};
use harness_cli::{age, columns, cut, size};
use harness_core::host::text;
use harness_core::host::workspace::Entry;
use harness_core::{Chat, Role};

use crate::{Past, SessionStore};

/// Above the list.
const HEAD: &str = "  id        age     turns  size    title";

/// This session's own flags.
#[derive(clap::Args, Clone, Debug, Default)]
#[group(skip)]
pub struct Flags {
    /// Go on with the session that was used last
    #[arg(long = "continue", conflicts_with = "resume")]
    pub go_on: bool,

    /// Go on with this session; the beginning of its id will do
    #[arg(long, value_name = "ID")]
    pub resume: Option<String>,
}

/// Joins the agent and the terminal: the session that a flag asks for, and the commands.
///
/// # Errors
/// The session that a flag asks for cannot be gone on with.
pub fn join(app: App, flags: Flags) -> Result<App> {
    let store = SessionStore::new(app.agent());
    let mut app = app.with(store.clone());
    let last = || store.list().map(|list| list.into_iter().next().map(|file| file.name));
    let id = if flags.go_on { last()? } else { flags.resume };
    if let Some(id) = id {
        let past = store.resume(&id)?;
        app = app.notices(told(&store, &past)).conversation(past.conversation);
    } else if flags.go_on {
        app = app.notices(["there is no session to continue here; this one is new".to_owned()]);
    }
    type Command = fn(&SessionStore, &mut Chat, &str) -> Result<String>;
    let commands: [(_, _, Command); 5] = [
        ("sessions", "lists the sessions here, or those in which a word was said", list),
        ("resume", "goes on with a session: ID, or as much of it as is unique", resume),
        ("fork", "goes on with a copy of a session: ID [last turn to copy]", fork),
        ("title", "gives this session a title", title),
        ("save", "says where this session is kept", save),
    ];
    Ok(commands.into_iter().fold(app, |app, (name, about, run)| {
        let store = store.clone();
        app.quick(name, about, move |chat, words| run(&store, chat, words))
    }))
}

fn list(store: &SessionStore, _: &mut Chat, word: &str) -> Result<String> {
    let (files, word) = (store.list()?, word.to_lowercase());
    let rows = files.iter().filter_map(|file| row(store, file, &word)).take(20);
    let rows: Vec<_> = std::iter::once(HEAD.to_owned()).chain(rows).collect();
    Ok(if rows.len() > 1 { rows.join("\n") } else { "there is none".to_owned() })
}

/// A session in a line, if the word is in it.
fn row(store: &SessionStore, file: &Entry, word: &str) -> Option<String> {
    let mark = if store.current().as_ref() == Some(&file.name) { '*' } else { ' ' };
    let past = match Past::read(&store.path(&file.name), None) {
        Ok(past) => past,
        Err(why) => return Some(format!("{mark} {:<9} {why}", file.name)),
    };
    let has = |text: &str| text.to_lowercase().contains(word);
    if !has(&past.title) && !past.messages().any(|message| has(&message.text())) {
        return None;
    }
    let fork = past.header.parent.map(|(id, turn)| format!(" (fork of {id}, turn {turn})"));
    let fault = past.told.first().map(|what| format!(" ({what})"));
    let title = past.title + &fork.unwrap_or_default() + &fault.unwrap_or_default();
    let (age, size) = (age(file.changed), size(file.bytes));
    let [name, title] = [&file.name, &title].map(|words| text::line(words));
    Some(cut(&format!("{mark} {name:<9} {age:<7} {:<6} {size:<7} {title}", past.turns), columns()))
}

fn resume(store: &SessionStore, chat: &mut Chat, id: &str) -> Result<String> {
    store.save(&chat.conversation)?;
    enter(store, chat, store.resume(id)?)
}

fn fork(store: &SessionStore, chat: &mut Chat, words: &str) -> Result<String> {
    store.save(&chat.conversation)?;
    let (id, turn) = words.split_once(' ').unwrap_or((words, ""));
    let turn = (!turn.is_empty()).then(|| turn.trim().parse()).transpose();
    let turn = turn.with_context(|| format!("`{words}` does not end with a turn's number"))?;
    let current = store.current().filter(|_| id.is_empty());
    enter(store, chat, store.fork(current.as_deref().unwrap_or(id), turn)?)
}

fn title(store: &SessionStore, _: &mut Chat, title: &str) -> Result<String> {
    Ok(store.title(title).map(|()| String::new())?)
}

fn save(store: &SessionStore, chat: &mut Chat, _: &str) -> Result<String> {
    store.save(&chat.conversation)?;
    let kept = store.current().map(|id| format!("it is all in {}", store.path(&id).display()));
    Ok(kept.unwrap_or_else(|| "there is nothing to save yet".to_owned()))
}

/// The conversation is swapped; the agent stays.
fn enter(store: &SessionStore, chat: &mut Chat, past: Past) -> Result<String> {
    let told = told(store, &past).join("\n");
    chat.conversation = past.conversation;
    remind_of_surroundings(chat);
    Ok(text::strip(&told).into_owned())
}

/// What the user sees of a session that goes on: which one, what was said last, what was lost.
fn told(store: &SessionStore, past: &Past) -> Vec<String> {
    let id = store.current().unwrap_or_default();
    let mut lines = vec![format!("session {id}, turn {}: {}", past.turns, past.title)];
    for (who, role) in [("you", Role::User), ("model", Role::Assistant)] {
        let said = past.conversation.messages().iter().filter(|message| message.role == role);
        let last = said.map(|message| message.text()).rfind(|text| !text.trim().is_empty());
        lines.extend(last.map(|text| format!("  {who}: {}", cut(text.trim(), 70))));
    }
    lines.extend(past.told.iter().map(|what| format!("  {what}")));
    lines
}
