//! What joins a mailbox and a conversation: mail comes in before each request, and is acknowledged only once
//! the conversation that holds it is on disk.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use harness_core::{
    AgentError, Block, Conversation, ConversationLog, Event, Hook, HookContext, Role,
};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Mail, MailError, MailId, MailNotices, Mailbox};

/// How long to wait before a mailbox that failed is tried again.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// How long one call of `receive` waits for mail.
const RECEIVE_WAIT: Duration = Duration::from_secs(60);
/// An answer that begins so is none: it says why there is none.
pub const FAILED: &str = "[failed] ";

/// One agent's end of the mail: its *inbox*, which is the mail that is leased to it and not acknowledged yet,
/// and the log of its conversation. A hook of that agent.
pub struct MailClient {
    /// The agent's name, which is the name of its box.
    pub name: String,
    /// Where the mail is kept.
    pub mailbox: Arc<dyn Mailbox>,
    /// What the user is to be told.
    pub notices: MailNotices,
    /// Notified when there is mail that the conversation does not hold.
    pub wake: Arc<Notify>,
    acknowledges: Acknowledge,
    /// Which mail is not for the conversation.
    is_excluded: OnceLock<fn(&Mail) -> bool>,
    inbox: watch::Sender<Vec<Mail>>,
    log: ConversationLog,
}

/// When a mail is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledge {
    /// Once the conversation that holds it is on disk. Mail that comes in the last moment keeps the agent from
    /// stopping.
    WhenSaved,
    /// Once it is answered: whoever opened the client calls [`MailClient::answer_delivered`].
    WhenAnswered,
}

impl MailClient {
    /// Takes the lease of this agent's mail, then opens the log of its conversation: with the lease, nobody
    /// else writes it. Returns what `log` returns beside the log.
    ///
    /// # Errors
    /// Another process reads the mail, the mailbox failed, or the log cannot be used.
    pub async fn open<C, E: fmt::Display>(
        name: &str,
        mailbox: Arc<dyn Mailbox>,
        notices: MailNotices,
        acknowledges: Acknowledge,
        log: impl FnOnce() -> Result<(ConversationLog, C), E>,
    ) -> Result<(Self, C), MailError> {
        let mails = mailbox.receive(name, Duration::ZERO).await?;
        let (log, kept) = log().map_err(MailError::store)?;
        let client = Self {
            name: name.to_owned(),
            mailbox,
            notices,
            wake: Arc::default(),
            acknowledges,
            is_excluded: OnceLock::new(),
            inbox: watch::Sender::new(Vec::new()),
            log,
        };
        client.put_into_inbox(mails);
        Ok((client, kept))
    }

    /// Mail like this is not for the conversation: whoever calls this reads it, and calls
    /// [`MailClient::acknowledge`]. Only the first call counts.
    pub fn exclude(&self, like_this: fn(&Mail) -> bool) {
        let _ = self.is_excluded.set(like_this);
    }

    /// What has come and is not acknowledged, oldest first.
    pub fn inbox(&self) -> Vec<Mail> {
        self.inbox.borrow().clone()
    }
}

/// Receiving and sending.
impl MailClient {
    /// Receives what has come, and waits at most `wait` for the first mail.
    ///
    /// # Errors
    /// The mailbox failed.
    pub async fn fetch(&self, wait: Duration) -> Result<(), MailError> {
        let mails = self.mailbox.receive(&self.name, wait).await?;
        self.put_into_inbox(mails);
        Ok(())
    }

    fn put_into_inbox(&self, mails: Vec<Mail>) {
        if mails.is_empty() {
            return;
        }
        self.inbox.send_modify(|inbox| {
            inbox.extend(mails);
            // While the inbox is locked: see `take_undelivered`.
            self.wake.notify_one();
        });
    }

    /// Receives once. A mailbox that fails is told to the user and left alone for a moment.
    async fn receive(&self) {
        if let Err(why) = self.fetch(RECEIVE_WAIT).await {
            self.notices.add(why.to_string());
            sleep(RETRY_DELAY).await;
        }
    }

    /// Waits until mail may have come, however often the mailbox fails. `false` if it was cancelled.
    pub async fn wait_for_mail(&self, cancel: &CancellationToken) -> bool {
        cancel.run_until_cancelled(self.receive()).await.is_some()
    }

    /// Waits for the answer to this mail, and to no other. It stays in the inbox until a conversation that
    /// holds it is on disk.
    pub async fn wait_for_answer(&self, id: &MailId) -> Mail {
        self.wait_for(|mail| mail.in_reply_to.as_ref() == Some(id)).await
    }

    /// Waits for the first mail like this. It stays in the inbox.
    pub async fn wait_for(&self, is_wanted: impl Fn(&Mail) -> bool) -> Mail {
        let mut inbox = self.inbox.subscribe();
        loop {
            if let Some(found) = inbox.borrow_and_update().iter().find(|mail| is_wanted(mail)) {
                return found.clone();
            }
            // A lead has a task that receives for it; a teammate that waits here has to receive by itself.
            tokio::select! {
                _ = inbox.changed() => {}
                () = self.receive() => {}
            }
        }
    }

    /// Sends a mail, again and again while the store fails. A mail that the mailbox refuses is told to the
    /// user and dropped. `false` if it was cancelled before.
    pub async fn send_with_retry(&self, mail: &Mail, cancel: &CancellationToken) -> bool {
        loop {
            let Err(why) = self.mailbox.send(mail.clone()).await else { return true };
            self.notices.add(format!("mail of {} to {}: {why}", mail.from, mail.to));
            let can_succeed_later = matches!(why, MailError::Store(_));
            if !can_succeed_later {
                return true;
            }
            if cancel.run_until_cancelled(sleep(RETRY_DELAY)).await.is_none() {
                return false;
            }
        }
    }

    /// Acknowledges these, and takes them out of the inbox.
    pub async fn acknowledge(&self, ids: &[MailId]) {
        let done = self.mailbox.acknowledge(&self.name, ids).await;
        self.take_out_of_inbox(ids, done);
    }

    /// Makes this mail a dead letter, and takes it out of the inbox.
    async fn reject(&self, id: &MailId, why: &str) {
        let done = self.mailbox.reject(&self.name, id, why).await;
        self.take_out_of_inbox(std::slice::from_ref(id), done);
    }

    /// Mail that could not be acknowledged stays, and is tried again.
    fn take_out_of_inbox(&self, ids: &[MailId], done: Result<(), MailError>) {
        match done {
            Ok(()) => self.inbox.send_modify(|inbox| inbox.retain(|mail| !ids.contains(&mail.id))),
            Err(why) => self.notices.add(why.to_string()),
        }
    }
}

/// Mail and the conversation.
impl MailClient {
    /// The mail of the inbox that the conversation does not hold. Whoever was woken for it has it now.
    fn take_undelivered(&self, c: &Conversation) -> Vec<Mail> {
        // While this borrows the inbox nothing is added to it, and so no wake is lost.
        let inbox = self.inbox.borrow();
        let _ = self.wake.notified().now_or_never();
        let is_excluded = self.is_excluded.get();
        let mut known = delivered(c);
        let mut undelivered = Vec::new();
        for mail in inbox.iter() {
            if is_excluded.is_some_and(|is_excluded| is_excluded(mail)) {
                continue;
            }
            // A mail that was sent twice is in the inbox twice.
            if known.insert(mail.id.clone()) {
                undelivered.push(mail.clone());
            }
        }
        undelivered
    }

    /// The mail of the inbox that the conversation holds.
    fn delivered_inbox(&self, c: &Conversation) -> Vec<Mail> {
        let mut inbox = self.inbox();
        if !inbox.is_empty() {
            let known = delivered(c);
            inbox.retain(|mail| known.contains(&mail.id));
        }
        inbox
    }

    /// Acknowledges what the conversation holds. Call it when that conversation is on disk.
    pub async fn acknowledge_delivered(&self, c: &Conversation) {
        let ids: Vec<MailId> = self.delivered_inbox(c).into_iter().map(|mail| mail.id).collect();
        if !ids.is_empty() {
            self.acknowledge(&ids).await;
        }
    }

    /// Says the oldest mail to the model. Where the conversation holds it already, a crash came between that
    /// and its answer, and the conversation goes on where it was.
    pub fn deliver_oldest(&self, c: &mut Conversation) -> Option<Mail> {
        let oldest = self.inbox().into_iter().next()?;
        if !delivered(c).contains(&oldest.id) {
            c.say(render(&oldest));
        }
        Some(oldest)
    }

    /// Sends this answer to all mail that the conversation holds, or the reason why there is none; then that
    /// mail is acknowledged. An answer is not answered: that would never end. `false` if it was cancelled, and
    /// then nothing is acknowledged.
    pub async fn answer_delivered(
        &self,
        c: &Conversation,
        answer: Result<&str, &str>,
        cancel: &CancellationToken,
    ) -> bool {
        for mail in self.delivered_inbox(c) {
            let is_question = mail.in_reply_to.is_none();
            let body = answer.map_or_else(|why| format!("{FAILED}{why}"), str::to_owned);
            if is_question && !self.send_with_retry(&mail.answer(body), cancel).await {
                return false;
            }
            if let Err(why) = answer {
                self.reject(&mail.id, why).await;
            }
        }
        self.acknowledge_delivered(c).await;
        true
    }
}

impl fmt::Debug for MailClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailClient").field("name", &self.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl Hook for MailClient {
    /// Adds what has come.
    async fn before_model(
        &self,
        c: &mut Conversation,
        t: &HookContext<'_>,
    ) -> Result<(), AgentError> {
        if let Err(why) = self.fetch(Duration::ZERO).await {
            self.notices.add(why.to_string());
        }
        for sentence in self.notices.take() {
            t.agent.emit(&Event::Notice(sentence));
        }
        for mail in self.take_undelivered(c) {
            c.remind(render(&mail));
        }
        Ok(())
    }

    async fn persist(&self, c: &Conversation, t: &HookContext<'_>) -> Result<(), AgentError> {
        self.log.persist(c, t).await?;
        if self.acknowledges == Acknowledge::WhenSaved {
            self.acknowledge_delivered(c).await;
        }
        Ok(())
    }

    /// Mail that has just come keeps the agent from stopping.
    async fn before_stop(&self, c: &Conversation, _: &HookContext<'_>) -> Option<String> {
        if self.acknowledges != Acknowledge::WhenSaved {
            return None;
        }
        self.take_undelivered(c).first().map(render)
    }
}

/// A mail as a model reads it. The first line tells a later reader which mail it was.
pub fn render(mail: &Mail) -> String {
    let answers = match &mail.in_reply_to {
        Some(id) => format!(", answer to {id}"),
        None => String::new(),
    };
    // The writer of a mail is not to speak in the harness's voice.
    let body = mail.body.replace("system-reminder>", "system-reminder >");
    format!("[mail {} from {}{answers}]\n{body}", mail.id, mail.from)
}

/// The ids of the mail that a conversation holds.
pub fn delivered(c: &Conversation) -> HashSet<MailId> {
    let users = c.messages().iter().filter(|message| message.role == Role::User);
    let heads = users.flat_map(|message| &message.content).filter_map(|block| {
        let text = match block {
            Block::Text(text) => text.text.as_str().into(),
            Block::Reminder(note) => note.as_str().into(),
            Block::ToolResult(result) => result.content.text(),
            _ => return None,
        };
        let (id, _) = text.strip_prefix("[mail ")?.split_once(" from ")?;
        Some(MailId(id.to_owned()))
    });
    heads.collect()
}
