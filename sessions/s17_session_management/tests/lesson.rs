//! The lesson, played; then the hard cases. What survives a crash is in `crash.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;

use async_trait::async_trait;
use expect_test::expect;
use harness_core::{
    Agent, AgentError, Block, ChildKind, ChildSpec, Content, Conversation, Effect, Hook,
    HookContext, HookReason, Message, NoInput, Secrets, Tool, ToolContext, ToolError,
};
use harness_testkit::program::KEY;
use harness_testkit::{
    Answer, Answers, Folder, Key, Program, Stage, StrictServer, Terminal, outputs, transcript,
};
use s17_session_management::{LESSON, Past, SessionStore};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const BIN: &str = env!("CARGO_BIN_EXE_s17_session_management");

/// A stage whose conversation is kept.
fn stage(play: &str) -> (Stage, SessionStore) {
    let stage = Stage::new(play);
    let store = SessionStore::new(&stage.agent);
    (stage.with(store.clone()), store)
}

/// Two turns of plain words.
const TALK: &str = "
prompt: [one, two]
scenes:
- {said: one, lines: [{text: First.}]}
- {said: two, lines: [{text: Second.}]}
- {said: three, lines: [{text: Third.}]}";

/// The file of the session that is open, line by line.
fn lines(store: &SessionStore) -> Vec<Value> {
    let text = fs::read_to_string(store.path(&store.current().unwrap())).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What another process would read.
fn past(store: &SessionStore, id: &str) -> Past {
    let mut past = Past::read(&store.path(id), None).unwrap();
    past.recover();
    past
}

fn texts(messages: &[Message]) -> Vec<String> {
    messages.iter().map(Message::text).collect()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn program() -> Program {
    Program::new(BIN, LESSON.play)
}

/// The ids of the sessions in a folder, without those that are not its own.
fn ids(folder: &Folder) -> Vec<String> {
    let names = fs::read_dir(folder.path().join(".sessions")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| name.strip_suffix(".jsonl").map(str::to_owned)).collect()
}

#[tokio::test]
async fn the_play() {
    let (mut stage, store) = stage(LESSON.play);
    expect![[r#"
        human: We take SQLite for the queue. Keep that in decision.md.
        model: I look whether something is decided already.
          call read {"path":"decision.md"}
          error "decision.md" does not exist; check the spelling, or list the folder
        model: Now I write it down.
          call write {"path":"decision.md","content":"The queue is in SQLite.\n"}
          result made decision.md (24 bytes)
        model: It is in decision.md.
        human: Which database did we take?
        model: SQLite. I did not look it up, you told me in this session.
    "#]]
    .assert_eq(&stage.play().await);
    let kept = past(&store, &store.current().unwrap());
    assert_eq!(
        transcript(kept.conversation.messages())
            .replace(&stage.agent.cwd.display().to_string(), "FOLDER"),
        stage.transcript()
    );
    assert_eq!((kept.turns, kept.told), (2, vec![]));
    let kinds: Vec<String> = lines(&store)
        .iter()
        .map(|line| {
            format!("{} {} {} {}", line["n"], line["turn"], line["type"], line["role"])
                .replace('"', "")
        })
        .collect();
    expect![[r#"
        1 0 session null
        2 1 message user
        3 1 message assistant
        4 1 message user
        5 1 message assistant
        6 1 message user
        7 1 message assistant
        8 2 message user
        9 2 message assistant"#]]
    .assert_eq(&kinds.join("\n"));
}

#[test]
fn the_binary_plays_it_through_a_pipe_and_over_the_wire() {
    for play in [Program::play, Program::play_over_the_wire] {
        let program = program();
        let said = play(&program);
        assert!(said.contains("\"decision.md\" does not exist"), "{said}");
        assert!(said.contains("you told me in this session"), "{said}");
        assert_eq!(program.folder.read("decision.md"), "The queue is in SQLite.\n");
        assert_eq!(ids(&program.folder).len(), 1);
    }
}

/// As the README tells it: played, killed by its own call, continued, forked, named, listed.
#[test]
fn the_play_in_a_terminal_goes_on_after_a_crash() {
    for columns in [80, 40] {
        let program = program();
        let start = |flags: &[&str]| {
            let terminal = Terminal::start(command_with(program.command(), flags), columns, 50);
            terminal.wait_for("s17 >>");
            terminal
        };
        let answered = |terminal: &Terminal, text: &str| {
            terminal.wait_until("the answer and a prompt", |screen| {
                screen.replace('\n', "").contains(text) && screen.ends_with("s17 >>")
            });
        };
        let mut first = start(&[]);
        first.key(Key::Enter);
        answered(&first, "It is in decision.md.");
        first.key(Key::Enter);
        answered(&first, "SQLite. I did not look it up");
        first.line("crash");
        assert_eq!(first.wait_for_end().signal(), Some(9), "nothing could be tidied up");

        let mut again = start(&["--continue"]);
        again.wait_for("you: crash");
        again.wait_until("what was lost", |screen| {
            screen.replace('\n', "").contains("had no result; it is marked interrupted")
        });
        again.line("What happened?");
        answered(&again, "My last call never came back.");
        again.line(&format!(":fork {} 1", &ids(&program.folder)[0][..8]));
        answered(&again, "model: It is in decision.md.");
        again.line(":title A second try");
        again.line(":sessions");
        let listed = again
            .wait_until("the list", |screen| screen.contains("* ") && screen.ends_with("s17 >>"));
        // A line for each, however narrow it is.
        let rows: Vec<_> = listed.lines().rev().skip(1).take(2).collect();
        assert!(rows[1].contains(" 1      ") && rows[1].contains("A s"), "{listed}");
        assert!(rows[0].contains(" 4      ") && rows[0].contains("We t"), "{listed}");
        again.line("q");
        assert!(again.wait_for_end().success());
    }
}

#[test]
fn a_session_goes_on_in_the_next_process_word_for_word() {
    // Signed thinking must come back exactly as it was, with all that stood before it: the server that
    // saw the first process judges the second by it.
    let thought = json!({"type": "thinking", "thinking": "", "signature": "c2lnbmVk"});
    let call = json!({"type": "tool_use", "id": "toolu_1", "name": "bash", "input": {"command": "echo 42"}});
    let server = StrictServer::start(Answers::from(vec![
        Answer::blocks(vec![thought.clone(), call]),
        Answer::blocks(vec![thought.clone(), json!({"type": "text", "text": "It is 42."})]),
        Answer::text("I said that it is 42."),
        Answer::text("Twice now."),
    ]));
    let program = program();
    let run = |flags: &[&str], input: &str| {
        let mut command = program.command();
        command.env("ANTHROPIC_BASE_URL", server.base_url()).env("ANTHROPIC_API_KEY", KEY);
        said(&Program::pipe(command_with(command, flags), input))
    };
    run(&[], "What is it?\nq\n");
    let again = run(&["--continue"], "What did you say?\nq\n");
    assert!(again.contains("turn 1: What is it?"), "{again}");
    assert!(again.contains("  you: What is it?\n  model: It is 42.\n"), "{again}");
    let id = ids(&program.folder).remove(0);
    let thrice = run(&["--resume", &id[..4], "-p", "And now?"], "");
    assert_eq!(thrice, "Twice now.\n");
    let requests = server.finish(); // fails where a request does not continue the one before
    assert_eq!(requests.len(), 4);
    assert_eq!(requests[3]["messages"].as_array().unwrap().len(), 7);
    let file = program.folder.read(&format!(".sessions/{id}.jsonl"));
    assert!(!file.contains("replaced"), "nothing was mended, so nothing is written twice: {file}");
}

fn command_with(mut command: std::process::Command, flags: &[&str]) -> std::process::Command {
    command.args(flags);
    command
}

#[test]
fn flags_that_make_no_sense_are_told() {
    let program = program();
    let run = |flags: &[&str]| Program::pipe(command_with(program.command(), flags), "q\n");
    assert_eq!(run(&["--continue", "--resume", "a"]).status.code(), Some(2));
    let none = run(&["--continue"]);
    assert!(said(&none).contains("there is no session to continue here; this one is new"));
    let unknown = run(&["--resume", "abc"]);
    assert_eq!(unknown.status.code(), Some(1));
    let why = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert_eq!(why, "error: no id begins with \"abc\"; :sessions lists them\n");
    assert!(!program.folder.has(".sessions"), "nothing is made before something is said");
}

#[test]
fn the_commands_list_resume_fork_and_name_sessions() {
    let program = program();
    let input = ":save\n:title too early\n\n:title \x1b[31mThe queue\n\n:save\n:sessions\n:fork\n:sessions\nq\n";
    let output = said(&Program::pipe(program.command(), input));
    assert!(output.contains("there is nothing to save yet"), "{output}");
    assert!(output.contains("error: there is no session yet"), "{output}");
    assert!(output.contains("it is all in "), "{output}");
    assert_eq!(output.matches("2      ").count(), 3, "{output}");
    assert_eq!(output.matches(" The queue\n").count(), 4, "{output}");
    let ids = ids(&program.folder);
    let (first, copy) = match program
        .folder
        .read(&format!(".sessions/{}.jsonl", ids[0]))
        .contains("\"parent\":null")
    {
        true => (&ids[0], &ids[1]),
        false => (&ids[1], &ids[0]),
    };
    assert!(
        output.contains(&format!("* {copy}")) && output.contains(&format!("  {first}")),
        "{output}"
    );
    assert!(output.contains(&format!("The queue (fork of {first}, turn 2)")), "{output}");

    let input = format!(
        ":resume {first}\n:resume {first}\n:fork {first} 1\n:fork {first} 3\n:fork {first} 0\n:fork {first} x\n\
         :sessions you told me\n:sessions nowhere\n:resume\n:help\nq\n"
    );
    let output = said(&Program::pipe(program.command(), &input));
    assert!(output.contains(&format!("session {first}, turn 2: The queue")), "{output}");
    assert!(output.contains(&format!("error: session {first} is the one you are in")), "{output}");
    assert!(
        output.contains(", turn 1: The queue") || output.contains(", turn 1: We take SQLite"),
        "{output}"
    );
    assert!(output.contains(&format!("error: session {first} holds no turn 3")), "{output}");
    assert!(output.contains(&format!("error: session {first} holds no turn 0")), "{output}");
    assert!(output.contains("does not end with a turn's number"), "{output}");
    assert!(output.contains("there is none\n"), "{output}");
    assert!(output.contains("an empty id names nothing"), "{output}");
    for command in [":sessions", ":resume", ":fork", ":title", ":save"] {
        assert!(output.contains(&format!("  {command} ")), "{output}");
    }
}

#[tokio::test]
async fn an_interrupted_turn_is_kept_and_its_calls_are_answered() {
    // The original saved a session when a turn had ended well: an interrupted or crashed turn was lost,
    // or its open calls were saved and broke every resume.
    let (mut stage, store) = stage("
prompt: go
scenes:
- said: go
  lines: [{text: I start., calls: [{tool: bash, input: {command: sleep 60}}, {tool: bash, input: {command: echo 2}}]}]
- said: again
  lines: [{text: I see.}]");
    let cancel = CancellationToken::new();
    stage.agent.observers.add(Arc::new(CancelAtFirstTool(cancel.clone())));
    stage.conversation.say("go");
    stage.agent.run(&mut stage.conversation, &cancel).await.unwrap();
    let id = store.current().unwrap();
    let kept = past(&store, &id);
    assert_eq!(kept.conversation.messages(), stage.conversation.messages());
    assert_eq!(kept.told, [] as [String; 0], "nothing had to be mended");
    stage.say("again").await.unwrap(); // the witness judges it
}

struct CancelAtFirstTool(CancellationToken);

impl harness_core::Observer for CancelAtFirstTool {
    fn on(&self, _: &str, event: &harness_core::Event) {
        if let harness_core::Event::ToolStarted(_) = event {
            self.0.cancel();
        }
    }
}

/// Looks, while it runs, whether the call that runs it is on disk.
struct LookAtTheFile(SessionStore);

impl Tool for LookAtTheFile {
    const NAME: &'static str = "look";
    const ABOUT: &'static str = "Looks at the session's file.";
    type Input = NoInput;

    fn effect(&self, _: &NoInput) -> Effect {
        Effect::Internal
    }

    async fn call(&self, _: NoInput, cx: &ToolContext) -> Result<Content, ToolError> {
        let file = fs::read_to_string(self.0.path(&self.0.current().unwrap()))
            .map_err(ToolError::failed)?;
        Ok(format!("{}", file.contains(&cx.call_id)).into())
    }
}

#[tokio::test]
async fn a_call_is_on_disk_before_it_runs() {
    let (mut stage, store) = stage(
        "
prompt: go
scenes: [{lines: [{calls: [{tool: look}]}, {text: Done.}]}]",
    );
    stage.agent.tools.add(LookAtTheFile(store));
    stage.play().await;
    assert_eq!(stage.results(), ["true"]);
}

#[tokio::test]
async fn a_path_is_no_id() {
    // In the original `:resume ../outside` loaded a file from elsewhere, and the id inside that file
    // chose where the next save went.
    let (mut stage, store) = stage(TALK);
    stage.play().await;
    let id = store.current().unwrap();
    let file = store.path(&id);
    let text = fs::read_to_string(&file)
        .unwrap()
        .replace(&format!("\"id\":\"{id}\""), "\"id\":\"../../pwned\"");
    stage.folder.write("outside.jsonl", &text);
    stage.folder.write(".sessions/0badc0de.jsonl", &text);
    for bad in
        ["../outside", "..", "/etc/passwd", "", ".", "x/../../outside", "outside.jsonl", "\0"]
    {
        assert!(store.resume(bad).is_err(), "{bad:?}");
        assert!(store.fork(bad, None).is_err(), "{bad:?}");
    }
    stage.conversation = store.resume("0badc0de").unwrap().conversation;
    stage.say("three").await.unwrap();
    assert!(stage.folder.read(".sessions/0badc0de.jsonl").contains("Third."));
    assert_eq!(fs::read_to_string(&file).unwrap().matches("Third.").count(), 0);
    let parent = stage.folder.path().parent().unwrap();
    for folder in [stage.folder.path(), parent, Path::new("/")] {
        assert!(!folder.join("pwned.jsonl").exists());
    }
}

#[tokio::test]
async fn odd_files_do_not_break_the_list() {
    // In the original one odd file in the folder ended `:sessions` with an exception.
    let (mut stage, store) = stage(TALK);
    stage.play().await;
    let own = store.current().unwrap();
    let folder = stage.folder.path().join(".sessions");
    let newer =
        fs::read_to_string(store.path(&own)).unwrap().replace("\"version\":1", "\"version\":2");
    stage.folder.write(".sessions/aa000000.jsonl", &newer);
    stage.folder.write(".sessions/ab000000.jsonl", "");
    stage.folder.write(".sessions/notes.txt", "hello");
    fs::write(folder.join("ac000000.jsonl"), [0xff; 1000]).unwrap();
    fs::write(folder.join("ad000000.jsonl"), [0; 1000]).unwrap();
    fs::write(folder.join("ae000000.jsonl"), "[]\n{}\n1\n\"x\"\nnull\n{\"type\":1}\n").unwrap();
    fs::create_dir(folder.join("af000000.jsonl")).unwrap();
    symlink("/etc/passwd", folder.join("b0000000.jsonl")).unwrap();
    symlink("nowhere", folder.join("b1000000.jsonl")).unwrap();
    let ids: Vec<String> = store.list().unwrap().into_iter().map(|file| file.name).collect();
    for id in [own.as_str(), "aa000000", "ab000000", "ac000000", "ad000000", "ae000000"] {
        assert!(ids.iter().any(|known| known == id), "{id}: {ids:?}");
    }
    assert_eq!(ids.len(), 6, "links and folders are no sessions: {ids:?}");

    let program = program();
    let mut command = harness_testkit::scrubbed(BIN, program.folder.path());
    command.arg("--workspace").arg(stage.folder.path());
    let output = said(&Program::pipe(
        command,
        ":sessions\n:resume aa0000\n:resume ac0000\n:resume b00000\nWhich database\n:sessions Second\nq\n",
    ));
    assert!(
        output.contains("has form 2, and 1 is the newest known here; it is left as it is"),
        "{output}"
    );
    assert!(
        output.contains("left out: a last line that was cut short after 1000 bytes"),
        "{output}"
    );
    assert!(output.contains("left out: byte 0: no record"), "{output}");
    assert!(output.contains("no id begins with \"b00000\""), "{output}");
    assert!(output.contains("SQLite. I did not"), "what is left of a session goes on: {output}");
    assert_eq!(
        fs::read_to_string(folder.join("aa000000.jsonl")).unwrap(),
        newer,
        "its bytes are kept"
    );
}

#[tokio::test]
async fn switching_sessions_drops_nothing() {
    // The original swapped sessions without saving the one it left.
    let (mut stage, store) = stage(TALK);
    stage.play().await;
    let first = store.current().unwrap();
    stage.conversation.remind("news that came between two turns");
    store.save(&stage.conversation).unwrap();
    let copy = store.fork(&first, Some(1)).unwrap();
    assert_eq!(texts(copy.conversation.messages()), ["one", "First."]);
    let left = past(&store, &first);
    assert!(transcript(left.conversation.messages()).contains("news that came between"));
}

#[tokio::test]
async fn a_fork_and_its_parent_go_their_own_ways() {
    let (mut stage, store) = stage(TALK);
    stage.witness.clone().allow_forks();
    stage.play().await;
    let parent = store.current().unwrap();
    stage.conversation = store.fork(&parent, Some(1)).unwrap().conversation;
    stage.say("three").await.unwrap();
    let fork = store.current().unwrap();
    assert_eq!(
        texts(past(&store, &parent).conversation.messages()),
        ["one", "First.", "two", "Second."]
    );
    let copy = past(&store, &fork);
    assert_eq!(texts(copy.conversation.messages()), ["one", "First.", "three", "Third."]);
    assert_eq!((copy.header.parent, copy.turns), (Some((parent, 1)), 2));
}

#[tokio::test]
async fn only_one_process_writes_a_session() {
    let (mut stage, store) = stage(TALK);
    stage.play().await;
    let id = store.current().unwrap();
    let why = SessionStore::new(&stage.agent).resume(&id).unwrap_err().to_string();
    let here = format!(
        ".sessions/{id}.lock\" is in use by process {}; end that process first",
        std::process::id()
    );
    assert!(why.ends_with(&here), "{why}");

    let program = program();
    let run = |flags: &[&str], input: &str| {
        let mut command = harness_testkit::scrubbed(BIN, program.folder.path());
        command.arg("--workspace").arg(stage.folder.path()).args(flags);
        Program::pipe(command, input)
    };
    let refused = run(&["--resume", &id], "");
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains(&here));
    // Who only reads may: a list, a fork.
    let forked = said(&run(&[], &format!(":sessions\n:fork {id}\nq\n")));
    assert!(forked.contains(&format!("  {id}")) && forked.contains("model: Second."), "{forked}");

    drop(store.fork(&id, None).unwrap()); // this store goes on elsewhere, and lets it go
    assert!(run(&["--resume", &id], "").status.success());
}

/// A tool that hands its work to a clone of the agent, hooks and name and all.
struct Delegate(Agent);

impl Tool for Delegate {
    const NAME: &'static str = "delegate";
    const ABOUT: &'static str = "Lets a clone do it.";
    type Input = NoInput;

    fn effect(&self, _: &NoInput) -> Effect {
        Effect::Internal
    }

    async fn call(&self, _: NoInput, cx: &ToolContext) -> Result<Content, ToolError> {
        let mut own = Conversation::new();
        own.say("a child's task");
        let stop = self.0.run(&mut own, &cx.cancel).await.map_err(ToolError::failed)?;
        Ok(format!("{stop:?}").into())
    }
}

#[tokio::test]
async fn a_child_does_not_write_into_its_leads_session() {
    let (mut stage, store) = stage(
        "
prompt: go
scenes:
- {said: child, lines: [{text: The child is done.}]}
- {said: go, lines: [{calls: [{tool: delegate}]}, {text: Done.}]}
- {said: after, lines: [{text: Still mine.}]}",
    );
    // Once under the lead's own name, which is the worst case, and once under another.
    for name in ["lead", "helper"] {
        let child = stage.agent.child(ChildSpec::new(name, ChildKind::Subagent));
        stage.agent.tools = harness_core::Toolbox::new().with(Delegate(child));
        stage.conversation = Conversation::new();
        store.save(&stage.conversation).unwrap(); // another conversation from here on
        stage.say("go").await.unwrap();
        assert!(stage.results()[0].contains("The child is done."));
        stage.say("after").await.unwrap();
        let file = lines(&store);
        assert!(!file.iter().any(|line| line["type"] == "replaced"), "{file:?}");
        let kept = past(&store, &store.current().unwrap());
        assert_eq!(kept.conversation.messages(), stage.conversation.messages());
        assert!(!file.iter().any(|line| line.to_string().contains("a child's task")), "{file:?}");
    }
    assert_eq!(store.list().unwrap().len(), 2);
}

#[tokio::test]
async fn a_helper_that_speaks_before_the_lead_does_not_take_the_session() {
    let (mut stage, store) = stage(TALK);
    let helper = stage.agent.child(ChildSpec::new("helper", ChildKind::Subagent));
    let mut own = Conversation::new();
    own.say("one");
    helper.run(&mut own, &CancellationToken::new()).await.unwrap();
    assert_eq!(store.current(), None);
    stage.say("two").await.unwrap();
    // A clone of a conversation is another one: a summary of it, say.
    let mut clone = stage.conversation.clone();
    clone.say("three");
    stage.agent.run(&mut clone, &CancellationToken::new()).await.unwrap();
    let kept = past(&store, &store.current().unwrap());
    assert_eq!(texts(kept.conversation.messages()), ["two", "Second."]);
}

#[tokio::test]
async fn a_history_that_was_compacted_is_kept_as_it_is_now() {
    let (mut stage, store) = stage(TALK);
    stage.play().await;
    let id = store.current().unwrap();
    let cut = stage.conversation.cut(2).unwrap();
    stage.conversation.compact(cut, "We spoke of one.");
    store.save(&stage.conversation).unwrap();
    let kept = past(&store, &id);
    assert_eq!(kept.conversation.messages(), stage.conversation.messages());
    assert_eq!((kept.turns, kept.told), (2, vec![]));
    let file = lines(&store);
    assert_eq!(file[5]["type"], "replaced");
    assert!(file[1].to_string().contains("one"), "what was there before is still there");
    // A fork at an earlier turn still has what was folded since; one at this turn has the summary.
    assert_eq!(texts(store.fork(&id, Some(1)).unwrap().conversation.messages()), ["one", "First."]);
    let late = store.fork(&id, Some(2)).unwrap();
    assert_eq!(late.conversation.messages(), stage.conversation.messages());
    assert_eq!(late.turns, 2);
    let fork = store.current().unwrap();
    let why = store.fork(&fork, Some(1)).unwrap_err().to_string();
    assert_eq!(why, format!("session {fork} (a fork of {id}) holds no turn 1"));
}

#[tokio::test]
async fn secrets_never_reach_the_file_and_thinking_after_them_does_not_come_back() {
    let mut stage = Stage::new(TALK);
    stage.agent.secrets = Secrets::new([], ["correct\"horse\\battery".to_owned()]);
    let store = SessionStore::new(&stage.agent);
    let mut stage = stage.with(store.clone());
    stage.say("one: my password is correct\"horse\\battery").await.unwrap();
    let id = store.current().unwrap();
    let thought: Block =
        serde_json::from_value(json!({"type": "thinking", "thinking": "hm", "signature": "s"}))
            .unwrap();
    stage.conversation.reply(&Message::assistant(vec![thought, Block::text("Noted.")]));
    store.save(&stage.conversation).unwrap();
    store.title("correct\"horse\\battery").unwrap();
    let file = fs::read_to_string(store.path(&id)).unwrap();
    assert!(!file.contains("horse") && file.contains("my password is [secret]"), "{file}");
    // The server bound the thinking to words that are not in the file any more.
    let kept = past(&store, &id);
    let blocks = kept.conversation.messages().iter().flat_map(|message| &message.content);
    assert_eq!(blocks.filter(|block| block.is_thinking()).count(), 0);
    assert!(file.contains("thinking"), "but it is not taken out of the file");
    assert_eq!(kept.title, "[secret]");
}

#[tokio::test]
async fn what_cannot_be_kept_does_not_run() {
    // A limit on the size of files stands for a full disk.
    let program = program();
    let script = "ulimit -f 1; trap '' XFSZ; exec \"$@\"";
    let mut command = harness_testkit::scrubbed("sh", program.folder.path());
    command.args(["-c", script, "sh", BIN, "--workspace"]).arg(program.folder.path());
    let input = format!("SQLite {}\nWhich database\n:sessions\nq\n", "x".repeat(3000));
    let output = said(&Program::pipe(command, &input));
    assert!(output.contains("error: the session cannot be kept: cannot append to"), "{output}");
    assert!(!output.contains("▸"), "no tool runs: {output}");
    let id = ids(&program.folder).remove(0);
    let file = program.folder.read(&format!(".sessions/{id}.jsonl"));
    assert_eq!(file.lines().count(), 1, "no half of a line is left behind: {file}");
    assert!(!program.folder.has("decision.md"));

    // With room again, all that was said is written with the next thing said.
    let (mut stage, store) = stage(TALK);
    stage.say("one").await.unwrap();
    let file = store.path(&store.current().unwrap());
    fs::rename(&file, file.with_extension("away")).unwrap();
    fs::create_dir(&file).unwrap();
    let why = stage.say("two").await.unwrap_err();
    assert!(matches!(why, AgentError::Fatal(_)), "{why}");
    fs::remove_dir(&file).unwrap();
    fs::rename(file.with_extension("away"), &file).unwrap();
    stage.say("three").await.unwrap();
    let kept = past(&store, &store.current().unwrap());
    assert_eq!(kept.conversation.messages(), stage.conversation.messages());
    assert_eq!(kept.told, [] as [String; 0]);
}

#[tokio::test]
async fn a_session_that_was_begun_elsewhere_goes_on_here_and_says_so() {
    let (mut stage, store) = stage(TALK);
    stage.play().await;
    let id = store.current().unwrap();
    let elsewhere = Folder::new();
    let file = fs::read_to_string(store.path(&id)).unwrap();
    elsewhere.write(
        &format!(".sessions/{id}.jsonl"),
        &file.replace(&stage.agent.cwd.display().to_string(), "/gone"),
    );
    let mut command = harness_testkit::scrubbed(BIN, elsewhere.path());
    command.arg("--workspace").arg(elsewhere.path()).arg("--continue");
    let output = said(&Program::pipe(command, "x\nq\n"));
    assert!(output.contains("  it was begun in /gone; it goes on here\n"), "{output}");
    let file = elsewhere.read(&format!(".sessions/{id}.jsonl"));
    let note = format!("The workspace is {}.", elsewhere.path().display());
    assert!(file.contains(&note), "the model is told, too: {file}");
}

#[test]
fn a_folder_whose_name_is_no_utf_8_has_sessions_too() {
    let home = Folder::new();
    let folder = home.path().join(OsStr::from_bytes(b"caf\xe9"));
    fs::create_dir(&folder).unwrap();
    let mut command = harness_testkit::scrubbed(BIN, home.path());
    command.arg("--workspace").arg(&folder);
    let output = said(&Program::pipe(command, "\nq\n"));
    assert!(!output.contains("error"), "{output}");
    let mut command = harness_testkit::scrubbed(BIN, home.path());
    command.arg("--workspace").arg(&folder).arg("--continue");
    let output = said(&Program::pipe(command, "\nq\n"));
    assert!(output.contains(", turn 1: We take") && !output.contains("begun in"), "{output}");
}

#[test]
fn sessions_are_private_and_git_does_not_see_them() {
    use std::os::unix::fs::PermissionsExt;
    let program = program();
    program.play();
    let id = ids(&program.folder).remove(0);
    let file = program.folder.path().join(format!(".sessions/{id}.jsonl"));
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(program.folder.read(".sessions/.gitignore"), "*\n");
    // A repository may bring a link of that name: nothing is written through it.
    let (trap, target) = (Folder::new(), Folder::new());
    symlink(target.path(), trap.path().join(".sessions")).unwrap();
    let mut command = harness_testkit::scrubbed(BIN, trap.path());
    command.arg("--workspace").arg(trap.path());
    let output = said(&Program::pipe(command, "SQLite\n:sessions\nq\n"));
    assert!(output.contains("error: the session cannot be kept"), "{output}");
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), 0);
}

/// A hook that looks whether everything was kept when the model is asked.
struct Keeps(SessionStore);

#[async_trait]
impl Hook for Keeps {
    async fn before_stop(&self, c: &Conversation, t: &HookContext<'_>) -> Option<String> {
        assert_eq!(t.why, HookReason::Step);
        let kept = past(&self.0, &self.0.current().unwrap());
        assert_eq!(kept.conversation.messages(), c.messages());
        None
    }
}

#[tokio::test]
async fn the_last_reply_is_on_disk_before_the_turn_ends() {
    let (mut stage, store) = stage(TALK);
    stage.agent.hooks.push(Arc::new(Keeps(store)));
    stage.play().await;
}

#[test]
fn the_readme_shows_what_the_program_prints() {
    let program = program();
    let mut shown = said(&Program::pipe(program.command(), "\n\ncrash\n"));
    let id = ids(&program.folder).remove(0);
    let mut run = |flags: &[&str], input: &str| {
        shown += &said(&Program::pipe(command_with(program.command(), flags), input));
    };
    run(&["--continue"], "What happened?\nq\n");
    run(&[], &format!(":fork {} 1\n:title A second try\n:sessions\nq\n", &id[..4]));
    let copy = ids(&program.folder).into_iter().find(|other| *other != id).unwrap();
    let shown = shown
        .replace(&copy, "c96eb731")
        .replace(&id, "3e493754")
        .replace(&format!(":fork {}", &id[..4]), ":fork 3e49");
    let shown: Vec<String> = shown.lines().map(timeless).collect();
    let readme = outputs(include_str!("../README.md"));
    for line in readme.into_iter().flat_map(str::lines).map(timeless) {
        assert!(shown.contains(&line), "{line}\n{shown:#?}");
    }
}

/// A row of `:sessions` without age and size, which are others each time.
fn timeless(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let is_unit = |word: &&str| ["s", "min"].contains(word);
    match words.iter().position(is_unit).filter(|at| *at <= 3 && words.len() > at + 3) {
        Some(at) => {
            [&words[..at - 1], &words[at + 1..=at + 1], &words[at + 4..]].concat().join(" ")
        }
        None => line.to_owned(),
    }
}
