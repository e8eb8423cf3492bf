//! The lesson, played; then steering and stopping, in a terminal and from a pipe. That a turn can be
//! interrupted at every step is in `points.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use expect_test::expect;
use harness_app::{App, Steering as _, SteeringOutcome};
use harness_core::{
    Block, Chat, ChildKind, ChildSpec, Content, Conversation, Event, Hook, HookContext, Next,
    NoInput, Observer, Prompt, Tool, ToolContext, ToolError, TurnLayer, TurnOutcome,
};
use harness_testkit::program::KEY;
use harness_testkit::{
    Answers, Fault, Folder, Key, Program, Stage, StrictServer, Terminal, transcript,
    wait_until_gone,
};
use rustix::process::{Pid, Signal, kill_process};
use s19_interrupts::{LESSON, Lines, Steering};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

const BIN: &str = env!("CARGO_BIN_EXE_s19_interrupts");

/// What would hang for ever if it were wrong fails after this.
const PATIENCE: Duration = Duration::from_secs(60);

/// A step that takes until the file `one` is there, and what can be said meanwhile.
const WORK: &str = r#"
prompt: go
scenes:
- said: left\z
  lines: [{text: I turned left.}]
- said: right\z
  lines: [{text: I turned right.}]
- said: ^stubborn$
  lines:
  - calls: [{tool: bash, input: {command: "trap '' TERM; echo $$ > pid; echo first; while :; do sleep 1; done"}}]
- lines:
  - text: I begin.
    calls: [{tool: bash, input: {command: "echo $$ > pid; echo first; until [ -e one ]; do sleep 0.05; done"}}]
  - {text: It is done.}
"#;

/// The program at work on a server's play.
fn at_work(server: &StrictServer) -> Program {
    server.require_key(KEY);
    Program::new(BIN, WORK)
}

fn server() -> StrictServer {
    StrictServer::start(Answers::from_yaml(WORK))
}

fn command(program: &Program, server: &StrictServer) -> std::process::Command {
    let mut command = program.command();
    command.env("ANTHROPIC_BASE_URL", server.base_url()).env("ANTHROPIC_API_KEY", KEY);
    command
}

fn terminal(program: &Program, server: &StrictServer) -> Terminal {
    let terminal = Terminal::start(command(program, server), 100, 60);
    terminal.wait_for("s19 >>");
    terminal
}

/// The texts that the human said, as a request's body holds them.
fn said(request: &Value) -> Vec<&str> {
    let messages = request["messages"].as_array().unwrap().iter();
    let blocks =
        messages.filter(|m| m["role"] == "user").flat_map(|m| m["content"].as_array().unwrap());
    let texts = blocks.filter_map(|block| block["text"].as_str());
    texts.filter(|text| !text.starts_with("<system-reminder>")).collect()
}

// ---------------------------------------------------------------- the play

#[test]
fn the_play() {
    let program = Program::new(BIN, LESSON.play);
    let shown = program.play();
    let (_, shown) = shown.split_once("q leaves\n").unwrap();
    // How long it took is another number on every machine.
    let (head, tail) = shown.split_once("[interrupted after ").unwrap();
    let (_, tail) = tail.split_once(" s]").unwrap();
    expect![[r#"
        s19 >> 
        s19 >> Ask all six stations.
        One after the other, half a second each. Type something while I work.
        ▸ bash for s in north east south; do echo $s: open; sleep 0.5; done
          north: open
          east: open
          south: open
        Three more.
        ▸ bash for s in west harbour airport; do echo $s: open; sleep 0.5; done
          west: open
          harbour: open
          airport: open
        All six are open.
        s19 >> 
        s19 >> Stop yourself in the middle.
        This takes half a minute, but I press Ctrl-C myself.
        ▸ bash echo half of it; kill -INT $PPID; sleep 30; echo the rest
          half of it
          [interrupted after N s]
        ▸ write path=report.txt content=too late
          interrupted: this call did not finish
        interrupted; the conversation goes on
        s19 >> 
        s19 >> What is left of it?
        The first call was interrupted, and I still have what it printed. The second one never ran.
        ▸ glob *
          no file matches `*`; `**/` looks into folders too
        There is no report.txt. We can go on from here.
        s19 >> q
    "#]]
    .assert_eq(&format!("{head}[interrupted after N s]{tail}"));
}

#[test]
fn the_play_over_the_wire() {
    let shown = Program::new(BIN, LESSON.play).play_over_the_wire();
    assert!(shown.contains("half of it") && shown.contains("[interrupted after "), "{shown}");
    assert!(shown.contains("There is no report.txt. We can go on from here."), "{shown}");
}

#[test]
fn one_prompt_alone_is_interrupted_with_its_own_exit_code() {
    let program = Program::new(BIN, LESSON.play);
    let mut command = program.command();
    command.args(["-p", "Stop yourself in the middle."]);
    let output = Program::pipe(command, "");
    assert_eq!(output.status.code(), Some(130));
    assert!(!program.folder.has("report.txt"));
}

// ---------------------------------------------------------------- steering

#[test]
fn a_line_typed_while_it_works_is_told_before_the_next_request() {
    let server = server();
    let program = at_work(&server);
    let terminal = terminal(&program, &server);
    terminal.line("go");
    terminal.wait_for("▸ bash");
    terminal.line("turn left");
    terminal.wait_for("told at the next step: turn left");
    program.folder.write("one", "");
    terminal.wait_for("» turn left");
    terminal.wait_for("I turned left.");
    let requests = server.finish();
    assert_eq!(requests.len(), 2);
    assert_eq!(said(&requests[1]), ["go", "turn left"]);
    // The original put such words between a call and its result, and the request was refused.
    let last = requests[1]["messages"].as_array().unwrap().last().unwrap()["content"].clone();
    assert_eq!((&last[0]["type"], &last[1]["text"]), (&"tool_result".into(), &"turn left".into()));
    assert_eq!(last[0]["content"], "first");
}

#[test]
fn words_behind_a_mark_interrupt_the_call_and_the_turn_goes_on_with_them() {
    let server = server();
    let program = at_work(&server);
    let terminal = terminal(&program, &server);
    terminal.line("go");
    terminal.wait_for("▸ bash");
    program_started(&program.folder);
    terminal.line("slow down");
    terminal.wait_for("told at the next step: slow down");
    terminal.line("! turn left");
    let screen = terminal.wait_for("I turned left.");
    assert!(screen.contains("told at once: slow down · turn left"), "{screen}");
    assert!(screen.contains("[interrupted after "), "{screen}");
    assert!(!screen.contains("the conversation goes on"), "the turn was not stopped: {screen}");
    wait_until_gone(&program.folder.read("pid"));
    let requests = server.finish();
    assert_eq!(said(&requests[1]), ["go", "slow down", "turn left"]);
}

/// Waits until the command has written its number.
fn program_started(folder: &Folder) {
    let deadline = Instant::now() + PATIENCE;
    while !folder.has("pid") || folder.read("pid").is_empty() {
        assert!(Instant::now() < deadline, "the command never started");
        std::thread::yield_now();
    }
}

#[test]
fn words_behind_a_mark_interrupt_a_reply_too_and_what_was_said_stays() {
    let server = server();
    server.fault(1, Fault::Gate("gate".to_owned()));
    let program = at_work(&server);
    let terminal = terminal(&program, &server);
    terminal.line("go");
    terminal.wait_until("the first words", |screen| screen.contains("\nI"));
    terminal.line("!turn right");
    terminal.wait_for("I turned right.");
    server.held_blocking("gate", 0);
    let requests = server.finish();
    let spoken = &requests[1]["messages"][1];
    assert_eq!(spoken["role"], "assistant");
    assert!("I begin.".starts_with(spoken["content"][0]["text"].as_str().unwrap()), "{spoken}");
    assert_eq!(said(&requests[1]), ["go", "turn right"]);
}

#[test]
fn a_line_that_no_request_came_for_becomes_the_next_prompt() {
    let server = server();
    server.fault(2, Fault::Gate("gate".to_owned()));
    let program = at_work(&server);
    program.folder.write("one", "");
    let terminal = terminal(&program, &server);
    terminal.line("go");
    server.held_blocking("gate", 1); // the last reply of the turn is on its way
    terminal.line("turn left");
    terminal.wait_for("told at the next step: turn left");
    server.open("gate");
    let screen = terminal.wait_for("I turned left.");
    assert!(screen.contains("s19 >> turn left\nI turned left."), "{screen}");
    drop(terminal);
    server.finish();
}

#[test]
fn lines_of_a_turn_that_is_stopped_become_the_next_prompts_in_order() {
    let server = server();
    let program = at_work(&server);
    let terminal = terminal(&program, &server);
    terminal.line("go");
    terminal.wait_for("▸ bash");
    terminal.line("turn left");
    terminal.wait_for("told at the next step: turn left");
    terminal.line(":nope");
    terminal.wait_for("waits as a next prompt: :nope");
    terminal.line("turn right");
    terminal.wait_for("told at the next step: turn left · turn right");
    terminal.key(Key::CtrlC);
    terminal.wait_for("interrupted; the conversation goes on");
    terminal.wait_for("there is no command :nope");
    let screen = terminal.screen();
    let (left, right) = (screen.find("I turned left."), screen.find("I turned right."));
    assert!(left.is_some() && left < right, "{screen}");
    let requests = server.finish();
    assert_eq!(said(&requests[2]), ["go", "turn left", "turn right"]);
}

#[test]
fn from_a_pipe_marked_lines_steer_and_the_others_wait() {
    let server = server();
    let program = at_work(&server);
    let (mut child, mut shown) = piped(command(&program, &server));
    let mut keys = child.stdin.take().unwrap();
    keys.write_all(b"go\n").unwrap();
    until(&mut shown, "▸ bash");
    program_started(&program.folder);
    keys.write_all(b"turn left\n!turn right\nq\n").unwrap();
    let mut rest = String::new();
    shown.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success());
    let steps = [
        "told at once: turn right",
        "» turn right",
        "I turned right.",
        "s19 >> turn left",
        "I turned left.",
    ];
    let places: Vec<Option<usize>> = steps.iter().map(|step| rest.find(step)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}\n{rest}");
    assert!(!rest.contains("» turn left"), "{rest}");
    server.finish();
}

fn piped(mut command: std::process::Command) -> (Child, BufReader<std::process::ChildStdout>) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let shown = BufReader::new(child.stdout.take().unwrap());
    (child, shown)
}

fn until(shown: &mut impl BufRead, text: &str) {
    let mut line = String::new();
    while !line.contains(text) {
        line.clear();
        assert_ne!(shown.read_line(&mut line).unwrap(), 0, "it ended before it showed {text:?}");
    }
}

#[test]
fn which_lines_are_taken() {
    let (all, marked) = (Steering::new(Lines::All), Steering::new(Lines::Marked));
    let heard = |steering: &Steering, line: &str| steering.typed(line.to_owned());
    for line in [":undo", "q", " exit ", "quit", "  "] {
        assert_eq!(heard(&all, line), SteeringOutcome::Waits(line.to_owned()));
    }
    assert_eq!(heard(&marked, "go left"), SteeringOutcome::Waits("go left".to_owned()));
    assert_eq!(
        heard(&all, "!"),
        SteeringOutcome::Taken("nothing is queued: write words behind !".to_owned())
    );
    let told = SteeringOutcome::Taken("told at the next step: go left".to_owned());
    assert_eq!(heard(&all, " go left "), told);
    let told = SteeringOutcome::Taken("told at once: go left".to_owned());
    assert_eq!(heard(&all, "!"), told, "a mark alone sends what is queued");
    assert_eq!(
        (all.take_undelivered(), all.take_undelivered()),
        (vec!["go left".to_owned()], vec![])
    );
    assert_eq!(heard(&marked, "!:q"), SteeringOutcome::Taken("told at once: :q".to_owned()));
}

/// Takes a little while, without a clock.
struct Nap;

impl Tool for Nap {
    const NAME: &'static str = "nap";
    const ABOUT: &'static str = "Lets others go first.";
    type Input = NoInput;

    async fn call(&self, _: NoInput, _: &ToolContext) -> Result<Content, ToolError> {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        Ok("refreshed".into())
    }
}

#[async_trait]
impl Hook for Nap {
    /// After the last request of a turn, and before its end.
    async fn before_stop(&self, _: &Conversation, _: &HookContext<'_>) -> Option<String> {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        None
    }
}

/// What the terminal and somebody who types share.
#[derive(Debug, Default)]
struct Desk {
    /// What was typed and not looked at yet.
    typed: VecDeque<String>,
    /// Nobody types any more.
    quiet: bool,
    /// The lines that interrupt.
    marked: BTreeSet<usize>,
    /// How many turns there were, and of how many lines the agent was told in a turn, or not in time.
    turns: usize,
    told: usize,
    left: usize,
}

/// Somebody types so many lines, one in six with a mark, each at a moment that dice decide.
async fn types(lines: usize, mut dice: u64, desk: &Mutex<Desk>) {
    let mut throw = |sides: u64| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) % sides
    };
    for number in 0..lines {
        for _ in 0..throw(60) {
            tokio::task::yield_now().await;
        }
        let mut desk = desk.lock().unwrap();
        let mark = if throw(6) == 0 && desk.marked.insert(number) { "!" } else { "" };
        desk.typed.push_back(format!("{mark}line {number}"));
    }
    desk.lock().unwrap().quiet = true;
}

/// Sends prompts, and hears what is typed meanwhile, as the prompt line of harness-cli does.
async fn listens(steering: &Steering, chat: &mut Chat, desk: &Mutex<Desk>) {
    let ahead = Mutex::new(VecDeque::new());
    loop {
        let prompt = ahead.lock().unwrap().pop_front();
        let prompt = prompt.or_else(|| desk.lock().unwrap().typed.pop_front());
        let Some(prompt) = prompt else {
            if desk.lock().unwrap().quiet {
                return;
            }
            tokio::task::yield_now().await;
            continue;
        };
        let hears = async {
            loop {
                let line = desk.lock().unwrap().typed.pop_front();
                match line.map(|line| steering.typed(line)) {
                    Some(SteeringOutcome::Waits(line)) => ahead.lock().unwrap().push_back(line),
                    Some(SteeringOutcome::Taken(_)) => desk.lock().unwrap().told += 1,
                    None => {}
                }
                tokio::task::yield_now().await;
            }
        };
        let cancel = CancellationToken::new();
        tokio::select! {
            ended = steering.turn(Prompt::Said(prompt), chat, &cancel, Next::default()) => drop(ended.unwrap()),
            () = hears => {}
        }
        let (left, mut desk) = (steering.take_undelivered(), desk.lock().unwrap());
        (desk.turns, desk.left) = (desk.turns + 1, desk.left + left.len());
        left.into_iter().rev().for_each(|line| ahead.lock().unwrap().push_front(line));
    }
}

#[tokio::test]
async fn of_lines_typed_at_any_moment_none_is_lost_or_doubled_or_overtaken() {
    const LINES: usize = 40;
    let play = "
prompt: go
scenes:
- {said: line, lines: [{calls: [{tool: nap}]}, {text: Done.}]}";
    let (mut turns, mut told, mut left) = (0, 0, 0);
    for round in 0..8 {
        let steering = Steering::new(Lines::All);
        let stage = Stage::new(play).with(steering.clone());
        let mut chat = Chat { agent: stage.agent, conversation: stage.conversation };
        chat.agent.tools.add(Nap);
        chat.agent.hooks.push(Arc::new(Nap));
        let desk = Mutex::new(Desk::default());
        let both = async {
            tokio::join!(types(LINES, round, &desk), listens(&steering, &mut chat, &desk))
        };
        tokio::time::timeout(PATIENCE, both).await.expect("all lines are heard");
        let blocks = chat.conversation.messages().iter().flat_map(|message| &message.content);
        let said: Vec<usize> = blocks
            .filter_map(|block| match block {
                Block::Text(text) => text.text.strip_prefix("line ")?.parse().ok(),
                _ => None,
            })
            .collect();
        let desk = desk.into_inner().unwrap();
        let unmarked: Vec<_> = said.iter().filter(|line| !desk.marked.contains(line)).collect();
        assert!(unmarked.is_sorted(), "round {round}: a line was overtaken: {unmarked:?}");
        let each: BTreeSet<_> = said.iter().collect();
        assert_eq!((each.len(), said.len()), (LINES, LINES), "round {round}: {said:?}");
        (turns, told, left) = (turns + desk.turns, told + desk.told, left + desk.left);
    }
    // Else nothing of this was tried.
    assert!(turns > 50 && told > 50 && left > 20, "{turns} turns, {told} told, {left} left");
}

/// What the user types is for the agent that the user talks to.
#[tokio::test]
async fn a_child_does_not_take_its_leads_lines() {
    let steering = Steering::new(Lines::All);
    let stage = Stage::lines("- {text: Done.}").with(steering.clone());
    let child = stage.agent.child(ChildSpec::new("child", ChildKind::Subagent));
    let mut conversation = Conversation::new();
    conversation.say("a task");
    steering.typed("turn left".to_owned());
    let ended = child.run(&mut conversation, &CancellationToken::new()).await;
    assert!(ended.is_ok(), "{ended:?}");
    assert!(!transcript(conversation.messages()).contains("turn left"));
    assert_eq!(steering.take_undelivered(), ["turn left"]);
}

// ---------------------------------------------------------------- stopping

// The original's defect: at the prompt Ctrl-C did nothing before Enter was pressed.
#[test]
fn ctrl_c_at_the_prompt_is_heard_at_once_and_the_second_leaves() {
    let server = server();
    let program = at_work(&server);
    let mut terminal = terminal(&program, &server);
    terminal.send("half a li").key(Key::CtrlC);
    terminal.wait_for("Ctrl-C again leaves");
    terminal.key(Key::CtrlC);
    assert_eq!(terminal.wait_for_end().code(), Some(130));
}

// The original's defect: the running tool was never stopped, and the stream went on printing.
#[test]
fn ctrl_c_ends_a_command_that_will_not_listen_and_the_next_prompt_works() {
    let server = server();
    let program = at_work(&server);
    let terminal = terminal(&program, &server);
    terminal.line("stubborn");
    terminal.wait_for("▸ bash");
    program_started(&program.folder);
    terminal.key(Key::CtrlC);
    terminal.wait_for("[interrupted after ");
    terminal.wait_for("interrupted; the conversation goes on");
    wait_until_gone(&program.folder.read("pid"));
    terminal.line("turn left");
    terminal.wait_for("I turned left.");
    let requests = server.finish();
    let result = &requests[1]["messages"][2]["content"][0];
    assert_eq!(result["type"], "tool_result");
    assert!(
        result["content"].as_str().unwrap().starts_with("first\n[interrupted after "),
        "{result}"
    );
}

#[test]
fn ctrl_c_at_a_question_is_a_no_and_the_next_prompt_works() {
    let server = server();
    let program = at_work(&server);
    let mut command = command(&program, &server);
    command.arg("--ask");
    let terminal = Terminal::start(command, 100, 60);
    terminal.wait_for("s19 >>");
    terminal.line("go");
    terminal.wait_for("say why not:");
    terminal.key(Key::CtrlC);
    terminal.wait_for("denied: the user interrupted");
    terminal.wait_for("interrupted; the conversation goes on");
    assert!(!program.folder.has("pid"));
    terminal.line("turn left");
    terminal.wait_for("I turned left.");
    server.finish();
}

/// However many signals come, the program leaves by them and takes its children along.
#[test]
fn a_hail_of_signals_ends_the_program_and_leaves_no_process_behind() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let server = server();
        let program = at_work(&server);
        let (mut child, mut shown) = piped(command(&program, &server));
        child.stdin.as_ref().unwrap().write_all(b"stubborn\n").unwrap();
        until(&mut shown, "▸ bash");
        program_started(&program.folder);
        let pid = Pid::from_child(&child);
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "{signal:?} does not end it");
            kill_process(pid, signal).unwrap();
        };
        assert_eq!(status.code(), Some(128 + signal.as_raw()), "{signal:?}");
        wait_until_gone(&program.folder.read("pid"));
    }
}

/// One signal is enough for what the system sends; what was typed and not sent is shown once more.
#[test]
fn a_program_that_is_told_to_leave_stops_its_work_and_shows_what_was_not_sent() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129)] {
        let server = server();
        let program = at_work(&server);
        let mut terminal = terminal(&program, &server);
        terminal.line("go");
        terminal.wait_for("▸ bash");
        program_started(&program.folder);
        terminal.line("turn left");
        terminal.wait_for("told at the next step: turn left");
        let pid = Pid::from_raw(terminal.pid().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
        assert_eq!(terminal.wait_for_end().code(), Some(code));
        let screen = terminal.screen();
        assert!(screen.contains("[interrupted after "), "{screen}");
        assert!(screen.contains("not sent: turn left"), "{screen}");
        wait_until_gone(&program.folder.read("pid"));
    }
}

/// Presses Ctrl-C when a call starts.
struct CancelAtStart(CancellationToken);

impl Observer for CancelAtStart {
    fn on(&self, _: &str, event: &Event) {
        if let Event::ToolStarted(_) = event {
            self.0.cancel();
        }
    }
}

#[tokio::test]
async fn an_interrupt_during_a_write_leaves_the_old_file_or_the_new_one() {
    let long = "new\n".repeat(500_000);
    let call = serde_json::json!({"tool": "write", "input": {"path": "a.txt", "content": long}});
    let lines = serde_json::json!([{"calls": [call]}, {"text": "Done."}]);
    let play = serde_json::json!({"prompt": "go", "scenes": [{"lines": lines}]});
    let mut stage = Stage::new(&play.to_string());
    stage.folder.write("a.txt", "old\n");
    let cancel = CancellationToken::new();
    stage.agent.observers.add(Arc::new(CancelAtStart(cancel.clone())));
    stage.conversation.say("go");
    let stop = stage.agent.run(&mut stage.conversation, &cancel).await;
    assert_eq!(stop, Ok(TurnOutcome::Interrupted));
    let now = stage.folder.read("a.txt");
    assert!(now == "old\n" || now == long, "{} bytes", now.len());
    let names: Vec<_> = fs::read_dir(stage.folder.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "no half-written file is left: {names:?}");
}

#[test]
fn it_joins_an_app_that_has_other_mechanisms() {
    let stage = Stage::lines("- {text: Done.}");
    let app = Steering::new(Lines::All).join(App::from(stage.agent.clone()));
    assert_eq!(app.agent().hooks.len(), 1);
}
