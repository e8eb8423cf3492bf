//! The lesson, played; then the hard cases.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use expect_test::expect;
use harness_core::{ChildKind, ChildSpec};
use harness_testkit::{Folder, Stage};
use s03_todo_write::{LESSON, List, Plan, Status};
use tokio_util::sync::CancellationToken;

fn list(texts: &[&str]) -> List {
    let mut list = List::default();
    list.rewrite(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()).unwrap();
    list
}

#[tokio::test]
async fn the_play() {
    let plan = Plan::default();
    let mut stage = Stage::new(LESSON.play).with(plan.clone());
    expect![[r##"
        human: Write a small greeting program in shell, with a test for it.
        model: Three steps. I write them down before I begin.
          call todo_write {"tasks":["Write greet.sh","Write a test for it","Run the test"]}
          result 3 new, 0 dropped
            [ ] 1 Write greet.sh
            [ ] 2 Write a test for it
            [ ] 3 Run the test
          call todo_update {"index":1,"status":"in_progress"}
          call write {"path":"greet.sh","content":"#!/bin/sh\necho \"Hello, ${1:-world}!\"\n"}
          result 1 task 1 is in progress
            [>] 1 Write greet.sh
            [ ] 2 Write a test for it
            [ ] 3 Run the test
          result 2 made greet.sh (37 bytes)
          call todo_update {"index":1,"status":"done"}
          call todo_update {"index":2,"status":"in_progress"}
          call write {"path":"test.sh","content":"#!/bin/sh\n[ \"$(sh greet.sh Ada)\" = 'Hello, Ada!' ] && echo passed\n"}
          result 1 task 1 is done
            [x] 1 Write greet.sh
            [ ] 2 Write a test for it
            [ ] 3 Run the test
          result 2 task 2 is in progress
            [x] 1 Write greet.sh
            [>] 2 Write a test for it
            [ ] 3 Run the test
          result 3 made test.sh (66 bytes)
          call todo_update {"index":3,"status":"in_progress"}
          error task 2 (Write a test for it) is in progress; one at a time
        model: Two at once is refused. The test is written, so that step is done first.
          call todo_update {"index":2,"status":"done"}
          call todo_update {"index":3,"status":"in_progress"}
          call bash {"command":"sh test.sh"}
          result 1 task 2 is done
            [x] 1 Write greet.sh
            [x] 2 Write a test for it
            [ ] 3 Run the test
          result 2 task 3 is in progress
            [x] 1 Write greet.sh
            [x] 2 Write a test for it
            [>] 3 Run the test
          result 3 passed
          call todo_update {"index":3,"status":"done"}
          result task 3 is done
            [x] 1 Write greet.sh
            [x] 2 Write a test for it
            [x] 3 Run the test
        model: greet.sh greets, and its test passed. All three steps are done.
    "##]].assert_eq(&stage.play().await);
    assert!(!plan.list().is_unfinished());
    assert_eq!(stage.folder.read("greet.sh"), "#!/bin/sh\necho \"Hello, ${1:-world}!\"\n");
}

#[tokio::test]
async fn any_status_string_is_refused_with_the_ones_there_are() {
    let lines = "
- calls: [{tool: todo_write, input: {tasks: [one]}}]
- calls: [{tool: todo_update, input: {index: 1, status: banana}}]
- {text: I see.}";
    let mut stage = Stage::lines(lines).with(Plan::default());
    stage.play().await;
    let result = &stage.results()[1];
    assert!(
        result.contains("status") && result.contains("`pending`, `in_progress`, `done`"),
        "{result}"
    );
}

#[test]
fn two_tasks_in_progress_are_refused() {
    let mut list = list(&["one", "two"]);
    list.update(1, Status::InProgress).unwrap();
    let why = list.update(2, Status::InProgress).unwrap_err();
    assert_eq!(why, "task 1 (one) is in progress; one at a time");
}

#[test]
fn numbers_are_kept_through_a_rewrite() {
    let mut list = list(&["one", "two", "three"]);
    list.update(3, Status::Done).unwrap();
    let diff = list.rewrite(&["zero".to_owned(), "three".to_owned(), "one".to_owned()]).unwrap();
    assert_eq!(diff, "1 new, 1 dropped");
    assert_eq!(list.to_string(), "[ ] 4 zero\n[x] 3 three\n[ ] 1 one");
}

#[test]
fn an_empty_list_does_not_wipe_an_unfinished_plan() {
    let mut list = list(&["one"]);
    assert!(list.rewrite(&[]).is_err());
    assert_eq!(list.tasks().len(), 1);
    list.update(1, Status::Done).unwrap();
    list.rewrite(&[]).unwrap();
    assert!(list.tasks().is_empty());
}

#[test]
fn two_sessions_in_one_folder_keep_their_own_plans() {
    let folder = Folder::new();
    let (mut mine, mut yours) = (list(&["mine"]), list(&["yours"]));
    mine.save(folder.path()).unwrap();
    yours.save(folder.path()).unwrap();
    mine.save(folder.path()).unwrap();
    let file = folder.read(".agent_todo.json");
    assert!(file.contains("mine") && file.contains("yours"), "{file}");
}

#[test]
fn a_damaged_file_is_named_and_kept() {
    let folder = Folder::new();
    folder.write(".agent_todo.json", "{\"half");
    let why = list(&["one"]).save(folder.path()).unwrap_err().to_string();
    assert!(why.contains(".agent_todo.json\" is damaged"), "{why}");
    assert_eq!(folder.read(".agent_todo.json"), "{\"half");
}

#[test]
fn odd_texts_are_refused_or_made_plain() {
    let mut list = List::default();
    for bad in
        [vec![" \n ".to_owned()], vec!["x".repeat(201)], vec!["a".to_owned(), "a".to_owned()]]
    {
        assert!(list.rewrite(&bad).is_err());
    }
    let many: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    assert!(list.rewrite(&many).unwrap_err().starts_with("500 tasks are too many"));
    list.rewrite(&["a\n\x1b[31mred\x1b[0m".to_owned()]).unwrap();
    assert_eq!(list.to_string(), "[ ] 1 a red");
}

#[tokio::test]
async fn an_idle_plan_is_mentioned_once() {
    let work = "- calls: [{tool: bash, input: {command: 'true'}}]\n".repeat(9);
    let lines = format!(
        "- calls: [{{tool: todo_write, input: {{tasks: [one]}}}}]\n{work}- {{text: Done.}}"
    );
    let mut stage = Stage::lines(&lines).with(Plan::default());
    assert_eq!(stage.play().await.matches("note: The plan was not updated").count(), 1);
}

#[tokio::test]
async fn an_interrupted_turn_puts_its_task_down() {
    let plan = Plan::default();
    let mut stage = Stage::lines(
        "- calls: [{tool: todo_write, input: {tasks: [one]}}, {tool: todo_update, input: {index: 1, status: in_progress}}]
- {text: Never said.}",
    )
    .with(plan.clone());
    stage.conversation.say("go");
    let cancel = CancellationToken::new();
    stage.agent.observers.add(std::sync::Arc::new(CancelAfterTools(cancel.clone())));
    stage.agent.run(&mut stage.conversation, &cancel).await.unwrap();
    assert_eq!(plan.list().tasks()[0].status, Status::Pending);
}

#[tokio::test]
async fn a_child_of_the_agent_has_no_plan() {
    let stage = Stage::lines("- text: hello").with(Plan::default());
    let child = stage.agent.child(ChildSpec::new("child", ChildKind::Subagent));
    assert!(stage.agent.tools.get("todo_write").is_ok());
    assert!(child.tools.get("todo_write").is_err());
    assert!(child.tools.get("bash").is_ok());
    assert!(child.hooks.is_empty());
}

struct CancelAfterTools(CancellationToken);

impl harness_core::Observer for CancelAfterTools {
    fn on(&self, _: &str, event: &harness_core::Event) {
        if let harness_core::Event::ToolFinished { call, .. } = event
            && call.name == "todo_update"
        {
            self.0.cancel();
        }
    }
}
