//! Real folders, real git, and environments that hold nothing of the machine the tests run on.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use harness_core::{Agent, Play, Script, ToolContext};
use tokio_util::sync::CancellationToken;

/// A temporary folder; gone when dropped.
#[derive(Debug)]
pub struct Folder {
    root: tempfile::TempDir,
    path: PathBuf,
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Folder {
    /// An empty one.
    ///
    /// # Panics
    /// When the disk does not allow it; so do all methods here.
    pub fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        // Resolved, so that a path a program prints equals the path the test knows.
        let path = root.path().canonicalize().unwrap();
        Self { root, path }
    }

    /// What a call of the lead in this folder knows, for tests of a tool without an agent.
    pub fn context(&self) -> ToolContext {
        let nothing = Play::from_yaml("prompt: nothing\nscenes: []").unwrap();
        let agent = Agent::new(Arc::new(Script::new(nothing)), &self.path);
        agent.context("1", &CancellationToken::new())
    }

    /// One that is kept in memory, where the system has such a place: for tests that write so often that
    /// the disk is all they would wait for.
    pub fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        let root = match memory.is_dir() {
            true => tempfile::tempdir_in(memory).unwrap(),
            false => tempfile::tempdir().unwrap(),
        };
        let path = root.path().canonicalize().unwrap();
        Self { root, path }
    }

    /// A git repository with one commit, of a `README.md`.
    pub fn git_repo() -> Self {
        let folder = Self::new();
        folder.git(&["init", "--quiet", "--initial-branch=main"]);
        folder.write("README.md", "A repository for tests.\n");
        folder.commit("First commit");
        folder
    }

    /// One that holds what a play sets up.
    pub fn for_play(play: &Play) -> Self {
        let folder = if play.setup.git { Self::git_repo() } else { Self::new() };
        for (path, content) in &play.setup.files {
            folder.write(path, content);
        }
        if play.setup.git && !play.setup.files.is_empty() {
            folder.commit("Start");
        }
        folder
    }

    /// Where it is, with all links resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file, and the folders above it.
    pub fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.path.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Reads a file.
    pub fn read(&self, path: &str) -> String {
        let path = self.path.join(path);
        std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
    }

    /// Whether something is there.
    pub fn has(&self, path: &str) -> bool {
        self.path.join(path).exists()
    }

    /// Runs git here, and returns what it prints.
    pub fn git(&self, arguments: &[&str]) -> String {
        #[expect(clippy::disallowed_methods, reason = "tests start real programs")]
        let mut git = Command::new("git");
        scrub(&mut git, self.root.path());
        git.args(["-c", "user.name=Test", "-c", "user.email=test@example.invalid"]);
        git.args(["-c", "commit.gpgsign=false"]).args(arguments).current_dir(&self.path);
        let output = git.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {arguments:?} failed: {text}{why}");
        text
    }

    /// Its branches, in one line.
    pub fn branches(&self) -> String {
        self.git(&["branch", "--format=%(refname:short)"]).replace('\n', " ").trim().to_owned()
    }

    /// How many worktrees there are, with its own.
    pub fn trees(&self) -> usize {
        self.git(&["worktree", "list"]).lines().count()
    }

    /// What the user would see of the checkout: its state, where it stands, what is stashed.
    pub fn checkout(&self) -> String {
        ["status --porcelain --branch", "rev-parse HEAD", "stash list"]
            .map(|words| self.git(&words.split(' ').collect::<Vec<_>>()))
            .join("")
    }

    /// Commits everything.
    pub fn commit(&self, message: &str) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", message]);
    }
}

/// A command for this program, with nothing in its environment that belongs to the person who runs the
/// tests: no keys, no settings, no colours, no home but `home`, no git configuration.
pub fn scrubbed(program: impl AsRef<std::ffi::OsStr>, home: &Path) -> Command {
    #[expect(clippy::disallowed_methods, reason = "tests start real programs")]
    let mut command = Command::new(program);
    scrub(&mut command, home);
    command
}

/// Clears a command's environment as [`scrubbed`] does.
pub fn scrub(command: &mut Command, home: &Path) {
    let prefixes = ["ANTHROPIC_", "CLAUDE_", "HARNESS_", "GIT_", "XDG_", "CLICOLOR", "LC_"];
    let names = [
        "MODEL_ID",
        "NO_COLOR",
        "FORCE_COLOR",
        "COLORTERM",
        "COLUMNS",
        "LINES",
        "PAGER",
        "EDITOR",
        "VISUAL",
    ];
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if names.contains(&text.as_ref()) || prefixes.iter().any(|p| text.starts_with(p)) {
            command.env_remove(&name);
        }
    }
    command.env("HOME", home).env("LANG", "C.UTF-8").env("TZ", "UTC");
    // Else a session would find the `.env` of whoever works on this repository.
    command.env("HARNESS_ENV", "/dev/null");
    // Else it would use the Redis of whoever runs the tests. Nobody listens there.
    command.env("REDIS_URL", "redis://127.0.0.1:1");
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
}

/// Says that a test cannot run here (no Redis, no terminal). Where `HARNESS_NO_SKIP` is set, as in CI,
/// that is a failure. Use: `if !found { return skip("redis-server is not installed") }`.
///
/// # Panics
/// When `HARNESS_NO_SKIP` is set.
pub fn skip(reason: &str) {
    assert!(
        std::env::var_os("HARNESS_NO_SKIP").is_none(),
        "a test would be skipped, and HARNESS_NO_SKIP is set: {reason}"
    );
    eprintln!("SKIPPED: {reason}");
}
