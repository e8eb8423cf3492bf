use std::io::{BufRead, BufReader};
use std::process::Stdio;

use harness_testkit::{Folder, Key, Terminal, raw, scrubbed, skip};

use crate::client::ask;

#[test]
fn a_repository_has_one_commit_and_nothing_of_this_machine() {
    let repo = Folder::git_repo();
    assert_eq!(repo.git(&["log", "--format=%an %s"]), "Test First commit\n");
    assert_eq!(repo.git(&["status", "--porcelain"]), "");
    repo.write("src/a.txt", "a");
    assert!(repo.has("src/a.txt") && repo.read("src/a.txt") == "a");
    repo.commit("More");
    assert_eq!(repo.git(&["rev-list", "--count", "HEAD"]), "2\n");
}

#[test]
fn a_scrubbed_command_has_another_home() {
    let home = Folder::new();
    let output = scrubbed("/bin/sh", home.path()).args(["-c", "echo $HOME"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), home.path().to_string_lossy());
}

fn shell(script: &str, columns: u16) -> (Folder, Terminal) {
    let home = Folder::new();
    let mut command = scrubbed("/bin/sh", home.path());
    command.args(["-c", script]);
    (home, Terminal::start(command, columns, 5))
}

#[test]
fn a_terminal_has_its_size_and_shows_its_screen() {
    let (_home, mut terminal) =
        shell("stty size; printf 'old text\\rnew'; read line; echo \"<$line>\"", 40);
    assert_eq!(terminal.wait_for("new text"), "5 40\nnew text");
    terminal.line("hi");
    terminal.wait_for("<hi>");
    assert!(terminal.wait_for_end().success());
    assert!(terminal.raw().contains("old text\r"));
}

#[test]
fn words_wrap_at_twenty_columns() {
    let (_home, terminal) = shell("echo 0123456789012345678901234; read line", 20);
    assert_eq!(terminal.wait_for("9\n01234"), "01234567890123456789\n01234");
}

#[test]
fn control_c_is_a_signal() {
    let script =
        "trap 'heard=yes' INT; kill -INT $$; trap 'echo caught; exit 7' INT; echo $heard ready
        while :; do read line; done";
    let (_home, mut terminal) = shell(script, 80);
    if !terminal.wait_for("ready").contains("yes ready") {
        return skip("started with SIGINT ignored (`&` in a script), which no shell can undo");
    }
    terminal.key(Key::CtrlC);
    terminal.wait_for("caught");
    assert_eq!(terminal.wait_for_end().code(), Some(7));
}

#[test]
#[should_panic(expected = "the program ended before it showed \"never\"")]
fn waiting_for_what_never_comes_fails() {
    let (_home, terminal) = shell("echo bye", 80);
    terminal.wait_for("never");
}

#[tokio::test]
async fn the_server_is_a_program_too() {
    let folder = Folder::new();
    let play = folder.write("demo.yaml", "prompt: go\nscenes:\n- lines: [{text: Hello.}]");
    let log = folder.path().join("log");
    let mut command = scrubbed(env!("CARGO_BIN_EXE_strict-server"), folder.path());
    command.arg("--play").arg(play).arg("--log").arg(&log);
    command.args(["--fault", "1=overloaded", "--require-key", "k", "--until-eof"]);
    let mut server = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://").unwrap().parse().unwrap();
    let (key, body) = ([("x-api-key", "k")], ask("go").to_string());
    let send = async || raw::send(address, "POST", "/v1/messages", &key, &body).await;
    assert_eq!(send().await.status, 529);
    assert!(send().await.text().await.contains("Hello."));
    let wrong = raw::send(address, "POST", "/v1/messages", &key, "{}").await;
    assert_eq!(wrong.status, 400);
    drop(server.stdin.take());
    assert_eq!(server.wait().unwrap().code(), Some(2));
    assert!(folder.read("log").contains("VIOLATION req_test_3: 400 model: Field required"));
}
