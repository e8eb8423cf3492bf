//! A reply on its way in: chunks of a response through [`sse`](super::sse) and
//! [`assemble`](super::assemble), and the watch over silence.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Response;
use tokio::time::{Instant, timeout, timeout_at};

use super::assemble::{Assembler, Fault};
use super::client::Inner;
use super::fault::Failure;
use super::sse::Decoder;
use crate::model::Delta;

/// The largest answer that is read whole, in bytes.
const WHOLE_BODY: usize = 64 * 1024 * 1024;
/// An unfinished event of this size is something on its way; a smaller one may be a ping in pieces.
const UNDER_WAY: usize = 1024;
/// How long the end of a stream is waited for once the reply is complete.
const LAST: Duration = Duration::from_millis(200);

/// Reads a body to its end, or to `most` bytes.
pub(super) async fn read(response: &mut Response, most: usize) -> Result<String, reqwest::Error> {
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
pub(super) struct Incoming {
    client: Arc<Inner>,
    response: Response,
    decoder: Decoder,
    assembler: Assembler,
    /// What is left of an answer that came whole.
    whole: VecDeque<Delta>,
    model: String,
    /// The request's id, for whoever has to look into it.
    id: String,
}

impl Incoming {
    pub(super) fn new(client: Arc<Inner>, response: Response, model: &str, id: String) -> Self {
        Self {
            client,
            response,
            decoder: Decoder::default(),
            assembler: Assembler::default(),
            whole: VecDeque::new(),
            model: model.to_owned(),
            id,
        }
    }

    /// The next delta. After [`Delta::Done`] it must not be asked again.
    pub(super) async fn next(&mut self) -> Result<Delta, Failure> {
        if let Some(delta) = self.whole.pop_front() {
            return Ok(delta);
        }
        // Counted from here: the time that a slow reader takes is not the server's.
        let mut deadline = Instant::now() + self.client.idle;
        loop {
            loop {
                let event = self.decoder.next_event();
                let Some(event) = event.map_err(|e| Failure::stream(e.to_string()))? else { break };
                let delta = self.assembler.push(&event);
                let delta =
                    delta.map_err(|fault| failure(fault, &self.id, &self.model, &self.client))?;
                // A server that only pings is alive, but its reply is not.
                match delta {
                    Some(Delta::Done(reply)) => {
                        self.read_out().await;
                        return Ok(Delta::Done(reply));
                    }
                    Some(delta) => return Ok(delta),
                    None if is_ping(&event.name, &event.data) => {}
                    None => deadline = Instant::now() + self.client.idle,
                }
            }
            if self.decoder.waiting() > UNDER_WAY {
                deadline = Instant::now() + self.client.idle;
            }
            // Asked first: a chunk that is there already would win against any deadline.
            if Instant::now() >= deadline {
                return Err(Failure::stalled(self.client.idle));
            }
            match timeout_at(deadline, self.response.chunk()).await {
                Ok(Ok(Some(chunk))) => self.decoder.feed(&chunk),
                Ok(Ok(None)) => {
                    return Err(Failure::stream("it ended before the reply was complete"));
                }
                Ok(Err(error)) => return Err(Failure::network(error).within_stream()),
                Err(_) => return Err(Failure::stalled(self.client.idle)),
            }
        }
    }

    /// Reads what comes after the reply, which is the end. Only then is the connection free for the next
    /// request; without this every turn pays for a new one, TLS and all.
    async fn read_out(&mut self) {
        let ended = async { while let Ok(Some(_)) = self.response.chunk().await {} };
        let _ = timeout(LAST, ended).await;
    }

    /// Reads an answer that is no stream.
    pub(super) async fn read_whole(&mut self) -> Result<(), Failure> {
        let body = match timeout(self.client.idle, read(&mut self.response, WHOLE_BODY)).await {
            Ok(body) => body.map_err(|error| Failure::network(error).within_stream())?,
            Err(_) => return Err(Failure::stalled(self.client.idle)),
        };
        self.whole = Assembler::whole(&body)
            .map_err(|fault| failure(fault, &self.id, &self.model, &self.client))?
            .into();
        Ok(())
    }
}

fn failure(fault: Fault, request_id: &str, model: &str, client: &Inner) -> Failure {
    match fault {
        Fault::Broken(why) => Failure::stream(client.masks.line(&why)),
        Fault::Server { kind, message } => {
            Failure::inside(kind, message, request_id, model, &client.masks)
        }
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
