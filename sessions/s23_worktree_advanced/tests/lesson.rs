//! The lesson, played; then the six marks, the hard cases, and what a kill leaves.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use expect_test::expect;
use git2::Repository;
use harness_core::TurnOutcome;
use harness_testkit::{Folder, Meet, Program, Stage};
use s12_worktree_task_isolation::{FinishedTask, TaskRunner, TaskState};
use s23_worktree_advanced::{LESSON, Ledger, Lifecycle, Side, integrate, prune, trial};
use tokio_util::sync::CancellationToken;

const BINARY: &str = env!("CARGO_BIN_EXE_s23_worktree_advanced");

/// A repository in which a task runs the command that it is: its text is the command.
fn stage(tasks: &[&str]) -> Stage {
    let scene = |task: &&str| {
        let (said, command) =
            (serde_json::to_string(&format!("^{}$", escaped(task))), serde_json::to_string(task));
        format!(
            "- said: {}\n  lines:\n  - calls: [{{tool: bash, input: {{command: {}}}}}]\n  - text: Done.\n",
            said.unwrap(),
            command.unwrap()
        )
    };
    let scenes: String = tasks.iter().map(scene).collect();
    let scenes = if scenes.is_empty() { " []".to_owned() } else { format!("\n{scenes}") };
    Stage::new(&format!("prompt: go\nsetup: {{git: true}}\nscenes:{scenes}"))
}

/// As a pattern that matches nothing else.
fn escaped(text: &str) -> String {
    let special = |letter: char| r".+*?()|[]{}^$\".contains(letter);
    text.chars().map(|it| if special(it) { format!("\\{it}") } else { it.to_string() }).collect()
}

/// Runs these tasks in a repository, and what the session tells of them.
async fn run(stage: &Stage, tasks: &[&str]) -> (Ledger, Vec<FinishedTask>) {
    let ledger = Ledger::open(&stage.agent.cwd).unwrap();
    let tasks = tasks.iter().map(|task| (*task).to_owned()).collect();
    let done = Lifecycle(ledger.clone()).run(&stage.agent, tasks, &CancellationToken::new()).await;
    let done = done.unwrap();
    assert!(done.iter().all(|done| matches!(done.ended, Ok(TurnOutcome::Answered(_)))), "{done:?}");
    (ledger, done)
}

/// A repository with these files, and these tasks done in it.
async fn after(files: &[(&str, &str)], tasks: &[&str]) -> (Stage, Ledger, Vec<FinishedTask>) {
    let stage = stage(tasks);
    for (path, text) in files {
        stage.folder.write(path, text);
    }
    if !files.is_empty() {
        stage.folder.commit("Files");
    }
    let (ledger, done) = run(&stage, tasks).await;
    (stage, ledger, done)
}

fn advice(done: &FinishedTask) -> &str {
    done.advice.as_deref().unwrap_or_default()
}

fn repo(folder: &Folder) -> Repository {
    Repository::open(folder.path()).unwrap()
}

fn states(ledger: &Ledger) -> Vec<TaskState> {
    ledger.all().unwrap().iter().map(|it| it.state).collect()
}

/// What the program says to these lines.
fn said(folder: &Folder, lines: &str) -> String {
    let mut command = harness_testkit::scrubbed(BINARY, folder.path());
    command.current_dir(folder.path()).args(["--demo", "--workspace", "."]);
    let output = Program::pipe(command, lines);
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}{errors}");
    text
}

#[test]
fn the_play() {
    let program = Program::new(BINARY, LESSON.play);
    let before = program.folder.checkout();
    let input = "\n:list\n:integrate\n:integrate task-3 task-1\n:list\n:prune\n:prune now\nq\n";
    let said = String::from_utf8(Program::pipe(program.command(), input).stdout).unwrap();
    assert_eq!(program.folder.checkout(), before);
    let (_, said) = said.split_once("task-1: git merge").unwrap();
    let ids = program.folder.git(&["for-each-ref", "--format=%(refname)", "refs/rescue"]);
    let mut said = format!("task-1: git merge{said}");
    for (at, id) in ids.lines().enumerate() {
        said = said.replace(id.trim(), &format!("refs/rescue/{at}"));
    }
    expect![[r#"
        task-1: git merge task/1
        task-2: git merge task/2
        task/1 and task/2 do not merge:
          greet.sh: changed by both
        <<<<<<< task/1
        echo "HELLO, ${1:-world}!"
        =======
        echo "Good day, ${1:-dear world}."
        >>>>>>> task/2
        task-3: git merge task/3
        s23 >> :list
        task-1    Committed   Greet more loudly.
        task-2    Committed   Greet more politely.
        task-3    Committed   Write down who may use this.
        s23 >> :integrate
        task/1 is in integration/1
        integration/1 and task/2 do not merge:
          greet.sh: changed by both
        <<<<<<< integration/1
        echo "HELLO, ${1:-world}!"
        =======
        echo "Good day, ${1:-dear world}."
        >>>>>>> task/2
        It stops here. Merge that one yourself, mend the files and commit; :integrate goes on from there. On integration/1: `git merge task/2`
        take it in: git merge integration/1
        s23 >> :integrate task-3 task-1
        task/3 is in integration/2
        task/1 is Integrated: there is nothing to merge
        take it in: git merge integration/2
        s23 >> :list
        task-1    Integrated  Greet more loudly.
        task-2    Committed   Greet more politely.
        task-3    Integrated  Write down who may use this.
        s23 >> :prune
        task-1 can go; `:prune now` removes it
        task-2 stays: it is neither in HEAD nor in an integration branch
        task-3 can go; `:prune now` removes it
        s23 >> :prune now
        task-1 is removed; `git branch NAME refs/rescue/0` brings it back
        task-2 stays: it is neither in HEAD nor in an integration branch
        task-3 is removed; `git branch NAME refs/rescue/1` brings it back
        s23 >> q
    "#]].assert_eq(&said);
    assert_eq!(program.folder.branches(), "integration/1 integration/2 main task/2");
    assert_eq!(
        program.folder.git(&["show", "integration/2:NOTICE.txt"]),
        "Everybody may use this.\n"
    );
}

#[test]
fn the_play_over_the_wire() {
    let program = Program::new(BINARY, LESSON.play);
    let said = program.play_over_the_wire();
    assert!(
        said.contains("task/1 and task/2 do not merge:\n  greet.sh: changed by both\n"),
        "{said}"
    );
    assert_eq!(program.folder.branches(), "main task/1 task/2 task/3");
}

// The six marks.

#[tokio::test]
async fn a_dirty_working_tree_is_told_and_where_a_task_changes_the_same() {
    let stage = stage(&["echo more >> README.md"]);
    stage.folder.write("README.md", "mine\n");
    stage.folder.write("new", "");
    stage.folder.write(".agent_events.log", "the harness's own");
    let (_, done) = run(&stage, &["echo more >> README.md"]).await;
    assert_eq!(
        advice(&done[0]),
        "git merge task/1\ntask/1 changes what you have not committed: README.md"
    );
    let told = said(&stage.folder, "q\n");
    assert!(told.contains("(2): README.md, new; tasks do not see that"), "{told}");
    assert_eq!(stage.folder.read("README.md"), "mine\n");
}

#[tokio::test]
async fn a_stale_tree_is_pruned_and_its_unmerged_work_is_not() {
    let (stage, ledger, _) = after(&[], &["echo a > a", "echo b > b"]).await;
    stage.folder.git(&["merge", "-q", "task/1"]);
    fs::remove_dir_all(stage.folder.path().join(".worktrees")).unwrap();
    assert_eq!(stage.folder.trees(), 3, "git still lists them");
    let told = prune(&ledger, "now").unwrap();
    assert!(told.starts_with("task-1 is removed"), "{told}");
    assert!(
        told.contains("task-2 stays: it is neither in HEAD nor in an integration branch"),
        "{told}"
    );
    assert_eq!((stage.folder.branches().as_str(), stage.folder.trees()), ("main task/2", 2));
    assert_eq!(stage.folder.git(&["show", "task/2:b"]), "b\n");
}

#[tokio::test]
async fn what_the_harness_keeps_in_a_tree_does_not_keep_the_tree() {
    let (stage, ledger, _) = after(&[], &["echo a > a"]).await;
    stage.folder.git(&["merge", "-q", "task/1"]);
    stage.folder.write(".worktrees/task-1/.harness/checkpoints/index.json", "[]");
    let told = prune(&ledger, "now").unwrap();
    assert!(told.starts_with("task-1 is removed"), "{told}");
    assert_eq!((stage.folder.branches().as_str(), stage.folder.trees()), ("main", 1));
}

#[tokio::test]
async fn a_branch_name_that_is_taken_is_passed_over_and_a_later_run_takes_new_ones() {
    let stage = stage(&["echo a > a"]);
    stage.folder.git(&["branch", "task/1"]);
    let (_, done) = run(&stage, &["echo a > a"]).await;
    assert_eq!(done[0].name, "task-2");
    let (_, done) = run(&stage, &["echo a > a"]).await;
    assert_eq!(done[0].name, "task-3");
    assert_eq!(stage.folder.branches(), "main task/1 task/2 task/3");
    assert_eq!(stage.folder.git(&["log", "--oneline", "main..task/1"]), "");
}

#[tokio::test]
async fn a_detached_head_is_told_and_worked_from() {
    let stage = stage(&["echo a > a"]);
    stage.folder.git(&["switch", "-q", "--detach"]);
    let told = said(&stage.folder, "q\n");
    assert!(
        told.contains("tasks begin at a detached HEAD, ")
            && told.contains("HEAD is detached: no branch gets"),
        "{told}"
    );
    let (ledger, _) = run(&stage, &["echo a > a"]).await;
    let told = integrate(&ledger, "").unwrap();
    assert_eq!(told, "task/1 is in integration/1\ntake it in: git merge integration/1\n");
}

#[tokio::test]
async fn two_tasks_that_change_one_file_conflict_and_both_keep_their_work() {
    let (stage, ledger, done) =
        after(&[("f", "one\ntwo\n")], &["echo a > f", "echo b > f", "echo c > g"]).await;
    expect![[r#"
        git merge task/1
        git merge task/2
        task/1 and task/2 do not merge:
          f: changed by both
        <<<<<<< task/1
        a
        =======
        b
        >>>>>>> task/2
        git merge task/3
    "#]]
    .assert_eq(&done.iter().map(|done| advice(done).to_owned() + "\n").collect::<String>());
    assert_eq!(
        stage.folder.git(&["show", "task/1:f"]) + &stage.folder.git(&["show", "task/2:f"]),
        "a\nb\n"
    );
    assert_eq!(states(&ledger), [TaskState::Committed; 3]);
}

#[tokio::test]
async fn what_overlaps_and_merges_is_told_too() {
    let lines = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
    let (_, _, done) = after(&[("f", lines)], &["sed -i s/1/one/ f", "sed -i s/9/nine/ f"]).await;
    assert_eq!(advice(&done[1]), "git merge task/2\ntask/1 and task/2 merge, and both change: f");
}

#[tokio::test]
async fn what_the_user_has_committed_meanwhile_is_part_of_the_trial() {
    let (stage, ledger, _) = after(&[("f", "one\n")], &["echo a > f"]).await;
    stage.folder.write("f", "mine\n");
    stage.folder.commit("Meanwhile");
    let report = integrate(&ledger, "").unwrap();
    assert!(report.starts_with("main and task/1 do not merge:\n  f: changed by both\n<<<<<<< main\nmine\n=======\na\n>>>>>>> task/1\n"), "{report}");
    assert!(report.contains("On HEAD: `git merge task/1`"), "{report}");
    assert_eq!(stage.folder.branches(), "main task/1", "no branch was begun for nothing");
}

/// Two branches made of these commands, merged on trial.
fn tried(files: &[(&str, &str)], one: &str, other: &str) -> Option<String> {
    let folder = Folder::git_repo();
    for (path, text) in files {
        folder.write(path, text);
    }
    folder.commit("Files");
    for (name, command) in [("a", one), ("b", other)] {
        folder.git(&["switch", "-q", "-c", name, "main"]);
        let mut shell = harness_testkit::scrubbed("sh", folder.path());
        assert!(
            shell.args(["-ec", command]).current_dir(folder.path()).status().unwrap().success()
        );
        folder.commit(name);
    }
    let repo = repo(&folder);
    let side =
        |name: &str| Side { name: name.to_owned(), tip: repo.revparse_single(name).unwrap().id() };
    trial(&repo, &side("a"), &side("b")).unwrap().1
}

#[test]
fn every_kind_of_conflict_is_named() {
    let file = [("f", "1\n2\n3\n4\n5\n6\n7\n8\n"), ("kept", "")];
    let cases = [
        ("echo a > f", "echo b > f", "f: changed by both"),
        ("echo a > f", "git rm -q f", "f: changed by a, deleted by b"),
        ("git rm -q f", "echo b > f", "f: deleted by a, changed by b"),
        ("echo a > g", "echo b > g", "g: added by both"),
        ("git mv f one", "git mv f other", "f: renamed by both, differently"),
        ("printf '\\0a' > f", "printf '\\0b' > f", "(no text: one of the two has to give way)"),
        ("rm f && ln -s a f", "rm f && ln -s b f", "f: changed by both"),
    ];
    for (one, other, told) in cases {
        let found = tried(&file, one, other).unwrap_or_else(|| panic!("{one} and {other} merge"));
        assert!(found.contains(told), "{one} and {other}: {found}");
    }
    assert_eq!(tried(&file, "chmod +x f", "echo b >> f"), None, "a mode and a text merge");
    assert_eq!(tried(&file, "git mv f g", "echo b >> f"), None, "a rename and a text merge");
}

#[test]
fn a_submodule_that_both_have_moved_is_a_conflict() {
    let add = "git -c protocol.file.allow=always submodule --quiet add ";
    let module = Folder::git_repo();
    module.write("a", "a");
    module.commit("a");
    let (first, second) =
        (module.git(&["rev-parse", "HEAD~1"]), module.git(&["rev-parse", "HEAD"]));
    let at = |commit: &str| {
        format!(
            "{add}{} module && git -C module checkout -q {}",
            module.path().display(),
            commit.trim()
        )
    };
    let found = tried(&[("f", "")], &at(&first), &at(&second)).unwrap();
    assert!(found.contains("module: a submodule, moved by both"), "{found}");
}

// What is done with the work.

#[tokio::test]
async fn work_is_integrated_in_order_onto_a_new_branch_and_no_checkout_is_touched() {
    let (stage, ledger, _) = after(&[], &["echo a > a", "echo b > b", "true"]).await;
    stage.folder.git(&["branch", "integration/1"]);
    stage.folder.write("README.md", "dirty\n");
    let before = stage.folder.checkout();
    let told = integrate(&ledger, "task/2 task-1 task-3").unwrap();
    expect![[r#"
        task/2 is in integration/2
        task/1 is in integration/2
        task/3 is Abandoned: there is nothing to merge
        take it in: git merge integration/2
    "#]]
    .assert_eq(&told);
    assert_eq!(stage.folder.checkout(), before);
    let log = stage.folder.git(&["log", "--first-parent", "--format=%s", "main..integration/2"]);
    assert_eq!(log, "Merge task/1: echo a > a\nMerge task/2: echo b > b\n");
    assert_eq!(
        states(&ledger),
        [TaskState::Integrated, TaskState::Integrated, TaskState::Abandoned]
    );
    let why = integrate(&ledger, "task-9").unwrap_err().to_string();
    assert_eq!(why, "there is no task task-9; :list names them");
    assert_eq!(integrate(&ledger, "").unwrap(), "there is nothing to integrate");
}

#[tokio::test]
async fn integration_stops_at_the_first_conflict_and_goes_on_when_it_is_mended() {
    let (stage, ledger, _) =
        after(&[("f", "1\n")], &["echo a > f", "echo b > f", "echo c > c"]).await;
    let told = integrate(&ledger, "").unwrap();
    assert!(
        told.contains("integration/1 and task/2 do not merge:\n  f: changed by both"),
        "{told}"
    );
    assert!(told.contains("On integration/1: `git merge task/2`"), "{told}");
    assert!(told.ends_with("take it in: git merge integration/1\n"), "{told}");
    assert_eq!(
        states(&ledger),
        [TaskState::Integrated, TaskState::Committed, TaskState::Committed]
    );
    stage.folder.git(&["switch", "-q", "integration/1"]);
    stage.folder.git(&["merge", "-q", "-X", "ours", "task/2"]);
    let told = integrate(&ledger, "").unwrap();
    assert_eq!(told, "task/3 is in integration/2\ntake it in: git merge integration/2\n");
    assert_eq!(states(&ledger), [TaskState::Integrated; 3]);
}

#[tokio::test]
async fn the_branch_that_work_began_at_may_be_gone() {
    let stage = stage(&["echo a > a"]);
    stage.folder.git(&["switch", "-q", "-c", "feature"]);
    let (ledger, _) = run(&stage, &["echo a > a"]).await;
    stage.folder.git(&["switch", "-q", "main"]);
    stage.folder.git(&["branch", "-q", "-D", "feature"]);
    let told = integrate(&ledger, "").unwrap();
    assert!(told.starts_with("task/1 is in integration/1"), "{told}");
}

#[tokio::test]
async fn only_what_is_ours_clean_and_merged_is_pruned_and_a_rescue_ref_keeps_it() {
    let tasks = [
        "echo a > a",
        "echo b > b; echo x > ignored",
        "echo c > c",
        "echo d > d",
        "echo e > e",
        "true",
    ];
    let (stage, ledger, _) = after(&[(".gitignore", "ignored\n")], &tasks).await;
    let folder = &stage.folder;
    let theirs = Folder::new();
    let path = theirs.path().join("tree");
    folder.git(&["worktree", "add", "-q", "-b", "theirs", path.to_str().unwrap()]);
    folder.git(&["merge", "-q", "task/1", "task/2", "task/3", "task/4"]);
    folder.write(".worktrees/task-3/c", "changed since\n");
    folder.git(&["worktree", "lock", ".worktrees/task-4"]);
    let tip = folder.git(&["rev-parse", "task/1"]);
    let list = prune(&ledger, "").unwrap();
    let short = |text: String| {
        text.replace(&folder.path().display().to_string(), "FOLDER").replace(&tip[..7], "TIP")
    };
    expect![[r#"
        task-1 can go; `:prune now` removes it
        task-2 stays: in FOLDER/.worktrees/task-2 is what is in no commit
        task-3 stays: in FOLDER/.worktrees/task-3 is what is in no commit
        task-4 can go; `:prune now` removes it
        task-5 stays: it is neither in HEAD nor in an integration branch
        task-6 can go; `:prune now` removes it
    "#]]
    .assert_eq(&short(list));
    assert_eq!(
        folder.branches(),
        "main task/1 task/2 task/3 task/4 task/5 theirs",
        "a list removes nothing"
    );
    let told = prune(&ledger, "now").unwrap();
    expect![[r#"
        task-1 is removed; `git branch NAME refs/rescue/task-1-TIP` brings it back
        task-2 stays: in FOLDER/.worktrees/task-2 is what is in no commit
        task-3 stays: in FOLDER/.worktrees/task-3 is what is in no commit
        task-4 stays: git: not pruning locked working tree: 'is locked'
        task-5 stays: it is neither in HEAD nor in an integration branch
        task-6 is removed
    "#]]
    .assert_eq(&short(told));
    assert_eq!(folder.branches(), "main task/2 task/3 task/4 task/5 theirs");
    assert_eq!(folder.read(".worktrees/task-2/ignored"), "x\n");
    assert!(!folder.has(".worktrees/task-1") && !folder.has(".git/worktrees/task-1"));
    assert_eq!(folder.git(&["rev-parse", &format!("refs/rescue/task-1-{}", &tip[..7])]), tip);
    assert!(prune(&ledger, "all").unwrap_err().to_string().contains(":prune now"));
    assert!(path.join("README.md").exists());
}

#[tokio::test]
async fn a_tree_without_a_commit_is_pruned_once_nothing_is_left_in_it() {
    let (stage, ledger, done) = after(&[(".gitignore", "ignored\n")], &["echo x > ignored"]).await;
    assert!(advice(&done[0]).contains("so it is kept"), "{done:?}");
    let place = stage.folder.path().join(".worktrees/task-1");
    let told = prune(&ledger, "now").unwrap();
    assert_eq!(told, format!("task-1 stays: in {} is what is in no commit\n", place.display()));
    fs::remove_file(place.join("ignored")).unwrap();
    assert!(prune(&ledger, "now").unwrap().starts_with("task-1 is removed"));
    assert_eq!((stage.folder.branches().as_str(), stage.folder.trees()), ("main", 1));
}

#[tokio::test]
async fn a_branch_that_somebody_made_anew_under_our_name_is_not_ours() {
    let (stage, ledger, _) = after(&[], &["echo a > a"]).await;
    stage.folder.git(&["merge", "-q", "task/1"]);
    stage.folder.git(&["worktree", "remove", "--force", ".worktrees/task-1"]);
    stage.folder.git(&["branch", "-q", "-D", "task/1"]);
    stage.folder.git(&["branch", "task/1", "main"]);
    let told = prune(&ledger, "now").unwrap();
    assert_eq!(told, "task-1 stays: the branch task/1 is not ours\n");
    assert_eq!(stage.folder.branches(), "main task/1");
}

// At the same time.

#[tokio::test]
async fn three_tasks_are_at_work_at_the_same_time() {
    let play = "
prompt: go
setup: {git: true}
scenes:
- said: '^[abc]$'
  lines:
  - calls: [{tool: meet}, {tool: bash, input: {command: pwd > where}}, {tool: meet}]
  - text: Done.";
    let mut stage = Stage::new(play);
    stage.agent.tools.add_for_family(Meet::new(3));
    let (ledger, _) = run(&stage, &["a", "b", "c"]).await;
    assert_eq!(states(&ledger), [TaskState::Committed; 3]);
    for number in 1..=3 {
        let place = stage.folder.git(&["show", &format!("task/{number}:where")]);
        assert!(place.ends_with(&format!("/.worktrees/task-{number}\n")), "{place}");
    }
}

#[test]
fn a_bar_in_a_task_of_a_flag_is_part_of_it() {
    let program = Program::new(BINARY, LESSON.play);
    let mut command = program.command();
    command.args(["--task", "Greet more loudly. ls | wc", "--task", "Write down who | what"]);
    let said = String::from_utf8(Program::pipe(command, ":list\nq\n").stdout).unwrap();
    assert!(said.contains("task-1    Committed   Greet more loudly. ls | wc\ntask-2    Committed   Write down who | what\n"), "{said}");
}

#[test]
fn in_a_folder_whose_name_is_no_utf_8_it_says_what_to_do() {
    let folder = Folder::git_repo();
    let checkout = folder.path().join(OsStr::from_bytes(b"caf\xe9"));
    fs::create_dir(&checkout).unwrap();
    fs::rename(folder.path().join(".git"), checkout.join(".git")).unwrap();
    let mut command = harness_testkit::scrubbed(BINARY, folder.path());
    command.args(["--demo", "--workspace"]).arg(&checkout);
    let said = String::from_utf8(Program::pipe(command, "\nq\n").stdout).unwrap();
    let why = format!(
        "{}/caf\u{fffd} is no UTF-8, and the list of trees is; rename it\n",
        folder.path().display()
    );
    assert!(said.contains(&format!("no task can run here: {why}")), "{said}");
    assert!(said.contains(&format!("error: {why}")), "{said}");
    assert!(!checkout.join(".worktrees").exists());
}
