//! What the engine costs a line: `cargo run --example cost`.
//!
//! A home and a workspace of 300 entries each; then workspaces with many folders.

use std::{
    error::Error,
    fs,
    io::{self, Write},
    path::Path,
    time::{Duration, Instant},
};

use harness_sandbox::{Launch, Level, Machine, Policy, Sandbox};
use rustix::time::{ClockId, clock_gettime};

const ROUNDS: u32 = 300;

type Done<T> = Result<T, Box<dyn Error>>;

fn main() -> Done<()> {
    let folder = tempfile::tempdir()?;
    let home = folder.path().join("home");
    let workspace = home.join("project");
    fill(&home, 300)?;
    fill(&workspace, 300)?;
    fs::write(workspace.join(".env"), "A=b")?;
    fs::create_dir_all(home.join(".ssh"))?;
    tell("300 entries in the home, 300 in the workspace", &home, &workspace)?;
    for folders in [1_000, 10_000] {
        let workspace = home.join(format!("large-{folders}"));
        for number in 0..folders {
            let path = workspace.join(format!("{}/{number}", number % 100));
            fs::create_dir_all(&path)?;
            fs::write(path.join("file"), "x")?;
        }
        fs::write(workspace.join("7/.env"), "A=b")?;
        tell(&format!("a workspace of {folders} folders"), &home, &workspace)?;
    }
    Ok(())
}

fn fill(folder: &Path, entries: usize) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for number in 0..entries {
        fs::write(folder.join(format!("entry-{number}")), "x")?;
    }
    Ok(())
}

fn tell(what: &str, home: &Path, workspace: &Path) -> Done<()> {
    let policy = Policy::new(Some(home), workspace)?;
    let sandbox = Sandbox::new(Machine::find(), policy)?;
    let mut out = io::stdout();
    writeln!(out, "{what}")?;
    let first = Clock::now();
    one(&sandbox, workspace, Level::ReadOnly)?;
    writeln!(out, "  the first line, with a look at everything   {}", median(&[first.elapsed()]))?;
    // Until the clock has ticked, what was just written counts as changed.
    let mut made = 0;
    while made != sandbox.figures().made {
        made = sandbox.figures().made;
        one(&sandbox, workspace, Level::ReadOnly)?;
    }
    writeln!(out, "  {:?}", sandbox.figures())?;
    // In turns, since the machine has other things to do too.
    let mut free = Vec::new();
    let mut read_only = Vec::new();
    for _ in 0..ROUNDS {
        free.push(one(&sandbox, workspace, Level::Free)?);
        read_only.push(one(&sandbox, workspace, Level::ReadOnly)?);
    }
    writeln!(out, "  start at free                               {}", median(&free))?;
    writeln!(out, "  start at read-only                          {}", median(&read_only))?;
    let mut looks = Vec::new();
    for _ in 0..ROUNDS {
        let started = Clock::now();
        sandbox.is_closed(workspace);
        looks.push(started.elapsed());
    }
    writeln!(out, "    of which the look at all folders          {}", median(&looks))?;
    let mut changed = Vec::new();
    for number in 0..30 {
        fs::write(workspace.join(format!("new-{number}")), "x")?;
        changed.push(one(&sandbox, workspace, Level::ReadOnly)?);
    }
    writeln!(out, "  the same after a change in the workspace    {}", median(&changed))?;
    let mut writable = Vec::new();
    for _ in 0..30 {
        let started = Clock::now();
        one(&sandbox, workspace, Level::Workspace)?;
        writable.push(started.elapsed());
    }
    writeln!(out, "  a whole run of `true` at workspace          {}", median(&writable))?;
    Ok(())
}

/// Starts `true` and gives how long the start took.
fn one(sandbox: &Sandbox, workspace: &Path, level: Level) -> Done<Took> {
    let started = Clock::now();
    let mut running = sandbox.start(Launch::new("/bin/true", workspace), level)?;
    let took = started.elapsed();
    running.child.wait()?;
    running.finish();
    Ok(took)
}

/// Time on the wall, and of the processor for all threads of this program: the second does not grow
/// when the machine has other things to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Took {
    wall: Duration,
    processor: Duration,
}

struct Clock {
    wall: Instant,
    processor: Duration,
}

impl Clock {
    fn now() -> Self {
        Self { wall: Instant::now(), processor: processor_time() }
    }

    fn elapsed(&self) -> Took {
        Took { wall: self.wall.elapsed(), processor: processor_time() - self.processor }
    }
}

fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

fn median(times: &[Took]) -> String {
    let mut wall: Vec<Duration> = times.iter().map(|took| took.wall).collect();
    let mut processor: Vec<Duration> = times.iter().map(|took| took.processor).collect();
    wall.sort();
    processor.sort();
    format!("{:?}, processor {:?}", wall[times.len() / 2], processor[times.len() / 2])
}
