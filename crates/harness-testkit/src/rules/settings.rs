//! What a request asks of the model: whether that model can do it.

use harness_core::model::models;
use serde_json::Value;

use super::{Refusal, list, refuse};

/// Requests for these fail since they were retired (2026-11).
const RETIRED: &[&str] =
    &["claude-sonnet-4-2025", "claude-opus-4-2025", "claude-opus-4-1", "claude-3-"];
/// Manual thinking ends with these.
const UP_TO_4_6: &[&str] = &[
    "claude-opus-4-6",
    "claude-sonnet-4-6",
    "claude-opus-4-5",
    "claude-sonnet-4-5",
    "claude-haiku-4-5",
];
const UP_TO_4_5: &[&str] = &["claude-opus-4-5", "claude-sonnet-4-5", "claude-haiku-4-5"];
/// These always think.
const ALWAYS: &[&str] =
    &["claude-fable-5", "claude-mythos-5", "claude-opus-5-5", "claude-sonnet-5-5"];
/// These choose their tools themselves.
const FREE: &[&str] = &[
    "claude-fable-5-",
    "claude-mythos-5-",
    "claude-opus-5-5",
    "claude-sonnet-5-5",
    "claude-mythos-preview",
];

fn is(model: &str, family: &[&str]) -> bool {
    family.iter().any(|start| model.starts_with(start))
}

pub(super) fn check(body: &Value) -> Result<(), Refusal> {
    let model = body["model"].as_str().unwrap_or_default();
    if is(model, RETIRED) {
        return Err(Refusal {
            status: 404,
            error_type: "not_found_error",
            message: format!("model: {model}"),
        });
    }
    max_tokens(body, model)?;
    thinking(body, model)?;
    choice(body, model)?;
    if !matches!(&body["stream"], Value::Null | Value::Bool(_)) {
        return refuse("stream: Input should be a valid boolean");
    }
    let efforts = ["low", "medium", "high", "xhigh", "max"];
    match &body["output_config"]["effort"] {
        Value::Null => Ok(()),
        _ if is(model, UP_TO_4_5) && !model.starts_with("claude-opus") => {
            refuse("This model does not support the effort parameter")
        }
        effort if efforts.iter().any(|known| effort == known) => Ok(()),
        _ => refuse(
            "output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'",
        ),
    }
}

fn max_tokens(body: &Value, model: &str) -> Result<(), Refusal> {
    let Some(given) = body.get("max_tokens") else { return Ok(()) };
    let Some(tokens) = given.as_u64() else {
        return refuse("max_tokens: Input should be a valid integer");
    };
    let most = u64::from(models::max_output(model));
    if tokens > most {
        return refuse(format!(
            "max_tokens: {tokens} > {most}, which is the maximum allowed number of output tokens \
             for {model}"
        ));
    }
    match tokens == 0 && body["stream"] == Value::Bool(true) {
        true => refuse("max_tokens: 0 is not allowed with `stream`"),
        false => Ok(()),
    }
}

fn thinking(body: &Value, model: &str) -> Result<(), Refusal> {
    let thinking = &body["thinking"];
    let allowed: &[&str] = match thinking["type"].as_str() {
        _ if thinking.is_null() => return Ok(()),
        Some("adaptive") if is(model, UP_TO_4_5) => {
            return refuse("adaptive thinking is not supported on this model");
        }
        Some("adaptive") => &["type", "display", "block_binding"],
        Some("enabled") if model.starts_with("claude-") && !is(model, UP_TO_4_6) => {
            return refuse(
                "\"thinking.type.enabled\" is not supported for this model. Use \
                 \"thinking.type.adaptive\" and \"output_config.effort\" to control thinking \
                 behavior.",
            );
        }
        Some("enabled") => &["type", "budget_tokens", "display"],
        Some("disabled") if is(model, ALWAYS) => {
            return refuse("\"thinking.type.disabled\" is not supported for this model.");
        }
        Some("disabled") => &["type"],
        Some("between_tools") if !model.starts_with("claude-sonnet-5-5") => {
            return refuse("\"thinking.type.between_tools\" is not supported for this model.");
        }
        Some("between_tools") => &["type", "display"],
        _ => {
            return refuse(
                "thinking: Input tag found using 'type' does not match any of the expected tags: \
                 'adaptive', 'between_tools', 'disabled', 'enabled'",
            );
        }
    };
    let kind = thinking["type"].as_str().unwrap_or_default();
    let fields = thinking.as_object().into_iter().flat_map(|fields| fields.keys());
    if let Some(field) = fields.into_iter().find(|field| !allowed.contains(&field.as_str())) {
        return refuse(format!("thinking.{kind}.{field}: Extra inputs are not permitted"));
    }
    if !matches!(thinking["display"].as_str(), None | Some("summarized" | "omitted" | "updates")) {
        return refuse(format!(
            "thinking.{kind}.display: Input should be 'summarized' or 'omitted'"
        ));
    }
    if kind != "enabled" {
        return Ok(());
    }
    match thinking["budget_tokens"].as_u64() {
        None => refuse("thinking.enabled.budget_tokens: Field required"),
        Some(budget) if budget < 1024 => {
            refuse("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        }
        Some(budget) if body["max_tokens"].as_u64().is_some_and(|max| max <= budget) => {
            refuse("`max_tokens` must be greater than `thinking.budget_tokens`.")
        }
        Some(_) => Ok(()),
    }
}

fn choice(body: &Value, model: &str) -> Result<(), Refusal> {
    let choice = &body["tool_choice"];
    if choice.is_null() {
        return Ok(());
    }
    let kind = choice["type"].as_str().unwrap_or_default();
    if !["auto", "any", "tool", "none"].contains(&kind) {
        return refuse(
            "tool_choice: Input tag found using 'type' does not match any of the expected tags: \
             'any', 'auto', 'none', 'tool'",
        );
    }
    let tools = list(body, "tools");
    if tools.is_empty() {
        return refuse("tool_choice: may only be specified while providing `tools`.");
    }
    let forced = kind == "any" || kind == "tool";
    if forced && is(model, FREE) {
        return refuse(format!(
            "tool_choice.{kind}: forced tool choice is not supported for this model"
        ));
    }
    if forced && body["thinking"]["type"] == "enabled" {
        return refuse("Thinking may not be enabled when tool_choice forces tool use.");
    }
    match kind == "tool" && !tools.iter().any(|tool| tool["name"] == choice["name"]) {
        true => refuse(format!(
            "Tool '{}' not found in provided tools",
            choice["name"].as_str().unwrap_or_default()
        )),
        false => Ok(()),
    }
}
