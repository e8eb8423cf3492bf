//! The lesson, played; then the hard cases.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]
#![allow(clippy::single_range_in_vec_init, reason = "a plan may have one wave")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use expect_test::expect;
use harness_cli::title;
use harness_core::{
    AgentError, Approval, Approver, Content, Effect, Event, Hook, Message, Observer, Policy,
    Question, Tool, ToolCall, ToolContext, ToolError, TurnOutcome, Verdict,
};
use harness_testkit::{Folder, Key, Program, Stage, Terminal};
use s18_parallel_tools::{Claim, LESSON, Parallel, Span, Spot, draw, waves};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio_util::sync::CancellationToken;

const BIN: &str = env!("CARGO_BIN_EXE_s18_parallel_tools");

/// What would hang for ever if it were wrong fails after this.
const PATIENCE: Duration = Duration::from_secs(60);

/// A tool that says that it reads `path`, and returns when all who are expected have come.
struct Meet {
    here: Barrier,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Meet {
    fn of(count: usize) -> Arc<Self> {
        let (now, most) = Default::default();
        Arc::new(Self { here: Barrier::new(count), now, most })
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Who {
    path: PathBuf,
    #[serde(default)]
    then: String,
}

struct MeetTool(Arc<Meet>);

impl Tool for MeetTool {
    const NAME: &'static str = "meet";
    const ABOUT: &'static str = "Reads, once the others are there too.";
    type Input = Who;

    fn effect(&self, who: &Who) -> Effect {
        assert!(who.then != "panic early", "as asked");
        match who.then.as_str() {
            "anything" => Effect::Unknown,
            _ => Effect::Reads(vec![who.path.clone()]),
        }
    }

    async fn call(&self, who: Who, _: &ToolContext) -> Result<Content, ToolError> {
        let now = self.0.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most.fetch_max(now, Ordering::SeqCst);
        self.0.here.wait().await;
        self.0.now.fetch_sub(1, Ordering::SeqCst);
        match who.then.as_str() {
            "fail" => Err(ToolError::Failed("it failed".to_owned())),
            "fatal" => Err(ToolError::Fatal("it broke".to_owned())),
            "panic" => panic!("as asked"),
            "never" => std::future::pending().await,
            _ => Ok(format!("read {}", who.path.display()).into()),
        }
    }
}

/// A stage whose model makes these calls, `tool {input}` each, in one reply, and then answers.
fn calling(calls: &[String]) -> Stage {
    let calls: Vec<Value> = calls
        .iter()
        .map(|call| {
            let (tool, input) = call.split_once(' ').expect("a tool and its input");
            json!({"tool": tool, "input": serde_json::from_str::<Value>(input).expect("JSON")})
        })
        .collect();
    let lines = json!([{"calls": calls}, {"text": "Done."}]);
    let again = json!({"said": "^again$", "lines": [{"text": "Done."}]});
    let play = json!({"prompt": "go", "scenes": [again, {"lines": lines}]});
    Stage::new(&play.to_string()).with(Parallel::default())
}

fn call(tool: &str, input: Value) -> String {
    format!("{tool} {input}")
}

fn meet(count: usize, then: &str) -> String {
    call("meet", json!({"path": format!("{count}.txt"), "then": then}))
}

async fn played(stage: &mut Stage) -> Vec<String> {
    tokio::time::timeout(PATIENCE, stage.play()).await.expect("the calls overlap");
    stage.results()
}

#[tokio::test]
async fn the_play() {
    let mut stage = Stage::new(LESSON.play).with(Parallel::default());
    expect![[r#"
        human: Ask the four stations for their state, and bring report.md up to date.
        model: Each station takes half a second to answer. None waits for another, so I ask all four at once.
          call bash {"command":"sleep 0.5; cat stations/north.txt"}
          call bash {"command":"sleep 0.5; cat stations/east.txt"}
          call bash {"command":"sleep 0.5; cat stations/south.txt"}
          call bash {"command":"sleep 0.5; cat stations/west.txt"}
          result 1 north: 4 trains
          result 2 east: 2 trains
          result 3 south: closed
          result 4 west: 7 trains
        model: Four changes of one file, a new one, and a last look. I got one line wrong; that stops no other.
          call edit {"path":"report.md","old_string":"north: unknown","new_string":"north: 4 trains"}
          call edit {"path":"./report.md","old_string":"east: unknown","new_string":"east: 2 trains"}
          call edit {"path":"stations/../report.md","old_string":"south: open","new_string":"south: closed"}
          call edit {"path":"report.md","old_string":"west: unknown","new_string":"west: 7 trains"}
          call write {"path":"sum.md","content":"13 trains\n"}
          call read {"path":"report.md"}
          result 1 changed report.md once:
                 1	north: 4 trains
                 2	east: unknown
                 3	south: unknown
          result 2 changed report.md once:
                 1	north: 4 trains
                 2	east: 2 trains
                 3	south: unknown
                 4	west: unknown
          error 3 old_string is not in the file; read the file and copy the text exactly
          result 4 changed report.md once:
                 2	east: 2 trains
                 3	south: unknown
                 4	west: 7 trains
          result 5 made sum.md (10 bytes)
          result 6      1	north: 4 trains
                 2	east: 2 trains
                 3	south: unknown
                 4	west: 7 trains
          call edit {"path":"report.md","old_string":"south: unknown","new_string":"south: closed"}
          call bash {"command":"sort report.md -o report.md"}
          call bash {"command":"cat report.md sum.md"}
          result 1 changed report.md once:
                 1	north: 4 trains
                 2	east: 2 trains
                 3	south: closed
                 4	west: 7 trains
          result 2 (no output)
          result 3 east: 2 trains
            north: 4 trains
            south: closed
            west: 7 trains
            13 trains
        model: All four stations are in report.md, and 13 trains run.
    "#]]
    .assert_eq(&stage.play().await);
}

#[test]
fn the_binary_plays_it_through_a_pipe_and_over_the_wire() {
    for play in [Program::play, Program::play_over_the_wire] {
        let program = Program::new(BIN, LESSON.play);
        let said = play(&program);
        assert!(said.contains("· 13 calls, ") && said.contains(": saved "), "{said}");
        assert!(said.matches('█').count() > 13, "{said}");
        let report = "east: 2 trains\nnorth: 4 trains\nsouth: closed\nwest: 7 trains\n";
        assert_eq!(program.folder.read("report.md"), report);
    }
}

#[test]
fn the_play_in_a_terminal_of_80_and_of_40_columns() {
    for columns in [80, 40] {
        let program = Program::new(BIN, LESSON.play);
        let mut terminal = Terminal::start(program.command(), columns, 120);
        terminal.wait_for("s18 >>");
        terminal.key(Key::Enter);
        let is_drawn =
            |screen: &str| screen.contains("saved ") && screen.trim_end().ends_with("s18 >>");
        let screen = terminal.wait_until("the timeline", is_drawn);
        let bars = screen.lines().filter(|line| line.contains('█'));
        assert_eq!(bars.filter(|line| line.trim_end().ends_with('s')).count(), 13, "{screen}");
        terminal.line("q");
        assert!(terminal.wait_for_end().success());
    }
}

#[test]
fn the_flag_sets_how_many_run_at_once() {
    let program = Program::new(BIN, LESSON.play);
    let mut command = program.command();
    command.args(["--at-once", "0"]);
    let refused = Program::pipe(command, "");
    assert_eq!(refused.status.code(), Some(2));
    let mut command = program.command();
    command.args(["--at-once", "1", "-p", ""]);
    let one = Program::pipe(command, "");
    let shown = String::from_utf8_lossy(&one.stderr);
    assert!(one.status.success() && shown.contains(": saved 0 ms"), "{shown}");
}

#[tokio::test]
async fn four_reads_that_meet_at_a_barrier_overlap() {
    let calls: Vec<String> = (0..4).map(|n| meet(n, "")).collect();
    let mut stage = calling(&calls);
    stage.agent.tools.add(MeetTool(Meet::of(4)));
    let results = played(&mut stage).await;
    assert_eq!(results, ["read 0.txt", "read 1.txt", "read 2.txt", "read 3.txt"]);
}

/// Nobody can open a named pipe to write before somebody has opened it to read: the writer waits for all
/// four readers before it gives any of them a line to end with.
#[tokio::test]
async fn four_shell_lines_that_read_overlap() {
    let names = ["north", "east", "south", "west"];
    let calls = names.map(|name| call("bash", json!({"command": format!("sleep 0; cat {name}")})));
    let mut stage = calling(&calls);
    let pipes = names.map(|name| stage.folder.path().join(name));
    for pipe in &pipes {
        let made = rustix::fs::mknodat(
            rustix::fs::CWD,
            pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        );
        made.unwrap();
    }
    let writer = std::thread::spawn(move || {
        let open = |pipe: &PathBuf| fs::OpenOptions::new().write(true).open(pipe).unwrap();
        for (mut open, name) in pipes.iter().map(open).collect::<Vec<_>>().into_iter().zip(names) {
            open.write_all(name.as_bytes()).unwrap();
        }
    });
    assert_eq!(played(&mut stage).await, names);
    writer.join().unwrap();
}

// The original's defect: its later sessions ran every call of a reply at once, so that writes raced.
#[tokio::test]
async fn twenty_edits_of_one_file_under_many_names_all_land() {
    let names = ["a.txt", "./a.txt", "sub/../a.txt", "link", "sub/a.txt"];
    let edit = |n: usize| {
        let (old_string, new_string) = (format!("<{n}>"), format!("[{n}]"));
        call(
            "edit",
            json!({"path": names[n % 5], "old_string": old_string, "new_string": new_string}),
        )
    };
    let mut stage = calling(&(0..20).map(edit).collect::<Vec<_>>());
    let text: String = (0..20).map(|n| format!("<{n}>\n")).collect();
    let file = stage.folder.write("a.txt", &text);
    stage.folder.write("sub/b.txt", "");
    symlink("a.txt", stage.folder.path().join("link")).unwrap();
    symlink(file, stage.folder.path().join("sub/a.txt")).unwrap();
    played(&mut stage).await;
    assert_eq!(stage.folder.read("a.txt"), text.replace('<', "[").replace('>', "]"));
}

#[tokio::test]
async fn a_read_behind_a_write_sees_what_was_written() {
    let mut stage = calling(&[
        call("read", json!({"path": "a.txt"})),
        call("write", json!({"path": "a.txt", "content": "new\n"})),
        call("bash", json!({"command": "cat a.txt"})),
        call("grep", json!({"pattern": "new"})),
    ]);
    stage.folder.write("a.txt", "old\n");
    let results = played(&mut stage).await;
    assert!(results[0].contains("old") && results[3].contains("a.txt"), "{results:?}");
    assert_eq!(results[2], "new");
}

#[tokio::test]
async fn a_link_that_an_earlier_call_makes_is_seen() {
    let edit = |path: &str, old: &str, new: &str| {
        call("edit", json!({"path": path, "old_string": old, "new_string": new}))
    };
    let mut stage = calling(&[
        call("bash", json!({"command": "ln -s a.txt b.txt"})),
        edit("a.txt", "one", "1"),
        edit("b.txt", "two", "2"),
    ]);
    stage.folder.write("a.txt", "one two\n");
    played(&mut stage).await;
    assert_eq!(stage.folder.read("a.txt"), "1 2\n");
}

fn spot(path: &str) -> Vec<Spot> {
    vec![Spot { path: PathBuf::from(path), file: None }]
}

#[test]
fn the_plan_puts_readers_together_and_writers_of_one_path_in_a_row() {
    use Claim::{Alone, Looks, Nothing, Reads, Writes};
    let (read, write) = (|path| Reads(spot(path)), |path| Writes(spot(path)));
    let table = [
        (vec![read("/w/a"), read("/w/a"), Looks, read("/w/b")], vec![0..4]),
        (vec![write("/w/a"), write("/w/b"), read("/w/c")], vec![0..3]),
        (vec![write("/w/a"), write("/w/a"), write("/w/b")], vec![0..1, 1..3]),
        (vec![read("/w/a"), write("/w/a"), read("/w/a")], vec![0..1, 1..2, 2..3]),
        (vec![read("/w"), write("/w/a")], vec![0..1, 1..2]),
        (vec![write("/w/a"), read("/w/ab")], vec![0..2]),
        (vec![write("/w/a"), Looks], vec![0..1, 1..2]),
        (vec![Alone, Alone, Nothing, read("/w/a"), Alone], vec![0..1, 1..3, 3..4, 4..5]),
        (vec![], vec![]),
    ];
    for (claims, plan) in table {
        assert_eq!(waves(&claims), plan, "{claims:?}");
    }
}

#[test]
fn every_plan_of_five_calls_keeps_the_order_of_what_conflicts() {
    let kinds = [
        Claim::Nothing,
        Claim::Looks,
        Claim::Alone,
        Claim::Reads(spot("/w/a")),
        Claim::Writes(spot("/w/a")),
        Claim::Writes(spot("/w/b")),
    ];
    for number in 0..6_usize.pow(5) {
        let claims: Vec<Claim> =
            (0..5).map(|place| kinds[number / 6_usize.pow(place) % 6].clone()).collect();
        let plan = waves(&claims);
        let all: Vec<usize> = plan.iter().cloned().flatten().collect();
        assert_eq!(all, [0, 1, 2, 3, 4], "each once and in order: {claims:?}");
        for wave in plan {
            let in_it = &claims[wave.clone()];
            let pairs = (0..in_it.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
            assert!(pairs.clone().all(|(a, b)| !in_it[a].conflicts(&in_it[b])), "{claims:?}");
            let next = claims.get(wave.end);
            let needed = next.is_none_or(|next| in_it.iter().any(|it| it.conflicts(next)));
            assert!(needed, "a wave ends without a reason: {claims:?}");
        }
    }
}

#[test]
fn a_claim_knows_a_file_by_any_name_and_takes_nothing_for_granted() {
    let folder = Folder::new();
    folder.write("a.txt", "");
    fs::hard_link(folder.path().join("a.txt"), folder.path().join("hard")).unwrap();
    symlink("/etc", folder.path().join("out")).unwrap();
    let claim = |effect: Effect| Claim::of(Some(&effect), folder.path());
    let write = |path: &str| claim(Effect::Writes(vec![path.into()]));
    let absolute = folder.path().join("a.txt").display().to_string();
    for name in ["./a.txt", "hard", "b/../a.txt", absolute.as_str()] {
        assert!(write("a.txt").conflicts(&write(name)), "{name}");
    }
    assert!(!write("a.txt").conflicts(&write("new.txt")));
    for line in ["sleep 0.5", "ls -l; cat a.txt | grep x", "git status"] {
        assert_eq!(claim(Effect::Runs(line.to_owned())), Claim::Looks, "{line}");
    }
    for line in ["touch a", "sort a -o a", "cat a > b", "make", "cat $(x)", "", "ls;("] {
        assert_eq!(claim(Effect::Runs(line.to_owned())), Claim::Alone, "{line:?}");
    }
    let odd = [
        Effect::Unknown,
        Effect::Internal,
        Effect::Writes(vec![]),
        Effect::Reads(vec!["out/passwd".into()]),
        Effect::Writes(vec!["../x".into()]),
    ];
    for effect in odd {
        assert_eq!(claim(effect.clone()), Claim::Alone, "{effect:?}");
    }
    let gone = Claim::of(Some(&Effect::Reads(vec!["a".into()])), Path::new("/gone"));
    assert_eq!((gone, Claim::of(None, folder.path())), (Claim::Alone, Claim::Nothing));
}

#[tokio::test]
async fn sixty_calls_at_once_run_in_handfuls_and_are_answered_in_order() {
    let calls: Vec<String> = (0..60).map(|n| meet(n, "")).collect();
    let mut stage = calling(&calls).with(Parallel { most: 6 });
    let gate = Meet::of(6);
    stage.agent.tools.add(MeetTool(gate.clone()));
    let wanted: Vec<String> = (0..60).map(|n| format!("read {n}.txt")).collect();
    assert_eq!(played(&mut stage).await, wanted);
    assert_eq!(gate.most.load(Ordering::SeqCst), 6);
}

#[tokio::test]
async fn one_failure_one_panic_and_one_refusal_stop_no_other_call() {
    let mut stage = calling(&[
        meet(0, "fail"),
        meet(1, "panic"),
        meet(2, "panic early"),
        call("nobody", json!({})),
        call("meet", json!({"paht": "x"})),
        meet(5, ""),
    ]);
    stage.agent.tools.add(MeetTool(Meet::of(3)));
    let results = played(&mut stage).await;
    assert_eq!(results[0], "it failed");
    assert_eq!(results[1], "the tool `meet` panicked; this is a bug in the tool");
    assert_eq!(results[2], results[1]);
    assert!(results[3].starts_with("there is no tool `nobody`"), "{results:?}");
    assert!(results[4].contains("paht"), "{results:?}");
    assert_eq!(results[5], "read 5.txt");
}

#[tokio::test]
async fn a_fatal_failure_lets_the_others_of_its_wave_finish_and_begins_nothing_more() {
    let mut stage =
        calling(&[meet(0, "fatal"), meet(1, ""), call("bash", json!({"command": "touch later"}))]);
    stage.agent.tools.add(MeetTool(Meet::of(2)));
    let ended = tokio::time::timeout(PATIENCE, stage.say("go")).await.unwrap();
    assert_eq!(ended, Err(AgentError::Fatal("it broke".to_owned())));
    let results = stage.results();
    assert_eq!(results[..2], ["it broke", "read 1.txt"]);
    assert!(results[2].starts_with("interrupted") && !stage.folder.has("later"), "{results:?}");
}

/// Asks about everything that reads, and takes notes of who was asked while somebody else was.
#[derive(Default)]
struct Notes {
    open: AtomicUsize,
    asked: Mutex<Vec<String>>,
}

struct Person(Arc<Notes>);

impl Policy for Person {
    fn rule_on(&self, _: &ToolCall, _: &Effect, _: &Path) -> Verdict {
        Verdict::Ask("as asked".to_owned())
    }
}

#[async_trait]
impl Approver for Person {
    async fn approve(&self, question: &Question<'_>, _: &ToolContext) -> Approval {
        let call = question.call;
        assert_eq!(self.0.open.fetch_add(1, Ordering::SeqCst), 0, "two questions at once");
        for _ in 0..10 {
            tokio::task::yield_now().await; // whoever wants to ask too can
        }
        self.0.open.fetch_sub(1, Ordering::SeqCst);
        let path = call.input["path"].as_str().unwrap().to_owned();
        self.0.asked.lock().unwrap().push(path.clone());
        if path == "1.txt" { Approval::No("not this one".to_owned()) } else { Approval::Once }
    }
}

#[tokio::test]
async fn questions_come_one_at_a_time_and_a_no_stops_no_other_call() {
    let mut stage = calling(&(0..4).map(|n| meet(n, "")).collect::<Vec<_>>());
    stage.agent.tools.add(MeetTool(Meet::of(3)));
    let notes = Arc::new(Notes::default());
    stage.agent.gate.policy = Arc::new(Person(notes.clone()));
    stage.agent.gate.approver = Arc::new(Person(notes.clone()));
    let results = played(&mut stage).await;
    assert_eq!(results, ["read 0.txt", "denied: not this one", "read 2.txt", "read 3.txt"]);
    assert_eq!(*notes.asked.lock().unwrap(), ["0.txt", "1.txt", "2.txt", "3.txt"]);
}

/// Sends every edit to one and the same file.
struct Redirect;

#[async_trait]
impl Hook for Redirect {
    async fn before_tool(&self, call: &mut ToolCall, _: &Effect, _: &ToolContext) -> Verdict {
        call.input.insert("path".to_owned(), "a.txt".into());
        Verdict::Allow
    }
}

#[tokio::test]
async fn calls_that_a_hook_sends_to_one_file_wait_for_each_other() {
    let edit = |n: usize| {
        let (path, old, new) = (format!("{n}.txt"), format!("<{n}>"), format!("[{n}]"));
        call("edit", json!({"path": path, "old_string": old, "new_string": new}))
    };
    let mut stage = calling(&(0..8).map(edit).collect::<Vec<_>>());
    stage.agent.hooks.push(Arc::new(Redirect));
    stage.folder.write("a.txt", "<0><1><2><3><4><5><6><7>");
    played(&mut stage).await;
    assert_eq!(stage.folder.read("a.txt"), "[0][1][2][3][4][5][6][7]");
}

/// Presses Ctrl-C when a call of this path is answered.
struct CancelAt(&'static str, CancellationToken);

impl Observer for CancelAt {
    fn on(&self, _: &str, event: &Event) {
        match event {
            Event::ToolFinished { call, .. } if title(call).contains(self.0) => self.1.cancel(),
            _ => {}
        }
    }
}

#[tokio::test]
async fn an_interrupt_in_a_wave_answers_a_tool_that_never_returns_and_begins_nothing_more() {
    let mut stage = calling(&[
        meet(0, "never"),
        meet(1, ""),
        call("write", json!({"path": "a.txt", "content": "too late"})),
        call("bash", json!({"command": "touch later"})),
    ]);
    let cancel = CancellationToken::new();
    stage = stage.with(Parallel { most: 2 });
    stage.agent.tools.add(MeetTool(Meet::of(2)));
    stage.agent.observers.add(Arc::new(CancelAt("1.txt", cancel.clone())));
    stage.conversation.say("go");
    let turn = stage.agent.run(&mut stage.conversation, &cancel);
    let stop = tokio::time::timeout(PATIENCE, turn).await.unwrap();
    assert_eq!(stop, Ok(TurnOutcome::Interrupted));
    let results = stage.results();
    assert_eq!(results.len(), 4);
    assert!(results[0].starts_with("interrupted after "), "{results:?}");
    assert_eq!(results[1], "read 1.txt");
    for late in &results[2..] {
        assert!(late.starts_with("interrupted"), "{results:?}");
    }
    assert!(!stage.folder.has("a.txt") && !stage.folder.has("later"));
    assert_eq!(stage.say("again").await.unwrap(), TurnOutcome::Answered("Done.".to_owned()));
}

#[tokio::test]
async fn calls_with_one_id_are_answered_each_by_its_own_result() {
    let mut stage = Stage::lines("- {text: Done.}").with(Parallel::default());
    stage.agent.tools.add(MeetTool(Meet::of(3)));
    let calls = ["same", "same", ""].map(|id| {
        json!({"type": "tool_use", "id": id, "name": "meet", "input": {"path": format!("{id}.txt")}})
    });
    let content = serde_json::from_value(json!(calls)).unwrap();
    stage.conversation.say("go");
    stage.conversation.reply(&Message::assistant(content));
    let (calls, cancel) = (stage.conversation.calls(), CancellationToken::new());
    let acted = tokio::time::timeout(PATIENCE, stage.agent.act(&calls, &cancel)).await.unwrap();
    let answered: Vec<&str> = acted.results.iter().map(|it| it.tool_use_id.as_str()).collect();
    assert_eq!(answered, calls.iter().map(|call| call.id.as_str()).collect::<Vec<_>>());
    stage.conversation.answer(acted.results);
    assert_eq!(stage.results(), ["read same.txt", "read same.txt", "read .txt"]);
    // And where somebody asks the schedule with ids that nobody made unique.
    let same = ToolCall { id: "same".to_owned(), ..calls[0].clone() };
    let acted = stage.agent.act(&[same.clone(), same.clone(), same], &cancel).await;
    assert_eq!(acted.results.len(), 3);
}

fn span(title: &str, from: u64, to: u64) -> Span {
    let (from, to) = (Duration::from_millis(from), Duration::from_millis(to));
    Span { title: title.to_owned(), from, to }
}

#[test]
fn the_timeline_shows_the_overlap_and_fits_its_terminal() {
    let mut spans = vec![
        span("bash sleep 0.5; cat stations/north.txt", 0, 500),
        span("bash sleep 0.5; cat stations/east.txt", 0, 510),
        span("edit report.md", 510, 515),
        span("read report.md", 515, 1000),
    ];
    expect![[r#"
        · 4 calls, 1.50 s of work in 1.00 s: saved 0.50 s
          bash sleep 0.5…ons/north.txt ████████████████████···················   0.50 s
          bash sleep 0.5…ions/east.txt ████████████████████···················   0.51 s
          edit report.md               ····················█··················     5 ms
          read report.md               ····················███████████████████   0.48 s
    "#]]
    .assert_eq(&draw(&spans, 80));
    expect![[r#"
        · 4 calls, 1.50 s of work in 1.00 s,
          saved 0.50 s
          bash sl…th.txt ███████······   0.50 s
          bash sl…st.txt ███████······   0.51 s
          edit report.md ·······█·····     5 ms
          read report.md ·······██████   0.48 s
    "#]]
    .assert_eq(&draw(&spans, 40));
    assert_eq!(draw(&spans[..1], 80), "", "one call needs no timeline");
    spans.extend((0..60).map(|n| span("read\u{1b}[31m \u{4e2d}\u{6587}\nx", n, n)));
    for columns in [0, 5, 20, 40, 80, usize::MAX] {
        let drawn = draw(&spans, columns);
        assert!(!drawn.contains('\u{1b}') && drawn.contains("48 more"), "{drawn}");
        assert!(
            columns < 40 || drawn.lines().all(|line| harness_cli::wide(line) <= columns),
            "{drawn}"
        );
    }
    assert!(draw(&[span("a", 0, 0), span("b", 0, 0)], 80).contains("2 calls"), "no time at all");
}
