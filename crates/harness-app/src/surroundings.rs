//! Where and when the work goes on, told to the model.

use harness_core::{Block, Chat};
use jiff::civil::Date;
use jiff::{Timestamp, tz::TimeZone};

/// How such a reminder begins.
const BEGINNING: &str = "The workspace is ";

/// Reminds the model of the workspace and of today's date, unless the conversation says so already: a resumed
/// one may come from another day or folder. Not in the system prompt: that would empty the prompt cache.
pub fn remind_of_surroundings(chat: &mut Chat) {
    let cwd = chat.agent.cwd.display();
    let today = today();
    let now = format!("{BEGINNING}{cwd}. Today is {today}.");
    let blocks = chat.conversation.messages().iter().flat_map(|message| &message.content);
    let last = blocks.rev().find_map(|block| match block {
        Block::Reminder(text) if text.starts_with(BEGINNING) => Some(text),
        _ => None,
    });
    if last != Some(&now) {
        chat.conversation.remind(now);
    }
}

/// The date here. Reads `/etc/localtime` directly: loading the whole time-zone database delays the start.
fn today() -> Date {
    let named = std::env::var_os("TZ").is_some();
    let rules = if named { None } else { std::fs::read("/etc/localtime").ok() };
    let local = rules.and_then(|rules| TimeZone::tzif("local", &rules).ok());
    let zone = local.unwrap_or_else(TimeZone::system);
    Timestamp::now().to_zoned(zone).date()
}
