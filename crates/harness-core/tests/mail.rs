//! The suite that every mailbox passes, on those that live here; then what only files can suffer.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;

use harness_core::mail::{FileMailbox, Mailbox, MemoryMailbox, News};
use harness_testkit::Folder;
use harness_testkit::mailboxes::{NAMES, conforms};

#[tokio::test]
async fn memory_conforms() {
    conforms(async || {
        let store = MemoryMailbox::new(NAMES);
        move || {
            let reader = store.clone();
            async move { Arc::new(reader) as Arc<dyn Mailbox> }
        }
    })
    .await;
}

#[tokio::test]
async fn files_conform() {
    conforms(async || {
        let folder = Arc::new(Folder::in_memory());
        move || {
            let folder = folder.clone();
            async move {
                let mailbox = FileMailbox::open(folder.path(), NAMES, News::default()).unwrap();
                Arc::new(mailbox) as Arc<dyn Mailbox>
            }
        }
    })
    .await;
}
