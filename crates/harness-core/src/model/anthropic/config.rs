//! What a client must be told. All of it is passed in: core reads no environment.

use std::fmt;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::retry::Patience;
use crate::host::http::HttpError;

/// Anthropic's own server.
pub const BASE_URL: &str = "https://api.anthropic.com";

/// The API version that is asked for. There is a newer one, 2026-10-21, which differs only in what it
/// refuses (sampling parameters and two kinds of blocks, none of them sent here); this one is what
/// every server that imitates the API knows.
pub const VERSION: &str = "2023-06-01";

/// How long a stream may say nothing.
pub const IDLE: Duration = Duration::from_secs(300);

/// How a client identifies itself. Its `Debug` never shows the key.
#[derive(Clone, PartialEq, Eq)]
pub enum Key {
    /// Sent as `x-api-key`.
    ApiKey(String),
    /// Sent as `Authorization: Bearer`.
    Token(String),
    /// Nothing is sent: a local server without keys.
    None,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Key::ApiKey(_) => "ApiKey(…)",
            Key::Token(_) => "Token(…)",
            Key::None => "None",
        })
    }
}

/// What a client must be told. Its `Debug` shows neither the key nor what the headers say.
#[derive(Clone)]
pub struct Config {
    /// Where the server is: `http` or `https`. A path of its own is kept; `/v1/messages` is added to it.
    pub base_url: String,
    /// How the client identifies itself.
    pub key: Key,
    /// The API version, [`VERSION`] unless a server wants another.
    pub version: String,
    /// Headers to send as well; they replace the client's own of the same name.
    pub headers: Vec<(String, String)>,
    /// How long the server may send nothing of a reply: neither an answer, nor an event other than
    /// `ping`, nor more of a large event. Then the stream counts as stalled.
    pub idle: Duration,
    /// How patient the client is with a server that is not available.
    pub patience: Patience,
}

impl Config {
    /// Everything as usual for this server and key.
    pub fn new(base_url: impl Into<String>, key: Key) -> Self {
        Self {
            base_url: base_url.into(),
            key,
            version: VERSION.to_owned(),
            headers: Vec::new(),
            idle: IDLE,
            patience: Patience::default(),
        }
    }

    /// The base URL as a person may see it: without credentials.
    pub fn shown_url(&self) -> String {
        Url::parse(self.base_url.trim())
            .map_or_else(|_| "an address that is not a URL".into(), |url| shown(&url))
    }

    /// The address of `/v1/messages` on that server.
    pub(super) fn messages_url(&self) -> Result<Url, ConfigError> {
        let base = self.base_url.trim();
        // `127.0.0.1:4000` is no URL, `localhost:4000` one of the scheme localhost.
        if !["http://", "https://"].iter().any(|scheme| starts(base, scheme)) {
            let why = "must begin with http:// or https://".to_owned();
            return Err(ConfigError::BaseUrl(why));
        }
        let mut url = Url::parse(base)
            .map_err(|error| ConfigError::BaseUrl(format!("is not a URL ({error})")))?;
        let refuse = |why: &str| Err(ConfigError::BaseUrl(format!("{}: {why}", shown(&url))));
        if url.query().is_some() || url.fragment().is_some() {
            return refuse("must not have a query or a fragment");
        }
        let path = url.path().trim_end_matches('/').to_owned();
        if path.ends_with("/v1") {
            return refuse("must not end in /v1; the client adds /v1/messages itself");
        }
        if path.ends_with("/v1/messages") {
            return refuse("must not end in /v1/messages; the client adds it itself");
        }
        // Not Url::join, which would drop the base's own path.
        url.set_path(&format!("{path}/v1/messages"));
        Ok(url)
    }

    /// The headers of every request, but for the agent's name.
    pub(super) fn header_map(&self) -> Result<HeaderMap, ConfigError> {
        let mut map = HeaderMap::new();
        map.insert("content-type", HeaderValue::from_static("application/json"));
        let version = self.version.as_str();
        map.insert("anthropic-version", header("anthropic-version", version)?);
        match &self.key {
            Key::ApiKey(key) => drop(map.insert("x-api-key", secret(key)?)),
            Key::Token(token) => {
                map.insert("authorization", secret(&format!("Bearer {token}"))?);
            }
            Key::None => {}
        }
        for (name, value) in &self.headers {
            let key = HeaderName::from_bytes(name.trim().as_bytes())
                .map_err(|_| ConfigError::Header(name.clone()))?;
            let mut value = header(name, value.trim())?;
            value.set_sensitive(true);
            map.insert(key, value);
        }
        Ok(map)
    }

    /// What must never be shown. Very short values are no secrets, and masking them would spoil texts.
    pub(super) fn secrets(&self, url: &Url) -> Vec<String> {
        let key = match &self.key {
            Key::ApiKey(key) | Key::Token(key) => key.as_str(),
            Key::None => "",
        };
        // Betas and the like are no secrets, and errors that name them are wanted.
        let others = self.headers.iter().filter(|(name, _)| !name.starts_with("anthropic-"));
        let words = others.flat_map(|(_, value)| value.split_whitespace());
        let all = [key, url.password().unwrap_or_default()].into_iter().chain(words);
        let long = all.filter(|secret| secret.len() >= 8);
        long.map(str::to_owned).collect()
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        let url =
            Url::parse(&self.base_url).map_or_else(|_| "(no URL)".to_owned(), |url| shown(&url));
        f.debug_struct("Config")
            .field("base_url", &url)
            .field("key", &self.key)
            .field("version", &self.version)
            .field("headers", &names)
            .field("idle", &self.idle)
            .field("patience", &self.patience)
            .finish()
    }
}

/// An address as it may be shown: without name, password and query.
pub(super) fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let host = url.host_str().unwrap_or_default();
    format!("{}://{host}{port}{}", url.scheme(), url.path())
}

/// Schemes are written in any case.
fn starts(url: &str, scheme: &str) -> bool {
    url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

fn header(name: &str, value: &str) -> Result<HeaderValue, ConfigError> {
    HeaderValue::from_str(value).map_err(|_| ConfigError::Header(name.to_owned()))
}

fn secret(value: &str) -> Result<HeaderValue, ConfigError> {
    let mut value = HeaderValue::from_str(value).map_err(|_| ConfigError::Key)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Why no client can be made of a configuration. No text holds a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The address cannot be used.
    #[error("the base URL {0}; check ANTHROPIC_BASE_URL")]
    BaseUrl(String),
    /// The key holds characters that no header can carry.
    #[error("the key holds a line break or another control character; copy it once more")]
    Key,
    /// This header cannot be sent.
    #[error("the header {0:?} cannot be sent; check ANTHROPIC_CUSTOM_HEADERS")]
    Header(String),
    /// No HTTP client.
    #[error(transparent)]
    Http(#[from] HttpError),
}
