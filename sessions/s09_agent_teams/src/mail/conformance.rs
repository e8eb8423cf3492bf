//! What every mailbox must do, whatever keeps its mail: one suite, [`conforms`]. For tests: it is compiled
//! only with the feature `conformance`, and it fails by a panic.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a suite of tests fails loudly")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::{MAX_BODY_BYTES, Mail, MailError, MailId, Mailbox};

/// Waiting in vain is bounded by this; what is waited for comes at once.
const LONG: Duration = Duration::from_secs(30);
const NOW: Duration = Duration::ZERO;

/// The boxes that a fresh store must have.
pub const NAMES: [&str; 3] = ["ada", "bob", "lead"];

/// Runs the suite. `fresh` begins an empty store with the boxes of [`NAMES`] and returns what opens it: each
/// mailbox that is opened is a reader of its own, as in another process, and gone when it is dropped.
pub async fn conforms<O, F>(fresh: impl AsyncFn() -> O)
where
    O: Fn() -> F,
    F: Future<Output = Arc<dyn Mailbox>>,
{
    sent_is_received_in_order_and_whole((fresh().await)().await).await;
    unknown_names_are_refused_with_the_list((fresh().await)().await).await;
    what_is_no_mail_is_refused((fresh().await)().await).await;
    a_reader_that_waits_gets_mail_at_once((fresh().await)().await).await;
    what_is_given_out_is_not_given_again((fresh().await)().await).await;
    a_reader_that_is_gone_loses_nothing(fresh().await).await;
    acknowledged_is_never_given_again(fresh().await).await;
    what_is_given_up_blocks_nothing(fresh().await).await;
    sent_before_anybody_reads_is_kept(fresh().await).await;
    eight_writers_and_one_reader_lose_nothing(fresh().await).await;
    no_mail_goes_to_two_readers(fresh().await).await;
}

async fn send(mailbox: &dyn Mailbox, body: &str) -> MailId {
    mailbox.send(Mail::new("bob", "ada", body)).await.unwrap()
}

/// Receives until so many are there.
async fn receive(mailbox: &dyn Mailbox, count: usize) -> Vec<Mail> {
    let mut mails = Vec::new();
    while mails.len() < count {
        let more = mailbox.receive("ada", LONG).await.unwrap();
        assert!(!more.is_empty(), "{} of {count} mails came", mails.len());
        mails.extend(more);
    }
    mails
}

fn bodies(mails: &[Mail]) -> Vec<&str> {
    mails.iter().map(|mail| mail.body.as_str()).collect()
}

fn ids(mails: &[Mail]) -> Vec<MailId> {
    mails.iter().map(|mail| mail.id.clone()).collect()
}

async fn nothing(mailbox: &dyn Mailbox) {
    assert_eq!(mailbox.receive("ada", NOW).await.unwrap(), [], "nothing is left to give out");
}

async fn sent_is_received_in_order_and_whole(mailbox: Arc<dyn Mailbox>) {
    nothing(&*mailbox).await;
    let first = Mail::new("bob", "ada", "one\n\"two\" \u{1f600}\r\n\0 end");
    let answer = first.answer("three");
    assert_eq!((answer.from.as_str(), answer.to.as_str()), ("ada", "bob"));
    assert_eq!(answer.in_reply_to, Some(first.id.clone()));
    assert_eq!(
        answer.id,
        first.answer("again").id,
        "an answer that is sent again is the same mail"
    );
    let large = Mail::new("bob", "ada", "x".repeat(1_000_000));
    let request = Mail::new("bob", "ada", "four").asking("task/1", LONG);
    let failure = first.failure("five");
    for mail in [&first, &answer, &large, &request] {
        assert_eq!(mailbox.send(mail.clone()).await.unwrap(), mail.id);
    }
    assert_eq!(receive(&*mailbox, 3).await, [first, large, request]);
    assert_eq!(mailbox.receive("bob", LONG).await.unwrap(), [answer]);
    let failure = Mail { id: MailId("another".to_owned()), ..failure };
    mailbox.send(failure.clone()).await.unwrap();
    assert_eq!(mailbox.receive("bob", LONG).await.unwrap(), [failure]);
}

async fn unknown_names_are_refused_with_the_list(mailbox: Arc<dyn Mailbox>) {
    assert_eq!(mailbox.names().await.unwrap(), NAMES);
    let unknown = MailError::Unknown {
        name: "eve".to_owned(),
        known: NAMES.iter().map(|&name| name.to_owned()).collect(),
    };
    assert_eq!(unknown.to_string(), "there is no agent \"eve\"; available: ada, bob, lead");
    assert_eq!(mailbox.send(Mail::new("bob", "eve", "hello")).await, Err(unknown.clone()));
    assert_eq!(mailbox.receive("eve", NOW).await, Err(unknown.clone()));
    assert_eq!(mailbox.unacknowledged("eve").await, Err(unknown));
}

async fn what_is_no_mail_is_refused(mailbox: Arc<dyn Mailbox>) {
    let long = "x".repeat(MAX_BODY_BYTES + 1);
    for (from, to, body) in [
        ("bob", "../ada", "hello"),
        ("a/b", "ada", "hello"),
        ("bob", "", "hello"),
        ("bob", "ada", " \n"),
        ("bob", "ada", &long),
    ] {
        let sent = mailbox.send(Mail::new(from, to, body)).await;
        assert!(matches!(sent, Err(MailError::Refused(_))), "{from:?} to {to:?}: {sent:?}");
    }
    nothing(&*mailbox).await;
}

async fn a_reader_that_waits_gets_mail_at_once(mailbox: Arc<dyn Mailbox>) {
    let reader = mailbox.clone();
    let waiting = tokio::spawn(async move { reader.receive("ada", LONG).await.unwrap() });
    tokio::task::yield_now().await;
    let id = send(&*mailbox, "hello").await;
    assert_eq!(ids(&waiting.await.unwrap()), [id]);
}

async fn what_is_given_out_is_not_given_again(mailbox: Arc<dyn Mailbox>) {
    send(&*mailbox, "one").await;
    assert_eq!(bodies(&receive(&*mailbox, 1).await), ["one"]);
    send(&*mailbox, "two").await;
    assert_eq!(bodies(&receive(&*mailbox, 1).await), ["two"]);
    nothing(&*mailbox).await;
    assert_eq!(mailbox.unacknowledged("ada").await.unwrap(), 2, "neither is acknowledged");
    assert_eq!(mailbox.unacknowledged("bob").await.unwrap(), 0);
}

async fn a_reader_that_is_gone_loses_nothing<O, F>(open: O)
where
    O: Fn() -> F,
    F: Future<Output = Arc<dyn Mailbox>>,
{
    let writer = open().await;
    for body in ["one", "two", "three"] {
        send(&*writer, body).await;
    }
    let first = open().await;
    let mails = receive(&*first, 3).await;
    first.acknowledge("ada", &ids(&mails[..1])).await.unwrap();
    drop(first);
    let second = open().await;
    assert_eq!(receive(&*second, 2).await, mails[1..], "the same mails, with the same ids");
}

async fn acknowledged_is_never_given_again<O, F>(open: O)
where
    O: Fn() -> F,
    F: Future<Output = Arc<dyn Mailbox>>,
{
    let first = open().await;
    let id = send(&*first, "one").await;
    receive(&*first, 1).await;
    first.acknowledge("ada", std::slice::from_ref(&id)).await.unwrap();
    first.acknowledge("ada", &[id, MailId("nobody's".to_owned())]).await.unwrap(); // twice: no harm
    assert_eq!(first.unacknowledged("ada").await.unwrap(), 0);
    nothing(&*first).await;
    drop(first);
    let second = open().await;
    nothing(&*second).await;
    // The elder one last: also then both are done.
    let (one, two) = (send(&*second, "one").await, send(&*second, "two").await);
    receive(&*second, 2).await;
    second.acknowledge("ada", &[two]).await.unwrap();
    second.acknowledge("ada", &[one]).await.unwrap();
    drop(second);
    nothing(&*open().await).await;
}

async fn what_is_given_up_blocks_nothing<O, F>(open: O)
where
    O: Fn() -> F,
    F: Future<Output = Arc<dyn Mailbox>>,
{
    let first = open().await;
    let poison = send(&*first, "poison").await;
    send(&*first, "good").await;
    let mails = receive(&*first, 2).await;
    first.reject("ada", &poison, "nobody can read it").await.unwrap();
    assert_eq!(first.unacknowledged("ada").await.unwrap(), 1);
    first.acknowledge("ada", &ids(&mails)).await.unwrap();
    drop(first);
    nothing(&*open().await).await;
}

async fn sent_before_anybody_reads_is_kept<O, F>(open: O)
where
    O: Fn() -> F,
    F: Future<Output = Arc<dyn Mailbox>>,
{
    let keeps_the_store = open().await;
    let writer = open().await;
    send(&*writer, "for whoever comes").await;
    drop(writer);
    let reader = open().await;
    assert_eq!(bodies(&receive(&*reader, 1).await), ["for whoever comes"]);
    drop(keeps_the_store);
}

async fn eight_writers_and_one_reader_lose_nothing<O, F>(open: O)
where
    O: Fn() -> F,
    F: Future<Output = Arc<dyn Mailbox>>,
{
    const EACH: usize = 25;
    let mut writers = Vec::new();
    for writer in 0..8 {
        let mailbox = open().await;
        writers.push(tokio::spawn(async move {
            for number in 0..EACH {
                let mail = Mail::new(&format!("w{writer}"), "ada", number.to_string());
                mailbox.send(mail).await.unwrap();
            }
        }));
    }
    let mut next: HashMap<String, usize> = HashMap::new();
    let mut came = 0;
    let mut reader = open().await;
    while came < 8 * EACH {
        let mails = reader.receive("ada", LONG).await.unwrap();
        assert!(!mails.is_empty(), "{came} mails came");
        for mail in &mails {
            let next = next.entry(mail.from.clone()).or_default();
            assert_eq!(mail.body, next.to_string(), "the order of {}", mail.from);
            *next += 1;
        }
        came += mails.len();
        reader.acknowledge("ada", &ids(&mails)).await.unwrap();
        drop(reader); // each batch has a reader of its own
        reader = open().await;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    nothing(&*reader).await;
}

async fn no_mail_goes_to_two_readers<O, F>(open: O)
where
    O: Fn() -> F,
    F: Future<Output = Arc<dyn Mailbox>>,
{
    let (first, second) = (open().await, open().await);
    send(&*first, "one").await;
    receive(&*first, 1).await;
    match second.receive("ada", NOW).await {
        Ok(mails) => assert_eq!(mails, [], "the first has it"),
        Err(MailError::Refused(why)) => assert!(why.contains("is being read"), "{why}"),
        Err(why) => panic!("{why}"),
    }
}
