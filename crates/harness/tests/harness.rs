//! Everything at once: the play, the switches, the order, the doctor.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::fs;
use std::process::{Command, Output};

use expect_test::expect;
use harness::{LESSON, MECHANISMS, OWN};
use harness_testkit::{
    Answer, Answers, Folder, Key, Program, StrictServer, Terminal, hash_in, scrubbed,
};

/// The key that the server takes.
const KEY: &str = "test-key-0123456789abcdef";

fn program() -> Program {
    Program::new(env!("CARGO_BIN_EXE_harness"), LESSON.play)
}

fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8(both).unwrap()
}

/// The harness on the play, where the answer to every question is yes.
fn with_leave(program: &Program) -> Command {
    let mut command = program.command();
    command.args(["--accept-edits", "--allow", "sh test.sh"]);
    command
}

// ---------------------------------------------------------------- the play

#[test]
fn the_play_by_pipe_where_nobody_can_be_asked_changes_nothing() {
    let program = program();
    let printed = program.play();
    let denied = printed.lines().filter(|line| line.contains("denied: ")).count();
    assert_eq!(denied, 2, "{printed}");
    assert!(program.folder.read("greet.sh").contains("Hello $1!"));
}

#[test]
fn the_play_with_leave_mends_the_script_and_can_be_taken_back() {
    let program = program();
    let output = Program::pipe(with_leave(&program), "\n\n:checkpoints\n:sessions\n:undo\nq\n");
    let printed = text(&output);
    assert!(output.status.success() && printed.contains("\n  passed\n"), "{printed}");
    assert!(printed.contains("1 The test of greet.sh fails."), "{printed}");
    assert!(printed.contains("subagent-1: answered"), "{printed}");
    assert!(program.folder.read("greet.sh").contains("Hello $1!"), ":undo: {printed}");
    assert!(program.folder.path().join(".sessions").is_dir());
}

#[test]
fn the_play_in_a_terminal_where_the_user_is_asked() {
    for columns in [80, 40] {
        let program = program();
        let mut terminal = Terminal::start(program.command(), columns, 50);
        terminal.wait_for("harness >>");
        terminal.key(Key::Enter);
        for question in 1..=2 {
            // What is typed before the question stands there is no answer to it.
            terminal.wait_until("a question that waits", |screen| {
                screen.matches("say why not:").count() == question
                    && screen.trim_end().ends_with("say why not:")
            });
            terminal.line("y");
        }
        terminal.wait_for("  passed");
        terminal.wait_for("If you said yes,");
        terminal.line("q");
        assert!(terminal.wait_for_end().success());
        assert!(program.folder.read("greet.sh").contains("Hello, $1!"));
    }
}

#[test]
fn the_play_over_the_wire() {
    let printed = program().play_over_the_wire();
    assert!(printed.contains("a reviewer would ask for just this change"), "{printed}");
}

// ---------------------------------------------------------------- the switches

#[test]
fn every_mechanism_can_be_switched_off_and_says_so() {
    for (name, _) in MECHANISMS {
        let program = program();
        let mut command = with_leave(&program);
        command.args(["--without", name]);
        let output = Program::pipe(command, "\n\n:mechanisms\nq\n");
        let printed = text(&output);
        assert!(output.status.success(), "{name}: {printed}");
        let off: Vec<_> = printed.lines().filter(|line| line.starts_with("off ")).collect();
        assert_eq!(off, [format!("off  {name:<12} by --without")], "{printed}");
    }
}

#[test]
fn a_home_that_is_no_absolute_path_is_none() {
    // Else the folder it is started in would choose the server that the key is sent to.
    let program = program();
    let config = program.folder.path().join(".config/harness");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join(".env"), "ANTHROPIC_BASE_URL=http://127.0.0.1:1/theirs\n").unwrap();
    fs::write(config.join("settings.yaml"), "without: [permissions]\n").unwrap();
    for home in ["", "."] {
        let mut command = program.command();
        command.env("HOME", home);
        let printed = text(&Program::pipe(command, ":mechanisms\nq\n"));
        assert!(printed.contains("no key is set: a script speaks here"), "{printed}");
        assert!(printed.contains("on   permissions"), "{printed}");
    }
}

#[test]
fn whoever_has_no_key_is_told_where_to_put_one() {
    let program = program();
    let printed = text(&Program::pipe(program.command(), "q\n"));
    let told =
        "\nfor a model, put ANTHROPIC_API_KEY=… into ~/.config/harness/.env and start again\n";
    assert!(printed.contains(told), "{printed}");
}

#[test]
fn a_prompt_as_an_argument_is_told_where_prompts_go() {
    let program = program();
    let mut command = program.command();
    command.arg("mend the test");
    let output = Program::pipe(command, "");
    assert_eq!(output.status.code(), Some(2));
    expect![[r#"
        error: unrecognized subcommand 'mend the test'

        Usage: harness [OPTIONS] [COMMAND]

        For more information, try '--help'.
        A prompt goes behind -p, or is typed at the prompt line.
    "#]]
    .assert_eq(&text(&output));
}

#[test]
fn a_refusal_without_words_is_a_whole_sentence() {
    let refusal = Answer::blocks(Vec::new()).stopping("refusal");
    let server = StrictServer::start(Answers::List([refusal].into()));
    let program = program();
    let mut command = program.command();
    command.env("ANTHROPIC_BASE_URL", server.base_url()).args(["-p", "hi"]);
    let output = Program::pipe(command, "");
    assert_eq!(output.status.code(), Some(4));
    assert!(text(&output).ends_with("\nerror: the model declined; ask in another way\n"));
}

#[test]
fn what_is_no_mechanism_is_named_with_what_may_be_meant() {
    let program = program();
    let mut command = program.command();
    command.args(["--without", "compact"]);
    let output = Program::pipe(command, "");
    expect![[r#"
        error: --without: there is no mechanism "compact"; try compaction
    "#]]
    .assert_eq(&String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_workspaces_settings_count_once_the_user_has_agreed_to_them() {
    let program = program();
    fs::create_dir_all(program.folder.path().join(".harness")).unwrap();
    fs::write(program.folder.path().join(OWN), "without: [permissions]\n").unwrap();
    let printed = text(&Program::pipe(program.command(), ":mechanisms\n:trust\nq\n"));
    assert!(printed.contains("settings.yaml is not trusted yet and has no effect"), "{printed}");
    assert!(printed.contains("on   permissions"), "{printed}");
    let agree = format!(":trust {}\nq\n", hash_in(&printed));
    let printed = text(&Program::pipe(program.command(), &agree));
    assert!(printed.contains("settings.yaml is trusted, as it is now"), "{printed}");
    let printed = text(&Program::pipe(program.command(), ":mechanisms\nq\n"));
    assert!(printed.contains("off  permissions  by .harness/settings.yaml"), "{printed}");
    assert!(printed.contains("commands run without asking"), "{printed}");
}

#[test]
fn settings_that_are_not_understood_are_an_error_and_nothing_starts() {
    for (yaml, what) in [
        ("without: [compact]\n", "there is no mechanism \"compact\"; try compaction"),
        ("with: [plan]\n", "unknown field `with`"),
        ("without: plan\n", "invalid type"),
    ] {
        let home = Folder::new();
        let folder = home.path().join(".config/harness");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("settings.yaml"), yaml).unwrap();
        let output = Program::pipe(scrubbed(env!("CARGO_BIN_EXE_harness"), home.path()), "\nq\n");
        let printed = text(&output);
        assert!(printed.contains("settings.yaml") && printed.contains(what), "{printed}");
        assert_eq!(output.status.code(), Some(1), "{printed}");
    }
}

// ---------------------------------------------------------------- the doctor

fn doctor(
    folder: &Folder,
    home: &Folder,
    more: impl FnOnce(&mut Command),
) -> (Option<i32>, String) {
    let mut command = scrubbed(env!("CARGO_BIN_EXE_harness"), home.path());
    command.current_dir(folder.path()).arg("doctor");
    more(&mut command);
    let output = Program::pipe(command, "");
    (output.status.code(), text(&output))
}

#[test]
fn the_doctor_in_an_empty_folder_says_what_is_missing_and_how_to_mend_it() {
    let (folder, home) = (Folder::new(), Folder::new());
    let (code, said) = doctor(&folder, &home, |_| {});
    assert_eq!(code, Some(0), "it works without these: {said}");
    assert!(said.contains("ANTHROPIC_API_KEY=… into ~/.config/harness/.env"), "{said}");
    assert!(said.contains("`git init` makes one"), "{said}");
    assert!(said.contains("no Redis at ") && said.contains("1 of 1 servers ready"), "{said}");
    let left: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left, [".harness"], "the servers' logs, and nothing else");
}

#[test]
fn the_doctor_asks_the_model_for_a_word_and_passes_on_what_a_server_refuses() {
    let (folder, home) = (Folder::new(), Folder::new());
    let play = "prompt: x\nscenes:\n- said: ready\n  lines: [{text: ready}]\n";
    let server = StrictServer::start(play);
    server.require_key(KEY);
    let with = |key: &str| {
        doctor(&folder, &home, |command| {
            command.env("ANTHROPIC_BASE_URL", server.base_url()).env("ANTHROPIC_API_KEY", key);
        })
    };
    let (code, said) = with(KEY);
    assert!(code == Some(0) && said.contains("claude-sonnet-5-5 answers, in "), "{said}");
    let (code, said) = with("another-key");
    assert!(code == Some(1) && said.contains("!! model"), "{said}");
}

#[test]
fn the_doctor_says_what_belongs_into_a_gitignore_until_it_stands_there() {
    let (folder, home) = (Folder::git_repo(), Folder::new());
    let advice = "add `.agent_*` to its .gitignore";
    let (_, said) = doctor(&folder, &home, |_| {});
    assert!(said.contains(advice), "{said}");
    folder.write(".gitignore", ".agent_*\n");
    let (_, said) = doctor(&folder, &home, |_| {});
    assert!(said.contains("the repository is ") && !said.contains(advice), "{said}");
}

#[test]
fn what_keeps_the_harness_from_starting_is_broken_for_the_doctor_too() {
    let (folder, home) = (Folder::new(), Folder::new());
    folder.write("conf/permissions.yaml", include_str!("../../../config/permissions.yaml"));
    folder.write("conf/mcp_config.yaml", "servers: []");
    folder.write("conf/hooks.yaml", "hooks: [");
    folder.write(".agent_memory.md/inside", "");
    let (code, said) = doctor(&folder, &home, |command| _ = command.args(["--config", "conf"]));
    let broken: Vec<_> = said.lines().filter(|line| line.starts_with("!!")).collect();
    assert!(code == Some(1) && broken.len() == 2, "{said}");
    assert!(broken[0].starts_with("!! hooks        conf/hooks.yaml:"), "{said}");
    assert!(broken[1].starts_with("!! memory       ") && broken[1].contains(".agent_memory.md"));
}

#[test]
fn a_folders_env_file_does_not_choose_the_server() {
    let (folder, home) = (Folder::new(), Folder::new());
    folder.write(".env", "ANTHROPIC_BASE_URL=http://127.0.0.1:1\nANTHROPIC_API_KEY=stolen\n");
    let (_, said) = doctor(&folder, &home, |command| _ = command.env_remove("HARNESS_ENV"));
    assert!(said.contains("no key and no server is set"), "{said}");
}

// ---------------------------------------------------------------- the order

const REWRITTEN: &str = "
prompt: go
setup: {files: {a.txt: 'one', b.txt: 'one', .env: 'one'}}
scenes:
- lines:
  - calls:
    - {tool: write, input: {path: a.txt, content: two}}
    - {tool: write, input: {path: secret, content: two}}
  - {text: Done.}
";

/// Turns `a.txt` into `b.txt` and `secret` into `.env`.
const REWRITES: &str = r#"
hooks:
  PreToolUse:
    - matcher: write
      hooks:
        - type: command
          command: |
            case $(cat) in *a.txt*) path=b.txt;; *) path=.env;; esac
            echo '{"hookSpecificOutput": {"hookEventName": "PreToolUse",
              "updatedInput": {"path": "'$path'", "content": "two"}}}'
"#;

#[test]
fn a_hook_rewrites_first_then_the_file_is_kept_and_the_gate_judges_what_will_run() {
    let program = Program::new(env!("CARGO_BIN_EXE_harness"), REWRITTEN);
    let config = Folder::new();
    config.write("permissions.yaml", include_str!("../../../config/permissions.yaml"));
    config.write("hooks.yaml", REWRITES);
    config.write("mcp_config.yaml", "servers: []\n");
    let (server, mut command) = program.served();
    command.arg("--config").arg(config.path()).arg("--accept-edits");
    let printed = text(&Program::pipe(command, "go\n:checkpoints\n:undo\nq\n"));
    server.finish();
    assert!(printed.contains("(b.txt)"), "b.txt is what changed: {printed}");
    assert!(printed.contains("denied: ") && printed.contains(".env"), "{printed}");
    let files = ["a.txt", "b.txt", ".env"].map(|name| program.folder.read(name));
    assert_eq!(files, ["one", "one", "one"], "nothing else, and :undo took it back: {printed}");
}

// ---------------------------------------------------------------- where it is started

#[test]
fn in_an_empty_folder_and_in_a_repository_without_redis_it_says_what_it_has_and_works() {
    for (setup, tasks) in [
        ("{}", "no task can run here: "),
        ("{git: true, files: {a.txt: one}}", "tasks begin at main"),
    ] {
        let lines = "[{calls: [{tool: glob, input: {pattern: '*'}}]}, {text: I looked.}]";
        let play = format!("prompt: look\nsetup: {setup}\nscenes: [{{lines: {lines}}}]\n");
        let program = Program::new(env!("CARGO_BIN_EXE_harness"), &play);
        let (server, command) = program.served();
        let printed = text(&Program::pipe(command, "look\nq\n"));
        server.finish();
        for what in [tasks, "no Redis at ", "MCP: 1 of 1 servers ready", "I looked."] {
            assert!(printed.contains(what), "{what}: {printed}");
        }
    }
}

#[test]
fn without_a_key_the_play_makes_nothing_in_a_folder_that_is_somebodys() {
    let (folder, home) = (Folder::new(), Folder::new());
    folder.write("mine.txt", "mine");
    let mut command = scrubbed(env!("CARGO_BIN_EXE_harness"), home.path());
    command.arg("--workspace").arg(folder.path());
    let printed = text(&Program::pipe(command, "q\n"));
    assert!(printed.contains("not empty, so the play's own files are not made in it"), "{printed}");
    assert!(!folder.has("greet.sh") && !folder.has(".git"), "{printed}");
}

#[test]
fn teammates_answer_the_lead_and_hear_of_the_same_rules() {
    let play = "
prompt: ask alpha
setup: {files: {.env: TOKEN=made-up}}
scenes:
- agent: alpha
  lines: [{calls: [{tool: read, input: {path: .env}}]}, {text: I was not let.}]
- lines: [{calls: [{tool: send_to_teammate, input: {name: alpha, message: Read it.}}]}, {text: Asked.}]
";
    let program = Program::new(env!("CARGO_BIN_EXE_harness"), play);
    let (server, command) = program.served();
    let printed = text(&Program::pipe(command, "ask alpha\nq\n"));
    server.finish();
    assert!(printed.contains("I was not let.") && printed.contains("Asked."), "{printed}");
    assert!(printed.contains("denied: ") && !printed.contains("made-up"), "{printed}");
}

// ---------------------------------------------------------------- everything at once

/// Twelve prompts. Each reads a long file, so that the window fills again and again, and does one more thing.
fn long_play() -> String {
    let more = [
        r#"{tool: todo_write, input: {tasks: [read, write]}}"#,
        r#"{tool: task_create, input: {description: write it down}}"#,
        r#"{tool: bash_background, input: {command: "cat long.txt | wc -c"}}"#,
        r#"{tool: mcp__demo__convert, input: {value: 1, from: km, to: m}}"#,
        r#"{tool: spawn_subagent, input: {prompt: look around}}"#,
        r#"{tool: load_skill, input: {name: code-review}}"#,
        r#"{tool: write, input: {path: one.txt, content: one}}"#,
        r#"{tool: write, input: {path: one.txt, content: two}}"#,
        r#"{tool: revert, input: {path: one.txt}}"#,
        r#"{tool: bash, input: {command: "exit 3"}}"#,
        r#"{tool: no_such_tool, input: {}}"#,
        r#"{tool: task_list, input: {}}"#,
    ];
    let mut play = String::from("prompt: [");
    play += &(1..=more.len()).map(|n| format!("step {n}")).collect::<Vec<_>>().join(", ");
    play += "]\nsetup:\n  git: true\n  files:\n    long.txt: |\n";
    (0..150)
        .for_each(|n| play += &format!("      line {n} of a file that is long enough to matter\n"));
    play += "scenes:\n- system: You are a subagent\n  lines: [{text: I looked around.}]\n";
    play += "- agent: compact\n  lines:\n  - text: |\n      ## Goal\n      To read.\n      ## Done\n      Read.\n      ## In progress\n      None\n\
             \x20     ## Files\n      long.txt\n      ## Decisions\n      None\n      ## Next\n      Read on.\n";
    for (n, call) in more.iter().enumerate() {
        let n = n + 1;
        play += &format!(
            "- said: ^step {n}$\n  lines:\n  - {{text: I read., calls: [{{tool: read, input: {{path: long.txt}}}}, \
             {{tool: grep, input: {{pattern: 'line 7'}}}}]}}\n  - {{calls: [{call}]}}\n  - {{text: Done {n}.}}\n"
        );
    }
    play
}

#[test]
fn all_of_it_through_a_long_conversation() {
    let play = long_play();
    let program = Program::new(env!("CARGO_BIN_EXE_harness"), &play);
    let (server, mut command) = program.served();
    server.allow_rewrites(); // compaction
    let leave = ["--accept-edits", "--allow", "exit 3", "--window", "8000"];
    command.args(leave);
    let prompts: String = (1..=12).map(|n| format!("step {n}\n")).collect();
    let output = Program::pipe(
        command,
        &format!("{prompts}:compact the file\n:checkpoints\n:tasks\n:mcp\n:stats\n:cache\nq\n"),
    );
    let printed = text(&output);
    assert!(output.status.success(), "{printed}");
    for n in 1..=12 {
        assert!(printed.contains(&format!("Done {n}.")), "step {n} was answered: {printed}");
    }
    let requests = server.finish();
    let folded = requests.iter().filter(|it| it.to_string().contains("To read.")).count();
    assert!(folded > 0, "the window was full, and a summary took its place: {printed}");
    assert_eq!(program.folder.read("one.txt"), "one", "the second write was taken back: {printed}");
    for what in ["write it down", "subagent-1: answered", "ready; 2 tools", "exit code 3"] {
        assert!(printed.contains(what), "{what}: {printed}");
    }
}
