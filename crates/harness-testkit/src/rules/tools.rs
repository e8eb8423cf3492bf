//! What stands before the messages: tools, and the system prompt.

use serde_json::Value;

use super::fields::{mark, only};
use super::{Refusal, list, refuse};

const TOOL: &[&str] = &[
    "name",
    "description",
    "input_schema",
    "strict",
    "eager_input_streaming",
    "input_examples",
    "cache_control",
    "type",
    "defer_loading",
    "allowed_callers",
];
/// Tools whose schema the API brings along; they are let through.
const BUILT_IN: &[&str] = &[
    "bash_",
    "text_editor_",
    "memory_",
    "computer_",
    "browser_",
    "web_search_",
    "web_fetch_",
    "code_execution_",
    "tool_search_",
    "mcp_toolset",
];
/// Letters, digits, `_` and `-`.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

pub(super) fn tools(body: &Value) -> Result<(), Refusal> {
    if !matches!(&body["tools"], Value::Null | Value::Array(_)) {
        return refuse("tools: Input should be a valid list");
    }
    let tools = list(body, "tools");
    let mut names: Vec<&str> = Vec::new();
    for (at, tool) in tools.iter().enumerate() {
        let name = tool["name"].as_str();
        if let Some(name) = name {
            if names.contains(&name) {
                return refuse("tools: Tool names must be unique.");
            }
            names.push(name);
        }
        match tool["type"].as_str() {
            None | Some("custom") => custom(at, tool, name)?,
            Some(kind) if BUILT_IN.iter().any(|start| kind.starts_with(start)) => {}
            Some(kind) => {
                return refuse(format!(
                    "tools.{at}: Input tag '{kind}' found using 'type' does not match any of the \
                     expected tags"
                ));
            }
        }
    }
    let deferred = |tool: &Value| tool["defer_loading"] == Value::Bool(true);
    match !tools.is_empty() && tools.iter().all(deferred) {
        true => refuse("All tools have defer_loading: true"),
        false => Ok(()),
    }
}

fn custom(at: usize, tool: &Value, name: Option<&str>) -> Result<(), Refusal> {
    let path = |field: &str| format!("tools.{at}.custom.{field}");
    let Some(fields) = tool.as_object() else {
        return refuse(format!("tools.{at}: Input should be a valid dictionary"));
    };
    only(fields, TOOL, path)?;
    let Some(name) = name else {
        return refuse(format!("{}: Field required", path("name")));
    };
    if name.len() > 128 {
        return refuse(format!("{}: String should have at most 128 characters", path("name")));
    }
    if !is_plain(name) {
        return refuse(format!(
            "{}: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'",
            path("name")
        ));
    }
    if name.len() > 64 {
        return refuse(format!("{}: the harness keeps names within 64 characters", path("name")));
    }
    let Some(schema) = fields.get("input_schema") else {
        return refuse(format!("{}: Field required", path("input_schema")));
    };
    if schema["type"] != "object" {
        return refuse(format!("{}: Input should be 'object'", path("input_schema.type")));
    }
    match ["oneOf", "allOf", "anyOf"].iter().any(|word| schema.get(word).is_some()) {
        true => refuse(format!(
            "{}: input_schema does not support oneOf, allOf, or anyOf at the top level",
            path("input_schema")
        )),
        false => mark(tool, || format!("tools.{at}.custom")),
    }
}

pub(super) fn system(body: &Value) -> Result<(), Refusal> {
    let blocks = match &body["system"] {
        Value::Null | Value::String(_) => return Ok(()),
        Value::Array(blocks) => blocks,
        _ => return refuse("system: Input should be a valid list"),
    };
    for (at, block) in blocks.iter().enumerate() {
        if block["type"] != "text" {
            return refuse(format!("system.{at}.type: Input should be 'text'"));
        }
        if let Some(fields) = block.as_object() {
            let allowed = ["type", "text", "cache_control", "citations"];
            only(fields, &allowed, |field| format!("system.{at}.{field}"))?;
        }
        match block["text"].as_str().map(str::trim) {
            None => return refuse(format!("system.{at}.text: Field required")),
            Some("") => return refuse("system: text content blocks must be non-empty"),
            Some(_) => mark(block, || format!("system.{at}"))?,
        }
    }
    Ok(())
}
