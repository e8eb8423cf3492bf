//! Runs everyday lines twice, free and at `ReadOnly`, and lists those that differ in exit code or output:
//! `cargo run --example daily -- TABLE WORKSPACE HOME`.
//!
//! The table has a class, a ruling and a line in each row; rows of the classes `ro` and `ro?` are run.

use std::{
    collections::BTreeMap,
    error::Error,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use harness_sandbox::{Ended, Launch, Level, Machine, Policy, Sandbox};
use rustix::process::{Pid, Signal, kill_process_group};

/// A line that takes longer is ended.
const TIMEOUT: Duration = Duration::from_secs(60);

type Done<T> = Result<T, Box<dyn Error>>;

fn main() -> Done<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [table, workspace, home] = arguments.as_slice() else {
        return Err("usage: daily TABLE WORKSPACE HOME".into());
    };
    let table = std::fs::read_to_string(table)?;
    let policy = Policy::new(Some(home), workspace)?;
    let sandbox = Sandbox::new(Machine::find(), policy)?;
    let mut counts: BTreeMap<String, [usize; 4]> = BTreeMap::new();
    let mut out = io::stdout();
    for row in table.lines().filter(|row| !row.starts_with('#')) {
        let parts: Vec<&str> = row.splitn(3, '\t').collect();
        let [class, ruling, line] = parts.as_slice() else { continue };
        if !class.starts_with("ro") {
            continue;
        }
        let line = line.replace('␤', "\n");
        let free = run(&sandbox, workspace, home, Level::Free, &line)?;
        let confined = run(&sandbox, workspace, home, Level::ReadOnly, &line)?;
        let again = run(&sandbox, workspace, home, Level::Free, &line)?;
        let count = counts.entry(format!("{class} {ruling}")).or_default();
        count[0] += 1;
        let is_missing = free.0 == Some(127);
        count[3] += usize::from(is_missing);
        if free == confined {
            count[1] += 1;
            continue;
        }
        if free != again {
            count[2] += 1;
            writeln!(out, "differs by itself\t{class}\t{ruling}\t{line}")?;
            continue;
        }
        let ended = Ended { code: confined.0, output: &confined.1 };
        let refusal = sandbox.refusal(ended, Level::ReadOnly);
        writeln!(
            out,
            "differs\t{class}\t{ruling}\t{line}\n    free {:?} {}",
            free.0,
            last(&free.1)
        )?;
        writeln!(out, "    read-only {:?} {}", confined.0, last(&confined.1))?;
        writeln!(out, "    refusal {:?}", refusal.map(|refusal| refusal.needs))?;
    }
    for (class, [all, same, by_itself, missing]) in counts {
        let rest = all - same - by_itself;
        writeln!(
            out,
            "{class}: {all} lines, {same} the same ({missing} not installed), {by_itself} differ by themselves, {rest} differ"
        )?;
    }
    Ok(())
}

fn run(
    sandbox: &Sandbox,
    workspace: &Path,
    home: &Path,
    level: Level,
    line: &str,
) -> Done<(Option<i32>, String)> {
    let (mut reader, writer) = io::pipe()?;
    let launch = Launch::new("/bin/bash", workspace)
        .args(["-c", line])
        .env("HOME", home)
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let mut running = sandbox.start(launch, level)?;
    let pid = Pid::from_child(&running.child);
    let (tell, told) = std::sync::mpsc::channel();
    let reading = std::thread::spawn(move || {
        let mut output = Vec::new();
        let _ = reader.read_to_end(&mut output);
        let _ = tell.send(output);
    });
    let output = match told.recv_timeout(TIMEOUT) {
        Ok(output) => output,
        Err(_) => {
            let _ = kill_process_group(pid, Signal::KILL);
            told.recv()?
        }
    };
    let code = running.child.wait()?.code();
    let _ = reading.join();
    running.finish();
    Ok((code, String::from_utf8_lossy(&output).into_owned()))
}

fn last(output: &str) -> String {
    output.lines().last().unwrap_or_default().chars().take(160).collect()
}
