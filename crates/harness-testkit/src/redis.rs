//! A real `redis-server` of a test's own: on a socket in a folder of its own, and everything on disk, so that
//! it can be killed and comes back with what it had.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};

use crate::folder::{Folder, scrubbed, skip};

/// A server. It is killed when this is dropped.
#[derive(Debug)]
pub struct Redis {
    folder: Folder,
    arguments: Vec<String>,
    server: Option<Child>,
}

impl Redis {
    /// Starts one; `None`, and said, where there is no `redis-server`.
    ///
    /// # Panics
    /// When it is there and does not start; so do all methods here.
    pub fn start() -> Option<Self> {
        Self::with(&[])
    }

    /// Starts one with more arguments, `--requirepass`, `sesame`.
    ///
    /// # Panics
    /// As above.
    pub fn with(arguments: &[&str]) -> Option<Self> {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let folder = Folder::new();
        let found =
            scrubbed("redis-server", folder.path()).arg("--version").stdout(Stdio::null()).status();
        if found.is_err() {
            skip("redis-server is not installed");
            return None;
        }
        let mut redis = Self { folder, arguments, server: None };
        redis.start_again();
        Some(redis)
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket())
    }

    fn socket(&self) -> String {
        self.folder.path().join("redis.sock").display().to_string()
    }

    /// Kills it, as `kill -9` does.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    /// Starts it again, with what it had; returns when it answers.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&mut self) {
        self.kill();
        let mut command = scrubbed("redis-server", self.folder.path());
        command.current_dir(self.folder.path()).args(["--port", "0", "--save", ""]);
        // On disk before it is answered. By default a request may be answered up to two seconds before that.
        command.args(["--appendonly", "yes", "--appendfsync", "always"]);
        command.args(["--unixsocket", &self.socket()]).args(&self.arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = command.spawn().unwrap();
        let mut said = BufReader::new(server.stdout.take().unwrap());
        self.server = Some(server);
        let mut all = String::new();
        while !all.to_lowercase().contains("ready to accept connections") {
            assert!(said.read_line(&mut all).unwrap() > 0, "redis-server did not start:\n{all}");
        }
        // A pipe that nobody reads would stop it.
        std::thread::spawn(move || std::io::copy(&mut said.by_ref(), &mut std::io::sink()));
    }

    /// Stops it for a while without ending it, as a machine does that is overloaded; and lets it go on.
    ///
    /// # Panics
    /// When there is none.
    pub fn pause(&self, stopped: Pause) {
        let signal = if stopped == Pause::Stopped { "-STOP" } else { "-CONT" };
        let id = self.server.as_ref().unwrap().id().to_string();
        let done = scrubbed("kill", self.folder.path()).args([signal, &id]).status().unwrap();
        assert!(done.success());
    }

    /// Sends a command with `redis-cli`, and returns what it printed.
    ///
    /// # Panics
    /// When that fails.
    pub fn ask(&self, words: &[&str]) -> String {
        let mut command = scrubbed("redis-cli", self.folder.path());
        let output = command.args(["-s", &self.socket()]).args(words).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }
}

/// Whether a server stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// It does.
    Stopped,
    /// It goes on.
    Over,
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
