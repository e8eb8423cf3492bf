//! Starting other programs.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use crate::repo::Repo;

/// A command run at the root, without what cargo told this process about itself: build scripts that
/// watch those variables would build their crates again.
pub(crate) fn command(repo: &Repo, program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(&repo.root);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let own = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
        if own.iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command
}

/// The cargo that runs this.
pub(crate) fn cargo(repo: &Repo) -> Command {
    let program = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    command(repo, &program)
}

/// Where cargo puts what it builds.
pub(crate) fn target_folder(repo: &Repo) -> PathBuf {
    let set = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    set.map_or_else(|| repo.root.join("target"), |folder| repo.root.join(folder))
}

/// Runs to the end, output shown as it comes.
pub(crate) fn show(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|e| cannot_start(command, &e))?;
    if status.success() { Ok(()) } else { Err(format!("{}: {status}", program(command))) }
}

/// Runs to the end without a word: what it said on stdout, or the last line of its stderr.
pub(crate) fn quiet(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|e| cannot_start(command, &e))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no word of why");
    Err(format!("{}: {}: {}", program(command), output.status, last.trim()))
}

/// Whether a command can be started and ends well.
pub(crate) fn works(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs to the end, output shown as it comes, and hands every line to `watch` as well.
pub(crate) fn watched(
    command: &mut Command,
    watch: impl Fn(&str) -> bool + Copy + Send,
) -> Result<(bool, Vec<String>), String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| cannot_start(command, &e))?;
    let out = child.stdout.take();
    let err = child.stderr.take();
    let noted = thread::scope(|scope| {
        let told = scope.spawn(move || tee(err, std::io::stderr(), watch));
        let mut noted = tee(out, std::io::stdout(), watch);
        noted.extend(told.join().unwrap_or_default());
        noted
    });
    let status = child.wait().map_err(|e| format!("{}: {e}", program(command)))?;
    Ok((status.success(), noted))
}

fn tee(from: Option<impl Read>, mut to: impl Write, watch: impl Fn(&str) -> bool) -> Vec<String> {
    let mut noted = Vec::new();
    let Some(from) = from else { return noted };
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        // A reader that went away (a closed pipe) must not stop the command.
        let _ = to.write_all(&line).and_then(|()| to.flush());
        let text = String::from_utf8_lossy(&line);
        if watch(text.trim()) {
            noted.push(text.trim().to_owned());
        }
        line.clear();
    }
    noted
}

/// The command as one would type it, with the variables that were set for it.
pub(crate) fn typed(command: &Command) -> String {
    let set = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let mut words: Vec<String> =
        set.map(|(name, value)| format!("{}=\"{}\"", name.display(), value.display())).collect();
    words.push(program(command));
    words.extend(command.get_args().map(|arg| arg.to_string_lossy().into_owned()));
    words.join(" ")
}

fn program(command: &Command) -> String {
    let path = std::path::Path::new(command.get_program());
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn cannot_start(command: &Command, why: &std::io::Error) -> String {
    format!("cannot start {}: {why}", program(command))
}
