//! The lesson, played; then the hard cases.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use expect_test::expect;
use harness_core::host::ids;
use harness_testkit::{Folder, Program, Stage, Terminal, scrubbed};
use s07_task_system::Status::{Done, Failed, InProgress, Pending};
use s07_task_system::{Graph, LESSON, MOVES, NewTask, Priority, Status, Task, TaskBoard, Update};

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

fn keep(board: &TaskBoard, graph: &Graph) {
    let put = |old: &mut Graph| {
        *old = graph.clone();
        Ok(())
    };
    board.change(put).unwrap();
}

/// Adds an arrow around all that `Graph` offers.
fn depend(board: &TaskBoard, n: usize, on: &str) -> Result<(), String> {
    let push = |graph: &mut Graph| {
        graph.tasks[n].depends_on.push(on.to_owned());
        Ok(())
    };
    board.change(push).map_err(|why| why.to_string())
}

/// A graph of tasks with the ids `00000000`, `11111111` …, and the digits of those that each comes
/// after, on a board of its own.
fn graph_of(after: &[&str]) -> (Folder, TaskBoard, Graph) {
    let folder = Folder::new();
    let board = board(folder.path());
    let mut graph = Graph::default();
    for (n, after) in after.iter().enumerate() {
        let after: Vec<&str> = (0..after.len()).map(|digit| &after[digit..=digit]).collect();
        create(&mut graph, &format!("task {n}"), &after);
        graph.tasks[n].id = n.to_string().repeat(8);
    }
    keep(&board, &graph);
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

#[test]
fn every_move_is_in_the_table_or_refused() {
    const ALL: [Status; 4] = [Pending, InProgress, Done, Failed];
    let mut table = String::new();
    for (from, to) in ALL.into_iter().flat_map(|from| ALL.map(|to| (from, to))) {
        let (_folder, _, mut graph) = graph_of(&[""]);
        graph.tasks[0].status = from;
        let moved = update(&mut graph, "0", to);
        assert_eq!(moved.is_ok(), MOVES.iter().any(|(a, b, _)| (*a, *b) == (from, to)));
        assert_eq!(graph.tasks[0].status, if moved.is_ok() { to } else { from });
        let said = moved.map_or_else(|why| why.replace("00000000", "it"), |()| "yes".to_owned());
        table += &format!("{from} → {to}: {said}\n");
    }
    expect![[r#"
        pending → pending: it is pending and cannot become pending; start: in_progress; give up: failed
        pending → in_progress: yes
        pending → done: it is pending and cannot become done; start: in_progress; give up: failed
        pending → failed: yes
        in_progress → pending: yes
        in_progress → in_progress: it is in_progress and cannot become in_progress; finish: done; fail: failed; put back: pending
        in_progress → done: yes
        in_progress → failed: yes
        done → pending: it is done and cannot become pending
        done → in_progress: it is done and cannot become in_progress
        done → done: it is done and cannot become done
        done → failed: it is done and cannot become failed
        failed → pending: yes
        failed → in_progress: it is failed and cannot become in_progress; retry: pending
        failed → done: it is failed and cannot become done; retry: pending
        failed → failed: it is failed and cannot become failed; retry: pending
    "#]].assert_eq(&table);
}

#[tokio::test]
async fn any_status_is_refused_with_the_ones_there_are() {
    let lines = "
- calls: [{tool: task_create, input: {description: one}}]
- take: {id: 'created ([0-9a-f]{8})'}
  calls: [{tool: task_update, input: {task_id: '${id}', status: banana}}]
- {text: I see.}";
    let stage = Stage::lines(lines);
    let board = board(stage.folder.path());
    let mut stage = stage.with(board.clone());
    stage.play().await;
    let said = &stage.results()[1];
    assert!(
        said.contains("status") && said.contains("`pending`, `in_progress`, `done`, `failed`"),
        "{said}"
    );
    assert_eq!(board.load().unwrap().tasks[0].status, Pending);
}

#[test]
fn a_high_task_comes_before_an_older_low_one_and_the_older_of_two_first() {
    let mut graph = Graph::default();
    for (description, priority) in [
        ("a", Priority::Low),
        ("b", Priority::Medium),
        ("c", Priority::High),
        ("d", Priority::High),
    ] {
        graph.create(&NewTask { priority, ..new(description, &[]) }).unwrap();
    }
    let order: Vec<&str> = graph.ready().iter().map(|task| task.description.as_str()).collect();
    assert_eq!(order, ["c", "d", "b", "a"]);
}

#[test]
fn an_unknown_dependency_is_refused() {
    let (_folder, board, _) = graph_of(&[""]);
    for unknown in ["deadbeef", "no such task", "../a", "a/b"] {
        let why =
            board.change(|graph| graph.create(&new("two", &[unknown])).map(drop)).unwrap_err();
        assert_eq!(why.to_string(), format!("no id begins with {unknown:?}"));
    }
    // Nor can it be written around `create`.
    let why = depend(&board, 0, "deadbeef").unwrap_err();
    assert_eq!(why, "00000000 → \"deadbeef\": there is no such thing");
    assert_eq!(board.load().unwrap().tasks.len(), 1);
}

#[test]
fn an_empty_or_ambiguous_beginning_of_an_id_changes_nothing() {
    let (_folder, board, mut graph) = graph_of(&["", ""]);
    graph.tasks[1].id = "00000001".to_owned();
    keep(&board, &graph);
    let start = |id: &str| {
        board.change(|graph| update(graph, id, InProgress)).map_err(|why| why.to_string())
    };
    assert_eq!(start("").unwrap_err(), "an empty id names nothing");
    let why = start("0000000").unwrap_err();
    assert!(why.starts_with("more than one id begins with \"0000000\", 00000000 and 00000001"));
    assert!(board.load().unwrap().tasks.iter().all(|task| task.status == Pending));
    start("00000001").unwrap();
    assert_eq!(board.load().unwrap().tasks[1].status, InProgress);
}

#[test]
fn a_failed_task_is_named_as_what_blocks_the_others_until_it_is_retried() {
    let (_folder, _, mut graph) = graph_of(&["", "0", "1", ""]);
    update(&mut graph, "0", InProgress).unwrap();
    let result = Some("no disk".to_owned());
    graph.update(&Update { task_id: "0".to_owned(), status: Failed, result }).unwrap();
    assert_eq!(
        update(&mut graph, "2", InProgress).unwrap_err(),
        "22222222 cannot start: it waits for 00000000 task 0: no disk, which is failed"
    );
    update(&mut graph, "3", InProgress).unwrap();
    expect![[r#"
        nothing can be started:
        0 of 4 done
        [!] 00000000 task 0: no disk
        └─ [ ] 11111111 task 1 (blocked by 00000000)
           └─ [ ] 22222222 task 2 (blocked by 00000000)
        [>] 33333333 task 3"#]]
    .assert_eq(&graph.next());
    update(&mut graph, "0", Pending).unwrap();
    assert_eq!(graph.ready()[0].result.as_deref(), Some("no disk")); // for whoever tries again
}

#[test]
fn a_damaged_file_is_named_and_never_overwritten() {
    let task =
        |id: &str, rest: &str| format!("{{\"id\": \"{id}\", \"description\": \"x\", {rest}}}");
    let (a, b) =
        (task("aaaaaaaa", "\"status\": \"done\""), task("bbbbbbbb", "\"status\": \"done\""));
    let after = |id: &str, on: &str| {
        task(id, &format!("\"status\": \"pending\", \"depends_on\": [{on:?}]"))
    };
    let (one, two) = (after("aaaaaaaa", "bbbbbbbb"), after("bbbbbbbb", "aaaaaaaa"));
    for (text, why) in [
        (String::new(), "EOF while parsing a value at line 1 column 0"),
        (format!("[{a},{}", &b[..20]), "EOF while parsing"),
        ("\0\0\0\0\0\0\0\0".to_owned(), "expected value at line 1 column 1"),
        ("{\"tasks\": []}".to_owned(), "invalid type: map, expected a sequence"),
        (
            format!("[\n{a},\n{}]", task("bbbbbbbb", "\"status\": \"banana\"")),
            "unknown variant `banana`",
        ),
        (format!("[{a},{a}]"), "\"aaaaaaaa\" is there twice"),
        (
            format!("[{}]", task("../../aa", "\"status\": \"done\"")),
            "\"../../aa\" is no id of eight hexadecimal digits",
        ),
        (format!("[{one}]"), "aaaaaaaa → \"bbbbbbbb\": there is no such thing"),
        (format!("[{one},{two}]"), "a circle: aaaaaaaa → bbbbbbbb → aaaaaaaa"),
    ] {
        let folder = Folder::new();
        folder.write(TaskBoard::FILE, &text);
        let board = board(folder.path());
        let said = board.load().unwrap_err().to_string();
        assert!(said.contains(".agent_tasks.json\" is damaged (") && said.contains(why), "{said}");
        let created = board.change(|graph| graph.create(&new("two", &[])).map(drop)).unwrap_err();
        assert_eq!(created.to_string(), said);
        assert_eq!(folder.read(TaskBoard::FILE), text);
    }
}

#[test]
fn a_circle_is_refused_with_its_path_whoever_makes_it() {
    let (_folder, board, _) = graph_of(&["", "0", "1"]);
    let why = depend(&board, 0, "22222222").unwrap_err();
    assert_eq!(why, "a circle: 00000000 → 22222222 → 11111111 → 00000000");
    assert!(board.load().unwrap().tasks[0].depends_on.is_empty());
}

#[test]
fn age_is_the_place_in_the_list_whatever_a_clock_says_and_what_others_added_is_kept() {
    let folder = Folder::new();
    let task = |id: &str, made: &str| {
        format!(
            "{{\"id\": \"{id}\", \"description\": \"x\", \"status\": \"pending\", \"made\": \"{made}\"}}"
        )
    };
    let text = format!("[{}, {}]", task("bbbbbbbb", "2030-01-01"), task("aaaaaaaa", "1970-01-01"));
    folder.write(TaskBoard::FILE, &text);
    let board = board(folder.path());
    board.change(|graph| update(graph, "b", Failed)).unwrap();
    board.change(|graph| update(graph, "b", Pending)).unwrap();
    assert_eq!(board.load().unwrap().ready()[0].id, "bbbbbbbb");
    expect![[r#"
        [
        {"id": "bbbbbbbb", "description": "x", "status": "pending", "priority": "medium", "depends_on": [], "result": null, "made": "2030-01-01"},
        {"id": "aaaaaaaa", "description": "x", "status": "pending", "priority": "medium", "depends_on": [], "result": null, "made": "1970-01-01"}
        ]
    "#]].assert_eq(&folder.read(TaskBoard::FILE));
}

#[test]
fn ten_thousand_tasks_are_read_changed_and_drawn() {
    for chain in [true, false] {
        let (_folder, board, mut graph) = graph_of(&[""]);
        let ids: Vec<String> = (0..10_000).map(|n| format!("{n:08x}")).collect();
        let task = |n: usize| Task {
            id: ids[n].clone(),
            depends_on: if chain && n > 0 { vec![ids[n - 1].clone()] } else { vec![] },
            ..graph.tasks[0].clone()
        };
        graph.tasks = (0..10_000).map(task).collect();
        keep(&board, &graph);
        board.change(|graph| Ok(create(graph, "one more", &[&ids[9_999]]))).unwrap();
        let graph = board.load().unwrap();
        assert_eq!(
            (graph.tasks.len(), graph.ready().len()),
            (10_001, if chain { 1 } else { 10_000 })
        );
        assert!(graph.draw(80).ends_with("\n… 9801 more"));
        assert_eq!(depend(&board, 0, &ids[9_999]).is_err(), chain);
    }
}

#[test]
fn odd_descriptions_are_refused_or_made_plain() {
    let mut graph = Graph::default();
    assert_eq!(graph.create(&new(" \n\x1b[2J ", &[])).unwrap_err(), "a task without words");
    let id = create(&mut graph, "\x1b[31mred\x1b[0m\nand more", &[]);
    assert_eq!(graph.tasks[0].description, "red\nand more");
    assert_eq!(graph.draw(80), format!("0 of 1 done\n[ ] {id} red and more"));
    graph.tasks[0].description = "by hand: \x1b]0;owned\x07".to_owned();
    assert!(!graph.draw(80).contains('\x1b'));
}

#[tokio::test]
async fn the_board_belongs_to_the_workspace_and_not_to_a_session() {
    let (folder, board, _) = graph_of(&["", "0"]);
    let mut stage = Stage::lines("- calls: [{tool: task_next}]\n- {text: I see.}").with(board);
    stage.play().await;
    assert_eq!(stage.results(), ["next is 00000000: task 0"]);
    assert!(!stage.folder.has(TaskBoard::FILE) && folder.has(TaskBoard::FILE));
}

/// The graph that is drawn below: a long text, a deep chain, several arrows, all marks.
fn drawn() -> (Folder, Graph) {
    let (folder, board, mut graph) = graph_of(&["", "0", "0", "12", "3", "4", "5", "6", "7", ""]);
    graph.tasks[1].description =
        "Say at length what everybody knows, and then say it once more".to_owned();
    graph.tasks[1].priority = Priority::High;
    for (n, status) in [(0, Done), (1, InProgress), (2, Failed)] {
        graph.tasks[n].status = status;
    }
    graph.tasks[2].result = Some("nobody knows it".to_owned());
    keep(&board, &graph);
    (folder, graph)
}

#[test]
fn the_tree_fits_80_columns_and_40() {
    let (_folder, graph) = drawn();
    expect![[r#"
        1 of 10 done
        [x] 00000000 task 0
        ├─ [>] 11111111 high: Say at length what everybody knows, and then say it once …
        └─ [!] 22222222 task 2: nobody knows it
           └─ [ ] 33333333 task 3 (after 11111111, blocked by 22222222)
              └─ [ ] 44444444 task 4 (blocked by 22222222)
                 └─ [ ] 55555555 task 5 (blocked by 22222222)
                    └─ [ ] 66666666 task 6 (blocked by 22222222)
                       └─ [ ] 77777777 task 7 (blocked by 22222222)
                          └─ [ ] 88888888 task 8 (blocked by 22222222)
        [ ] 99999999 task 9"#]]
    .assert_eq(&graph.draw(80));
    expect![[r#"
        1 of 10 done
        [x] 00000000 task 0
        ├─ [>] 11111111 high: Say at length wha…
        └─ [!] 22222222 task 2: nobody knows it
           └─ [ ] 33333333 task 3
              │   (after 11111111)
              │   (blocked by 22222222)
              └─ [ ] 44444444 task 4
                 │   (blocked by 22222222)
                 └─ [ ] 55555555 task 5
                    │   (blocked by 22222222)
                    └─ [ ] 66666666 task 6
                       │   (blocked by 22222222)
                    ⋯  [ ] 77777777 task 7
                       │   (blocked by 22222222)
                    ⋯  [ ] 88888888 task 8
                           (blocked by 22222222)
        [ ] 99999999 task 9"#]]
    .assert_eq(&graph.draw(40));
}

fn program(folder: &Folder) -> Command {
    let mut command = scrubbed(env!("CARGO_BIN_EXE_s07_task_system"), folder.path());
    command.arg("--workspace").arg(folder.path());
    command
}

#[test]
fn a_terminal_shows_the_tree_without_a_broken_line_and_a_pipe_shows_it_whole() {
    let (folder, graph) = drawn();
    for columns in [80, 40] {
        let mut command = program(&folder);
        command.arg("list").env("NO_COLOR", "1");
        let mut terminal = Terminal::start(command, columns, 30);
        assert!(terminal.wait_for_end().success());
        assert_eq!(terminal.screen(), graph.draw(columns.into()));
        assert!(!terminal.raw().contains('\x1b'));
        let terminal = Terminal::start(program(&folder), columns, 30);
        terminal.wait_for("s07 >>");
        terminal.line(":tasks");
        terminal.wait_until("the tree", |screen| screen.contains(&graph.draw(columns.into())));
    }
    let whole = Program::pipe(program(&folder), ":tasks\nq\n").stdout;
    assert!(String::from_utf8(whole).unwrap().contains(&graph.draw(usize::MAX)));
}

#[test]
fn people_add_tasks_beside_a_running_agent() {
    let folder = Folder::new();
    let run = |arguments: &[&str]| {
        let mut command = scrubbed(env!("CARGO_BIN_EXE_s07_task_system"), folder.path());
        let output = command.current_dir(folder.path()).args(arguments).output().unwrap();
        let text =
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code(), text.trim().to_owned())
    };
    let (code, first) = run(&["add", "Write it", "--priority", "high"]);
    assert_eq!((code, first.len()), (Some(0), 8));
    let (code, second) = run(&["add", "--after", &first[..7], "Read it"]);
    assert_eq!((code, second.len()), (Some(0), 8));
    let tree = format!("0 of 2 done\n[ ] {first} high: Write it\n└─ [ ] {second} Read it");
    assert_eq!(run(&["list"]), (Some(0), tree));
    assert_eq!(run(&["add", " "]), (Some(1), "error: a task without words".to_owned()));
    assert_eq!(run(&["add"]).0, Some(2));
    assert_eq!(run(&["add", "x", "--priority", "urgent"]).0, Some(2));
    assert_eq!(board(folder.path()).load().unwrap().tasks.len(), 2);
}

#[test]
fn an_id_that_cannot_be_printed_is_no_success() {
    let (folder, _) = drawn();
    for arguments in [["list"].as_slice(), &["add", "Write it"]] {
        let mut command = program(&folder);
        command.args(arguments);
        let Some(output) = Program::on_a_full_disk(command) else { return };
        assert_eq!(output.status.code(), Some(1));
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.starts_with("error: cannot write to standard output: "), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
}

#[test]
fn a_board_that_cannot_be_locked_is_told_once() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path().join(".agent_tasks.json.lock")).unwrap();
    let mut command = program(&folder);
    let output = command.args(["add", "Write it"]).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), told.matches("Is a directory").count()), (Some(1), 1));
}

/// Starts a process that creates 200 tasks and prints their ids: `children/writer.rs`.
fn process(folder: &Folder, told: Stdio) -> Child {
    let mut command = scrubbed(env!("CARGO_BIN_EXE_s07_task_system_writer"), folder.path());
    command.arg(folder.path()).stdout(told).spawn().unwrap()
}

#[test]
fn eight_processes_create_at_once_none_is_lost_and_no_reader_sees_half_a_file() {
    // 1,600 times fsync take half a minute on a disk, and it is locks and renames that are tested.
    let folder = Folder::in_memory();
    let mut processes: Vec<Child> = (0..8).map(|_| process(&folder, Stdio::null())).collect();
    let (path, board) = (folder.path().join(TaskBoard::FILE), board(folder.path()));
    let (mut seen, mut reads, mut file) = (0, 0, None);
    while !processes.iter_mut().all(|process| process.try_wait().unwrap().is_some()) {
        let now = std::fs::metadata(&path).ok().map(|found| (found.ino(), found.len()));
        if now == file {
            std::thread::yield_now();
            continue;
        }
        let tasks = board.load().unwrap().tasks.len();
        assert!(tasks >= seen, "{tasks} tasks after {seen}");
        (seen, reads, file) = (tasks, reads + 1, now);
    }
    assert!(reads > 1, "nothing was read while they wrote");
    assert!(processes.iter_mut().all(|process| process.wait().unwrap().success()));
    let tasks = board.load().unwrap().tasks;
    assert_eq!(tasks.len(), 1600);
    for process in processes {
        let prefix = format!("{} ", process.id());
        let own = tasks.iter().filter_map(|task| task.description.strip_prefix(&prefix));
        assert_eq!(own.collect::<Vec<_>>(), (0..200).map(|n| n.to_string()).collect::<Vec<_>>());
    }
}

#[test]
fn a_killed_process_loses_nothing_it_has_told_and_blocks_nobody() {
    let folder = Folder::new();
    let told = |kill_after: usize| {
        let mut process = process(&folder, Stdio::piped());
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
        let ids = lines.by_ref().filter(|line| ids::is_id(line)).take(kill_after);
        let ids: Vec<String> = ids.collect();
        process.kill().unwrap();
        process.wait().unwrap();
        ids
    };
    let told: Vec<String> = std::thread::scope(|scope| {
        let killed: Vec<_> = (1..5).map(|n| scope.spawn(move || told(n * 5))).collect();
        killed.into_iter().flat_map(|told| told.join().unwrap()).collect()
    });
    assert_eq!(told.len(), 50);
    let board = board(folder.path());
    board.change(|graph| Ok(create(graph, "one more", &[]))).unwrap();
    let tasks = board.load().unwrap().tasks;
    assert!(told.iter().all(|id| tasks.iter().any(|task| task.id == *id)));
}
