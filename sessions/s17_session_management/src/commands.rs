//! What the user types: flags and commands.

use anyhow::{Context, Result};
use harness_cli::{App, Chat, age, cut, size};
use harness_core::{Agent, Conversation, Role, text};

use crate::{Listed, Past, SessionStore};

/// So many sessions are listed.
const SHOWN: usize = 20;

/// The flags of this session.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Flags {
    /// Go on with the session that was used last
    #[arg(long = "continue", conflicts_with = "resume")]
    pub go_on: bool,

    /// Go on with this session; the beginning of its id will do
    #[arg(long, value_name = "ID")]
    pub resume: Option<String>,
}

/// An agent whose conversation is kept, and the commands for it.
///
/// # Errors
/// The session that a flag asks for cannot be gone on with.
pub fn sessions(agent: Agent, flags: Flags) -> Result<App> {
    let store = SessionStore::new(&agent);
    let last = || store.list().map(|list| list.into_iter().next().map(|listed| listed.id));
    let id = if flags.go_on { last()? } else { flags.resume };
    let mut app = App::from(agent.with(store.clone()));
    if let Some(id) = id {
        let (past, conversation) = store.resume(&id)?;
        app = app.tell(told(&store, &past, &conversation)).conversation(conversation);
    } else if flags.go_on {
        app = app.tell(["there is no session to continue here; this one is new".to_owned()]);
    }
    let commands: [(_, _, Command); 5] = [
        ("sessions", "lists the sessions here, or those in which a word was said", list),
        ("resume", "goes on with a session: ID, or as much of it as is unique", resume),
        ("fork", "goes on with a copy of a session: ID [last turn to copy]", fork),
        ("title", "gives this session a title", title),
        ("save", "says where this session is kept", save),
    ];
    for (name, about, run) in commands {
        let store = store.clone();
        app = app.command(name, about, move |chat, words| {
            let done = run(&store, chat, words);
            Box::pin(async move { done })
        });
    }
    Ok(app)
}

type Command = fn(&SessionStore, &mut Chat, &str) -> Result<String>;

fn list(store: &SessionStore, _: &mut Chat, word: &str) -> Result<String> {
    let mut rows = Vec::new();
    for listed in store.list()? {
        rows.extend(row(store, &listed, &word.to_lowercase()));
    }
    if rows.is_empty() {
        return Ok("there is none".to_owned());
    }
    let more = rows.len().saturating_sub(SHOWN);
    rows.truncate(SHOWN);
    rows.insert(0, "  id        age     turns  size    title".to_owned());
    rows.extend((more > 0).then(|| format!("  … {more} more; :sessions WORD looks for a word")));
    Ok(rows.join("\n"))
}

/// A session in a line, if the word is in it.
fn row(store: &SessionStore, listed: &Listed, word: &str) -> Option<String> {
    let Listed { id, changed, bytes } = listed;
    let mark = if store.current().as_ref() == Some(id) { '*' } else { ' ' };
    let (turns, title) = match Past::read(&store.path(id), None) {
        Ok(past) => {
            let has = |text: &str| text.to_lowercase().contains(word);
            if !has(&past.title) && !past.messages.iter().any(|message| has(&message.text())) {
                return None;
            }
            let parent = past.header.and_then(|header| header.parent);
            let fork = parent.map(|it| format!("  (a fork of {} at turn {})", it.id, it.turn));
            let fault = past.told.first().map(|what| format!("  ({what})"));
            (past.turns, past.title + &fork.unwrap_or_default() + &fault.unwrap_or_default())
        }
        Err(why) => (0, why.to_string()),
    };
    let (age, size, title) = (age(*changed), size(*bytes), text::strip(&title));
    Some(format!("{mark} {id:<9} {age:<7} {turns:<6} {size:<7} {title}"))
}

fn resume(store: &SessionStore, chat: &mut Chat, id: &str) -> Result<String> {
    store.save(&chat.conversation)?;
    enter(store, chat, store.resume(id)?)
}

fn fork(store: &SessionStore, chat: &mut Chat, words: &str) -> Result<String> {
    store.save(&chat.conversation)?;
    let (id, turn) = words.split_once(' ').unwrap_or((words, ""));
    let turn = Some(turn.trim()).filter(|turn| !turn.is_empty()).map(str::parse);
    let turn =
        turn.transpose().with_context(|| format!("`{words}` ends with no number of a turn"))?;
    let current = store.current().filter(|_| id.is_empty());
    enter(store, chat, store.fork(current.as_deref().unwrap_or(id), turn)?)
}

fn title(store: &SessionStore, _: &mut Chat, title: &str) -> Result<String> {
    store.title(title)?;
    Ok(String::new())
}

fn save(store: &SessionStore, chat: &mut Chat, _: &str) -> Result<String> {
    store.save(&chat.conversation)?;
    Ok(match store.current() {
        Some(id) => format!("all that was said is in {}", store.path(&id).display()),
        None => "there is nothing to save yet".to_owned(),
    })
}

/// The conversation is swapped; the agent stays.
fn enter(
    store: &SessionStore,
    chat: &mut Chat,
    (past, conversation): (Past, Conversation),
) -> Result<String> {
    let lines = told(store, &past, &conversation);
    chat.conversation = conversation;
    chat.note_surroundings();
    Ok(text::strip(&lines.join("\n")).into_owned())
}

/// What the user sees of a session that goes on: which one, what was said last, what was lost.
fn told(store: &SessionStore, past: &Past, conversation: &Conversation) -> Vec<String> {
    let id = store.current().unwrap_or_default();
    let mut lines = vec![format!("session {id}, turn {}: {}", past.turns, past.title)];
    for (who, role) in [("you", Role::User), ("model", Role::Assistant)] {
        let said = conversation.messages().iter().filter(|message| message.role == role);
        let last = said.map(|message| message.text()).rfind(|text| !text.trim().is_empty());
        lines.extend(last.map(|text| format!("  {who}: {}", cut(text.trim(), 70))));
    }
    lines.extend(past.told.iter().map(|what| format!("  {what}")));
    lines
}
