//! What is known of each model, dated.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// The model used when nothing else is said.
pub const DEFAULT: &str = "claude-sonnet-5-5";

/// The most output tokens this model gives in one reply.
pub fn max_output(_model_id: &str) -> u32 {
    128_000
}

/// What this model wants in a request beside the usual fields.
pub fn extra(_model_id: &str) -> Cow<'static, Map<String, Value>> {
    Cow::Owned(Map::new())
}
/// stub
pub fn known(_id: &str) -> Option<()> {
    None
}
/// stub
pub fn cost(_id: &str, _u: &crate::model::Usage) -> Option<f64> {
    None
}
/// stub
pub fn notice(_id: &str) -> Option<String> {
    None
}
