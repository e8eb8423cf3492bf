//! Where the marks stand.

use harness_core::{Block, CacheLife, CachePosition, Mark, Message, Request, Role};

/// A request may have so many.
const MOST: usize = 4;

/// The marks for a request, in the order of its prefix: behind the tools and behind the system prompt, which
/// are the same in every request, and behind the two newest messages of the user's side.
///
/// The last one writes what has come since. The one before it stands where the last one of the request
/// before stood, so that its entry is found however many blocks lie between them: a read looks back only
/// twenty. `standing`: how long tools and system prompt are kept.
pub fn place(request: &Request<'_>, standing: CacheLife) -> Vec<Mark> {
    let tools = request.tools.len().checked_sub(1).map(CachePosition::Tool);
    let system =
        request.system.iter().rposition(|text| !text.is_empty()).map(CachePosition::System);
    let first = tools.into_iter().chain(system).map(|place| Mark { place, life: standing });
    let mut marks: Vec<Mark> = first.collect();
    // A mark at the top level, which another hook may have set, takes one of the places.
    let room = MOST - marks.len() - usize::from(request.extra.contains_key("cache_control"));
    let users = request.messages.iter().enumerate().rev();
    let users = users.filter(|(_, message)| message.role == Role::User);
    let ends =
        users.filter_map(|(message, of)| Some(CachePosition::Message { message, block: end(of)? }));
    let mut newest: Vec<Mark> =
        ends.take(room.min(2)).map(|place| Mark { place, life: CacheLife::FiveMinutes }).collect();
    newest.reverse();
    marks.append(&mut newest);
    marks
}

/// The last block of a message that may have a mark.
fn end(message: &Message) -> Option<usize> {
    message.content.iter().rposition(|block| match block {
        Block::Text(text) => !text.text.is_empty(),
        Block::Reminder(_) | Block::ToolUse(_) | Block::ToolResult(_) => true,
        Block::Thinking(_) | Block::RedactedThinking(_) | Block::Other(_) => false,
    })
}
