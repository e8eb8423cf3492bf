//! Real children: how they end, what is kept, who is killed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::{fs, path::Path, time::Duration};

use harness_core::host::process::{
    ChildCommand, End, Finished, Limits, ProcessError, ProcessTree, Spills, lives,
};
use harness_core::host::secrets::Secrets;
use harness_testkit::{Folder, fifo, wait_until_gone};
use rustix::process::Pid;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

fn shell(line: &str) -> ChildCommand {
    ChildCommand::shell(line, Path::new("/"), &Secrets::default()).unwrap()
}

fn within(timeout: Duration) -> Limits {
    Limits { timeout, ..Limits::default() }
}

async fn run(prepared: ChildCommand) -> Finished {
    prepared.run(Limits::default(), &CancellationToken::new(), |_| {}).await.unwrap()
}

/// Runs until the child has said `ready`, then cancels.
async fn cancel_when_ready(prepared: ChildCommand) -> Finished {
    let cancel = CancellationToken::new();
    let mut said = Vec::new();
    let ready = |bytes: &[u8]| {
        said.extend_from_slice(bytes);
        if said.windows(5).any(|part| part == b"ready") {
            cancel.cancel();
        }
    };
    prepared.run(Limits::default(), &cancel, ready).await.unwrap()
}

#[tokio::test]
async fn exit_code_and_both_streams_come_back_in_order() {
    let done = run(shell("echo one; echo two >&2; echo three; exit 3")).await;
    assert_eq!(done.end, End::Exited(3));
    assert_eq!(done.output, "one\ntwo\nthree\n");
    assert_eq!((done.total, done.stderr.as_str(), done.spilled), (14, "", None));
}

#[tokio::test]
async fn the_streams_come_apart_where_asked() {
    let done = run(shell("echo out; echo err >&2").separate_streams()).await;
    assert_eq!((done.output.as_str(), done.stderr.as_str()), ("out\n", "err\n"));
}

#[tokio::test]
async fn a_signal_is_told() {
    assert_eq!(run(shell("kill -SEGV $$")).await.end, End::Signalled(11));
}

#[tokio::test]
async fn standard_input_is_empty_unless_given() {
    assert_eq!(run(shell("cat; echo end")).await.output, "end\n");
    let long = "x".repeat(300_000);
    assert_eq!(run(shell("wc -c").stdin(long.clone())).await.output.trim(), "300000");
    let done = run(shell("head -c 1").stdin(long)).await;
    assert_eq!((done.end, done.output.as_str()), (End::Exited(0), "x"));
}

#[tokio::test]
async fn hidden_variables_do_not_reach_the_child_and_extra_ones_do() {
    let secrets = Secrets::new(["PATH".to_owned()], []);
    let prepared =
        ChildCommand::program("/usr/bin/env", [""; 0], Path::new("/"), &secrets).unwrap();
    let printed = run(prepared.env("EXTRA", "here")).await.output;
    assert!(printed.lines().any(|line| line == "EXTRA=here"), "{printed}");
    assert!(!printed.lines().any(|line| line.starts_with("PATH=")), "{printed}");
}

#[tokio::test]
async fn a_line_that_begins_with_a_dash_is_no_option() {
    assert_eq!(run(shell("-x; echo went on")).await.output.lines().last(), Some("went on"));
}

#[tokio::test]
async fn what_cannot_start_is_named() {
    let secrets = Secrets::default();
    let missing = ChildCommand::shell("true", Path::new("/no/such"), &secrets).unwrap_err();
    assert!(matches!(&missing, ProcessError::Directory { path, .. } if path.ends_with("such")));
    assert!(ChildCommand::shell("true", Path::new("/etc/passwd"), &secrets).is_err());
    for (program, said) in [("no-such-program", "installed"), ("nul\0", "NUL")] {
        let prepared = ChildCommand::program(program, [""; 0], Path::new("/"), &secrets).unwrap();
        let error = prepared.run(Limits::default(), &CancellationToken::new(), |_| {}).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let long = shell(&"x".repeat(3_000_000));
    let error = long.run(Limits::default(), &CancellationToken::new(), |_| {}).await;
    assert!(error.unwrap_err().to_string().contains("into a file"));
}

#[tokio::test]
async fn nul_and_invalid_utf_8_lose_nothing_else() {
    let done = run(shell(r"printf 'a\0b\377c\303\251\n'")).await;
    assert_eq!(done.output, "a\0b\u{fffd}cé\n");
}

#[tokio::test]
async fn fifty_megabytes_stay_bounded_and_are_spilled_whole() {
    let folder = TempDir::new().unwrap();
    let spill = folder.path().join("new/out.txt");
    let limits = Limits { head: 10, tail: 8, spill: Some(spill.clone()), ..Limits::default() };
    let line = "echo first; yes 123456789 | head -c 50000000; echo; echo last";
    let done = shell(line).run(limits, &CancellationToken::new(), |_| {}).await.unwrap();
    assert!(done.output.starts_with("first\n1234\n[… 49999994 bytes ("), "{}", done.output);
    assert!(done.output.ends_with("left out …]\n\n\nlast\n") || done.output.ends_with("last\n"));
    assert_eq!((done.total, done.spilled.as_ref()), (50_000_012, Some(&spill)));
    assert_eq!((done.spill_fault, fs::metadata(&spill).unwrap().len()), (None, 50_000_012));
    assert!(fs::read(&spill).unwrap().starts_with(b"first\n1234"));
}

#[tokio::test]
async fn a_spill_file_can_be_read_from_the_first_byte_on() {
    let folder = TempDir::new().unwrap();
    let spill = folder.path().join("out");
    fifo(&folder.path().join("go"));
    let limits =
        Limits { spill: Some(spill.clone()), spills: Spills::Everything, ..Limits::default() };
    let prepared = ChildCommand::shell(
        "echo first; read go < go; echo last",
        folder.path(),
        &Secrets::default(),
    );
    let go = folder.path().join("go");
    let early = tokio::task::spawn_blocking(move || {
        let line = number_in(&spill);
        fs::write(go, "go\n").unwrap();
        line
    });
    let cancel = CancellationToken::new();
    let done = prepared.unwrap().run(limits, &cancel, |_| {}).await.unwrap();
    assert_eq!(early.await.unwrap(), "first\n");
    assert_eq!(fs::read_to_string(done.spilled.unwrap()).unwrap(), "first\nlast\n");
}

#[tokio::test]
async fn a_spill_file_is_bounded_and_says_so() {
    let folder = TempDir::new().unwrap();
    let spill = folder.path().join("out");
    let limits = Limits { spill: Some(spill.clone()), ..Limits::default() };
    let line = "head -c 70000000 /dev/zero";
    let done = shell(line).run(limits, &CancellationToken::new(), |_| {}).await.unwrap();
    assert!(done.spill_fault.unwrap().contains("cut after"));
    assert!(fs::metadata(&spill).unwrap().len() < harness_core::host::process::SPILL_LIMIT + 100);
    assert!(fs::read(&spill).unwrap().ends_with("…]\n".as_bytes()));
}

#[tokio::test]
async fn a_spill_file_is_made_only_when_needed_and_never_through_a_link() {
    let folder = TempDir::new().unwrap();
    let spill = folder.path().join("out");
    let limits = |tail| Limits { head: 1, tail, spill: Some(spill.clone()), ..Limits::default() };
    let cancel = CancellationToken::new();
    let done = shell("echo hi").run(limits(2), &cancel, |_| {}).await.unwrap();
    assert_eq!((done.output.as_str(), done.spilled), ("hi\n", None));
    assert!(!spill.exists());

    std::os::unix::fs::symlink(folder.path().join("elsewhere"), &spill).unwrap();
    let done = shell("echo hi").run(limits(1), &cancel, |_| {}).await.unwrap();
    assert_eq!((done.end, done.spilled), (End::Exited(0), None));
    assert!(done.spill_fault.unwrap().contains("exists"));
    assert!(!folder.path().join("elsewhere").exists());
}

#[tokio::test]
async fn a_time_out_ends_the_grandchildren_too_and_keeps_what_was_said() {
    let folder = TempDir::new().unwrap();
    let line = "sleep 1000 & echo $! > pid; (trap '' TERM; echo $BASHPID > deaf; echo said; \
                while :; do sleep 1000; done)";
    let prepared = ChildCommand::shell(line, folder.path(), &Secrets::default()).unwrap();
    let limits = within(Duration::from_secs(1));
    let done = prepared.run(limits, &CancellationToken::new(), |_| {}).await.unwrap();
    assert!(matches!(done.end, End::TimedOut(after) if after >= Duration::from_secs(1)));
    assert_eq!(done.output.lines().next(), Some("said"));
    for name in ["pid", "deaf"] {
        wait_until_gone(&fs::read_to_string(folder.path().join(name)).unwrap());
    }
}

#[tokio::test]
async fn a_cancel_lets_the_child_say_last_words() {
    let line = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done";
    let done = cancel_when_ready(shell(line)).await;
    assert!(matches!(done.end, End::Cancelled(_)));
    assert_eq!(done.output.replace("Terminated\n", ""), "ready\nbye\n");
}

#[tokio::test]
async fn a_child_that_is_deaf_to_term_is_killed() {
    let done = cancel_when_ready(shell("trap '' TERM; echo ready; while :; do :; done")).await;
    assert!(matches!(done.end, End::Cancelled(_)));
    assert_eq!(done.output, "ready\n");
}

#[tokio::test]
async fn a_child_that_floods_can_be_cancelled() {
    let done = cancel_when_ready(shell("trap '' TERM; yes ready")).await;
    assert!(matches!(done.end, End::Cancelled(_)));
    assert!(done.output.starts_with("ready\nready\n"));
}

#[tokio::test]
async fn a_cancel_before_the_start_starts_nothing() {
    let folder = TempDir::new().unwrap();
    let prepared = ChildCommand::shell("touch here", folder.path(), &Secrets::default()).unwrap();
    let cancel = CancellationToken::new();
    cancel.cancel();
    let done = prepared.run(Limits::default(), &cancel, |_| {}).await.unwrap();
    assert_eq!(done.end, End::Cancelled(Duration::ZERO));
    assert!(!folder.path().join("here").exists());
}

#[tokio::test]
async fn a_background_child_neither_holds_the_result_nor_dies_of_a_closed_pipe() {
    let folder = TempDir::new().unwrap();
    let (go, told) = (folder.path().join("go"), folder.path().join("told"));
    fifo(&go);
    fifo(&told);
    // It waits for our word, then writes to the pipe that nobody has a use for, then reports.
    let line = "(read x < go; echo later; echo alive > told) & echo hi";
    let prepared = ChildCommand::shell(line, folder.path(), &Secrets::default()).unwrap();
    let done = run(prepared).await;
    assert_eq!((done.end, done.output.as_str()), (End::Exited(0), "hi\n"));
    let report = tokio::task::spawn_blocking(move || {
        fs::write(go, "go\n").unwrap();
        fs::read_to_string(told).unwrap()
    });
    assert_eq!(report.await.unwrap(), "alive\n");
}

#[tokio::test]
async fn a_background_child_that_never_stops_talking_does_not_hold_the_result() {
    let folder = TempDir::new().unwrap();
    let prepared =
        ChildCommand::shell("yes & echo $! > pid", folder.path(), &Secrets::default()).unwrap();
    assert_eq!(run(prepared).await.end, End::Exited(0));
    let pid = fs::read_to_string(folder.path().join("pid")).unwrap();
    let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn dropping_the_run_kills_the_group() {
    let folder = TempDir::new().unwrap();
    let line = "sleep 1000 & echo $! > pid; echo ready; wait";
    let prepared = ChildCommand::shell(line, folder.path(), &Secrets::default()).unwrap();
    let (tell, told) = tokio::sync::oneshot::channel();
    let mut tell = Some(tell);
    let cancel = CancellationToken::new();
    let run = prepared.run(Limits::default(), &cancel, |_| {
        if let Some(tell) = tell.take() {
            tell.send(()).unwrap();
        }
    });
    tokio::select! {
        _ = run => panic!("it ended by itself"),
        _ = told => {}
    }
    wait_until_gone(&fs::read_to_string(folder.path().join("pid")).unwrap());
}

/// The number that is written to a file sooner or later.
fn number_in(path: &Path) -> String {
    for _ in 0..10_000_000 {
        match fs::read_to_string(path) {
            Ok(number) if number.ends_with('\n') => return number,
            _ => std::thread::yield_now(),
        }
    }
    panic!("nothing was written to {}", path.display());
}

#[test]
fn what_is_left_in_the_background_ends_with_the_program() {
    let folder = TempDir::new().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let line = "sleep 1000 > /dev/null 2>&1 & echo $!";
    let prepared = ChildCommand::shell(line, folder.path(), &Secrets::default()).unwrap();
    let pid = runtime.block_on(run(prepared)).output;
    assert!(lives(pid.trim().parse().unwrap()));
    runtime.shutdown_timeout(Duration::from_secs(60));
    wait_until_gone(&pid);
}

/// One that leaves its group for a session of its own and is an orphan, and one without the mark.
const ESCAPES: &str = "setsid -f sh -c 'echo $$ > orphan; exec sleep 1000' > /dev/null 2>&1
    env -i sh -c 'echo $$ > bare; exec sleep 1000' & ";

async fn escaped(folder: &TempDir) -> [String; 2] {
    let path = folder.path().to_owned();
    let read = move || ["orphan", "bare"].map(|name| number_in(&path.join(name)));
    tokio::task::spawn_blocking(read).await.unwrap()
}

#[tokio::test]
async fn a_process_tree_is_ended_with_those_that_have_left_its_group() {
    let (folder, tree, cancel) =
        (TempDir::new().unwrap(), ProcessTree::new(), CancellationToken::new());
    let line = format!("{ESCAPES} wait");
    let prepared = ChildCommand::shell(&line, folder.path(), &Secrets::default()).unwrap();
    let escape = async {
        let pids = escaped(&folder).await;
        cancel.cancel();
        pids
    };
    let running = prepared.in_tree(&tree).run(Limits::default(), &cancel, |_| {});
    let (done, pids) = tokio::join!(running, escape);
    assert!(matches!(done.unwrap().end, End::Cancelled(_)));
    pids.iter().for_each(|pid| wait_until_gone(pid));
    assert!(tree.members().is_empty());
}

#[tokio::test]
async fn a_process_tree_dies_with_its_run() {
    let (folder, tree) = (TempDir::new().unwrap(), ProcessTree::new());
    let line = format!("{ESCAPES} wait");
    let prepared = ChildCommand::shell(&line, folder.path(), &Secrets::default()).unwrap();
    let cancel = CancellationToken::new();
    let pids = tokio::select! {
        _ = prepared.in_tree(&tree).run(Limits::default(), &cancel, |_| {}) => panic!("it ended"),
        pids = escaped(&folder) => pids,
    };
    pids.iter().for_each(|pid| wait_until_gone(pid));
}

#[tokio::test]
async fn a_run_in_a_process_tree_is_over_when_the_last_process_has_exited() {
    let (folder, tree) = (TempDir::new().unwrap(), ProcessTree::new());
    fifo(&folder.path().join("go"));
    let line = "setsid -f sh -c 'echo $$ > orphan; read go < go; echo last words'; exit 3";
    let prepared = ChildCommand::shell(line, folder.path(), &Secrets::default()).unwrap();
    let path = folder.path().to_owned();
    let go = tokio::task::spawn_blocking(move || {
        number_in(&path.join("orphan"));
        fs::write(path.join("go"), "go\n").unwrap();
    });
    let done = run(prepared.in_tree(&tree)).await;
    go.await.unwrap();
    assert_eq!((done.end, done.output.as_str()), (End::Exited(3), "last words\n"));
}

#[tokio::test]
async fn a_process_tree_can_be_ended_by_its_name_alone() {
    let (folder, tree) = (TempDir::new().unwrap(), ProcessTree::new());
    let line = "setsid -f sh -c 'echo $$ > orphan; exec sleep 1000' > /dev/null 2>&1";
    let prepared = ChildCommand::shell(line, folder.path(), &Secrets::default()).unwrap();
    // Started by hand, as if by a program that was killed since.
    let status = prepared.in_tree(&tree).into_command().status().await.unwrap();
    assert!(status.success());
    let pid = number_in(&folder.path().join("orphan"));
    assert_eq!(ProcessTree::named(tree.name()).end().await, 1);
    wait_until_gone(&pid);
    assert_eq!(tree.end().await, 0);
}

#[tokio::test]
async fn the_prepared_command_can_be_handed_out() {
    let output = shell("pwd; cat").into_command().output().await.unwrap();
    assert_eq!(output.stdout, b"/\n");
}

#[tokio::test]
async fn git_in_a_line_starts_no_monitor_that_a_repository_names() {
    let repo = Folder::git_repo();
    let ran = repo.path().join("ran");
    let monitor = format!("touch {}; false", ran.display());
    repo.git(&["config", "core.fsmonitor", &monitor]);
    // In its own folder, and from a bare one that came with somebody's files.
    repo.git(&["init", "-q", "--bare", "inner"]);
    repo.git(&["-C", "inner", "config", "core.fsmonitor", &monitor]);
    let line = "git status; cd inner && git status";
    let child = ChildCommand::shell(line, repo.path(), &Secrets::default()).unwrap();
    let done = run(child).await;
    assert!(done.output.contains("On branch main"), "{}", done.output);
    assert!(done.output.contains("safe.bareRepository"), "{}", done.output);
    assert!(!ran.exists());
}
