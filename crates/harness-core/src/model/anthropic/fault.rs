//! What went wrong, in the server's words, and whether it is worth another attempt.
//!
//! Servers say it in many shapes: Anthropic's envelope, OpenAI's, a bare string, a proxy's HTML page.
//! All end as one line. The table of what is tried again is the one Anthropic's SDKs use.

use std::error::Error;
use std::time::Duration;

use serde_json::Value;

use super::retry;
use crate::model::ModelError;
use crate::model::models;

/// The longest text of a server that is shown, in characters.
const SHOWN: usize = 300;

/// An error's words, out of any shape.
#[derive(Debug, Default)]
pub(super) struct Words {
    pub(super) kind: String,
    pub(super) message: String,
    pub(super) request_id: String,
    code: String,
    /// The body was JSON that holds an error: the API's own word, not some proxy's page.
    api: bool,
}

impl Words {
    pub(super) fn read(body: &str) -> Self {
        let Ok(json) = serde_json::from_str::<Value>(body) else {
            return Self { message: without_tags(body), ..Self::default() };
        };
        let error = &json["error"];
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        let message = match error {
            Value::String(_) => text(error),
            Value::Object(_) if !error["message"].is_null() => text(&error["message"]),
            Value::Object(_) => text(error),
            _ => ["message", "detail"].map(|field| text(&json[field])).concat(),
        };
        let message = if message.is_empty() { body.to_owned() } else { message };
        // LiteLLM adds which of its models it was, and what it did not try.
        let own = message.find("\n\nLiteLLM: ").unwrap_or(message.len());
        Self {
            message: message[..own].to_owned(),
            kind: text(&error["type"]),
            code: text(&error["code"]),
            request_id: text(&json["request_id"]),
            api: !error.is_null(),
        }
    }

    fn too_long(&self) -> bool {
        let said = self.message.to_ascii_lowercase();
        self.kind == "exceed_context_size_error"
            || self.code == "context_length_exceeded"
            || ["prompt is too long", "exceed context limit", "maximum context length"]
                .iter()
                .any(|words| said.contains(words))
    }

    /// The status this error would have had, had it come before the stream began.
    fn status(&self) -> u16 {
        match self.kind.as_str() {
            "invalid_request_error" | "policy_blocked" | "exceed_context_size_error" => 400,
            "authentication_error" => 401,
            "billing_error" => 402,
            "permission_error" => 403,
            "not_found_error" => 404,
            "request_too_large" => 413,
            "rate_limit_error" => 429,
            "overloaded_error" => 529,
            "not_supported" => 501,
            _ => 500,
        }
    }

    /// LiteLLM has statuses of its own for a wrong key (it would look it up in a database, and has none)
    /// and for a model that is not in its list.
    fn in_a_gateway(&self, status: u16) -> u16 {
        match status {
            400 if self.kind == "no_db_connection" => 401,
            400 if self.message.contains("Invalid model name passed in") => 404,
            status => status,
        }
    }

    /// What a provider behind LiteLLM refused: nothing that this program's settings could mend.
    fn behind_a_gateway(&self, status: u16) -> Option<&'static str> {
        let said = |words| self.message.contains(words);
        Some(match status {
            _ if !self.message.starts_with("litellm.") => return None,
            401 | 500 if said("Missing credentials") || said("Missing Anthropic API Key") => {
                "the key is missing where the gateway runs"
            }
            401 | 403 => "the provider refused the gateway's key, not this program's",
            404 => {
                "the provider does not have what the gateway asks it for: look at this model's entry in the gateway's configuration"
            }
            _ => return None,
        })
    }

    /// One line, the error's type and the request's id with it.
    fn line(&self, masks: &Masks) -> String {
        let [kind, message, id] =
            [&self.kind, &self.message, &self.request_id].map(|text| masks.line(text));
        let mut line = match (kind.is_empty(), message.is_empty()) {
            (true, true) => "no reason given".to_owned(),
            (true, false) => message,
            (false, true) => kind,
            (false, false) => format!("{kind}: {message}"),
        };
        if !id.is_empty() {
            line.push_str(&format!(" [{id}]"));
        }
        line
    }
}

/// A failed attempt.
#[derive(Debug)]
pub(super) struct Failure {
    cause: Cause,
    /// One line, secrets masked.
    pub(super) why: String,
    pub(super) retry: bool,
    /// How long the server asks to wait.
    pub(super) after: Option<Duration>,
    /// It cost the whole idle time: worth one more attempt, not seven.
    pub(super) stalled: bool,
}

#[derive(Debug)]
enum Cause {
    Unreachable,
    Stream,
    Unauthorized,
    NoSuchModel,
    TooLong,
    Refused(u16),
    Unavailable,
}

impl Failure {
    fn new(cause: Cause, why: String, retry: bool) -> Self {
        Self { cause, why, retry, after: None, stalled: false }
    }

    /// The stream ended early or made no sense.
    pub(super) fn stream(why: impl Into<String>) -> Self {
        Self::new(Cause::Stream, why.into(), true)
    }

    /// Nothing came for the whole idle time.
    pub(super) fn stalled(idle: Duration) -> Self {
        let why = format!("nothing but silence or pings for {idle:?}");
        Self { stalled: true, ..Self::stream(why) }
    }

    /// Sending it again would not help.
    pub(super) fn refused(status: u16, why: impl Into<String>) -> Self {
        Self::new(Cause::Refused(status), why.into(), false)
    }

    /// The request did not get through. A bad certificate stays bad; all else is
    /// worth another attempt.
    pub(super) fn network(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let tls = chain(&error).any(|cause| cause.is::<rustls::Error>());
        let retry = !tls && !error.is_builder();
        // The outer errors only say that a request failed; the innermost says why.
        let told = chain(&error).last().map(ToString::to_string).unwrap_or_default();
        Self::new(Cause::Unreachable, clip(&told), retry)
    }

    /// The same, after the answer had begun.
    pub(super) fn within_stream(self) -> Self {
        Self { cause: Cause::Stream, retry: true, ..self }
    }

    /// An answer other than 200.
    pub(super) fn answer(
        status: u16,
        headers: &reqwest::header::HeaderMap,
        body: &str,
        model: &str,
        masks: &Masks,
    ) -> Self {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let mut words = Words::read(body);
        if let Some(id) = header("request-id") {
            words.request_id = id.to_owned();
        }
        let mut failure = Self::judged(status, &words, model, masks);
        match header("x-should-retry") {
            Some("true") => failure.retry = true,
            Some("false") => failure.retry = false,
            _ => {}
        }
        failure.after = retry::asked(header("retry-after-ms"), header("retry-after"));
        failure
    }

    /// An error that came inside a stream that had begun well.
    pub(super) fn inside(
        kind: String,
        message: String,
        request_id: &str,
        model: &str,
        masks: &Masks,
    ) -> Self {
        let request_id = request_id.to_owned();
        let words = Words { kind, message, request_id, api: true, ..Words::default() };
        Self::judged(words.status(), &words, model, masks)
    }

    fn judged(status: u16, words: &Words, model: &str, masks: &Masks) -> Self {
        let line = words.line(masks);
        if let Some(what) = words.behind_a_gateway(status) {
            return Self::refused(status, format!("{line}; {what}"));
        }
        let cause = match words.in_a_gateway(status) {
            401 | 403 => Cause::Unauthorized,
            // A server also says 404 in the API's own shape when only the address is wrong.
            404 if words.api && line.to_lowercase().contains("model") => {
                let known = models::notice(model).map(|notice| format!("{notice}; "));
                let why = format!("{}{line}", known.unwrap_or_default());
                return Self::new(Cause::NoSuchModel, why, false);
            }
            404 | 405 => {
                let why = "there is no Messages API at this address; check ANTHROPIC_BASE_URL";
                return Self::refused(status, format!("{line}; {why}"));
            }
            402 => return Self::refused(402, format!("{line}; look at the account's billing")),
            413 => Cause::TooLong,
            400 if words.too_long() => Cause::TooLong,
            408 | 409 | 429 | 500.. => {
                // vLLM and LiteLLM report an overlong prompt as a server fault now and then.
                if words.too_long() {
                    return Self::new(Cause::TooLong, line, false);
                }
                return Self::new(Cause::Unavailable, format!("{status} {line}"), true);
            }
            status => Cause::Refused(status),
        };
        Self::new(cause, line, false)
    }

    /// Why it is tried again.
    pub(super) fn told(self, url: &str) -> String {
        match self.cause {
            Cause::Unreachable => format!("cannot reach {url} ({})", self.why),
            _ => self.why,
        }
    }

    /// The error that ends the request: after so many attempts, with or without words shown.
    pub(super) fn into_error(self, attempts: u32, shown: Shown, url: &str) -> ModelError {
        let why = self.why;
        match (shown, self.cause) {
            (Shown::Something, _) => ModelError::Broken { why },
            (_, Cause::Unreachable) => ModelError::Unreachable { url: url.to_owned(), why },
            (_, Cause::Stream | Cause::Unavailable) => ModelError::Unavailable { attempts, why },
            (_, Cause::Unauthorized) => ModelError::Unauthorized { why },
            (_, Cause::NoSuchModel) => ModelError::NoSuchModel { why },
            (_, Cause::TooLong) => ModelError::TooLong { why },
            (_, Cause::Refused(status)) => ModelError::Refused { status, why },
        }
    }
}

/// Whether anything of the reply has left the client: then the request is not sent again, because the
/// user would read the beginning twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Nothing,
    Something,
}

/// An error and what caused it.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| cause(*error))
}

/// What caused an error. An I/O error hides one level: its `source` skips what it wraps.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<std::io::Error>() {
        Some(error) => error.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    }
}

/// A page without its tags, scripts and styles.
fn without_tags(page: &str) -> String {
    let mut text = String::new();
    let mut rest = page;
    while let Some(open) = rest.find('<') {
        text.push_str(&rest[..open]);
        let tag = &rest[open..];
        let hidden = ["script", "style"].into_iter().find(|name| {
            tag.get(1..=name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name))
        });
        let end = match hidden {
            Some(name) => tag.find(&format!("</{name}")).map_or(tag.len(), |end| end + 1),
            None => 0,
        };
        let Some(close) = tag[end..].find('>') else {
            rest = if hidden.is_some() { "" } else { tag };
            break;
        };
        text.push(' ');
        rest = &tag[end + close + 1..];
    }
    text + rest
}

/// What must not be shown, even where a server repeats it.
#[derive(Default)]
pub(super) struct Masks(Vec<String>);

impl Masks {
    pub(super) fn new(secrets: Vec<String>) -> Self {
        Self(secrets)
    }

    /// A server's text as one line that can be shown. Masked before it is clipped: half a key is one too.
    pub(super) fn line(&self, text: &str) -> String {
        let mask = |text: String, secret: &String| text.replace(secret.as_str(), "[secret]");
        clip(&self.0.iter().fold(text.to_owned(), mask))
    }
}

/// One line of at most [`SHOWN`] characters, without control characters.
fn clip(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}
