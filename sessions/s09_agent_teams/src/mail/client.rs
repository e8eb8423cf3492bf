//! What joins a mailbox and a conversation: mail comes in before each request, and is acknowledged only once
//! the conversation that holds it is on disk.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use harness_core::{AgentError, Conversation, ConversationLog, Event, Hook, HookContext, Mutex};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Mail, MailError, MailId, MailNotices, Mailbox, render};

/// How long to wait before a mailbox that failed is tried again.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// How long one call of `receive` waits for mail.
const RECEIVE_WAIT: Duration = Duration::from_secs(60);

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
    /// What of the inbox the conversation has held. It may be compacted away since, and is known all the same.
    delivered: Mutex<HashSet<MailId>>,
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
            delivered: Mutex::default(),
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
            // While the inbox is locked: see `undelivered`.
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
        let answers = |mail: &Mail| mail.in_reply_to.as_ref() == Some(id);
        self.wait_for(|mail| answers(mail).then(|| mail.clone())).await
    }

    /// Waits for the first mail of which `wanted` makes something, and returns that. The mail stays in the
    /// inbox.
    pub async fn wait_for<T>(&self, wanted: impl Fn(&Mail) -> Option<T>) -> T {
        let mut inbox = self.inbox.subscribe();
        loop {
            if let Some(found) = inbox.borrow_and_update().iter().find_map(&wanted) {
                return found;
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
        if let Err(why) = done {
            self.notices.add(why.to_string());
            return;
        }
        self.inbox.send_modify(|inbox| inbox.retain(|mail| !ids.contains(&mail.id)));
        self.delivered.lock().retain(|id| !ids.contains(id));
    }
}

/// Mail and the conversation.
impl MailClient {
    /// Whether the conversation holds this mail, or has held it.
    fn is_delivered(&self, id: &MailId, c: &Conversation) -> bool {
        c.has_delivered(&id.0) || self.delivered.lock().contains(id)
    }

    /// Remembers what the conversation holds by now.
    fn note_delivered(&self, c: &Conversation) {
        for mail in self.inbox() {
            if c.has_delivered(&mail.id.0) {
                self.delivered.lock().insert(mail.id);
            }
        }
    }

    /// The mail of the inbox that the conversation does not hold. Whoever was woken for it has it now.
    fn undelivered(&self, c: &Conversation) -> Vec<Mail> {
        // While this borrows the inbox nothing is added to it, and so no wake is lost.
        let inbox = self.inbox.borrow();
        let _ = self.wake.notified().now_or_never();
        let is_excluded = |mail: &Mail| self.is_excluded.get().is_some_and(|it| it(mail));
        let mut undelivered: Vec<Mail> = Vec::new();
        for mail in inbox.iter() {
            // A mail that its sender has sent again is in the inbox twice.
            let is_repeated = undelivered.iter().any(|it| it.id == mail.id);
            if !is_excluded(mail) && !is_repeated && !self.is_delivered(&mail.id, c) {
                undelivered.push(mail.clone());
            }
        }
        undelivered
    }

    /// The mail of the inbox that the conversation holds.
    fn delivered_inbox(&self, c: &Conversation) -> Vec<Mail> {
        let mut inbox = self.inbox();
        inbox.retain(|mail| self.is_delivered(&mail.id, c));
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
        if !self.is_delivered(&oldest.id, c) {
            c.say_delivering(&*oldest.id.0, render(&oldest));
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
            let reply = match answer {
                Ok(answer) => mail.answer(answer),
                Err(why) => mail.failure(why),
            };
            let is_question = mail.in_reply_to.is_none();
            if is_question && !self.send_with_retry(&reply, cancel).await {
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
        for mail in self.undelivered(c) {
            c.remind_delivering(&*mail.id.0, render(&mail));
        }
        Ok(())
    }

    async fn persist(&self, c: &Conversation, t: &HookContext<'_>) -> Result<(), AgentError> {
        self.log.persist(c, t).await?;
        self.note_delivered(c);
        if self.acknowledges == Acknowledge::WhenSaved {
            self.acknowledge_delivered(c).await;
        }
        Ok(())
    }

    /// Mail that has just come keeps the agent from stopping. It is delivered before the next request.
    async fn before_stop(&self, c: &Conversation, _: &HookContext<'_>) -> Option<String> {
        if self.acknowledges != Acknowledge::WhenSaved {
            return None;
        }
        let has_come = !self.undelivered(c).is_empty();
        has_come.then(|| "Mail has come. Read it before you stop.".to_owned())
    }
}
