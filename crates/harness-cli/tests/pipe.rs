//! The same program from a pipe and with `-p`: plain lines, exit codes, formats.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod common;

use std::process::Stdio;

use common::{every_seam, every_seam_in, piped};
use expect_test::expect;
use harness_testkit::{Folder, Program, StrictServer};
use serde_json::Value;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn lines_from_a_pipe_are_prompts_and_nobody_there_is_a_no() {
    let folder = Folder::new();
    let output = piped(every_seam(&folder), ":nope\n\nahead\nq\nnever\n");
    assert!(output.status.success());
    let cwd = folder.path().canonicalize().unwrap();
    expect![[r#"
        s00 · A stub on every seam.
        no key is set: a script speaks here, not a model; the tools it calls are real
        working in FOLDER
        each call is judged by this session's own policy
        a notice of the stub's
        press Enter to send: go
        :help lists the commands, q leaves
        s00 >> :nope
        error: there is no command :nope; :help lists them
        s00 >> 
        s00 >> go
        I wait.
        ▸ wait one
          denied: this needs a person's approval and nobody is there to give it (the stub asks for everything)
        Done.
        s00 >> ahead
        I heard what was typed ahead.
        s00 >> q
    "#]]
    .assert_eq(&text(&output.stdout).replace(&cwd.display().to_string(), "FOLDER"));
    assert_eq!(text(&output.stderr), "at exit\n");
}

#[test]
fn a_command_as_other_programs_have_it_is_no_prompt_and_a_path_is() {
    let folder = Folder::new();
    let said = text(&piped(every_seam(&folder), "/help me\n/usr is full\nq\n").stdout);
    let told =
        "error: /help me: commands begin with a colon here; :help lists them\ns00 >> /usr is";
    assert!(said.contains(told), "{said}");
    assert_eq!(said.matches("error: ").count(), 1, "{said}");
}

#[test]
fn the_end_of_input_leaves_with_success() {
    let folder = Folder::new();
    assert!(piped(every_seam(&folder), "").status.success());
    let last_line_without_end = piped(every_seam(&folder), "ahead");
    assert!(text(&last_line_without_end.stdout).contains("I heard what was typed ahead."));
}

#[test]
fn one_shot_prints_the_answer_alone() {
    let folder = Folder::new();
    let mut command = every_seam(&folder);
    command.args(["-p", "ahead"]);
    let output = piped(command, "");
    assert_eq!(text(&output.stdout), "I heard what was typed ahead.\n");
    assert!(output.status.success());
    let mut command = every_seam(&folder);
    command.arg("-p");
    assert_eq!(text(&piped(command, "ahead\n").stdout), "I heard what was typed ahead.\n");
}

#[test]
fn json_is_one_object_with_what_was_denied() {
    let folder = Folder::new();
    let mut command = every_seam(&folder);
    command.args(["-p", "go", "--output-format", "json"]);
    let output = piped(command, "");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["type"], "result");
    assert_eq!(result["subtype"], "success");
    assert_eq!(result["result"], "Done.");
    assert_eq!(result["num_turns"], 2);
    assert_eq!(result["permission_denials"][0]["tool_name"], "wait");
}

#[test]
fn stream_json_is_an_object_a_line() {
    let folder = Folder::new();
    let mut command = every_seam(&folder);
    command.args(["-p", "go", "--output-format", "stream-json"]);
    let output = piped(command, "");
    let kinds: Vec<String> = text(&output.stdout)
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["type"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(kinds, ["system", "assistant", "user", "assistant", "result"]);
}

#[test]
fn a_folder_whose_name_is_no_utf_8_is_told_as_well_as_can_be() {
    use std::os::unix::ffi::OsStrExt;
    let home = Folder::new();
    let folder = home.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    std::fs::create_dir(&folder).unwrap();
    let mut command = every_seam_in(&folder);
    command.args(["-p", "ahead", "--output-format", "stream-json"]);
    let output = piped(command, "");
    let said = text(&output.stdout);
    assert!(output.status.success() && said.contains("caf\u{fffd}"), "{output:?}");
}

#[test]
fn the_step_limit_has_its_own_exit_code() {
    let folder = Folder::new();
    let mut command = every_seam(&folder);
    command.args(["-p", "go", "--max-steps", "1"]);
    let output = piped(command, "");
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("stopped after 1 steps"));
}

#[test]
fn a_wrong_flag_and_a_wrong_env_file_are_usage_errors() {
    let folder = Folder::new();
    let mut command = every_seam(&folder);
    command.arg("--no-such-flag");
    assert_eq!(piped(command, "").status.code(), Some(2));
    folder.write("bad.env", "A=1\nthis is no setting\n");
    let mut command = every_seam(&folder);
    command.env("HARNESS_ENV", "bad.env");
    let output = piped(command, "");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        text(&output.stderr),
        "error: bad.env:2: not of the form NAME=value; fix or remove it\n"
    );
}

#[test]
fn a_workspace_that_is_not_there_is_one_clear_line() {
    let folder = Folder::new();
    let mut command = every_seam(&folder);
    command.args(["--workspace", "nowhere"]);
    let output = piped(command, "");
    // The flag is given twice here; clap names it, or the folder is named.
    assert_ne!(output.status.code(), Some(0));
    assert_eq!(text(&output.stderr).lines().filter(|line| line.starts_with("error")).count(), 1);
}

#[test]
fn with_an_address_and_a_key_the_same_program_talks_to_a_server() {
    let folder = Folder::new();
    let play = "prompt: go\nscenes:\n- lines:\n  - {text: From the server.}\n";
    let server = StrictServer::start(harness_testkit::Answers::from_yaml(play));
    server.require_key("sk-test-0123456789");
    let mut command = every_seam(&folder);
    command.args(["-p", "go"]).env("ANTHROPIC_BASE_URL", server.base_url());
    command.env("ANTHROPIC_API_KEY", "sk-test-0123456789");
    let output = piped(command, "");
    assert_eq!(text(&output.stdout), "From the server.\n");
    assert!(!text(&output.stderr).contains("sk-test"), "the key is shown");
    server.finish();
}

#[test]
fn a_token_in_the_file_is_not_displaced_by_a_key_in_the_environment() {
    let folder = Folder::new();
    let play = "prompt: go\nscenes:\n- lines:\n  - {text: From the server.}\n";
    let server = StrictServer::start(harness_testkit::Answers::from_yaml(play));
    server.require_key("sk-local-0123456789");
    let address = server.base_url();
    let filed = format!("ANTHROPIC_BASE_URL={address}\nANTHROPIC_AUTH_TOKEN=sk-local-0123456789\n");
    folder.write("b.env", &filed);
    let mut command = every_seam(&folder);
    command.args(["-p", "go"]).env("HARNESS_ENV", "b.env");
    command.env("ANTHROPIC_API_KEY", "sk-for-another-server");
    let output = piped(command, "");
    assert_eq!(text(&output.stdout), "From the server.\n", "{}", text(&output.stderr));
    let sent = format!("{:?}", server.recorded());
    assert!(!sent.contains("sk-for-another-server"), "{sent}");
}

#[test]
fn a_wrong_key_says_what_to_do() {
    let folder = Folder::new();
    let server = StrictServer::start(harness_testkit::Answers::from_yaml(
        "prompt: go\nscenes:\n- lines:\n  - {text: Never said.}\n",
    ));
    server.require_key("another-key-entirely");
    let mut command = every_seam(&folder);
    command.args(["-p", "go"]).env("ANTHROPIC_BASE_URL", server.base_url());
    command.env("ANTHROPIC_API_KEY", "sk-test-0123456789");
    let output = piped(command, "");
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("check ANTHROPIC_API_KEY"), "{said}");
    assert!(!said.contains("sk-test"), "{said}");
}

#[test]
fn a_person_may_be_the_model_from_a_pipe_too() {
    let folder = Folder::new();
    let mut command = every_seam(&folder);
    command.arg("--human");
    let input = "what is here?\nI look.\nbash {\"command\":\"echo here\"}\n\nThat is all.\n\nq\n";
    let output = piped(command, input);
    let said = text(&output.stdout);
    assert!(said.contains("tool bash:"), "{said}");
    assert!(said.contains("result of human_"), "{said}");
    assert!(said.contains("That is all."), "{said}");
    assert!(output.status.success());
}

#[test]
fn no_escape_sequence_reaches_a_pipe() {
    let folder = Folder::new();
    let output = piped(every_seam(&folder), "go\nq\n");
    assert!(!output.stdout.contains(&0x1b));
    let mut command = every_seam(&folder);
    command.args(["-p", "go"]);
    assert!(!piped(command, "").stderr.contains(&0x1b));
}

#[test]
fn what_cannot_be_said_is_no_success() {
    let flags = ["", "--help", "--nonsense", "-p ahead", "-p ahead --output-format json"];
    for (flags, code) in flags.into_iter().zip([1, 1, 2, 1, 1]) {
        let folder = Folder::new();
        let mut command = every_seam(&folder);
        command.args(flags.split_whitespace());
        let Some(done) = Program::on_a_full_disk(command) else { return };
        let told = text(&done.stderr);
        assert_eq!(done.status.code(), Some(code), "{flags}: {told}");
        let why = "cannot write to standard output: No space left on device";
        assert_eq!(told.contains(why), code == 1, "{flags}: {told}");
        assert_eq!(told.matches("error: ").count(), 1, "{flags}: {told}");
    }
}

#[test]
fn a_reader_that_has_gone_is_no_fault() {
    for flags in ["", "--help", "-p ahead", "-p ahead --output-format json"] {
        let folder = Folder::new();
        let mut command = every_seam(&folder);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        command.args(flags.split_whitespace()).stdin(Stdio::null()).stdout(writer);
        let done = command.stderr(Stdio::piped()).output().unwrap();
        let told = text(&done.stderr);
        assert!(done.status.success() && !told.contains("error"), "{flags}: {told}");
    }
}
