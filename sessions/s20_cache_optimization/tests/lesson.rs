//! The lesson, played; then the hard cases.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::borrow::Cow;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use expect_test::expect;
use harness_core::model::cache::{Clock, canonical};
use harness_core::{
    Agent, Block, CacheLife, CachePosition, Content, Conversation, Event, Hook, HookContext,
    Message, Observer, Request, Role, ToolSpec, Usage,
};
use harness_testkit::program::KEY;
use harness_testkit::{
    Answer, Answers, Fault, Key, Program, Stage, StrictServer, Terminal, outputs,
};
use s20_cache_optimization::{CachedPrefix, Call, Flags, LESSON, Ledger, PromptCache, place};
use serde_json::{Map, Value, json};

const BIN: &str = env!("CARGO_BIN_EXE_s20_cache_optimization");
const README: &str = include_str!("../README.md");

fn program() -> Program {
    Program::new(BIN, LESSON.play)
}

/// What the program says to these lines, as the server's client.
fn over_the_wire(server: &StrictServer, flags: &[&str], input: &str) -> String {
    let program = program();
    let mut command = program.command();
    command.args(flags).env("ANTHROPIC_BASE_URL", server.base_url());
    command.env("ANTHROPIC_API_KEY", KEY);
    let output = Program::pipe(command, input);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

fn cache_lines(said: &str) -> Vec<&str> {
    said.lines().filter(|line| line.starts_with("[cache")).collect()
}

#[tokio::test]
async fn the_play() {
    let stage = Stage::new(LESSON.play);
    let cache = PromptCache::new(Flags::default());
    let mut stage = stage.with(cache);
    expect![[r#"
        human: Which month was the best one, and who says so?
        model: The notes first.
          call read {"path":"notes.txt"}
          error "notes.txt" does not exist; check the spelling, or list the folder
        model: They have another name.
          call bash {"command":"ls -R"}
          call read {"path":"notes.md"}
          result 1 .:
            notes.md
            sales

            ./sales:
            north.csv
            south.csv
          result 2      1	The figures are in sales/, a file for each region. Add them up before you compare: a month that is good in
                 2	the north may be bad in the south. Returns are already taken out.
        model: Both regions, added up.
          call bash {"command":"cat sales/*.csv | awk -F, '$2 + 0 {sum[$1] += $2} END {for (month in sum) print sum[month], month}' | sort -rn"}
          result 350 march
            335 april
            325 may
            291 june
            181 july
            180 january
            167 february
        model: March, with 350 sold. north.csv says so, 210, and south.csv, 140.
        human: And the worst?
        model: It stands in the list above, so I need not look again. February, with 167.
        human: Write both into summary.md.
        model: Both are known by now.
          call write {"path":"summary.md","content":"best: march, 350\nworst: february, 167\n"}
          result made summary.md (38 bytes)
        model: summary.md holds both.
    "#]].assert_eq(&stage.play().await);
}

#[test]
fn the_binary_plays_it_through_a_pipe_and_over_the_wire() {
    for (play, simulated) in
        [(Program::play as fn(&_) -> _, true), (Program::play_over_the_wire, false)]
    {
        let program = program();
        let said: String = play(&program);
        assert_eq!(said.contains("hits and misses are simulated"), simulated, "{said}");
        assert!(said.contains("[cache] NONE → ") && said.contains("[cache] MISS → "), "{said}");
        // Which request is the first that is long enough, depends on how long the folder's name is.
        let hits = said.matches("[cache] HIT → ").count();
        assert!(matches!(hits, 4 | 5) && said.matches("[cache] MISS").count() == 1, "{said}");
        assert!(said.contains("[cache summary] 7 calls | written="), "{said}");
        assert!(
            said.contains(&format!(" | hits={hits} | total saved≈"))
                && said.contains("[cache cost] $"),
            "{said}"
        );
        assert!(!said.contains("still there"), "nothing that was expected is gone: {said}");
        assert!(program.folder.has("summary.md"));
    }
}

#[test]
fn the_play_in_a_terminal() {
    for columns in [80, 40] {
        let program = program();
        let mut terminal = Terminal::start(program.command(), columns, 60);
        terminal.wait_for("s20 >>");
        for calls in ["4 calls", "5 calls", "7 calls"] {
            terminal.key(Key::Enter);
            terminal.wait_until(calls, |screen| {
                let text = screen.replace('\n', "");
                text.contains(&format!("[cache summary] {calls}")) && screen.ends_with("s20 >>")
            });
        }
        terminal.line(":cache");
        let shown = terminal.wait_until("the table", |screen| {
            screen.contains("call") && screen.replace('\n', "").contains("of all prompt tokens")
        });
        assert!(shown.contains("   7 HIT "), "{shown}");
        terminal.line("q");
        assert!(terminal.wait_for_end().success());
    }
}

#[test]
fn one_shot_tells_it_beside_the_answer_and_json_has_the_figures() {
    let program = program();
    let mut command = program.command();
    command.args(["-p", ""]);
    let output = Program::pipe(command, "");
    let answer = String::from_utf8(output.stdout).unwrap();
    assert!(answer.starts_with("March, with 350 sold.") && !answer.contains("[cache"), "{answer}");
    assert!(String::from_utf8(output.stderr).unwrap().contains("[cache summary] 4 calls"));
    let mut command = program.command();
    command.args(["-p", "", "--output-format", "json"]);
    let output = Program::pipe(command, "");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(result["usage"]["cache_read_input_tokens"].as_u64().unwrap() > 1_000, "{result}");
}

/// A line of figures, whatever they are: a path is longer here and shorter there.
fn timeless(line: &str) -> String {
    let mut text = String::new();
    for c in line.chars() {
        match c {
            '0'..='9' | ',' | '.' => {
                if !text.ends_with('9') {
                    text.push('9');
                }
            }
            c => text.push(c),
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_readme_shows_what_the_program_prints() {
    let run = |flags: &[&str], input: &str| {
        let program = program();
        let mut command = program.command();
        command.args(flags);
        String::from_utf8(Program::pipe(command, input).stdout).unwrap()
    };
    let said = run(&[], "\n\n\n:cache\nq\n") + &run(&["--clock"], "\n\n\nq\n");
    let said: Vec<String> = said.lines().map(timeless).collect();
    let mut count = 0;
    for line in outputs(README).into_iter().flat_map(str::lines) {
        assert!(said.contains(&timeless(line)), "{line}\n{said:#?}");
        count += 1;
    }
    assert!(count > 10);
}

// ---- the prefix

/// The done-when of this session: ten turns, and each request begins with the bytes of the one before, as far
/// as that was marked.
#[test]
fn ten_turns_and_each_requests_bytes_up_to_the_mark_equal_the_formers() {
    let mut answers = Vec::new();
    for turn in 0..10 {
        // Numbers, key orders and characters that a careless writer would not repeat.
        let input =
            json!({"zebra": 1, "path": "notes.md", "apple": [1.0, 0.1, 1e100], "é": "\u{2028}/\\"});
        let calls = (0..=turn % 3).map(|n| {
            let input = if n == 1 { input.clone() } else { json!({"path": "notes.md"}) };
            json!({"type": "tool_use", "id": format!("toolu_{turn}_{n}"), "name": "read", "input": input})
        });
        answers.push(Answer::blocks(calls.collect()));
        answers.push(Answer::text(&format!("Turn {turn} is done.")));
    }
    let server = StrictServer::start(Answers::from(answers));
    let prompts: String = (0..10).map(|turn| format!("prompt {turn}\n")).collect();
    let said = over_the_wire(&server, &[], &(prompts + "q\n"));
    let sent: Vec<String> = server.recorded().into_iter().map(|request| request.text).collect();
    assert_eq!(sent.len(), 20, "{said}");
    let mark = r#","cache_control":{"type":"ephemeral"}"#;
    for pair in sent.windows(2) {
        let marked = &pair[0][..pair[0].rfind(mark).unwrap()];
        let (before, now) = (marked.replace(mark, ""), pair[1].replace(mark, ""));
        assert!(now.starts_with(&before), "{before}\n\n{now}");
        assert!((2..=4).contains(&pair[1].matches(mark).count()));
    }
    // And so everything that was written was read.
    assert!(!said.contains("still there"), "{said}");
    assert!(said.matches("[cache] HIT → ").count() > 12, "{said}");
}

#[test]
fn nothing_that_changes_stands_before_the_conversation() {
    let begins = || {
        let server = StrictServer::start(Answers::from(vec![Answer::text("Good day.")]));
        over_the_wire(&server, &[], "hello\nq\n");
        let text = server.recorded().remove(0).text;
        let end = text.find(r#""messages":"#).unwrap();
        text[..end].to_owned()
    };
    // Another process, another folder, another moment: the same bytes.
    let first = begins();
    assert_eq!(first, begins());
    assert!(!first.contains("/tmp") && !first.contains("202"), "{first}");
}

// ---- where the marks stand

fn request<'a>(tools: usize, system: &[&str], messages: &'a [Message]) -> Request<'a> {
    let tool = |at| ToolSpec {
        name: format!("tool_{at}"),
        description: "A tool.".to_owned(),
        input_schema: json!({"type": "object"}),
    };
    Request {
        agent: "lead",
        model: "claude-opus-4-8",
        max_tokens: 100,
        system: system.iter().map(|&text| text.to_owned()).collect(),
        tools: (0..tools).map(tool).collect(),
        messages,
        marks: Vec::new(),
        extra: Cow::Owned(Map::new()),
    }
}

fn conversation(turns: usize) -> Conversation {
    let mut c = Conversation::new();
    for turn in 0..turns {
        c.say(format!("prompt {turn}"));
        c.reply(&Message::assistant(vec![Block::text("Yes.")]));
    }
    c.say("and now?");
    c
}

fn places(request: &Request<'_>) -> Vec<CachePosition> {
    place(request, CacheLife::FiveMinutes).into_iter().map(|mark| mark.place).collect()
}

#[test]
fn four_marks_stand_behind_tools_and_system_and_the_two_newest_of_the_users_messages() {
    let c = conversation(3);
    let at = |message, block| CachePosition::Message { message, block };
    let of = |tools, system: &[&str]| places(&request(tools, system, c.messages()));
    assert_eq!(
        of(6, &["a", "b"]),
        [CachePosition::Tool(5), CachePosition::System(1), at(4, 0), at(6, 0)]
    );
    assert_eq!(of(0, &["a"]), [CachePosition::System(0), at(4, 0), at(6, 0)]);
    assert_eq!(of(1, &[]), [CachePosition::Tool(0), at(4, 0), at(6, 0)]);
    // An empty block may have no mark.
    assert_eq!(of(0, &["a", ""]), [CachePosition::System(0), at(4, 0), at(6, 0)]);
    assert_eq!(places(&request(0, &[], conversation(0).messages())), [at(0, 0)]);
    assert_eq!(places(&request(0, &[""], &[])), []);
}

#[test]
fn a_block_that_may_have_no_mark_hands_it_to_the_one_before() {
    let other =
        json!({"type": "image", "source": {"type": "url", "url": "https://example.invalid/a.png"}});
    let other: Block = serde_json::from_value(other).unwrap();
    for last in [Block::text(""), other] {
        let content = vec![Block::text("look"), last];
        let messages = [Message::new(Role::User, content)];
        assert_eq!(
            places(&request(0, &[], &messages)),
            [CachePosition::Message { message: 0, block: 0 }]
        );
    }
    let messages = [Message::new(Role::User, vec![Block::text("")])];
    assert_eq!(places(&request(0, &[], &messages)), []);
}

#[test]
fn a_mark_of_somebody_elses_takes_one_of_the_four_places() {
    let c = conversation(2);
    let mut request = request(2, &["a"], c.messages());
    request.extra.to_mut().insert("cache_control".to_owned(), json!({"type": "ephemeral"}));
    let last = CachePosition::Message { message: 4, block: 0 };
    assert_eq!(places(&request), [CachePosition::Tool(1), CachePosition::System(0), last]);
}

#[test]
fn what_is_kept_for_an_hour_stands_before_what_is_kept_for_five_minutes() {
    let server = StrictServer::start(Answers::from(vec![Answer::text("a"), Answer::text("b")]));
    over_the_wire(&server, &["--hour"], "one\ntwo\nq\n");
    // The server refuses another order; here is what it got.
    let body = &server.requests()[1];
    let hour = json!({"type": "ephemeral", "ttl": "1h"});
    assert_eq!(body["tools"][5]["cache_control"], hour);
    assert_eq!(body["system"][0]["cache_control"], hour);
    let last = body["messages"].as_array().unwrap().last().unwrap();
    assert_eq!(last["content"][0]["cache_control"], json!({"type": "ephemeral"}));
}

// ---- hits and misses

/// Keeps what a ledger would tell, request by request.
#[derive(Clone, Default)]
struct Book(Arc<Mutex<Pages>>);

#[derive(Default)]
struct Pages {
    ledger: Ledger,
    prefix: CachedPrefix,
    told: Vec<String>,
}

impl Hook for Book {
    fn shape_request(&self, request: &mut Request<'_>, _: &HookContext<'_>) {
        request.marks = place(request, CacheLife::FiveMinutes);
        let Pages { ledger, prefix, .. } = &mut *self.0.lock().unwrap();
        ledger.sent(prefix, request, Instant::now());
    }
}

impl Observer for Book {
    fn on(&self, _: &str, event: &Event) {
        if let Event::Replied(reply) = event {
            let Pages { ledger, prefix, told } = &mut *self.0.lock().unwrap();
            told.extend(ledger.answered(prefix, &reply.usage));
        }
    }
}

impl Book {
    fn on(stage: &mut Stage) -> Self {
        let book = Self::default();
        stage.agent.hooks.push(Arc::new(book.clone()));
        stage.agent.observers.add(Arc::new(book.clone()));
        stage.agent.system.push("Be careful with figures. ".repeat(100));
        book
    }

    fn told(&self) -> Vec<String> {
        self.0.lock().unwrap().told.clone()
    }
}

/// A read looks back twenty blocks. Forty calls in one reply are eighty blocks.
#[tokio::test]
async fn an_entry_is_found_however_many_calls_one_reply_makes() {
    let call = "{tool: glob, input: {pattern: '*.none'}}";
    let calls = vec![call; 40].join(", ");
    let mut stage =
        Stage::lines(&format!("- calls: [{calls}]\n- calls: [{calls}]\n- {{text: Done.}}"));
    let book = Book::on(&mut stage);
    stage.play().await;
    let told = book.told();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].starts_with("[cache] MISS"), "{told:?}");
    assert!(told[1..].iter().all(|line| line.starts_with("[cache] HIT")), "{told:?}");
}

/// Between two requests somebody changes what the agent is.
async fn changed(change: impl FnOnce(&mut Agent, &mut Conversation)) -> Vec<String> {
    let mut stage = Stage::new(
        "prompt: [one, two]\nscenes:\n- {said: one, lines: [{text: First.}]}\n- {said: two, lines: [{text: Second.}]}",
    );
    stage.witness = stage.witness.clone().allow_rewrites();
    let book = Book::on(&mut stage);
    stage.say("one").await.unwrap();
    change(&mut stage.agent, &mut stage.conversation);
    stage.say("two").await.unwrap();
    book.told().split_off(1)
}

fn why(told: &[String]) -> &str {
    assert_eq!(told.len(), 2, "{told:?}");
    told[1].split_once(" tokens were still there: ").expect("a reason").1
}

#[tokio::test]
async fn an_unexpected_miss_names_the_first_block_that_changed() {
    let told = changed(|agent, _| agent.system.push_for_family("It is Monday.")).await;
    assert_eq!(why(&told), "system block 1 is the first that changed");
    let told = changed(|agent, _| agent.system.push("It is noon.")).await;
    assert_eq!(why(&told), "system block 2 stands where message 1, block 1 stood");
    assert!(told[0].starts_with("[cache] HIT → "), "what stands before it is there: {told:?}");
    let told = changed(|agent, _| agent.model_id = "claude-opus-4-8".to_owned()).await;
    assert!(why(&told).starts_with("the model changed, from "), "{told:?}");
    assert!(told[0].starts_with("[cache] MISS → "), "{told:?}");
    assert_eq!(changed(|_, _| {}).await.len(), 1, "and where nothing changed, nothing is said");
}

/// An MCP server comes back with one tool more.
#[tokio::test]
async fn a_tool_that_comes_in_between_is_named() {
    let told = changed(|agent, _| agent.tools.add(Another)).await;
    assert_eq!(why(&told), "tool 7 (`another`) stands where system block 1 stood");
    assert!(told[0].starts_with("[cache] MISS → "), "{told:?}");
}

struct Another;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Nothing {}

impl harness_core::Tool for Another {
    const NAME: &'static str = "another";
    const ABOUT: &'static str = "One more tool.";
    type Input = Nothing;

    async fn call(
        &self,
        _: Nothing,
        _: &harness_core::ToolContext,
    ) -> Result<Content, harness_core::ToolError> {
        Ok("done".to_owned().into())
    }
}

#[tokio::test]
async fn a_compaction_is_named_by_the_message_it_begins_with() {
    let told = changed(|_, c| {
        let cut = c.cut(0).expect("a place to cut at");
        c.compact(cut, "They said one.".to_owned());
    })
    .await;
    assert_eq!(why(&told), "message 1, block 1 is the first that changed");
    assert!(told[0].starts_with("[cache] HIT → "), "tools and system are still there: {told:?}");
}

/// What a ledger says of two requests, so long apart, of which the second reads so much.
fn apart(seconds: u64, read: u64) -> Vec<String> {
    let c = conversation(1);
    let mut request = request(2, &["a"], c.messages());
    request.marks = place(&request, CacheLife::FiveMinutes);
    let mut ledger = Ledger::default();
    let mut prefix = CachedPrefix::default();
    let now = Instant::now();
    ledger.sent(&mut prefix, &request, now);
    ledger.answered(&mut prefix, &usage(10, 0, 2_000));
    ledger.sent(&mut prefix, &request, now + Duration::from_secs(seconds));
    ledger.answered(&mut prefix, &usage(10, read, 2_000 - read))
}

fn usage(input_tokens: u64, read: u64, written: u64) -> Usage {
    Usage {
        input_tokens,
        cache_read_input_tokens: read,
        cache_creation_input_tokens: written,
        ..Usage::default()
    }
}

#[test]
fn an_entry_that_has_ended_is_told_by_the_time_that_passed() {
    assert_eq!(why(&apart(420, 0)), "nothing changed, but 7 minutes passed, and 5 are kept");
    assert_eq!(why(&apart(10, 0)), "nothing changed here; the server has let go of it");
    assert_eq!(apart(420, 2_000).len(), 1, "somebody else has kept it alive");
}

#[test]
fn after_a_long_pause_only_what_is_kept_for_an_hour_is_read() {
    for (flags, result) in [(&[][..], "MISS"), (&["--hour"][..], "HIT")] {
        let (clock, program) = (Clock::by_hand(), program());
        let answers = vec![Answer::text("First."), Answer::text("Second.")];
        let server = StrictServer::start(Answers::from(answers));
        server.cache(500, clock.clone());
        let mut command = program.command();
        command.args(flags).env("ANTHROPIC_BASE_URL", server.base_url());
        command.env("ANTHROPIC_API_KEY", KEY);
        let terminal = Terminal::start(command, 100, 40);
        terminal.wait_for("s20 >>");
        terminal.line("one");
        terminal.wait_for("[cache summary] 1 call");
        clock.advance(Duration::from_secs(7 * 60));
        terminal.line("two");
        let shown = terminal.wait_for("[cache summary] 2 calls");
        let second = shown.split("Second.").nth(1).unwrap();
        assert!(second.contains(&format!("[cache] {result} → ")), "{shown}");
        assert!(second.contains(" tokens were still there: "), "{shown}");
    }
}

// ---- the books

/// The original marked the system prompt and the last tool, some 400 tokens: fewer than any model keeps, so
/// that nothing was ever cached, and its README showed hits that could not occur.
#[test]
fn the_conversation_is_marked_too_so_that_the_prefix_outgrows_every_minimum() {
    let long = "All of this has to be read again with each request. ".repeat(60);
    let answers: Vec<Answer> = (0..8).map(|_| Answer::text(&long)).collect();
    let server = StrictServer::start(Answers::from(answers));
    server.cache(4_096, Clock::real()); // the highest there is
    let said = over_the_wire(&server, &[], &("go on\n".repeat(8) + "q\n"));
    let lines = cache_lines(&said);
    assert!(lines[0].starts_with("[cache] NONE → "), "{said}");
    assert!(lines.iter().any(|line| line.starts_with("[cache] MISS → 4,")), "{said}");
    assert!(lines.iter().filter(|line| line.starts_with("[cache] HIT → ")).count() >= 2, "{said}");
}

#[test]
fn below_the_models_minimum_it_warns_once() {
    let warnings = |model: &str| {
        let server = StrictServer::start(Answers::from(vec![Answer::text("a"), Answer::text("b")]));
        server.cache(4_096, Clock::real());
        let said = over_the_wire(&server, &["--model", model], "one\ntwo\nq\n");
        let warned = said.lines().filter(|line| line.contains("nothing is cached: "));
        timeless(&warned.collect::<Vec<_>>().join("\n"))
    };
    expect!["[cache] nothing is cached: 9 tokens9 and claude-haiku-9-9 keeps no prefix below 9"]
        .assert_eq(&warnings("claude-haiku-4-5"));
    expect!["[cache] nothing is cached: 9 tokens may be too few for claude-haiku-9-9; others want 9 to 9"]
        .assert_eq(&warnings("claude-haiku-5-5"));
    expect![
        "[cache] nothing is cached: 9 tokens are enough9 but the server seems to have no cache"
    ]
    .assert_eq(&warnings("claude-opus-5"));
}

/// The original printed MISS for it.
#[test]
fn a_request_that_reads_and_writes_is_a_hit() {
    let line = |usage| Call::new(&usage, "claude-opus-4-8").line();
    assert_eq!(
        line(usage(5, 1_847, 312)),
        "[cache] HIT → 1,847 tokens read (saved ~1,662 tokens), 312 written"
    );
    assert_eq!(line(usage(5, 1_847, 0)), "[cache] HIT → 1,847 tokens read (saved ~1,662 tokens)");
    assert_eq!(line(usage(5, 0, 1_847)), "[cache] MISS → 1,847 tokens written");
    assert_eq!(line(usage(500, 0, 0)), "[cache] NONE → 500 tokens at full price");
}

fn ledger(model: &str, usages: &[Usage]) -> Ledger {
    let c = conversation(0);
    let mut ledger = Ledger::default();
    let mut prefix = CachedPrefix::default();
    for usage in usages {
        let request = Request { model, ..request(1, &["a"], c.messages()) };
        ledger.sent(&mut prefix, &request, Instant::now());
        ledger.answered(&mut prefix, usage);
    }
    ledger
}

/// The original left it out: a prefix that is written and never read costs more than none.
#[test]
fn what_writing_costs_more_is_taken_off_what_was_saved() {
    let once = ledger("claude-opus-4-8", &[usage(0, 0, 1_847)]);
    expect!["[cache summary] 1 call | written=1,847 | hits=0 | total saved≈-462 tokens\n[cache cost] $0.0115 for prompts, instead of $0.0092"]
        .assert_eq(&once.summary().join("\n"));
    let hits = [usage(0, 1_847, 0); 5];
    let six = ledger("claude-opus-4-8", &[&[usage(0, 0, 1_847)][..], &hits].concat());
    expect!["[cache summary] 6 calls | written=1,847 | hits=5 | total saved≈7,850 tokens\n[cache cost] $0.0162 for prompts, instead of $0.0554"]
        .assert_eq(&six.summary().join("\n"));
    // For an hour it costs twice the price of a prompt.
    let hour = Usage { cache_creation_1h_tokens: 1_847, ..usage(0, 0, 1_847) };
    let [summary, _] = ledger("claude-opus-4-8", &[hour]).summary();
    assert!(summary.contains("total saved≈-1,847 tokens"), "{summary}");
}

#[test]
fn the_discount_is_that_of_the_model() {
    let saved = |model: &str, usage: Usage| Call::new(&usage, model).line();
    let hit = |model: &str| saved(model, usage(0, 10_000, 0));
    assert!(hit("claude-sonnet-5-5").contains("(saved ~9,500 tokens)"));
    assert!(hit("claude-sonnet-4-6").contains("(saved ~9,000 tokens)"));
    assert!(hit("claude-fable-5-1").contains("(saved ~9,750 tokens)"));
    assert_eq!(hit("llama-at-home"), "[cache] HIT → 10,000 tokens read", "no price, no claim");
    // A prompt of more than 100,000 tokens costs five times as much, read or not.
    let [_, long] = ledger("claude-haiku-5-5", &[usage(0, 200_000, 0)]).summary();
    assert_eq!(long, "[cache cost] $0.0100 for prompts, instead of $0.1000");
    let unknown = ledger("llama-at-home", &[usage(0, 10_000, 0)]);
    let [tokens, dollars] = unknown.summary();
    assert!(tokens.ends_with("total saved≈? tokens"), "{tokens}");
    assert_eq!(dollars, "[cache cost] ? for prompts, instead of ?");
    assert!(unknown.table().ends_with("the prices of llama-at-home are not known"));
    assert!(Ledger::default().table().ends_with("\nno model was asked yet"));
}

#[test]
fn the_table_shows_the_newest_calls_on_forty_columns() {
    let calls: Vec<Usage> = (0..30).map(|n| usage(7, n * 10_000, 1_000_000)).collect();
    let table = ledger("claude-opus-4-8", &calls).table();
    let rows: Vec<&str> = table.lines().take_while(|line| !line.starts_with('[')).collect();
    assert_eq!(rows.len(), 21);
    assert!(rows.iter().all(|row| row.chars().count() <= 40), "{table}");
    assert_eq!(rows[20], "  30 HIT    290,000 1,000,000   $0.0550");
}

#[test]
fn missing_figures_are_said_once_and_break_nothing() {
    let none = ledger("claude-opus-4-8", &[Usage::default(), Usage::default()]);
    assert!(none.summary()[0].contains("2 calls | written=0 | hits=0"));
    let answers = vec![Answer::text("a"), Answer::text("b")];
    let server = StrictServer::start(Answers::from(answers));
    server.fault(1, Fault::UsageNulls).fault(2, Fault::UsageNulls);
    let said = over_the_wire(&server, &[], "one\ntwo\nq\n");
    assert_eq!(said.matches("nothing is cached").count(), 1, "{said}");
    assert!(!said.contains("still there"), "{said}");
}

#[test]
fn a_server_that_refuses_marks_gets_none_from_then_on() {
    let body = json!({"type": "error", "error": {"type": "invalid_request_error",
        "message": "tools.5.cache_control: Extra inputs are not permitted"}});
    let refusal = Fault::Status { code: 400, headers: vec![], body: body.to_string() };
    let server = StrictServer::start(Answers::from(vec![Answer::text("Good day.")]));
    server.fault(1, refusal);
    let said = over_the_wire(&server, &[], "hello\nhello\nq\n");
    assert!(
        said.contains("[cache] this server refuses marks; the next request has none"),
        "{said}"
    );
    assert!(said.contains("Good day."), "{said}");
    let requests = server.requests();
    assert!(canonical(&requests[0]["tools"]).contains("cache_control"));
    assert!(!requests[1].to_string().contains("cache_control"));
}

#[test]
fn the_time_in_the_system_prompt_costs_every_hit_and_is_named() {
    let program = program();
    let mut command = program.command();
    command.arg("--clock");
    let output = Program::pipe(command, "\n\n\nq\n");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.matches("[cache] HIT").count(), 0, "{said}");
    assert!(said.matches("system block 2 is the first that changed").count() >= 3, "{said}");
    assert!(said.contains("total saved≈-"), "{said}");
}

#[test]
fn marks_never_get_into_the_history() {
    let c = conversation(2);
    let mut request = request(2, &["a"], c.messages());
    let plain = serde_json::to_value(&request).unwrap();
    request.marks = place(&request, CacheLife::OneHour);
    let marked = serde_json::to_value(&request).unwrap();
    assert_ne!(plain, marked);
    assert!(!serde_json::to_string(c.messages()).unwrap().contains("cache_control"));
    assert_eq!(request.marks.len(), 4);
}
