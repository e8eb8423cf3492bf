//! The smallest client that can drive an agent over HTTP; the real one is tested where it lives.

use std::net::SocketAddr;

use futures_util::StreamExt;
use harness_core::{
    Block, Content, Delta, Effect, Message, Model, ModelError, ModelStream, Reply, Request,
    StopReason, Tool, ToolContext, ToolError, Usage,
};
use harness_testkit::raw;
use serde_json::{Value, json};

/// A body with this one message, and `stream`.
pub(crate) fn ask(text: &str) -> Value {
    json!({
        "model": "claude-sonnet-5-5", "max_tokens": 1024, "stream": true,
        "messages": [{"role": "user", "content": text}],
    })
}

/// The body grown by a reply and what the user says to it.
pub(crate) fn grown(body: &Value, reply: Value, user: Value) -> Value {
    let mut body = body.clone();
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": reply}));
    messages.push(json!({"role": "user", "content": user}));
    body
}

pub(crate) struct Client(pub(crate) SocketAddr);

impl Model for Client {
    fn stream(&self, request: &Request<'_>) -> ModelStream {
        let body = serde_json::to_string(request).unwrap();
        let (address, agent) = (self.0, request.agent.to_owned());
        async_stream::stream! {
            let headers = [("x-harness-agent", agent.as_str())];
            let mut answer = raw::send(address, "POST", "/v1/messages", &headers, &body).await;
            if answer.status != 200 {
                let why = answer.text().await;
                yield Err(ModelError::Refused { status: answer.status, why });
                return;
            }
            let reply = answer.json().await;
            let message: Message =
                serde_json::from_value(json!({"role": "assistant", "content": reply["content"]}))
                    .unwrap();
            for block in &message.content {
                if let Block::Text(text) = block {
                    yield Ok(Delta::Text(text.text.clone()));
                }
            }
            let stop = StopReason::from_wire(reply["stop_reason"].as_str().unwrap());
            yield Ok(Delta::Done(Reply::new(message, stop, Usage::default())));
        }
        .boxed()
    }
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
pub(crate) struct Input {
    /// What to say.
    word: String,
}

pub(crate) struct Echo;

impl Tool for Echo {
    const NAME: &'static str = "echo";
    const ABOUT: &'static str = "Says it again.";
    type Input = Input;

    fn effect(&self, _: &Input) -> Effect {
        Effect::Internal
    }

    async fn call(&self, input: Input, _: &ToolContext) -> Result<Content, ToolError> {
        match input.word.as_str() {
            "fail" => Err(ToolError::Failed("it failed\nbadly".to_owned())),
            word => Ok(word.into()),
        }
    }
}
