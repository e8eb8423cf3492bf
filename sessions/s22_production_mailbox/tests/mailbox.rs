//! The mailbox against a real Redis: the suite of all mailboxes, then what only a server can do to it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use harness_testkit::{Pause, Redis};
use s09_agent_teams::mail::conformance::{NAMES, conforms};
use s09_agent_teams::mail::{
    MAX_BODY_BYTES, Mail, MailError, MailId, MailNotices, MailOutcome, Mailbox,
};
use s22_production_mailbox::{NoRedis, RedisMailbox, without_password};
use tokio_util::sync::CancellationToken;

/// Waiting in vain is bounded by this.
const LONG: Duration = Duration::from_secs(60);
const NOW: Duration = Duration::ZERO;

async fn open(url: &str, space: &str) -> RedisMailbox {
    RedisMailbox::open(url, space, NAMES, MailNotices::default()).await.unwrap()
}

fn mail(body: &str) -> Mail {
    Mail::new("bob", "ada", body)
}

fn bodies(mails: &[Mail]) -> Vec<&str> {
    mails.iter().map(|mail| mail.body.as_str()).collect()
}

fn ids(mails: &[Mail]) -> Vec<MailId> {
    mails.iter().map(|mail| mail.id.clone()).collect()
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

/// Sends numbers until it is enough, and says how many; a request that is not whole fails the test.
async fn write(mailbox: RedisMailbox, from: String, enough: CancellationToken) -> usize {
    let mut number = 0;
    while !enough.is_cancelled() {
        mailbox.send(Mail::new(&from, "ada", number.to_string())).await.unwrap();
        number += 1;
    }
    number
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_ten_times_in_mid_work_loses_and_doubles_nothing() {
    let Some(mut redis) = Redis::start() else { return };
    let (notices, enough) = (MailNotices::default(), CancellationToken::new());
    let reader = RedisMailbox::open(&redis.url(), "s", NAMES, notices.clone()).await.unwrap();
    let (first, second) = (open(&redis.url(), "s").await, open(&redis.url(), "s").await);
    let first = tokio::spawn(write(first, "0".to_owned(), enough.clone()));
    let second = tokio::spawn(write(second, "1".to_owned(), enough.clone()));
    let (mut next, mut told) = ([0; 2], Vec::new());
    let mut read = async || {
        let mails = reader.receive("ada", LONG).await.unwrap();
        for mail in &mails {
            let writer: usize = mail.from.parse().unwrap();
            assert_eq!(mail.body, next[writer].to_string(), "each once, in the order of {writer}");
            next[writer] += 1;
        }
        reader.acknowledge("ada", &ids(&mails)).await.unwrap();
        told.extend(notices.take());
        next
    };
    let mut came = [0; 2];
    for _ in 0..10 {
        let enough = read().await.map(|before| before + 10);
        while came.iter().zip(enough).any(|(came, enough)| *came < enough) {
            came = read().await;
        }
        redis.kill(); // while both write
        // This request meets no server, waits for it, and is whole.
        let asked = reader.unacknowledged("ada");
        let again = async { tokio::task::block_in_place(|| redis.start_again()) };
        tokio::join!(asked, again).0.unwrap();
    }
    enough.cancel();
    let sent = [first.await.unwrap(), second.await.unwrap()];
    while came != sent {
        came = read().await;
    }
    assert_eq!(reader.receive("ada", NOW).await.unwrap(), []);
    told.extend(notices.take());
    let lost = told.iter().filter(|it| it.contains("is lost")).count();
    let back = told.iter().filter(|it| it.contains("is back, after")).count();
    assert_eq!((lost, back, told.len()), (10, 10, 20), "told once each: {told:#?}");
}

#[tokio::test]
async fn a_server_that_stays_away_is_told_in_time_and_what_was_given_out_is_kept() {
    let Some(mut redis) = Redis::start() else { return };
    let mailbox = open(&redis.url(), "s").await;
    mailbox.send(mail("one")).await.unwrap();
    let mails = mailbox.receive("ada", LONG).await.unwrap();
    redis.kill();
    let begun = Instant::now();
    let lost = mail("two");
    let why = mailbox.send(lost.clone()).await.unwrap_err().to_string();
    assert!(begun.elapsed() < Duration::from_secs(90), "{:?}", begun.elapsed());
    assert!(why.starts_with("redis+unix://") && !why.contains('\n'), "{why}");
    assert_eq!(mailbox.receive("ada", NOW).await, Ok(vec![]), "who reads waits on");
    redis.start_again();
    mailbox.send(lost).await.unwrap();
    mailbox.acknowledge("ada", &ids(&mails)).await.unwrap();
    assert_eq!(bodies(&mailbox.receive("ada", LONG).await.unwrap()), ["two"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_holds_nobody_for_ever() {
    let Some(redis) = Redis::start() else { return };
    let notices = MailNotices::default();
    let mailbox = RedisMailbox::open(&redis.url(), "s", NAMES, notices.clone()).await.unwrap();
    redis.pause(Pause::Stopped);
    let begun = Instant::now();
    let why = mailbox.send(mail("one")).await.unwrap_err().to_string();
    assert!(begun.elapsed() < Duration::from_secs(90), "{:?}", begun.elapsed());
    assert!(why.starts_with("redis+unix://"), "{why}");
    let away =
        RedisMailbox::open(&redis.url(), "s", NAMES, MailNotices::default()).await.unwrap_err();
    assert!(matches!(away, NoRedis::Away(_)), "{away}");
    redis.pause(Pause::Over);
    // It may have taken the mail after we had given it up: sent again it is the same mail.
    mailbox.send(mail("two")).await.unwrap();
    assert!(bodies(&mailbox.receive("ada", LONG).await.unwrap()).contains(&"two"));
}

#[tokio::test]
async fn a_server_that_forgets_everything_is_told_and_used_again() {
    let Some(mut redis) = Redis::with(&["--appendonly", "no"]) else { return };
    let notices = MailNotices::default();
    let mailbox = RedisMailbox::open(&redis.url(), "s", NAMES, notices.clone()).await.unwrap();
    let told = mailbox.describe().await;
    assert!(
        told.ends_with("; its appendonly is off, so mail is gone when it is restarted"),
        "{told}"
    );
    mailbox.send(mail("gone")).await.unwrap();
    mailbox.send(mail("gone too")).await.unwrap();
    mailbox.receive("ada", LONG).await.unwrap();
    redis.start_again();
    mailbox.send(mail("new")).await.unwrap();
    assert_eq!(bodies(&mailbox.receive("ada", LONG).await.unwrap()), ["new"]);
    let told = notices.take();
    assert!(
        told.iter().any(|it| it.ends_with("came back empty: mail that waited there is gone")),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_mail_that_is_sent_again_is_one_mail() {
    let Some(redis) = Redis::start() else { return };
    let mailbox = open(&redis.url(), "s").await;
    let once = mail("once");
    for _ in 0..3 {
        assert_eq!(mailbox.send(once.clone()).await.unwrap(), once.id);
    }
    let mails = mailbox.receive("ada", LONG).await.unwrap();
    assert_eq!(mails, std::slice::from_ref(&once));
    mailbox.acknowledge("ada", &ids(&mails)).await.unwrap();
    mailbox.send(once).await.unwrap();
    assert_eq!(mailbox.receive("ada", NOW).await.unwrap(), [], "also after it was read");
}

/// Receives all that there is in a process of its own, as it were, which then is gone without a word.
fn read_and_die(url: &str) -> Vec<Mail> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mailbox, mails) = runtime.block_on(async {
        let mailbox = open(url, "s").await;
        let mails = mailbox.receive("ada", LONG).await.unwrap();
        (mailbox, mails)
    });
    std::mem::forget(mailbox); // nothing of it is run any more, its leave neither
    runtime.shutdown_background();
    mails
}

#[tokio::test]
async fn the_lease_of_a_dead_reader_runs_out_and_its_mail_goes_to_the_next() {
    let Some(redis) = Redis::start() else { return };
    let mailbox = open(&redis.url(), "s").await;
    mailbox.send(mail("one")).await.unwrap();
    let url = redis.url();
    let mails = tokio::task::spawn_blocking(move || read_and_die(&url)).await.unwrap();
    let why = mailbox.receive("ada", NOW).await.unwrap_err().to_string();
    assert!(why.starts_with("the mail of ada is being read by process"), "{why}");
    while mailbox.reader("ada").await.unwrap().is_some() {
        mailbox.wait_for_change(Duration::from_millis(200)).await;
    }
    assert_eq!(mailbox.receive("ada", LONG).await.unwrap(), mails, "the same, with the same ids");
}

#[tokio::test]
async fn a_mail_that_kills_its_readers_becomes_a_dead_letter_and_its_sender_is_told() {
    let Some(redis) = Redis::start() else { return };
    let mailbox = open(&redis.url(), "s").await;
    let poison = mail("poison");
    mailbox.send(poison.clone()).await.unwrap();
    for _ in 0..3 {
        let url = redis.url();
        tokio::task::spawn_blocking(move || read_and_die(&url)).await.unwrap();
        redis.ask(&["del", "harness:s:reader:ada"]); // its lease runs out
    }
    mailbox.send(mail("good")).await.unwrap();
    assert_eq!(bodies(&mailbox.receive("ada", LONG).await.unwrap()), ["good"], "it blocks nothing");
    let dead = mailbox.dead("ada").await.unwrap();
    assert_eq!(dead[0].mail.as_ref(), Ok(&poison));
    assert_eq!(dead[0].why, "it was given out 3 times, and each time its reader died");
    let answer = mailbox.receive("bob", LONG).await.unwrap().remove(0);
    assert_eq!(answer.in_reply_to, Some(poison.id));
    assert_eq!(answer.outcome, Some(MailOutcome::Failed), "{}", answer.body);
}

#[tokio::test]
async fn a_reader_that_leaves_in_order_has_not_died() {
    let Some(redis) = Redis::start() else { return };
    let mailbox = open(&redis.url(), "s").await;
    mailbox.send(mail("not handled")).await.unwrap();
    for _ in 0..5 {
        let reader = open(&redis.url(), "s").await;
        assert_eq!(bodies(&reader.receive("ada", LONG).await.unwrap()), ["not handled"]);
        reader.leave().await;
    }
    assert_eq!(bodies(&mailbox.receive("ada", LONG).await.unwrap()), ["not handled"]);
    assert_eq!(mailbox.dead("ada").await.unwrap(), []);
}

#[tokio::test]
async fn what_is_no_mail_is_put_aside_and_blocks_nothing() {
    let Some(redis) = Redis::start() else { return };
    let mailbox = open(&redis.url(), "s").await;
    redis.ask(&["xadd", "harness:s:box:ada", "*", "mail", "garbage"]);
    redis.ask(&[
        "eval",
        "return redis.call('xadd', 'harness:s:box:ada', '*', 'mail', '\\255\\0')",
        "0",
    ]);
    redis.ask(&["xadd", "harness:s:box:ada", "*", "other", "{}", "more", "x"]);
    mailbox.send(mail("good")).await.unwrap();
    assert_eq!(bodies(&mailbox.receive("ada", LONG).await.unwrap()), ["good"]);
    let dead = mailbox.dead("ada").await.unwrap();
    assert_eq!(dead.len(), 3);
    assert_eq!(dead[0].mail, Err("garbage".to_owned()));
    assert!(dead.iter().all(|it| it.why.starts_with("it cannot be read as mail: ")), "{dead:?}");
    assert_eq!(mailbox.unacknowledged("ada").await.unwrap(), 1);
}

#[tokio::test]
async fn a_full_box_tells_its_writers_and_takes_mail_again_when_some_is_done() {
    let Some(redis) = Redis::start() else { return };
    let mailbox = open(&redis.url(), "s").await;
    mailbox.send(mail("first")).await.unwrap();
    let fill = "for i = 2, 10000 do redis.call('xadd', 'harness:s:box:ada', '*', 'mail', i) end";
    redis.ask(&["eval", fill, "0"]);
    let late = mail("late");
    let why = mailbox.send(late.clone()).await.unwrap_err();
    assert!(
        matches!(&why, MailError::Store(why) if why.starts_with("the box of ada is full (10000 ")),
        "{why}"
    );
    let first = mailbox.receive("ada", LONG).await.unwrap();
    assert_eq!(bodies(&first), ["first"]);
    mailbox.acknowledge("ada", &ids(&first)).await.unwrap();
    mailbox.send(late).await.unwrap();
}

#[tokio::test]
async fn refusals_of_the_server_are_a_line_each_and_the_password_is_never_shown() {
    let Some(redis) = Redis::with(&["--requirepass", "sesame-opens"]) else { return };
    let socket = redis.url();
    let names = NAMES;
    for url in [socket.clone(), format!("{socket}?pass=wrong-secret")] {
        let why = RedisMailbox::open(&url, "s", names, MailNotices::default()).await.unwrap_err();
        assert!(
            matches!(&why, NoRedis::Refused(why) if why.contains("refused the password")),
            "{why}"
        );
        assert!(
            !why.to_string().contains("wrong-secret") && !why.to_string().contains('\n'),
            "{why}"
        );
    }
    let mailbox = open(&format!("{socket}?pass=sesame-opens"), "s").await;
    assert!(!format!("{mailbox:?}").contains("sesame"));
    let ask =
        |words: &[&str]| redis.ask(&[&["-a", "sesame-opens", "--no-auth-warning"], words].concat());
    ask(&["set", "harness:s:box:ada", "somebody's"]);
    let why = mailbox.send(mail("one")).await.unwrap_err().to_string();
    assert!(why.contains("holds something else; remove it or take another --space"), "{why}");
    let why = mailbox.receive("ada", NOW).await.unwrap_err().to_string();
    assert!(why.contains("holds something else"), "{why}");
    ask(&["del", "harness:s:box:ada"]);
    ask(&["config", "set", "maxmemory", "1"]);
    let why = mailbox.send(mail("one")).await.unwrap_err().to_string();
    assert!(why.contains("has no memory left (maxmemory), so nothing was kept"), "{why}");
    ask(&["config", "set", "maxmemory", "0"]);
    mailbox.send(mail("one")).await.unwrap();
    assert_eq!(bodies(&mailbox.receive("ada", LONG).await.unwrap()), ["one"]);
}

#[tokio::test]
async fn addresses_are_shown_without_what_is_secret_in_them() {
    for (url, safe) in [
        ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379"),
        ("redis://:p%40ss@host/0", "redis://:***@host/0"),
        ("redis://ann:p@ss:w/ord@host:1/2?x=y", "redis://ann:***@host:1/2"),
        ("redis://token@host", "redis://***@host"),
        ("redis+unix:///s.sock?pass=secret", "redis+unix:///s.sock"),
        ("p4ssw0rd", "REDIS_URL"),
    ] {
        assert_eq!(without_password(url), safe);
    }
    for url in ["p4ssw0rd", "http://ann:p4ssw0rd@host", "rediss://:p4ssw0rd@127.0.0.1:1"] {
        let why = RedisMailbox::open(url, "s", NAMES, MailNotices::default()).await.unwrap_err();
        assert!(!why.to_string().contains("p4ssw0rd"), "{why}");
        assert!(matches!(why, NoRedis::Refused(_)), "{why}");
    }
}

#[tokio::test]
async fn what_answers_and_is_no_redis_is_told() {
    let web = harness_testkit::StrictServer::start(vec![harness_testkit::Answer::text("hello")]);
    let url = format!("redis://{}", web.address());
    let why = RedisMailbox::open(&url, "s", NAMES, MailNotices::default()).await.unwrap_err();
    assert_eq!(why, NoRedis::Refused(format!("what answers at {url} is not a Redis")));
}

#[tokio::test]
async fn the_longest_mail_arrives_and_many_of_them_come_in_parts() {
    let Some(redis) = Redis::start() else { return };
    let mailbox = open(&redis.url(), "s").await;
    let long = "x".repeat(MAX_BODY_BYTES);
    for _ in 0..3 {
        mailbox.send(mail(&long)).await.unwrap();
    }
    for _ in 0..3 {
        let mails = mailbox.receive("ada", LONG).await.unwrap();
        assert_eq!((mails.len(), mails[0].body.len()), (1, MAX_BODY_BYTES));
    }
}

#[tokio::test]
async fn two_workspaces_in_one_redis_see_nothing_of_each_other() {
    let Some(redis) = Redis::start() else { return };
    let (mine, yours) = (open(&redis.url(), "mine").await, open(&redis.url(), "yours").await);
    mine.send(mail("mine")).await.unwrap();
    assert_eq!(bodies(&mine.receive("ada", LONG).await.unwrap()), ["mine"]);
    assert_eq!(yours.receive("ada", NOW).await.unwrap(), []);
    for key in redis.ask(&["keys", "*"]).lines() {
        assert!(key.starts_with("harness:mine:") || key.starts_with("harness:yours:"), "{key}");
    }
}

#[tokio::test]
async fn a_reader_that_was_overtaken_reads_no_more() {
    let Some(redis) = Redis::start() else { return };
    let (first, second) = (open(&redis.url(), "s").await, open(&redis.url(), "s").await);
    first.send(mail("one")).await.unwrap();
    first.receive("ada", LONG).await.unwrap();
    redis.ask(&["del", "harness:s:reader:ada"]); // it stood still for so long
    assert_eq!(bodies(&second.receive("ada", LONG).await.unwrap()), ["one"]);
    let why = first.receive("ada", NOW).await.unwrap_err();
    assert!(matches!(why, MailError::Refused(_)) && !first.has_lease("ada"), "{why}");
    second.leave().await;
    assert_eq!(
        bodies(&first.receive("ada", LONG).await.unwrap()),
        ["one"],
        "it may again, from the start"
    );
}
