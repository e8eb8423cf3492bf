//! What is left after a crash, a cut, and damage of every kind: all that was acknowledged, and a
//! conversation that a server takes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use harness_core::{Agent, Block, Conversation, Message, Role, ToolCall, ToolResult, TurnOutcome};
use harness_testkit::{Folder, Program, Stage, judge, scrubbed};
use proptest::prelude::*;
use s17_session_management::{LESSON, Past, SessionStore};
use serde_json::{Map, Value, json};

const BIN: &str = env!("CARGO_BIN_EXE_s17_session_management");

/// A session in a folder of its own: what a play left there.
struct Kept {
    stage: Stage,
    id: String,
    bytes: Vec<u8>,
    /// What was said, message by message.
    messages: Vec<Message>,
}

/// The lesson's play, and a turn with thinking and two calls at once.
async fn recorded() -> Kept {
    let stage = Stage::new(&LESSON.play.replace("I look whether", "I löök whether"));
    let store = SessionStore::new(&stage.agent);
    let mut stage = stage.with(store.clone());
    stage.play().await;
    let thought: Block =
        serde_json::from_value(json!({"type": "thinking", "thinking": "hm", "signature": "s"}))
            .unwrap();
    let c = &mut stage.conversation;
    c.say("two things at once");
    c.reply(&Message::assistant(vec![thought.clone(), call("a"), call("b")]));
    store.save(c).unwrap();
    c.answer(vec![ToolResult::done("a", "1"), ToolResult::failed("b", "2")]);
    c.remind("news");
    c.reply(&Message::assistant(vec![thought, Block::text("Both done.")]));
    store.save(c).unwrap();
    let id = store.current().unwrap();
    let (bytes, messages) = (fs::read(store.path(&id)).unwrap(), c.messages().to_vec());
    Kept { stage, id, bytes, messages }
}

fn call(id: &str) -> Block {
    let (id, name) = (id.to_owned(), "bash".to_owned());
    Block::ToolUse(ToolCall { id, name, input: Map::new(), rest: Map::new() })
}

fn read(path: &Path) -> Past {
    let mut past = Past::read(path, None).unwrap();
    past.recover();
    judge(&past.conversation).unwrap();
    past
}

/// Without what mending added, it is the beginning of what was said.
fn is_beginning(part: &Conversation, whole: &[Message]) -> bool {
    let blocks = |messages: &[Message]| -> Vec<Value> {
        let blocks = messages
            .iter()
            .flat_map(|message| message.content.iter().map(|block| json!([message.role, block])));
        let mended = |block: &Value| block.to_string().contains(harness_core::INTERRUPTED);
        blocks.filter(|block| !mended(block)).collect()
    };
    blocks(whole).starts_with(&blocks(part.messages()))
}

/// Resumes it as the next process would: with a store of its own.
fn resume(stage: &Stage, id: &str) -> (SessionStore, Past) {
    let store = SessionStore::new(&stage.agent);
    let past = store.resume(id).unwrap();
    (store, past)
}

#[tokio::test]
async fn a_file_that_is_cut_at_any_byte_goes_on_and_says_what_was_lost() {
    let Kept { stage, bytes, messages, .. } = recorded().await;
    let folder = Folder::new();
    let path = folder.path().join("cut.jsonl");
    let mut longest = 0;
    for at in 0..=bytes.len() {
        fs::write(&path, &bytes[..at]).unwrap();
        let past = read(&path);
        assert!(is_beginning(&past.conversation, &messages), "cut at {at}");
        let torn = at > 0 && bytes[at - 1] != b'\n';
        let told = past.told.iter().any(|what| what.contains("cut short after"));
        assert_eq!(told, torn, "cut at {at}: {:?}", past.told);
        // With every line that is whole there is more of it, and never less.
        let whole = bytes[..at].iter().filter(|&&byte| byte == b'\n').count();
        let kept = past.conversation.messages().len();
        assert!(kept >= longest, "cut at {at}, {whole} lines: {kept} messages after {longest}");
        longest = kept;
    }
    assert_eq!(longest, messages.len());
    drop(stage);
}

#[tokio::test]
async fn a_cut_session_is_mended_once_and_the_next_reader_gets_the_same() {
    let Kept { mut stage, id, bytes, .. } = recorded().await;
    let path = stage.agent.cwd.join(format!(".sessions/{id}.jsonl"));
    stage.agent.hooks.clear(); // the store that recorded it is gone, as its process would be
    let ends: Vec<usize> =
        bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at).collect();
    // Just before, at and after each end of a line: a line that lacks only its end is not yet a line,
    // and must not come back to life when the next append ends it.
    for at in ends.iter().flat_map(|end| [end - 1, *end, end + 1]) {
        fs::write(&path, &bytes[..at]).unwrap();
        let (store, past) = resume(&stage, &id);
        let mut conversation = past.conversation;
        assert_eq!(read(&path).conversation.messages(), conversation.messages(), "cut at {at}");
        conversation.say("and then?");
        store.save(&conversation).unwrap();
        drop(store);
        let again = read(&path);
        assert_eq!(again.conversation.messages(), conversation.messages(), "cut at {at}");
        assert_eq!(again.told, [] as [String; 0], "cut at {at}: it was told before");
        assert!(fs::read(&path).unwrap().starts_with(&bytes[..at]), "nothing is rewritten");
    }
}

/// What can happen to a file.
#[derive(Clone, Debug)]
enum Damage {
    /// These bytes stand there instead.
    Bytes(prop::sample::Index, Vec<u8>),
    /// So many NUL bytes, as after a power cut.
    Nul(prop::sample::Index, usize),
    /// A line stands there twice.
    Twice(prop::sample::Index),
    /// A line is gone.
    Gone(prop::sample::Index),
    /// Two lines have changed places.
    Swapped(prop::sample::Index, prop::sample::Index),
    /// The rest is gone.
    Cut(prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = any::<prop::sample::Index>;
    prop_oneof![
        // Bytes that no line of JSON holds. A letter that became another letter is not seen: there is no
        // checksum, and a person may want to edit the file.
        (place(), prop::collection::vec(0..8_u8, 1..20))
            .prop_map(|(at, bytes)| Damage::Bytes(at, bytes)),
        (place(), prop::collection::vec(0xf8..=0xff_u8, 1..20))
            .prop_map(|(at, bytes)| Damage::Bytes(at, bytes)),
        (place(), 1..600_usize).prop_map(|(at, len)| Damage::Nul(at, len)),
        place().prop_map(Damage::Twice),
        place().prop_map(Damage::Gone),
        (place(), place()).prop_map(|(a, b)| Damage::Swapped(a, b)),
        place().prop_map(Damage::Cut),
    ]
}

fn damaged(bytes: &[u8], damage: &[Damage]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for one in damage {
        let mut lines: Vec<Vec<u8>> =
            bytes.split_inclusive(|&b| b == b'\n').map(<[u8]>::to_vec).collect();
        if lines.is_empty() {
            return bytes;
        }
        let (length, count) = (bytes.len(), lines.len());
        match one {
            Damage::Bytes(at, new) => {
                let at = at.index(length);
                bytes.splice(at..(at + new.len()).min(length), new.iter().copied());
                continue;
            }
            Damage::Nul(at, len) => {
                let at = at.index(length);
                let end = (at + len).min(length);
                bytes[at..end].fill(0);
                continue;
            }
            Damage::Cut(at) => {
                bytes.truncate(at.index(length));
                continue;
            }
            Damage::Twice(at) => {
                let line = lines[at.index(count)].clone();
                lines.insert(at.index(count), line);
            }
            Damage::Gone(at) => _ = lines.remove(at.index(count)),
            Damage::Swapped(a, b) => lines.swap(a.index(count), b.index(count)),
        }
        bytes = lines.concat();
    }
    bytes
}

#[test]
fn damage_of_any_kind_is_told_and_what_is_left_can_be_sent() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let Kept { mut stage, id, bytes, .. } = runtime.block_on(recorded());
    stage.agent.hooks.clear();
    let path = stage.agent.cwd.join(format!(".sessions/{id}.jsonl"));
    let cases =
        ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(cases, |(damage in prop::collection::vec(damage(), 1..4))| {
        let broken = damaged(&bytes, &damage);
        fs::write(&path, &broken).unwrap();
        let past = read(&path); // the judge is in there
        prop_assert!(broken == bytes || !past.told.is_empty() || bytes.starts_with(&broken), "{:?}", damage);
        prop_assert_eq!(&fs::read(&path).unwrap(), &broken, "to read is to touch nothing");
        let (store, mut resumed) = resume(&stage, &id);
        judge(&resumed.conversation).unwrap();
        resumed.conversation.say("go on");
        store.save(&resumed.conversation).unwrap();
        drop(store);
        let again = read(&path);
        prop_assert_eq!(again.conversation.messages(), resumed.conversation.messages());
        prop_assert!(fs::read(&path).unwrap().starts_with(&broken), "to mend is to append");
    });
}

#[tokio::test]
async fn what_is_said_after_a_bad_line_and_a_torn_one_is_kept() {
    // The torn line is whole but for its end. It becomes a line again, and must not have the number of one
    // that was appended behind it.
    let Kept { mut stage, id, bytes, .. } = recorded().await;
    stage.agent.hooks.clear();
    let path = stage.agent.cwd.join(format!(".sessions/{id}.jsonl"));
    let text = String::from_utf8(bytes).unwrap();
    for bad in [1, 2, 3] {
        let mut lines: Vec<&str> = text.lines().collect();
        let bad = lines.len() - 1 - bad..lines.len() - 1;
        lines[bad].fill("no line");
        fs::write(&path, lines.join("\n")).unwrap();
        let (store, mut resumed) = resume(&stage, &id);
        resumed.conversation.say("go on");
        store.save(&resumed.conversation).unwrap();
        drop(store);
        let again = read(&path);
        assert_eq!(again.conversation.messages(), resumed.conversation.messages());
    }
}

#[tokio::test]
async fn thinking_after_a_lost_line_does_not_come_back() {
    // Its seal covers the very words that are gone: a server would refuse the whole session for it.
    let Kept { stage, id, bytes, .. } = recorded().await;
    let path = stage.agent.cwd.join(format!(".sessions/{id}.jsonl"));
    let text = String::from_utf8(bytes).unwrap();
    let thoughts = |past: &Past| {
        let blocks = past.conversation.messages().iter().flat_map(|message| &message.content);
        blocks.filter(|block| block.is_thinking()).count()
    };
    assert_eq!(thoughts(&read(&path)), 2);
    let mut lines: Vec<&str> = text.lines().collect();
    lines.remove(3);
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    let past = read(&path);
    assert_eq!(thoughts(&past), 0);
    assert_eq!(past.told[0], "left out: what stood between line 3 and line 5");
}

#[tokio::test]
async fn one_bad_line_costs_one_line() {
    // NUL bytes, a line that stands there twice, a line of a kind that a later version may add.
    let Kept { stage, id, bytes, messages } = recorded().await;
    let path = stage.agent.cwd.join(format!(".sessions/{id}.jsonl"));
    let text = String::from_utf8(bytes).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let with = |at: usize, line: &str| {
        let mut lines = lines.clone();
        lines.insert(at, line);
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        read(&path)
    };
    let nul = "\0".repeat(4096);
    for (line, told) in [
        (nul.as_str(), "left out: byte 233: NUL bytes, as a file system leaves them after a crash"),
        (lines[0], "left out: line 1, which does not belong there"),
    ] {
        let past = with(1, line);
        assert_eq!(past.conversation.messages(), messages);
        assert!(past.told.len() == 1 && (past.told[0] == told || line == nul), "{:?}", past.told);
    }
    let more = lines.len() + 1;
    let past =
        with(lines.len(), &format!("{{\"n\":{more},\"turn\":3,\"type\":\"cost\",\"usd\":1}}"));
    assert_eq!(past.conversation.messages(), messages);
    assert_eq!(past.told, [format!("left out: line {more}, of an unknown kind")]);
}

#[test]
fn whatever_is_done_to_a_conversation_its_file_tells_the_same() {
    #[derive(Clone, Debug)]
    enum Step {
        Say,
        Note,
        Reply { calls: usize, blank: bool },
        Answer,
        Fold(usize),
        Shorten,
        Save,
        Resume,
    }
    let step = prop_oneof![
        Just(Step::Say),
        Just(Step::Note),
        (0..3_usize, any::<bool>()).prop_map(|(calls, blank)| Step::Reply { calls, blank }),
        Just(Step::Answer),
        (1..5_usize).prop_map(Step::Fold),
        Just(Step::Shorten),
        Just(Step::Save),
        Just(Step::Save),
        Just(Step::Resume),
    ];
    let cases =
        ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() };
    let stage = Stage::new(LESSON.play);
    proptest!(cases, |(steps in prop::collection::vec(step, 1..25))| {
        let mut store = SessionStore::new(&stage.agent);
        let mut c = Conversation::new();
        c.say("first");
        store.save(&c).unwrap();
        let path = store.path(&store.current().unwrap());
        for (at, step) in steps.into_iter().chain([Step::Save]).enumerate() {
            match step {
                Step::Say => c.say(format!("word {at}")),
                Step::Note => c.remind(format!("note {at}")),
                Step::Reply { calls, blank } => {
                    let mut content = vec![Block::text(if blank { " ".to_owned() } else { format!("reply {at}") })];
                    content.extend((0..calls).map(|n| call(&format!("c{n}"))));
                    c.reply(&Message::assistant(content));
                }
                Step::Answer => {
                    let calls = c.calls();
                    c.answer(calls.iter().map(|call| ToolResult::done(call.id.as_str(), "x")).collect());
                }
                Step::Fold(keep) => if let Some(cut) = c.cut(keep) {
                    c.compact(cut, "what happened");
                },
                Step::Shorten => {
                    let result = c.messages().iter().flat_map(Message::results).next();
                    if let Some(id) = result.map(|result| result.tool_use_id.clone()) {
                        c.shorten(&id, "[shortened]");
                    }
                }
                Step::Save => {
                    store.save(&c).unwrap();
                    let past = read(&path);
                    if c.calls().is_empty() {
                        prop_assert_eq!(past.conversation.messages(), c.messages());
                        prop_assert_eq!(past.told.len(), 0);
                    }
                }
                Step::Resume => {
                    store.save(&c).unwrap();
                    let id = store.current().unwrap();
                    drop(store);
                    store = SessionStore::new(&stage.agent);
                    c = store.resume(&id).unwrap().conversation;
                }
            }
        }
        judge(&c).unwrap();
    });
}

#[test]
fn a_session_of_200_megabytes_is_read_in_bounded_memory() {
    let folder = Folder::new();
    let path = folder.path().join(".sessions/0123abcd.jsonl");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = fs::File::create(&path).unwrap();
    let mut line = |value: Value| writeln!(file, "{value}").unwrap();
    line(
        json!({"n": 1, "turn": 0, "type": "session", "version": 1, "id": "0123abcd", "title": "Long",
        "created": "", "cwd": folder.path(), "parent": null}),
    );
    let words = "word ".repeat(100_000);
    for turn in 1..=200 {
        for (role, n) in [("user", 2 * turn), ("assistant", 2 * turn + 1)] {
            let content = json!([{"type": "text", "text": format!("{turn} {words}")}]);
            line(
                json!({"n": n, "turn": turn, "type": "message", "role": role, "content": content}),
            );
        }
    }
    drop(file);
    assert!(fs::metadata(&path).unwrap().len() > 200_000_000);
    let mut command = scrubbed(BIN, folder.path());
    command.arg("--workspace").arg(folder.path()).arg("--continue");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut shown = Vec::new();
    while !shown.ends_with(b"s17 >> ") {
        let mut byte = [0];
        assert_eq!(stdout.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&shown));
        shown.extend(byte);
    }
    let shown = String::from_utf8_lossy(&shown).into_owned();
    assert!(shown.contains("session 0123abcd, turn 200: Long"), "{shown}");
    assert!(shown.contains("left out: the oldest messages: more than can be held"), "{shown}");
    let peak = peak(child.id());
    child.kill().unwrap();
    child.wait().unwrap();
    let past = read(&path);
    assert_eq!(past.told, [] as [String; 0], "it was told before");
    let last = past.conversation.messages().last().unwrap().text();
    assert!(last.starts_with("200 word"));
    match peak {
        Some(peak) => assert!(peak < 300_000, "{peak} kB at the most"),
        None => harness_testkit::skip("this system does not tell how much memory a process had"),
    }
}

/// The most memory a process ever had, in kB.
fn peak(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn a_hole_of_200_megabytes_is_one_bad_line() {
    let stage = Stage::new(LESSON.play);
    let path = stage.folder.write(".sessions/0123abcd.jsonl", "");
    let file = fs::File::options().write(true).open(&path).unwrap();
    let line =
        "{\"n\":3,\"turn\":1,\"type\":\"message\",\"role\":\"user\",\"content\":\"still here\"}\n";
    file.write_all_at(format!("\n{line}").as_bytes(), 200_000_000).unwrap();
    let past = read(&path);
    assert_eq!(past.conversation.messages().last().unwrap().text(), "still here");
    assert!(past.told[0].contains("longer than any record"), "{:?}", past.told);
}

/// How far a killed program came: what it had shown, and the prompts it was given.
struct Killed {
    shown: String,
    prompts: Vec<String>,
}

impl Killed {
    /// The prompts whose turn was over, because the next prompt was shown.
    fn acknowledged(&self) -> &[String] {
        let shown = self.shown.matches("s17 >> ").count();
        &self.prompts[..shown.saturating_sub(1).min(self.prompts.len())]
    }
}

/// Starts the program, and kills it when it has shown so many bytes.
fn kill_after(folder: &Path, home: &Path, bytes: usize, name: &str) -> Killed {
    let prompts = vec![
        format!("We take SQLite here. ({name}, 1)"),
        format!("Which database is it? ({name}, 2)"),
        format!("We take SQLite again. ({name}, 3)"),
    ];
    let mut command = scrubbed(BIN, home);
    command.arg("--workspace").arg(folder).arg("--continue");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all((prompts.join("\n") + "\n").as_bytes()).unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut shown = vec![0; bytes];
    let mut read = 0;
    while read < bytes {
        match stdout.read(&mut shown[read..]).unwrap() {
            0 => panic!("it left by itself: {}", String::from_utf8_lossy(&shown[..read])),
            more => read += more,
        }
    }
    child.kill().unwrap(); // SIGKILL
    stdout.read_to_end(&mut shown).unwrap(); // what it had shown meanwhile counts too
    child.wait().unwrap();
    drop(stdin);
    Killed { shown: String::from_utf8_lossy(&shown).into_owned(), prompts }
}

/// The turn that this prompt began is there with its answer.
fn holds(conversation: &Conversation, prompt: &str) -> bool {
    let messages = conversation.messages();
    let said = |message: &Message| message.role == Role::User && message.text().contains(prompt);
    let Some(at) = messages.iter().position(said) else { return false };
    let answers = ["It is in decision.md.", "you told me in this session."];
    let turn = messages[at + 1..].iter().take_while(|message| message.prompts() == 0);
    turn.filter(|message| message.role == Role::Assistant)
        .any(|message| answers.iter().any(|answer| message.text().ends_with(answer)))
}

/// All that was there is there, and the last message at the most grew.
fn goes_on(before: &Conversation, now: &Conversation) -> bool {
    let Some((last, earlier)) = before.messages().split_last() else { return true };
    let Some(grown) = now.messages().get(earlier.len()) else { return false };
    now.messages().starts_with(earlier)
        && grown.role == last.role
        && grown.content.starts_with(&last.content)
}

/// Eight runs after one another in one folder, each killed somewhere, each going on where the one before
/// was killed. Returns how many turns were acknowledged.
fn chain(number: usize, longest: usize) -> usize {
    let (folder, home) = (Folder::new(), Folder::new());
    let mut acknowledged: Vec<String> = Vec::new();
    let mut before: Option<(PathBuf, Conversation)> = None;
    for run in 0..8 {
        // Spread evenly over all that a run shows, whatever it is.
        let bytes = (number * 8 + run) * 7919 % longest + 1;
        let killed = kill_after(folder.path(), home.path(), bytes, &format!("{number}.{run}"));
        acknowledged.extend(killed.acknowledged().iter().cloned());
        let sessions = folder.path().join(".sessions");
        let files =
            fs::read_dir(&sessions).into_iter().flatten().map(|entry| entry.unwrap().path());
        let files: Vec<_> =
            files.filter(|path| path.extension().is_some_and(|it| it == "jsonl")).collect();
        let [path] = &files[..] else {
            assert!(files.is_empty() && acknowledged.is_empty(), "{files:?}");
            continue;
        };
        let conversation = read(path).conversation;
        for prompt in &acknowledged {
            assert!(
                holds(&conversation, prompt),
                "{prompt} is lost\n{}\n{conversation:#?}",
                killed.shown
            );
        }
        if let Some((_, before)) = &before {
            assert!(goes_on(before, &conversation), "the past has changed");
        }
        before = Some((path.clone(), conversation));
    }
    acknowledged.len()
}

#[test]
fn killing_it_200_times_loses_no_turn_whose_next_prompt_was_shown() {
    let program = Program::new(BIN, LESSON.play);
    let input = "We take SQLite here. (1)\nWhich database is it? (2)\nWe take SQLite again. (3)\n";
    let longest = Program::pipe(program.command(), input).stdout.len();
    let chains = |half: usize| (0..25).filter(move |number| number % 2 == half);
    let acknowledged: usize = std::thread::scope(|scope| {
        let halves = [0, 1].map(|half| {
            scope.spawn(move || chains(half).map(|n| chain(n, longest)).sum::<usize>())
        });
        halves.into_iter().map(|half| half.join().unwrap()).sum()
    });
    assert!(acknowledged > 50, "the kills came too early to show anything: {acknowledged}");
}

#[tokio::test]
async fn what_a_kill_left_goes_on_with_the_next_prompt() {
    let folder = Folder::new();
    let program = Program::new(BIN, LESSON.play);
    let mut command = scrubbed(BIN, folder.path());
    command.arg("--workspace").arg(folder.path());
    let killed = Program::pipe(command, "\ncrash\n");
    assert!(!killed.status.success());
    let mut command = scrubbed(BIN, folder.path());
    command.arg("--workspace").arg(folder.path()).arg("--continue");
    let output = Program::pipe(command, "What happened?\nq\n");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("had no result; it is marked interrupted"), "{said}");
    assert!(said.contains("All that was said before it is still here."), "{said}");
    drop(program);
}

#[tokio::test]
async fn a_resumed_conversation_is_one_the_loop_can_go_on_with() {
    let Kept { mut stage, id, bytes, .. } = recorded().await;
    let path = stage.agent.cwd.join(format!(".sessions/{id}.jsonl"));
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    stage.agent.hooks.clear();
    for at in ends.collect::<Vec<_>>() {
        fs::write(&path, &bytes[..at]).unwrap();
        let (store, past) = resume(&stage, &id);
        let own = Stage::new(LESSON.play); // its witness has seen nothing yet
        let mut agent = Agent { cwd: stage.agent.cwd.clone(), ..own.agent.clone() }.with(store);
        agent.max_steps = 5;
        let mut c = past.conversation;
        c.say("Which database is it?");
        let stop = agent.run(&mut c, &tokio_util::sync::CancellationToken::new()).await.unwrap();
        assert!(matches!(stop, TurnOutcome::Answered(_)), "cut at {at}");
        assert_eq!(read(&path).conversation.messages(), c.messages());
    }
}
