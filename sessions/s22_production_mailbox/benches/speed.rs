//! How many mails a second go through each mailbox, sent, received and acknowledged; run by `cargo xtask
//! bench`. The Redis is one of its own, started for this, with everything on disk.

use std::sync::Arc;
use std::time::{Duration, Instant};

use harness_testkit::{Folder, Redis, Row};
use s09_agent_teams::mail::{FileMailbox, Mail, MailError, MailNotices, Mailbox, MemoryMailbox};
use s22_production_mailbox::RedisMailbox;

const NAMES: [&str; 2] = ["ada", "bob"];
const MAILS: usize = 2000;
const WAIT: Duration = Duration::from_secs(30);

type Shared = Arc<dyn Mailbox>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    for writers in [1, 8] {
        let memory = MemoryMailbox::new(NAMES);
        let each = (0..writers).map(|_| Arc::new(memory.clone()) as Shared).collect();
        report("memory", writers, measure(Arc::new(memory), each).await?);

        let folder = Folder::new();
        let open = || FileMailbox::open(folder.path(), NAMES, MailNotices::default());
        let each: Result<Vec<_>, _> =
            (0..writers).map(|_| Ok(Arc::new(open()?) as Shared)).collect();
        report(
            "file",
            writers,
            measure(Arc::new(open()?), each.map_err(|why: MailError| why)?).await?,
        );

        let Some(redis) = Redis::start() else {
            Row::missing(name("Redis", writers), "no redis-server on PATH").print();
            continue;
        };
        let (url, space) = (redis.url(), format!("bench{writers}"));
        let open = || RedisMailbox::open(&url, &space, NAMES, MailNotices::default());
        let mut each = Vec::new();
        for _ in 0..writers {
            each.push(Arc::new(open().await?) as Shared);
        }
        report("Redis", writers, measure(Arc::new(open().await?), each).await?);
    }
    Ok(())
}

/// Every writer has a mailbox of its own, as in a process of its own; the reader reads while they write.
async fn measure(reader: Shared, writers: Vec<Shared>) -> Result<Duration, MailError> {
    let begun = Instant::now();
    let each = MAILS / writers.len();
    for mailbox in writers {
        tokio::spawn(async move {
            for number in 0..each {
                mailbox.send(Mail::new("bob", "ada", format!("mail {number}"))).await?;
            }
            Ok::<_, MailError>(())
        });
    }
    let mut came = 0;
    while came < MAILS {
        let mails = reader.receive("ada", WAIT).await?;
        if mails.is_empty() {
            return Err(MailError::Store(format!("only {came} mails came")));
        }
        came += mails.len();
        let ids: Vec<_> = mails.into_iter().map(|mail| mail.id).collect();
        reader.acknowledge("ada", &ids).await?;
    }
    Ok(begun.elapsed())
}

fn report(mailbox: &str, writers: usize, took: Duration) {
    Row::new(name(mailbox, writers), MAILS as f64 / took.as_secs_f64(), "1/s").print();
}

fn name(mailbox: &str, writers: usize) -> String {
    let s = if writers == 1 { "" } else { "s" };
    format!("mails, {mailbox}, {writers} writer{s}")
}
