//! How messages follow each other: words, calls and their answers, and who speaks last.

use std::collections::HashSet;

use serde_json::Value;

use super::{Refusal, content_of, list, refuse};

/// Neighbouring messages of one role are one turn to the API.
struct Turn {
    role: String,
    /// The number of its first message.
    first: usize,
    /// Its blocks, each with its path.
    blocks: Vec<(String, Value)>,
}

fn turns(body: &Value) -> Vec<Turn> {
    let mut turns: Vec<Turn> = Vec::new();
    for (m, message) in list(body, "messages").iter().enumerate() {
        let role = message["role"].as_str().unwrap_or_default();
        let blocks = content_of(message).into_iter().enumerate();
        let blocks = blocks.map(|(b, block)| (format!("messages.{m}.content.{b}"), block));
        match turns.last_mut() {
            Some(turn) if turn.role == role => turn.blocks.extend(blocks),
            _ => turns.push(Turn { role: role.to_owned(), first: m, blocks: blocks.collect() }),
        }
    }
    turns
}

/// No empty text, no message of white space alone, no user message without content.
pub(super) fn texts(body: &Value) -> Result<(), Refusal> {
    for (m, message) in list(body, "messages").iter().enumerate() {
        let from_user = message["role"] == "user";
        let blocks = content_of(message);
        let empty = message["content"] == "" || blocks.is_empty();
        if empty && from_user {
            return refuse(format!("messages.{m}: user messages must have non-empty content"));
        }
        if empty {
            continue; // the API takes an assistant message that says nothing
        }
        if blocks.iter().any(|block| block["type"] == "text" && block["text"] == "") {
            return refuse("messages: text content blocks must be non-empty");
        }
        let blank = |block: &Value| {
            block["type"] == "text" && block["text"].as_str().is_some_and(|t| t.trim().is_empty())
        };
        if blocks.iter().all(blank) {
            return refuse("messages: text content blocks must contain non-whitespace text");
        }
    }
    Ok(())
}

/// Every call answered in the very next turn, once, before anything else; no answer without a call.
pub(super) fn pairs(body: &Value) -> Result<(), Refusal> {
    let turns = turns(body);
    let mut seen: HashSet<String> = HashSet::new();
    let mut open: Vec<String> = Vec::new();
    for (at, turn) in turns.iter().enumerate() {
        kinds(turn)?;
        if turn.role == "user" {
            let mut answered: Vec<&str> = Vec::new();
            for (path, block) in turn.blocks.iter().filter(|(_, b)| b["type"] == "tool_result") {
                let id = block["tool_use_id"].as_str().unwrap_or_default();
                if !open.iter().any(|call| call == id) {
                    return refuse(format!(
                        "{path}: unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each \
                         `tool_result` block must have a corresponding `tool_use` block in the \
                         previous message."
                    ));
                }
                if answered.contains(&id) {
                    return refuse(format!(
                        "{path}: each tool_use must have a single result. Found multiple \
                         `tool_result` blocks with id: {id}"
                    ));
                }
                answered.push(id);
            }
            open.clear();
            continue;
        }
        for (path, block) in turn.blocks.iter().filter(|(_, b)| b["type"] == "tool_use") {
            let id = block["id"].as_str().unwrap_or_default().to_owned();
            if !seen.insert(id.clone()) {
                return refuse(format!("{path}: `tool_use` ids must be unique"));
            }
            open.push(id);
        }
        let last_message = turns.get(at + 1).map_or(list(body, "messages").len(), |t| t.first) - 1;
        unanswered(&open, turns.get(at + 1), last_message)?;
        server_tools(turn, at + 1 == turns.len())?;
    }
    Ok(())
}

/// Which blocks each role may send.
fn kinds(turn: &Turn) -> Result<(), Refusal> {
    let wrong: &[&str] = match turn.role.as_str() {
        "user" => &["tool_use", "thinking", "redacted_thinking", "server_tool_use"],
        _ => &["tool_result", "image", "document"],
    };
    let owner = if turn.role == "user" { "assistant" } else { "user" };
    for (path, block) in &turn.blocks {
        if let Some(kind) = wrong.iter().find(|kind| block["type"] == **kind) {
            return refuse(format!("{path}: `{kind}` blocks can only be in `{owner}` messages"));
        }
    }
    Ok(())
}

/// Only what stands before the first other block counts as an answer.
fn unanswered(open: &[String], next: Option<&Turn>, message: usize) -> Result<(), Refusal> {
    let leading = next.into_iter().flat_map(|turn| &turn.blocks);
    let leading = leading.map(|(_, block)| block).take_while(|b| b["type"] == "tool_result");
    let answered: Vec<&str> = leading.filter_map(|b| b["tool_use_id"].as_str()).collect();
    let missing: Vec<&str> =
        open.iter().map(String::as_str).filter(|id| !answered.contains(id)).collect();
    match missing.is_empty() {
        true => Ok(()),
        false => refuse(format!(
            "messages.{message}: `tool_use` ids were found without `tool_result` blocks immediately \
             after: {}. Each `tool_use` block must have a corresponding `tool_result` block in the \
             next message.",
            missing.join(", ")
        )),
    }
}

/// A server-side tool's call stands beside its result, except where the turn still goes on.
fn server_tools(turn: &Turn, last: bool) -> Result<(), Refusal> {
    for (_, block) in turn.blocks.iter().filter(|(_, b)| b["type"] == "server_tool_use") {
        let answered = turn.blocks.iter().any(|(_, b)| b["tool_use_id"] == block["id"]);
        if !answered && !last {
            let (id, name) = (block["id"].as_str(), block["name"].as_str());
            let name = name.unwrap_or_default();
            return refuse(format!(
                "`{name}` tool use with id `{}` was found without a corresponding \
                 `{name}_tool_result` block",
                id.unwrap_or_default()
            ));
        }
    }
    Ok(())
}

/// The user speaks first, and last, unless the model's turn was paused by the server.
pub(super) fn ending(body: &Value, paused: bool) -> Result<(), Refusal> {
    let turns = turns(body);
    if turns.first().is_some_and(|turn| turn.role != "user") {
        return refuse("messages: first message must use the \"user\" role");
    }
    let Some(last) = turns.last().filter(|turn| turn.role == "assistant") else { return Ok(()) };
    let by_server = last.blocks.last().and_then(|(_, block)| block["type"].as_str());
    let by_server = by_server.is_some_and(|kind| {
        kind == "server_tool_use" || (kind.ends_with("_tool_result") && kind != "tool_result")
    });
    match paused || by_server {
        true => Ok(()),
        false => refuse(
            "This model does not support assistant message prefill. The conversation must end with \
             a user message.",
        ),
    }
}
