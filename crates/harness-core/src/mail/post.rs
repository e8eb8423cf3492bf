//! What stands between a mailbox and a conversation: mail comes in before each request, and counts as
//! done only once the conversation that holds it is on disk.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::agent::AgentError;
use crate::agent::hook::{Hook, HookContext};
use crate::conversation::Conversation;
use crate::conversation::log::ConversationLog;
use crate::conversation::message::{Block, Role};
use crate::event::Event;
use async_trait::async_trait;
use futures_util::FutureExt;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::{Mail, MailError, MailId, Mailbox, News};

/// So long a mailbox that failed is left alone.
const REST: Duration = Duration::from_secs(1);
/// An answer that begins so is none: it says why there is none.
pub const FAILED: &str = "[failed] ";
/// So long one look into the mailbox waits.
const LOOK: Duration = Duration::from_secs(60);

/// One agent's end of the post: its mail that is leased and not acknowledged yet, and the record of its
/// conversation. A hook of that agent.
pub struct Post {
    /// Whose it is.
    pub name: String,
    /// Where the mail is kept.
    pub mailbox: Arc<dyn Mailbox>,
    /// What the user is to be told.
    pub news: News,
    /// Told when there is mail that the conversation does not hold.
    pub wake: Arc<Notify>,
    when: Done,
    aside: OnceLock<fn(&Mail) -> bool>,
    inbox: watch::Sender<Vec<Mail>>,
    record: ConversationLog,
}

/// When a mail is done, and acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// When it is in the saved conversation: somebody reads on. Before it stops it is told what has come.
    Kept,
    /// When it is answered: whoever opened this calls [`Post::settle`].
    Answered,
}

impl Post {
    /// Takes the lease of this agent's mail, then opens its record: nobody else writes it from here on.
    ///
    /// # Errors
    /// Somebody else reads the mail, the mailbox failed, or the record cannot be used.
    pub async fn open<C, E: std::fmt::Display>(
        name: &str,
        mailbox: Arc<dyn Mailbox>,
        news: News,
        when: Done,
        record: impl FnOnce() -> Result<(ConversationLog, C), E>,
    ) -> Result<(Self, C), MailError> {
        let mails = mailbox.receive(name, Duration::ZERO).await?;
        let (record, kept) = record().map_err(|why| MailError::Store(why.to_string()))?;
        let (wake, aside, inbox) =
            (Arc::default(), OnceLock::new(), watch::Sender::new(Vec::new()));
        let post = Self { name: name.to_owned(), mailbox, news, wake, when, aside, inbox, record };
        post.take(mails);
        Ok((post, kept))
    }

    /// Takes what has come, and waits so long for the first.
    ///
    /// # Errors
    /// The mailbox failed.
    pub async fn fetch(&self, wait: Duration) -> Result<(), MailError> {
        self.take(self.mailbox.receive(&self.name, wait).await?);
        Ok(())
    }

    fn take(&self, mails: Vec<Mail>) {
        if !mails.is_empty() {
            // Told while the inbox is locked: see `take_notice`.
            self.inbox.send_modify(|inbox| {
                inbox.extend(mails);
                self.wake.notify_one();
            });
        }
    }

    /// Waits for mail, whatever the mailbox goes through. `false`: cancelled.
    pub async fn wait(&self, cancel: &CancellationToken) -> bool {
        cancel.run_until_cancelled(self.look()).await.is_some()
    }

    async fn look(&self) {
        if let Err(why) = self.fetch(LOOK).await {
            self.news.add(why.to_string());
            tokio::time::sleep(REST).await;
        }
    }

    /// Sends a mail, whatever the mailbox goes through. What nobody can take is told.
    pub async fn send(&self, mail: &Mail, cancel: &CancellationToken) -> bool {
        while let Err(why) = self.mailbox.send(mail.clone()).await {
            self.news.add(format!("mail of {} to {}: {why}", mail.from, mail.to));
            if !matches!(why, MailError::Store(_)) {
                return true;
            }
            if cancel.run_until_cancelled(tokio::time::sleep(REST)).await.is_none() {
                return false;
            }
        }
        true
    }

    /// Waits for the answer to this mail, and to no other. It stays in the inbox until a conversation
    /// that holds it is on disk.
    pub async fn answer_to(&self, id: &MailId) -> Mail {
        self.first(|mail| mail.in_reply_to.as_ref() == Some(id)).await
    }

    /// Waits for a mail that is like this. It stays in the inbox.
    pub async fn first(&self, wanted: impl Fn(&Mail) -> bool) -> Mail {
        let mut inbox = self.inbox.subscribe();
        loop {
            if let Some(found) = inbox.borrow_and_update().iter().find(|mail| wanted(mail)) {
                return found.clone();
            }
            // Whoever waits here fetches by itself: a teammate has nobody who does.
            tokio::select! {
                _ = inbox.changed() => {}
                () = self.look() => {}
            }
        }
    }

    /// Mail like this is not for the conversation: whoever asks for it reads it and calls [`Post::done`].
    pub fn set_aside(&self, like_this: fn(&Mail) -> bool) {
        let _ = self.aside.set(like_this);
    }

    /// What has come and is not acknowledged, oldest first.
    pub fn inbox(&self) -> Vec<Mail> {
        self.inbox.borrow().clone()
    }

    /// The same, without what the conversation holds; whoever is woken for it is told here.
    fn take_notice(&self, c: &Conversation) -> Vec<Mail> {
        let inbox = self.inbox.borrow(); // while it is locked nobody adds, and nobody wakes
        let _ = self.wake.notified().now_or_never();
        let (mut held, aside) = (held(c), self.aside.get());
        let mine = inbox.iter().filter(|mail| !aside.is_some_and(|aside| aside(mail)));
        mine.filter(|mail| held.insert(mail.id.clone())).cloned().collect()
    }

    /// Acknowledges what the conversation holds: it is on disk by now.
    pub async fn settle(&self, c: &Conversation) {
        let held = if self.inbox.borrow().is_empty() { return } else { held(c) };
        let mut ids: Vec<MailId> = self.inbox().into_iter().map(|mail| mail.id).collect();
        ids.retain(|id| held.contains(id));
        self.done(&ids).await;
    }

    /// Acknowledges these: they need no conversation, or are safe in one.
    pub async fn done(&self, ids: &[MailId]) {
        self.acknowledged(ids, self.mailbox.acknowledge(&self.name, ids).await);
    }

    /// Says the oldest mail, unless the conversation holds it already: then a crash came between that and its
    /// answer, and the conversation goes on where it was.
    pub fn begin(&self, c: &mut Conversation) -> Option<Mail> {
        let first = self.inbox().into_iter().next()?;
        if !held(c).contains(&first.id) {
            c.say(shown(&first));
        }
        Some(first)
    }

    /// Answers all that the conversation holds, or says why there is no answer ([`FAILED`]); then it is done.
    /// An answer is not answered: that would never end. `false`: cancelled, and nothing is done.
    pub async fn answer(
        &self,
        c: &Conversation,
        answer: Result<&str, &str>,
        cancel: &CancellationToken,
    ) -> bool {
        let held = held(c);
        let mails = self.inbox().into_iter().filter(|mail| held.contains(&mail.id));
        for mail in mails {
            let body = answer.map_or_else(|why| format!("{FAILED}{why}"), str::to_owned);
            let asks = mail.in_reply_to.is_none();
            if asks && !self.send(&mail.answer(body), cancel).await {
                return false;
            }
            if let Err(why) = answer {
                let gone = self.mailbox.give_up(&self.name, &mail.id, why).await;
                self.acknowledged(std::slice::from_ref(&mail.id), gone);
            }
        }
        self.settle(c).await;
        true
    }

    fn acknowledged(&self, ids: &[MailId], done: Result<(), MailError>) {
        match done {
            Ok(()) => self.inbox.send_modify(|inbox| inbox.retain(|mail| !ids.contains(&mail.id))),
            Err(why) => self.news.add(why.to_string()), // it stays, and is tried again
        }
    }
}

impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Post").field("name", &self.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl Hook for Post {
    async fn before_model(
        &self,
        c: &mut Conversation,
        t: &HookContext<'_>,
    ) -> Result<(), AgentError> {
        if let Err(why) = self.fetch(Duration::ZERO).await {
            self.news.add(why.to_string());
        }
        self.news.take().into_iter().for_each(|sentence| t.agent.emit(&Event::Notice(sentence)));
        self.take_notice(c).iter().for_each(|mail| c.remind(shown(mail)));
        Ok(())
    }

    async fn persist(&self, c: &Conversation, t: &HookContext<'_>) -> Result<(), AgentError> {
        self.record.persist(c, t).await?;
        if self.when == Done::Kept {
            self.settle(c).await;
        }
        Ok(())
    }

    async fn before_stop(&self, c: &Conversation, _: &HookContext<'_>) -> Option<String> {
        (self.when == Done::Kept).then(|| self.take_notice(c).first().map(shown)).flatten()
    }
}

/// A mail as a model reads it. The first line tells a later reader which mail it was.
pub fn shown(mail: &Mail) -> String {
    let answers = mail.in_reply_to.as_ref().map(|id| format!(", answer to {id}"));
    // Whoever writes a mail is not to speak in the harness's voice.
    let body = mail.body.replace("system-reminder>", "system-reminder >");
    format!("[mail {} from {}{}]\n{body}", mail.id, mail.from, answers.unwrap_or_default())
}

/// The mails that a conversation holds.
pub fn held(c: &Conversation) -> HashSet<MailId> {
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
