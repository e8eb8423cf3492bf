//! The client: what the network makes necessary around [`sse`](super::sse) and
//! [`assemble`](super::assemble).

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, Response, Url};
use serde::Serialize;
use tokio::time::{Instant, timeout, timeout_at};

use super::assemble::{Assembler, Fault};
use super::config::{Config, ConfigError, shown};
use super::fault::{Failure, Shown, clip};
use super::retry::{Next, Patience, Waits};
use super::sse::Decoder;
use crate::conversation::{Block, Message};
use crate::http;
use crate::model::{Delta, Model, ModelError, ModelStream, Request};

/// The most that is read of an answer that reports an error, in bytes.
const ERROR_BODY: usize = 64 * 1024;
/// The largest answer that is read whole, in bytes.
const WHOLE_BODY: usize = 64 * 1024 * 1024;
/// An unfinished event of this size is something on its way; a smaller one may be a ping in pieces.
const UNDER_WAY: usize = 1024;

/// A model behind the Messages API. Clones share connections.
///
/// A request is sent again when the server is not available and as long as nothing of its reply has
/// been shown; every wait is told first, as [`Delta::Retrying`]. Dropping the stream ends everything.
/// The key appears in no error and no `Debug`, even where a server repeats it.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    http: reqwest::Client,
    url: Url,
    headers: HeaderMap,
    idle: Duration,
    patience: Patience,
    secrets: Vec<String>,
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
            secrets: config.secrets(&url),
            idle: config.idle,
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
        let body = timeout(self.0.idle, answer).await.ok()??;
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
        let kept = match self.is_official() {
            true => signed(request.messages),
            false => Cow::Borrowed(request.messages),
        };
        let request = &Request { messages: &kept, ..request.clone() };
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
    async fn open(&self, post: &reqwest::Request, model: &str) -> Result<Incoming, Failure> {
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
        let (kind, id) = (header("content-type"), clip(&header("request-id")));
        let (coding, location) = (header("content-encoding"), header("location"));
        if status.is_redirection() {
            let to = Url::parse(&location).map_or_else(|_| clip(&location), |url| shown(&url));
            let why = format!("it redirects to {to}; set ANTHROPIC_BASE_URL to the final address");
            return Err(Failure::refused(status.as_u16(), why));
        }
        if !status.is_success() {
            let reading = timeout(self.idle, read(&mut response, ERROR_BODY)).await;
            let body = reading.unwrap_or(Ok(String::new())).unwrap_or_default();
            return Err(Failure::answer(status.as_u16(), response.headers(), &body, model));
        }
        if !matches!(coding.as_str(), "" | "identity") {
            let why =
                format!("the answer is compressed ({}), which was not asked for", clip(&coding));
            return Err(Failure::refused(status.as_u16(), why));
        }
        if kind.starts_with("text/html") {
            let why = "the answer is a web page; check ANTHROPIC_BASE_URL";
            return Err(Failure::refused(status.as_u16(), why));
        }
        let mut incoming = Incoming {
            response,
            decoder: Decoder::default(),
            assembler: Assembler::default(),
            whole: VecDeque::new(),
            idle: self.idle,
            deadline: Instant::now() + self.idle,
            model: model.to_owned(),
            id,
        };
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
                Next::Wait(wait) => return Ok((wait, self.mask(&failure.why))),
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

    fn give_up(&self, mut failure: Failure, so_far: Shown, attempts: u32) -> ModelError {
        failure.why = self.mask(&failure.why);
        failure.into_error(attempts, so_far, &shown(&self.url))
    }

    /// Servers like to repeat the key they did not like.
    fn mask(&self, text: &str) -> String {
        let masked = |text: String, secret: &String| text.replace(secret.as_str(), "[secret]");
        self.secrets.iter().fold(text.to_owned(), masked)
    }
}

/// The history without thinking that no one signed. Local servers make such blocks and may have them
/// back; Anthropic's refuses them, for instance when a session is resumed there.
fn signed(messages: &[Message]) -> Cow<'_, [Message]> {
    let unsigned = |block: &Block| matches!(block, Block::Thinking(t) if t.signature.is_empty());
    if !messages.iter().any(|message| message.content.iter().any(unsigned)) {
        return Cow::Borrowed(messages);
    }
    let mut kept = messages.to_vec();
    for message in &mut kept {
        message.content.retain(|block| !unsigned(block));
    }
    Cow::Owned(kept)
}

/// Reads a body to its end, or to `most` bytes.
async fn read(response: &mut Response, most: usize) -> Result<String, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk[..chunk.len().min(most - body.len())]);
        if body.len() == most {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// A reply as it comes in.
struct Incoming {
    response: Response,
    decoder: Decoder,
    assembler: Assembler,
    /// What is left of an answer that came whole.
    whole: VecDeque<Delta>,
    idle: Duration,
    /// When it counts as stalled.
    deadline: Instant,
    model: String,
    /// The request's id, for whoever has to look into it.
    id: String,
}

impl Incoming {
    /// The next delta. After [`Delta::Done`] it must not be asked again.
    async fn next(&mut self) -> Result<Delta, Failure> {
        if let Some(delta) = self.whole.pop_front() {
            return Ok(delta);
        }
        loop {
            loop {
                let event = self.decoder.next_event();
                let Some(event) = event.map_err(|e| Failure::stream(e.to_string()))? else { break };
                let delta = self.assembler.push(&event);
                let delta = delta.map_err(|fault| failure(fault, &self.id, &self.model))?;
                // A server that only pings is alive, but its reply is not.
                if delta.is_some() || !is_ping(&event.name, &event.data) {
                    self.deadline = Instant::now() + self.idle;
                }
                if let Some(delta) = delta {
                    return Ok(delta);
                }
            }
            if self.decoder.waiting() > UNDER_WAY {
                self.deadline = Instant::now() + self.idle;
            }
            // Asked first: a chunk that is there already would win against any deadline.
            if Instant::now() >= self.deadline {
                return Err(Failure::stalled(self.idle));
            }
            match timeout_at(self.deadline, self.response.chunk()).await {
                Ok(Ok(Some(chunk))) => self.decoder.feed(&chunk),
                Ok(Ok(None)) => {
                    return Err(Failure::stream("it ended before the reply was complete"));
                }
                Ok(Err(error)) => return Err(Failure::network(error).within_stream()),
                Err(_) => return Err(Failure::stalled(self.idle)),
            }
        }
    }

    async fn read_whole(&mut self) -> Result<(), Failure> {
        let body = match timeout(self.idle, read(&mut self.response, WHOLE_BODY)).await {
            Ok(body) => body.map_err(|error| Failure::network(error).within_stream())?,
            Err(_) => return Err(Failure::stalled(self.idle)),
        };
        self.whole =
            Assembler::whole(&body).map_err(|fault| failure(fault, &self.id, &self.model))?.into();
        Ok(())
    }
}

fn failure(fault: Fault, request_id: &str, model: &str) -> Failure {
    match fault {
        Fault::Broken(why) => Failure::stream(why),
        Fault::Server { kind, message } => Failure::inside(kind, message, request_id, model),
    }
}

fn is_ping(name: &str, data: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Kind<'a> {
        #[serde(rename = "type", borrow)]
        kind: &'a str,
    }
    name == "ping" || serde_json::from_str(data).is_ok_and(|k: Kind<'_>| k.kind == "ping")
}
