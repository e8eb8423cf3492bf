//! Tries a line by hand: `sandbox run --level read-only -- LINE`, and `sandbox doctor`.

use std::{
    io::{self, Read, Write},
    path::PathBuf,
    process::{Child, ExitCode, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand, ValueEnum};
use harness_sandbox::{Ended, Launch, Level, Machine, Policy, Sandbox};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal, kill_process_group},
};

/// Runs a shell line as far kept in as the level says.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a line, and says on standard error what it was refused.
    Run(Run),
    /// Says which levels there are here, and what to install for the others.
    Doctor,
}

#[derive(Debug, clap::Args)]
#[command(args_override_self = true)]
struct Run {
    /// How far the line is kept in.
    #[arg(long, value_enum, default_value = "read-only")]
    level: LevelName,
    /// The folder that the line works in; without it, the current one.
    #[arg(long)]
    workspace: Option<PathBuf>,
    /// The home whose secrets are closed; without it, $HOME.
    #[arg(long)]
    home: Option<PathBuf>,
    /// The shell that reads the line.
    #[arg(long, default_value = "/bin/bash")]
    shell: PathBuf,
    /// Ends the line after this many seconds.
    #[arg(long, default_value_t = 120)]
    timeout: u64,
    /// Pretends that the kernel has this older version of Landlock, or none for 0.
    #[arg(long)]
    landlock: Option<u8>,
    /// Reads the line from standard input.
    #[arg(long, conflicts_with = "line")]
    stdin: bool,
    /// The line; several words are joined.
    #[arg(last = true)]
    line: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LevelName {
    ReadOnly,
    Workspace,
    Free,
}

impl From<LevelName> for Level {
    fn from(name: LevelName) -> Self {
        match name {
            LevelName::ReadOnly => Self::ReadOnly,
            LevelName::Workspace => Self::Workspace,
            LevelName::Free => Self::Free,
        }
    }
}

/// The exit code when the line was not started.
const NOT_STARTED: u8 = 125;
/// The exit code when the line was ended by the time-out, as with `timeout`.
const TIMED_OUT: u8 = 124;
/// What is kept of the output to look for a refusal in, in bytes.
const MAX_KEPT: usize = 1024 * 1024;

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run(run) => run_line(run),
        Command::Doctor => doctor(),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(io::stderr(), "sandbox: {error}");
            ExitCode::from(NOT_STARTED)
        }
    }
}

fn doctor() -> Result<u8, Box<dyn std::error::Error>> {
    for line in Machine::find().report() {
        writeln!(io::stdout(), "{line}")?;
    }
    Ok(0)
}

fn run_line(run: Run) -> Result<u8, Box<dyn std::error::Error>> {
    let workspace = match run.workspace {
        Some(workspace) => workspace,
        None => std::env::current_dir()?,
    };
    let home = run.home.or_else(|| std::env::var_os("HOME").map(PathBuf::from));
    let mut machine = Machine::find_for(run.level.into());
    if let Some(version) = run.landlock {
        machine = machine.with_landlock(version);
    }
    let mut line = run.line.join(" ");
    if run.stdin {
        io::stdin().read_to_string(&mut line)?;
    }
    let policy = Policy::new(home.as_deref(), &workspace)?;
    let sandbox = Sandbox::new(machine, policy)?;
    let (reader, writer) = io::pipe()?;
    let mut launch = Launch::new(run.shell, workspace)
        .args(["-c", &line])
        .stdout(writer.try_clone()?)
        .stderr(writer);
    if let Some(home) = home {
        launch = launch.env("HOME", home);
    }
    let level = run.level.into();
    let (child, hold) = sandbox.start(launch, level)?.split();
    let deadline = Instant::now() + Duration::from_secs(run.timeout);
    let (status, output) = follow(child, reader, deadline)?;
    for aside in hold.finish() {
        let path = aside.path.display();
        match aside.moved_to {
            Some(new) => writeln!(io::stderr(), "sandbox: {path} is now {}", new.display())?,
            None => {
                writeln!(io::stderr(), "sandbox: {path} was made; look at it before you use it")?
            }
        }
    }
    let Some(status) = status else { return Ok(TIMED_OUT) };
    let output = String::from_utf8_lossy(&output);
    let ended = Ended { code: status.code(), output: &output };
    if let Some(refusal) = sandbox.refusal(ended, level) {
        let needs = match refusal.needs {
            Some(level) => format!("it needs the level {level}"),
            None => "that place is closed".to_owned(),
        };
        writeln!(io::stderr(), "sandbox: stopped ({needs}): {}", refusal.words)?;
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.unwrap_or(u8::MAX))
}

/// Passes the output on until the child has ended. What it leaves behind in the background is not
/// waited for. No status: the time was over, and the child's session was killed.
fn follow(
    mut child: Child,
    mut reader: io::PipeReader,
    deadline: Instant,
) -> io::Result<(Option<ExitStatus>, Vec<u8>)> {
    let pid = Pid::from_child(&child);
    let (end, writer) = io::pipe()?;
    // The child's end and its output must be waited for together: the end becomes the end of a pipe.
    let waiting = thread::spawn(move || {
        let status = child.wait();
        drop(writer);
        status
    });
    let mut kept = Vec::new();
    let mut is_open = true;
    let mut was_killed = false;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() && !was_killed {
            kill_process_group(pid, Signal::KILL)?;
            was_killed = true;
        }
        let (has_output, has_ended) = wait(&reader, is_open, &end, left)?;
        if has_output {
            is_open = pass_on(&mut reader, &mut kept)?;
        } else if has_ended {
            break;
        }
    }
    let status = waiting.join().map_err(|_| io::Error::other("nobody waited for the child"))??;
    Ok((Some(status).filter(|_| !was_killed), kept))
}

/// Waits for output, the end of the child, or the time.
fn wait(
    reader: &io::PipeReader,
    is_open: bool,
    end: &io::PipeReader,
    left: Duration,
) -> io::Result<(bool, bool)> {
    let mut watched = vec![PollFd::new(end, PollFlags::IN)];
    if is_open {
        watched.push(PollFd::new(reader, PollFlags::IN));
    }
    let left = Timespec::try_from(left).ok().filter(|_| !left.is_zero());
    poll(&mut watched, left.as_ref())?;
    let has_ended = !watched[0].revents().is_empty();
    let has_output = watched.get(1).is_some_and(|output| !output.revents().is_empty());
    Ok((has_output, has_ended))
}

/// Reads once and passes it on. False at the end of the output.
fn pass_on(reader: &mut io::PipeReader, kept: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; 8192];
    let read = reader.read(&mut buffer)?;
    let bytes = &buffer[..read];
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()?;
    if kept.len() < MAX_KEPT {
        kept.extend_from_slice(bytes);
    }
    Ok(read > 0)
}
