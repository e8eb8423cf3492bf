//! What a program that exited with 0 printed: JSON if it begins like JSON, else plain text.
//!
//! Unknown fields are ignored, as the contract grows. A known field with an odd value is an error: what its
//! author meant is unknown.

use harness_core::Verdict;
use serde_json::{Map, Value};

use super::context::ProgramContext;
use crate::{HookDecision, HookEventKind};

/// The decision in what a program printed.
pub(super) fn read(
    kind: HookEventKind,
    printed: &str,
    context: &ProgramContext,
) -> Result<HookDecision, String> {
    if printed.starts_with('{') {
        read_json(printed, context)
    } else {
        Ok(read_text(kind, printed, context))
    }
}

/// Plain text is for the model where no work has begun yet, and ignored elsewhere.
fn read_text(kind: HookEventKind, printed: &str, context: &ProgramContext) -> HookDecision {
    let mut decision = HookDecision::default();
    let is_heard = matches!(kind, HookEventKind::SessionStart | HookEventKind::UserPromptSubmit);
    if is_heard && !printed.is_empty() {
        decision.context.push(context.clean(printed));
    }
    decision
}

fn read_json(printed: &str, context: &ProgramContext) -> Result<HookDecision, String> {
    let parsed: Value = serde_json::from_str(printed).map_err(|error| error.to_string())?;
    let specific = &parsed["hookSpecificOutput"];
    if !specific.is_null() && !specific.is_object() {
        return Err(format!("hookSpecificOutput: {specific} is not an object"));
    }
    let general = Fields { values: &parsed, context };
    let specific = Fields { values: specific, context };
    Ok(HookDecision {
        verdict: verdict(&general, &specific)?,
        input: specific.object("updatedInput")?,
        output: specific.text("updatedToolOutput")?,
        context: specific.text("additionalContext")?.into_iter().collect(),
        notices: general.text("systemMessage")?.into_iter().collect(),
        halt: halt(&general)?,
        failed: None,
    })
}

/// `permissionDecision` is the contract's present form, `decision` its older one. A denial in either counts.
fn verdict(general: &Fields<'_>, specific: &Fields<'_>) -> Result<Option<Verdict>, String> {
    let present_reason = specific.text("permissionDecisionReason")?;
    let older_reason = general.text("reason")?;
    let reason = present_reason
        .or(older_reason)
        .unwrap_or_else(|| "a hook said no without a reason".to_owned());
    let is_blocked = match general.text("decision")?.as_deref() {
        Some("block") => true,
        Some("approve") | None => false,
        Some(odd) => return Err(format!("decision: `{odd}` is unknown")),
    };
    let permission = specific.text("permissionDecision")?;
    match permission.as_deref() {
        _ if is_blocked => Ok(Some(Verdict::Deny(reason))),
        Some("deny") => Ok(Some(Verdict::Deny(reason))),
        Some("ask" | "defer") => Ok(Some(Verdict::Ask(reason))),
        Some("allow") | None => Ok(None),
        Some(odd) => Err(format!("permissionDecision: `{odd}` is unknown")),
    }
}

/// `continue: false` ends the turn.
fn halt(general: &Fields<'_>) -> Result<Option<String>, String> {
    let reason = general.text("stopReason")?;
    if general.flag("continue")? != Some(false) {
        return Ok(None);
    }
    Ok(Some(reason.unwrap_or_else(|| "a hook ended the turn".to_owned())))
}

/// The fields of one JSON object. Reading a field that has the wrong type is an error.
struct Fields<'a> {
    values: &'a Value,
    context: &'a ProgramContext,
}

impl Fields<'_> {
    fn text(&self, name: &str) -> Result<Option<String>, String> {
        match &self.values[name] {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(self.context.clean(text))),
            odd => Err(format!("{name}: {odd} is not a text")),
        }
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, String> {
        match &self.values[name] {
            Value::Null => Ok(None),
            Value::Bool(flag) => Ok(Some(*flag)),
            odd => Err(format!("{name}: {odd} is neither true nor false")),
        }
    }

    fn object(&self, name: &str) -> Result<Option<Map<String, Value>>, String> {
        match &self.values[name] {
            Value::Null => Ok(None),
            Value::Object(fields) => Ok(Some(fields.clone())),
            odd => Err(format!("{name}: {odd} is not an object")),
        }
    }
}
