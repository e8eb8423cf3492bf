//! The lesson, played; then the hard cases: real processes, and a Redis that is killed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use expect_test::expect;
use harness_app::App;
use harness_core::{Agent, Play};
use harness_testkit::{
    Answers, Fault, Folder, Key, Program, Redis, Stage, StrictServer, Terminal, fifo, scrubbed,
};
use regex::Regex;
use s09_agent_teams::Member;
use s09_agent_teams::mail::{Mail, MailNotices, Mailbox};
use s22_production_mailbox::{LESSON, RedisMailbox, TeamMailbox, space_of};

const BIN: &str = env!("CARGO_BIN_EXE_s22_production_mailbox");
const NAMES: [&str; 3] = ["alpha", "beta", "lead"];
/// Waiting in vain is bounded by this.
const LONG: Duration = Duration::from_secs(60);

// ---------------------------------------------------------------- the play

/// Writes `ID` for the ids of mails.
fn without_ids(text: &str) -> String {
    Regex::new("[0-9a-f]{16}").unwrap().replace_all(text, "ID").into_owned()
}

/// A stage with a team over the mail at this address, and that mail.
async fn team(mut stage: Stage, url: &str) -> (Stage, TeamMailbox) {
    let notices = MailNotices::default();
    let members = Member::list(include_str!("../team.yaml"), "team.yaml").unwrap();
    let (mailbox, _) = TeamMailbox::open(Some(url), "s", &NAMES, &notices).await.unwrap();
    let app = App::from(stage.agent.clone());
    let mut app = mailbox.team(app, members, notices).await.unwrap().start().unwrap();
    app.enter(); // teammates begin with the program
    stage.agent = Agent::clone(app.agent());
    (stage, mailbox)
}

/// Nobody listens there.
const NOWHERE: &str = "redis://127.0.0.1:1";

#[tokio::test]
async fn the_play() {
    let (mut stage, mailbox) = team(Stage::new(LESSON.play), NOWHERE).await;
    assert!(matches!(mailbox, TeamMailbox::Memory(_)));
    let played = without_ids(&stage.play().await);
    expect![[r#"
        human: Version 1.4.0 is due. Have the notes checked, have them put right, and have them signed.
        model: First I ask who is there, and let somebody look who changes nothing.
          call list_teammates {}
          call send_to_teammate {"name":"alpha","message":"Do the notes (NOTES.md) have an entry for the version in version.txt?"}
          result 1 alpha (looks things up; reads, searches and compares, changes nothing): idle; mails not answered: 0
            beta (changes files and runs commands): idle; mails not answered: 0
          result 2 [mail ID.re from alpha, answer to ID]
            No. version.txt says 1.4.0; the newest entry of NOTES.md is 1.3.9.
        model: They do not. beta writes it.
          call send_to_teammate {"name":"beta","message":"Add an entry for 1.4.0 on top of NOTES.md: mail outlives its server. Run check.sh."}
          result [mail ID.re from beta, answer to ID]
            NOTES.md has an entry for 1.4.0. I ran check.sh, and it passes.
          call send_to_teammate {"name":"alpha","message":"Sign NOTES.md with the release key."}
          error [mail ID.re from alpha, answer to ID]
            [failed] it said nothing
        model: The notes have their entry and pass the check. Nobody signed them: alpha failed, I was told at once, and the mail is among the dead letters (`:dead`).
    "#]].assert_eq(&played);
    assert!(stage.folder.read("NOTES.md").contains("## 1.4.0"));
    let Some(redis) = Redis::start() else { return };
    let (mut stage, mailbox) = team(Stage::new(LESSON.play), &redis.url()).await;
    assert!(matches!(mailbox, TeamMailbox::Redis(_)));
    assert_eq!(without_ids(&stage.play().await), played, "the same with a Redis");
}

fn program() -> Program {
    Program::new(BIN, LESSON.play)
}

#[test]
fn the_play_by_pipe_and_over_the_wire_without_a_redis() {
    for said in [program().play(), program().play_over_the_wire()] {
        let told = "no Redis at redis://127.0.0.1:1: nobody listens there; mail is kept in this process alone, \
            and gone when it ends\n";
        for words in [
            told,
            "alpha: ▸ read version.txt",
            "beta: ▸ bash sh check.sh",
            "[failed] it said nothing",
        ] {
            assert!(said.contains(words), "{words:?} in {said}");
        }
    }
    let (answer, _) = program().answer_over_the_wire();
    assert!(answer.to_string().contains("Nobody signed them"), "{answer}");
}

#[test]
fn the_play_by_pipe_and_in_a_terminal_with_a_redis() {
    let Some(redis) = Redis::start() else { return };
    let (piped, shown) = (program(), program());
    let output = Program::pipe(at(piped.command(), &redis), "\n:dead\nq\n");
    let said = String::from_utf8(output.stdout).unwrap();
    let told = format!("mail: {}, space {}\n", redis.url(), space_of(piped.folder.path()));
    let dead = "lead to alpha: “Sign NOTES.md with the release key.”\n  it said nothing\n";
    for words in [&told, "alpha: ▸ read version.txt", "beta: ▸ bash sh check.sh", dead] {
        assert!(said.contains(words), "{words:?} in {said}");
    }
    let mut terminal = Terminal::start(at(shown.command(), &redis), 80, 60);
    terminal.wait_for("s22 >>");
    terminal.key(Key::Enter).wait_for("among the dead letters");
    terminal.line(":dead").wait_for("  it said nothing");
    terminal.line("q");
    assert!(terminal.wait_for_end().success());
}

fn at(mut command: Command, redis: &Redis) -> Command {
    command.env("REDIS_URL", redis.url());
    command
}

// ---------------------------------------------------------------- processes

/// A process of the session, and what it prints. It is killed when this is dropped.
struct Process {
    child: Child,
    said: Box<dyn BufRead + Send>,
    all: String,
}

impl Process {
    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let said = Box::new(BufReader::new(child.stdout.take().unwrap()));
        Self { child, said, all: String::new() }
    }

    /// Reads until it has said this.
    fn wait_for(&mut self, words: &str) -> &str {
        let begin = self.all.len();
        while !self.all[begin..].contains(words) {
            let read = self.said.read_line(&mut self.all).unwrap();
            assert!(read > 0, "it ended before it said {words:?}:\n{}", self.all);
        }
        &self.all
    }

    /// Reads until it has said this, now or at any time before.
    fn has_said(&mut self, words: &str) -> &str {
        if self.all.contains(words) { &self.all } else { self.wait_for(words) }
    }

    fn type_in(&mut self, line: &str) {
        self.child.stdin.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it as Ctrl-C does.
    fn interrupt(mut self, home: &Folder) {
        let id = self.child.id().to_string();
        assert!(scrubbed("kill", home.path()).args(["-INT", &id]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success(), "{}", self.all);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A team in processes: a folder, a Redis, and a play in the model's place.
struct Place {
    redis: Redis,
    model: StrictServer,
    home: Folder,
    folder: Folder,
}

impl Place {
    fn new(play: &str) -> Option<Self> {
        let redis = Redis::start()?;
        let model = StrictServer::start(Answers::Play(Play::from_yaml(play).unwrap()));
        let folder = Folder::new();
        folder.write("team.yaml", TEAM);
        Some(Self { redis, model, home: Folder::new(), folder })
    }

    fn process(&self, words: &[&str]) -> Process {
        let mut command = scrubbed(BIN, self.home.path());
        command
            .arg("--workspace")
            .arg(self.folder.path())
            .args(["--team", "team.yaml"])
            .args(words);
        command.current_dir(self.folder.path());
        command
            .env("ANTHROPIC_BASE_URL", self.model.base_url())
            .env("ANTHROPIC_API_KEY", "k-0123456789");
        Process::start(at(command, &self.redis))
    }

    /// A worker, once it reads its mail.
    async fn worker(&self, name: &str) -> Process {
        let mut worker = self.process(&["worker", name]);
        worker.wait_for("works here.");
        let mailbox = self.mailbox().await;
        while mailbox.reader(name).await.unwrap().is_none() {
            mailbox.wait_for_change(Duration::from_millis(100)).await;
        }
        worker
    }

    async fn mailbox(&self) -> RedisMailbox {
        let space = space_of(self.folder.path());
        RedisMailbox::open(&self.redis.url(), &space, NAMES, MailNotices::default()).await.unwrap()
    }

    /// Makes a gate at which `cat NAME` waits.
    fn gate(&self, name: &str) {
        fifo(&self.folder.path().join(name));
    }

    /// Waits until somebody stands at the gate; it opens when what this returns is dropped.
    async fn reached(&self, name: &str) -> std::fs::File {
        let path = self.folder.path().join(name);
        let open = move || OpenOptions::new().write(true).open(path).unwrap();
        tokio::task::spawn_blocking(open).await.unwrap()
    }
}

const TEAM: &str = "
- {name: alpha, about: works, instructions: Work.}
- {name: beta, about: works, instructions: Work.}
";

/// Who is told to `Go` stands at the gate of its name and then is done.
const GATES: &str = "
prompt: go
scenes:
- agent: alpha
  said: Go
  lines: [{calls: [{tool: bash, input: {command: cat alpha.gate}}]}, {text: Alpha has gone.}]
- agent: beta
  said: Go
  lines: [{calls: [{tool: bash, input: {command: cat beta.gate}}]}, {text: Beta has gone.}]
- agent: alpha
  said: Read
  lines: [{calls: [{tool: read, input: {path: some.txt}}, {tool: write, input: {path: new.txt, content: new}}]}, {text: Read and written.}]
- agent: lead
  said: go
  lines:
  - calls: [{tool: send_to_teammate, input: {name: alpha, message: Go.}}]
  - calls: [{tool: send_to_teammate, input: {name: beta, message: Go.}}]
  - text: Both have gone.
- agent: lead
  said: read
  lines:
  - calls: [{tool: send_to_teammate, input: {name: alpha, message: Read.}}]
  - text: It was read.
- agent: lead
  said: fail
  lines:
  - calls: [{tool: send_to_teammate, input: {name: alpha, message: Fail.}}]
  - text: It failed.
";

#[tokio::test]
async fn two_workers_beside_a_lead_and_a_redis_that_is_killed_ten_times_in_mid_work() {
    let Some(mut place) = Place::new(GATES) else { return };
    place.gate("alpha.gate");
    place.gate("beta.gate");
    let (alpha, beta) = (place.worker("alpha").await, place.worker("beta").await);
    let mut lead = place.process(&[]);
    for round in 0..10 {
        lead.type_in("go\n");
        for gate in ["alpha.gate", "beta.gate"] {
            let open = place.reached(gate).await; // it works, and the lead waits for it
            if (gate == "alpha.gate") == (round % 2 == 0) {
                place.redis.kill();
                drop(open); // it is done, and nobody takes its answer
                place.redis.start_again();
            }
        }
        lead.wait_for("Both have gone.");
    }
    lead.type_in("q\n");
    assert!(lead.child.wait().unwrap().success());
    let shown = lead.has_said("is back, after");
    assert!(shown.contains("is lost ("), "{shown}");
    let mailbox = place.mailbox().await;
    for name in NAMES {
        assert_eq!(mailbox.unacknowledged(name).await.unwrap(), 0, "{name}");
        assert_eq!(mailbox.dead(name).await.unwrap(), [], "{name}");
    }
    alpha.interrupt(&place.home);
    beta.interrupt(&place.home);
    // Each was asked twice in each of ten rounds, and no more.
    let asked = place.model.recorded();
    assert_eq!(asked.iter().filter(|request| request.agent() != "lead").count(), 40);
    place.model.finish();
}

#[tokio::test]
async fn a_worker_killed_in_mid_work_is_followed_by_the_next_and_the_mail_is_answered_once() {
    let Some(place) = Place::new(GATES) else { return };
    place.gate("beta.gate");
    let mut first = place.worker("beta").await;
    let mut second = place.process(&["worker", "beta"]);
    second.wait_for("standing by here");
    let lead = place.mailbox().await;
    let mail = Mail::new("lead", "beta", "Go.");
    lead.send(mail.clone()).await.unwrap();
    let open = place.reached("beta.gate").await;
    first.kill();
    drop(open);
    let answers = lead.receive("lead", LONG).await.unwrap();
    assert_eq!((answers.len(), answers[0].in_reply_to.as_ref()), (1, Some(&mail.id)));
    assert_eq!(answers[0].body, "Beta has gone.");
    lead.acknowledge("lead", &[answers[0].id.clone()]).await.unwrap();
    while lead.unacknowledged("beta").await.unwrap() > 0 {
        lead.wait_for_change(Duration::from_millis(100)).await;
    }
    second.interrupt(&place.home);
    assert_eq!(lead.receive("lead", Duration::ZERO).await.unwrap(), []);
    // It went on with the conversation of the first, which says that a call was cut short.
    let asked = place.model.recorded();
    assert_eq!(asked.len(), 2);
    assert!(asked[1].body.to_string().contains("interrupted"), "{}", asked[1].body);
}

#[tokio::test]
async fn workers_know_every_tool_of_the_harness() {
    // The original's workers knew bash alone: a read or a write became an empty command that succeeded.
    let Some(place) = Place::new(GATES) else { return };
    place.folder.write("some.txt", "some text\n");
    let mut worker = place.worker("alpha").await;
    let mut lead = place.process(&[]);
    lead.type_in("read\n");
    lead.wait_for("It was read.");
    assert_eq!(place.folder.read("new.txt"), "new");
    worker.wait_for("some text");
}

#[tokio::test]
async fn a_model_error_in_a_worker_is_told_to_the_lead_and_the_worker_lives_on() {
    // In the original it ended the worker without a word, and the lead waited.
    let Some(place) = Place::new(GATES) else { return };
    place.folder.write("some.txt", "some text\n");
    let _worker = place.worker("alpha").await;
    place.model.fault(
        2, // the first is the lead's
        Fault::Status { code: 404, headers: vec![], body: "no such model".to_owned() },
    );
    let mut lead = place.process(&[]);
    lead.type_in("fail\n:dead\n");
    lead.wait_for("It failed.");
    let shown = lead.wait_for("lead to alpha: “Fail.”");
    assert!(shown.contains("[failed] "), "{shown}");
    lead.type_in("read\n");
    lead.wait_for("It was read.");
}

#[tokio::test]
async fn a_late_answer_is_not_the_answer_to_the_next_question() {
    // The original took whatever came next.
    let Some(redis) = Redis::start() else { return };
    let play = "
prompt: go
scenes:
- agent: alpha
  lines: [{text: The answer to this question.}]
- agent: lead
  lines:
  - calls: [{tool: send_to_teammate, input: {name: alpha, message: A question.}}]
  - text: Done.";
    let (mut stage, mailbox) = team(Stage::new(play), &redis.url()).await;
    let TeamMailbox::Redis(mailbox) = &mailbox else { panic!("there is a Redis") };
    let earlier = Mail::new("lead", "alpha", "A question of yesterday.");
    mailbox.send(earlier.answer("A late answer.")).await.unwrap();
    stage.play().await;
    let result = &stage.results()[0];
    assert!(result.ends_with("The answer to this question."), "{result}");
    let shown = stage.transcript();
    assert!(
        shown.contains("note: [mail") && shown.contains("A late answer."),
        "it comes as mail: {shown}"
    );
}

#[tokio::test]
async fn watch_shows_who_is_there_what_waits_and_what_is_done_and_ends_with_its_reader() {
    let Some(place) = Place::new(GATES) else { return };
    place.gate("beta.gate");
    let mut watch = place.process(&["watch"]);
    watch.wait_for("beta: nobody reads its mail; mails not done: 0");
    let worker = place.worker("beta").await;
    watch.wait_for("beta: there, in process");
    place.mailbox().await.send(Mail::new("lead", "beta", "Go.")).await.unwrap();
    let open = place.reached("beta.gate").await;
    watch.wait_for("beta: working on “Go.” in process");
    watch.has_said("beta ▸ bash cat beta.gate");
    drop(open);
    watch.wait_for("beta: answered");
    watch.has_said("lead: nobody reads its mail; mails not done: 1");
    worker.interrupt(&place.home);
    watch.wait_for("beta: nobody reads its mail; mails not done: 0");
    watch.said = Box::new(std::io::empty()); // `watch | head`
    place.mailbox().await.send(Mail::new("lead", "beta", "Go.")).await.unwrap();
    assert!(watch.child.wait().unwrap().success());
}

#[tokio::test]
async fn two_leads_of_one_workspace_are_told_apart_at_the_start() {
    let Some(place) = Place::new(GATES) else { return };
    let mut first = place.process(&[]);
    first.wait_for(":help lists the commands");
    let second = place.process(&[]).child.wait().unwrap();
    assert_eq!(second.code(), Some(1));
}

#[test]
fn what_needs_a_redis_says_so_and_a_wrong_name_is_refused_with_the_list() {
    let program = program();
    let said = |words: &[&str], url: &str| {
        let mut command = program.command();
        command.args(words).env("REDIS_URL", url);
        let output = Program::pipe(command, "");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(
        said(&["worker", "alpha"], NOWHERE),
        "error: no Redis at redis://127.0.0.1:1: nobody listens there; `worker` and `watch` need one\n"
    );
    assert!(said(&["watch"], "redis://127.0.0.1:1").contains("`worker` and `watch` need one"));
    let why = said(&[], "redis://:sesame-opens@127.0.0.1:99999");
    assert!(
        why.starts_with("error: redis://:***@127.0.0.1:99999 is not the address of a Redis"),
        "{why}"
    );
    let Some(redis) = Redis::start() else { return };
    assert_eq!(
        said(&["worker", "gamma"], &redis.url()),
        "error: there is no member \"gamma\" in the team; available: alpha, beta\n"
    );
}

#[tokio::test]
async fn a_redis_that_was_named_has_to_let_us_in_and_memory_never_stands_in_for_it() {
    let Some(redis) = Redis::with(&["--requirepass", "sesame-opens"]) else { return };
    let refused = TeamMailbox::open(Some(&redis.url()), "s", &NAMES, &MailNotices::default()).await;
    assert!(refused.unwrap_err().to_string().contains("refused"));
}
