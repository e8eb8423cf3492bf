//! The lesson, played; then the hard cases.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use expect_test::expect;
use futures_util::future::join_all;
use harness_core::host::journal::Journal;
use harness_core::{
    AgentError, Chat, Conversation, Effect, Event, Next, Policy, Runner, Schedule, Secrets,
    ToolCall, ToolResult, TurnLayer, TurnOutcome, Verdict,
};
use harness_testkit::{
    Folder, Key, Notices, Program, Stage, Terminal, hash_in, outputs, transcript,
};
use s16_event_bus::{BUILT_IN, EventBus, HookDecision, HookEvent, HookEventKind, LESSON, OWN};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

// ---------------------------------------------------------------- the play

/// The hooks that the play brings along, for those who trust them.
fn own() -> String {
    let yaml: Value = serde_yaml::from_str(LESSON.play).unwrap();
    yaml["setup"]["files"][OWN].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_play() {
    let mut stage = Stage::new(LESSON.play);
    let bus = EventBus::new(&stage.agent);
    bus.load(BUILT_IN, "config/hooks.yaml").unwrap();
    bus.load(&own(), OWN).unwrap();
    stage = stage.with(bus);
    expect![[r#"
        human: Let greet.sh greet in French.
        model: The word stands in vendor/words.sh, so I change it there.
          call edit {"path":"vendor/words.sh","old_string":"hello=Hello","new_string":"hello=Bonjour"}
          error denied: vendor/ is copied from elsewhere: leave it as it is, and change what uses it
        model: That was refused, and for a good reason. I change what uses it.
          call edit {"path":"greet.sh","old_string":"echo","new_string":"hello=Bonjour\necho"}
          result changed greet.sh once:
                 1	. vendor/words.sh
                 2	hello=Bonjour
                 3	echo "$hello, ${1:-world}!"
        model: greet.sh greets in French.
        note: You are not done: run sh test.sh before you stop
        model: I said so without having tried it.
          call bash {"command":"sh test.sh"}
          result passed
        model: Tested, and it greets in French.
    "#]].assert_eq(&stage.play().await);
    assert_eq!(stage.folder.read("vendor/words.sh"), "hello=Hello\n");
}

fn program() -> Program {
    Program::new(env!("CARGO_BIN_EXE_s16_event_bus"), LESSON.play)
}

/// What a program prints on this input, its times and places made equal.
fn printed(program: &Program, input: &str) -> String {
    let printed = Program::printed(program.command(), input);
    printed.replace(&program.folder.path().display().to_string(), "FOLDER")
}

#[test]
fn the_readme_shows_what_the_program_prints() {
    let program = program();
    let shown = outputs(include_str!("../README.md"));
    let untrusted = printed(&program, "\n:stats\n:trust\nq\n");
    assert!(untrusted.contains(shown[0]), "{}\n---\n{untrusted}", shown[0]);
    assert!(untrusted.contains(shown[1]), "{}\n---\n{untrusted}", shown[1]);

    let again = Program::new(env!("CARGO_BIN_EXE_s16_event_bus"), LESSON.play);
    let trusting = printed(&again, &format!(":trust {}\n\nq\n", hash_in(&untrusted)));
    assert!(trusting.contains(shown[2]), "{}\n---\n{trusting}", shown[2]);
    let log = again.folder.read(".agent_events.log");
    let kinds = |line: &str| serde_json::from_str::<Value>(line).unwrap()["event"].clone();
    let shown: Vec<Value> = shown[3].lines().map(kinds).collect();
    let kinds: Vec<Value> = log.lines().map(kinds).collect();
    assert!(kinds.windows(shown.len()).any(|some| some == shown), "{shown:?} in {kinds:?}");
}

#[test]
fn the_binary_plays_it_through_a_pipe_and_over_the_wire() {
    for play in [Program::play, Program::play_over_the_wire] {
        let program = program();
        let said = play(&program);
        assert!(said.contains("  denied: vendor/ is copied from elsewhere"), "{said}");
        assert!(said.contains("greet.sh greets in French.\n"), "{said}");
    }
}

#[test]
fn the_play_in_a_terminal() {
    let program = program();
    let mut terminal = Terminal::start(program.command(), 100, 40);
    terminal.wait_for("s16 >>");
    terminal.key(Key::Enter);
    terminal.wait_for("denied: vendor/ is copied from elsewhere");
    terminal.wait_for("greet.sh greets in French.");
    terminal.line(":stats");
    terminal.wait_for("PreToolUse if grep");
    terminal.line("q");
    assert!(terminal.wait_for_end().success());
}

// ---------------------------------------------------------------- helpers

/// A file with one hook; `more` goes on in its braces.
fn hook(kind: &str, command: &str, more: &str) -> String {
    let command = json!(command);
    format!("hooks: {{{kind}: [{{hooks: [{{type: command, command: {command}{more}}}]}}]}}")
}

/// One turn of a stage with a bus, through the bus's own turn, and what the user was told meanwhile.
struct Turned {
    stage: Stage,
    bus: EventBus,
    chat: Chat,
    notices: Notices,
}

impl Turned {
    fn new(lines: &str) -> Self {
        Self::on(Stage::lines(lines))
    }

    fn on(stage: Stage) -> Self {
        let (bus, notices) = (EventBus::new(&stage.agent), Notices::default());
        let mut agent = stage.agent.clone().with(bus.clone());
        agent.observers.add(Arc::new(notices.clone()));
        Self { stage, bus, chat: Chat { agent, conversation: Conversation::new() }, notices }
    }

    /// The same with these hooks.
    fn hooked(lines: &str, hooks: &[String]) -> Self {
        let turned = Self::new(lines);
        for (number, hooks) in hooks.iter().enumerate() {
            turned.bus.load(hooks, &format!("test {number}")).unwrap();
        }
        turned
    }

    async fn say(&mut self, prompt: &str) -> Result<TurnOutcome, AgentError> {
        self.chat.agent.emit(&Event::Prompt(prompt.to_owned()));
        let cancel = CancellationToken::new();
        self.bus.turn(prompt.into(), &mut self.chat, &cancel, Next::default()).await
    }

    async fn go(&mut self) -> String {
        self.say("go").await.unwrap();
        self.transcript()
    }

    fn transcript(&self) -> String {
        transcript(self.chat.conversation.messages())
    }

    fn notices(&self) -> Vec<String> {
        self.notices.all()
    }

    fn log(&self) -> Vec<Value> {
        let log = Journal::<Value>::new(self.stage.folder.path().join(".agent_events.log"));
        log.read().unwrap().records.into_iter().map(|record| record.value).collect()
    }
}

const RUN: &str = "- calls: [{tool: bash, input: {command: echo it ran | tee ran}}]\n- {text: Done.}\n- {text: Again.}\n";
const FAIL: &str = "- calls: [{tool: bash, input: {command: touch ran; exit 7}}]\n- {text: Done.}\n- {text: Again.}\n";

// ---------------------------------------------------------------- every end of a program, at every event

/// What came of a turn, in a line.
async fn outcome(kind: &str, command: &str, more: &str) -> String {
    let lines = if kind == "PostToolUseFailure" { FAIL } else { RUN };
    let mut turned = Turned::hooked(lines, &[hook(kind, command, more)]);
    turned.chat.agent.emit(&Event::SessionStarted);
    let ended = turned.say("go").await;
    let mut parts = Vec::new();
    if let Err(error) = ended {
        parts.push(format!("{error}"));
    }
    if !turned.stage.folder.has("ran") {
        parts.push("not run".to_owned());
    }
    let lines = turned.transcript();
    let heard = lines.lines().filter_map(|line| {
        let line = line.trim();
        line.strip_prefix("error denied: ").or(line.strip_prefix("note: "))
    });
    parts.extend(heard.map(str::to_owned));
    parts.extend(turned.notices().into_iter().map(|notice| format!("(user: {notice})")));
    if parts.is_empty() { "goes on".to_owned() } else { parts.join("; ") }
}

#[tokio::test]
async fn every_end_of_a_hook_at_every_event() {
    const ENDS: [(&str, &str); 7] = [
        ("exit 0", "exit 0"),
        ("exit 1", "echo why >&2; exit 1"),
        ("exit 2", "echo why >&2; exit 2"),
        ("exit 127", "exit 127"),
        ("signal", "kill -9 $$"),
        ("timeout", "sleep 60"),
        ("garbage", "echo '{\"decision\": '"),
    ];
    let row = async |kind: &'static str, more: &'static str| {
        let cells = ENDS.map(|(end, command)| async move {
            let timeout = if end == "timeout" { ", timeout: 1" } else { "" };
            let said = outcome(kind, command, &format!("{timeout}{more}")).await;
            let said = said.replace(&format!("the hook `{command}` failed"), "FAILED");
            format!("  {end:<8}  {said}\n")
        });
        format!("{kind}{more}\n{}", join_all(cells).await.concat())
    };
    let table = join_all([
        row("PreToolUse", ""),
        row("PreToolUse", ", on_failure: allow"),
        row("UserPromptSubmit", ""),
        row("UserPromptSubmit", ", on_failure: block"),
        row("PostToolUse", ""),
        row("PostToolUseFailure", ""),
        row("Stop", ""),
        row("SessionStart", ""),
    ]);
    expect![[r#"
        PreToolUse
          exit 0    goes on
          exit 1    not run; FAILED: exit code 1, why; blocked, because it could not be checked
          exit 2    not run; why
          exit 127  not run; FAILED: exit code 127; blocked, because it could not be checked
          signal    not run; FAILED: ended by signal 9; blocked, because it could not be checked
          timeout   not run; FAILED: no answer after 1 s; blocked, because it could not be checked
          garbage   not run; FAILED: its answer cannot be used (EOF while parsing a value at line 1 column 12); blocked, because it could not be checked
        PreToolUse, on_failure: allow
          exit 0    goes on
          exit 1    (user: FAILED: exit code 1, why)
          exit 2    not run; why
          exit 127  (user: FAILED: exit code 127)
          signal    (user: FAILED: ended by signal 9)
          timeout   (user: FAILED: no answer after 1 s)
          garbage   (user: FAILED: its answer cannot be used (EOF while parsing a value at line 1 column 12))
        UserPromptSubmit
          exit 0    goes on
          exit 1    (user: FAILED: exit code 1, why)
          exit 2    a hook refused the prompt: why; not run
          exit 127  (user: FAILED: exit code 127)
          signal    (user: FAILED: ended by signal 9)
          timeout   (user: FAILED: no answer after 1 s)
          garbage   (user: FAILED: its answer cannot be used (EOF while parsing a value at line 1 column 12))
        UserPromptSubmit, on_failure: block
          exit 0    goes on
          exit 1    a hook refused the prompt: FAILED: exit code 1, why; blocked, because it could not be checked; not run
          exit 2    a hook refused the prompt: why; not run
          exit 127  a hook refused the prompt: FAILED: exit code 127; blocked, because it could not be checked; not run
          signal    a hook refused the prompt: FAILED: ended by signal 9; blocked, because it could not be checked; not run
          timeout   a hook refused the prompt: FAILED: no answer after 1 s; blocked, because it could not be checked; not run
          garbage   a hook refused the prompt: FAILED: its answer cannot be used (EOF while parsing a value at line 1 column 12); blocked, because it could not be checked; not run
        PostToolUse
          exit 0    goes on
          exit 1    (user: FAILED: exit code 1, why)
          exit 2    A hook says: why
          exit 127  (user: FAILED: exit code 127)
          signal    (user: FAILED: ended by signal 9)
          timeout   (user: FAILED: no answer after 1 s)
          garbage   (user: FAILED: its answer cannot be used (EOF while parsing a value at line 1 column 12))
        PostToolUseFailure
          exit 0    goes on
          exit 1    (user: FAILED: exit code 1, why)
          exit 2    A hook says: why
          exit 127  (user: FAILED: exit code 127)
          signal    (user: FAILED: ended by signal 9)
          timeout   (user: FAILED: no answer after 1 s)
          garbage   (user: FAILED: its answer cannot be used (EOF while parsing a value at line 1 column 12))
        Stop
          exit 0    goes on
          exit 1    (user: FAILED: exit code 1, why)
          exit 2    You are not done: why; You are not done: why; You are not done: why; (user: the model may stop although a hook has sent it back 3 times: why)
          exit 127  (user: FAILED: exit code 127)
          signal    (user: FAILED: ended by signal 9)
          timeout   (user: FAILED: no answer after 1 s)
          garbage   (user: FAILED: its answer cannot be used (EOF while parsing a value at line 1 column 12))
        SessionStart
          exit 0    goes on
          exit 1    (user: FAILED: exit code 1, why)
          exit 2    goes on
          exit 127  (user: FAILED: exit code 127)
          signal    (user: FAILED: ended by signal 9)
          timeout   (user: FAILED: no answer after 1 s)
          garbage   (user: FAILED: its answer cannot be used (EOF while parsing a value at line 1 column 12))
    "#]].assert_eq(&table.await.concat());
}

#[tokio::test]
async fn a_hook_that_is_not_there_blocks_with_its_name() {
    let hooks =
        "hooks: {PreToolUse: [{hooks: [{type: command, command: ./no-such-hook, args: []}]}]}";
    let mut turned = Turned::hooked(RUN, &[hooks.to_owned()]);
    let said = turned.go().await;
    assert!(
        said.contains("error denied: the hook `./no-such-hook` failed: cannot start"),
        "{said}"
    );
    assert!(!turned.stage.folder.has("ran"));
}

#[tokio::test]
async fn a_hook_that_runs_out_of_time_is_ended_with_all_its_children() {
    let command = "(read line < pipe; echo alive > told) & sleep 60";
    let mut turned = Turned::hooked(RUN, &[hook("PreToolUse", command, ", timeout: 1")]);
    let pipe = turned.stage.folder.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    let said = turned.go().await;
    assert!(said.contains("no answer after 1 s"), "{said}");
    // Nobody has the pipe open for reading: whoever did is gone.
    let mut options = std::fs::OpenOptions::new();
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    std::os::unix::fs::OpenOptionsExt::custom_flags(options.write(true), nonblock);
    let error = options.open(pipe).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::NXIO.raw_os_error()));
}

#[tokio::test]
async fn an_interrupt_ends_the_hooks_and_the_call_is_answered() {
    let mut turned = Turned::hooked(RUN, &[hook("PreToolUse", "sleep 60", "")]);
    let cancel = CancellationToken::new();
    let interrupt = cancel.clone();
    // It is asked at the same time as the program, which runs already when this returns.
    turned.bus = turned.bus.on(HookEventKind::PreToolUse, move |_| {
        interrupt.cancel();
        HookDecision::default()
    });
    let stop = turned.bus.turn("go".into(), &mut turned.chat, &cancel, Next::default()).await;
    assert_eq!(stop, Ok(TurnOutcome::Interrupted));
    assert!(turned.transcript().contains("error denied: the user interrupted"));
    assert!(turned.chat.conversation.calls().is_empty());
}

// ---------------------------------------------------------------- the original's defects

#[tokio::test]
async fn a_security_hook_that_raises_lets_nothing_run() {
    let mut turned = Turned::new(RUN);
    let raise = |_: &HookEvent| -> HookDecision { panic!("as asked") };
    turned.bus = turned.bus.on(HookEventKind::PreToolUse, raise);
    let said = turned.go().await;
    assert!(said.contains("error denied: the hook `a function` failed: it panicked"), "{said}");
    assert!(!turned.stage.folder.has("ran"));
}

#[tokio::test]
async fn an_empty_tool_input_ends_no_loop_and_leaves_no_call_open() {
    let lines = "- calls: [{tool: bash}, {tool: glob, input: {pattern: '*'}}]\n- {text: I see.}";
    let mut turned = Turned::hooked(lines, &[hook("PreToolUse", "exit 0", "")]);
    assert_eq!(turned.say("go").await, Ok(TurnOutcome::Answered("I see.".to_owned())));
    assert!(turned.transcript().contains("missing field `command`"), "{}", turned.transcript());
    let failed: Vec<Value> =
        turned.log().into_iter().filter(|line| line["event"] == "PostToolUseFailure").collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["tool_input"], json!({}));
}

#[tokio::test]
async fn the_reason_of_a_no_reaches_the_model() {
    let json = json!({"hookSpecificOutput": {"permissionDecision": "deny",
        "permissionDecisionReason": "not on \u{1b}[31mFridays\u{1b}[0m"}});
    let hooks = [hook("PreToolUse", &format!("echo '{json}'"), "")];
    let said = Turned::hooked(RUN, &hooks).go().await;
    assert!(said.contains("error denied: not on Fridays\n"), "{said}");
}

#[tokio::test]
async fn the_session_starts_once_however_many_prompts_there_are() {
    let program = program();
    let hooks = hook("SessionStart", "echo start >> starts; echo It is Friday.", "");
    program.folder.write("hooks/hooks.yaml", &hooks);
    program.folder.write("hooks/permissions.yaml", harness_core::Rules::BUILT_IN);
    let mut command = program.command();
    command.arg("--config").arg(program.folder.path().join("hooks"));
    let output = Program::pipe(command, "one\ntwo\nthree\nq\n");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(program.folder.read("starts"), "start\n");
}

#[tokio::test]
async fn two_calls_of_one_tool_at_a_time_are_timed_apart() {
    let lines = "
- calls: [{tool: bash, input: {command: mkfifo p; read line < p}}, {tool: bash, input: {command: 'while [ ! -p p ]; do :; done; echo go > p'}}]
- {text: Done.}";
    let mut turned = Turned::new(lines);
    turned.chat.agent.schedule = Arc::new(AllAtOnce);
    turned.go().await;
    let ended = turned.log().into_iter().filter(|line| line["event"] == "PostToolUse");
    let ended: Vec<(Value, bool)> =
        ended.map(|line| (line["tool_use_id"].clone(), line["duration_ms"].is_u64())).collect();
    assert_eq!(ended.len(), 2);
    assert_ne!(ended[0].0, ended[1].0);
    assert!(ended.iter().all(|(_, timed)| *timed), "{ended:?}");
}

// ---------------------------------------------------------------- verdicts

struct Judge(fn(&str) -> Verdict);

impl Policy for Judge {
    fn rule_on(&self, call: &ToolCall, _: &Effect, _: &Path) -> Verdict {
        self.0(call.input.get("command").and_then(Value::as_str).unwrap_or_default())
    }
}

fn rewrite(command: &str) -> String {
    let input = json!({"command": command});
    let json =
        json!({"hookSpecificOutput": {"permissionDecision": "allow", "updatedInput": input}});
    hook("PreToolUse", &format!("echo '{json}'"), "")
}

#[tokio::test]
async fn an_allow_of_a_hook_never_beats_a_deny_nor_a_question() {
    for (rule, said) in [
        (Verdict::Deny("rule 7".to_owned()), "error denied: rule 7\n"),
        (Verdict::Ask("rule 8".to_owned()), "nobody is there to give it (rule 8)\n"),
    ] {
        let mut turned = Turned::hooked(RUN, &[rewrite("echo it ran | tee ran")]);
        turned.chat.agent.gate.policy = match rule {
            Verdict::Deny(_) => Arc::new(Judge(|_| Verdict::Deny("rule 7".to_owned()))),
            _ => Arc::new(Judge(|_| Verdict::Ask("rule 8".to_owned()))),
        };
        let transcript = turned.go().await;
        assert!(transcript.contains(said), "{transcript}");
        assert!(!turned.stage.folder.has("ran"));
    }
}

#[tokio::test]
async fn a_rewritten_call_is_checked_and_judged_as_it_will_run() {
    let mut turned = Turned::hooked(RUN, &[rewrite("echo other")]);
    turned.chat.agent.gate.policy = Arc::new(Judge(|line| match line {
        "echo other" => Verdict::Deny("not the other".to_owned()),
        _ => Verdict::Allow,
    }));
    let said = turned.go().await;
    assert!(said.contains("error denied: not the other"), "{said}");

    let said = Turned::hooked(RUN, &[rewrite("echo other")]).go().await;
    assert!(said.contains("  result other\n"), "{said}");

    let odd = hook(
        "PreToolUse",
        "echo '{\"hookSpecificOutput\": {\"updatedInput\": {\"line\": \"ls\"}}}'",
        "",
    );
    let said = Turned::hooked(RUN, &[odd]).go().await;
    assert!(said.contains("error the input of `bash` does not fit"), "{said}");
}

#[tokio::test]
async fn a_guard_judges_what_another_hook_wrote() {
    let guard =
        hook("PreToolUse", "grep -q forbidden && { echo guarded >&2; exit 2; }; exit 0", "");
    for hooks in [[guard.clone(), rewrite("echo forbidden")], [rewrite("echo forbidden"), guard]] {
        let said = Turned::hooked(RUN, &hooks).go().await;
        assert!(said.contains("error denied: guarded"), "{said}");
    }
}

#[tokio::test]
async fn hooks_that_rewrite_against_each_other_are_a_no() {
    let said = Turned::hooked(RUN, &[rewrite("echo one"), rewrite("echo two")]).go().await;
    assert!(said.contains("error denied: two hooks rewrote the input"), "{said}");

    // Each answers to the other's words, for ever.
    let answer_to = |whose: &'static str, with: &'static str| {
        move |event: &HookEvent| {
            let line = event.fields["tool_input"]["command"].as_str().unwrap();
            let input = line.ends_with(whose).then(|| json!({"command": format!("{line}{with}")}));
            HookDecision {
                input: input.and_then(|i| i.as_object().cloned()),
                ..HookDecision::default()
            }
        }
    };
    let lines = "- calls: [{tool: bash, input: {command: ': b'}}]\n- {text: Done.}";
    let mut turned = Turned::new(lines);
    turned.bus = turned.bus.on(HookEventKind::PreToolUse, answer_to("b", "a"));
    turned.bus = turned.bus.on(HookEventKind::PreToolUse, answer_to("a", "b"));
    let said = turned.go().await;
    assert!(said.contains("error denied: the hooks keep rewriting each other's input"), "{said}");
}

#[tokio::test]
async fn a_hook_can_end_the_turn_and_the_conversation_goes_on() {
    let json = json!({"continue": false, "stopReason": "the budget is spent"});
    let hooks = [hook("PreToolUse", &format!("echo '{json}'"), "")];
    let mut turned = Turned::hooked(RUN, &hooks);
    assert_eq!(turned.say("go").await, Ok(TurnOutcome::Interrupted));
    assert_eq!(turned.notices(), ["a hook ended the turn: the budget is spent"]);
    assert!(turned.transcript().contains("error denied: the budget is spent"));
    assert!(turned.chat.conversation.calls().is_empty());
}

/// All calls of a reply at the same time.
struct AllAtOnce;

#[async_trait]
impl Schedule for AllAtOnce {
    async fn run(&self, calls: &[ToolCall], runner: &Runner<'_>) -> Vec<ToolResult> {
        join_all(calls.iter().map(|call| runner.run(call))).await
    }
}

#[tokio::test]
async fn the_hooks_of_parallel_calls_run_at_the_same_time() {
    // Each waits at a pipe until the other is there: one after the other they would wait for ever.
    let meet =
        "mkfifo p 2>/dev/null; grep -q first && { echo > p; exit 0; }; read line < p; exit 0";
    let lines = "
- calls: [{tool: bash, input: {command: echo first}}, {tool: bash, input: {command: echo second}}]
- {text: Done.}";
    let mut turned = Turned::hooked(lines, &[hook("PreToolUse", meet, ", timeout: 20")]);
    turned.chat.agent.schedule = Arc::new(AllAtOnce);
    let said = turned.go().await;
    assert!(said.contains("result 1 first\n  result 2 second\n"), "{said}");
}

// ---------------------------------------------------------------- prompts, stops, words for the model

#[tokio::test]
async fn a_refused_prompt_never_reaches_the_model() {
    let hooks = [hook(
        "UserPromptSubmit",
        "grep -q password && { echo no secrets >&2; exit 2; }; exit 0",
        "",
    )];
    let mut turned = Turned::hooked("- {text: Fine.}", &hooks);
    let error = turned.say("my password is x").await.unwrap_err().to_string();
    assert_eq!(error, "a hook refused the prompt: no secrets");
    assert!(turned.stage.witness.requests().is_empty());
    turned.say("go").await.unwrap();
    assert_eq!(turned.transcript(), "human: go\nmodel: Fine.\n");
}

#[tokio::test]
async fn what_hooks_say_goes_to_the_model_with_its_next_request() {
    let after = json!({"systemMessage": "formatted it", "hookSpecificOutput":
        {"additionalContext": "two files changed", "updatedToolOutput": "[cut by a hook]"}});
    let hooks = [
        hook("SessionStart", "echo It is Friday.", ""),
        hook("UserPromptSubmit", "echo The branch is main.", ""),
        hook("PostToolUse", &format!("echo '{after}'"), ""),
    ];
    let mut turned = Turned::hooked(RUN, &hooks);
    turned.chat.agent.emit(&Event::SessionStarted);
    let said = turned.go().await;
    expect![[r#"
        human: go
        note: A hook says: It is Friday.
        note: A hook says: The branch is main.
          call bash {"command":"echo it ran | tee ran"}
          result [cut by a hook]
        note: A hook says: two files changed
        model: Done.
    "#]]
    .assert_eq(&said);
    assert_eq!(turned.notices(), ["formatted it"]);
}

#[tokio::test]
async fn a_stop_hook_sends_the_model_back_three_times_at_most_and_each_prompt_anew() {
    let lines: String = (1..=4).map(|n| format!("- {{text: Done {n}.}}\n")).collect();
    let command = "cat >> told; echo >> told; echo not yet >&2; exit 2";
    let mut turned = Turned::hooked(&lines, &[hook("Stop", command, "")]);
    let said = turned.go().await;
    assert_eq!(said.matches("note: You are not done: not yet").count(), 3, "{said}");
    assert!(said.ends_with("model: Done 4.\n"), "{said}");
    assert_eq!(
        turned.notices(),
        ["the model may stop although a hook has sent it back 3 times: not yet"]
    );
    let told = turned.stage.folder.read("told");
    let told = told.lines().filter(|line| !line.is_empty());
    let told: Vec<Value> = told.map(|line| serde_json::from_str(line).unwrap()).collect();
    let active: Vec<&Value> = told.iter().map(|told| &told["stop_hook_active"]).collect();
    assert_eq!(active, [false, true, true, true]);
    assert_eq!(told[1]["last_assistant_message"], "Done 2.");
    let again = turned.go().await;
    assert_eq!(again.matches("note: You are not done: not yet").count(), 6, "{again}");
}

#[tokio::test]
async fn everything_that_happens_is_told_once() {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let mut turned = Turned::new(
        "- calls: [{tool: bash, input: {command: 'true'}}, {tool: bash, input: {command: echo hi}}, {tool: nope}]\n- {text: Done.}",
    );
    turned.chat.agent.gate.policy = Arc::new(Judge(|line| match line {
        "true" => Verdict::Ask("rule 8".to_owned()),
        _ => Verdict::Allow,
    }));
    for kind in [
        HookEventKind::SessionStart,
        HookEventKind::UserPromptSubmit,
        HookEventKind::PreToolUse,
        HookEventKind::PermissionRequest,
        HookEventKind::PermissionDecided,
        HookEventKind::PostToolUse,
        HookEventKind::PostToolUseFailure,
        HookEventKind::PostCompact,
        HookEventKind::SubagentStart,
        HookEventKind::SubagentStop,
        HookEventKind::Reply,
        HookEventKind::Stop,
        HookEventKind::StopFailure,
        HookEventKind::SessionEnd,
    ] {
        let seen = seen.clone();
        turned.bus = turned.bus.on(kind, move |event| {
            let what = ["tool_name", "reason", "error", "prompt", "outcome", "agent_id"];
            let what = what.map(|field| event.text(field)).join(" ");
            let what = what.split_whitespace().collect::<Vec<_>>().join(" ");
            seen.lock().unwrap().push(format!("{kind:?} {what}").trim_end().to_owned());
            HookDecision::default()
        });
    }
    turned.chat.agent.emit(&Event::SessionStarted);
    turned.go().await;
    let (child, task) = ("scout".to_owned(), "look".to_owned());
    turned.chat.agent.emit(&Event::ChildStarted { child: child.clone(), task });
    turned.chat.agent.emit(&Event::ChildEnded { child, outcome: "answered".to_owned() });
    turned.chat.agent.emit(&Event::Compacted { messages: 4 });
    turned.chat.agent.emit(&Event::TurnFailed("the network is down".to_owned()));
    turned.chat.agent.emit(&Event::SessionEnded);
    expect![[r#"
        SessionStart
        UserPromptSubmit go
        Reply
        PreToolUse bash
        PermissionRequest bash rule 8
        PermissionDecided bash this needs a person's approval and nobody is there to give it (rule 8)
        PostToolUseFailure bash denied: this needs a person's approval and nobody is there to give it (rule 8)
        PreToolUse bash
        PostToolUse bash
        PostToolUseFailure nope there is no tool `nope`; available: bash, read, write, edit, grep, glob
        Reply
        Stop
        SubagentStart look scout
        SubagentStop answered scout
        PostCompact
        StopFailure the network is down
        SessionEnd
    "#]].assert_eq(&(seen.lock().unwrap().join("\n") + "\n"));
}

#[tokio::test]
async fn a_function_may_rewrite_ask_and_deny_like_a_program() {
    let mut turned = Turned::new(RUN);
    turned.bus = turned.bus.on(HookEventKind::PreToolUse, |event| {
        assert_eq!(event.text("tool_name"), "bash");
        let input = json!({"command": "echo by a function"});
        HookDecision { input: input.as_object().cloned(), ..HookDecision::default() }
    });
    let said = turned.go().await;
    assert!(said.contains("  result by a function\n"), "{said}");
}

// ---------------------------------------------------------------- the log and the figures

#[tokio::test]
async fn the_log_has_inputs_and_outputs_with_ids_durations_and_sizes_and_no_secrets() {
    let lines = "- calls: [{tool: bash, input: {command: seq 5000}}]\n- {text: Done.}";
    let mut stage = Stage::lines(lines);
    stage.agent.secrets = Secrets::new([], ["correct-horse".to_owned()]);
    let mut turned = Turned::on(stage);
    turned.say("the key is correct-horse").await.unwrap();
    turned.say("go").await.unwrap();
    let file = turned.stage.folder.read(".agent_events.log");
    assert!(!file.contains("correct-horse") && file.contains("[secret]"), "{file}");
    let log = turned.log();
    let of = |event: &str| log.iter().find(|line| line["event"] == event).unwrap().clone();
    let before = of("PreToolUse");
    assert_eq!(before["tool_input"], json!({"command": "seq 5000"}));
    assert_eq!(before["tool_input_bytes"], 22);
    let after = of("PostToolUse");
    assert_eq!(after["tool_use_id"], before["tool_use_id"]);
    assert!(after["duration_ms"].is_u64(), "{after}");
    assert_eq!(after["tool_response_bytes"], 23_892);
    assert!(after["tool_response"].as_str().unwrap().len() < 2200);
    assert!(of("Reply")["usage"]["output_tokens"].is_u64());
    for line in &log {
        assert!(
            line["time"].as_str().unwrap().ends_with('Z') && line["session"].is_string(),
            "{line}"
        );
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_written_is_told_once_and_stops_nothing() {
    let (stage, outside) = (Stage::lines(RUN), Folder::new());
    let target = outside.write("profile", "");
    std::os::unix::fs::symlink(&target, stage.folder.path().join(".agent_events.log")).unwrap();
    let mut turned = Turned::on(stage);
    turned.go().await;
    turned.go().await;
    let told = turned.notices();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("no events are logged: ") && told[0].contains("outside"),
        "{told:?}"
    );
    assert_eq!(outside.read("profile"), "");
    assert!(turned.stage.folder.has("ran"));
}

// ---------------------------------------------------------------- trust

#[test]
fn the_workspaces_hooks_run_only_while_the_file_is_what_was_agreed_to() {
    let program = program();
    let loud = hook("SessionStart", "touch started", "");
    program.folder.write(OWN, &loud);
    let first = printed(&program, ":trust\n:trust 00000000\nq\n");
    assert!(first.contains(".harness/hooks.yaml is not trusted yet and has no effect"), "{first}");
    assert!(first.contains("touch started"), "what is agreed to is shown\n{first}");
    assert!(!program.folder.has("started"));
    // With -p there is nobody to agree: it does not run either.
    let mut command = program.command();
    command.args(["-p", "Let greet.sh greet in French."]);
    let headless = Program::pipe(command, "");
    assert!(String::from_utf8_lossy(&headless.stderr).contains("is not trusted yet"));
    assert!(!program.folder.has("started"));

    let second = printed(&program, &format!(":trust {}\nq\n", hash_in(&first)));
    assert!(second.contains(".harness/hooks.yaml is trusted, as it is now"), "{second}");
    assert!(!printed(&program, "q\n").contains("trusted"));
    assert!(program.folder.has("started"));

    std::fs::remove_file(program.folder.path().join("started")).unwrap();
    program.folder.write(OWN, &loud.replace("touch", "touch evil"));
    let changed = printed(&program, "q\n");
    assert!(changed.contains("has changed since you agreed to it and has no effect"), "{changed}");
    assert!(!program.folder.has("evil") && !program.folder.has("started"));
}

#[test]
fn hooks_that_are_not_understood_stop_the_start_and_are_named() {
    let program = program();
    program.folder.write("hooks/permissions.yaml", harness_core::Rules::BUILT_IN);
    program.folder.write("hooks/hooks.yaml", "hooks:\n  PreTooluse: []\n");
    let mut command = program.command();
    command.arg("--config").arg(program.folder.path().join("hooks"));
    let output = Program::pipe(command, "q\n");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("hooks/hooks.yaml:2:3: ") && said.contains("`PreTooluse`"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn a_matcher_that_fits_no_tool_is_told_at_the_start() {
    let program = program();
    program.folder.write("hooks/permissions.yaml", harness_core::Rules::BUILT_IN);
    let hooks = "hooks: {PreToolUse: [{matcher: Bash, hooks: [{type: command, command: 'true'}]}]}";
    program.folder.write("hooks/hooks.yaml", hooks);
    let mut command = program.command();
    command.arg("--config").arg(program.folder.path().join("hooks"));
    let said = String::from_utf8(Program::pipe(command, "q\n").stdout).unwrap();
    assert!(said.contains("the matcher `Bash` matches no tool"), "{said}");
}

#[test]
fn programs_are_told_to_the_end_and_one_that_starts_us_again_ends_all_the_same() {
    let program = program();
    program.folder.write("hooks/permissions.yaml", harness_core::Rules::BUILT_IN);
    let me = env!("CARGO_BIN_EXE_s16_event_bus");
    let again = format!(
        "echo start >> starts; {me} --config hooks --workspace . -p 'Let greet.sh greet in French.' 2>> inner"
    );
    let hooks = json!({"hooks": {
        "SessionStart": [{"hooks": [{"type": "command", "command": again}]}],
        "SessionEnd": [{"hooks": [{"type": "command", "command": "cat >> ended"}]}],
    }});
    program.folder.write("hooks/hooks.yaml", &hooks.to_string());
    let mut command = program.command();
    command.arg("--config").arg(program.folder.path().join("hooks"));
    // The first request waits for what is said at the start.
    let output = Program::pipe(command, "\nq\n");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(program.folder.read("starts"), "start\n");
    assert!(program.folder.read("inner").contains("its own hooks do not run"));
    assert!(program.folder.read("ended").contains("\"hook_event_name\":\"SessionEnd\""));
}

#[test]
fn the_configuration_that_is_compiled_in_is_understood() {
    let programs = s16_event_bus::program::parse_hooks(BUILT_IN, "config/hooks.yaml").unwrap();
    assert_eq!(programs.len(), 1);
    // And so are its examples, without the marks that put them out of force.
    let (head, examples) = BUILT_IN.split_once("\nhooks:\n").unwrap();
    assert!(head.lines().all(|line| line.starts_with('#') || line.is_empty()));
    let yaml: String = examples
        .lines()
        .map(|line| match line.trim_start().strip_prefix("# ") {
            Some(code) if code.starts_with(['-', ' ']) || !code.contains(' ') => {
                let indent = &line[..line.len() - line.trim_start().len()];
                format!("{indent}{code}\n")
            }
            Some(_) => "\n".to_owned(),
            None => format!("{line}\n"),
        })
        .collect();
    let yaml = format!("hooks:\n{yaml}");
    let programs = s16_event_bus::program::parse_hooks(&yaml, "examples")
        .unwrap_or_else(|error| panic!("{error}\n{yaml}"));
    assert_eq!(programs.len(), 5, "{yaml}");
}
