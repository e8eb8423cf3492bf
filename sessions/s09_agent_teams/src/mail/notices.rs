//! What a mailbox has to tell the user.

use std::collections::VecDeque;
use std::sync::Arc;

use harness_core::Mutex;

/// Sentences for the user: a damaged line, a lost connection. A mailbox adds them, a front shows them. Clones
/// share one list.
#[derive(Clone, Debug, Default)]
pub struct MailNotices(Arc<Mutex<VecDeque<String>>>);

impl MailNotices {
    /// Adds a sentence, unless it repeats the last one.
    pub fn add(&self, sentence: impl Into<String>) {
        let sentence = sentence.into();
        let mut all = self.0.lock();
        if all.back() != Some(&sentence) {
            all.push_back(sentence);
        }
    }

    /// Takes the sentences that were not shown yet, oldest first.
    pub fn take(&self) -> Vec<String> {
        self.0.lock().drain(..).collect()
    }
}
