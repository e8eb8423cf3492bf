//! The lesson, played; then the hard cases.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::sync::{Arc, Mutex};

use expect_test::expect;
use harness_core::host::journal::Journal;
use harness_core::{
    Content, Effect, Event, Message, Observer, Policy, Tool, ToolCall, ToolContext, ToolError,
    TurnOutcome, Verdict,
};
use harness_testkit::{Program, Stage, scrubbed, transcript};
use s04_subagent::{LESSON, Named, Subagents};
use tokio_util::sync::CancellationToken;

/// A play in which the lead sends a subagent, which says these lines; nothing is installed yet.
fn stage(child: &str) -> Stage {
    let lines: String = child.lines().map(|line| format!("  {line}\n")).collect();
    Stage::new(&format!(
        "prompt: go
scenes:
- system: You are a subagent
  lines:
{lines}
- lines:
  - calls: [{{tool: spawn_subagent, input: {{prompt: Do it.}}}}]
  - {{text: I see.}}"
    ))
}

/// The same with the mechanism.
fn sent(child: &str) -> Stage {
    stage(child).with(Subagents::default())
}

/// What the lead was told by the subagent it sent.
async fn told(stage: &mut Stage) -> (bool, String) {
    stage.play().await;
    let result = stage.conversation.messages()[2].results().next().unwrap();
    (result.is_error, result.content.text().into_owned())
}

/// Who was told what, in a word or two.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Observer for Heard {
    fn on(&self, agent: &str, event: &Event) {
        let what = match event {
            Event::Replied(reply) => format!("replied, {} tokens out", reply.usage.output_tokens),
            Event::ToolStarted(call) => format!("started {}", call.name),
            Event::ToolFinished { call, .. } => format!("finished {}", call.name),
            Event::ChildStarted { child, task } => format!("sent {child}: {task}"),
            Event::ChildEnded { child, outcome } => format!("{child} ended: {outcome}"),
            Event::TurnEnded(_) => "ended".to_owned(),
            _ => return,
        };
        self.0.lock().unwrap().push(format!("{agent} {what}"));
    }
}

fn heard(stage: &mut Stage) -> Arc<Heard> {
    let heard = Arc::new(Heard::default());
    stage.agent.observers.add_for_family(heard.clone());
    heard
}

#[tokio::test]
async fn the_play() {
    let mut stage = Stage::new(LESSON.play);
    stage.agent.model_id = "script".to_owned(); // which has no price
    let subagents = Subagents::load(&stage.agent).unwrap();
    stage = stage.with(subagents);
    expect![[r#"
        human: An order failed yesterday. Find out why from the logs, and write it into REPORT.md.
        model: I need one line of these logs. A subagent reads them, and I keep its answer.
          call spawn_subagent {"prompt":"In logs/, find the order that failed. Answer in one sentence: the order, the reason, the file and the line."}
          result [subagent-1 answered · steps 4 · tokens 3350 in, 61 out · .harness/subagents/subagent-1.jsonl]
            Order 4711 failed at 10:03 because the card had expired (08/26). See logs/shop-2.log, line 3.
          call write {"path":"REPORT.md","content":"Order 4711 failed because the card had expired (logs/shop-2.log, line 3).\n"}
          result made REPORT.md (74 bytes)
        model: Somebody who does not know how I got there shall check it.
          call spawn_subagent {"prompt":"Is what REPORT.md says about order 4711 right? The logs are in logs/.","agent":"checker"}
          result [checker-1 answered · steps 3 · tokens 1277 in, 61 out · .harness/subagents/checker-1.jsonl]
            The claim is right. logs/shop-2.log, line 3, says that the card of order 4711 had expired.
        model: Order 4711 failed because the card had expired. It is in REPORT.md, and it was checked. Of the logs, my own history holds two sentences.
    "#]].assert_eq(&stage.play().await);
    expect![[r#"
        human: In logs/, find the order that failed. Answer in one sentence: the order, the reason, the file and the line.
          call grep {"pattern":"FAILED","path":"logs"}
          result logs/shop-2.log:3: 10:03 order 4711 FAILED: card expired 08/26
        model: I could send somebody to read that file.
          call spawn_subagent {"prompt":"Read logs/shop-2.log."}
          error there is no tool `spawn_subagent`; available: bash, read, write, edit, grep, glob
        model: Then I read it myself.
          call read {"path":"logs/shop-2.log"}
          result      1	10:02 order 4711 received
                 2	10:02 order 4711 sent to the bank
                 3	10:03 order 4711 FAILED: card expired 08/26
                 4	10:40 order 4712 paid
        model: Order 4711 failed at 10:03 because the card had expired (08/26). See logs/shop-2.log, line 3.
    "#]].assert_eq(&record(stage.folder.path(), "subagent-1"));
}

/// A subagent's record, read back.
fn record(folder: &Path, name: &str) -> String {
    let file = folder.join(format!(".harness/subagents/{name}.jsonl"));
    let lines = Journal::<Message>::new(file).read().unwrap();
    assert!(lines.bad.is_empty() && lines.torn.is_none());
    transcript(&lines.records.into_iter().map(|line| line.value).collect::<Vec<_>>())
}

#[test]
fn the_binary_plays_it_through_a_pipe_and_over_the_wire() {
    for play in [Program::play, Program::play_over_the_wire] {
        let program = Program::new(env!("CARGO_BIN_EXE_s04_subagent"), LESSON.play);
        let said = play(&program);
        assert!(said.contains("subagent-1: answered · steps 4 · tokens "), "{said}");
        assert!(said.contains("there is no tool `edit`; available: read, grep"), "{said}");
        assert!(program.folder.read("REPORT.md").contains("card had expired"));
        assert!(record(program.folder.path(), "checker-1").contains("The claim is right."));
    }
}

#[tokio::test]
async fn a_child_sees_its_task_and_nothing_of_its_parents_history() {
    let mut stage = sent("- {text: Done.}");
    stage.conversation.remind("the parent's news");
    stage.play().await;
    let asked = &stage.witness.requests_of("subagent-1")[0];
    let text =
        serde_json::json!([{"role": "user", "content": [{"type": "text", "text": "Do it."}]}]);
    assert_eq!(asked["messages"], text);
    let lead = serde_json::to_string(&stage.witness.requests_of("lead")).unwrap();
    assert!(!lead.contains("You are a subagent"), "the parent keeps its own system prompt");
}

#[tokio::test]
async fn a_parent_keeps_the_answer_and_not_the_steps() {
    let mut stage = sent(
        "- {text: First I look., calls: [{tool: bash, input: {command: seq 1000}}]}\n- {text: It is 1000.}",
    );
    let (failed, said) = told(&mut stage).await;
    assert!(said.contains(" out, $0."), "what it cost, where the price is known: {said}");
    assert!(!failed && said.ends_with("\nIt is 1000.") && !said.contains("First"), "{said}");
    assert_eq!(stage.conversation.messages().len(), 4);
}

#[tokio::test]
async fn every_event_of_a_child_carries_its_name() {
    let mut stage =
        stage("- {calls: [{tool: bash, input: {command: echo hi}}]}\n- {text: It says hi.}");
    stage.agent.model_id = "script".to_owned();
    stage = stage.with(Subagents::default());
    let heard = heard(&mut stage);
    stage.play().await;
    expect![[r#"
        lead replied, 4 tokens out
        lead started spawn_subagent
        lead sent subagent-1: Do it.
        subagent-1 replied, 5 tokens out
        subagent-1 started bash
        subagent-1 finished bash
        subagent-1 replied, 2 tokens out
        subagent-1 ended
        lead subagent-1 ended: answered · steps 2 · tokens 1526 in, 7 out
        lead finished spawn_subagent
        lead replied, 1 tokens out
        lead ended"#]]
    .assert_eq(&heard.0.lock().unwrap().join("\n"));
}

#[tokio::test]
async fn no_grandchild_is_possible() {
    let mut stage = sent(
        "- {calls: [{tool: spawn_subagent, input: {prompt: You do it.}}]}\n- {text: Then alone.}",
    );
    stage.play().await;
    let asked = &stage.witness.requests_of("subagent-1")[1];
    let result = &asked["messages"][2]["content"][0];
    assert_eq!(result["is_error"], true);
    assert!(result["content"].as_str().unwrap().starts_with("there is no tool `spawn_subagent`"));
    let tools = asked["tools"].as_array().unwrap();
    assert!(tools.iter().all(|tool| tool["name"] != "spawn_subagent"));
    assert!(!stage.folder.has(".harness/subagents/subagent-2.jsonl"));
}

/// Nothing may run.
struct NoShell;

impl Policy for NoShell {
    fn rule_on(&self, _: &ToolCall, effect: &Effect, _: &Path) -> Verdict {
        match effect {
            Effect::Runs(line) => Verdict::Deny(format!("nobody runs `{line}` here")),
            _ => Verdict::Allow,
        }
    }
}

#[tokio::test]
async fn a_childs_calls_pass_its_parents_gate() {
    let mut stage =
        stage("- {calls: [{tool: bash, input: {command: touch made}}]}\n- {text: It was denied.}");
    stage.agent.gate.policy = Arc::new(NoShell);
    stage = stage.with(Subagents::default());
    stage.play().await;
    assert!(!stage.folder.has("made"));
    let said = record(stage.folder.path(), "subagent-1");
    assert!(said.contains("error denied: nobody runs `touch made` here"), "{said}");
}

/// Interrupts when a child's command has begun to talk.
struct Interrupt(CancellationToken);

impl Observer for Interrupt {
    fn on(&self, agent: &str, event: &Event) {
        if agent == "subagent-1" && matches!(event, Event::ToolProgress { .. }) {
            self.0.cancel();
        }
    }
}

#[tokio::test]
async fn cancelling_the_parent_ends_the_childs_command() {
    let line = "echo $$ > pid; echo ready; exec tail -f /dev/null";
    let mut stage = sent(&format!(
        "- {{text: I wait., calls: [{{tool: bash, input: {{command: '{line}'}}}}]}}"
    ));
    let (cancel, heard) = (CancellationToken::new(), heard(&mut stage));
    stage.agent.observers.add_for_family(Arc::new(Interrupt(cancel.clone())));
    stage.conversation.say("go");
    let stop = stage.agent.run(&mut stage.conversation, &cancel).await.unwrap();
    assert_eq!(stop, TurnOutcome::Interrupted);
    let result = &stage.results()[0];
    assert!(result.starts_with("[subagent-1 interrupted · steps 1 · "), "{result}");
    assert!(result.ends_with("\nI wait."), "{result}");
    let pid = stage.folder.read("pid");
    let alive = scrubbed("sh", stage.folder.path())
        .args(["-c", &format!("kill -0 {}", pid.trim())])
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(!alive.success(), "process {pid} is still there");
    let said = record(stage.folder.path(), "subagent-1");
    assert!(said.contains("error ready\n    [interrupted after"), "{said}");
    let heard = heard.0.lock().unwrap();
    assert_eq!(heard.iter().filter(|line| line.contains("subagent-1 ended:")).count(), 1);
}

/// A tool that does not hear a cancel, and never ends.
struct Deaf;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Nothing {}

impl Tool for Deaf {
    const NAME: &'static str = "deaf";
    const ABOUT: &'static str = "Waits for ever.";
    type Input = Nothing;

    async fn call(&self, _: Nothing, cx: &ToolContext) -> Result<Content, ToolError> {
        cx.progress("I wait.");
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_child_that_hangs_is_dropped_and_its_end_is_told() {
    let mut stage = stage("- {text: I wait., calls: [{tool: deaf}]}");
    stage.agent.tools.add_for_family(Deaf);
    stage = stage.with(Subagents::default());
    let (cancel, heard) = (CancellationToken::new(), heard(&mut stage));
    stage.agent.observers.add_for_family(Arc::new(Interrupt(cancel.clone())));
    stage.conversation.say("go");
    let stop = stage.agent.run(&mut stage.conversation, &cancel).await.unwrap();
    assert_eq!(stop, TurnOutcome::Interrupted);
    assert!(stage.results()[0].contains("interrupted"), "{:?}", stage.results());
    let heard = heard.0.lock().unwrap();
    assert!(heard.iter().any(|line| line.starts_with("lead subagent-1 ended: interrupted")));
    let said = record(stage.folder.path(), "subagent-1");
    assert!(said.contains("call deaf"), "what it did is kept: {said}");
}

#[tokio::test]
async fn a_child_that_loops_is_stopped_at_its_limit_with_what_it_said() {
    let again =
        "- {text: Once more., calls: [{tool: bash, input: {command: 'true'}}]}\n".repeat(60);
    let mut stage = sent(&again);
    let (failed, said) = told(&mut stage).await;
    assert!(
        failed && said.starts_with("[subagent-1 stopped at its step limit · steps 50 · "),
        "{said}"
    );
    assert!(said.ends_with("\nOnce more."), "{said}");
}

#[tokio::test]
async fn a_limit_of_the_parent_holds_for_its_children() {
    let again = "- {calls: [{tool: bash, input: {command: 'true'}}]}\n".repeat(9);
    let mut stage = stage(&again);
    stage.agent.max_steps = 3;
    stage = stage.with(Subagents::default());
    let (failed, said) = told(&mut stage).await;
    assert!(failed && said.contains("stopped at its step limit · steps 3 · "), "{said}");
    assert!(said.ends_with("\n(it said nothing)"), "a last message that is only a call: {said}");
}

/// A tool that breaks the harness.
struct Boom;

impl Tool for Boom {
    const NAME: &'static str = "boom";
    const ABOUT: &'static str = "Breaks, one way or the other.";
    type Input = Nothing;

    async fn call(&self, _: Nothing, _: &ToolContext) -> Result<Content, ToolError> {
        Err(ToolError::Fatal("the disk is gone".to_owned()))
    }
}

#[tokio::test]
async fn a_child_that_fails_is_a_result_and_the_parent_goes_on() {
    let mut stage = stage("- {text: I try., calls: [{tool: boom}]}");
    stage.agent.tools.add_for_family(Boom);
    stage = stage.with(Subagents::default());
    let (failed, said) = told(&mut stage).await;
    assert!(
        failed && said.starts_with("[subagent-1 failed: the disk is gone · steps 1 · "),
        "{said}"
    );
    assert!(said.ends_with("\nI try."), "{said}");
    assert_eq!(stage.conversation.answered(), "I see.");
}

#[tokio::test]
async fn a_child_that_says_nothing_is_not_an_empty_result() {
    let mut stage = sent("- {text: ''}\n- {text: ''}");
    let (_, said) = told(&mut stage).await;
    assert!(said.ends_with("\n(it said nothing)"), "{said}");
}

#[tokio::test]
async fn an_answer_of_200_kb_is_capped_and_whole_in_a_file() {
    let answer = format!("begin {} end", "word ".repeat(40_000));
    let mut stage = sent(&format!("- {{text: '{answer}'}}"));
    let (failed, said) = told(&mut stage).await;
    assert!(!failed && said.len() < 31_000, "{} bytes", said.len());
    assert!(said.contains("\nbegin word") && said.contains(" left out …]"), "both ends are there");
    let told =
        format!("word  end\n[all {} bytes are in .harness/subagents/subagent-1.txt]", answer.len());
    assert!(said.ends_with(&told), "{}", &said[said.len() - 200..]);
    assert_eq!(stage.folder.read(".harness/subagents/subagent-1.txt"), answer);
}

#[tokio::test]
async fn each_child_has_a_name_and_a_record_of_its_own_that_git_does_not_see() {
    let mut stage = Stage::new(
        "prompt: go
setup: {git: true}
scenes:
- {system: You are a subagent, lines: [{text: Done.}]}
- lines:
  - calls: [{tool: spawn_subagent, input: {prompt: One.}}, {tool: spawn_subagent, input: {prompt: Two.}}]
  - {text: I see.}",
    )
    .with(Subagents::default());
    stage.play().await;
    let heads: Vec<_> = stage.results().iter().map(|it| it[..11].to_owned()).collect();
    assert_eq!(heads, ["[subagent-1", "[subagent-2"]);
    for (name, task) in [("subagent-1", "One."), ("subagent-2", "Two.")] {
        assert_eq!(record(stage.folder.path(), name), format!("human: {task}\nmodel: Done.\n"));
    }
    assert_eq!(stage.folder.git(&["status", "--porcelain", "-uall"]), "");
}

#[tokio::test]
async fn without_a_place_for_its_record_nobody_is_sent() {
    let mut stage = sent("- {text: Never said.}");
    stage.folder.write(".harness", "in the way");
    let (failed, said) = told(&mut stage).await;
    assert!(failed && said.contains(".harness") && !said.contains('\n'), "{said}");
    assert!(stage.witness.requests_of("subagent-1").is_empty());
}

#[tokio::test]
async fn a_task_that_is_blank_or_an_agent_that_nobody_knows_is_refused() {
    let lines = "
- calls:
  - {tool: spawn_subagent, input: {prompt: ' '}}
  - {tool: spawn_subagent, input: {prompt: Do it., agent: revewer}}
  - {tool: spawn_subagent, input: {task: Do it.}}
- {text: I see.}";
    let reviewer = Named { name: "reviewer".to_owned(), ..Named::default() };
    let mut stage = Stage::lines(lines).with(Subagents { named: vec![reviewer] });
    stage.play().await;
    assert_eq!(
        stage.results(),
        [
            "the prompt is empty; say what is to be done",
            "there is no subagent \"revewer\"; available: reviewer",
            "the input of `spawn_subagent` does not fit at `task`: unknown field `task`, expected `prompt` or `agent`",
        ]
    );
}

// ---- subagents with a name

/// What is wrong with these files, a line each.
fn faults(files: &[(&str, &str)]) -> Vec<String> {
    let stage = Stage::lines("- {text: x}");
    for (name, text) in files {
        stage.folder.write(&format!(".claude/agents/{name}"), text);
    }
    match Subagents::load(&stage.agent) {
        Ok(_) => Vec::new(),
        Err(faults) => {
            faults.0.iter().map(|it| it.to_string().replace(".claude/agents/", "")).collect()
        }
    }
}

#[test]
fn an_unknown_key_is_an_error_with_file_and_line() {
    let file = "---\nname: checker\ndescription: Checks.\ntool: read\n---\nCheck.\n";
    assert_eq!(
        faults(&[("checker.md", file)]),
        ["checker.md:4: there is no field \"tool\" here; there is tools"]
    );
    let file = "---\nname: checker\ndescription: Checks.\npermissionMode: bypassPermissions\n---\n";
    let found = faults(&[("checker.md", file)]);
    assert!(
        found[0].starts_with("checker.md:4: there is no field \"permissionMode\""),
        "{found:?}"
    );
}

#[test]
fn every_fault_of_every_file_is_told_with_its_line() {
    let found = faults(&[
        ("a.md", "no front matter"),
        ("b.md", "---\nname: b\n"),
        (
            "c.md",
            "---\nname: ../c\ndescription: [x]\nmax_turns: 0\ntools: Read, Wriet, spawn_subagent\n---\n",
        ),
        ("d.md", "---\nname: d\ndescription: a: b\n---\n"),
        ("e.md", "---\nname: e\ndescription: One.\n---\n"),
        ("f.md", "---\r\nname: e\r\ndescription: Another.\r\nmax_turns: many\r\n---\r\n"),
        ("g.md", &"x".repeat(200_000)),
        ("notes.txt", "not looked at"),
    ]);
    expect![[r#"
        a.md:1: there is no front matter; the first line must be `---`
        b.md:1: the front matter does not end; a second line `---` is missing
        c.md:2: `name` is lower-case letters, digits and hyphens
        c.md:3: `description` must be text
        c.md:4: `max_turns` is a number of steps, 1 or more
        c.md:5: there is no tool `wriet`; available: write
        c.md:5: there is no tool `spawn_subagent`; available: bash, read, write, edit, grep, glob
        d.md:3: mapping values are not allowed in this context at line 3 column 15; put quotes around a text that holds `: `
        f.md:2: another file has the name "e" already
        f.md:4: `max_turns` is a number of steps, 1 or more
        g.md: 200000 bytes are too many, 100000 are allowed; move parts into files beside it"#]].assert_eq(&found.join("\n"));
}

#[test]
fn a_folder_of_agents_that_leads_outside_or_is_none_is_told() {
    let stage = Stage::lines("- {text: x}");
    let outside = Stage::lines("- {text: x}");
    outside.folder.write("a.md", "---\nname: a\ndescription: From elsewhere.\n---\n");
    std::fs::create_dir(stage.folder.path().join(".claude")).unwrap();
    let agents = stage.folder.path().join(".claude/agents");
    std::os::unix::fs::symlink(outside.folder.path(), &agents).unwrap();
    let why = Subagents::load(&stage.agent).unwrap_err().to_string();
    assert!(why.contains(".claude/agents/a.md") && why.contains("leads out of"), "{why}");
    std::fs::remove_file(&agents).unwrap();
    std::fs::write(&agents, "no folder").unwrap();
    let why = Subagents::load(&stage.agent).unwrap_err().to_string();
    assert!(why.starts_with(".claude/agents: "), "{why}");
}

#[test]
fn a_session_does_not_start_with_a_file_that_it_cannot_use() {
    let program = Program::new(env!("CARGO_BIN_EXE_s04_subagent"), LESSON.play);
    program
        .folder
        .write(".claude/agents/odd.md", "---\nname: odd\ndescription: x\ncolor: blue\n---\n");
    let output = Program::pipe(program.command(), "q\n");
    let why = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        why.starts_with("error: .claude/agents/odd.md:4: there is no field \"color\" here"),
        "{why}"
    );
    assert_eq!(why.lines().count(), 1, "{why}");
}

#[test]
fn without_files_there_are_no_names_and_nothing_is_said_of_them() {
    let stage = Stage::lines("- {text: x}");
    let subagents = Subagents::load(&stage.agent).unwrap();
    assert!(subagents.named.is_empty());
    assert!(stage.with(subagents).agent.system.blocks().is_empty());
}

#[tokio::test]
async fn a_named_child_has_less_than_its_parent_and_never_more() {
    let mut stage = Stage::new(
        "prompt: go
setup:
  files:
    .claude/agents/looker.md: |
      ---
      name: looker
      description: Looks.
      tools: [Read, bash]
      model: another-model
      max_turns: 900
      ---
      You only look.
scenes:
- system: You only look
  lines:
  - calls: [{tool: write, input: {path: made, content: x}}]
  - calls: [{tool: bash, input: {command: touch made}}]
  - calls: [{tool: read, input: {path: made}}]
  - {text: Never said.}
- lines:
  - calls: [{tool: spawn_subagent, input: {prompt: Look., agent: looker}}]
  - {text: I see.}",
    );
    stage.agent.gate.policy = Arc::new(NoShell);
    stage.agent.max_steps = 3;
    let subagents = Subagents::load(&stage.agent).unwrap();
    stage = stage.with(subagents);
    let (_, said) = told(&mut stage).await;
    assert!(said.starts_with("[looker-1 stopped at its step limit · steps 3 · "), "{said}");
    assert!(!stage.folder.has("made"));
    let asked = &stage.witness.requests_of("looker-1")[0];
    let names: Vec<_> =
        asked["tools"].as_array().unwrap().iter().map(|tool| tool["name"].clone()).collect();
    assert_eq!(names, ["bash", "read"]);
    assert_eq!(asked["model"], "another-model");
    assert_eq!(asked["system"].as_array().unwrap().last().unwrap()["text"], "You only look.");
    let lead = &stage.witness.requests_of("lead")[0];
    assert!(lead["system"][0]["text"].as_str().unwrap().ends_with("\n- looker: Looks."));
}
