//! Children that the program talks to: their streams, their end, and their logs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use harness_core::Secrets;
use harness_core::host::process::{
    ChildCommand, End, Lines, Log, MAX_MESSAGE_BYTES, ManagedChild, ProcessTree, Streams, messages,
};
use harness_testkit::{Folder, wait_until_gone};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const LONG: Duration = Duration::from_secs(60);

fn start(line: &str) -> (ManagedChild, Streams) {
    ChildCommand::shell(line, Path::new("/"), &Secrets::default()).unwrap().spawn_managed().unwrap()
}

async fn line(streams: &mut Streams) -> String {
    let mut lines = Lines::new(&mut streams.stdout, 1000);
    String::from_utf8(lines.next().await.unwrap().0.to_vec()).unwrap()
}

#[tokio::test]
async fn a_child_answers_and_exits_when_its_input_ends() {
    let (child, mut streams) = start("while read -r x; do echo \"heard $x\"; done; exit 7");
    streams.stdin.write_all(b"one\n").await.unwrap();
    assert_eq!(line(&mut streams).await, "heard one\n");
    drop(streams.stdin);
    assert_eq!(child.end(LONG).await, Some(End::Exited(7)));
}

#[tokio::test]
async fn the_environment_is_what_was_given_and_nothing_else() {
    let prepared =
        ChildCommand::program("/usr/bin/env", [""; 0], Path::new("/"), &Secrets::default());
    let only = [("A".into(), "1".into()), ("PATH".into(), "/bin:/usr/bin".into())];
    let (child, mut streams) = prepared.unwrap().only_env(only).spawn_managed().unwrap();
    let mut said = String::new();
    streams.stdout.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "A=1\nPATH=/bin:/usr/bin\n");
    child.end(LONG).await;
}

#[tokio::test]
async fn a_child_that_does_not_exit_gets_term_and_is_then_killed_with_its_children() {
    for deaf in ["", "trap '' TERM; "] {
        let (child, mut streams) = start(&format!("{deaf}sleep 1000 & echo $!; wait; sleep 1000"));
        let pid = line(&mut streams).await;
        assert_eq!(child.end(Duration::ZERO).await, None);
        wait_until_gone(&pid);
    }
}

#[tokio::test]
async fn processes_that_a_child_leaves_behind_are_ended_too() {
    let (child, mut streams) = start("sleep 1000 >/dev/null 2>&1 & echo $!; exit 0");
    let pid = line(&mut streams).await;
    assert_eq!(child.end(LONG).await, Some(End::Exited(0)));
    wait_until_gone(&pid);
}

#[tokio::test]
async fn ending_a_child_ends_the_processes_of_its_tree_that_left_its_group() {
    let line = "setsid sh -c 'echo $$; exec sleep 1000' & read -r x";
    let prepared = ChildCommand::shell(line, Path::new("/"), &Secrets::default()).unwrap();
    let (child, mut streams) = prepared.in_tree(&ProcessTree::new()).spawn_managed().unwrap();
    let pid = self::line(&mut streams).await;
    drop(streams.stdin);
    child.end(LONG).await;
    wait_until_gone(&pid);
}

#[tokio::test]
async fn the_last_line_of_a_child_is_known_when_it_has_ended() {
    for _ in 0..20 {
        let (mut child, streams) = start("echo '{}'; echo out of paper >&2; exit 3");
        let log = Arc::new(Log::new(None, Secrets::default()));
        let mut messages = child.read_streams(streams.stdout, streams.stderr, &log);
        let mut said = String::new();
        messages.read_to_string(&mut said).await.unwrap();
        let end = child.end(LONG).await;
        assert_eq!(said, "{}\n");
        assert_eq!(log.explain("ended", end), "ended with exit code 3: out of paper");
    }
}

#[tokio::test]
async fn dropping_a_managed_child_kills_its_group() {
    let (child, mut streams) = start("sleep 1000 & echo $!; wait");
    let pid = line(&mut streams).await;
    drop(child);
    wait_until_gone(&pid);
}

#[tokio::test]
async fn a_program_that_cannot_start_is_named() {
    let prepared =
        ChildCommand::program("./no-such", [""; 0], Path::new("/"), &Secrets::default()).unwrap();
    let error = prepared.spawn_managed().unwrap_err().to_string();
    assert!(error.starts_with("cannot start ./no-such: "), "{error}");
}

/// What comes through of this, and the last line of the log.
async fn passed(said: &[u8]) -> (String, String) {
    let log = Arc::new(Log::new(None, Secrets::default()));
    let (mut messages, relay) = messages(std::io::Cursor::new(said.to_vec()), log.clone());
    tokio::spawn(relay);
    let mut passed = String::new();
    messages.read_to_string(&mut passed).await.unwrap();
    (passed, log.explain("", None))
}

#[tokio::test]
async fn only_lines_that_can_be_messages_come_through() {
    let (passed, last) = passed(b"hello\n{\"a\":1}\r\n\n  {}\n[1]\nbye \x1b[31mred\n").await;
    assert_eq!(passed, "{\"a\":1}\r\n  {}\n");
    assert_eq!(last, ": bye red");
}

#[tokio::test]
async fn a_message_that_is_cut_or_too_long_ends_the_stream() {
    let (cut, last) = passed(b"{}\n{\"a\":").await;
    assert_eq!((cut.as_str(), last.contains("cut off")), ("{}\n", true));
    let mut long = b"{}\n{".to_vec();
    long.resize(MAX_MESSAGE_BYTES + 10, b'x');
    long.extend(b"\n{}\n");
    assert_eq!(passed(&long).await.0, "{}\n");
}

#[tokio::test]
async fn the_log_is_masked_bounded_and_never_goes_through_a_link() {
    let folder = Folder::new();
    let path = folder.path().join("server.log");
    let secrets = Secrets::new([], ["hunter2-hunter2".to_owned()]);
    let log = Log::new(Some(path.clone()), secrets.clone());
    log.record(b"the key is hunter2-hunter2\n");
    log.record(b"   \n");
    assert_eq!(folder.read("server.log"), "the key is [secret]\n");
    let why = log.explain("it said hunter2-hunter2", Some(End::Signalled(9)));
    assert_eq!(why, "it said [secret] by signal 9: the key is [secret]");
    let line = vec![b'x'; 300_000];
    (0..8).for_each(|_| log.record(&line));
    assert!(path.metadata().unwrap().len() < 2_000_000);
    assert!(folder.read("server.log").starts_with("[older lines left out]\n"));

    let target = folder.write("target", "untouched");
    std::os::unix::fs::symlink(&target, folder.path().join("link.log")).unwrap();
    let log = Log::new(Some(folder.path().join("link.log")), secrets);
    log.record(b"through the link\n");
    assert_eq!(folder.read("target"), "untouched");
    assert_eq!(log.explain("over", None), "over: through the link");
}
