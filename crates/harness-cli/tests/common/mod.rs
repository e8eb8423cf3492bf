//! The example with a stub on every seam, as a program that the tests start.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use harness_testkit::{Folder, scrubbed};

/// The program, working in this folder. Cargo builds examples before it runs tests.
pub(crate) fn every_seam(folder: &Folder) -> Command {
    every_seam_in(folder.path())
}

/// The same in any folder.
pub(crate) fn every_seam_in(folder: &Path) -> Command {
    let test = std::env::current_exe().unwrap();
    let program: PathBuf = test.parent().unwrap().parent().unwrap().join("examples/every_seam");
    let mut command = scrubbed(program, folder);
    command.current_dir(folder).arg("--workspace").arg(folder);
    command
}

/// Runs it to its end on this input.
#[allow(dead_code, reason = "not every test file needs it")]
pub(crate) fn piped(mut command: Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may leave before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}
