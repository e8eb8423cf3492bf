//! Errors of the SDK, in words.

use std::error::Error;

/// What is really wrong: the error behind all others.
pub(super) fn root_cause(error: &dyn Error) -> String {
    match error.source() {
        Some(source) => root_cause(source),
        None => error.to_string(),
    }
}
