//! Hooks that are programs: their configuration, and what each end of a program amounts to.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use harness_core::{Secrets, Verdict};
use harness_testkit::Folder;
use s16_event_bus::program::{HookProgram, ProgramContext, parse_hooks};
use s16_event_bus::{HookDecision, HookEvent, HookEventKind};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

fn program(kind: &str, command: &str, more: &str) -> HookProgram {
    let command = serde_json::to_string(command).unwrap();
    let hook = format!("{{type: command, command: {command}{more}}}");
    let mut programs =
        parse_hooks(&format!("hooks: {{{kind}: [{{hooks: [{hook}]}}]}}"), "test").unwrap();
    programs.remove(0)
}

fn context(folder: &Folder) -> ProgramContext {
    ProgramContext {
        session: "s1".to_owned(),
        cwd: folder.path().to_owned(),
        secrets: Secrets::new([], ["hunter2-hunter2".to_owned()]),
        cancel: CancellationToken::new(),
    }
}

async fn ask(kind: HookEventKind, command: &str, more: &str) -> HookDecision {
    let folder = Folder::new();
    let fields = json!({"tool_name": "bash", "tool_input": {"command": "ls"}, "tool_use_id": "t1"});
    let event = HookEvent::new(kind, "lead", fields);
    program(&format!("{kind:?}"), command, more).decide(&event, &context(&folder)).await
}

async fn before(command: &str) -> HookDecision {
    ask(HookEventKind::PreToolUse, command, "").await
}

#[tokio::test]
async fn a_folder_whose_name_is_no_utf_8_is_told_as_well_as_can_be() {
    let folder = Folder::new();
    let cwd = folder.path().join(OsStr::from_bytes(b"caf\xe9"));
    std::fs::create_dir(&cwd).unwrap();
    let event = HookEvent::new(HookEventKind::Stop, "lead", json!({}));
    let hook = program("Stop", "grep -q 'caf\u{fffd}' || exit 2", "");
    let answer = hook.decide(&event, &ProgramContext { cwd, ..context(&folder) }).await;
    assert_eq!(answer.refusal(), None);
}

#[test]
fn a_file_that_is_not_understood_is_named_with_line_and_column() {
    let hook = "[{type: command, command: 'true'}]";
    for (yaml, said) in [
        ("hook: {}", "test:1:1: unknown field `hook`"),
        (&format!("hooks:\n  PreToolUsed:\n  - hooks: {hook}"), "unknown variant `PreToolUsed`"),
        (&format!("hooks:\n  Stop:\n  - hook: {hook}"), "unknown field `hook`"),
        (&format!("hooks:\n  Stop:\n  - hooks: {hook}\n    if: x"), "unknown field `if`"),
        (&format!("hooks:\n  Stop:\n  - matcher: '('\n    hooks: {hook}"), "test:3:"),
        ("hooks:\n  Stop:\n  - hooks: [{type: http, command: x}]", "unknown variant `http`"),
        ("hooks:\n  Stop:\n  - hooks: [{command: x}]", "missing field `type`"),
        ("hooks:\n  Stop:\n  - hooks: [{type: command, command: ' '}]", "an empty command"),
        ("hooks:\n  Stop:\n  - hooks: [{type: command, command: x, timeout: 0}]", "nonzero"),
        (
            "hooks:\n  Stop:\n  - hooks: [{type: command, command: x, on_failure: ignore}]",
            "`ignore`",
        ),
        ("hooks: [", "test:2:"),
        (&format!("hooks:\n  Stop: [{{hooks: {hook}}}]\n  Stop: []"), "duplicate"),
    ] {
        let error = parse_hooks(yaml, "test").expect_err(yaml).to_string();
        assert!(error.starts_with("test:") && error.contains(said), "{yaml}\n{error}");
        assert!(!error.contains('\n'), "{error}");
    }
    for nothing in ["", "# all commented\n", "hooks:\n", "hooks: {}", "{}"] {
        assert!(parse_hooks(nothing, "test").unwrap().is_empty(), "{nothing:?}");
    }
}

#[test]
fn a_matcher_is_names_or_a_pattern() {
    for (matcher, yes, no) in [
        ("", vec!["bash", "write", ""], vec![]),
        ("*", vec!["bash", "mcp__a__b"], vec![]),
        ("bash", vec!["bash", ""], vec!["bash_background", "Bash", "xbash"]),
        ("write|edit", vec!["write", "edit"], vec!["writer", "read"]),
        ("write, edit", vec!["write", "edit"], vec!["write, edit"]),
        ("mcp__.*", vec!["mcp__a__b", "x_mcp__y"], vec!["bash"]),
        ("^(?!x)", vec![], vec![]),
    ] {
        let yaml = format!(
            "hooks: {{Stop: [{{matcher: '{matcher}', hooks: [{{type: command, command: x}}]}}]}}"
        );
        let Ok(programs) = parse_hooks(&yaml, "test") else {
            assert_eq!(matcher, "^(?!x)", "look-around is not to be had");
            continue;
        };
        yes.iter().for_each(|tool| assert!(programs[0].concerns(tool), "{matcher} {tool}"));
        no.iter().for_each(|tool| assert!(!programs[0].concerns(tool), "{matcher} {tool}"));
    }
}

#[tokio::test]
async fn a_program_is_told_everything_as_json() {
    let folder = Folder::new();
    let fields = json!({"tool_name": "bash", "tool_input": {"command": "ls"}, "tool_use_id": "t1"});
    let event = HookEvent::new(HookEventKind::PreToolUse, "scout", fields);
    let tell = "cat > told.json; echo \"$CLAUDE_PROJECT_DIR $HARNESS_HOOK\" > env";
    let answer = program("PreToolUse", tell, "").decide(&event, &context(&folder)).await;
    assert_eq!(answer, HookDecision::default());
    let told: Value = serde_json::from_str(&folder.read("told.json")).unwrap();
    assert_eq!(
        told,
        json!({"session_id": "s1", "hook_event_name": "PreToolUse", "cwd": folder.path(),
            "permission_mode": "default", "agent_id": "scout", "tool_name": "bash",
            "tool_input": {"command": "ls"}, "tool_use_id": "t1"})
    );
    assert_eq!(folder.read("env"), format!("{} 1\n", folder.path().display()));
}

#[tokio::test]
async fn with_arguments_no_shell_comes_between() {
    let folder = Folder::new();
    let event = HookEvent::new(HookEventKind::Stop, "lead", json!({}));
    program("Stop", "touch", ", args: ['a b', '$HOME;c']").decide(&event, &context(&folder)).await;
    assert!(folder.has("a b") && folder.has("$HOME;c"));
}

#[tokio::test]
async fn json_on_standard_output_is_the_answer() {
    let say = async |json: Value| before(&format!("echo '{json}'")).await;
    let specific = |fields: Value| json!({"hookSpecificOutput": fields});
    let verdict = async |json: Value| say(json).await.verdict;
    let deny = |why: &str| Some(Verdict::Deny(why.to_owned()));
    let ask = |why: &str| Some(Verdict::Ask(why.to_owned()));
    let decision = |word: &str| {
        specific(json!({"permissionDecision": word, "permissionDecisionReason": "so"}))
    };
    assert_eq!(verdict(decision("allow")).await, None);
    assert_eq!(verdict(decision("ask")).await, ask("so"));
    assert_eq!(verdict(decision("defer")).await, ask("so"));
    assert_eq!(verdict(decision("deny")).await, deny("so"));
    assert_eq!(verdict(json!({"decision": "block", "reason": "old"})).await, deny("old"));
    assert_eq!(verdict(json!({"decision": "approve", "newer": [1]})).await, None);
    assert_eq!(
        verdict(json!({"decision": "block"})).await,
        deny("a hook said no without a reason")
    );
    let both = json!({"decision": "block", "reason": "r", "hookSpecificOutput": {"permissionDecision": "allow"}});
    assert_eq!(verdict(both).await, deny("r"));

    let answer = say(json!({"continue": false, "stopReason": "enough", "systemMessage": "look",
        "hookSpecificOutput": {"updatedInput": {"command": "pwd"}, "additionalContext": "it is late",
        "updatedToolOutput": "hunter2-hunter2 \u{1b}[31mred"}}))
    .await;
    assert_eq!(answer.halt.as_deref(), Some("enough"));
    assert_eq!(answer.notices, ["look"]);
    assert_eq!(answer.context, ["it is late"]);
    assert_eq!(answer.output.as_deref(), Some("[secret] red"));
    assert_eq!(Value::Object(answer.input.unwrap()), json!({"command": "pwd"}));
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_a_failure_and_so_a_no() {
    for garbage in [
        "{",
        "{\"decision\": \"blok\"}",
        "{\"decision\": 1}",
        "{\"continue\": \"no\"}",
        "{\"hookSpecificOutput\": \"deny\"}",
        "{\"hookSpecificOutput\": {\"permissionDecision\": \"maybe\"}}",
        "{\"hookSpecificOutput\": {\"permissionDecision\": false}}",
        "{\"hookSpecificOutput\": {\"updatedInput\": \"ls\"}}",
        "{\"decision\": \"block\"} {\"decision\": \"approve\"}",
    ] {
        let answer = before(&format!("echo '{garbage}'")).await;
        assert!(matches!(answer.verdict, Some(Verdict::Deny(_))), "{garbage}: {answer:?}");
        assert!(answer.failed.unwrap().contains("cannot be used"), "{garbage}");
    }
    // Text is no JSON and no failure; before a call it is for nobody.
    assert_eq!(before("echo fine; echo [1]").await, HookDecision::default());
    let start = ask(HookEventKind::SessionStart, "echo It rains.", "").await;
    assert_eq!(start.context, ["It rains."]);
}

#[tokio::test]
async fn ten_megabytes_are_not_held_and_a_cut_answer_is_no_answer() {
    let flood = "head -c 10485760 /dev/zero | tr '\\0' x";
    assert_eq!(before(flood).await, HookDecision::default());
    let answer = before(&format!("printf '{{\"reason\": \"'; {flood}; printf '\"}}'")).await;
    assert!(answer.failed.is_some(), "{:?}", answer.verdict);
    let answer = before(&format!("({flood}) >&2; exit 2")).await;
    assert!(answer.refusal().unwrap().len() < 11_000);
}

#[tokio::test]
async fn a_program_that_reads_nothing_or_leaves_a_child_behind_is_answered_at_once() {
    let folder = Folder::new();
    let fields = json!({"tool_input": {"content": "x".repeat(1 << 20)}});
    let event = HookEvent::new(HookEventKind::PreToolUse, "lead", fields);
    let ask = async |command: &str| {
        program("PreToolUse", command, "").decide(&event, &context(&folder)).await
    };
    assert_eq!(ask("exec 0<&-; exit 0").await, HookDecision::default());
    assert_eq!(ask("sleep 1000 & echo $! > child").await, HookDecision::default());
    let child = folder.read("child").trim().parse().unwrap();
    let child = rustix::process::Pid::from_raw(child).unwrap();
    rustix::process::kill_process(child, rustix::process::Signal::KILL).expect("it went on");
}

#[test]
fn of_two_answers_the_stricter_counts_and_two_inputs_are_a_no() {
    let allow = HookDecision { verdict: Some(Verdict::Allow), ..HookDecision::default() };
    assert_eq!(allow.clone().and(HookDecision::deny("no")).refusal(), Some("no"));
    assert_eq!(HookDecision::deny("no").and(allow).refusal(), Some("no"));
    let input = |text: &str| {
        let input = json!({"command": text}).as_object().cloned();
        HookDecision { input, ..HookDecision::default() }
    };
    assert_eq!(input("a").and(input("a")).refusal(), None);
    let torn = input("a").and(input("b"));
    assert_eq!(torn.refusal(), Some("two hooks rewrote the input in different ways"));
}
