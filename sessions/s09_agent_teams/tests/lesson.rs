//! The lesson, played; then the hard cases.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::sync::Arc;
use std::time::Duration;

use expect_test::expect;
use harness_core::{Model, ModelStream, Request, Secrets};
use harness_testkit::{Gate, Program, Stage};
use regex::Regex;
use s09_agent_teams::mail::{FileMailbox, Mail, MailNotices, Mailbox, MemoryMailbox};
use s09_agent_teams::{LESSON, Member, Team};
use tokio_util::sync::CancellationToken;

const TEAM: &str = include_str!("../team.yaml");
const NAMES: [&str; 4] = ["lead", "explorer", "writer", "me"];

fn members() -> Vec<Member> {
    Member::list(TEAM, "team.yaml").unwrap()
}

/// A team whose mail is in files.
async fn on_files(stage: Stage) -> Stage {
    let notices = MailNotices::default();
    let mailbox = FileMailbox::open(stage.folder.path(), NAMES, notices.clone()).unwrap();
    let team = Team::open(&stage.agent, members(), Arc::new(mailbox), notices).await.unwrap();
    stage.with(team)
}

/// A team whose mail is in memory, and the mailbox.
async fn in_memory(stage: Stage) -> (Stage, Arc<MemoryMailbox>) {
    let mailbox = Arc::new(MemoryMailbox::new(NAMES));
    let team =
        Team::open(&stage.agent, members(), mailbox.clone(), MailNotices::default()).await.unwrap();
    (stage.with(team), mailbox)
}

/// A play: what the lead says, and what its teammates do.
fn play(lead: &str, explorer: &str, writer: &str) -> Stage {
    let lines = |lines: &str| lines.lines().map(|line| format!("  {line}\n")).collect::<String>();
    Stage::new(&format!(
        "prompt: go\nscenes:\n- agent: explorer\n  lines:\n{}- agent: writer\n  lines:\n{}- agent: lead\n  lines:\n{}",
        lines(explorer),
        lines(writer),
        lines(lead)
    ))
}

const IDLE: &str = "- {text: Never asked.}";

/// Writes `ID` for the ids of mails.
fn without_ids(text: &str) -> String {
    Regex::new("[0-9a-f]{16}").unwrap().replace_all(text, "ID").into_owned()
}

#[tokio::test]
async fn the_play() {
    let mut stage = on_files(Stage::new(LESSON.play)).await;
    expect![[r#"
        human: Something is wrong with the greeting. Have it looked into, and have it put right.
        model: I have a team for this. Somebody has to look first.
          call list_teammates {}
          call send_to_teammate {"name":"explorer","message":"What is wrong with the greeting that greet.sh prints?"}
          result 1 explorer (finds things out; reads and searches, changes nothing): idle; mails not answered: 0
            writer (writes and changes files, and runs commands): idle; mails not answered: 0
          result 2 [mail ID.re from explorer, answer to ID]
            greet.sh, line 3: it says `Helo`. One l is missing; nothing else is wrong.
          call send_to_teammate {"name":"fixer","message":"Put line 3 of greet.sh right: `Helo` is to be `Hello`."}
          error there is no teammate "fixer"; available: explorer, writer
        model: There is no fixer, and mail to nobody is refused. The writer can do it.
          call send_to_teammate {"name":"writer","message":"Put line 3 of greet.sh right: `Helo` is to be `Hello`. Run it to check."}
          result [mail ID.re from writer, answer to ID]
            greet.sh says `Hello` now. I ran it: Hello, Ada!
        model: The explorer found a missing letter; the writer put it in and ran greet.sh.
    "#]].assert_eq(&without_ids(&stage.play().await));
    assert!(stage.folder.read("greet.sh").contains("Hello"));
}

#[test]
fn the_play_by_pipe_and_over_the_wire() {
    for said in [
        Program::new(env!("CARGO_BIN_EXE_s09_agent_teams"), LESSON.play).play(),
        Program::new(env!("CARGO_BIN_EXE_s09_agent_teams"), LESSON.play).play_over_the_wire(),
    ] {
        let heard =
            ["explorer: greet.sh, line 3", "there is no teammate \"fixer\"", "writer: answered"];
        assert!(heard.iter().all(|words| said.contains(words)), "{said}");
    }
}

/// A team in memory whose explorer has all tools, and the gate at which it waits.
async fn gated(lead: &str, explorer: &str) -> (Stage, Arc<MemoryMailbox>, Gate) {
    let mut stage = play(lead, explorer, IDLE);
    let gate = Gate::default();
    stage.agent.tools.add_for_family(gate.clone());
    let mailbox = Arc::new(MemoryMailbox::new(NAMES));
    let mut all = members();
    all.iter_mut().for_each(|member| member.tools = None);
    let team =
        Team::open(&stage.agent, all, mailbox.clone(), MailNotices::default()).await.unwrap();
    (stage.with(team), mailbox, gate)
}

/// Until so many mails wait in this box.
async fn waits(mailbox: &MemoryMailbox, name: &str, count: usize) {
    while mailbox.unacknowledged(name).await.unwrap() != count {
        tokio::task::yield_now().await;
    }
}

fn mail(to: &str, body: &str) -> Mail {
    Mail::new("me", to, body)
}

#[tokio::test]
async fn a_late_answer_is_not_taken_for_the_next_one() {
    let lead = "
- calls: [{tool: send_to_teammate, input: {name: explorer, message: the second question}}]
- {text: Done.}";
    let explorer = "- calls: [{tool: gate}]\n- {text: the second answer}";
    let (mut stage, mailbox, gate) = gated(lead, explorer).await;
    let late = Mail::new("lead", "explorer", "the first question").answer("the first answer");
    let ((), transcript) = tokio::join!(
        async {
            gate.reached().await;
            mailbox.send(late).await.unwrap(); // while the lead waits for another
            mailbox.send(mail("lead", "a word from somebody else")).await.unwrap();
            gate.open();
        },
        stage.play()
    );
    expect![[r#"
        human: go
          call send_to_teammate {"name":"explorer","message":"the second question"}
          result [mail ID.re from explorer, answer to ID]
            the second answer
        note: [mail ID.re from explorer, answer to ID]
            the first answer
        note: [mail ID from me]
            a word from somebody else
        model: Done.
    "#]]
    .assert_eq(&without_ids(&transcript));
    assert_eq!(mailbox.unacknowledged("lead").await.unwrap(), 0);
}

#[tokio::test]
async fn work_that_takes_longer_than_the_deadline_is_not_thrown_away() {
    let lead = "
- calls: [{tool: send_to_teammate, input: {name: explorer, message: a long task}}]
- {text: I go on without it.}";
    let mut stage = play(lead, "- calls: [{tool: gate}]\n- {text: the whole work}", IDLE);
    let gate = Gate::default();
    stage.agent.tools.add_for_family(gate.clone());
    let mailbox = Arc::new(MemoryMailbox::new(NAMES));
    let explorer = Member { tools: None, ..members().remove(0) };
    let opened =
        Team::open(&stage.agent, vec![explorer], mailbox.clone(), MailNotices::default()).await;
    let mut team = opened.unwrap();
    team.answer_timeout = Duration::ZERO;
    let mut stage = stage.with(team);
    stage.play().await;
    let told = stage.results().remove(0);
    assert!(told.contains("did not answer mail") && told.contains("will come as mail"), "{told}");
    gate.reached().await;
    gate.open();
    waits(&mailbox, "lead", 1).await;
    stage.say("go").await.unwrap();
    let transcript = without_ids(&stage.transcript());
    assert!(
        transcript.contains("note: [mail ID.re from explorer, answer to ID]\n    the whole work"),
        "{transcript}"
    );
}

/// A model that is fine for everybody but one.
struct Ill(Arc<dyn Model>, &'static str);

impl Model for Ill {
    fn stream(&self, request: &Request<'_>) -> ModelStream {
        match self.1 {
            "panics" if request.agent == "explorer" => panic!("the explorer's model is ill"),
            "fails" if request.agent == "explorer" => {
                let why = "the model is down".to_owned();
                let broken = harness_core::ModelError::Broken { why };
                Box::pin(futures_util::stream::iter([Err(broken)]))
            }
            _ => self.0.stream(request),
        }
    }
}

#[tokio::test]
async fn a_teammate_that_crashes_tells_the_lead_and_lives_on() {
    for (illness, told) in [("panics", "it panicked"), ("fails", "the model is down")] {
        let lead = "
- calls: [{tool: send_to_teammate, input: {name: explorer, message: one}}]
- calls: [{tool: list_teammates}]
- calls: [{tool: send_to_teammate, input: {name: explorer, message: two}}]
- {text: Done.}";
        let mut stage = play(lead, IDLE, IDLE);
        stage.agent.model = Arc::new(Ill(stage.agent.model.clone(), illness));
        let (mut stage, mailbox) = in_memory(stage).await;
        stage.play().await;
        let results = stage.results();
        for result in [&results[0], &results[2]] {
            assert!(result.contains("from explorer, answer to") && result.contains("[failed] "));
            assert!(result.contains(told), "{result}");
        }
        assert!(results[1].contains("idle, its last mail failed: "), "{}", results[1]);
        assert_eq!(mailbox.dead().len(), 2, "what could not be answered can be looked at");
    }
}

#[tokio::test]
async fn mail_is_read_before_each_request_and_not_only_when_idle() {
    let (stage, mailbox, gate) = gated(IDLE, "- calls: [{tool: gate}]\n- {text: Both.}").await;
    mailbox.send(mail("explorer", "begin")).await.unwrap();
    gate.reached().await;
    mailbox.send(mail("explorer", "and look at the tests too")).await.unwrap();
    gate.open();
    waits(&mailbox, "me", 2).await;
    let requests = stage.witness.requests_of("explorer");
    assert!(requests[1].to_string().contains("and look at the tests too"), "{}", requests[1]);
    let answers = mailbox.receive("me", Duration::ZERO).await.unwrap();
    assert!(answers.iter().all(|answer| answer.body == "Both."), "each sender gets its answer");
}

#[tokio::test]
async fn the_list_shows_what_they_do_and_how_much_waits() {
    let lead = "- calls: [{tool: list_teammates}]\n- {text: Done.}";
    let (mut stage, mailbox, gate) = gated(lead, "- calls: [{tool: gate}]\n- {text: Done.}").await;
    mailbox.send(mail("explorer", "find the\nerror")).await.unwrap();
    gate.reached().await;
    mailbox.send(mail("explorer", "and another")).await.unwrap();
    stage.play().await;
    expect![[r#"
        explorer (finds things out; reads and searches, changes nothing): working on “find the error”; mails not answered: 2
        writer (writes and changes files, and runs commands): idle; mails not answered: 0"#]].assert_eq(&stage.results()[0]);
}

#[tokio::test]
async fn the_answers_to_a_broadcast_come_as_mail() {
    let lead = "- calls: [{tool: broadcast, input: {message: who are you}}]\n- {text: I asked.}\n- {text: Both are there.}";
    let (mut stage, mailbox) =
        in_memory(play(lead, "- {text: I explore.}", "- {text: I write.}")).await;
    stage.play().await;
    waits(&mailbox, "explorer", 0).await;
    waits(&mailbox, "writer", 0).await;
    // Woken, as an idle prompt is; unless both came before the lead stopped.
    stage.agent.run(&mut stage.conversation, &CancellationToken::new()).await.unwrap();
    let transcript = stage.transcript();
    assert!(transcript.contains("I explore.") && transcript.contains("I write."), "{transcript}");
    assert_eq!(mailbox.unacknowledged("lead").await.unwrap(), 0);
}

#[tokio::test]
async fn teammates_work_at_the_same_time() {
    let hold = "- calls: [{tool: gate}]\n- {text: Done.}";
    let mut stage = play(IDLE, hold, hold);
    let gate = Gate::default();
    stage.agent.tools.add_for_family(gate.clone());
    let mailbox = Arc::new(MemoryMailbox::new(NAMES));
    let mut all = members();
    all.iter_mut().for_each(|member| member.tools = None);
    let team =
        Team::open(&stage.agent, all, mailbox.clone(), MailNotices::default()).await.unwrap();
    let _stage = stage.with(team);
    mailbox.send(mail("explorer", "one")).await.unwrap();
    mailbox.send(mail("writer", "two")).await.unwrap();
    gate.reached().await;
    gate.reached().await; // both are inside
    gate.open();
    gate.open();
    waits(&mailbox, "me", 2).await;
}

#[tokio::test]
async fn an_explorer_cannot_write() {
    let explorer = "- calls: [{tool: write, input: {path: x, content: y}}]\n- {text: I cannot.}";
    let (stage, mailbox) = in_memory(play(IDLE, explorer, IDLE)).await;
    mailbox.send(mail("explorer", "write x")).await.unwrap();
    waits(&mailbox, "me", 1).await;
    assert!(!stage.folder.has("x"));
}

#[tokio::test]
async fn two_teams_in_one_workspace_are_refused() {
    let stage = Stage::lines(IDLE);
    let open = || {
        let mailbox =
            FileMailbox::open(stage.folder.path(), NAMES, MailNotices::default()).unwrap();
        Team::open(&stage.agent, members(), Arc::new(mailbox), MailNotices::default())
    };
    let first = open().await.unwrap();
    let why = open().await.unwrap_err().to_string();
    let me = std::process::id();
    assert_eq!(
        why,
        format!("the mail of lead is being read by process {me}; end that process first")
    );
    drop(first);
    open().await.unwrap();
}

#[tokio::test]
async fn a_known_secret_is_not_mailed() {
    let lead = "- calls: [{tool: send_to_teammate, input: {name: explorer, message: the key is hunter2-hunter2}}]\n- {text: Done.}";
    let mut stage = play(lead, "- {text: It is hunter2-hunter2 indeed.}", IDLE);
    stage.agent.secrets = Secrets::new([], ["hunter2-hunter2".to_owned()]);
    let mut stage = on_files(stage).await;
    stage.play().await;
    for file in ["explorer", "lead"] {
        let mail = stage.folder.read(&format!(".mailboxes/{file}.jsonl"));
        assert!(!mail.is_empty() && !mail.contains("hunter2"), "{mail}");
    }
}

#[tokio::test]
async fn odd_members_are_refused_by_name() {
    let stage = Stage::lines(IDLE);
    for (yaml, told) in [
        ("[{name: lead, about: x, instructions: x}]", "a teammate cannot be called lead"),
        (
            "[{name: spy, about: x, instructions: x, tools: [raed]}]",
            "the team's spy: there is no tool `raed`",
        ),
    ] {
        let mailbox = MemoryMailbox::new(["lead", "spy"]);
        let all = Member::list(yaml, "mine.yaml").unwrap();
        let opened = Team::open(&stage.agent, all, Arc::new(mailbox), MailNotices::default()).await;
        let why = opened.unwrap_err().to_string();
        assert!(why.contains(told), "{why}");
    }
    let why = format!("{:#}", Member::list("[{name: x, abuot: y}]", "mine.yaml").unwrap_err());
    assert!(why.contains("mine.yaml") && why.contains("abuot"), "{why}");
}
