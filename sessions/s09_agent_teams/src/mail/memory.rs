//! Mail in this process alone: for tests, and where there is nothing better.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use harness_core::Mutex;
use tokio::sync::Notify;

use super::{Mail, MailError, MailId, Mailbox, poll_until};

/// Boxes in memory. A clone is another reader of the same boxes; when a reader is dropped, what it had leased
/// is given to the next.
#[derive(Debug)]
pub struct MemoryMailbox {
    store: Arc<Store>,
    reader: u64,
}

/// What all readers share.
#[derive(Debug, Default)]
struct Store {
    boxes: Mutex<BTreeMap<String, Vec<StoredMail>>>,
    dead: Mutex<Vec<(Mail, String)>>,
    arrived: Notify,
    readers: AtomicU64,
}

#[derive(Debug)]
struct StoredMail {
    mail: Mail,
    /// The number of the reader that it is given out to.
    leased_to: Option<u64>,
}

impl MemoryMailbox {
    /// Boxes for these agents.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let boxes = names.into_iter().map(|name| (name.to_owned(), Vec::new())).collect();
        let store = Store { boxes: Mutex::new(boxes), ..Store::default() };
        Self { store: Arc::new(store), reader: 0 }
    }

    /// The dead letters, each with the reason.
    pub fn dead(&self) -> Vec<(Mail, String)> {
        self.store.dead.lock().clone()
    }

    /// Runs `act` on one box.
    fn with_box<T>(
        &self,
        name: &str,
        act: impl FnOnce(&mut Vec<StoredMail>) -> T,
    ) -> Result<T, MailError> {
        let mut boxes = self.store.boxes.lock();
        if let Some(mails) = boxes.get_mut(name) {
            return Ok(act(mails));
        }
        Err(MailError::Unknown { name: name.to_owned(), known: boxes.keys().cloned().collect() })
    }

    /// Leases to this reader what nobody has.
    fn lease_free(&self, name: &str) -> Result<Vec<Mail>, MailError> {
        self.with_box(name, |mails| {
            let mut leased = Vec::new();
            for stored in mails.iter_mut().filter(|stored| stored.leased_to.is_none()) {
                stored.leased_to = Some(self.reader);
                leased.push(stored.mail.clone());
            }
            leased
        })
    }
}

impl Clone for MemoryMailbox {
    fn clone(&self) -> Self {
        let reader = 1 + self.store.readers.fetch_add(1, Ordering::Relaxed);
        Self { store: self.store.clone(), reader }
    }
}

impl Drop for MemoryMailbox {
    fn drop(&mut self) {
        let mut boxes = self.store.boxes.lock();
        for stored in boxes.values_mut().flatten() {
            if stored.leased_to == Some(self.reader) {
                stored.leased_to = None;
            }
        }
    }
}

#[async_trait]
impl Mailbox for MemoryMailbox {
    async fn send(&self, mail: Mail) -> Result<MailId, MailError> {
        mail.check()?;
        let id = mail.id.clone();
        let to = mail.to.clone();
        self.with_box(&to, |mails| mails.push(StoredMail { mail, leased_to: None }))?;
        self.store.arrived.notify_waiters();
        Ok(id)
    }

    async fn receive(&self, name: &str, wait: Duration) -> Result<Vec<Mail>, MailError> {
        // All writers are in this process and notify us, so there is no need to poll in between.
        let interval = wait;
        poll_until(wait, interval, &self.store.arrived, || ready(self.lease_free(name))).await
    }

    async fn acknowledge(&self, name: &str, ids: &[MailId]) -> Result<(), MailError> {
        self.with_box(name, |mails| mails.retain(|stored| !ids.contains(&stored.mail.id)))
    }

    async fn reject(&self, name: &str, id: &MailId, why: &str) -> Result<(), MailError> {
        let found = self.with_box(name, |mails| {
            let at = mails.iter().position(|stored| stored.mail.id == *id)?;
            let first = mails.remove(at);
            mails.retain(|stored| stored.mail.id != *id); // copies that were sent again
            Some(first.mail)
        })?;
        if let Some(mail) = found {
            self.store.dead.lock().push((mail, why.to_owned()));
        }
        Ok(())
    }

    async fn names(&self) -> Result<Vec<String>, MailError> {
        Ok(self.store.boxes.lock().keys().cloned().collect())
    }

    async fn unacknowledged(&self, name: &str) -> Result<usize, MailError> {
        self.with_box(name, |mails| mails.len())
    }
}
