//! The lesson, played; then the hard cases.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use expect_test::expect;
use harness_core::host::journal::Journal;
use harness_core::{
    AgentError, Content, Message, Model, ModelStream, NoInput, Request, Tool, ToolContext,
    ToolError, TurnOutcome,
};
use harness_testkit::{Folder, Meet, Program, Stage, transcript};
use s12_worktree_task_isolation::{
    Base, FinishedTask, Isolated, LESSON, NotRecorded, TaskProgress, TaskRunner, TaskState,
    Worktree, WorktreeError,
};
use tokio_util::sync::CancellationToken;

/// A repository in which tasks say these lines: `name: lines`, where the name is the task's whole text.
fn stage(tasks: &[(&str, &str)]) -> Stage {
    let scene = |(task, lines): &(&str, &str)| {
        let lines: String = lines.lines().map(|line| format!("  {line}\n")).collect();
        format!("- said: '^{task}$'\n  lines:\n{lines}")
    };
    let scenes: String = tasks.iter().map(scene).collect();
    Stage::new(&format!("prompt: go\nsetup: {{git: true}}\nscenes:\n{scenes}"))
}

/// A line that runs this, and one that says that it is done.
fn bash(command: &str) -> String {
    let command = serde_json::to_string(command).unwrap();
    format!("- calls: [{{tool: bash, input: {{command: {command}}}}}]\n- text: Done.\n")
}

async fn run(stage: &Stage, tasks: &[&str]) -> Result<Vec<FinishedTask>, AgentError> {
    let tasks = tasks.iter().map(|task| (*task).to_owned()).collect();
    Isolated(Arc::new(NotRecorded)).run(&stage.agent, tasks, &CancellationToken::new()).await
}

/// Runs the one task of this stage.
async fn one(stage: &Stage) -> FinishedTask {
    run(stage, &["one"]).await.unwrap().remove(0)
}

/// All that is told of a task when it ends.
fn told(done: &FinishedTask) -> String {
    [Some(done.headline()), done.advice.clone()]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("\n")
}

fn is_good(done: &FinishedTask) -> bool {
    matches!(done.ended, Ok(TurnOutcome::Answered(_))) && done.left.is_ok()
}

const REMOVED: &str = "answered · nothing was changed; tree and branch are removed";

async fn refusal(stage: &Stage) -> String {
    run(stage, &["one"]).await.unwrap_err().to_string()
}

fn same_checkout(folder: &Folder, before: &str) {
    assert_eq!(folder.checkout(), before, "the user's checkout was touched");
}

#[tokio::test]
async fn the_play() {
    let stage = Stage::new(LESSON.play);
    let before = stage.folder.checkout();
    let tasks: Vec<&str> = stage.prompts[0].split(" | ").collect();
    let outcomes = run(&stage, &tasks).await.unwrap();
    same_checkout(&stage.folder, &before);
    let mut all = String::new();
    for outcome in &outcomes {
        let name = &outcome.name;
        let record = stage.folder.path().join(format!(".harness/tasks/{name}-1.jsonl"));
        let messages: Vec<Message> =
            Journal::new(record).read().unwrap().records.into_iter().map(|it| it.value).collect();
        all += &format!("{name}\n{}ends: {}\n\n", transcript(&messages), told(outcome));
    }
    let all = all.replace(&stage.agent.cwd.display().to_string(), "FOLDER");
    expect![[r##"
        task-1
        note: The workspace is FOLDER/.worktrees/task-1, on task/1.
        human: Write a test for greet.sh.
        model: A test, and then I run it.
          call write {"path":"test.sh","content":"#!/bin/sh\n[ \"$(sh greet.sh Ada)\" = 'Hello, Ada!' ] && echo passed\n"}
          call bash {"command":"sh test.sh"}
          result 1 made test.sh (66 bytes)
          result 2 passed
        model: It passes, so I commit it.
          call bash {"command":"git add test.sh && git -c user.name=Task -c user.email=task@example.invalid commit -qm 'Test greet.sh' && git log --oneline -1 --format=%s"}
          result Test greet.sh
        model: test.sh tests greet.sh, and it is committed.
        ends: answered · task/1 is kept (commits: 1)
        git merge task/1

        task-2
        note: The workspace is FOLDER/.worktrees/task-2, on task/2.
        human: Say in README.md how to use it.
        model: I write it into the README of the checkout above.
          call edit {"path":"../../README.md","old_string":"# Greetings\n","new_string":"# Greetings\n\n    sh greet.sh NAME\n"}
          error "../../README.md" is outside the workspace FOLDER/.worktrees/task-2; use a path inside it
        model: That is not mine. Here is one of my own.
          call edit {"path":"README.md","old_string":"# Greetings\n","new_string":"# Greetings\n\n    sh greet.sh NAME\n"}
          result changed README.md once:
                 1	# Greetings
                 2
                 3	    sh greet.sh NAME
        model: README.md says how to use it. I have not committed that.
        ends: answered · task/2 is kept (commits: 1)
        git merge task/2

        task-3
        note: The workspace is FOLDER/.worktrees/task-3, on task/3.
        human: Does it run in any POSIX shell?
          call bash {"command":"sh -n greet.sh && cat greet.sh"}
          result #!/bin/sh
            echo "Hello, ${1:-world}!"
        model: Yes. It uses nothing but a parameter with a default, which every POSIX shell has.
        ends: answered · nothing was changed; tree and branch are removed

    "##]].assert_eq(&all);
    let commits = |branch| stage.folder.git(&["log", "--format=%s", &format!("main..{branch}")]);
    assert_eq!(commits("task/1"), "Test greet.sh\n");
    assert_eq!(commits("task/2"), "Say in README.md how to use it.\n");
    assert_eq!(stage.folder.branches(), "main task/1 task/2");
}

#[test]
fn the_play_by_a_pipe_and_over_the_wire() {
    let program = Program::new(env!("CARGO_BIN_EXE_s12_worktree_task_isolation"), LESSON.play);
    let said = program.play();
    for line in [
        "task-1: answered · task/1 is kept (commits: 1)",
        "task-1: git merge task/1",
        "task-2: answered · task/2 is kept (commits: 1)",
        "task-2: git merge task/2",
        "task-3: answered · nothing was changed; tree and branch are removed",
    ] {
        assert!(said.contains(line), "{line} is missing in\n{said}");
    }
    let program = Program::new(env!("CARGO_BIN_EXE_s12_worktree_task_isolation"), LESSON.play);
    program.play_over_the_wire();
    assert_eq!(program.folder.branches(), "main task/1 task/2");
}

const MEET_AND_WRITE: &str = "
- calls: [{tool: meet}]
- calls: [{tool: write, input: {path: same.txt, content: NAME}}, {tool: bash, input: {command: pwd}}]
- calls: [{tool: meet}]
- text: Done.";

#[tokio::test]
async fn four_tasks_at_the_same_time_end_with_four_branches_that_hold_their_commits() {
    let names = ["north", "east", "south", "west"];
    let lines = names.map(|name| MEET_AND_WRITE.trim().replace("NAME", name));
    let scenes: Vec<(&str, &str)> =
        names.into_iter().zip(lines.iter().map(String::as_str)).collect();
    let mut stage = stage(&scenes);
    stage.agent.tools.add_for_family(Meet::new(4));
    let before = stage.folder.checkout();
    let outcomes = run(&stage, &names).await.unwrap();
    assert_eq!(stage.folder.branches(), "main task/1 task/2 task/3 task/4");
    for (outcome, name) in outcomes.iter().zip(names) {
        let held =
            stage.folder.git(&["show", &format!("{}:same.txt", outcome.name.replace('-', "/"))]);
        assert_eq!(held, name);
        assert!(told(outcome).starts_with("answered · task/"), "{}", told(outcome));
    }
    same_checkout(&stage.folder, &before);
}

#[tokio::test]
async fn two_parallel_tasks_each_keep_a_directory_that_is_there() {
    let pwd =
        "- calls: [{tool: meet}, {tool: bash, input: {command: pwd}}, {tool: meet}]\n- text: Done.";
    let mut stage = stage(&[("one", pwd), ("two", pwd)]);
    stage.agent.tools.add_for_family(Meet::new(2));
    let before = std::env::current_dir().unwrap();
    run(&stage, &["one", "two"]).await.unwrap();
    for name in ["task-1", "task-2"] {
        let record = stage.folder.read(&format!(".harness/tasks/{name}-1.jsonl"));
        assert!(record.contains(&format!("/.worktrees/{name}\"")), "{record}");
    }
    assert_eq!(std::env::current_dir().unwrap(), before);
}

#[tokio::test]
async fn committed_work_is_still_there_after_success() {
    let own = "git -c user.name=A -c user.email=a@example.invalid commit -qm Own --allow-empty && echo more > more.txt";
    let stage = stage(&[("one", &bash(own))]);
    let outcome = one(&stage).await;
    assert_eq!(told(&outcome), "answered · task/1 is kept (commits: 2)\ngit merge task/1");
    assert_eq!(stage.folder.git(&["log", "--format=%s", "main..task/1"]), "one\nOwn\n");
    stage.folder.git(&["merge", "-q", "task/1"]);
    assert_eq!(stage.folder.read("more.txt"), "more\n");
}

#[tokio::test]
async fn a_branch_that_exists_is_never_taken_over() {
    let stage = stage(&[("one", &bash("echo x > x"))]);
    let folder = &stage.folder;
    folder.git(&["branch", "task/1"]);
    folder.git(&["branch", "task/2"]);
    let mine = Folder::new();
    let path = mine.path().join("task-3");
    folder.git(&["worktree", "add", "-q", "-b", "mine", path.to_str().unwrap()]);
    folder.write(".worktrees/task-4/file", "somebody's");
    let outcome = one(&stage).await;
    assert_eq!(outcome.name, "task-5");
    assert_eq!(folder.branches(), "main mine task/1 task/2 task/5");
    assert_eq!(folder.read(".worktrees/task-4/file"), "somebody's");
}

#[tokio::test]
async fn a_branch_that_leaves_no_room_for_ours_is_named() {
    let stage = stage(&[("one", &bash("echo x > x"))]);
    stage.folder.git(&["branch", "task"]);
    let why = refusal(&stage).await;
    assert_eq!(why, "a branch `task` leaves no room for `task/1`; rename it");
    assert_eq!((stage.folder.branches().as_str(), stage.folder.trees()), ("main task", 1));
}

#[test]
fn trees_that_are_made_at_the_same_moment_have_names_of_their_own() {
    let folder = Folder::git_repo();
    let base = Base::find(folder.path()).unwrap();
    let start = std::sync::Barrier::new(4);
    let make = || {
        start.wait();
        (0..4).map(|_| base.tree(|_| Ok(())).unwrap().branch).collect::<Vec<_>>()
    };
    let mut names: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(make)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    names.sort();
    names.dedup();
    assert_eq!((names.len(), folder.trees()), (16, 17));
}

#[tokio::test]
async fn a_run_after_a_run_leaves_the_first_ones_branches_alone() {
    let stage = stage(&[("one", &bash("echo x > x"))]);
    one(&stage).await;
    let first = stage.folder.git(&["rev-parse", "task/1"]);
    assert_eq!(one(&stage).await.name, "task-2");
    assert_eq!(stage.folder.git(&["rev-parse", "task/1"]), first);
}

#[tokio::test]
async fn without_a_repository_nothing_runs_in_place() {
    let mut stage = stage(&[("one", &bash("echo x > x"))]);
    let bare = Folder::new();
    bare.git(&["init", "-q", "--bare"]);
    let empty = Folder::new();
    empty.git(&["init", "-q", "-b", "trunk"]);
    let orphan = Folder::git_repo();
    orphan.git(&["switch", "-q", "--orphan", "fresh"]);
    let newer = Folder::git_repo();
    newer.git(&["config", "core.repositoryformatversion", "1"]);
    newer.git(&["config", "extensions.refstorage", "reftable"]);
    let inside = stage.folder.path().join(".git/refs");
    let cases: [(PathBuf, &str); 6] = [
        (
            Folder::new().path().to_owned(),
            "is in no git repository; run `git init` there and commit once",
        ),
        (bare.path().to_owned(), "has no working tree (bare?); start in a checkout"),
        (empty.path().to_owned(), "has no commit yet; commit once"),
        (orphan.path().to_owned(), "has no commit yet; commit once"),
        (newer.path().to_owned(), "unsupported extension name extensions.refstorage"),
        (inside, "has no working tree"),
    ];
    for (cwd, why) in cases {
        fs::create_dir_all(&cwd).unwrap();
        stage.agent.cwd.clone_from(&cwd);
        let told = refusal(&stage).await;
        assert!(told.contains(why), "{told}");
        assert!(!cwd.join("x").exists());
    }
    assert!(stage.witness.requests().is_empty(), "a model was asked");
}

#[tokio::test]
async fn a_repository_is_found_from_any_folder_below_it() {
    let mut stage = stage(&[("one", &bash("cat here && echo more > more"))]);
    stage.folder.write("a/b/c/here", "deep\n");
    stage.folder.commit("Deep");
    stage.agent.cwd = stage.folder.path().join("a/b/c");
    let outcome = one(&stage).await;
    assert!(is_good(&outcome), "{}", told(&outcome));
    assert_eq!(stage.folder.git(&["diff", "--name-only", "main", "task/1"]), "a/b/c/more\n");
}

#[tokio::test]
async fn a_task_can_begin_in_a_tree_of_another() {
    let mut stage = stage(&[("one", &bash("echo x > x"))]);
    let other = Folder::new();
    let path = other.path().join("linked");
    stage.folder.git(&["worktree", "add", "-q", "-b", "linked", path.to_str().unwrap()]);
    stage.agent.cwd = path;
    assert!(is_good(&one(&stage).await));
    assert_eq!(stage.folder.branches(), "linked main task/1");
}

#[tokio::test]
async fn a_detached_head_a_merge_and_a_dirty_tree_are_no_hindrance() {
    let stage = stage(&[("one", &bash("cat README.md && echo x > x"))]);
    let folder = &stage.folder;
    let head = folder.git(&["rev-parse", "HEAD"]);
    folder.write("README.md", "dirty\n");
    folder.write("new", "");
    folder.git(&["switch", "-q", "--detach"]);
    folder.write(".git/MERGE_HEAD", &head);
    let before = folder.checkout();
    assert!(is_good(&one(&stage).await));
    same_checkout(folder, &before);
    assert_eq!(folder.read("README.md"), "dirty\n");
    assert_eq!(folder.git(&["show", "task/1:README.md"]), "A repository for tests.\n");
}

#[tokio::test]
async fn a_lock_on_the_users_index_does_not_matter_and_one_on_the_tasks_is_told() {
    let stage = stage(&[
        ("one", &bash("echo x > x")),
        ("two", &bash("echo y > y; touch \"$(git rev-parse --git-dir)/index.lock\"")),
    ]);
    stage.folder.write(".git/index.lock", "");
    assert!(is_good(&one(&stage).await));
    let outcome = run(&stage, &["two"]).await.unwrap().remove(0);
    assert!(!is_good(&outcome));
    let told = told(&outcome);
    assert!(
        told.contains("index is locked") && told.contains(".worktrees/task-2 is elsewhere"),
        "{told}"
    );
    assert_eq!(stage.folder.read(".worktrees/task-2/y"), "y\n");
}

#[tokio::test]
async fn a_locked_tree_is_kept() {
    let stage = stage(&[("one", &bash("git worktree lock --reason mine ."))]);
    let outcome = one(&stage).await;
    let told = told(&outcome);
    assert!(told.contains("task-1 is locked, so it is kept"), "{told}");
    assert_eq!(stage.folder.branches(), "main task/1");
}

#[tokio::test]
async fn a_folder_that_was_deleted_by_hand_costs_no_commit() {
    let commit = "git -c user.name=A -c user.email=a@example.invalid commit -qm Own --allow-empty";
    let gone = "cd .. && rm -r task-";
    let stage = stage(&[
        ("one", &bash(&format!("{commit} && {gone}1"))),
        ("two", &bash(&format!("{gone}2"))),
    ]);
    let outcomes = run(&stage, &["one", "two"]).await.unwrap();
    assert_eq!(told(&outcomes[0]), "answered · task/1 is kept (commits: 1)\ngit merge task/1");
    assert_eq!(told(&outcomes[1]), REMOVED);
    assert_eq!(stage.folder.branches(), "main task/1");
}

#[tokio::test]
async fn a_tree_that_is_no_tree_any_more_never_leads_to_the_users_checkout() {
    let again = "rm .git && git init -q . && echo y > y";
    let stage = stage(&[("one", &bash("rm .git && echo x > x")), ("two", &bash(again))]);
    let before = stage.folder.checkout();
    let outcomes = run(&stage, &["one", "two"]).await.unwrap();
    assert!(!outcomes.iter().any(is_good), "{outcomes:?}");
    same_checkout(&stage.folder, &before);
    assert_eq!(stage.folder.read(".worktrees/task-1/x"), "x\n");
    assert!(told(&outcomes[1]).contains("is a repository of its own by now"));
}

#[tokio::test]
async fn leftovers_are_committed_without_hooks_signatures_or_an_identity() {
    let stage = stage(&[("one", &bash("echo x > x; rm README.md"))]);
    let hook = stage.folder.write(".git/hooks/pre-commit", "#!/bin/sh\nexit 1\n");
    fs::set_permissions(hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    stage.folder.git(&["config", "commit.gpgsign", "true"]);
    stage.folder.git(&["config", "gpg.program", "/bin/false"]);
    stage.folder.git(&["config", "user.name", ""]);
    assert!(is_good(&one(&stage).await));
    let diff = stage.folder.git(&["diff", "--name-status", "main", "task/1"]);
    assert_eq!(diff, "D\tREADME.md\nA\tx\n");
    assert_eq!(stage.folder.git(&["log", "-1", "--format=%an", "task/1"]), "harness\n");
}

#[tokio::test]
async fn submodules_and_nested_repositories_lose_nothing() {
    let stage = stage(&[
        ("one", &bash("git init -q inner && touch inner/file && echo x > x")),
        ("two", &bash("ls module")),
    ]);
    let module = Folder::git_repo();
    let add = ["-c", "protocol.file.allow=always", "submodule", "add", "-q"];
    stage.folder.git(&[&add[..], &[module.path().to_str().unwrap(), "module"]].concat());
    stage.folder.commit("Module");
    let outcomes = run(&stage, &["one", "two"]).await.unwrap();
    assert!(stage.folder.has(".worktrees/task-1/inner/file"));
    assert_eq!(stage.folder.git(&["diff", "--name-status", "main", "task/1"]), "A\tx\n");
    assert_eq!(told(&outcomes[1]), REMOVED);
}

#[tokio::test]
async fn only_a_tree_that_is_proven_empty_is_removed() {
    let commit = "git -c user.name=A -c user.email=a@example.invalid commit -qm Own";
    let hidden = [
        "echo secret > ignored.txt".to_owned(),
        "mkdir -p ignored && echo secret > ignored/deep".to_owned(),
        "git update-index --assume-unchanged README.md && echo changed > README.md".to_owned(),
        "git update-index --skip-worktree README.md && echo changed > README.md".to_owned(),
        format!("echo x > x && git add x && {commit} && git reset -q --hard HEAD~1"),
        format!("git switch -q --detach && {commit} --allow-empty"),
        format!("git switch -q -c elsewhere && {commit} --allow-empty"),
        "git init -q inner && touch inner/file".to_owned(),
    ];
    for command in hidden {
        let stage = stage(&[("one", &bash(&command))]);
        stage.folder.write(".gitignore", "ignored*\n");
        stage.folder.commit("Ignore");
        let outcome = one(&stage).await;
        assert!(told(&outcome).contains("kept"), "{command}: {}", told(&outcome));
        assert!(stage.folder.has(".worktrees/task-1/README.md"), "{command}");
        assert_eq!(stage.folder.trees(), 2);
    }
    let stage = stage(&[("one", &bash("cat README.md && touch README.md && mkdir empty"))]);
    assert_eq!(told(&one(&stage).await), REMOVED);
    assert_eq!((stage.folder.branches().as_str(), stage.folder.trees()), ("main", 1));
}

#[tokio::test]
async fn the_file_tools_of_a_task_stay_in_its_tree() {
    let write = |path: &str| format!("{{tool: write, input: {{path: '{path}', content: x}}}}");
    let mut stage = stage(&[("one", "- text: I see.")]);
    let absolute = stage.folder.path().join("README.md");
    let calls = [write("../../README.md"), write(absolute.to_str().unwrap())].join(", ");
    stage = Stage {
        folder: stage.folder,
        ..Stage::new(&format!(
            "prompt: go\nscenes:\n- said: one\n  lines:\n  - calls: [{calls}]\n  - text: I see."
        ))
    };
    stage.agent.cwd = stage.folder.path().to_owned();
    let before = stage.folder.checkout();
    one(&stage).await;
    let record = stage.folder.read(".harness/tasks/task-1-1.jsonl");
    assert_eq!(record.matches("is outside the workspace").count(), 2, "{record}");
    same_checkout(&stage.folder, &before);
}

/// Breaks where a task says so.
struct Panics(Arc<dyn Model>);

impl Model for Panics {
    fn stream(&self, request: &Request<'_>) -> ModelStream {
        assert!(request.agent != "task-2", "a bug");
        self.0.stream(request)
    }
}

#[tokio::test]
async fn the_result_of_a_task_that_crashed_is_not_missing() {
    let mut stage = stage(&[("one", &bash("echo x > x"))]);
    stage.agent.model = Arc::new(Panics(stage.agent.model.clone()));
    let outcomes = run(&stage, &["one", "one", "one"]).await.unwrap();
    let told: Vec<String> = outcomes.iter().map(told).collect();
    assert_eq!(
        told[1],
        "failed: the task panicked; this is a bug · nothing was changed; tree and branch are removed"
    );
    assert!(is_good(&outcomes[0]) && is_good(&outcomes[2]), "{told:?}");
}

#[tokio::test]
async fn the_work_of_a_task_that_failed_or_was_interrupted_is_kept() {
    let mut limited = stage(&[("one", &bash("echo x > x"))]);
    limited.agent.max_steps = 1;
    let outcome = one(&limited).await;
    assert!(told(&outcome).starts_with("failed: stopped after 1 steps"), "{}", told(&outcome));
    assert_eq!(limited.folder.git(&["show", "task/1:x"]), "x\n");

    let stage = stage(&[(
        "one",
        "- calls: [{tool: write, input: {path: x, content: x}}, {tool: stop}]\n- text: Never.",
    )]);
    let (cancel, mut agent) = (CancellationToken::new(), stage.agent.clone());
    agent.tools.add_for_family(Stops(cancel.clone()));
    let tasks = Isolated(Arc::new(NotRecorded));
    let outcomes = tasks.run(&agent, vec!["one".to_owned()], &cancel).await.unwrap();
    assert_eq!(outcomes[0].ended, Ok(TurnOutcome::Interrupted));
    assert_eq!(stage.folder.git(&["show", "task/1:x"]), "x");
}

struct Stops(CancellationToken);

impl Tool for Stops {
    const NAME: &'static str = "stop";
    const ABOUT: &'static str = "Interrupts.";
    type Input = NoInput;

    async fn call(&self, _: NoInput, _: &ToolContext) -> Result<Content, ToolError> {
        self.0.cancel();
        Ok("stopped".into())
    }
}

/// Lets nobody plan a third tree.
#[derive(Debug, Default)]
struct TwoAreEnough(Mutex<usize>);

impl TaskProgress for TwoAreEnough {
    fn reached(&self, _: &Worktree, _: &str, step: TaskState) -> Result<(), WorktreeError> {
        assert_eq!(step, TaskState::Created);
        let mut trees = self.0.lock().unwrap();
        *trees += 1;
        if *trees > 2 { Err(WorktreeError::Refused("the disk is full".to_owned())) } else { Ok(()) }
    }
}

#[tokio::test]
async fn there_is_a_tree_for_every_task_or_none_begins() {
    let stage = stage(&[("one", &bash("true"))]);
    let tasks = vec!["one".to_owned(); 3];
    let isolated = Isolated(Arc::new(TwoAreEnough::default()));
    let ran = isolated.run(&stage.agent, tasks, &CancellationToken::new()).await;
    assert_eq!(ran.unwrap_err().to_string(), "the disk is full");
    assert_eq!((stage.folder.branches().as_str(), stage.folder.trees()), ("main", 1));
    assert!(stage.witness.requests().is_empty());
}

#[test]
fn tasks_of_flags_are_taken_as_they_are_and_begin_at_once() {
    let program = Program::new(env!("CARGO_BIN_EXE_s12_worktree_task_isolation"), LESSON.play);
    let mut command = program.command();
    command.args(["--task", "Does it run with a | b?", "--task", "Write a test: ls | wc"]);
    let said = Program::pipe(command, "q\n");
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains("task-1 starts: Does it run with a | b?"), "{said}");
    assert!(said.contains("task-2 starts: Write a test: ls | wc"), "{said}");
    assert!(!said.contains("task-3"), "{said}");
    assert_eq!(program.folder.branches(), "main task/2");
}

#[test]
fn a_program_outside_a_repository_says_why_and_runs_nothing() {
    let program =
        Program::new(env!("CARGO_BIN_EXE_s12_worktree_task_isolation"), "prompt: x\nscenes: []");
    let mut command = harness_testkit::scrubbed(
        env!("CARGO_BIN_EXE_s12_worktree_task_isolation"),
        program.folder.path(),
    );
    command
        .current_dir(program.folder.path())
        .env("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
        .args(["-p", "one"]);
    let output = Program::pipe(command, "");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("no task can run here") && said.contains("is in no git repository"),
        "{said}"
    );
    assert!(
        fs::read_dir(program.folder.path()).unwrap().all(|it| it.unwrap().path() == Path::new(""))
    );
}
