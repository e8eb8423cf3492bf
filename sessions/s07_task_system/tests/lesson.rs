//! The lesson, played; then the hard cases.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;

use expect_test::expect;
use harness_testkit::{Folder, Program, Stage, Terminal};
use s07_task_system::Status::{Done, Failed, InProgress, Pending};
use s07_task_system::{Graph, LESSON, MOVES, NewTask, Priority, Status, TaskBoard, Update};

fn board(folder: &Path) -> TaskBoard {
    TaskBoard::open(folder.join(TaskBoard::FILE))
}

fn new(description: &str, after: &[&str]) -> NewTask {
    let depends_on = after.iter().map(|id| (*id).to_owned()).collect();
    NewTask { description: description.to_owned(), depends_on, priority: Priority::Medium }
}

fn create(graph: &mut Graph, description: &str, after: &[&str]) -> String {
    graph.create(&new(description, after)).unwrap().id.clone()
}

fn update(graph: &mut Graph, id: &str, status: Status) -> Result<(), String> {
    graph.update(&Update { task_id: id.to_owned(), status, result: None }).map(drop)
}

/// Writes `task-1`, `task-2` … for the ids, in the order of the board.
fn named(text: &str, folder: &Path) -> String {
    let tasks = board(folder).load().unwrap().tasks;
    let named = tasks.iter().enumerate();
    named
        .fold(text.to_owned(), |text, (n, task)| text.replace(&task.id, &format!("task-{}", n + 1)))
}

/// A graph of tasks called `a`, `b` …, and those that each comes after, on a board of its own.
fn graph_of(after: &[&str]) -> (Folder, TaskBoard, Graph) {
    let folder = Folder::new();
    let board = board(folder.path());
    let mut graph = Graph::default();
    for (name, after) in ('a'..).zip(after) {
        let ids: Vec<String> =
            after.bytes().map(|n| graph.tasks[usize::from(n - b'a')].id.clone()).collect();
        create(&mut graph, &name.to_string(), &ids.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let kept = graph.clone();
    board.change(|graph| Ok(*graph = kept)).unwrap();
    (folder, board, graph)
}

#[tokio::test]
async fn the_play() {
    let stage = Stage::new(LESSON.play);
    let board = board(stage.folder.path());
    let mut stage = stage.with(board);
    let play = stage.play().await;
    expect![[r##"
        human: Make a script that counts words, test it, write a manual, and pack both when they are done.
        model: Four tasks, and not in any order. First the one that nothing stands before.
          call task_create {"description":"Write count.sh","priority":"high"}
          result created task-1 high: Write count.sh
          call task_create {"description":"Write the manual","depends_on":["task-1"],"priority":"low"}
          call task_create {"description":"Test count.sh","depends_on":["task-1"]}
          call task_create {"description":"Pack both","depends_on":["manual","test"]}
          result 1 created task-2 low: Write the manual
          result 2 created task-3 Test count.sh
          error 3 no id begins with "manual"
        model: An id cannot be guessed. Now I have them.
          call task_create {"description":"Pack both","depends_on":["task-2","task-3"]}
          call task_next {}
          result 1 created task-4 Pack both
          result 2 next is task-1: Write count.sh
        model: If I began with the packing, I would be told.
          call task_update {"task_id":"task-4","status":"in_progress"}
          call task_update {"task_id":"task-1","status":"in_progress"}
          call write {"path":"count.sh","content":"#!/bin/sh\nwc -l | tr -d ' '\n"}
          call task_update {"task_id":"task-1","status":"done","result":"count.sh reads standard input"}
          call task_next {}
          error 1 task-4 cannot start: it waits for task-2 low: Write the manual, which is pending
          result 2 task-1 is in_progress
          result 3 made count.sh (28 bytes)
          result 4 task-1 is done
          result 5 next is task-3: Test count.sh
            after task-1 high: Write count.sh: count.sh reads standard input
        model: The test is more urgent than the manual, which is older.
          call task_update {"task_id":"task-3","status":"in_progress"}
          call bash {"command":"got=$(echo one two | sh count.sh); echo \"expected 2, got $got\"; [ \"$got\" = 2 ]"}
          result 1 task-3 is in_progress
          error 2 expected 2, got 1
            [exit code 1]
        model: It counts lines. I put that on the board and see what can be done meanwhile.
          call task_update {"task_id":"task-3","status":"failed","result":"expected 2, got 1"}
          call task_next {}
          result 1 task-3 is failed
          result 2 next is task-2: Write the manual
            after task-1 high: Write count.sh: count.sh reads standard input
          call task_update {"task_id":"task-2","status":"in_progress"}
          call write {"path":"MANUAL","content":"Usage: sh count.sh < FILE\n"}
          call task_update {"task_id":"task-2","status":"done","result":"MANUAL has the usage"}
          call task_next {}
          result 1 task-2 is in_progress
          result 2 made MANUAL (26 bytes)
          result 3 task-2 is done
          result 4 nothing can be started:
            2 of 4 done
            [x] task-1 high: Write count.sh
            ├─ [x] task-2 low: Write the manual
            └─ [!] task-3 Test count.sh: expected 2, got 1
               └─ [ ] task-4 Pack both (after task-2, blocked by task-3)
        model: The packing is blocked by the test that failed. I mend the script and retry the test.
          call edit {"path":"count.sh","old_string":"wc -l","new_string":"wc -w"}
          call task_update {"task_id":"task-3","status":"pending"}
          call task_update {"task_id":"task-3","status":"in_progress"}
          call bash {"command":"got=$(echo one two | sh count.sh); echo \"expected 2, got $got\"; [ \"$got\" = 2 ]"}
          call task_update {"task_id":"task-3","status":"done","result":"passed"}
          call task_next {}
          result 1 changed count.sh once:
                 1	#!/bin/sh
                 2	wc -w | tr -d ' '
          result 2 task-3 is pending
          result 3 task-3 is in_progress
          result 4 expected 2, got 2
          result 5 task-3 is done
          result 6 next is task-4: Pack both
            after task-2 low: Write the manual: MANUAL has the usage
            after task-3 Test count.sh: passed
          call task_update {"task_id":"task-4","status":"in_progress"}
          call bash {"command":"tar -cf words.tar count.sh MANUAL && tar -tf words.tar"}
          call task_update {"task_id":"task-4","status":"done"}
          call task_list {}
          result 1 task-4 is in_progress
          result 2 count.sh
            MANUAL
          result 3 task-4 is done
          result 4 4 of 4 done
            [x] task-1 high: Write count.sh
            ├─ [x] task-2 low: Write the manual
            └─ [x] task-3 Test count.sh
               └─ [x] task-4 Pack both (after task-2)
        model: words.tar holds the script and its manual. All four tasks are done; :tasks draws them.
    "##]].assert_eq(&named(&play, stage.folder.path()));
}

#[test]
fn the_binary_plays_it_through_a_pipe_and_over_the_wire() {
    for play in [Program::play, Program::play_over_the_wire] {
        let program = Program::new(env!("CARGO_BIN_EXE_s07_task_system"), LESSON.play);
        let said = named(&play(&program), program.folder.path());
        let tree = "  4 of 4 done\n  [x] task-1 high: Write count.sh\n  ├─ [x] task-2 low: Write the manual\n  \
            └─ [x] task-3 Test count.sh\n     └─ [x] task-4 Pack both (after task-2)\n";
        assert!(said.contains(tree), "{said}");
        assert!(program.folder.has("words.tar"));
    }
}
