//! Mail in this process alone: for tests, and where there is nothing better.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use super::{Mail, MailError, MailId, Mailbox, look_until};
use crate::host::mutex::Mutex;

/// Boxes in memory. A clone is another reader of the same boxes; what a reader had leased when it is
/// dropped is given to the next.
#[derive(Debug)]
pub struct MemoryMailbox {
    shared: Arc<Shared>,
    reader: u64,
}

#[derive(Debug, Default)]
struct Shared {
    boxes: Mutex<BTreeMap<String, Vec<Item>>>,
    dead: Mutex<Vec<(Mail, String)>>,
    came: Notify,
    readers: AtomicU64,
}

#[derive(Debug)]
struct Item {
    mail: Mail,
    leased: Option<u64>,
}

impl MemoryMailbox {
    /// Boxes for these agents.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let shared = Shared::default();
        let boxes = names.into_iter().map(|name| (name.to_owned(), Vec::new())).collect();
        *shared.boxes.lock() = boxes;
        Self { shared: Arc::new(shared), reader: 0 }
    }

    /// What was given up, and why.
    pub fn dead(&self) -> Vec<(Mail, String)> {
        self.shared.dead.lock().clone()
    }

    fn of<T>(&self, name: &str, act: impl FnOnce(&mut Vec<Item>) -> T) -> Result<T, MailError> {
        let mut boxes = self.shared.boxes.lock();
        if let Some(items) = boxes.get_mut(name) {
            return Ok(act(items));
        }
        Err(MailError::Unknown { name: name.to_owned(), known: boxes.keys().cloned().collect() })
    }
}

impl Clone for MemoryMailbox {
    fn clone(&self) -> Self {
        let reader = 1 + self.shared.readers.fetch_add(1, Ordering::Relaxed);
        Self { shared: self.shared.clone(), reader }
    }
}

impl Drop for MemoryMailbox {
    fn drop(&mut self) {
        let mut boxes = self.shared.boxes.lock();
        boxes
            .values_mut()
            .flatten()
            .for_each(|item| _ = item.leased.take_if(|by| *by == self.reader));
    }
}

#[async_trait]
impl Mailbox for MemoryMailbox {
    async fn send(&self, mail: Mail) -> Result<MailId, MailError> {
        mail.check()?;
        let id = mail.id.clone();
        self.of(&mail.to.clone(), |items| items.push(Item { mail, leased: None }))?;
        self.shared.came.notify_waiters();
        Ok(id)
    }

    async fn receive(&self, name: &str, wait: Duration) -> Result<Vec<Mail>, MailError> {
        let look = || {
            self.of(name, |items| {
                let free = items.iter_mut().filter(|item| item.leased.is_none());
                let lease = |item: &mut Item| {
                    item.leased = Some(self.reader);
                    item.mail.clone()
                };
                free.map(lease).collect::<Vec<_>>()
            })
        };
        look_until(wait, wait, &self.shared.came, || ready(look())).await
    }

    async fn acknowledge(&self, name: &str, ids: &[MailId]) -> Result<(), MailError> {
        self.of(name, |items| items.retain(|item| !ids.contains(&item.mail.id)))
    }

    async fn give_up(&self, name: &str, id: &MailId, why: &str) -> Result<(), MailError> {
        let found = self.of(name, |items| {
            let dead = items.iter().find(|item| item.mail.id == *id).map(|item| item.mail.clone());
            items.retain(|item| item.mail.id != *id);
            dead
        })?;
        self.shared.dead.lock().extend(found.map(|mail| (mail, why.to_owned())));
        Ok(())
    }

    async fn names(&self) -> Result<Vec<String>, MailError> {
        Ok(self.shared.boxes.lock().keys().cloned().collect())
    }

    async fn waiting(&self, name: &str) -> Result<usize, MailError> {
        self.of(name, |items| items.len())
    }
}
