//! The lesson, played; then the hard cases.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use common::{By, Said, call, lead, lead_in, reply, says, source, summary, within};
use expect_test::expect;
use futures_util::{StreamExt, stream};
use harness_core::tool::builtin;
use harness_core::{
    Agent, Block, Conversation, Event, Message, Model, ModelError, ModelStream, Observer, Request,
    Secrets, StopReason, ToolResult, TurnOutcome,
};
use harness_testkit::{
    Answers, Fault, Folder, Key, Program, Stage, StrictServer, Terminal, outputs,
};
use s06_context_compact::{Compact, HEADINGS, LESSON, MEMORY};
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// Names of files come from their content, which a snapshot does not need to know.
fn unnamed(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("compacted/") {
        shown.push_str(before);
        shown.push_str("compacted/HASH");
        rest = after.trim_start_matches(|c: char| c.is_ascii_hexdigit());
    }
    shown + rest
}

/// What the user is told.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Observer for Told {
    fn on(&self, _: &str, event: &Event) {
        match event {
            Event::Notice(text) => self.0.lock().unwrap().push(text.clone()),
            Event::Compacted { messages } => {
                self.0.lock().unwrap().push(format!("{messages} folded"))
            }
            _ => {}
        }
    }
}

fn told(lead: &mut common::Lead) -> Arc<Told> {
    let told = Arc::new(Told::default());
    lead.agent.observers.add(told.clone());
    told
}

/// A conversation of words alone: there are no results to put away.
fn words(c: &mut Conversation, turns: std::ops::Range<usize>, bytes: usize) {
    for turn in turns {
        c.say(format!("question {turn} {}", "q".repeat(bytes / 2)));
        let content = vec![Block::text(format!("answer {turn} {}", "a".repeat(bytes / 2)))];
        c.reply(&Message::assistant(content));
    }
}

fn text_of(c: &Conversation) -> String {
    harness_core::transcript(c.messages(), usize::MAX)
}

#[tokio::test]
async fn the_play() {
    let mut stage = Stage::new(LESSON.play);
    stage.witness = stage.witness.clone().allow_rewrites();
    let compact = Compact::open(&stage.agent, Some(5_600)).unwrap();
    let told = Arc::new(Told::default());
    stage = stage.with(compact);
    stage.agent.observers.add(told.clone());
    let played = unnamed(&stage.play().await);
    let played: Vec<&str> =
        played.lines().filter(|line| !line.contains(" workers: answered")).collect();
    expect![[r#"
        note: To make room, the first 15 messages were folded into this summary. Word for word they are in .harness/compacted/HASH.txt: look there before you guess, or do a thing twice.

            ## Goal
            The smallest number of workers with which load.sh loses no request, written into workers.conf.
            ## Done
            Runs with 1, 2, 4 and 8 workers lost requests. Runs with 16, 12 and 10 lost none.
            ## In progress
            Narrowing it down between 8 and 10.
            ## Files
            load.sh takes the number of workers; the last line says how many requests were lost.
            theory.md: a run takes 240 ms divided by the workers, plus up to 22 ms; nine should be enough.
            workers.conf is not written yet.
            ## Decisions
            Doubling first, then halving the gap.
            ## Next
            Run it with 9 workers, then write the smallest number that loses none.
        human: Find the smallest number of workers with which load.sh loses no request. Write it into workers.conf.
        model: Ten lose none. Nine is the only number left between those that fail and those that do not, so this run decides it.
          call bash {"command":"sh load.sh 9"}
            9 workers: 0 of 80 requests lost
        model: Nine lose none.
          call write {"path":"workers.conf","content":"workers = 9\n"}
          result made workers.conf (12 bytes)
        model: Nine workers are the fewest that lose no request. workers.conf says so.
        human: How many requests did two workers lose? Look it up, do not guess.
        model: That run is no longer before me, but the disk has it.
          call bash {"command":"grep -rhowE '2 workers: [0-9]+ of 80' .harness/compacted || sh load.sh 2 | tail -1"}
          result 2 workers: 80 of 80
            2 workers: 80 of 80
        model: Two workers lost 80 of 80 requests."#]].assert_eq(&played.join("\n"));
    let told = told.0.lock().unwrap();
    assert!(told[0].starts_with("about "), "first old results alone: {told:?}");
    assert!(told[1] == "15 folded" && told[2].starts_with("about ") && told.len() == 3, "{told:?}");
    assert_eq!(stage.folder.read("workers.conf"), "workers = 9\n");
    assert!(stage.folder.read(MEMORY).contains("## Next\nRun it with 9 workers"));
}

/// The sizes depend on the length of the folder's name and on the tools' descriptions.
fn without_sizes(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit() && !"█░ ,".contains(*c)).collect()
}

fn program() -> Program {
    Program::new(env!("CARGO_BIN_EXE_s06_context_compact"), LESSON.play)
}

#[test]
fn the_readme_shows_what_the_program_prints() {
    let program = program();
    let printed = Program::printed(program.command(), "\n:context\n\nq\n");
    let blocks = outputs(include_str!("../README.md"));
    assert_eq!(blocks.len(), 3);
    for shown in blocks {
        assert!(
            without_sizes(&printed).contains(&without_sizes(shown)),
            "the README shows\n{shown}\nthe program printed\n{printed}"
        );
    }
}

#[test]
fn one_prompt_from_the_command_line_makes_room_as_well() {
    let program = program();
    let mut command = program.command();
    command.args(["-p", "--output-format", "json"]);
    let output = Program::pipe(command, "");
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        result["result"],
        "Nine workers are the fewest that lose no request. workers.conf says so."
    );
    assert_eq!(result["num_turns"], 11, "ten of the lead, one for the summary");
    assert!(program.folder.has(MEMORY));
}

#[test]
fn the_play_goes_over_the_wire_with_room_and_without() {
    let played = program().play_over_the_wire();
    assert!(played.ends_with("Two workers lost 80 of 80 requests.\ns06 >> q\n"), "{played}");

    let program = program();
    let server = StrictServer::start(Answers::from_yaml(LESSON.play));
    server.window(5_800).allow_rewrites();
    let mut command = program.command();
    command.args(["--window", "5800"]);
    command.env("ANTHROPIC_BASE_URL", server.base_url()).env("ANTHROPIC_API_KEY", "k");
    let prompts = harness_core::Play::from_yaml(LESSON.play).unwrap().prompt.join("\n");
    let output = Program::pipe(command, &format!("{prompts}\n:compact the numbers\nq\n"));
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("Two workers lost 80 of 80 requests."), "{printed}");
    let requests = server.finish();
    let asked = requests.iter().filter(|body| body["tools"].is_null());
    let asked: Vec<String> = asked.map(ToString::to_string).collect();
    assert!(asked.len() >= 2, "{printed}");
    assert!(asked.last().unwrap().contains("What matters most: the numbers."));
    assert!(asked[0].contains("What matters most: everything."));
}

#[test]
fn in_a_terminal_the_play_plays_and_the_table_fits_80_and_40_columns() {
    for columns in [80, 40] {
        let program = program();
        let mut terminal = Terminal::start(program.command(), columns, 50);
        terminal.wait_for("s06 >>");
        terminal.key(Key::Enter).wait_for("workers.conf says so.");
        terminal.line(":context");
        let screen = terminal.wait_for("free");
        assert!(screen.contains("15 messages compacted into a summary"), "{screen}");
        let table = screen.lines().skip_while(|line| !line.starts_with("room is made at"));
        let rows: Vec<&str> = table.take(9).collect();
        assert!(rows[1].starts_with("system prompt"), "{screen}");
        assert!(rows[2].starts_with("tools   "), "a row of its own each: {screen}");
        assert!(rows[7].starts_with("tool results") && rows[7].contains("█"), "{screen}");
        assert!(rows[8].starts_with("free") && rows[8].ends_with("░"), "{screen}");
        terminal.line("q");
        assert!(terminal.wait_for_end().success());
    }
}

#[test]
fn ctrl_c_drops_a_compaction_and_the_conversation_goes_on() {
    let program = program();
    let play = "
prompt: go
scenes:
- agent: compact
  lines: [{text: never heard}]
- said: 'one|two'
  lines: [{text: I hear you.}]";
    let server = StrictServer::start(play);
    server.fault("Summarise the conversation", Fault::Silent("gate".to_owned()));
    let mut command = program.command();
    command.env("ANTHROPIC_BASE_URL", server.base_url()).env("ANTHROPIC_API_KEY", "k");
    let mut terminal = Terminal::start(command, 80, 40);
    terminal.wait_for("s06 >>");
    terminal.line("one").wait_for("I hear you.");
    terminal.line(":compact");
    server.held_blocking("gate", 1);
    terminal.key(Key::CtrlC);
    terminal.wait_for("interrupted; nothing was changed");
    terminal.line("two").wait_until("a second answer", |s| s.matches("I hear you.").count() == 2);
    terminal.line("q");
    assert!(terminal.wait_for_end().success());
    server.open("gate");
    server.finish(); // which judged that the second prompt continues the first
}

#[test]
fn there_is_nothing_to_compact_at_the_start() {
    let output = Program::pipe(program().command(), ":compact\n:context x\nq\n");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("error: there is nothing to compact yet"), "{printed}");
}

/// One turn of 40 steps, each with a result that fills a fifth of the window.
fn forty_looks(request: &Request<'_>, step: &AtomicUsize) -> Said {
    let input = json!({"bytes": 3_000});
    match step.fetch_add(1, Ordering::Relaxed) {
        step if step < 40 => reply(request, vec![call(&format!("c{step}"), "look", input)]),
        _ => says(request, "Done."),
    }
}

#[tokio::test]
async fn one_long_turn_stays_under_the_window() {
    let step = AtomicUsize::new(0);
    let mut lead = lead(4_000, move |request| match source(request) {
        Some(_) => says(request, &summary("looking")),
        None => forty_looks(request, &step),
    });
    assert_eq!(lead.say("Look forty times.").await, Ok(TurnOutcome::Answered("Done.".to_owned())));
    assert!(lead.sizes().iter().all(|size| *size <= 4_000), "{:?}", lead.sizes());
    let requests = lead.witness.requests_of("lead");
    assert_eq!(requests.len(), 41);
    let all_hear = requests.iter().all(|body| body.to_string().contains("Look forty times."));
    assert!(all_hear, "what the human said is never folded away");
}

#[tokio::test]
async fn the_summary_is_made_from_tool_results_and_from_the_newest_messages() {
    let heard = Arc::new(Mutex::new(String::new()));
    let keep = heard.clone();
    let mut lead = lead(20_000, move |request| match source(request) {
        Some(source) => {
            *keep.lock().unwrap() = source;
            says(request, &summary("many questions"))
        }
        None => says(request, "Fine."),
    });
    words(&mut lead.c, 0..50, 700);
    lead.c.reply(&Message::assistant(vec![call("a", "look", json!({"bytes": 9}))]));
    lead.c.answer(vec![ToolResult::done("a", "the port is 7411")]);
    words(&mut lead.c, 50..90, 700);
    lead.say("go on").await.unwrap();
    let heard = heard.lock().unwrap();
    assert!(heard.contains("result the port is 7411"), "what a tool said is in the source");
    assert!(heard.contains("question 0 "), "so is the beginning");
    let first_kept =
        (0..90).find(|n| text_of(&lead.c).contains(&format!("question {n} "))).unwrap();
    assert!(
        heard.contains(&format!("question {} ", first_kept - 1)),
        "and the newest that is folded"
    );
}

#[tokio::test]
async fn tool_inputs_are_counted() {
    let step = AtomicUsize::new(0);
    let mut lead = lead(4_000, move |request| match source(request) {
        Some(_) => says(request, &summary("writing")),
        None => match step.fetch_add(1, Ordering::Relaxed) {
            step if step < 30 => {
                let input = json!({"path": format!("{step}.txt"), "content": "x".repeat(2_000)});
                reply(request, vec![call(&format!("c{step}"), "write", input)])
            }
            _ => says(request, "Done."),
        },
    });
    lead.agent.tools.add(builtin::Write);
    assert_eq!(
        lead.say("Write thirty files.").await,
        Ok(TurnOutcome::Answered("Done.".to_owned()))
    );
    assert!(lead.sizes().iter().all(|size| *size <= 4_000), "{:?}", lead.sizes());
}

#[tokio::test]
async fn the_memory_is_added_to_under_its_date_and_never_rewritten() {
    let folder = Folder::new();
    let old = "# 2026-01-31\n\nThe tests need a database.\u{feff} \n";
    folder.write(MEMORY, old);
    let mut lead = lead_in(folder, 4_000, |request| match source(request) {
        Some(_) => says(request, &summary("something new")),
        None => says(request, "Fine."),
    });
    words(&mut lead.c, 0..20, 800);
    lead.say("go on").await.unwrap();
    let memory = lead.folder.read(MEMORY);
    let new = memory.strip_prefix(old).expect("what was there stands, byte for byte");
    let date = new.trim_start().strip_prefix("# 20").unwrap();
    assert_eq!(&date[2..3], "-", "a date: {date}");
    assert!(new.contains("something new"));
}

#[tokio::test]
async fn the_next_session_begins_with_the_memory_and_its_system_prompt_stays() {
    let folder = Folder::new();
    folder.write(MEMORY, "# 2026-01-31\n\nThe tests need a database.\n");
    folder.write("AGENTS.md", "Answer in French.");
    folder.write("CLAUDE.md", "Answer in French.");
    let mut lead = lead_in(folder, 4_000, |request| match source(request) {
        Some(_) => says(request, &summary("something new")),
        None => says(request, "Fine."),
    });
    for turn in 0..60 {
        lead.say(&format!("{turn} {}", "w".repeat(600))).await.unwrap();
    }
    assert!(lead.folder.read(MEMORY).matches("something new").count() > 1);
    let requests = lead.witness.requests_of("lead");
    let system = requests[0]["system"].to_string();
    assert!(system.contains("The tests need a database."), "{system}");
    assert_eq!(system.matches("Answer in French.").count(), 1, "{system}");
    let same = requests.iter().all(|body| body["system"] == requests[0]["system"]);
    assert!(same, "the prompt cache depends on it");
    let sources = lead.witness.requests_of("compact");
    assert!(
        !sources[0].to_string().contains("Answer in French."),
        "instructions are never summarised"
    );
}

#[test]
fn of_a_long_memory_the_newest_entries_are_read() {
    let folder = Folder::new();
    let entry = |n: usize| format!("# 2026-01-{n:02}\n\nEntry {n}. {}\n\n", "x".repeat(1_000));
    folder.write(MEMORY, &(1..=20).map(entry).collect::<String>());
    let mut agent = Agent::new(Arc::new(By(Arc::new(|r| says(r, "")))), folder.path());
    agent = agent.clone().with(Compact::open(&agent, None).unwrap());
    let memory = agent.system.blocks().last().unwrap();
    assert!(memory.len() < 8_200 && memory.contains("Entry 20.") && !memory.contains("Entry 12."));
    assert!(memory.contains("\n\n# 2026-01-14\n\nEntry 14."), "whole entries: {memory}");
}

#[test]
fn a_memory_that_cannot_be_read_is_named_and_left_alone() {
    let folder = Folder::new();
    let agent = Agent::new(Arc::new(By(Arc::new(|r| says(r, "")))), folder.path());
    let open = || Compact::open(&agent, None).map(|_| ()).map_err(|why| why.to_string());
    assert_eq!(open(), Ok(()), "there is none at first");
    folder.write(MEMORY, "caf\u{e9} \u{1b}[31m");
    std::fs::write(folder.path().join(MEMORY), b"caf\xe9 \x1b[31mred").unwrap();
    assert_eq!(open(), Ok(()), "a stray byte is no reason not to start");
    std::fs::remove_file(folder.path().join(MEMORY)).unwrap();
    folder.write(&format!("{MEMORY}/inside"), "");
    assert!(open().unwrap_err().contains(MEMORY), "{:?}", open());
    std::fs::remove_dir_all(folder.path().join(MEMORY)).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", folder.path().join(MEMORY)).unwrap();
    assert!(open().unwrap_err().contains("outside"), "{:?}", open());
}

#[test]
fn of_a_long_file_of_the_owners_its_beginning_and_its_end_are_read() {
    let folder = Folder::new();
    folder.write("AGENTS.md", &format!("First.\n{}Last.", "Be kind.\n".repeat(200_000)));
    let agent = Agent::new(Arc::new(By(Arc::new(|r| says(r, "")))), folder.path());
    let agent = agent.clone().with(Compact::open(&agent, None).unwrap());
    let told = agent.system.blocks().last().unwrap();
    assert!(told.len() < 41_000, "it stands in every request: {}", told.len());
    assert!(told.contains("\nFirst.\n") && told.ends_with("Last.") && told.contains("bytes"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_fold_at_once_lose_no_entry_of_the_memory() {
    let folder = Folder::new();
    let path = folder.path().to_owned();
    let sessions = (0..8).map(|n| {
        let model = By(Arc::new(move |request: &Request<'_>| match source(request) {
            Some(_) => says(request, &summary(&format!("session {n}"))),
            None => says(request, "Fine."),
        }));
        let agent = Agent::new(Arc::new(model), &path);
        let agent = agent.clone().with(Compact::open(&agent, Some(4_000)).unwrap());
        tokio::spawn(async move {
            let mut c = Conversation::new();
            words(&mut c, 0..20, 800);
            c.say("go on");
            agent.run(&mut c, &CancellationToken::new()).await.unwrap();
        })
    });
    for session in sessions.collect::<Vec<_>>() {
        session.await.unwrap();
    }
    let memory = folder.read(MEMORY);
    assert!((0..8).all(|n| memory.contains(&format!("session {n}\n"))), "{memory}");
}

#[tokio::test]
async fn state_of_other_mechanisms_is_copied_by_the_harness() {
    let folder = Folder::new();
    let todo = "{\"me\": [{\"id\": 1, \"text\": \"Write it\", \"status\": \"in_progress\"}]}";
    folder.write(".agent_todo.json", todo);
    folder.write(".agent_tasks.json", "[{\"id\": \"0badcafe\"}]");
    let mut lead = lead_in(folder, 4_000, |request| match source(request) {
        Some(source) => {
            assert!(!source.contains("0badcafe"), "a model does not retell it");
            says(request, &summary("something"))
        }
        None => says(request, "Fine."),
    });
    words(&mut lead.c, 0..20, 800);
    lead.say("go on").await.unwrap();
    let first = text_of(&lead.c);
    assert!(first.contains(todo) && first.contains("[{\"id\": \"0badcafe\"}]"), "{first}");
}

/// Runs a turn at the edge of the window with a model that answers the request for a summary like this.
async fn with_summary(answer: impl Fn(&Request<'_>) -> Said + Send + Sync + 'static) -> String {
    let mut lead = lead(4_000, move |request| match source(request) {
        Some(_) => answer(request),
        None => says(request, "Fine."),
    });
    let told = told(&mut lead);
    words(&mut lead.c, 0..14, 800);
    let before = lead.c.messages().to_vec();
    assert_eq!(lead.say("go on").await, Ok(TurnOutcome::Answered("Fine.".to_owned())));
    assert!(lead.c.messages().starts_with(&before), "nothing was lost: {}", text_of(&lead.c));
    let asked = lead.witness.requests_of("compact").len();
    for more in ["a", "b", "c"] {
        lead.say(more).await.unwrap();
    }
    assert_eq!(lead.witness.requests_of("compact").len(), asked, "not tried again at each step");
    let told = told.0.lock().unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    told[0].clone()
}

#[tokio::test]
async fn a_summary_that_fails_leaves_the_history_as_it_was() {
    let empty = with_summary(|request| says(request, " ")).await;
    assert_eq!(empty, "no room was made: the summary is empty");
    let long = with_summary(|r| says(r, &(summary("much") + &"x".repeat(40_000)))).await;
    assert_eq!(long, "no room was made: the summary is longer than what it stands for");
    let none = with_summary(|request| says(request, "I go on with the task now.")).await;
    assert_eq!(none, "no room was made: what came back is no summary: it lacks the headings");
    let refused = with_summary(|request| {
        says(request, "Not this.").map(|r| harness_core::Reply { stop: StopReason::Refusal, ..r })
    });
    assert_eq!(refused.await, "no room was made: the model declined to summarise: Not this.");
    let failed = with_summary(|_| {
        Err(ModelError::Unavailable { attempts: 8, why: "overloaded".to_owned() })
    });
    assert!(failed.await.contains("not available after 8 attempts (overloaded)"));
    let too_long = with_summary(|_| Err(ModelError::TooLong { why: "by far".to_owned() })).await;
    assert!(too_long.contains("too long for the model (by far)"), "{too_long}");
    let calls = with_summary(|r| reply(r, vec![call("x", "look", json!({"bytes": 1}))])).await;
    assert!(calls.contains("no room was made: stopped after 1 step"), "{calls}");
}

/// Never ends a summary; says so to the test.
struct Hangs(Arc<tokio::sync::Notify>);

impl Model for Hangs {
    fn stream(&self, request: &Request<'_>) -> ModelStream {
        if request.agent == "compact" {
            self.0.notify_one();
            return stream::pending().boxed();
        }
        By(Arc::new(|request| says(request, "Fine."))).stream(request)
    }
}

#[tokio::test]
async fn a_cancelled_summary_leaves_the_history_as_it_was() {
    let (asked, cancel) = (Arc::new(tokio::sync::Notify::new()), CancellationToken::new());
    let folder = Folder::new();
    let agent = Agent::new(Arc::new(Hangs(asked.clone())), folder.path());
    let agent = agent.clone().with(Compact::open(&agent, Some(4_000)).unwrap());
    let mut c = Conversation::new();
    words(&mut c, 0..20, 800);
    c.say("go on");
    let before = c.messages().to_vec();
    let (stop, ()) = tokio::join!(agent.run(&mut c, &cancel), async {
        asked.notified().await;
        cancel.cancel();
    });
    assert_eq!(stop, Ok(TurnOutcome::Interrupted));
    assert_eq!(c.messages(), before);
    assert!(!folder.has(MEMORY));
}

#[tokio::test]
async fn a_disk_that_cannot_be_written_loses_nothing() {
    let folder = Folder::new();
    folder.write(".harness", "a file where a folder belongs");
    let mut lead = lead_in(folder, 4_000, |request| match source(request) {
        Some(_) => says(request, &summary("something")),
        None => within(4_000, request, says(request, "Fine.")),
    });
    let told = told(&mut lead);
    words(&mut lead.c, 0..14, 800);
    let before = lead.c.messages().to_vec();
    lead.say("go on").await.unwrap();
    assert!(lead.c.messages().starts_with(&before));
    assert!(told.0.lock().unwrap()[0].contains(".harness"), "{:?}", told.0.lock().unwrap());
    assert!(!lead.folder.has(MEMORY));
    // Beyond the window there is nothing left but to say so.
    words(&mut lead.c, 14..20, 800);
    let before = lead.c.messages().to_vec();
    let why = lead.say("go on").await.unwrap_err();
    assert!(why.contains("too long") && why.contains(".harness"), "{why}");
    assert!(lead.c.messages().starts_with(&before));
}

#[tokio::test]
async fn a_second_fold_carries_the_first_on() {
    let number = AtomicUsize::new(0);
    let mut lead = lead(4_000, move |request| match source(request) {
        Some(_) => {
            says(request, &summary(&format!("fact {}", number.fetch_add(1, Ordering::Relaxed))))
        }
        None => says(request, "Fine."),
    });
    for turn in 0..80 {
        lead.say(&format!("{turn} {}", "w".repeat(600))).await.unwrap();
    }
    let sources = lead.witness.requests_of("compact");
    assert!(sources.len() >= 3);
    for (number, source) in sources.iter().enumerate().skip(1) {
        assert!(source.to_string().contains(&format!("fact {}", number - 1)), "{source}");
    }
    let notes = lead.c.messages().iter().flat_map(|m| &m.content);
    assert_eq!(notes.filter(|block| matches!(block, Block::Reminder(_))).count(), 1, "one summary");
}

#[tokio::test]
async fn a_window_that_is_smaller_than_the_table_says_is_learned() {
    let (step, refused) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let counted = refused.clone();
    let mut lead = lead(100_000, move |request| {
        let fits = within(2_500, request, says(request, &summary("looking")));
        match (&fits, source(request)) {
            (Err(_), _) => _ = counted.fetch_add(1, Ordering::Relaxed),
            (Ok(_), None) => return forty_looks(request, &step),
            (Ok(_), Some(_)) => {}
        }
        fits
    });
    assert_eq!(lead.say("Look forty times.").await, Ok(TurnOutcome::Answered("Done.".to_owned())));
    let refused = refused.load(Ordering::Relaxed);
    assert!((1..=3).contains(&refused), "{refused} requests were too long");
    assert!(lead.compact.window(&lead.agent) < 3_500);
}

#[tokio::test]
async fn words_larger_than_the_window_are_put_away_and_the_conversation_goes_on() {
    let mut lead = lead(4_000, |request| match source(request) {
        Some(_) => says(request, &summary("a log")),
        None => says(request, "Fine."),
    });
    let log: String = (0..5_000).map(|n| format!("line {n} of the log\n")).collect();
    lead.say(&log).await.unwrap();
    lead.say("What was in it?").await.unwrap();
    assert!(lead.sizes().iter().all(|size| *size <= 4_000), "{:?}", lead.sizes());
    let said = lead.c.messages()[0].text();
    let file = said.split_once(".harness/").unwrap().1.split_once(']').unwrap().0;
    assert_eq!(lead.folder.read(&format!(".harness/{file}")), log);
    assert!(said.contains("line 0 of") && said.contains("line 4999 of"), "{said}");
}

#[tokio::test]
async fn a_new_result_larger_than_the_window_is_put_away_before_it_is_read() {
    let step = AtomicUsize::new(0);
    let mut lead = lead(4_000, move |request| match step.fetch_add(1, Ordering::Relaxed) {
        0 => reply(
            request,
            vec![
                call("a", "look", json!({"bytes": 50_000})),
                call("b", "look", json!({"bytes": 500})),
            ],
        ),
        _ => says(request, "I see."),
    });
    assert_eq!(lead.say("Look.").await, Ok(TurnOutcome::Answered("I see.".to_owned())));
    let results: Vec<String> =
        lead.c.messages()[2].results().map(|r| r.content.text().into_owned()).collect();
    assert!(results[0].starts_with("[50000 bytes were put away"), "{}", results[0]);
    assert_eq!(results[1].len(), 500, "what fits stays");
    assert!(lead.witness.requests_of("compact").is_empty(), "no model is needed for that");
}

#[tokio::test]
async fn what_no_fold_can_shorten_is_a_clear_error() {
    let mut lead = lead(4_000, |request| within(4_000, request, says(request, "Fine.")));
    lead.agent.system.push("s".repeat(20_000));
    let why = lead.say("Hello").await.unwrap_err();
    expect!["the conversation is too long for the model (no room was made: nothing is left to put away; most of it is system prompt)"].assert_eq(&why);
    assert_eq!(lead.c.messages()[0].text(), "Hello");
    lead.agent.system = harness_core::SystemPrompt::default();
    assert_eq!(lead.say("And now?").await, Ok(TurnOutcome::Answered("Fine.".to_owned())));
}

#[tokio::test]
async fn a_window_full_of_what_cannot_be_folded_is_no_loop() {
    let (step, refused) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let counted = refused.clone();
    let mut lead = lead(4_000, move |request| {
        let fits = within(4_000, request, says(request, &summary("looking")));
        match (&fits, source(request)) {
            (Err(_), _) => _ = counted.fetch_add(1, Ordering::Relaxed),
            (Ok(_), Some(_)) => {}
            (Ok(_), None) => match step.fetch_add(1, Ordering::Relaxed) {
                step if step < 40 => {
                    let look = call(&format!("c{step}"), "look", json!({"bytes": 200}));
                    return reply(request, vec![look]);
                }
                _ => return says(request, "Done."),
            },
        }
        fits
    });
    lead.agent.system.push("s".repeat(13_600)); // 85 % of the window
    assert_eq!(lead.say("Look forty times.").await, Ok(TurnOutcome::Answered("Done.".to_owned())));
    let summaries = lead.witness.requests_of("compact").len();
    let refused = refused.load(Ordering::Relaxed);
    assert!(summaries <= 40 / 3 && refused <= 40 / 3, "{summaries} summaries, {refused} refused");
}

#[tokio::test]
async fn old_results_go_first_and_a_model_is_asked_only_when_that_is_not_enough() {
    let step = AtomicUsize::new(0);
    let mut lead = lead(8_000, move |request| match step.fetch_add(1, Ordering::Relaxed) {
        step if step < 12 => {
            reply(request, vec![call(&format!("c{step}"), "look", json!({"bytes": 3_000}))])
        }
        _ => says(request, "Done."),
    });
    let told = told(&mut lead);
    lead.say("Look twelve times.").await.unwrap();
    assert!(lead.witness.requests_of("compact").is_empty());
    assert_eq!(told.0.lock().unwrap().len(), 1);
    let results: Vec<_> = lead.c.messages().iter().flat_map(Message::results).collect();
    assert!(results[0].content.text().starts_with("[3000 bytes were put away"));
    assert_eq!(results[11].content.text().len(), 3_000, "the newest stay as they are");
}

#[tokio::test]
async fn thinking_after_an_edit_goes_and_thinking_before_it_stays() {
    // The witness refuses sealed thinking that stands after a place that changed, as the API does.
    let step = AtomicUsize::new(0);
    let thought = || {
        let sealed = json!({"type": "thinking", "thinking": "Hm.", "signature": "s"});
        serde_json::from_value::<Block>(sealed).unwrap()
    };
    let mut lead = lead(4_000, move |request| match source(request) {
        Some(_) => says(request, &summary("looking")),
        None => match step.fetch_add(1, Ordering::Relaxed) {
            step if step < 30 => {
                let look = call(&format!("c{step}"), "look", json!({"bytes": 2_000}));
                reply(request, vec![thought(), look])
            }
            _ => reply(request, vec![thought(), Block::text("Done.")]),
        },
    });
    assert_eq!(lead.say("Think.").await, Ok(TurnOutcome::Answered("Done.".to_owned())));
    let last = lead.c.messages().last().unwrap();
    assert_eq!(last.content[0], thought(), "what nothing came before of stays");
}

#[tokio::test]
async fn secrets_do_not_reach_the_disk() {
    let mut lead = lead(4_000, |request| match source(request) {
        Some(_) => says(request, &summary("the key is hunter2-and-more")),
        None => says(request, "Fine."),
    });
    lead.agent.secrets = Secrets::new([], ["hunter2-and-more".to_owned()]);
    lead.c.say("My key is hunter2-and-more.");
    words(&mut lead.c, 0..20, 800);
    lead.say("go on").await.unwrap();
    let compacted = std::fs::read_dir(lead.folder.path().join(".harness/compacted")).unwrap();
    let kept: Vec<_> =
        compacted.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    assert!(kept.iter().any(|text| text.contains("My key is [secret].")), "{kept:?}");
    assert!(!kept.concat().contains("hunter2") && !lead.folder.read(MEMORY).contains("hunter2"));
}

#[test]
fn the_headings_are_fixed() {
    let headings = HEADINGS.map(|(heading, _)| heading).join(" ");
    assert_eq!(headings, "## Goal ## Done ## In progress ## Files ## Decisions ## Next");
}
