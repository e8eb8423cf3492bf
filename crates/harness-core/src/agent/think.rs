//! One half of a step: asking the model, until there is a reply that can be acted on.

use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::agent::hook::{HookContext, HookReason};
use crate::agent::{Agent, AgentError};
use crate::conversation::message::{Block, Message};
use crate::conversation::{CUT_TEXT, Conversation};
use crate::event::Event;
use crate::model::models;
use crate::model::{Delta, ModelError, Reply, Request, StopReason};

/// How often a reply that was cut at its token limit is continued.
const CONTINUATIONS: u32 = 3;
/// How often a server-side tool may ask to be called again.
const PAUSES: u32 = 10;

const CUT_CALL: &str = "Your last reply was cut at the token limit in the middle of a tool call. \
    The call was not run. Take smaller steps.";
const EMPTY: &str = "Your last reply was empty. Go on, or say that you are done.";

/// How one request ended.
enum Heard {
    Reply(Reply),
    /// The words so far.
    Cancelled(String),
    /// The words so far, and what went wrong.
    Failed(String, ModelError),
}

impl Agent {
    /// Asks the model for its next reply. `None`: interrupted, and what was said so far is kept.
    ///
    /// Replies that are not an end by themselves are dealt with here: a reply cut at the token limit is
    /// asked for again or continued, a paused one is resumed, an empty one is asked about once, and a
    /// prompt that is too long gives the hooks one chance to shorten it.
    ///
    /// # Errors
    /// The model could not be asked, or its reply cannot be used.
    pub async fn think(
        &self,
        conversation: &mut Conversation,
        cancel: &CancellationToken,
    ) -> Result<Option<Reply>, AgentError> {
        let (mut why, mut max_tokens) = (HookReason::Step, self.max_tokens);
        let (mut continued, mut paused, mut asked_again) = (0, 0, false);
        loop {
            if !self.prepare(conversation, cancel, why).await? {
                return Ok(None);
            }
            let mut reply = match self.ask(conversation, cancel, why, max_tokens).await {
                Heard::Reply(reply) => reply,
                Heard::Cancelled(said) => {
                    self.persist_said(conversation, cancel, said).await?;
                    return Ok(None);
                }
                Heard::Failed(_, ModelError::TooLong { .. }) if why == HookReason::Step => {
                    why = HookReason::Overflow;
                    continue;
                }
                Heard::Failed(said, error) => {
                    self.persist_said(conversation, cancel, said).await?;
                    return Err(error.into());
                }
            };
            match &reply.stop {
                StopReason::MaxTokens | StopReason::WindowExceeded => {
                    let cut_call = matches!(reply.message.content.last(), Some(Block::ToolUse(_)));
                    let ceiling = models::max_output(&self.model_id);
                    if cut_call && reply.stop == StopReason::MaxTokens && max_tokens < ceiling {
                        max_tokens = ceiling; // once more, with room; nothing of it was kept or run
                        continue;
                    }
                    if cut_call {
                        reply.message.content.pop();
                        if reply.message.calls().next().is_some() {
                            return Ok(Some(reply)); // the whole calls before the cut one can run
                        }
                    }
                    conversation.reply(&reply.message);
                    continued += 1;
                    if continued > CONTINUATIONS {
                        self.persist(conversation, cancel).await?;
                        return Err(AgentError::CutOff(max_tokens));
                    }
                    if reply.stop == StopReason::WindowExceeded {
                        why = HookReason::Overflow;
                    }
                    conversation.remind(if cut_call { CUT_CALL } else { CUT_TEXT });
                }
                StopReason::PauseTurn => {
                    paused += 1;
                    conversation.reply(&reply.message);
                    if paused > PAUSES {
                        self.persist(conversation, cancel).await?;
                        return Err(AgentError::Paused(PAUSES));
                    }
                }
                StopReason::Other(word) if reply.message.calls().next().is_none() => {
                    conversation.reply(&reply.message); // it was shown, so it is kept
                    self.persist(conversation, cancel).await?;
                    return Err(AgentError::UnknownStop(word.clone()));
                }
                StopReason::EndTurn if !asked_again && is_empty(&reply.message) => {
                    asked_again = true;
                    conversation.reply(&reply.message);
                    conversation.remind(EMPTY);
                }
                _ => return Ok(Some(reply)),
            }
            self.persist(conversation, cancel).await?;
        }
    }

    /// Lets the hooks prepare the conversation. `false`: interrupted meanwhile.
    async fn prepare(
        &self,
        conversation: &mut Conversation,
        cancel: &CancellationToken,
        why: HookReason,
    ) -> Result<bool, AgentError> {
        for hook in &self.hooks {
            let turn = HookContext { agent: self, cancel, why };
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(false),
                done = hook.before_model(conversation, &turn) => done?,
            }
        }
        self.persist(conversation, cancel).await?;
        Ok(!cancel.is_cancelled())
    }

    async fn ask(
        &self,
        conversation: &Conversation,
        cancel: &CancellationToken,
        why: HookReason,
        max_tokens: u32,
    ) -> Heard {
        let mut request = Request {
            agent: &self.name,
            model: &self.model_id,
            max_tokens,
            system: self.system.blocks().into(),
            tools: self.tools.specs(),
            messages: conversation.messages(),
            marks: Vec::new(),
            extra: models::extra(&self.model_id),
        };
        for hook in &self.hooks {
            hook.shape_request(&mut request, &HookContext { agent: self, cancel, why });
        }
        let mut stream = self.model.stream(&request);
        let mut said = String::new();
        loop {
            let delta = tokio::select! {
                biased;
                () = cancel.cancelled() => return Heard::Cancelled(said),
                delta = stream.next() => delta,
            };
            match delta {
                Some(Ok(Delta::Done(mut reply))) => {
                    reply.answered_for(&self.model_id);
                    self.emit(&Event::Replied(reply.clone()));
                    return Heard::Reply(reply);
                }
                Some(Ok(Delta::Retrying { wait, why })) => {
                    self.emit(&Event::Retrying { wait, why })
                }
                Some(Ok(delta)) => {
                    if let Delta::Text(text) = &delta {
                        said.push_str(text);
                    }
                    self.emit(&Event::Delta(delta));
                }
                Some(Err(error)) => return Heard::Failed(said, error),
                None => {
                    let why = "the stream ended without a reply".to_owned();
                    return Heard::Failed(said, ModelError::Broken { why });
                }
            }
        }
    }

    /// Keeps the words of a reply that never ended. Half-made calls and their thinking are gone.
    async fn persist_said(
        &self,
        conversation: &mut Conversation,
        cancel: &CancellationToken,
        said: String,
    ) -> Result<(), AgentError> {
        conversation.reply(&Message::assistant(vec![Block::text(said)]));
        self.persist(conversation, cancel).await
    }
}

fn is_empty(message: &Message) -> bool {
    message.calls().next().is_none() && message.text().trim().is_empty()
}
