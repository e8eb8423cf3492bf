//! A session's program, started as its user starts it: by a pipe, with `-p`, against a server.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use harness_core::Play;
use serde_json::Value;

use crate::{Answers, Folder, StrictServer, scrubbed};

/// The key that the program is given where it talks to the server.
pub const KEY: &str = "test-key-0123456789abcdef";

/// A program, its play, and a folder of its own in which it works.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
    play: Play,
    home: Folder,
    /// Where it works; it holds what the play sets up.
    pub folder: Folder,
}

impl Program {
    /// `path`: `env!("CARGO_BIN_EXE_…")`. `play`: `LESSON.play`.
    ///
    /// # Panics
    /// When the play cannot be read; all methods here, when the program cannot be started.
    pub fn new(path: impl Into<PathBuf>, play: &str) -> Self {
        let play = Play::from_yaml(play).expect("the play can be read");
        let folder = Folder::for_play(&play);
        Self { path: path.into(), play, home: Folder::new(), folder }
    }

    /// The program in its folder, with nothing of the tester's environment: no key, so a script speaks.
    pub fn command(&self) -> Command {
        let mut command = scrubbed(&self.path, self.home.path());
        command.current_dir(self.folder.path()).arg("--workspace").arg(self.folder.path());
        command
    }

    /// Runs it to its end on this input.
    pub fn pipe(mut command: Command, input: &str) -> Output {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        // It may leave before it has read everything.
        let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        child.wait_with_output().expect("the program ends")
    }

    /// The same where it ends well: what was printed.
    pub fn printed(command: Command, input: &str) -> String {
        shown(Self::pipe(command, input))
    }

    /// Runs it to its end with a standard output that takes nothing, as on a full disk. Where a system has
    /// no such place, there is nothing to see.
    pub fn on_a_full_disk(mut command: Command) -> Option<Output> {
        let full = File::options().write(true).open("/dev/full").ok()?;
        command.stdin(Stdio::null()).stdout(full).stderr(Stdio::piped());
        Some(command.output().expect("the program starts"))
    }

    /// Plays the play with the program's own script: Enter for each prompt, then `q`. Returns what was
    /// printed.
    pub fn play(&self) -> String {
        let input = "\n".repeat(self.play.prompt.len()) + "q\n";
        Self::printed(self.command(), &input)
    }

    /// Plays it over real HTTP, with a strict server in the model's place. Returns what was printed; what
    /// was wrong with the requests fails the test.
    pub fn play_over_the_wire(&self) -> String {
        let (server, command) = self.served();
        let output = Self::pipe(command, &(self.play.prompt.join("\n") + "\nq\n"));
        server.finish();
        shown(output)
    }

    /// One prompt over real HTTP, the first of the play: `-p PROMPT --output-format json`. Returns the
    /// result, and how often the model was asked.
    pub fn answer_over_the_wire(&self) -> (Value, usize) {
        let (server, mut command) = self.served();
        command.args(["-p", &self.play.prompt[0], "--output-format", "json"]);
        let said = Self::printed(command, "");
        let result = serde_json::from_str(&said);
        (
            result.unwrap_or_else(|why| panic!("one JSON object: {why}\n{said}")),
            server.finish().len(),
        )
    }

    /// A strict server that plays the play, and the command that talks to it.
    pub fn served(&self) -> (StrictServer, Command) {
        let server = StrictServer::start(Answers::Play(self.play.clone()));
        server.require_key(KEY);
        let mut command = self.command();
        command.env("ANTHROPIC_BASE_URL", server.base_url()).env("ANTHROPIC_API_KEY", KEY);
        (server, command)
    }
}

/// What a README says that a program prints: its blocks tagged `text`, in order.
pub fn outputs(readme: &str) -> Vec<&str> {
    let blocks = readme.split("```text\n").skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap_or(rest)).collect()
}

/// The hash that a program tells its user to agree by.
///
/// # Panics
/// When it tells none.
pub fn hash_in(printed: &str) -> &str {
    let (_, rest) = printed.split_once("if you agree: :trust ").expect("something to agree to");
    rest.split_whitespace().next().expect("a hash")
}

fn shown(output: Output) -> String {
    let said = String::from_utf8(output.stdout).expect("text");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}\n{errors}", output.status);
    assert!(!said.contains(KEY) && !errors.contains(KEY), "the key is shown");
    said
}
