//! Which fields there are, and what they hold.

use serde_json::{Map, Value};

use super::tools::is_plain;
use super::{Endpoint, Refusal, Rules, list, refuse};

const SHARED: &[&str] = &[
    "model",
    "messages",
    "system",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "cache_control",
    "speed",
];
const MESSAGES_ONLY: &[&str] = &[
    "max_tokens",
    "stream",
    "stop_sequences",
    "metadata",
    "service_tier",
    "diagnostics",
    "container",
    "inference_geo",
];
/// Fields that need a beta header, and how that header's value begins.
const BETAS: &[(&str, &[&str])] = &[
    ("context_management", &["context-management-", "compact-2026-01-12"]),
    ("compaction", &["compact-2026-09-04"]),
    ("fallbacks", &["server-side-fallback-"]),
    ("thread", &["message-threads-"]),
    ("mcp_servers", &["mcp-client-"]),
];
/// Blocks of server-side tools: a client only carries them back and forth.
const OPAQUE: &[&str] = &[
    "server_tool_use",
    "web_search_tool_result",
    "web_fetch_tool_result",
    "code_execution_tool_result",
    "bash_code_execution_tool_result",
    "text_editor_code_execution_tool_result",
    "tool_search_tool_result",
    "container_upload",
    "mcp_tool_use",
    "mcp_tool_result",
    "mcp_tool_listing",
    "compaction",
    "fallback",
    "advisor_tool_result",
    "search_result",
];

fn known(kind: &str) -> Option<(&'static [&'static str], &'static [&'static str])> {
    // All fields of a block, and those that must be there.
    Some(match kind {
        "text" => (&["type", "text", "cache_control", "citations"], &["text"]),
        "image" => (&["type", "source", "cache_control"], &["source"]),
        "document" => {
            (&["type", "source", "title", "context", "citations", "cache_control"], &["source"])
        }
        "tool_use" => (
            &["type", "id", "name", "input", "caller", "toolset_name", "cache_control"],
            &["id", "name", "input"],
        ),
        "tool_result" => (
            &["type", "tool_use_id", "content", "is_error", "toolset_name", "cache_control"],
            &["tool_use_id"],
        ),
        "thinking" => (&["type", "thinking", "signature"], &["thinking", "signature"]),
        "redacted_thinking" => (&["type", "data"], &["data"]),
        _ => return None,
    })
}

pub(super) fn only(
    fields: &Map<String, Value>,
    allowed: &[&str],
    path: impl Fn(&str) -> String,
) -> Result<(), Refusal> {
    match fields.keys().find(|field| !allowed.contains(&field.as_str())) {
        Some(field) => refuse(format!("{}: Extra inputs are not permitted", path(field))),
        None => Ok(()),
    }
}

pub(super) fn top_level(rules: &Rules, body: &Value) -> Result<(), Refusal> {
    let Some(fields) = body.as_object() else {
        return refuse("Input should be a valid dictionary");
    };
    let mut allowed = SHARED.to_vec();
    let mut required = vec!["model", "messages"];
    if rules.endpoint == Endpoint::Messages {
        allowed.extend(MESSAGES_ONLY);
        required.push("max_tokens");
    }
    let opened = BETAS.iter().filter(|(_, starts)| {
        rules.betas.iter().any(|beta| starts.iter().any(|start| beta.starts_with(start)))
    });
    allowed.extend(opened.map(|(field, _)| field));
    if let Some(field) = required.iter().find(|field| !fields.contains_key(**field)) {
        return refuse(format!("{field}: Field required"));
    }
    only(fields, &allowed, str::to_owned)?;
    if body["model"].as_str().is_none_or(str::is_empty) {
        return refuse("model: String should have at least 1 character");
    }
    match body["messages"].as_array() {
        None => refuse("messages: Input should be a valid list"),
        Some(messages) if messages.is_empty() => {
            refuse("messages: at least one message is required")
        }
        Some(_) => Ok(()),
    }
}

/// The fields of messages and of the blocks in them.
pub(super) fn blocks(body: &Value) -> Result<(), Refusal> {
    for (m, message) in list(body, "messages").iter().enumerate() {
        let Some(fields) = message.as_object() else {
            return refuse(format!("messages.{m}: Input should be a valid dictionary"));
        };
        only(fields, &["role", "content"], |field| format!("messages.{m}.{field}"))?;
        // Some models also take `system` here; the harness never sends it.
        if !matches!(fields.get("role").and_then(Value::as_str), Some("user" | "assistant")) {
            return refuse(format!("messages.{m}.role: Input should be 'user' or 'assistant'"));
        }
        match fields.get("content") {
            Some(Value::String(_)) => {}
            Some(Value::Array(blocks)) => {
                for (b, one) in blocks.iter().enumerate() {
                    block(one, &format!("messages.{m}.content.{b}"))?;
                }
            }
            Some(_) => {
                return refuse(format!("messages.{m}.content: Input should be a valid list"));
            }
            None => return refuse(format!("messages.{m}.content: Field required")),
        }
    }
    Ok(())
}

fn block(block: &Value, path: &str) -> Result<(), Refusal> {
    let (Some(fields), Some(kind)) = (block.as_object(), block["type"].as_str()) else {
        return refuse(format!("{path}.type: Field required"));
    };
    if OPAQUE.contains(&kind) {
        return Ok(());
    }
    let Some((allowed, required)) = known(kind) else {
        return refuse(format!(
            "{path}: Input tag '{kind}' found using 'type' does not match any of the expected tags"
        ));
    };
    only(fields, allowed, |field| format!("{path}.{kind}.{field}"))?;
    if let Some(field) = required.iter().find(|field| !fields.contains_key(**field)) {
        return refuse(format!("{path}.{kind}.{field}: Field required"));
    }
    let texts = ["text", "id", "name", "tool_use_id", "thinking", "signature", "data"];
    if let Some(field) = texts.iter().find(|f| fields.get(**f).is_some_and(|v| !v.is_string())) {
        return refuse(format!("{path}.{kind}.{field}: Input should be a valid string"));
    }
    if kind == "tool_use" {
        if !fields["input"].is_object() {
            return refuse(format!("{path}.tool_use.input: Input should be a valid dictionary"));
        }
        for field in ["id", "name"] {
            if !is_plain(fields[field].as_str().unwrap_or_default()) {
                let pattern = "String should match pattern '^[a-zA-Z0-9_-]+$'";
                return refuse(format!("{path}.tool_use.{field}: {pattern}"));
            }
        }
        if fields["name"].as_str().is_some_and(|name| name.len() > 200) {
            let longest = "String should have at most 200 characters";
            return refuse(format!("{path}.tool_use.name: {longest}"));
        }
    }
    if kind == "tool_result" {
        result(fields, path)?;
    }
    mark(block, || format!("{path}.{kind}"))
}

fn result(fields: &Map<String, Value>, path: &str) -> Result<(), Refusal> {
    if fields.get("is_error").is_some_and(|v| !v.is_boolean() && !v.is_null()) {
        return refuse(format!("{path}.tool_result.is_error: Input should be a valid boolean"));
    }
    let blocks = match fields.get("content") {
        None | Some(Value::Null | Value::String(_)) => return Ok(()),
        Some(Value::Array(blocks)) => blocks,
        Some(_) => {
            return refuse(format!("{path}.tool_result.content: Input should be a valid list"));
        }
    };
    for (at, inner) in blocks.iter().enumerate() {
        let path = format!("{path}.tool_result.content.{at}");
        match inner["type"].as_str() {
            Some("text" | "image" | "document") => block(inner, &path)?,
            Some("search_result" | "tool_reference" | "browser_state") => {}
            kind => {
                return refuse(format!(
                    "{path}: Input tag '{}' found using 'type' does not match any of the expected \
                     tags: 'document', 'image', 'search_result', 'text', 'tool_reference'",
                    kind.unwrap_or_default()
                ));
            }
        }
    }
    Ok(())
}

pub(super) fn mark(owner: &Value, path: impl Fn() -> String) -> Result<(), Refusal> {
    let mark = &owner["cache_control"];
    if mark.is_null() {
        return Ok(());
    }
    if mark["type"] != "ephemeral" {
        return refuse(format!("{}.cache_control.type: Input should be 'ephemeral'", path()));
    }
    if let Some(fields) = mark.as_object() {
        let at = |field: &str| format!("{}.cache_control.ephemeral.{field}", path());
        only(fields, &["type", "ttl"], at)?;
    }
    match mark.get("ttl").is_none_or(|ttl| ttl == "5m" || ttl == "1h") {
        true => Ok(()),
        false => {
            refuse(format!("{}.cache_control.ephemeral.ttl: Input should be '5m' or '1h'", path()))
        }
    }
}
