//! The mailbox against a real Redis: the suite of all mailboxes, then what only a server can do to it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use harness_core::mail::{Mail, MailError, MailId, Mailbox, News};
use harness_testkit::mailboxes::{NAMES, conforms};
use harness_testkit::{Pause, Redis};
use s22_production_mailbox::{NoRedis, RedisMailbox, shown};

/// Waiting in vain is bounded by this.
const LONG: Duration = Duration::from_secs(60);
const NOW: Duration = Duration::ZERO;

async fn open(url: &str, space: &str) -> RedisMailbox {
    RedisMailbox::open(url, space, NAMES, News::default()).await.unwrap()
}

#[tokio::test]
async fn redis_conforms() {
    let Some(redis) = Redis::start() else { return };
    let spaces = AtomicUsize::new(0);
    conforms(async || {
        let space = format!("s{}", spaces.fetch_add(1, Ordering::Relaxed));
        let url = redis.url();
        move || {
            let (url, space) = (url.clone(), space.clone());
            async move { Arc::new(open(&url, &space).await) as Arc<dyn Mailbox> }
        }
    })
    .await;
}
