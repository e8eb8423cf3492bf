//! The lesson, played; then the hard cases.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use expect_test::expect;
use harness_cli::{Display, Screen};
use harness_core::host::text;
use harness_core::model::anthropic::{Client, Config, Key, Patience};
use harness_core::tool::builtin;
use harness_core::{
    Agent, AgentError, Block, Conversation, Decision, Delta, Effect, Event, Hook, Message,
    ModelError, Observer, Reply, StopReason, ToolCall, ToolContext, ToolResult, TurnOutcome, Usage,
    Verdict,
};
use harness_testkit::program::KEY;
use harness_testkit::{
    Fault, Folder, Key as Press, Program, Stage, StrictServer, Terminal, outputs, transcript,
};
use s13_streaming::{LESSON, Meter, Typewriter, deltas};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

// ---------------------------------------------------------------- the play

/// The play without its pace: what is said is the same.
fn play() -> String {
    LESSON.play.replace("pace: 25", "pace: 0")
}

/// With every number `N`, as they differ from run to run.
fn without_numbers(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' if plain.ends_with('N') => {}
            '0'..='9' => plain.push('N'),
            c => plain.push(c),
        }
    }
    plain.replace("N.N", "N")
}

#[tokio::test]
async fn the_play() {
    let mut stage = Stage::new(&play());
    let screen = Screen::memory();
    stage.agent.observers.add(Arc::new(Typewriter::new(screen.clone(), "lead")));
    expect![[r#"
        human: Write a poem of four lines about a river to river.txt, and count its lines.
        model: I write it down first.\x1b[2J (Your screen would be blank now, if it obeyed me.)
          call write {"path":"river.txt","content":"It does not wait for all its water,\nit comes as it comes, a little at a time;\nand he who stands and waits for the whole of it\nwill not see a river in his life.\n"}
          result made river.txt (160 bytes)
        model: Now I read it again, as you would.
          call read {"path":"rivers.txt"}
          error "rivers.txt" does not exist; check the spelling, or list the folder
        model: The name was wrong. I count the right one.
          call bash {"command":"grep -c '' river.txt"}
          result 4
        model: river.txt holds the poem, in four lines. You saw each word when it came.
    "#]].assert_eq(&text::visible(&stage.play().await));
    expect![[r#"
        I write it down first. (Your screen would be blank now, if it obeyed me.)
        ▸ write path=river.txt content=It does not wait for all its water, it …
          made river.txt (N bytes)
        Now I read it again, as you would.
        ▸ read rivers.txt
          "rivers.txt" does not exist; check the spelling, or list the folder
        The name was wrong. I count the right one.
        ▸ bash grep -c '' river.txt
          N
        river.txt holds the poem, in four lines. You saw each word when it came.
        · first token after N s, N tokens in N replies
    "#]]
    // In process a rate is shown only where the machine is slow enough to have one; the meter's own
    // example tests it.
    .assert_eq(&without_numbers(&screen.written()).replace(" N tokens a second,", ""));
}

fn program() -> Program {
    Program::new(env!("CARGO_BIN_EXE_s13_streaming"), LESSON.play)
}

#[test]
fn the_readme_shows_what_the_program_prints_and_a_pipe_gets_no_escapes() {
    let printed = program().play();
    assert!(!printed.contains('\x1b'), "{printed:?}");
    let shown = outputs(include_str!("../README.md"))[0];
    assert!(shown.lines().count() > 10, "{shown}");
    assert!(
        without_numbers(&printed).contains(&without_numbers(shown)),
        "the README shows\n{shown}\nthe program printed\n{printed}"
    );
}

#[test]
fn one_shot_prints_the_answer_alone_and_the_figures_beside_it() {
    let program = program();
    let mut command = program.command();
    command.args(["-p", &Stage::new(LESSON.play).prompts[0]]);
    let output = Program::pipe(command, "");
    assert!(output.status.success());
    let answer = "river.txt holds the poem, in four lines. You saw each word when it came.\n";
    assert_eq!(String::from_utf8(output.stdout).unwrap(), answer);
    let beside = String::from_utf8(output.stderr).unwrap();
    assert!(beside.contains("tokens a second") && !beside.contains('\x1b'), "{beside}");
}

#[test]
fn the_play_runs_the_same_against_a_server() {
    let printed = program().play_over_the_wire();
    assert!(printed.contains("  made river.txt (160 bytes)\n"), "{printed}");
    assert!(printed.contains("river.txt holds the poem, in four lines."), "{printed}");
    assert!(printed.contains("tokens in 4 replies"), "{printed}");
}

// ---------------------------------------------------------------- nothing is lost

/// Keeps what it is told.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<(String, Event)>>>);

impl Observer for Recorder {
    fn on(&self, agent: &str, event: &Event) {
        self.0.lock().unwrap().push((agent.to_owned(), event.clone()));
    }
}

/// Denies `rm`.
struct Guard;

#[async_trait::async_trait]
impl Hook for Guard {
    async fn before_tool(&self, call: &mut ToolCall, _: &Effect, _: &ToolContext) -> Verdict {
        match call.input.get("command").and_then(Value::as_str) {
            Some(line) if line.starts_with("rm") => Verdict::Deny("not here".to_owned()),
            _ => Verdict::Allow,
        }
    }
}

fn call(id: &str, name: &str, input: Value) -> ToolCall {
    serde_json::from_value(json!({"id": id, "name": name, "input": input})).unwrap()
}

fn reply(text: &str, output_tokens: u64) -> Reply {
    let message = Message::assistant(vec![Block::text(text)]);
    let usage = Usage { output_tokens, ..Usage::default() };
    Reply::new(message, StopReason::EndTurn, usage)
}

/// A real turn with everything that can happen in one, then what no script can do.
async fn happenings() -> Vec<(String, Event)> {
    let lines = "
- {text: Two at once., calls: [{tool: bash, input: {command: seq 20}}, {tool: bash, input: {command: rm x}}]}
- {text: \"No such tool.\\nAnd a bad input.\", calls: [{tool: nope}, {tool: read, input: {line: 1}}]}
- {calls: [{tool: bash, input: {command: 'true'}}, {tool: bash, input: {command: 'printf \"\\033[31mred\"; exit 3'}}]}
- {text: Done.}";
    let recorder = Recorder::default();
    let mut stage = Stage::lines(lines);
    stage.agent.observers.add(Arc::new(recorder.clone()));
    stage.agent.hooks.push(Arc::new(Guard));
    stage.agent.emit(&Event::Prompt("go".to_owned()));
    stage.say("go").await.unwrap();
    let bash = call("9", "bash", json!({"command": "make"}));
    let by_hand = [
        ("lead", Event::SessionStarted),
        ("lead", Event::Prompt("more".to_owned())),
        (
            "lead",
            Event::Retrying { wait: Duration::from_secs(2), why: "529 Overloaded".to_owned() },
        ),
        ("lead", Event::Delta(Delta::Thinking("Hm. ".to_owned()))),
        ("lead", Event::Delta(Delta::Thinking("Yes.\n".to_owned()))),
        ("lead", Event::Delta(Delta::Text("So \x1b[1mbe\x1b[0m it.".to_owned()))),
        ("lead", Event::Replied(reply("So be it.", 9))),
        ("lead", Event::ToolStarted(bash.clone())),
        ("lead", Event::ToolProgress { call_id: "9".to_owned(), text: "cc\n".to_owned() }),
        ("lead", Event::Asked { call: bash.clone(), why: "unknown".to_owned() }),
        ("lead", Event::Decided { call: bash.clone(), decision: Decision::Allowed }),
        (
            "lead",
            Event::ToolFinished {
                call: bash.clone(),
                result: ToolResult::done("9", "built"),
                took: Duration::from_secs(1),
            },
        ),
        (
            "lead",
            Event::ChildStarted { child: "scout".to_owned(), task: "look\naround".to_owned() },
        ),
        ("scout", Event::Delta(Delta::Text("I look.".to_owned()))),
        ("scout", Event::Replied(reply("I look.\nI see.", 9))),
        ("scout", Event::ToolStarted(bash.clone())),
        (
            "scout",
            Event::ToolFinished {
                call: bash,
                result: ToolResult::failed("9", "no make here"),
                took: Duration::ZERO,
            },
        ),
        ("scout", Event::TurnEnded(TurnOutcome::Answered("I see.".to_owned()))),
        ("lead", Event::ChildEnded { child: "scout".to_owned(), outcome: "answered".to_owned() }),
        ("lead", Event::Compacted { messages: 12 }),
        ("lead", Event::Notice("the disk is \x1b[5mfull".to_owned())),
        ("lead", Event::Delta(Delta::Text("Half a w".to_owned()))),
        ("lead", Event::TurnFailed("the reply broke off".to_owned())),
        ("lead", Event::Prompt("once more".to_owned())),
        ("lead", Event::TurnEnded(TurnOutcome::Interrupted)),
        ("lead", Event::SessionEnded),
    ];
    let mut happenings = recorder.0.lock().unwrap().clone();
    happenings.extend(by_hand.map(|(agent, event)| (agent.to_owned(), event)));
    happenings
}

/// Words alone, without the typewriter's figures: it may break lines where the default does not.
fn words(shown: &str) -> Vec<&str> {
    let lines = shown.lines().filter(|line| !line.starts_with("· "));
    lines.flat_map(str::split_whitespace).collect()
}

#[tokio::test]
async fn nothing_is_lost_of_what_the_default_display_prints() {
    let (default, own) = (Screen::memory(), Screen::memory());
    let displays: [Box<dyn Observer>; 2] = [
        Box::new(Display::new(default.clone(), "lead")),
        Box::new(Typewriter::new(own.clone(), "lead")),
    ];
    for (agent, event) in happenings().await {
        displays.iter().for_each(|display| display.on(&agent, &event));
    }
    let (default, own) = (default.written(), own.written());
    for sign in
        ["▸ bash", "… 12 more lines", "denied: not here", "scout: I see.", "12 messages", "Half"]
    {
        assert!(default.contains(sign), "the record lacks {sign:?}:\n{default}");
    }
    assert_eq!(words(&own), words(&default));
    assert!(own.lines().any(|line| line.starts_with("· ")), "{own}");
}

// ---------------------------------------------------------------- bytes

fn event(data: Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap())
}

/// One stream with every oddity that a reader of the standard must put up with.
fn odd_stream() -> Vec<u8> {
    let delta = |index: usize, delta: Value| {
        event(json!({"type": "content_block_delta", "index": index, "delta": delta}))
    };
    let start = |index: usize, block: Value| {
        event(json!({"type": "content_block_start", "index": index, "content_block": block}))
    };
    let usage = json!({"input_tokens": 25, "output_tokens": 1});
    let last = json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"},
        "usage": {"output_tokens": 30}});
    let stream = [
        "\u{feff}: a comment, and a byte order mark before it\n\n".to_owned(),
        event(json!({"type": "message_start", "message": {"usage": usage}})),
        event(json!({"type": "ping"})),
        event(json!({"type": "weather_report", "index": 0})),
        start(0, json!({"type": "text", "text": ""})),
        delta(7, json!({"type": "input_json_delta", "partial_json": "for a block that never began"})),
        delta(0, json!({"type": "mood_delta", "mood": "sunny"})),
        // One event in three data lines, CR LF, and no event line.
        "data: {\"type\": \"content_block_delta\", \"index\": 0,\r\ndata: \"delta\": {\"type\": \"text_delta\",\r\ndata: \"text\": \"Grüße 😀 \"}}\r\n\r\n".to_owned(),
        ": still here\r\r".to_owned(),
        delta(0, json!({"type": "text_delta", "text": "an alle."})),
        start(1, json!({"type": "tool_use", "id": "toolu_1", "name": "bash"})),
        delta(1, json!({"type": "input_json_delta", "partial_json": ""})),
        delta(1, json!({"type": "input_json_delta", "partial_json": "{\"command\": \"ec"})),
        event(json!({"type": "ping"})),
        delta(1, json!({"type": "input_json_delta", "partial_json": "ho ü\"}"})),
        event(last.clone()),
        event(last),
        event(json!({"type": "message_stop"})),
    ];
    stream.concat().into_bytes()
}

#[test]
fn wherever_the_bytes_are_split_the_deltas_are_the_same() {
    let stream = odd_stream();
    let whole = deltas([stream.as_slice()]).unwrap();
    let said: String = whole
        .iter()
        .filter_map(|delta| match delta {
            Delta::Text(words) => Some(words.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(said, "Grüße 😀 an alle.");
    let Some(Delta::Done(reply)) = whole.last() else { panic!("no reply: {whole:?}") };
    assert_eq!(reply.message.calls().next().unwrap().input["command"], "echo ü");
    assert_eq!((reply.usage.input_tokens, reply.usage.output_tokens), (25, 30));

    for at in 0..stream.len() {
        let (one, two) = stream.split_at(at);
        assert_eq!(deltas([one, two]).as_ref(), Ok(&whole), "split at {at}");
    }
    for size in [1, 2, 3, 7] {
        assert_eq!(deltas(stream.chunks(size)).as_ref(), Ok(&whole), "chunks of {size}");
    }
    for at in 0..stream.len() - 1 {
        assert!(deltas([&stream[..at]]).is_err(), "a stream cut at {at} is no reply");
    }
}

#[test]
fn a_control_sequence_cut_in_two_by_the_stream_reaches_no_screen() {
    let words = "a\x1b]0;owned\x07b\x1b[31;1mc\u{9b}2Jd\x1bPq\x1b\\e\r\x08f";
    let cuts = words.char_indices().map(|(at, _)| at);
    for at in cuts {
        let screen = Screen::memory();
        let typewriter = Typewriter::new(screen.clone(), "lead");
        for piece in [&words[..at], &words[at..]] {
            typewriter.on("lead", &Event::Delta(Delta::Text(piece.to_owned())));
        }
        assert_eq!(screen.written(), "abcde\nf", "cut at {at}");
    }
}

#[test]
fn what_one_reply_left_open_hides_nothing_of_the_next() {
    let screen = Screen::memory();
    let typewriter = Typewriter::new(screen.clone(), "lead");
    let say = |words: &str| typewriter.on("lead", &Event::Delta(Delta::Text(words.to_owned())));
    say("one\x1b]0;never closed");
    typewriter.on("lead", &Event::TurnFailed("cut".to_owned()));
    say("two");
    typewriter.on("lead", &Event::Delta(Delta::Thinking("hm\x1b]0;".to_owned())));
    say("three");
    assert_eq!(screen.written(), "one\ntwo\nhm\nthree");
}

// ---------------------------------------------------------------- a server

struct Line {
    server: StrictServer,
    agent: Agent,
    screen: Screen,
    conversation: Conversation,
    _folder: Folder,
}

const PLAY: &str = "
prompt: [go, go on]
scenes:
- said: ^go$
  lines:
  - {text: I look at it first., calls: [{tool: bash, input: {command: echo Grüße}}]}
  - {text: It greets.}
- said: ^go on$
  lines: [{text: Here I am again.}]
";

/// An agent with a typewriter, behind the real client, before a server that plays and has these faults
/// on the first request.
fn line(play: &str, faults: &[Fault]) -> Line {
    let (server, folder, screen) = (StrictServer::start(play), Folder::new(), Screen::memory());
    for fault in faults {
        server.fault(1, fault.clone());
    }
    let patience = Patience { first: Duration::from_millis(1), ..Patience::default() };
    let config = Config::new(server.base_url(), Key::ApiKey(KEY.to_owned()));
    // Where the server falls silent the test waits for this; everywhere else nobody does.
    let stalls = faults.iter().any(|fault| matches!(fault, Fault::Gate(_) | Fault::Silent(_)));
    let idle = Duration::from_millis(if stalls { 1500 } else { 60_000 });
    let config = Config { patience, idle, ..config };
    let mut agent = Agent::new(Arc::new(Client::new(config).unwrap()), folder.path());
    agent.tools = builtin::all();
    agent.observers.add(Arc::new(Typewriter::new(screen.clone(), "lead")));
    Line { server, agent, screen, conversation: Conversation::new(), _folder: folder }
}

impl Line {
    async fn say(&mut self, prompt: &str) -> Result<TurnOutcome, AgentError> {
        self.agent.emit(&Event::Prompt(prompt.to_owned()));
        self.conversation.say(prompt);
        self.agent.run(&mut self.conversation, &CancellationToken::new()).await
    }

    fn transcript(&self) -> String {
        transcript(self.conversation.messages())
    }

    fn shown(&self) -> String {
        without_numbers(&self.screen.written())
    }
}

fn answered(text: &str) -> Result<TurnOutcome, AgentError> {
    Ok(TurnOutcome::Answered(text.to_owned()))
}

#[tokio::test]
async fn servers_that_write_the_same_in_other_ways_are_shown_the_same() {
    let ways = [
        vec![],
        vec![Fault::Crlf],
        vec![Fault::SplitBytes(1)],
        vec![Fault::SplitBytes(7), Fault::Crlf],
        vec![Fault::OneWrite],
        vec![Fault::UnknownEvent, Fault::UnknownDelta],
        vec![Fault::LateStops, Fault::NoPings],
        vec![Fault::WholeInputAtOnce],
        vec![Fault::UsageNulls],
    ];
    for faults in ways {
        let mut line = line(PLAY, &faults);
        assert_eq!(line.say("go").await, answered("It greets."));
        assert_eq!(
            line.transcript(),
            "human: go\nmodel: I look at it first.\n  call bash {\"command\":\"echo Grüße\"}\n  \
             result Grüße\nmodel: It greets.\n",
            "{faults:?}"
        );
        let shown = line.shown();
        let (words, figures) = shown.split_once("· ").unwrap();
        assert_eq!(
            words, "I look at it first.\n▸ bash echo Grüße\n  Grüße\nIt greets.\n",
            "{faults:?}"
        );
        assert!(figures.starts_with("first token after N s, "), "{figures}");
        line.server.finish();
    }
}

#[tokio::test]
async fn a_cut_stream_keeps_the_words_drops_the_half_call_and_the_next_prompt_works() {
    let cuts = [
        Fault::EofMidBlock,
        Fault::BrokenConnection,
        Fault::MidStreamError("overloaded_error".to_owned()),
        Fault::EofBeforeMessageStop,
        Fault::Gate("never opened, which is a stall".to_owned()),
    ];
    for cut in cuts {
        let mut line = line(PLAY, std::slice::from_ref(&cut));
        let error = line.say("go").await.unwrap_err();
        assert!(matches!(error, AgentError::Model(ModelError::Broken { .. })), "{cut:?}: {error}");
        let shown = line.shown();
        assert!(shown.starts_with("I ") && !shown.contains("▸"), "{cut:?}: {shown}");
        // The server judges the next request, and so the history that the cut has left.
        assert_eq!(line.say("go on").await, answered("Here I am again."), "{cut:?}");
        assert!(!line.transcript().contains("call bash"), "{cut:?}: {}", line.transcript());
        assert!(line.transcript().contains("model: I"), "{cut:?}: {}", line.transcript());
        line.server.finish();
    }
}

#[tokio::test]
async fn before_a_word_was_shown_the_request_is_sent_again_and_the_user_is_told() {
    let faults = [
        Fault::EofBeforeStart,
        Fault::Overloaded529,
        Fault::RetryAfterMs(1),
        Fault::Silent("never opened, which is a stall".to_owned()),
    ];
    for fault in faults {
        let mut line = line(PLAY, std::slice::from_ref(&fault));
        assert_eq!(line.say("go").await, answered("It greets."), "{fault:?}");
        let shown = line.shown();
        assert!(shown.contains("; trying again in N s\n"), "{fault:?}: {shown}");
        assert_eq!(shown.matches("I look at it first.").count(), 1, "{fault:?}: {shown}");
        assert_eq!(line.server.finish().len(), 3, "{fault:?}");
    }
}

#[tokio::test]
async fn an_input_that_is_no_json_is_not_run_and_the_model_reads_why() {
    let mut line = line(PLAY, &[Fault::InvalidToolJson]);
    line.say("go").await.unwrap();
    let transcript = line.transcript();
    assert!(transcript.contains("error the input was not a JSON object: "), "{transcript}");
    line.server.finish();
}

#[tokio::test]
async fn a_line_of_a_megabyte_is_shown_whole() {
    let long = "x".repeat(1 << 20);
    let play = format!("prompt: go\nscenes:\n- lines: [{{text: {long}}}]");
    let mut line = line(&play, &[]);
    assert!(line.say("go").await == answered(&long), "not all of it is kept");
    assert!(line.screen.written().starts_with(&long));
}

// ---------------------------------------------------------------- a terminal

fn terminal(program: &Program, server: &StrictServer) -> Terminal {
    let mut command = program.command();
    command.env("ANTHROPIC_BASE_URL", server.base_url()).env("ANTHROPIC_API_KEY", KEY);
    let terminal = Terminal::start(command, 100, 30);
    terminal.wait_for("s13 >>");
    terminal
}

#[test]
fn the_play_in_a_terminal_clears_no_screen() {
    let program = program();
    let mut terminal = Terminal::start(program.command(), 100, 30);
    terminal.wait_for("s13 >>");
    terminal.key(Press::Enter);
    terminal.wait_for("tokens in 4 replies");
    terminal.line("q");
    assert!(terminal.wait_for_end().success());
    let shown = terminal.raw();
    let (_, since) = shown.split_once("I write it down first.").unwrap();
    assert!(!since.contains("\x1b[2J"), "the model cleared the screen");
}

#[test]
fn a_call_is_seen_while_its_input_is_being_written() {
    let program = program();
    let server = StrictServer::start(
        "prompt: go\nscenes:\n- lines:\n  - calls: [{tool: write, input: {path: a.txt, content: twelve bytes}}]\n  - {text: Done.}",
    );
    // The stream is held behind the input, before the call is complete.
    server.fault(1, Fault::WholeInputAtOnce).fault(1, Fault::Gate("input".to_owned()));
    let terminal = terminal(&program, &server);
    terminal.line("go");
    terminal.wait_for("writing write (41 B)");
    assert!(!terminal.screen().contains("▸"), "{}", terminal.screen());
    assert!(!program.folder.has("a.txt"));
    server.open("input");
    terminal.wait_for("made a.txt (12 bytes)");
    terminal.wait_for("Done.");
    server.finish();
}

#[test]
fn a_call_after_words_gets_a_line_of_its_own_to_be_shown_on() {
    let screen = Screen::memory();
    let typewriter = Typewriter::new(screen.clone(), "lead");
    typewriter.on("lead", &Event::Delta(Delta::Text("I look.".to_owned())));
    let (id, name) = ("1".to_owned(), "bash".to_owned());
    typewriter.on("lead", &Event::Delta(Delta::ToolInput { id, name, bytes: 3 }));
    assert_eq!(screen.written(), "I look.\n");
}

#[test]
fn ctrl_c_in_the_middle_of_a_reply_brings_the_prompt_back_and_the_next_one_works() {
    let (program, server) = (program(), StrictServer::start(PLAY));
    server.fault(1, Fault::Gate("words".to_owned()));
    let mut terminal = terminal(&program, &server);
    terminal.line("go");
    server.held_blocking("words", 1);
    terminal.wait_for("\nI");
    terminal.key(Press::CtrlC);
    terminal.wait_for("interrupted; the conversation goes on");
    terminal.line("go on");
    terminal.wait_for("Here I am again.");
    terminal.line("q");
    assert!(terminal.wait_for_end().success());
    server.finish();
}

// ---------------------------------------------------------------- the meter

#[test]
fn waiting_and_tool_time_do_not_count_as_speaking() {
    let mut meter = Meter::default();
    assert_eq!(meter.take(), None, "nothing was measured");
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let piece = || Event::Delta(Delta::Thinking("Hm".to_owned()));
    // The first one waits 2 s, speaks 1 s; a tool runs; the second speaks 3 s.
    meter.on(&Event::Prompt("go".to_owned()), at(0));
    meter.on(&piece(), at(2000));
    meter.on(&Event::Replied(reply("one", 100)), at(3000));
    meter.on(&piece(), at(60_000));
    meter.on(&piece(), at(62_000));
    meter.on(&Event::Replied(reply("two", 100)), at(63_000));
    expect!["first token after 2.0 s, 50 tokens a second, 200 tokens in 2 replies"]
        .assert_eq(&meter.take().unwrap());
    // News wake the agent: nobody asked, so nobody waited. The reply came whole, so there is no speed.
    meter.on(&piece(), at(70_000));
    meter.on(&Event::Replied(reply("three", 7)), at(70_001));
    expect!["7 tokens in 1 reply"].assert_eq(&meter.take().unwrap());
    // A server that counts nothing.
    meter.on(&Event::Prompt("go".to_owned()), at(80_000));
    meter.on(&piece(), at(80_500));
    meter.on(&Event::Replied(reply("four", 0)), at(90_000));
    expect!["first token after 0.5 s"].assert_eq(&meter.take().unwrap());
}
