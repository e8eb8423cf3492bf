//! Killed with -9 at every step: the next start takes up what is left. Real processes, real git.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use harness_testkit::{Folder, Program, Stage, scrubbed};
use s12_worktree_task_isolation::{
    Base, Isolated, Made, TaskProgress, TaskRunner, TaskState, Worktree,
};
use s23_worktree_advanced::Ledger;
use tokio_util::sync::CancellationToken;

const BINARY: &str = env!("CARGO_BIN_EXE_s23_worktree_advanced");
const STEPS: [TaskState; 5] = [
    TaskState::Created,
    TaskState::Running,
    TaskState::Finished,
    TaskState::Committed,
    TaskState::Abandoned,
];

const PLAY: &str = "
prompt: go
scenes:
- said: '^work$'
  lines:
  - calls: [{tool: write, input: {path: work.txt, content: work}}]
  - text: Done.
- said: '^look$'
  lines: [{text: I have looked.}]";

/// Kills its own process just before, or just after, a step is written down.
#[derive(Debug)]
struct Dies {
    ledger: Ledger,
    at: TaskState,
    after: bool,
}

impl TaskProgress for Dies {
    fn reached(&self, tree: &Worktree, task: &str, step: TaskState) -> Made<()> {
        if step == self.at && !self.after {
            die();
        }
        self.ledger.reached(tree, task, step)?;
        if step == self.at {
            die();
        }
        Ok(())
    }
}

fn die() {
    let me = std::process::id().to_string();
    scrubbed("kill", Path::new("/")).args(["-9", &me]).status().unwrap();
    loop {
        std::thread::park();
    }
}

/// Not a test by itself: the process that is killed. The tests below start it with its orders in the
/// environment.
#[tokio::test]
async fn the_process_that_is_killed() {
    let (Ok(folder), Ok(at)) = (std::env::var("DIES_IN"), std::env::var("DIES_AT")) else { return };
    let mut stage = Stage::new(PLAY);
    stage.agent.cwd = folder.into();
    let (step, when) = at.split_once(' ').unwrap();
    let at = STEPS.into_iter().find(|it| format!("{it:?}") == step).unwrap();
    let ledger = Ledger::open(&stage.agent.cwd).unwrap();
    let life = Dies { ledger, at, after: when == "after" };
    let tasks = ["work", "look"].map(str::to_owned).to_vec();
    let ran = Isolated(Arc::new(life)).run(&stage.agent, tasks, &CancellationToken::new()).await;
    panic!("it was to be killed at {step}: {ran:?}");
}

fn killed(folder: &Folder, at: &str) {
    let mut child = scrubbed(std::env::current_exe().unwrap(), folder.path());
    child.args(["the_process_that_is_killed", "--exact", "--quiet", "--nocapture"]);
    child.env("DIES_IN", folder.path()).env("DIES_AT", at);
    let status = child.stdout(Stdio::null()).status().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{at}: {status}");
}

fn program(folder: &Folder) -> Command {
    let mut command = scrubbed(BINARY, folder.path());
    command.current_dir(folder.path()).args(["--demo", "--workspace", "."]);
    command
}

/// A repository that has what the program's own play would set up.
fn repository() -> Folder {
    let folder = Folder::in_memory();
    folder.git(&["init", "--quiet", "--initial-branch=main"]);
    folder.write("README.md", "A repository.\n");
    folder.write("greet.sh", "");
    folder.commit("As in the play");
    folder
}

/// Starts the program on what is left, and returns what it says.
fn next_start(folder: &Folder, lines: &str) -> String {
    let output = Program::pipe(program(folder), lines);
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// Whatever was killed: after a start everything is on a branch or gone, and all is whole.
fn is_recovered(folder: &Folder, checkout: &str, at: &str) -> Vec<(TaskState, String)> {
    let told = next_start(folder, ":list\nq\n");
    assert!(!told.contains("look at "), "{at}: {told}");
    assert!(!next_start(folder, "q\n").contains("was killed"), "{at}: it is taken up once");
    let tracked = Ledger::open(folder.path()).unwrap().all().unwrap();
    let mut kept = Vec::new();
    for it in &tracked {
        assert!(it.state >= TaskState::Committed, "{at}: {it:?}");
        let branch = folder.git(&["branch", "--list", &it.tree.branch]);
        let left = !branch.is_empty() || it.tree.path.exists();
        assert_eq!(left, it.state == TaskState::Committed, "{at}: {it:?}\n{told}");
        kept.extend(left.then(|| it.tree.name.clone()));
    }
    let listed = folder.git(&["worktree", "list", "--porcelain"]);
    assert_eq!(listed.matches("worktree ").count(), kept.len() + 1, "{at}: {listed}");
    let names = |folder: &Path| {
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            files.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
        names.retain(|name| name != ".gitignore");
        names.sort();
        names
    };
    kept.sort();
    assert_eq!(names(&folder.path().join(".worktrees")), kept, "{at}");
    assert_eq!(names(&folder.path().join(".git/worktrees")), kept, "{at}");
    assert_eq!(folder.git(&["fsck", "--no-dangling", "--no-progress"]), "", "{at}");
    assert_eq!(folder.git(&["status", "--porcelain", "--branch"]), checkout, "{at}");
    tracked.into_iter().map(|it| (it.state, it.task)).collect()
}

#[test]
fn killed_before_and_after_every_state_change_the_next_start_recovers() {
    for step in STEPS {
        for when in ["before", "after"] {
            let at = format!("{step:?} {when}");
            let folder = repository();
            let checkout = folder.git(&["status", "--porcelain", "--branch"]);
            killed(&folder, &at);
            let work = std::fs::read_to_string(folder.path().join(".worktrees/task-1/work.txt"));
            let tasks = is_recovered(&folder, &checkout, &at);
            if let Ok(work) = work {
                assert_eq!(folder.git(&["show", "task/1:work.txt"]), work, "{at}");
            }
            if step == TaskState::Committed {
                assert!(
                    tasks.contains(&(TaskState::Committed, "work".to_owned())),
                    "{at}: {tasks:?}"
                );
            }
            let told = next_start(&folder, ":integrate\n:prune now\nq\n");
            let left = folder.git(&["branch", "--list", "task/*"]);
            assert_eq!(left, "", "{at}: {told}");
        }
    }
}

/// The program's own script has nothing to say to this one, and so changes nothing.
const LOOK: &str = "look";
/// And here it writes a file.
const WRITE: &str = "Write down who may use this.";

fn last_number(folder: &Folder) -> u32 {
    let last = folder.path().join(".git/harness-tasks");
    std::fs::read_to_string(last).map_or(0, |last| last.trim().parse().unwrap())
}

/// A repository in which a tree takes a while to be made and removed.
fn large() -> Folder {
    let folder = repository();
    for number in 0..900 {
        folder.write(&format!("d{}/f{number}", number % 30), &format!("{number}\n").repeat(200));
    }
    folder.commit("Many files");
    folder
}

/// Starts two of this task, and kills the program as soon as this is so. Says whether it came in time.
fn killed_when(folder: &Folder, task: &str, is_so: impl Fn(&Path) -> bool) -> bool {
    let mut command = program(folder);
    command.args(["--task", task, "--task", task]);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so(folder.path()) {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        assert!(Instant::now() < deadline, "it never was so");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    true
}

#[test]
fn killed_while_a_tree_is_made_the_half_made_one_is_removed() {
    let folder = large();
    let checkout = folder.git(&["status", "--porcelain", "--branch"]);
    let signs = [
        ".git/harness-tasks.lock",
        ".git/refs/heads/task/N",
        ".git/worktrees/task-N",
        ".git/worktrees/task-N/HEAD",
        ".worktrees/task-N",
        ".worktrees/task-N/d1/f1",
        ".worktrees/task-N/d17",
        ".worktrees/task-N/d29",
        ".git/worktrees/task-N/index.lock",
        ".git/worktrees/task-N/index",
    ];
    let mut hit = 0;
    for sign in signs {
        let last = last_number(&folder);
        let sign = sign.replace('N', &(last + 1).to_string());
        hit += usize::from(killed_when(&folder, LOOK, |root| root.join(&sign).exists()));
        let tasks = is_recovered(&folder, &checkout, &sign);
        assert!(tasks.iter().all(|(state, _)| *state == TaskState::Abandoned), "{sign}: {tasks:?}");
    }
    assert!(hit >= 1, "none of the kills came in time");
}

#[test]
fn killed_while_an_empty_tree_is_removed_the_rest_of_it_goes_too() {
    let folder = large();
    let checkout = folder.git(&["status", "--porcelain", "--branch"]);
    let mut hit = 0;
    for part in ["d1/f1", "d9", "d20", "d29/f29"] {
        let last = last_number(&folder);
        let tree = format!(".worktrees/task-{}", last + 1);
        let made = std::cell::Cell::new(false);
        hit += usize::from(killed_when(&folder, LOOK, |root| {
            let is_there = root.join(&tree).join("d29/f899").exists();
            made.set(made.get() || is_there);
            made.get() && !root.join(&tree).join(part).exists()
        }));
        let tasks = is_recovered(&folder, &checkout, part);
        assert!(tasks.iter().all(|(state, _)| *state == TaskState::Abandoned), "{part}: {tasks:?}");
    }
    assert!(hit >= 1, "none of the kills came in time");
}

#[test]
fn killed_while_work_is_done_and_committed_none_of_it_is_lost() {
    let folder = repository();
    let checkout = folder.git(&["status", "--porcelain", "--branch"]);
    let text = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    type Sign = fn(&Path, &str) -> bool;
    let signs: [(&str, Sign); 7] = [
        (".worktrees/task-N/NOTICE.txt", |_, text| !text.is_empty()),
        (".harness/worktrees.json", |_, text| text.contains("Finished")),
        (".git/worktrees/task-N/index.lock", |path, _| path.exists()),
        (".git/logs/HEAD", |path, _| path.with_file_name("refs/heads/task").exists()),
        (".git/logs/refs/heads/task/N", |_, text| text.lines().count() > 1),
        (".git/worktrees/task-N/logs/HEAD", |_, text| text.lines().count() > 1),
        (".harness/worktrees.json", |_, text| text.contains("Committed")),
    ];
    let (mut hit, mut kept) = (0, 0);
    for (sign, is_so) in signs {
        let number = last_number(&folder) + 1;
        let sign = sign.replace('N', &number.to_string());
        hit += usize::from(killed_when(&folder, WRITE, |root| {
            let path = root.join(&sign);
            is_so(&path, &text(&path))
        }));
        let written = [number, number + 1].map(|number| {
            (number, text(&folder.path().join(format!(".worktrees/task-{number}/NOTICE.txt"))))
        });
        is_recovered(&folder, &checkout, &sign);
        for (number, written) in written.iter().filter(|(_, written)| !written.is_empty()) {
            assert_eq!(folder.git(&["show", &format!("task/{number}:NOTICE.txt")]), *written);
            kept += 1;
        }
        next_start(&folder, ":integrate\n:prune now\nq\n");
        assert_eq!(folder.git(&["branch", "--list", "task/*"]), "", "{sign}");
        // The same work, done once more within the second, would be the same commit.
        for branch in folder.git(&["branch", "--format=%(refname:short)"]).lines() {
            if branch != "main" {
                folder.git(&["branch", "-q", "-D", branch]);
            }
        }
    }
    assert!(hit >= 1 && kept >= 1, "{hit} kills came in time, {kept} files were written");
}

#[test]
fn locks_that_a_killed_run_has_left_are_taken_away() {
    let folder = repository();
    let checkout = folder.git(&["status", "--porcelain", "--branch"]);
    killed(&folder, "Finished after");
    for tree in ["task-1", "task-2"] {
        if folder.has(&format!(".git/worktrees/{tree}")) {
            folder.write(&format!(".git/worktrees/{tree}/index.lock"), "");
            folder.write(&format!(".git/worktrees/{tree}/HEAD.lock"), "");
        }
    }
    let states = Ledger::open(folder.path()).unwrap().all().unwrap();
    let finished = states.iter().all(|it| it.state >= TaskState::Finished);
    if finished {
        is_recovered(&folder, &checkout, "locks");
    }
}

#[test]
fn what_somebody_put_into_a_half_made_tree_is_kept_and_told() {
    let folder = repository();
    killed(&folder, "Created after");
    folder.write(".worktrees/task-1/mine.txt", "mine");
    let told = next_start(&folder, "q\n");
    assert!(
        told.contains(
            "task-1 was Created when its run was killed: in its folder is what is not of its commit"
        ),
        "{told}"
    );
    assert_eq!(folder.read(".worktrees/task-1/mine.txt"), "mine");
}

#[test]
fn what_another_run_is_at_work_on_is_left_to_it() {
    let folder = repository();
    let (mine, yours) =
        (Ledger::open(folder.path()).unwrap(), Ledger::open(folder.path()).unwrap());
    let base = Base::find(folder.path()).unwrap();
    let tree = base.tree(|tree| mine.reached(tree, "go", TaskState::Created)).unwrap();
    assert!(yours.recover().unwrap().is_empty());
    assert!(!next_start(&folder, "q\n").contains("was killed"));
    assert!(tree.path.join("README.md").exists());
    drop(mine);
    let told = yours.recover().unwrap();
    assert_eq!(told, ["task-1 was Created when its run was killed: there was nothing in it"]);
    assert!(!tree.path.exists());
}

#[test]
fn a_damaged_list_is_named_and_kept() {
    let folder = repository();
    let list = folder.write(".harness/worktrees.json", "[{\"half");
    let output = Program::pipe(program(&folder), "q\n");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("worktrees.json\" is damaged"), "{said}");
    assert_eq!(std::fs::read_to_string(list).unwrap(), "[{\"half");
}
