//! The client: what the network makes necessary around [`sse`](super::sse) and
//! [`assemble`](super::assemble).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde::Serialize;
use tokio::time::timeout;

use super::config::{Config, ConfigError, shown};
use super::fault::{Failure, Masks, Shown};
use super::incoming::{Incoming, read};
use super::retry::{Next, Patience, Waits};
use crate::conversation::message::{Block, Message};
use crate::host::http;
use crate::model::{Delta, Model, ModelError, ModelStream, Request};

/// The most that is read of an answer that reports an error, in bytes.
const ERROR_BODY: usize = 64 * 1024;
/// The longest that a count is waited for. It is only ever better than an estimate.
const COUNT: Duration = Duration::from_secs(30);
/// An idle time beyond this is none; and a clock cannot run over.
const NEVER: Duration = Duration::from_secs(7 * 24 * 3600);

/// A model behind the Messages API. Clones share connections.
///
/// A request is sent again when the server is not available and as long as nothing of its reply has
/// been shown; every wait is told first, as [`Delta::Retrying`]. Dropping the stream ends everything.
/// The key appears in no error and no `Debug`, even where a server repeats it.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

pub(super) struct Inner {
    http: reqwest::Client,
    url: Url,
    headers: HeaderMap,
    pub(super) idle: Duration,
    patience: Patience,
    pub(super) masks: Masks,
}

impl Client {
    /// Makes a client; nothing is sent yet.
    ///
    /// # Errors
    /// The address, the key or a header cannot be used.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        let url = config.messages_url()?;
        Ok(Self(Arc::new(Inner {
            http: http::client(&url)?,
            headers: config.header_map()?,
            masks: Masks::new(config.secrets(&url)),
            idle: config.idle.min(NEVER),
            patience: config.patience,
            url,
        })))
    }

    /// How many tokens this request's prompt has, as the server counts; an estimate, and free.
    /// `None`: the server does not say (many that imitate the API cannot), so use your own estimate.
    pub async fn count_tokens(&self, request: &Request<'_>) -> Option<u64> {
        const TAKEN: [&str; 9] = [
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
        let mut body = serde_json::to_value(request).ok()?;
        body.as_object_mut()?.retain(|field, _| TAKEN.contains(&field.as_str()));
        let mut url = self.0.url.clone();
        url.set_path(&format!("{}/count_tokens", url.path()));
        let post = self.0.post(url, serde_json::to_vec(&body).ok()?, request.agent).ok()?;
        let answer = async {
            let mut response = self.0.http.execute(post).await.ok()?.error_for_status().ok()?;
            read(&mut response, ERROR_BODY).await.ok()
        };
        let body = timeout(self.0.idle.min(COUNT), answer).await.ok()??;
        serde_json::from_str::<serde_json::Value>(&body).ok()?["input_tokens"].as_u64()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("url", &shown(&self.0.url)).finish_non_exhaustive()
    }
}

impl Model for Client {
    fn stream(&self, request: &Request<'_>) -> ModelStream {
        let inner = Arc::clone(&self.0);
        let model = request.model.to_owned();
        let post = inner.messages(request);
        Box::pin(async_stream::try_stream! {
            let post = post?;
            let mut waits = Waits::new(inner.patience);
            loop {
                let mut so_far = Shown::Nothing;
                let failure = match inner.open(&post, &model).await {
                    Err(failure) => failure,
                    Ok(mut incoming) => loop {
                        match incoming.next().await {
                            Ok(delta) => {
                                let done = matches!(delta, Delta::Done(_));
                                so_far = Shown::Something;
                                yield delta;
                                if done {
                                    return;
                                }
                            }
                            Err(failure) => break failure,
                        }
                    },
                };
                let wait = inner.after(failure, so_far, &mut waits)?;
                yield Delta::Retrying { wait: wait.0, why: wait.1 };
                tokio::time::sleep(wait.0).await;
            }
        })
    }
}

impl Inner {
    /// The request, ready to be sent as often as need be. The history is written out once, here.
    fn messages(&self, request: &Request<'_>) -> Result<reqwest::Request, ModelError> {
        #[derive(Serialize)]
        struct Body<'a> {
            #[serde(flatten)]
            request: &'a Request<'a>,
            stream: bool,
        }
        let (kept, without);
        let request = match self.is_official().then(|| signed(request.messages)).flatten() {
            Some(messages) => {
                kept = messages;
                without = Request { messages: &kept, ..request.clone() };
                &without
            }
            None => request,
        };
        let mut body = Vec::new();
        serde_json::to_writer(&mut body, &Body { request, stream: true }).map_err(|error| {
            ModelError::Other(format!("the request cannot be written: {error}"))
        })?;
        self.post(self.url.clone(), body, request.agent)
    }

    fn post(&self, url: Url, body: Vec<u8>, agent: &str) -> Result<reqwest::Request, ModelError> {
        let mut headers = self.headers.clone();
        // Scripted servers choose their scene by it; nobody else needs to know.
        if http::is_loopback(&url)
            && let Ok(agent) = HeaderValue::from_bytes(agent.as_bytes())
        {
            headers.insert("x-harness-agent", agent);
        }
        // The builder turns a name and password in the URL into a header; ours replace it.
        let post = self.http.request(Method::POST, url).headers(headers).body(body).build();
        post.map_err(|error| self.give_up(Failure::network(error), Shown::Nothing, 1))
    }

    fn is_official(&self) -> bool {
        self.url.host_str().is_some_and(|host| host.ends_with(".anthropic.com"))
    }

    /// Sends the request and waits for the answer's head.
    async fn open(
        self: &Arc<Self>,
        post: &reqwest::Request,
        model: &str,
    ) -> Result<Incoming, Failure> {
        let Some(post) = post.try_clone() else {
            return Err(Failure::stream("the request cannot be sent again"));
        };
        let answer = timeout(self.idle, self.http.execute(post)).await;
        let mut response = match answer {
            Ok(response) => response.map_err(Failure::network)?,
            Err(_) => return Err(Failure::stalled(self.idle)),
        };
        let status = response.status();
        let header = |name: &str| {
            let value = response.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let (kind, id) = (header("content-type"), self.masks.line(&header("request-id")));
        let (coding, location) = (header("content-encoding"), header("location"));
        if status.is_redirection() {
            let to = Url::parse(&location).map_or(location, |url| shown(&url));
            let to = self.masks.line(&to);
            let why = format!("it redirects to {to}; set ANTHROPIC_BASE_URL to the final address");
            return Err(Failure::refused(status.as_u16(), why));
        }
        if !status.is_success() {
            let reading = timeout(self.idle, read(&mut response, ERROR_BODY)).await;
            let body = reading.unwrap_or(Ok(String::new())).unwrap_or_default();
            return Err(Failure::answer(
                status.as_u16(),
                response.headers(),
                &body,
                model,
                &self.masks,
            ));
        }
        if !matches!(coding.as_str(), "" | "identity") {
            let why = format!(
                "the answer is compressed ({}), which was not asked for",
                self.masks.line(&coding)
            );
            return Err(Failure::refused(status.as_u16(), why));
        }
        if kind.starts_with("text/html") {
            let why = "the answer is a web page; check ANTHROPIC_BASE_URL";
            return Err(Failure::refused(status.as_u16(), why));
        }
        let mut incoming = Incoming::new(Arc::clone(self), response, model, id);
        if kind.starts_with("application/json") {
            incoming.read_whole().await?;
        }
        Ok(incoming)
    }

    /// After a failed attempt: how long to wait and why, or the error that ends it.
    fn after(
        &self,
        mut failure: Failure,
        so_far: Shown,
        waits: &mut Waits,
    ) -> Result<(Duration, String), ModelError> {
        let attempts = waits.attempts;
        if failure.retry && so_far == Shown::Nothing {
            match waits.next(failure.after, failure.stalled) {
                Next::Wait(wait) => return Ok((wait, failure.told(&shown(&self.url)))),
                Next::TooLong(wait) => {
                    let (wait, most) = (wait.as_secs(), self.patience.budget.as_secs());
                    failure.why = format!(
                        "{}; it asks to wait {wait} s, and at most {most} s are waited in all",
                        failure.why
                    );
                }
                Next::GiveUp => {}
            }
        }
        Err(self.give_up(failure, so_far, attempts))
    }

    fn give_up(&self, failure: Failure, so_far: Shown, attempts: u32) -> ModelError {
        failure.into_error(attempts, so_far, &shown(&self.url))
    }
}

/// The history without thinking that no one signed. Local servers make such blocks and may have them
/// back; Anthropic's refuses them, for instance when a session is resumed there.
/// `None` where there are none, as nearly always.
fn signed(messages: &[Message]) -> Option<Vec<Message>> {
    let unsigned = |block: &Block| matches!(block, Block::Thinking(t) if t.signature.is_empty());
    if !messages.iter().flat_map(|message| &message.content).any(unsigned) {
        return None;
    }
    let mut kept = messages.to_vec();
    for message in &mut kept {
        message.content.retain(|block| !unsigned(block));
    }
    Some(kept)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_thinking_that_no_one_signed_is_left_out() {
        let message = |signature: &str| {
            serde_json::from_value::<Message>(json!({"role": "assistant", "content": [
                {"type": "thinking", "thinking": "Hm", "signature": signature},
                {"type": "text", "text": "Hi"}]}))
            .unwrap()
        };
        assert_eq!(signed(&[message("Eo")]), None);
        let kept = signed(&[message("Eo"), message("")]).unwrap();
        assert_eq!(kept[0], message("Eo"));
        assert_eq!(kept[1].content, [Block::text("Hi")]);
    }
}
