//! The lesson, played; then the hard cases.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use expect_test::expect;
use futures_util::{StreamExt, stream};
use harness_core::host::ownership::lease::Owner;
use harness_core::{
    Agent, Conversation, Delta, Hook, HookContext, Model, ModelStream, Play, Reply, Request, Rules,
    StopReason, Usage,
};
use harness_testkit::{
    Answers, Folder, Key, Program, Stage, StrictServer, Terminal, scrubbed, wait_until,
};
use s07_task_system::{Graph, NewTask, Priority, Status, Task, TaskBoard, Update};
use s11_autonomous_agents::{BoardLead, Claim, Claims, Found, LESSON, Outcome, WorkFields, Worker};
use tokio_util::sync::CancellationToken;

const PROGRAM: &str = env!("CARGO_BIN_EXE_s11_autonomous_agents");
/// Claims and ends tasks until there are none, and prints their ids: `children/claimer.rs`.
const CLAIMER: &str = env!("CARGO_BIN_EXE_s11_autonomous_agents_claimer");
const DAY: Duration = Duration::from_secs(86_400);
const LEASES: &str = ".agent_tasks.leases.json";

/// Claims in a folder.
fn claims(folder: &Folder, lease: Duration) -> Claims {
    let agent = Agent { cwd: folder.path().to_owned(), ..Stage::lines("- text: x").agent.clone() };
    Claims::open(&agent, lease).unwrap()
}

/// Adds a task and returns its id.
fn post(claims: &Claims, description: &str, after: &[&str], priority: Priority) -> String {
    let depends_on = after.iter().map(|id| (*id).to_owned()).collect();
    let new = NewTask { description: description.to_owned(), depends_on, priority };
    claims.board.change(|graph| Ok(graph.create(&new)?.id.clone())).unwrap()
}

fn simple(claims: &Claims, description: &str) -> String {
    post(claims, description, &[], Priority::Medium)
}

/// Changes a task around all that a `Graph` offers.
fn edit(claims: &Claims, id: &str, change: impl FnOnce(&mut Task)) {
    let edit = |graph: &mut Graph| {
        change(graph.tasks.iter_mut().find(|task| task.id == id).unwrap());
        Ok(())
    };
    claims.board.change(edit).unwrap();
}

fn claim(claims: &Claims, owner: &Owner) -> Claim {
    match claims.claim(owner).unwrap() {
        Found::Claim(claim) => *claim,
        found => panic!("{found:?}"),
    }
}

fn task(claims: &Claims, id: &str) -> Task {
    claims.board.load().unwrap().tasks.into_iter().find(|task| task.id == id).unwrap()
}

/// Begins a worker when the lead wants to stop, so that a transcript is the same each time.
struct Begin(Mutex<Option<Worker>>, CancellationToken);

#[async_trait]
impl Hook for Begin {
    async fn before_stop(&self, _: &Conversation, _: &HookContext<'_>) -> Option<String> {
        let (worker, cancel) = (self.0.lock().unwrap().take(), self.1.clone());
        worker.map(|worker| tokio::spawn(async move { worker.work(None, &cancel).await }));
        None
    }
}

#[tokio::test]
async fn the_play() {
    let mut stage = Stage::new(LESSON.play);
    let claims = Claims::open(&stage.agent, DAY).unwrap();
    let worker = Worker::new(&claims, &stage.agent, "worker-1").unwrap();
    let begin = Begin(Mutex::new(Some(worker)), CancellationToken::new());
    stage.agent.hooks.push(Arc::new(begin));
    let lead = BoardLead::new(claims.clone(), Some(DAY));
    tokio::spawn(lead.clone().watch());
    let mut stage = stage.with(lead);
    let play = stage.play().await;
    let tasks = claims.board.load().unwrap().tasks;
    let named = tasks
        .iter()
        .enumerate()
        .fold(play, |text, (n, task)| text.replace(&task.id, &format!("task-{}", n + 1)));
    expect![[r#"
        human: Write a greeting script, a manual for it, and pack both.
        model: Three tasks; the packing waits for the two others. Whoever is free takes what it can.
          call post_task {"description":"Write greet.sh, which greets whom it is given.","priority":"high","check":"sh greet.sh Ada | grep -x 'Hello, Ada!'"}
          call post_task {"description":"Write MANUAL, one line on how to call greet.sh.","check":"test -s MANUAL"}
          result 1 posted task-1 high: Write greet.sh, which greets whom it is given.
          result 2 posted task-2 Write MANUAL, one line on how to call greet.sh.
          call post_task {"description":"Pack greet.sh and MANUAL into greet.tar.","depends_on":["task-1","task-2"],"check":"tar -tf greet.tar"}
          result posted task-3 Pack greet.sh and MANUAL into greet.tar.
        model: I shall hear when all is settled.
        note: task-1 Write greet.sh, which greets whom it is given. is done
            > greet.sh greets, with an exclamation mark.
            task-2 Write MANUAL, one line on how to call greet.sh. is done
            > MANUAL has the usage.
            task-3 Pack greet.sh and MANUAL into greet.tar. is done
            > greet.tar holds both.
          call task_status {}
          result 3 of 3 done
            [x] task-1 high: Write greet.sh, which greets whom it is given.
            [x] task-2 Write MANUAL, one line on how to call greet.sh.
            └─ [x] task-3 Pack greet.sh and MANUAL into greet.tar. (after task-1)
        model: All three are done. greet.sh took two attempts, since its check did not believe the first.
    "#]].assert_eq(&named);
    // The lease goes after the board is written.
    wait_until("no lease is left", || claims.leases.load().unwrap().is_empty());
    assert!(stage.folder.has(".harness/tasks/worker-1-4.jsonl"), "each attempt has its record");
}

#[test]
fn the_most_urgent_task_is_claimed_first_and_what_waits_is_not() {
    let folder = Folder::new();
    let claims = claims(&folder, DAY);
    let low = post(&claims, "low", &[], Priority::Low);
    let medium = simple(&claims, "medium");
    let high = post(&claims, "high", &[], Priority::High);
    let after = post(&claims, "after", &[&low], Priority::High);
    let owner = claims.leases.owner("worker").unwrap();
    for expected in [high, medium, low.clone()] {
        assert_eq!(claim(&claims, &owner).task.id, expected);
    }
    assert!(matches!(claims.claim(&owner).unwrap(), Found::Wait));
    let done = Claim { task: task(&claims, &low), attempt: 1, check: None, before: vec![] };
    claims.end(&done, &owner, Outcome::Done("it is low".to_owned())).unwrap();
    let last = claim(&claims, &owner);
    assert_eq!(
        (&last.task.id, last.words()),
        (&after, "after\n\nBefore this, low: it is low".to_owned())
    );
}

#[test]
fn the_task_of_a_dead_worker_is_taken_over_at_once_and_given_up_after_three_attempts() {
    let folder = Folder::new();
    let claims = claims(&folder, DAY);
    let id = simple(&claims, "one");
    let after = post(&claims, "two", &[&id], Priority::Medium);
    for attempt in 1..=3 {
        let dead = claims.leases.owner("worker").unwrap();
        assert_eq!(claim(&claims, &dead).attempt, attempt);
        drop(dead); // as the kernel does it
    }
    let owner = claims.leases.owner("worker").unwrap();
    assert!(matches!(claims.claim(&owner).unwrap(), Found::Wait | Found::Nothing));
    let given_up = task(&claims, &id);
    assert_eq!(given_up.status, Status::Failed);
    assert_eq!(given_up.result.unwrap(), "attempt 3 of 3: its worker has died");
    // The next one is not blocked by a guess: the reason stands there.
    let drawn = claims.board.load().unwrap().draw(200);
    assert!(drawn.contains(&format!("[ ] {after} two (blocked by {id})")), "{drawn}");
    assert!(matches!(claims.claim(&owner).unwrap(), Found::Nothing));
}

#[test]
fn a_worker_that_is_silent_for_the_length_of_a_lease_loses_its_task_and_its_work_does_not_count() {
    let folder = Folder::new();
    let claims = claims(&folder, Duration::from_millis(50));
    let id = simple(&claims, "one");
    let (silent, other) = (claims.leases.owner("a").unwrap(), claims.leases.owner("b").unwrap());
    let lost = claim(&claims, &silent);
    assert!(matches!(claims.claim(&other).unwrap(), Found::Wait), "it may still live");
    wait_until("the lease is over", || matches!(claims.claim(&other).unwrap(), Found::Claim(_)));
    let why = claims.end(&lost, &silent, Outcome::Done("late".to_owned())).unwrap_err().to_string();
    assert_eq!(why, format!("{id} was taken from {}; its work does not count", silent.id));
    let now = task(&claims, &id);
    assert_eq!(
        (now.status, now.result.unwrap()),
        (Status::InProgress, "attempt 1 of 3: its worker stopped sending heartbeats".to_owned())
    );
    assert_eq!(claims.leases.load().unwrap()[&id].owner, other.id);
}

#[test]
fn what_a_person_has_begun_is_left_alone() {
    let folder = Folder::new();
    let claims = claims(&folder, Duration::ZERO);
    let id = simple(&claims, "one");
    edit(&claims, &id, |task| task.status = Status::InProgress);
    let owner = claims.leases.owner("worker").unwrap();
    for _ in 0..3 {
        assert!(matches!(claims.claim(&owner).unwrap(), Found::Wait));
    }
    assert_eq!(task(&claims, &id).status, Status::InProgress);
}

#[test]
fn a_kill_between_the_two_files_loses_nothing() {
    let folder = Folder::new();
    let claims = claims(&folder, DAY);
    let id = simple(&claims, "one");
    let dead = claims.leases.owner("worker").unwrap();
    // Killed while it claimed: the lease is written, the board is not.
    claims.leases.change(|table| Ok(table.insert(id.clone(), dead.lease()))).unwrap();
    let owner = claims.leases.owner("worker").unwrap();
    let own = claim(&claims, &owner);
    assert_eq!(
        (own.attempt, claims.leases.load().unwrap()[&id].owner.clone()),
        (1, owner.id.clone())
    );
    // Killed when it was done: the board is written, the lease is still there.
    claims
        .board
        .change(|graph| {
            let done = Update { task_id: id.clone(), status: Status::Done, result: None };
            graph.update(&done).map(drop)
        })
        .unwrap();
    simple(&claims, "two");
    assert_eq!(claim(&claims, &owner).task.description, "two");
    let table = claims.leases.load().unwrap();
    assert_eq!((table.len(), table.contains_key(&id)), (1, false));
}

#[test]
fn a_task_that_is_removed_or_moved_while_it_is_worked_on_is_nobodys_any_more() {
    let folder = Folder::new();
    let claims = claims(&folder, DAY);
    let (one, two) = (simple(&claims, "one"), simple(&claims, "two"));
    let (owner, other) = (claims.leases.owner("a").unwrap(), claims.leases.owner("b").unwrap());
    let (first, second) = (claim(&claims, &owner), claim(&claims, &owner));
    claims
        .board
        .change(|graph| {
            graph.tasks.retain(|task| task.id != one);
            Ok(())
        })
        .unwrap();
    edit(&claims, &two, |task| task.status = Status::Failed);
    for lost in [first, second] {
        let why = claims.end(&lost, &owner, Outcome::Done("x".to_owned())).unwrap_err().to_string();
        assert!(why.ends_with("its work does not count"), "{why}");
    }
    assert_eq!(task(&claims, &two).status, Status::Failed);
    simple(&claims, "three");
    claim(&claims, &other); // who claims next tidies up
    assert!(
        claims.leases.heartbeat(&one, &owner).is_err()
            && claims.leases.heartbeat(&two, &owner).is_err()
    );
}

#[test]
fn damaged_files_are_named_and_kept_and_nothing_is_claimed() {
    for name in [TaskBoard::FILE, LEASES] {
        for text in ["", "[{\"id\": \"aaaa", "{\"x\": 1}", "\0\0\0\0"] {
            let folder = Folder::new();
            let claims = claims(&folder, DAY);
            simple(&claims, "one");
            let board = folder.read(TaskBoard::FILE);
            folder.write(name, text);
            let owner = claims.leases.owner("worker").unwrap();
            let why = claims.claim(&owner).unwrap_err().to_string();
            assert!(why.contains(&format!("{name}\" is damaged (")), "{why}");
            assert_eq!(folder.read(name), text);
            assert!(name == TaskBoard::FILE || folder.read(TaskBoard::FILE) == board);
        }
    }
}

/// A model whose replies all end in this way.
#[derive(Clone)]
struct Ends(StopReason);

impl Model for Ends {
    fn stream(&self, _: &Request<'_>) -> ModelStream {
        let message = serde_json::from_str(
            r#"{"role": "assistant", "content": [{"type": "text", "text": "Half of"}]}"#,
        );
        let reply = Reply::new(message.unwrap(), self.0.clone(), Usage::default());
        stream::iter([Ok(Delta::Done(reply))]).boxed()
    }
}

/// Lets a worker with this model do all that is on the board.
async fn work(agent: &Agent, claims: &Claims) {
    let worker = Worker::new(claims, agent, "worker").unwrap();
    worker.work(Some(Duration::ZERO), &CancellationToken::new()).await.unwrap();
}

#[tokio::test]
async fn an_answer_that_was_cut_off_or_declined_is_not_done_and_the_reason_is_kept() {
    for (stop, why) in [
        (StopReason::MaxTokens, "failed: the reply was cut at"),
        (StopReason::Refusal, "declined by the model"),
        (StopReason::Other("odd".to_owned()), "failed: the model stopped for an unknown reason"),
    ] {
        let mut stage = Stage::lines("- text: x");
        stage.agent.model = Arc::new(Ends(stop));
        let claims = Claims::open(&stage.agent, DAY).unwrap();
        let id = simple(&claims, "one");
        work(&stage.agent, &claims).await;
        let failed = task(&claims, &id);
        let result = failed.result.unwrap();
        assert_eq!(failed.status, Status::Failed);
        assert!(result.starts_with(&format!("attempt 3 of 3: {why}")), "{result}");
    }
}

#[tokio::test]
async fn a_check_decides_and_passes_the_gate() {
    let mut stage =
        Stage::new("prompt: x\nscenes: [{said: task, lines: [{text: I have done it.}]}]");
    stage.agent.gate.policy = Arc::new(Rules::built_in().unwrap().deny_only());
    let claims = Claims::open(&stage.agent, DAY).unwrap();
    let checks = ["true", "echo no; exit 1", "sudo true"];
    let ids = checks.map(|check| {
        let id = simple(&claims, &format!("task {check}"));
        edit(&claims, &id, |task| _ = task.rest.insert("check".to_owned(), check.into()));
        id
    });
    let words = simple(&claims, "task");
    edit(&claims, &words, |task| task.description = "  ".to_owned());
    work(&stage.agent, &claims).await;
    let results = [&ids[0], &ids[1], &ids[2], &words].map(|id| {
        let task = task(&claims, id);
        format!("{}: {}", task.status, task.result.unwrap())
    });
    expect![[r#"
        done: I have done it.
        failed: attempt 3 of 3: its check failed: no
        [exit code 1]
        failed: attempt 3 of 3: its check failed: denied: `sudo true`: runs as another user (config/permissions.yaml:48)
        failed: attempt 3 of 3: it has no words"#]].assert_eq(&results.join("\n"));
}

#[test]
fn a_task_whose_check_cannot_be_read_is_named_and_not_claimed() {
    let stage = Stage::lines("- text: x");
    let claims = Claims::open(&stage.agent, DAY).unwrap();
    let id = simple(&claims, "one");
    edit(&claims, &id, |task| _ = task.rest.insert("check".to_owned(), 42.into()));
    let owner = claims.leases.owner("me").unwrap();
    let why = claims.claim(&owner).unwrap_err().to_string();
    assert!(why.contains(&format!("task {id} cannot be worked on")), "{why}");
    assert_eq!(task(&claims, &id).status, Status::Pending);
    assert!(claims.leases.load().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_work_at_the_same_time() {
    // Each waits for what the other one makes.
    let waits = |own: &str, other: &str| {
        format!(
            "[{{calls: [{{tool: bash, input: {{command: 'touch {own}; until [ -e {other} ]; do :; done'}}}}]}}, {{text: I have met it.}}]"
        )
    };
    let play = format!(
        "prompt: x\nscenes: [{{said: one, lines: {}}}, {{said: two, lines: {}}}]",
        waits("a", "b"),
        waits("b", "a")
    );
    let stage = Stage::new(&play);
    let claims = Claims::open(&stage.agent, DAY).unwrap();
    let ids = [simple(&claims, "one"), simple(&claims, "two")];
    let workers =
        ["worker-1", "worker-2"].map(|name| Worker::new(&claims, &stage.agent, name).unwrap());
    let cancel = CancellationToken::new();
    let work = workers.each_ref().map(|worker| worker.work(Some(DAY), &cancel));
    let [first, second] = work;
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first.unwrap() + second.unwrap(), 2);
    assert!(ids.iter().all(|id| task(&claims, id).status == Status::Done));
}

// ---- the program

/// Workers whose every task writes a line to the file `ran`.
const SCENES: &str = "
prompt: x
scenes:
- said: '^task '
  lines:
  - calls: [{tool: bash, input: {command: 'echo . >> ran'}}]
  - text: It ran.
- said: '^hang.*\\s+This was tried before'
  lines: [{text: It ran.}]
- said: '^(long|hang)'
  lines:
  - calls: [{tool: bash, input: {command: 'echo $$ > long; exec sleep 1000'}}]
  - text: Never said.
";

fn server() -> StrictServer {
    StrictServer::start(Answers::Play(Play::from_yaml(SCENES).unwrap()))
}

fn worker(server: &StrictServer, folder: &Folder, home: &Folder) -> Command {
    let mut command = scrubbed(PROGRAM, home.path());
    command.args(["worker", "--workspace"]).arg(folder.path());
    command.env("ANTHROPIC_BASE_URL", server.base_url()).env("ANTHROPIC_API_KEY", "k");
    command.stdout(Stdio::null()).stderr(Stdio::inherit());
    command
}

fn spawn(server: &StrictServer, folder: &Folder, home: &Folder) -> Child {
    worker(server, folder, home).spawn().unwrap()
}

fn ran(folder: &Folder) -> usize {
    fs::read(folder.path().join("ran"))
        .map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count())
}

fn two_hundred(folder: &Folder) -> Claims {
    let claims = claims(folder, DAY);
    claims
        .board
        .change(|graph| {
            for n in 0..200 {
                let description = format!("task {n}");
                graph.create(&NewTask { description, ..NewTask::default() })?;
            }
            Ok(())
        })
        .unwrap();
    claims
}

/// How often all tasks together were begun.
fn fields(task: &Task) -> WorkFields {
    WorkFields::of(task).unwrap()
}

fn attempts(claims: &Claims) -> u64 {
    let tasks = claims.board.load().unwrap().tasks;
    tasks.iter().map(|task| fields(task).attempts).sum()
}

fn all_done(claims: &Claims) {
    let open: Vec<Task> = claims
        .board
        .load()
        .unwrap()
        .tasks
        .into_iter()
        .filter(|task| task.status != Status::Done)
        .collect();
    assert!(open.is_empty(), "{open:?}");
    assert!(claims.leases.load().unwrap().is_empty());
}

#[test]
fn eight_processes_claim_each_task_once() {
    let folder = Folder::in_memory();
    let claims = two_hundred(&folder);
    for _ in 1..std::env::var("BOARDS").map_or(1, |boards| boards.parse().unwrap()) {
        two_hundred(&folder); // more, for who measures
    }
    let begun = std::time::Instant::now();
    let start = |_| {
        let mut command = scrubbed(CLAIMER, folder.path());
        command.arg(folder.path()).stdout(Stdio::piped()).spawn().unwrap()
    };
    let processes: Vec<Child> = (0..8).map(start).collect();
    let outputs = std::thread::scope(|scope| {
        let waits: Vec<_> = processes
            .into_iter()
            .map(|it| scope.spawn(|| it.wait_with_output().unwrap()))
            .collect();
        waits.into_iter().map(|wait| wait.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(outputs.iter().all(|output| output.status.success()));
    let said: Vec<String> =
        outputs.into_iter().map(|output| String::from_utf8(output.stdout).unwrap()).collect();
    let mut ids: Vec<&str> = said
        .iter()
        .flat_map(|said| said.lines())
        .filter_map(|it| it.strip_prefix("claimed "))
        .collect();
    let (count, took) = (ids.len(), begun.elapsed());
    println!("claims: {count}, {:.0} a second", count as f64 / took.as_secs_f64());
    ids.sort_unstable();
    ids.dedup();
    let tasks = claims.board.load().unwrap().tasks.len();
    assert_eq!((count, ids.len()), (tasks, tasks));
    all_done(&claims);
}

#[test]
fn eight_processes_share_two_hundred_tasks_and_each_is_run_exactly_once() {
    let (folder, home, server) = (Folder::in_memory(), Folder::new(), server());
    let claims = two_hundred(&folder);
    let mut processes: Vec<Child> = (0..8).map(|_| spawn(&server, &folder, &home)).collect();
    assert!(processes.iter_mut().all(|process| process.wait().unwrap().success()));
    all_done(&claims);
    assert_eq!((ran(&folder), attempts(&claims)), (200, 200));
    assert_eq!(fs::read_dir(folder.path().join(".harness/workers")).unwrap().count(), 0);
}

#[test]
fn with_eight_of_them_killed_no_task_is_lost() {
    let (folder, home, server) = (Folder::in_memory(), Folder::new(), server());
    let claims = two_hundred(&folder);
    let mut processes: Vec<Child> = (0..8).map(|_| spawn(&server, &folder, &home)).collect();
    for kill in 0..8 {
        let so_far = 15 * (kill + 1);
        wait_until("they work", || ran(&folder) >= so_far);
        processes[kill].kill().unwrap(); // SIGKILL
        processes[kill].wait().unwrap();
        processes.push(spawn(&server, &folder, &home));
    }
    for process in &mut processes[8..] {
        assert!(process.wait().unwrap().success());
    }
    all_done(&claims);
    let ran = ran(&folder);
    assert!((200..=208).contains(&ran), "{ran} runs of 200 tasks, and 8 kills");
    assert!((200..=208).contains(&attempts(&claims)));
}

#[test]
fn a_worker_that_is_asked_to_stop_gives_its_task_back() {
    let (folder, home, server) = (Folder::new(), Folder::new(), server());
    let claims = claims(&folder, DAY);
    let id = simple(&claims, "long");
    let mut process = spawn(&server, &folder, &home);
    wait_until("it works", || {
        fs::read_to_string(folder.path().join("long")).is_ok_and(|it| it.ends_with('\n'))
    });
    let kill =
        scrubbed("kill", home.path()).args(["-s", "TERM", &process.id().to_string()]).status();
    assert!(kill.unwrap().success() && process.wait().unwrap().success());
    let back = task(&claims, &id);
    assert_eq!((back.status, fields(&back).attempts), (Status::Pending, 0));
    assert!(claims.leases.load().unwrap().is_empty());
    let child: u32 = folder.read("long").trim().parse().unwrap();
    assert!(!harness_core::host::process::lives(child));
}

#[test]
fn a_process_that_hangs_loses_its_task_and_stops_when_it_finds_out() {
    let (folder, home, server) = (Folder::new(), Folder::new(), server());
    let claims = claims(&folder, DAY);
    let id = simple(&claims, "hang");
    let short = || {
        let mut command = worker(&server, &folder, &home);
        command.args(["--lease", "1"]).spawn().unwrap()
    };
    let signal = |signal: &str, process: &Child| {
        let mut kill = scrubbed("kill", home.path());
        assert!(kill.args(["-s", signal, &process.id().to_string()]).status().unwrap().success());
    };
    let mut hangs = short();
    wait_until("it works", || folder.has("long"));
    signal("STOP", &hangs);
    let mut other = short();
    assert!(other.wait().unwrap().success());
    let done = task(&claims, &id);
    assert_eq!((done.status, fields(&done).attempts), (Status::Done, 2));
    signal("CONT", &hangs);
    assert!(hangs.wait().unwrap().success());
    assert_eq!(task(&claims, &id).result.unwrap(), "It ran.");
    let child: u32 = folder.read("long").trim().parse().unwrap();
    assert!(!harness_core::host::process::lives(child), "its command has ended too");
}

#[test]
fn a_worker_leaves_when_there_is_nothing_to_do() {
    let (folder, home, server) = (Folder::new(), Folder::new(), server());
    let mut command = worker(&server, &folder, &home);
    let output = command.stdout(Stdio::piped()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "tasks worked on: 0\n");
    // Somebody else is at work, and that may take long.
    let claims = claims(&folder, DAY);
    let id = simple(&claims, "one");
    edit(&claims, &id, |task| task.status = Status::InProgress);
    let mut command = worker(&server, &folder, &home);
    let output = command.args(["--idle", "0"]).stdout(Stdio::piped()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "tasks worked on: 0\n");
}

#[test]
fn the_play_by_pipe_and_over_the_wire() {
    let program = Program::new(PROGRAM, LESSON.play);
    for said in [program.play(), Program::new(PROGRAM, LESSON.play).play_over_the_wire()] {
        assert!(said.contains("All three are done. greet.sh took two attempts"), "{said}");
        assert!(said.contains("3 of 3 done"), "{said}");
    }
}

#[test]
fn one_prompt_waits_for_the_workers() {
    let program = Program::new(PROGRAM, LESSON.play);
    let mut command = program.command();
    command.args(["-p", &Play::from_yaml(LESSON.play).unwrap().prompt[0]]);
    let done = Program::pipe(command, "");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert_eq!(
        said,
        "All three are done. greet.sh took two attempts, since its check did not believe the first.\n"
    );
    assert!(program.folder.has("greet.tar"));
}

#[test]
fn an_idle_lead_is_woken_when_all_is_settled_also_by_workers_of_another_process() {
    let program = Program::new(PROGRAM, LESSON.play);
    let mut command = program.command();
    command.args(["--workers", "0"]);
    let terminal = Terminal::start(command, 100, 60);
    terminal.wait_for("s11 >>");
    terminal.key(Key::Enter);
    terminal.wait_for("I shall hear when all is settled.");
    let mut worker = scrubbed(PROGRAM, program.folder.path());
    worker.args(["worker", "--workspace"]).arg(program.folder.path());
    assert!(worker.stdout(Stdio::null()).status().unwrap().success());
    terminal.wait_for("All three are done.");
}
