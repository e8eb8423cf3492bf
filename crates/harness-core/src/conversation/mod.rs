//! The history as data, and the one type that keeps it valid.
//!
//! The Messages API refuses a history in which a tool call is not answered in the very next message,
//! and a client that lets one arise has lost its session for good. So nobody edits a
//! [`Conversation`] by hand: there is no `push`. Each method is total and leaves a history that can
//! be sent: a missing answer becomes "interrupted", an answer to nothing is dropped, neighbours of
//! one role are merged.

pub mod log;
pub mod message;
pub mod transcript;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use crate::conversation::message::{
    Block, Content, Message, REMINDER_OPEN, Role, ToolCall, ToolResult,
};

/// What a call is answered with when its answer never came.
pub const INTERRUPTED: &str = "interrupted: this call did not finish";

/// How a note ends on the wire.
const REMINDER_END: &str = "</system-reminder";

/// What follows this note continues the reply before it.
pub(crate) const CUT_TEXT: &str =
    "Your last reply was cut at the token limit. Continue exactly where you stopped.";

/// A place where the history may be cut: never between a call and its answer.
#[derive(Debug)]
pub struct Cut {
    at: usize,
}

/// What loading had to mend. Its text is for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repair {
    /// A call had no answer and got "interrupted".
    Answered(String),
    /// A result answered no call and was dropped.
    Dropped(String),
    /// The history did not begin with the user; a note now stands before it.
    Begun,
    /// A message held nothing and was left out.
    Empty,
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Repair::Answered(id) => write!(f, "call {id} had no result; it is marked interrupted"),
            Repair::Dropped(id) => write!(f, "a result for {id} answered no call; dropped"),
            Repair::Begun => f.write_str("the first messages are missing"),
            Repair::Empty => f.write_str("an empty message was left out"),
        }
    }
}

/// The history of one agent. It is data: cloning it forks the conversation.
#[derive(Debug, Default)]
pub struct Conversation {
    messages: Vec<Message>,
    ids: HashSet<String>,
    identity: Identity,
    /// How often what stood in it was changed, and not only added to.
    changes: u64,
}

/// How far a history had come: for [`Conversation::since`]. The default is the beginning of any.
#[derive(Clone, Debug, Default)]
pub struct Extent {
    identity: Identity,
    changes: u64,
    messages: usize,
    /// Of the last message.
    blocks: usize,
    /// Of the last message.
    delivered: usize,
}

/// Which conversation it is: the same through all that happens to it, another one for a clone.
#[derive(Clone, Default)]
pub struct Identity(Arc<()>);

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Identity {}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({:p})", self.0)
    }
}

impl Clone for Conversation {
    fn clone(&self) -> Self {
        let (messages, ids) = (self.messages.clone(), self.ids.clone());
        Self { messages, ids, identity: Identity::default(), changes: 0 }
    }
}

impl Conversation {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Which one it is.
    pub fn identity(&self) -> Identity {
        self.identity.clone()
    }

    /// The human says something. Blank text is nothing said.
    pub fn say(&mut self, text: impl Into<String>) {
        let mut text = text.into();
        if text.starts_with(REMINDER_OPEN) {
            // What the human types is never taken for the harness's voice.
            text.insert(0, '\n');
        }
        self.append(Role::User, vec![Block::text(text)], &mut Vec::new());
    }

    /// The harness tells the model something that the human did not say.
    pub fn remind(&mut self, text: impl Into<String>) {
        let mut text = text.into();
        if text.contains(REMINDER_END) {
            // What a note quotes (an output, a letter) does not end it and speak on as somebody else.
            text = text.replace(REMINDER_END, "<\\/system-reminder");
        }
        self.append(Role::User, vec![Block::Reminder(text)], &mut Vec::new());
    }

    /// Says something that has an id: a mail that begins a turn.
    pub fn say_delivering(&mut self, id: impl Into<String>, text: impl Into<String>) {
        self.say(text);
        self.deliver([id.into()]);
    }

    /// Reminds the model of something that has an id: a mail that came during a turn.
    pub fn remind_delivering(&mut self, id: impl Into<String>, text: impl Into<String>) {
        self.remind(text);
        self.deliver([id.into()]);
    }

    /// Whether the history holds what has this id: it was said, was a reminder, or came with a call's result.
    /// What was compacted away is not held any more.
    pub fn has_delivered(&self, id: &str) -> bool {
        self.messages.iter().any(|message| message.delivered.iter().any(|it| it == id))
    }

    fn deliver(&mut self, ids: impl IntoIterator<Item = String>) {
        if let Some(last) = self.messages.last_mut() {
            last.delivered.extend(ids);
        }
    }

    /// The model replied. A call id that is empty or taken (some servers repeat them) is made unique; a name
    /// that no server takes back (`functions.bash`) is spelt so that it does, or nothing could be sent again.
    pub fn reply(&mut self, message: &Message) {
        self.append(Role::Assistant, message.content.clone(), &mut Vec::new());
    }

    /// The calls of the last reply that wait for an answer, as the history holds them.
    pub fn calls(&self) -> Vec<ToolCall> {
        self.open().cloned().collect()
    }

    /// Answers the open calls, in call order whatever order the results come in.
    pub fn answer(&mut self, results: Vec<ToolResult>) {
        let delivered: Vec<String> =
            results.iter().flat_map(|result| result.delivered.iter().cloned()).collect();
        let results = results.into_iter().map(Block::ToolResult).collect();
        self.append(Role::User, results, &mut Vec::new());
        self.deliver(delivered);
    }

    /// What the model has answered: the words of its last reply, and of those before it that were cut at
    /// the token limit and went on in the next.
    pub fn answered(&self) -> String {
        let goes_on = |m: &Message| match &m.content[..] {
            [Block::Reminder(note)] => note == CUT_TEXT,
            _ => m.role == Role::Assistant,
        };
        let mut texts: Vec<String> =
            self.messages.iter().rev().take_while(|m| goes_on(m)).map(Message::text).collect();
        texts.reverse();
        texts.concat()
    }

    /// The messages, ready to be sent.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// How far it has come, however long it is: nothing is copied.
    pub fn extent(&self) -> Extent {
        Extent {
            identity: self.identity(),
            changes: self.changes,
            messages: self.messages.len(),
            blocks: self.messages.last().map_or(0, |last| last.content.len()),
            delivered: self.messages.last().map_or(0, |last| last.delivered.len()),
        }
    }

    /// What was added since then; the first message may be what the last one grew by. `None` when
    /// something was changed, and not only added to, or when it was another conversation.
    pub fn since(&self, then: &Extent) -> Option<Vec<Message>> {
        let Some(before) = then.messages.checked_sub(1) else { return Some(self.messages.clone()) };
        if then.identity != self.identity || then.changes != self.changes {
            return None;
        }
        let (last, rest) = self.messages.get(before..)?.split_first()?;
        let content = last.content.get(then.blocks..)?.to_vec();
        let delivered = last.delivered.get(then.delivered..)?.to_vec();
        let grown = (!content.is_empty() || !delivered.is_empty()).then_some(Message {
            role: last.role,
            content,
            delivered,
        });
        Some(grown.into_iter().chain(rest.iter().cloned()).collect())
    }

    /// The latest place to cut at which at least `keep` messages stay, if there is one.
    pub fn cut(&self, keep: usize) -> Option<Cut> {
        let latest = self.messages.len().checked_sub(keep)?;
        (1..=latest.min(self.messages.len().saturating_sub(1)))
            .rev()
            .find(|&at| self.messages[at].results().next().is_none())
            .map(|at| Cut { at })
    }

    /// How many messages at the end fit into so many bytes; at least one. For [`Conversation::cut`].
    pub fn fitting(&self, bytes: usize) -> usize {
        let mut sum = 0;
        let fits = |message: &&Message| {
            sum += message.size();
            sum <= bytes
        };
        self.messages.iter().rev().take_while(fits).count().max(1)
    }

    /// What a fold at this cut would replace.
    pub fn before(&self, cut: &Cut) -> &[Message] {
        &self.messages[..cut.at.min(self.messages.len())]
    }

    /// Replaces everything before the cut by a summary, told as a note. What the human said last is never
    /// left to a summary: where the cut takes it, it follows the note word for word. Thinking that came
    /// after the cut is dropped, since the server binds it to the very text that is now gone.
    pub fn compact(&mut self, cut: Cut, summary: impl Into<String>) {
        self.changes += 1;
        let kept = self.messages.split_off(cut.at.min(self.messages.len()));
        let said = |m: &Message| m.role == Role::User && !m.text().is_empty();
        let mut words = match kept.iter().any(said) {
            true => Vec::new(),
            false => {
                self.messages.iter().rfind(|m| said(m)).map_or(Vec::new(), |m| m.content.clone())
            }
        };
        words.retain(|block| matches!(block, Block::Text(_)));
        self.messages.clear();
        self.ids.clear();
        self.remind(summary);
        self.append(Role::User, words, &mut Vec::new());
        self.append_thoughtless(kept);
    }

    /// Replaces an old result by a short stub; thinking after it is dropped, as in a fold.
    pub fn shorten(&mut self, call_id: &str, stub: impl Into<String>) {
        let holds = |m: &Message| m.results().any(|result| result.tool_use_id == call_id);
        let Some(at) = self.messages.iter().position(holds) else { return };
        self.changes += 1;
        for block in &mut self.messages[at].content {
            match block {
                Block::ToolResult(result) if result.tool_use_id == call_id => {
                    result.content = Content::Text(stub.into());
                    break;
                }
                _ => {}
            }
        }
        let later = self.messages.split_off(at + 1);
        self.append_thoughtless(later);
    }

    /// Replaces what the human said where it is longer than `longest` bytes: a whole log, say, that no
    /// window holds. `stub` makes the shorter text. Thinking after it is dropped, as in a fold.
    ///
    /// # Errors
    /// The first of `stub`; that text and what follows stays.
    pub fn shorten_words<E>(
        &mut self,
        longest: usize,
        mut stub: impl FnMut(&str) -> Result<String, E>,
    ) -> Result<(), E> {
        let (mut first, mut done) = (None, Ok(()));
        let of_user = |(_, m): &(usize, &mut Message)| m.role == Role::User;
        for (at, message) in self.messages.iter_mut().enumerate().filter(of_user) {
            for block in &mut message.content {
                let Block::Text(text) = block else { continue };
                if text.text.len() > longest && done.is_ok() {
                    done = stub(&text.text).map(|shorter| text.text = shorter);
                    first.get_or_insert(at);
                }
            }
        }
        if let Some(first) = first {
            self.changes += 1;
            let later = self.messages.split_off(first + 1);
            self.append_thoughtless(later);
        }
        done
    }

    /// Puts messages back that stood here before, without their thinking.
    fn append_thoughtless(&mut self, messages: Vec<Message>) {
        for mut message in messages {
            message.content.retain(|block| !block.is_thinking());
            for call in message.calls() {
                self.ids.remove(&call.id);
            }
            self.append(message.role, message.content, &mut Vec::new());
            self.deliver(message.delivered);
        }
    }

    /// Makes a conversation of messages that were read from somewhere. It mends and tells what it
    /// mended; it never refuses, because a cut file is all that a user may have left of a day's work.
    pub fn recover(messages: Vec<Message>) -> (Self, Vec<Repair>) {
        let (mut conversation, mut repairs) = (Self::new(), Vec::new());
        for message in messages {
            conversation.append(message.role, message.content, &mut repairs);
            conversation.deliver(message.delivered);
        }
        if conversation.open().next().is_some() {
            conversation.close(Vec::new(), &mut repairs);
        }
        (conversation, repairs)
    }

    fn open(&self) -> impl Iterator<Item = &ToolCall> {
        self.messages.last().into_iter().flat_map(Message::calls)
    }

    /// The only place that adds to the history, and so the only place that keeps it valid.
    fn append(&mut self, role: Role, mut content: Vec<Block>, repairs: &mut Vec<Repair>) {
        let mut results = Vec::new();
        if role == Role::User {
            content = content
                .into_iter()
                .filter_map(|block| match block {
                    Block::ToolResult(mut result) => {
                        result.tool_use_id = sendable(&result.tool_use_id);
                        results.push(result);
                        None
                    }
                    block => Some(block),
                })
                .collect();
        }
        if self.open().next().is_some() {
            self.close(results, repairs);
        } else {
            repairs.extend(results.into_iter().map(|result| Repair::Dropped(result.tool_use_id)));
        }
        content.retain(|block| !matches!(block, Block::Text(text) if text.text.is_empty()));
        if content.iter().all(Block::is_blank) {
            repairs.extend((!content.is_empty()).then_some(Repair::Empty));
            return;
        }
        if role == Role::Assistant {
            if self.messages.is_empty() {
                repairs.push(Repair::Begun);
                self.remind("The beginning of this conversation is missing.");
            }
            for block in &mut content {
                if let Block::ToolUse(call) = block {
                    call.name = sendable(&call.name);
                    call.id = sendable(&call.id);
                    if call.name.is_empty() {
                        call.name = "nameless".to_owned();
                    }
                    self.make_unique(call);
                }
            }
        }
        self.merge(role, content);
    }

    /// Answers every open call, in call order; what is missing was interrupted.
    fn close(&mut self, mut results: Vec<ToolResult>, repairs: &mut Vec<Repair>) {
        let ids: Vec<String> = self.open().map(|call| call.id.clone()).collect();
        let mut answers = Vec::with_capacity(ids.len());
        for id in ids {
            match results.iter().position(|result| result.tool_use_id == id) {
                Some(at) => answers.push(Block::ToolResult(results.remove(at))),
                None => {
                    answers.push(Block::ToolResult(ToolResult::failed(id.clone(), INTERRUPTED)));
                    repairs.push(Repair::Answered(id));
                }
            }
        }
        repairs.extend(results.into_iter().map(|result| Repair::Dropped(result.tool_use_id)));
        self.merge(Role::User, answers);
    }

    fn merge(&mut self, role: Role, content: Vec<Block>) {
        match self.messages.last_mut() {
            Some(last) if last.role == role => last.content.extend(content),
            _ => self.messages.push(Message::new(role, content)),
        }
    }

    fn make_unique(&mut self, call: &mut ToolCall) {
        if call.id.is_empty() || self.ids.contains(&call.id) {
            let stem = if call.id.is_empty() { "call" } else { &call.id };
            let free = (1..).map(|n| format!("{stem}_{n}")).find(|id| !self.ids.contains(id));
            call.id = free.unwrap_or_default();
        }
        self.ids.insert(call.id.clone());
    }
}

/// As the Messages API takes a name or an id.
fn sendable(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    word.chars().take(200).map(|c| if plain(c) { c } else { '_' }).collect()
}
