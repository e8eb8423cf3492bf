//! The stream's events as they stand on the wire: one flat struct for all of them.
//!
//! A long reply is tens of thousands of tiny events, so this is the one place of the client where
//! speed counts. An internally tagged enum would buffer each event as a tree first; a flat struct
//! reads it in one pass, and strings without escapes are borrowed from the bytes that came.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;

use crate::model::Usage;

/// Any event. What an event does not have is empty.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Wire<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: Str<'a>,
    pub(super) index: u64,
    #[serde(borrow)]
    pub(super) delta: Option<WireDelta<'a>>,
    #[serde(borrow)]
    pub(super) content_block: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) message: Option<WireMessage<'a>>,
    #[serde(borrow)]
    pub(super) usage: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

/// The `delta` of `content_block_delta` and of `message_delta`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct WireDelta<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: Str<'a>,
    #[serde(borrow)]
    pub(super) text: Str<'a>,
    #[serde(borrow)]
    pub(super) partial_json: Str<'a>,
    #[serde(borrow)]
    pub(super) thinking: Str<'a>,
    #[serde(borrow)]
    pub(super) signature: Str<'a>,
    #[serde(borrow)]
    pub(super) citation: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) stop_reason: Str<'a>,
    #[serde(borrow)]
    pub(super) stop_details: Option<&'a RawValue>,
}

/// The `message` of `message_start`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct WireMessage<'a> {
    /// Which model replies.
    #[serde(borrow)]
    pub(super) model: Str<'a>,
    #[serde(borrow)]
    pub(super) usage: Option<&'a RawValue>,
}

/// Token counts. Each may be absent or null; then what was said before stays.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct WireUsage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation: Option<WireCreation>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireCreation {
    ephemeral_5m_input_tokens: Option<u64>,
    ephemeral_1h_input_tokens: Option<u64>,
}

impl WireUsage {
    /// Counts that cannot be read are no reason to lose a reply.
    pub(super) fn read(raw: &RawValue) -> Option<Self> {
        serde_json::from_str(raw.get()).ok()
    }

    /// The counts are running totals: the newest replaces the older ones, nothing is added up.
    pub(super) fn merge_into(self, usage: &mut Usage) {
        let Self { input_tokens, output_tokens, cache_read_input_tokens, .. } = self;
        let split = self.cache_creation.unwrap_or_default();
        let one_hour = split.ephemeral_1h_input_tokens;
        let sum = split.ephemeral_5m_input_tokens.map(|n| n.saturating_add(one_hour.unwrap_or(0)));
        let created = self.cache_creation_input_tokens.or(sum).or(one_hour);
        for (count, newest) in [
            (&mut usage.input_tokens, input_tokens),
            (&mut usage.output_tokens, output_tokens),
            (&mut usage.cache_read_input_tokens, cache_read_input_tokens),
            (&mut usage.cache_creation_input_tokens, created),
            (&mut usage.cache_creation_1h_tokens, one_hour),
        ] {
            *count = newest.unwrap_or(*count);
        }
    }
}

/// Why a refusal is one.
pub(super) struct StopDetails;

impl StopDetails {
    /// The explanation, else the category.
    pub(super) fn read(raw: &RawValue) -> Option<String> {
        let details: serde_json::Value = serde_json::from_str(raw.get()).ok()?;
        let field = |name: &str| details[name].as_str().map(str::to_owned);
        field("explanation").or_else(|| field("category"))
    }
}

/// A string, borrowed where it has no escapes; null is "". (serde's own `Cow` always copies inside an
/// `Option`, and refuses null outside one.)
#[derive(Default)]
pub(super) struct Str<'a>(Cow<'a, str>);

impl Str<'_> {
    pub(super) fn into_owned(self) -> String {
        self.0.into_owned()
    }
}

impl Deref for Str<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Str<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Str<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or null")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Str<'de>, E> {
                Ok(Str(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Str<'de>, E> {
                Ok(Str(Cow::Owned(text.to_owned())))
            }

            fn visit_unit<E: de::Error>(self) -> Result<Str<'de>, E> {
                Ok(Str::default())
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}
