//! Real processes of the program: writers, readers, teams, and `kill -9`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};

use harness_testkit::{Folder, Key, Terminal, scrubbed};
use serde_json::Value;

/// The program in this folder.
fn program(folder: &Folder) -> Command {
    let mut command = scrubbed(env!("CARGO_BIN_EXE_s09_agent_teams"), folder.path());
    command.current_dir(folder.path());
    command
}

fn mail(folder: &Folder, arguments: &[&str]) -> Output {
    program(folder).arg("mail").args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// The JSON lines that it printed; nothing else may be there.
fn lines(output: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(output).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn mail_is_sent_and_received_by_json_lines() {
    let folder = Folder::new();
    let sent =
        mail(&folder, &["send", "--to", "explorer", "--from", "me", "--body", "-- hello\nyou"]);
    assert_eq!((sent.status.code(), told(&sent).as_str()), (Some(0), ""));
    let sent = lines(&sent.stdout);
    assert_eq!((sent.len(), &sent[0]["to"]), (1, &Value::from("explorer")));
    let received = mail(&folder, &["recv", "--agent", "explorer"]);
    assert_eq!((received.status.code(), told(&received).as_str()), (Some(0), ""));
    let received = lines(&received.stdout);
    let fields: Vec<&String> = received[0].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["id", "from", "to", "body", "in_reply_to", "sent"]);
    assert_eq!(received[0]["id"], sent[0]["id"]);
    assert_eq!(received[0]["body"], "-- hello\nyou");
    assert_eq!(received[0]["in_reply_to"], Value::Null);
    let again = mail(&folder, &["recv", "--agent", "explorer"]);
    assert_eq!((again.status.code(), again.stdout.len()), (Some(0), 0), "acknowledged");
}

#[test]
fn a_wrong_name_is_refused_with_the_list_and_a_wrong_call_with_its_usage() {
    let folder = Folder::new();
    for arguments in [
        &["send", "--to", "exploder", "--from", "me", "--body", "x"][..],
        &["recv", "--agent", "exploder"],
    ] {
        let refused = mail(&folder, arguments);
        assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), 0));
        let why = told(&refused);
        assert!(why.contains("there is no agent \"exploder\"; available: explorer, lead"), "{why}");
    }
    for (arguments, code) in [
        (&["send", "--to", "explorer", "--from", "me"][..], 2),
        (&["send", "--to", "explorer", "--from", "me", "--body", "x", "--stdin"], 2),
        (&["send", "--to", "explorer", "--from", "me", "--body", " "], 1),
        (&["send", "--to", "explorer", "--from", "../me", "--body", "x"], 1),
        (&["send", "--to", "../explorer", "--from", "me", "--body", "x"], 1),
        (&["recv"], 2),
    ] {
        let refused = mail(&folder, arguments);
        assert_eq!(refused.status.code(), Some(code), "{arguments:?}: {}", told(&refused));
        assert!(refused.stdout.is_empty() && !refused.stderr.is_empty());
    }
}

/// Sends these bodies, a line each, as one process.
fn writer(folder: &Folder, from: &str, count: usize) -> Child {
    let mut command = program(folder);
    command.args(["mail", "send", "--to", "explorer", "--stdin", "--from", from]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().unwrap();
    let bodies: String = (0..count).map(|number| format!("{number}\n")).collect();
    let mut input = child.stdin.take().unwrap();
    std::thread::spawn(move || input.write_all(bodies.as_bytes()).unwrap());
    child
}

/// What the reader's consumer has seen, each mail once.
#[derive(Default)]
struct Seen {
    ids: HashSet<String>,
    bodies: BTreeMap<String, Vec<usize>>,
    doubled: usize,
}

impl Seen {
    fn see(&mut self, line: &str) {
        let mail: Value = serde_json::from_str(line).unwrap();
        if !self.ids.insert(mail["id"].as_str().unwrap().to_owned()) {
            self.doubled += 1;
            return;
        }
        let number = mail["body"].as_str().unwrap().parse().unwrap();
        self.bodies.entry(mail["from"].as_str().unwrap().to_owned()).or_default().push(number);
    }

    /// Reads with one process. With `kill_after`, it is killed once it has printed so many; returns whether it
    /// was.
    fn read(&mut self, folder: &Folder, kill_after: Option<usize>) -> bool {
        let mut command = program(folder);
        command.args(["mail", "recv", "--agent", "explorer"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let (mut line, mut count, mut killed) = (String::new(), 0, false);
        while output.read_line(&mut line).unwrap() > 0 {
            // What was cut off by the kill was not received.
            if line.ends_with('\n') {
                self.see(line.trim_end());
            }
            line.clear();
            count += 1;
            if Some(count) == kill_after {
                killed = child.try_wait().unwrap().is_none();
                child.kill().unwrap();
            }
        }
        let status = child.wait().unwrap();
        killed && status.code().is_none()
    }

    fn whole(&self, writers: usize, each: usize) {
        assert_eq!(self.ids.len(), writers * each, "none is lost");
        for (from, bodies) in &self.bodies {
            assert_eq!(*bodies, (0..each).collect::<Vec<_>>(), "the order of {from}");
        }
    }
}

#[test]
fn eight_writers_of_a_thousand_and_one_reader_killed_twenty_times_lose_nothing() {
    let folder = Folder::in_memory();
    let writers: Vec<Child> = (0..8).map(|n| writer(&folder, &format!("w{n}"), 1000)).collect();
    let (mut seen, mut kills) = (Seen::default(), 0);
    while kills < 20 {
        // At another place each time, the first line included.
        kills += usize::from(seen.read(&folder, Some(1 + kills * 7)));
        assert!(seen.ids.len() < 8000 || kills == 20, "read to the end after {kills} kills");
    }
    for writer in writers {
        let output = writer.wait_with_output().unwrap();
        assert!(output.status.success());
        assert_eq!(lines(&output.stdout).len(), 1000);
    }
    seen.read(&folder, None);
    seen.whole(8, 1000);
    let all = folder.read(".mailboxes/explorer.jsonl");
    assert_eq!(all.lines().count(), 8000, "and the box was never shortened");
    eprintln!("8 × 1,000 mails, {kills} kills: {} came twice", seen.doubled);
}

#[test]
fn one_writer_and_one_reader_at_the_same_time_lose_nothing_and_double_nothing() {
    let folder = Folder::in_memory();
    let writer = writer(&folder, "w", 4000);
    let writing = std::thread::spawn(move || writer.wait_with_output().unwrap());
    let mut seen = Seen::default();
    while !writing.is_finished() {
        seen.read(&folder, None);
    }
    assert!(writing.join().unwrap().status.success());
    seen.read(&folder, None);
    seen.whole(1, 4000);
    assert_eq!(seen.doubled, 0);
}

/// A team at its prompt.
fn team(folder: &Folder) -> Terminal {
    let mut command = program(folder);
    command.arg("--workspace").arg(folder.path()).args(["--demo"]);
    let terminal = Terminal::start(command, 80, 24);
    terminal.wait_for(":help lists");
    terminal
}

fn file(folder: &Folder, path: &str) -> String {
    std::fs::read_to_string(folder.path().join(path)).unwrap_or_default()
}

/// Reads until this many answers came to `me`.
fn answers(folder: &Folder, count: usize) -> Vec<Value> {
    let mut all = Vec::new();
    while all.len() < count {
        let output = mail(folder, &["recv", "--agent", "me"]);
        assert!(output.status.success(), "{}", told(&output));
        all.extend(lines(&output.stdout));
    }
    all
}

#[test]
fn mail_from_outside_is_answered_by_a_running_team() {
    let folder = Folder::new();
    let mut running = team(&folder);
    let question = "What is wrong with this?";
    let sent = mail(&folder, &["send", "--to", "explorer", "--from", "me", "--body", question]);
    let id = lines(&sent.stdout)[0]["id"].clone();
    let answer = answers(&folder, 1).remove(0);
    assert_eq!((&answer["from"], &answer["in_reply_to"]), (&Value::from("explorer"), &id));
    // The team's own mail is the team's.
    let refused = mail(&folder, &["recv", "--agent", "explorer"]);
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), 0));
    let pid = running.pid();
    assert!(
        told(&refused).contains(&format!("is being read by process {pid}")),
        "{}",
        told(&refused)
    );
    running.line("q");
    assert!(running.wait_for_end().success());
    assert!(folder.has(".mailboxes/explorer.jsonl"), "what was said is still there");
}

#[test]
fn mail_wakes_an_idle_lead() {
    let folder = Folder::new();
    let running = team(&folder);
    mail(&folder, &["send", "--to", "lead", "--from", "me", "--body", "are you there?"]);
    // A script knows no mail, but it was asked.
    running.wait_for("I do not know what to say");
    running.line("q");
    assert!(file(&folder, ".harness/team/lead-1.jsonl").contains("are you there?"));
    assert_eq!(mail(&folder, &["recv", "--agent", "lead"]).stdout, b"", "and it is acknowledged");
}

#[test]
fn a_team_killed_twenty_times_answers_each_mail_and_reads_none_twice() {
    let folder = Folder::new();
    folder.write("greet.sh", "#!/bin/sh\n# Greets.\necho \"Helo\"\n");
    let mut ids: Vec<String> = Vec::new();
    for number in 0..20 {
        let running = team(&folder);
        let body = format!("line 3 of greet.sh, number {number}");
        let sent = mail(&folder, &["send", "--to", "writer", "--from", "me", "--body", &body]);
        let id = lines(&sent.stdout)[0]["id"].as_str().unwrap().to_owned();
        // At once; when the mail is in the history; when a call is; when the answer is on its way.
        let (place, sign) = match number % 4 {
            0 => ("", String::new()),
            1 => (".harness/team/writer.jsonl", format!("[mail {id} from me]")),
            2 => (".harness/team/writer.jsonl", "\"name\":\"bash\"".to_owned()),
            _ => (".mailboxes/me.jsonl", format!("{id}.re")),
        };
        while !sign.is_empty() && !file(&folder, place).contains(&sign) {
            std::thread::yield_now();
        }
        ids.push(id);
        drop(running); // kill -9, wherever it is
    }
    let running = team(&folder);
    let mut answered = HashSet::new();
    while answered.len() < 20 {
        let answers = answers(&folder, 1).into_iter();
        answered.extend(answers.map(|mail| mail["in_reply_to"].as_str().unwrap().to_owned()));
    }
    assert_eq!(answered, ids.iter().cloned().collect());
    running.line("q").key(Key::Enter);
    let history = file(&folder, ".harness/team/writer.jsonl");
    for id in &ids {
        assert_eq!(history.matches(&format!("[mail {id} from me]")).count(), 1, "{history}");
    }
}

#[test]
fn a_users_own_file_adds_teammates() {
    let folder = Folder::new();
    let own = "[{name: critic, about: finds fault, instructions: Find fault.}]";
    folder.write("mine.yaml", own);
    let send = ["mail", "send", "--to", "critic", "--from", "me", "--body", "x"];
    let refused = program(&folder).args(send).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let flag = program(&folder).args(["--team", "mine.yaml"]).args(send).output().unwrap();
    assert!(flag.status.success(), "{}", told(&flag));
    // The folder stands for the home too.
    let folder = Folder::new();
    folder.write(".config/harness/team.yaml", own);
    assert!(program(&folder).args(send).output().unwrap().status.success());
    folder.write(".config/harness/team.yaml", "[{name: critic}]");
    let broken = program(&folder).args(send).output().unwrap();
    assert!(told(&broken).contains("team.yaml does not describe a team"), "{}", told(&broken));
}
