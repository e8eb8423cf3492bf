//! The lesson, played; then the hard cases.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use expect_test::expect;
use harness_core::{
    Approval, Approver, Content, Effect, Event, Gate, Hook, Observer, Policy, Question, Runner,
    Schedule, Tool, ToolCall, ToolContext, ToolError, ToolResult, Verdict,
};
use harness_testkit::program::{KEY, Program};
use harness_testkit::{Folder, Key, Notices, Stage, StrictServer, Terminal, outputs, scrubbed};
use s14_tools_extended::{Checkpoints, LESSON};
use tokio::sync::{Barrier, Notify};
use tokio_util::sync::CancellationToken;

const BINARY: &str = env!("CARGO_BIN_EXE_s14_tools_extended");

/// A stage with the mechanism and these calls, a line each, every call in a reply of its own.
fn calls(calls: &[&str]) -> Stage {
    let lines: String = calls.iter().map(|call| format!("- calls: [{{{call}}}]\n")).collect();
    Stage::lines(&format!("{lines}- {{text: Done.}}")).with(Checkpoints::default())
}

fn bash(command: &str) -> String {
    format!("tool: bash, input: {{command: {command:?}}}")
}

fn write(path: &str, content: &str) -> String {
    format!("tool: write, input: {{path: {path:?}, content: {content:?}}}")
}

fn revert(path: &str) -> String {
    format!("tool: revert, input: {{path: {path:?}}}")
}

/// The program, in an empty folder.
fn program() -> Program {
    Program::new(BINARY, "prompt: go\nscenes: []")
}

/// A server that plays these calls for the prompt `go`, and the program's command with its address.
fn against(program: &Program, lines: &[&str]) -> (StrictServer, Command) {
    let lines: String = lines.iter().map(|call| format!("  - calls: [{{{call}}}]\n")).collect();
    let play = format!("prompt: go\nscenes:\n- said: ^go\n  lines:\n{lines}  - {{text: Done.}}");
    let server = StrictServer::start(play.as_str());
    let mut command = program.command();
    command.env("ANTHROPIC_BASE_URL", server.base_url()).env("ANTHROPIC_API_KEY", KEY);
    (server, command)
}

/// Starts the program anew, with a server that plays these calls, and types this.
fn run(program: &Program, lines: &[&str], input: &str) -> String {
    let (server, command) = against(program, lines);
    let output = Program::pipe(command, input);
    server.finish();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

fn index(folder: &Folder) -> serde_json::Value {
    serde_json::from_str(&folder.read(".harness/checkpoints/index.json")).unwrap()
}

/// The paths of the changes of each checkpoint.
fn recorded(folder: &Folder) -> Vec<Vec<String>> {
    let paths = |checkpoint: &serde_json::Value| {
        let changes = checkpoint["changes"].as_array().unwrap();
        changes.iter().map(|change| change["path"].as_str().unwrap().to_owned()).collect()
    };
    index(folder)["checkpoints"].as_array().unwrap().iter().map(paths).collect()
}

#[tokio::test]
async fn the_play() {
    let mut stage = Stage::new(LESSON.play).with(Checkpoints::default());
    expect![[r#"
        human: Make greet.sh polite.
        model: I write it anew, and let sed have a try at the words.
          call write {"path":"greet.sh","content":"echo \"Good day, ${1:-world}.\"\n"}
          call bash {"command":"sed -i.bak 's/day/evening/' greet.sh && rm greet.sh.bak && sh greet.sh Ada"}
          result 1 replaced greet.sh (30 bytes)
          result 2 Good evening, Ada.
        model: It is not evening. I take the last change back; that bash made it does not matter.
          call revert {"path":"greet.sh"}
          call bash {"command":"sh greet.sh Ada"}
          result 1 greet.sh is what it was before that change
          result 2 Good day, Ada.
        model: And how was it before I came? One more step back, and one too many.
          call revert {"path":"./greet.sh"}
          call bash {"command":"sh greet.sh Ada"}
          call revert {"path":"greet.sh"}
          result 1 greet.sh is what it was before that change
          result 2 Hi, Ada.
          error 3 no change to "greet.sh" is left to take back
        model: That is as far as it goes. Now the version I want to keep.
          call edit {"path":"greet.sh","old_string":"Hi","new_string":"Good day"}
          call bash {"command":"sh greet.sh Ada"}
          result 1 changed greet.sh once:
                 1	echo "Good day, ${1:-world}."
          result 2 Good day, Ada.
        model: greet.sh says “Good day”. Send the next prompt, then take it back with :undo.
        human: Clear away what is old here.
          call bash {"command":"rm -r old && chmod 755 greet.sh && ls"}
          result greet.sh
        model: The folder old is gone, with two files in it. If you miss them, type :undo.
    "#]].assert_eq(&stage.play().await);
    assert_eq!(stage.folder.read("greet.sh"), "echo \"Good day, ${1:-world}.\"\n");
    assert!(!stage.folder.has("old"));
}

#[test]
fn the_play_is_the_same_by_pipe_with_p_and_over_the_wire() {
    let program = || Program::new(BINARY, LESSON.play);
    for said in [program().play(), program().play_over_the_wire()] {
        assert!(said.contains("no change to \"greet.sh\" is left to take back"), "{said}");
        assert!(said.contains("The folder old is gone"), "{said}");
    }
    let program = program();
    let done = program.command().args(["-p", "Make greet.sh polite."]).output().unwrap();
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(said.starts_with("greet.sh says “Good day”."), "{said}");
}

#[test]
fn whole_prompts_are_undone_and_redone() {
    let program = Program::new(BINARY, LESSON.play);
    let input = "\n\n:checkpoints\n:undo\n:undo\n:undo\n:checkpoints\n:redo\n:redo\n:redo\n:undo\n:undo me\nq\n";
    let output = Program::pipe(program.command(), input);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    let (_, said) = said.split_once(":checkpoints\n").unwrap();
    expect![[r#"
        1 Make greet.sh polite. (greet.sh)
        2 Clear away what is old here. (greet.sh, old, old/draft.txt, old/notes.txt)
        s14 >> :undo
        undone: 2 Clear away what is old here. (greet.sh, old, old/draft.txt, old/notes.txt)
        s14 >> :undo
        undone: 1 Make greet.sh polite. (greet.sh)
        s14 >> :undo
        there is nothing to be undone
        s14 >> :checkpoints
        1 Make greet.sh polite. (greet.sh)  undone
        2 Clear away what is old here. (greet.sh, old, old/draft.txt, old/notes.txt)  undone
        s14 >> :redo
        redone: 1 Make greet.sh polite. (greet.sh)
        s14 >> :redo
        redone: 2 Clear away what is old here. (greet.sh, old, old/draft.txt, old/notes.txt)
        s14 >> :redo
        there is nothing to be redone
        s14 >> :undo
        undone: 2 Clear away what is old here. (greet.sh, old, old/draft.txt, old/notes.txt)
        s14 >> :undo me
        error: :undo goes by whole checkpoints; for one file, ask for revert
        s14 >> q
    "#]]
    .assert_eq(said);
    assert_eq!(program.folder.read("old/notes.txt"), "Ask Ada about it.\n");
}

#[test]
fn the_play_in_a_terminal() {
    let program = Program::new(BINARY, LESSON.play);
    let mut terminal = Terminal::start(program.command(), 110, 50);
    terminal.wait_for("press Enter to send: Make greet.sh polite.");
    terminal.key(Key::Enter);
    terminal.wait_for("greet.sh says “Good day”");
    terminal.key(Key::Enter);
    terminal.wait_for("The folder old is gone");
    assert!(!program.folder.has("old"));
    terminal.line(":undo");
    terminal.wait_for("undone: 2 Clear away");
    assert!(program.folder.has("old/draft.txt"));
    terminal.line("q");
    assert!(terminal.wait_for_end().success());
}

#[test]
fn the_output_in_the_readme_is_what_the_program_prints() {
    let program = Program::new(BINARY, LESSON.play);
    let mut said = Program::pipe(program.command(), "\n\n:checkpoints\n:undo\nq\n").stdout;
    assert!(program.folder.has("old/notes.txt"));
    program.folder.write("greet.sh", "mine");
    said.extend(Program::pipe(program.command(), ":undo\nq\n").stdout);
    let said = String::from_utf8(said).unwrap();
    for block in outputs(include_str!("../README.md")) {
        assert!(said.contains(block), "not printed:\n{block}\nbut:\n{said}");
    }
}

// ---------------------------------------------------------------- the original's defects

#[tokio::test]
async fn after_two_writes_the_original_is_still_there() {
    let mut stage = calls(&[
        &write("a.txt", "one"),
        &write("a.txt", "two"),
        &revert("a.txt"),
        &bash("cat a.txt"),
        &revert("a.txt"),
        &bash("cat a.txt"),
        &revert("a.txt"),
    ]);
    stage.folder.write("a.txt", "original");
    stage.play().await;
    let results = stage.results();
    assert_eq!((&*results[3], &*results[5]), ("one", "original"));
    assert_eq!(results[6], "no change to \"a.txt\" is left to take back");
}

#[tokio::test]
async fn one_file_has_one_history_however_it_is_spelled() {
    let absolute = "{path}"; // filled in below: the folder is not known yet
    let mut stage = calls(&[
        &write("./sub//a.txt", "one"),
        &write("sub/../sub/a.txt", "two"),
        &write(absolute, "three"),
        &revert("sub/a.txt"),
        &revert("sub/./a.txt"),
        &bash("cat sub/a.txt"),
        &revert("sub/a.txt"),
    ]);
    let path = stage.folder.path().join("sub/a.txt");
    stage.agent.hooks.insert(0, Arc::new(Fill(path.display().to_string())));
    stage.play().await;
    assert_eq!(stage.results()[5], "one");
    assert_eq!(stage.results()[6], "sub/a.txt is gone again: that change had made it");
    assert!(!stage.folder.has("sub/a.txt"));
}

/// Puts a path where a play has `{path}`.
struct Fill(String);

#[async_trait]
impl Hook for Fill {
    async fn before_tool(&self, call: &mut ToolCall, _: &Effect, _: &ToolContext) -> Verdict {
        if call.input.get("path").is_some_and(|path| path == "{path}") {
            call.input.insert("path".to_owned(), self.0.clone().into());
        }
        Verdict::Allow
    }
}

#[tokio::test]
async fn binary_files_and_crlf_come_back_byte_for_byte() {
    let bytes: [(&str, &[u8]); 4] = [
        ("binary", &[0, 159, 146, 150, 255, 10, 13, 0]),
        ("crlf", b"one\r\ntwo\r\nno end"),
        ("bom", b"\xef\xbb\xbfwith a mark\n"),
        ("empty", b""),
    ];
    let names = bytes.map(|(name, _)| name);
    let changed = names.map(|name| write(name, "changed\n"));
    let back = names.map(revert);
    let all: Vec<&str> = changed.iter().chain(&back).map(String::as_str).collect();
    let mut stage = calls(&all);
    for (name, bytes) in bytes {
        fs::write(stage.folder.path().join(name), bytes).unwrap();
    }
    stage.play().await;
    for (name, bytes) in bytes {
        assert_eq!(fs::read(stage.folder.path().join(name)).unwrap(), bytes, "{name}");
    }
}

#[tokio::test]
async fn what_bash_changes_is_taken_back_like_any_other_change() {
    let mut stage = calls(&[
        &bash(
            "echo changed > a.txt; rm gone.bin; echo made > made.txt; chmod 4711 mode.sh; mv old.txt new.txt",
        ),
        &revert("a.txt"),
        &revert("gone.bin"),
        &revert("made.txt"),
        &revert("mode.sh"),
        &revert("old.txt"),
        &revert("new.txt"),
    ]);
    stage.folder.write("a.txt", "a");
    stage.folder.write("mode.sh", "echo");
    stage.folder.write("old.txt", "o");
    fs::write(stage.folder.path().join("gone.bin"), [0, 1, 254]).unwrap();
    fs::set_permissions(stage.folder.path().join("gone.bin"), Permissions::from_mode(0o640))
        .unwrap();
    stage.play().await;
    assert_eq!(stage.folder.read("a.txt"), "a");
    assert_eq!(stage.folder.read("old.txt"), "o");
    let mode = |name: &str| {
        fs::metadata(stage.folder.path().join(name)).unwrap().permissions().mode() & 0o7777
    };
    assert_eq!((mode("gone.bin"), mode("mode.sh")), (0o640, 0o644));
    assert_eq!(fs::read(stage.folder.path().join("gone.bin")).unwrap(), [0, 1, 254]);
    assert!(!stage.folder.has("made.txt") && !stage.folder.has("new.txt"));
}

#[test]
fn a_restart_forgets_nothing() {
    let program = program();
    let folder = &program.folder;
    folder.write("a.txt", "original");
    run(&program, &[&write("a.txt", "one")], "go\nq\n");
    run(&program, &[&bash("echo two > a.txt; echo b > b.txt")], "go\nq\n");
    let said =
        run(&program, &[&revert("a.txt"), &revert("a.txt")], ":checkpoints\ngo\n:undo\n:undo\nq\n");
    assert!(said.contains("1 go (a.txt)\n2 go (a.txt, b.txt)\n"), "{said}");
    // The two steps back of the third run, undone as one; then the second run.
    assert!(
        said.contains("undone: 3 go (a.txt)") && said.contains("undone: 2 go (a.txt, b.txt)"),
        "{said}"
    );
    assert_eq!(folder.read("a.txt"), "one");
    assert!(!folder.has("b.txt"));
}

#[tokio::test]
async fn a_write_through_a_link_is_taken_back_where_it_landed() {
    let mut stage = calls(&[
        &write("link", "changed"),
        &bash("cat real.txt"),
        &revert("link"),
        &bash("ln -sfn other.txt link"),
        &revert("link"),
    ]);
    stage.folder.write("real.txt", "original");
    symlink("real.txt", stage.folder.path().join("link")).unwrap();
    stage.play().await;
    assert_eq!(stage.results()[1], "changed");
    assert_eq!(stage.folder.read("real.txt"), "original");
    assert_eq!(fs::read_link(stage.folder.path().join("link")).unwrap(), Path::new("real.txt"));
}

#[tokio::test]
async fn a_link_out_of_the_workspace_is_never_followed() {
    let outside = Folder::new();
    let secret = outside.write("secret", "secret");
    let mut stage = calls(&[
        &write("link", "changed"),
        &bash("rm link; echo mine > link"),
        &bash("rm -r folder; mkdir folder; echo mine > folder/secret"),
        &revert("link"),
        &revert("folder/secret"),
        &revert("folder/secret"),
        &revert("../secret"),
    ]);
    symlink(&secret, stage.folder.path().join("link")).unwrap();
    symlink(outside.path(), stage.folder.path().join("folder")).unwrap();
    stage.play().await;
    assert_eq!(fs::read_link(stage.folder.path().join("link")).unwrap(), secret);
    assert!(stage.results()[0].contains("is outside the workspace"));
    assert!(stage.results()[6].contains("is outside the workspace"));
    assert_eq!(outside.read("secret"), "secret");
    assert!(!stage.folder.has("folder/secret"));
}

// ---------------------------------------------------------------- somebody else

#[test]
fn revert_and_undo_refuse_when_somebody_else_has_changed_the_file_since() {
    let program = program();
    let folder = &program.folder;
    run(&program, &[&write("a.txt", "one"), &write("b.txt", "one")], "go\nq\n");
    folder.write("a.txt", "mine");
    let said = run(&program, &[&revert("a.txt")], "go\n:undo\nq\n");
    assert_eq!(said.matches("\"a.txt\" was changed since by somebody else").count(), 2, "{said}");
    assert_eq!((folder.read("a.txt"), folder.read("b.txt")), ("mine".into(), "one".into()));
    fs::rename(folder.path().join("a.txt"), folder.path().join("mine.txt")).unwrap();
    run(&program, &[], ":undo\nq\n");
    assert!(!folder.has("a.txt") && !folder.has("b.txt"));
    assert_eq!(folder.read("mine.txt"), "mine");
}

/// Asks before every write; who is asked changes the file and says yes.
struct Busy(Folder);

impl Policy for Busy {
    fn rule_on(&self, _: &ToolCall, effect: &Effect, _: &Path) -> Verdict {
        match effect {
            Effect::Reads(_) => Verdict::Allow,
            _ => Verdict::Ask("a change".to_owned()),
        }
    }
}

#[async_trait]
impl Approver for Busy {
    async fn approve(&self, question: &Question<'_>, cx: &ToolContext) -> Approval {
        let call = question.call;
        if call.name == "revert" {
            return Approval::Once;
        }
        fs::write(cx.cwd.join("a.txt"), "typed while the question stood").unwrap();
        self.0.write("asked", &call.name);
        Approval::Once
    }
}

#[tokio::test]
async fn what_the_user_writes_while_a_question_stands_is_not_lost() {
    for call in [write("a.txt", "one"), bash("echo one > a.txt")] {
        let mut stage = calls(&[&call, &revert("a.txt")]);
        let busy = Arc::new(Busy(Folder::new()));
        stage.agent.gate = Gate { policy: busy.clone(), approver: busy };
        stage.folder.write("a.txt", "original");
        stage.play().await;
        assert_eq!(stage.folder.read("a.txt"), "typed while the question stood", "{call}");
    }
}

#[tokio::test]
async fn a_denied_call_leaves_nothing_behind() {
    struct No;
    impl Policy for No {
        fn rule_on(&self, _: &ToolCall, _: &Effect, _: &Path) -> Verdict {
            Verdict::Deny("no".to_owned())
        }
    }
    let checkpoints = Checkpoints::default();
    let mut stage =
        Stage::lines(&format!("- calls: [{{{}}}]\n- {{text: Done.}}", write("a.txt", "x")));
    stage = stage.with(checkpoints.clone());
    stage.agent.gate.policy = Arc::new(No);
    stage.play().await;
    assert!(!stage.folder.has(".harness/checkpoints/index.json"));
    assert!(format!("{checkpoints:?}").contains("calls: []"));
}

// ---------------------------------------------------------------- several at once

/// Admits all calls before any of them runs, then runs them all at once; as a scheduler may.
struct AllAtOnce;

#[async_trait]
impl Schedule for AllAtOnce {
    async fn run(&self, calls: &[ToolCall], runner: &Runner<'_>) -> Vec<ToolResult> {
        let (mut admitted, mut results) = (Vec::new(), Vec::new());
        for call in calls {
            match runner.admit(call).await {
                Ok(call) => admitted.push(call),
                Err(result) => results.push(result),
            }
        }
        let mut running: Vec<_> =
            admitted.into_iter().map(|call| Box::pin(runner.perform(call))).collect();
        // Polled in turn, so that each begins before any has ended.
        std::future::poll_fn(|cx| {
            running.retain_mut(|call| match call.as_mut().poll(cx) {
                std::task::Poll::Ready(result) => {
                    results.push(result);
                    false
                }
                std::task::Poll::Pending => true,
            });
            if running.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
        results
    }
}

/// Appends a line to a file, when all who take part are there.
struct Append(Arc<Barrier>);

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Line {
    path: String,
    text: String,
}

impl Tool for Append {
    const NAME: &'static str = "append";
    const ABOUT: &'static str = "Appends.";
    type Input = Line;

    async fn call(&self, input: Line, cx: &ToolContext) -> Result<Content, ToolError> {
        use std::io::Write;
        self.0.wait().await; // all have begun, and were looked at
        let mut options = File::options();
        let mut file = options.append(true).create(true).open(cx.cwd.join(&input.path)).unwrap();
        writeln!(file, "{}", input.text).unwrap();
        Ok("appended".into())
    }
}

#[tokio::test]
async fn calls_that_run_at_once_are_one_chain_and_go_back_to_the_start() {
    let append =
        |path: &str, text: &str| format!("{{tool: append, input: {{path: {path}, text: {text}}}}}");
    let together = [append("a", "one"), append("b", "two"), append("a", "three")].join(", ");
    let mut stage = Stage::lines(&format!("- calls: [{together}]\n- {{text: Done.}}"));
    stage = stage.with(Checkpoints::default());
    stage.agent.tools.add(Append(Arc::new(Barrier::new(3))));
    stage.agent.schedule = Arc::new(AllAtOnce);
    stage.folder.write("a", "zero\n");
    stage.play().await;
    // The first to end may have seen the files of the others half written. It is told once all the same.
    let index = index(&stage.folder);
    for path in ["a", "b"] {
        let changes = index["checkpoints"][0]["changes"].as_array().unwrap();
        let own: Vec<_> = changes.iter().filter(|change| change["path"] == path).collect();
        assert!(own.windows(2).all(|pair| pair[0]["to"] == pair[1]["from"]), "{index}");
    }
    let home = Folder::new();
    let mut command = scrubbed(BINARY, home.path());
    command.arg("--workspace").arg(stage.folder.path());
    Program::pipe(command, ":undo\nq\n");
    assert_eq!(stage.folder.read("a"), "zero\n");
    assert!(!stage.folder.has("b"));
}

#[tokio::test]
async fn two_writes_of_one_reply_that_were_both_admitted_first_are_two_steps() {
    /// Admits all, then runs one after the other.
    struct AdmitFirst;
    #[async_trait]
    impl Schedule for AdmitFirst {
        async fn run(&self, calls: &[ToolCall], runner: &Runner<'_>) -> Vec<ToolResult> {
            let mut admitted = Vec::new();
            for call in calls {
                admitted.push(runner.admit(call).await.unwrap());
            }
            let mut results = Vec::new();
            for call in admitted {
                results.push(runner.perform(call).await);
            }
            results
        }
    }
    let lines = format!(
        "- calls: [{{{}}}, {{{}}}]\n- calls: [{{{}}}]\n- {{text: Done.}}",
        write("a.txt", "one"),
        write("a.txt", "two"),
        revert("a.txt")
    );
    let mut stage = Stage::lines(&lines).with(Checkpoints::default());
    stage.agent.schedule = Arc::new(AdmitFirst);
    stage.play().await;
    assert_eq!(stage.folder.read("a.txt"), "one");
}

#[tokio::test]
async fn a_clone_of_the_agent_shares_the_checkpoints_and_one_elsewhere_has_its_own() {
    let mut stage = calls(&[&write("a.txt", "lead")]);
    let elsewhere = Folder::new();
    for (name, cwd) in [("sub", stage.folder.path()), ("away", elsewhere.path())] {
        let other = calls(&[&write(&format!("{name}.txt"), name)]);
        let mut agent = stage.agent.clone();
        (agent.name, agent.cwd, agent.model) =
            (name.to_owned(), cwd.to_owned(), other.agent.model.clone());
        let mut conversation = harness_core::Conversation::new();
        conversation.say("go");
        agent.run(&mut conversation, &CancellationToken::new()).await.unwrap();
    }
    stage.agent.emit(&Event::Prompt("go".to_owned()));
    stage.play().await;
    assert_eq!(recorded(&stage.folder), [["sub.txt"], ["a.txt"]]);
    assert_eq!(recorded(&elsewhere), [["away.txt"]]);
}

#[tokio::test]
async fn a_hook_that_rewrites_the_call_afterwards_is_covered_too() {
    let mut stage = calls(&[&write("{path}", "changed"), &revert("b.txt")]);
    stage.folder.write("b.txt", "original");
    stage.agent.hooks.push(Arc::new(Fill("b.txt".to_owned())));
    stage.play().await;
    assert_eq!(stage.folder.read("b.txt"), "original");
}

// ---------------------------------------------------------------- interrupts

/// Cancels as soon as a running tool says something.
struct CancelAtOutput(CancellationToken);

impl Observer for CancelAtOutput {
    fn on(&self, _: &str, event: &Event) {
        if let Event::ToolProgress { .. } = event {
            self.0.cancel();
        }
    }
}

#[tokio::test]
async fn what_an_interrupted_command_has_changed_so_far_can_be_taken_back() {
    let mut stage = calls(&[&bash("rm a.txt; echo gone; tail -f /dev/null")]);
    stage.folder.write("a.txt", "original");
    let cancel = CancellationToken::new();
    stage.agent.observers.add(Arc::new(CancelAtOutput(cancel.clone())));
    stage.conversation.say("go");
    stage.agent.run(&mut stage.conversation, &cancel).await.unwrap();
    assert!(!stage.folder.has("a.txt"));
    assert_eq!(recorded(&stage.folder), [["a.txt"]]);
}

#[tokio::test]
async fn a_program_that_leaves_in_the_middle_of_a_command_records_what_that_has_done() {
    struct Said(Notify);
    impl Observer for Said {
        fn on(&self, _: &str, event: &Event) {
            if let Event::ToolProgress { .. } = event {
                self.0.notify_one();
            }
        }
    }
    let mut stage = calls(&[&bash("rm a.txt; echo gone; tail -f /dev/null")]);
    stage.folder.write("a.txt", "original");
    let said = Arc::new(Said(Notify::new()));
    stage.agent.observers.add(said.clone());
    tokio::select! {
        ended = stage.say("go") => panic!("{ended:?}"),
        () = said.0.notified() => {} // as at the second Ctrl-C: the turn is dropped where it stands
    }
    let Stage { agent, folder, .. } = stage;
    assert!(!folder.has(".harness/checkpoints/index.json"));
    drop(agent);
    assert_eq!(recorded(&folder), [["a.txt"]]);
}

// ---------------------------------------------------------------- odd things

#[tokio::test]
async fn a_file_of_500_mb_is_skipped_and_told_once_a_prompt_when_it_changes() {
    let mut stage = calls(&[
        &bash("echo a > a.txt"),
        &bash("printf x >> huge"),
        &bash("printf x >> huge"),
        &write("huge", "short"),
        &revert("huge"),
    ]);
    let notices = Notices::default();
    stage.agent.observers.add(Arc::new(notices.clone()));
    File::create(stage.folder.path().join("huge")).unwrap().set_len(500 << 20).unwrap();
    stage.play().await;
    assert_eq!(notices.all(), ["not all of this can be taken back: \"huge\" is larger than 20 MB"]);
    assert_eq!(stage.results()[4], "no change to \"huge\" is left to take back");
    assert_eq!(recorded(&stage.folder), [["a.txt"]]);
}

#[tokio::test]
async fn what_is_no_file_is_refused_and_nothing_hangs() {
    let mut stage = calls(&[
        &bash("mkfifo pipe; mkdir -p sub/deeper; echo x > 'a name'"),
        &revert("pipe"),
        &revert("sub/deeper"),
        &revert("."),
        &revert("/dev/null"),
        &revert("none/such/file"),
        &revert(""),
        &revert("a name"),
    ]);
    stage.play().await;
    let folder = stage.folder.path().display().to_string();
    let results = stage.results()[1..].join("\n").replace(&folder, "FOLDER");
    expect![[r#"
        no change to "pipe" is left to take back
        sub/deeper is gone again: that change had made it
        no change to "." is left to take back
        "/dev/null" is outside the workspace FOLDER; use a path inside it
        no change to "none/such/file" is left to take back
        no change to "" is left to take back
        a name is gone again: that change had made it"#]]
    .assert_eq(&results);
    assert!(!stage.folder.has("sub/deeper") && stage.folder.has("pipe"));
}

#[tokio::test]
async fn a_line_that_only_looks_keeps_nothing() {
    let mut stage = calls(&[
        &bash("ls -l && cat a.txt | head -3; git status"),
        "tool: read, input: {path: a.txt}",
    ]);
    stage.folder.write("a.txt", "a");
    stage.play().await;
    assert!(!stage.folder.has(".harness"), "a folder that is only read stays as it was");
}

#[tokio::test]
async fn a_damaged_index_is_named_and_kept_and_nothing_changes_unasked() {
    let mut stage =
        calls(&[&write("a.txt", "new"), &bash("rm a.txt"), &revert("a.txt"), &bash("cat a.txt")]);
    stage.folder.write("a.txt", "original");
    stage.folder.write(".harness/checkpoints/index.json", "{\"half");
    stage.play().await;
    for result in &stage.results()[..3] {
        assert!(
            result.starts_with("denied: ") && result.contains("index.json\" is damaged"),
            "{result}"
        );
        assert!(result.contains("it could not be taken back"), "{result}");
    }
    assert_eq!(stage.results()[3], "original");
    assert_eq!(stage.folder.read(".harness/checkpoints/index.json"), "{\"half");
}

#[tokio::test]
async fn where_nothing_can_be_kept_somebody_is_asked() {
    struct Yes(Mutex<Vec<String>>);
    #[async_trait]
    impl Approver for Yes {
        async fn approve(&self, question: &Question<'_>, _: &ToolContext) -> Approval {
            self.0.lock().unwrap().push(question.why.to_owned());
            Approval::Once
        }
    }
    let mut stage = calls(&[&write("a.txt", "new")]);
    stage.folder.write("a.txt", "original");
    stage.folder.write(".harness/checkpoints/blobs", "a file where the folder should be");
    let yes = Arc::new(Yes(Mutex::default()));
    stage.agent.gate.approver = yes.clone();
    stage.play().await;
    assert!(yes.0.lock().unwrap()[0].starts_with("it could not be taken back: cannot use "));
    assert_eq!(stage.folder.read("a.txt"), "new", "the user has agreed");
}

#[tokio::test]
async fn the_harness_own_files_and_git_are_left_alone() {
    let mut stage = calls(&[&bash(
        "echo x >> .agent_events.log; mkdir .sessions; echo x > .sessions/1; git init -q; echo a > a.txt",
    )]);
    stage.play().await;
    assert_eq!(recorded(&stage.folder), [["a.txt"]]);
}

#[test]
fn the_prompt_is_kept_on_one_short_line_without_secrets() {
    let program = program();
    let folder = &program.folder;
    let long = format!("go {} \u{1b}[31m{KEY}", "x".repeat(20));
    let said = run(
        &program,
        &[&write("a.txt", "1")],
        &format!("{long}{}\n:checkpoints\nq\n", "y".repeat(200)),
    );
    let prompt = index(folder)["checkpoints"][0]["prompt"].as_str().unwrap().to_owned();
    assert!(
        prompt.starts_with("go xxx") && prompt.ends_with('…') && prompt.chars().count() == 60,
        "{prompt}"
    );
    assert!(
        !prompt.contains("test-key") && !said.contains("test-key-0123456789abcdef ("),
        "{prompt}"
    );
}
