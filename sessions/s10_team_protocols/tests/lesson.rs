//! The lesson, played; then the hard cases.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::sync::Arc;
use std::time::Duration;

use expect_test::expect;
use harness_core::AgentError;
use harness_testkit::{Gate, Program, Stage};
use regex::Regex;
use s09_agent_teams::mail::{Mail, MailId, MailNotices, MailOutcome, Mailbox, MemoryMailbox};
use s09_agent_teams::{Member, Team};
use s10_team_protocols::{
    ExchangeGuard, Exchanges, Illegal, LESSON, NESTED, Phase, Protocols, REQUEST_TIMEOUT, Step,
    TABLE,
};
use tokio_util::sync::CancellationToken;

use Phase::{Idle, Requesting, Responding, Waiting};
use Step::{Answered, Ask, Asked, Dropped, Expired, Responded, Sent};

const PHASES: [Phase; 4] = [Idle, Requesting, Waiting, Responding];
const STEPS: [Step; 7] = [Ask, Sent, Answered, Expired, Asked, Responded, Dropped];
const NAMES: [&str; 5] = ["lead", "ada", "bob", "writer", "me"];

/// Without ids and times.
fn plain(text: &str) -> String {
    let text = Regex::new("[0-9a-f]{16}").unwrap().replace_all(text, "ID").into_owned();
    Regex::new("until [-0-9TZ:]+").unwrap().replace_all(&text, "until T").into_owned()
}

fn member(name: &str) -> Member {
    let yaml = format!("[{{name: {name}, about: works, instructions: Work.}}]");
    Member::list(&yaml, "yaml").unwrap().remove(0)
}

/// A play of these scenes, each a name and its lines, and a team of all but the lead. Requests are good for
/// `patience`.
async fn team(scenes: &[(&str, &str)], patience: Duration) -> (Stage, Arc<MemoryMailbox>, Gate) {
    let mut play = "prompt: go\nscenes:\n".to_owned();
    for (name, lines) in scenes {
        let lines: String = lines.lines().map(|line| format!("  {line}\n")).collect();
        play += &format!("- agent: {name}\n  lines:\n{lines}");
    }
    let mut stage = Stage::new(&play);
    let gate = Gate::default();
    stage.agent.tools.add_for_family(gate.clone());
    let members = scenes.iter().filter(|(name, _)| *name != "lead").map(|(name, _)| member(name));
    let mailbox = Arc::new(MemoryMailbox::new(NAMES));
    let (members, news) = (members.collect(), MailNotices::default());
    let team = Team::open(&stage.agent, members, mailbox.clone(), news).await.unwrap();
    (stage.with(Protocols::over(team, patience)), mailbox, gate)
}

/// Until so many mails wait in this box.
async fn waits(mailbox: &MemoryMailbox, name: &str, count: usize) {
    while mailbox.unacknowledged(name).await.unwrap() != count {
        tokio::task::yield_now().await;
    }
}

async fn answer(mailbox: &MemoryMailbox) -> Mail {
    mailbox.receive("me", Duration::from_secs(30)).await.unwrap().remove(0)
}

#[tokio::test]
async fn the_play() {
    let stage = Stage::new(LESSON.play);
    let (mailbox, news) = (Arc::new(MemoryMailbox::new(NAMES)), MailNotices::default());
    let team = Team::open(&stage.agent, vec![member("writer")], mailbox, news).await.unwrap();
    let mut stage = stage.with(Protocols::over(team, REQUEST_TIMEOUT));
    expect![[r#"
        human: The greeting is misspelt. Have it put right, but let nobody change anything before I would agree.
        model: The writer shall do it, and show me its plan first.
          call delegate {"name":"writer","message":"greet.sh greets with `Helo`. Put the spelling right and run it."}
          result [mail ID from writer]
            [plan/1 until T]
            Rewrite greet.sh from the ground up.
        model: That is far too much for one letter.
          call review_plan {"request":"ID","approve":false,"comment":"One letter is wrong, so change one letter."}
          result [mail ID from writer]
            [plan/1 until T]
            In line 3 of greet.sh, `Helo` becomes `Hello`. Then I run it.
        model: Better.
          call review_plan {"request":"ID","approve":true}
          result [mail ID.re from writer, answer to ID]
            One letter changed. I ran it: Hello, Ada!
          call shutdown_teammate {"name":"writer","message":"That was all for today."}
          result [mail ID.re from writer, answer to ID]
            I have nothing open, and end.
        model: The spelling is right now. The first plan was refused, the second one was carried out.
    "#]].assert_eq(&plain(&stage.play().await));
    assert!(stage.folder.read("greet.sh").contains("Hello"));
}

#[test]
fn the_play_by_pipe_and_over_the_wire() {
    for said in [
        Program::new(env!("CARGO_BIN_EXE_s10_team_protocols"), LESSON.play).play(),
        Program::new(env!("CARGO_BIN_EXE_s10_team_protocols"), LESSON.play).play_over_the_wire(),
    ] {
        let heard = ["denied: no plan is approved", "rejected. One letter", "Hello, Ada!"];
        assert!(heard.iter().all(|words| said.contains(words)), "{said}");
    }
}

#[test]
fn the_trace_is_drawn_as_text_and_for_mermaid() {
    let program = Program::new(env!("CARGO_BIN_EXE_s10_team_protocols"), LESSON.play);
    let output = Program::pipe(program.command(), ":trace\n\n:trace\nq\n");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("nobody has asked anybody anything yet"), "{said}");
    let trace = said.split(">> :trace\n").last().unwrap();
    expect![[r#"
        lead                                writer
        │── task: greet.sh greets with `… ─▸│
        │◂─ plan: Rewrite greet.sh from … ──│
        │╌╌ rejected. One letter is wron… ╌▸│
        │◂─ plan: In line 3 of greet.sh,… ──│
        │╌╌ approved. ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌▸│
        │◂╌ One letter changed. I ran it… ╌╌│
        │── shutdown: That was all for t… ─▸│
        │◂╌ I have nothing open, and end. ╌╌│

        sequenceDiagram
            participant p0 as lead
            participant p1 as writer
            p0->>p1: task: greet.sh greets with `Helo`. Put the spelling right and run it.
            p1->>p0: plan: Rewrite greet.sh from the ground up.
            p0-->>p1: rejected. One letter is wrong, so change one letter.
            p1->>p0: plan: In line 3 of greet.sh, `Helo` becomes `Hello`. Then I run it.
            p0-->>p1: approved.
            p1-->>p0: One letter changed. I ran it: Hello, Ada!
            p0->>p1: shutdown: That was all for today.
            p1-->>p0: I have nothing open, and end."#]]
    .assert_eq(trace.trim_end().trim_end_matches("s10 >> q").trim_end());
}

/// Exchanges of which the innermost is in this phase, and the guards that keep it there.
fn exchanges_in(phase: Phase) -> (Exchanges, Vec<ExchangeGuard>) {
    let exchanges = Exchanges::default();
    let guards = match phase {
        Idle => vec![],
        Responding => vec![exchanges.begin(Asked, "ada").unwrap()],
        Requesting | Waiting => vec![exchanges.begin(Ask, "ada").unwrap()],
    };
    if phase == Waiting {
        exchanges.step(Sent).unwrap();
    }
    assert_eq!(exchanges.phase(), phase);
    (exchanges, guards)
}

#[test]
fn every_step_in_every_state_is_in_the_table_or_refused_and_changes_nothing() {
    for phase in PHASES {
        for step in STEPS {
            let (exchanges, _guards) = exchanges_in(phase);
            let row = TABLE.iter().find(|(from, on, _)| (*from, *on) == (phase, step));
            let begins = matches!(step, Ask | Asked);
            let (took, expected) = if begins {
                let first = TABLE.iter().find(|(from, on, _)| (*from, *on) == (Idle, step));
                let may = phase == Idle || NESTED.contains(&(phase, step));
                let begun = exchanges.begin(step, "bob");
                let took = begun.as_ref().map(|_| exchanges.phase()).map_err(|why| *why);
                drop(begun);
                assert_eq!(exchanges.phase(), phase, "the guard has put it back");
                (took, first.filter(|_| may).map(|(_, _, next)| *next))
            } else {
                (exchanges.step(step), row.map(|(_, _, next)| *next))
            };
            assert_eq!(took, expected.ok_or(Illegal(step, phase)), "{step:?} while {phase:?}");
            let after = if begins { phase } else { expected.unwrap_or(phase) };
            assert_eq!(exchanges.phase(), after, "{step:?} while {phase:?}");
        }
    }
    let told = Illegal(Asked, Responding).to_string();
    assert_eq!(told, "Asked is not possible while Responding");
}

#[test]
fn an_exchange_ends_with_its_guard_however_it_is_left() {
    let exchanges = Exchanges::default();
    for way in ["error", "panic"] {
        let left = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _guard = exchanges.begin(Ask, "ada").unwrap();
            exchanges.step(Sent).unwrap();
            let _inner = exchanges.begin(Asked, "ada").unwrap();
            assert_ne!(way, "panic");
            Err::<(), &str>("an error")
        }));
        assert!(matches!(left, Err(_) | Ok(Err(_))));
        assert_eq!(exchanges.phase(), Idle, "{way}");
    }
}

const HELLO: &str = "- calls: [{tool: write, input: {path: x, content: x}}]\n- calls: [{tool: bash, input: {command: touch y}}]\n- {text: I cannot.}";

#[tokio::test]
async fn nothing_is_written_before_the_plan_is_approved() {
    let (stage, mailbox, _) = team(&[("writer", HELLO)], REQUEST_TIMEOUT).await;
    mailbox.send(Mail::new("me", "writer", "write x")).await.unwrap();
    assert_eq!(answer(&mailbox).await.body, "I cannot.");
    assert!(!stage.folder.has("x") && !stage.folder.has("y"));
}

const PLANNED: &str = "
- calls: [{tool: submit_plan, input: {plan: write x}}]
- calls: [{tool: write, input: {path: x, content: x}}]
- {text: Done.}";

#[tokio::test]
async fn an_approval_is_for_one_task_and_is_given_once() {
    let lead = "
- calls: [{tool: delegate, input: {name: writer, message: one}}]
- take: {plan: 'mail ([0-9a-f]{16}) from writer'}
  calls: [{tool: review_plan, input: {request: '${plan}', approve: true}}]
- calls: [{tool: review_plan, input: {request: '${plan}', approve: true}}]
- {text: Done.}";
    let scenes = [("lead", lead), ("writer", PLANNED.trim())];
    let (mut stage, mailbox, _) = team(&scenes, REQUEST_TIMEOUT).await;
    stage.play().await;
    assert_eq!(stage.folder.read("x"), "x");
    assert!(stage.results()[2].contains("waits for a verdict"), "{}", stage.results()[2]);
    // The next task needs a plan of its own.
    std::fs::remove_file(stage.folder.path().join("x")).unwrap();
    mailbox.send(Mail::new("me", "writer", "two")).await.unwrap();
    waits(&mailbox, "lead", 1).await;
    assert!(!stage.folder.has("x"));
}

/// The id of the first mail that the lead's conversation holds.
fn delivered(stage: &Stage) -> MailId {
    let ids = stage.conversation.messages().iter().flat_map(|message| &message.delivered);
    MailId(ids.into_iter().next().unwrap().clone())
}

#[tokio::test]
async fn a_yes_from_somebody_else_is_none() {
    let scenes = [("lead", "- {text: I see.}"), ("writer", PLANNED.trim())];
    let (mut stage, mailbox, _) = team(&scenes, REQUEST_TIMEOUT).await;
    mailbox.send(Mail::new("me", "writer", "write x")).await.unwrap();
    waits(&mailbox, "lead", 1).await;
    stage.play().await;
    let plan = delivered(&stage);
    let forged = Mail::new("me", "writer", "Go on.");
    let outcome = Some(MailOutcome::Approved);
    mailbox.send(Mail { in_reply_to: Some(plan), outcome, ..forged }).await.unwrap();
    assert_eq!(answer(&mailbox).await.body, "Done.");
    assert!(!stage.folder.has("x"), "the writer went on, and was held at the gate");
}

#[tokio::test]
async fn words_of_the_lead_that_look_like_a_yes_approve_nothing() {
    let scenes = [("lead", "- {text: I see.}"), ("writer", PLANNED.trim())];
    let (mut stage, mailbox, _) = team(&scenes, REQUEST_TIMEOUT).await;
    mailbox.send(Mail::new("me", "writer", "write x")).await.unwrap();
    waits(&mailbox, "lead", 1).await;
    stage.play().await;
    let plan = delivered(&stage);
    let words = Mail::new("lead", "writer", "approved. Go on.");
    mailbox.send(Mail { in_reply_to: Some(plan), ..words }).await.unwrap();
    assert_eq!(answer(&mailbox).await.body, "Done.");
    assert!(!stage.folder.has("x"), "only the typed verdict counts");
}

#[tokio::test]
async fn who_is_asked_back_answers_first_and_then_gets_its_answer() {
    let lead = "
- calls: [{tool: delegate, input: {name: writer, message: write x}}]
- take: {plan: 'mail ([0-9a-f]{16}) from writer'}
  calls: [{tool: delegate, input: {name: writer, message: and something else}}]
- calls: [{tool: review_plan, input: {request: '${plan}', approve: true}}]
- {text: Done.}";
    let (mut stage, _, _) =
        team(&[("lead", lead), ("writer", PLANNED.trim())], REQUEST_TIMEOUT).await;
    expect![[r#"
        human: go
          call delegate {"name":"writer","message":"write x"}
          result [mail ID from writer]
            [plan/1 until T]
            write x
          call delegate {"name":"writer","message":"and something else"}
          error writer waits for your answer; answer it first
          call review_plan {"request":"ID","approve":true}
          result [mail ID.re from writer, answer to ID]
            Done.
        model: Done.
    "#]]
    .assert_eq(&plain(&stage.play().await));
}

#[tokio::test]
async fn two_that_ask_each_other_do_not_wait_for_ever() {
    // Both ask at the same time: each is at its gate with a task, then asks the other.
    let asks = |other: &str, said: &str| {
        format!(
            "- calls: [{{tool: gate}}]\n- calls: [{{tool: delegate, input: {{name: {other}, message: your part}}}}]\n- {{text: {said}}}"
        )
    };
    let (ada, bob) = (asks("bob", "Ada is done."), asks("ada", "Bob is done."));
    let (stage, mailbox, gate) = team(&[("ada", &ada), ("bob", &bob)], REQUEST_TIMEOUT).await;
    mailbox.send(Mail::new("me", "ada", "begin")).await.unwrap();
    mailbox.send(Mail::new("me", "bob", "begin")).await.unwrap();
    gate.reached().await;
    gate.reached().await;
    gate.open();
    gate.open();
    waits(&mailbox, "me", 2).await;
    let bobs = serde_json::to_string(&stage.witness.requests_of("bob")).unwrap();
    assert!(bobs.contains("ada waits for your answer; answer it first"), "{bobs}");
    let adas = serde_json::to_string(&stage.witness.requests_of("ada")).unwrap();
    assert!(adas.contains("Bob is done."), "{adas}");
}

#[tokio::test]
async fn asking_back_the_one_who_waits_is_refused() {
    let ada =
        "- calls: [{tool: delegate, input: {name: bob, message: help}}]\n- {text: Ada is done.}";
    let bob = "- calls: [{tool: delegate, input: {name: ada, message: help me}}]\n- {text: Bob did it alone.}";
    let (stage, mailbox, _) = team(&[("ada", ada), ("bob", bob)], REQUEST_TIMEOUT).await;
    mailbox.send(Mail::new("me", "ada", "begin")).await.unwrap();
    assert_eq!(answer(&mailbox).await.body, "Ada is done.");
    let bobs = serde_json::to_string(&stage.witness.requests_of("bob")).unwrap();
    assert!(bobs.contains("ada waits for your answer; answer it first"), "{bobs}");
}

#[tokio::test]
async fn after_a_deadline_the_lead_is_free_and_the_late_answer_comes_as_mail() {
    let lead = "
- calls: [{tool: delegate, input: {name: ada, message: slow}}]
- calls: [{tool: delegate, input: {name: bob, message: quick}}]
- {text: Done.}";
    let (mut stage, mailbox, gate) = team(
        &[
            ("lead", lead),
            ("ada", "- calls: [{tool: gate}]\n- {text: late}"),
            ("bob", "- {text: in time}"),
        ],
        Duration::from_secs(4),
    )
    .await;
    let ((), _) = tokio::join!(gate.reached(), stage.play());
    let results = stage.results();
    assert!(results[0].contains("ada did not answer in time"), "{}", results[0]);
    assert!(results[1].contains("in time"), "{}", results[1]);
    gate.open();
    waits(&mailbox, "lead", 1).await;
    stage.say("go").await.unwrap();
    assert!(
        plain(&stage.transcript()).contains("note: [mail ID.re from ada, answer to ID]\n    late")
    );
}

#[tokio::test]
async fn a_request_that_is_too_late_or_from_a_newer_version_is_answered_and_not_run() {
    let (stage, mailbox, _) = team(&[("ada", "- {text: Never.}")], REQUEST_TIMEOUT).await;
    for (what, timeout, why) in [
        ("task/1", Duration::ZERO, "the deadline has passed"),
        ("task/9", REQUEST_TIMEOUT, "task/9 is not a request that I can answer"),
        ("plan/1", REQUEST_TIMEOUT, "plan/1 is not a request that I can answer"),
    ] {
        mailbox.send(Mail::new("me", "ada", "do it").asking(what, timeout)).await.unwrap();
        let said = answer(&mailbox).await;
        assert_eq!((said.outcome, &*said.body), (Some(MailOutcome::Failed), why));
        mailbox.acknowledge("me", &[said.id]).await.unwrap();
    }
    assert_eq!(stage.witness.requests_of("ada").len(), 0);
    assert_eq!(mailbox.unacknowledged("ada").await.unwrap(), 0);
}

#[tokio::test]
async fn a_teammate_that_was_shut_down_ends_after_its_work_and_takes_no_more() {
    let lead = "
- calls: [{tool: shutdown_teammate, input: {name: ada, message: thank you}}]
- calls: [{tool: delegate, input: {name: ada, message: one more}}]
- calls: [{tool: delegate, input: {name: eve, message: one more}}]
- {text: Done.}";
    let (mut stage, mailbox, gate) = team(
        &[("lead", lead), ("ada", "- calls: [{tool: gate}]\n- {text: My work.}")],
        REQUEST_TIMEOUT,
    )
    .await;
    mailbox.send(Mail::new("me", "ada", "work")).await.unwrap();
    gate.reached().await;
    let (said, _) = tokio::join!(
        async {
            waits(&mailbox, "ada", 2).await; // the request to end waits behind the work
            gate.open();
            answer(&mailbox).await
        },
        stage.play()
    );
    assert_eq!(said.body, "My work.");
    let results = stage.results();
    assert!(results[0].contains("I have nothing open, and end."), "{}", results[0]);
    assert_eq!(results[1], "ada has ended; nobody reads its mail");
    assert_eq!(results[2], "there is no agent \"eve\"; available: ada, lead");
}

#[tokio::test]
async fn an_interrupted_lead_waits_for_nobody_afterwards() {
    let lead = "
- calls: [{tool: delegate, input: {name: ada, message: slow}}]
- calls: [{tool: delegate, input: {name: bob, message: quick}}]
- {text: Done.}";
    let scenes = [
        ("lead", lead),
        ("ada", "- calls: [{tool: gate}]\n- {text: late}"),
        ("bob", "- {text: here}"),
    ];
    let (mut stage, _, gate) = team(&scenes, REQUEST_TIMEOUT).await;
    let cancel = CancellationToken::new();
    stage.conversation.say("go");
    let ((), ended) = tokio::join!(
        async {
            gate.reached().await;
            cancel.cancel();
        },
        stage.agent.run(&mut stage.conversation, &cancel)
    );
    assert_eq!(ended, Ok::<_, AgentError>(harness_core::TurnOutcome::Interrupted));
    assert!(stage.results()[0].contains("its answer will come as mail"));
    // The next turn can ask: nothing is open any more.
    let next = stage.agent.run(&mut stage.conversation, &CancellationToken::new()).await;
    next.unwrap();
    assert!(stage.results()[1].contains("here"), "{:?}", stage.results());
}
