//! Every session's play, and the harness's, as their users start them: over real HTTP with a strict server in
//! the model's place, by pipe and with `-p`, and offline with its own script. Sessions are found by their
//! folders, so that none can be without a play.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test that starts cargo and shows what took how long"
)]

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant, SystemTime};

use harness_core::Play;
use harness_core::model::script::{Line, Scene};
use harness_testkit::Program;

/// After this long without an end anywhere, the test names what hangs.
const PATIENCE: Duration = Duration::from_secs(180);

/// A way to play: what it is called, and the run, which panics when something is wrong.
type Way = (&'static str, fn(&Path, &str));

const WAYS: [Way; 3] =
    [("wire, pipe", by_pipe), ("wire, -p json", in_one_shot), ("script, pipe", offline)];

#[test]
fn every_session_plays_over_the_wire_by_pipe_and_in_one_shot_and_offline() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let folders = folders(root);
    assert!(folders.len() > 1, "the sessions are found");
    let names: Vec<String> =
        folders.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    let programs = built(root, &names);
    let plays: Vec<Result<String, String>> = folders
        .iter()
        .map(|folder| {
            let path = folder.join("demo.yaml");
            std::fs::read_to_string(&path).map_err(|why| format!("{}: {why}", path.display()))
        })
        .collect();
    let table: Vec<(usize, Way)> =
        (0..names.len()).flat_map(|at| WAYS.map(|way| (at, way))).collect();
    let left = Mutex::new(table.into_iter());
    let under_way = Mutex::new(BTreeSet::new());
    let (tell, told) = mpsc::channel();
    let mut failed = Vec::new();
    std::thread::scope(|scope| {
        let workers = std::thread::available_parallelism().map_or(2, usize::from) * 2;
        for _ in 0..workers {
            let tell = tell.clone();
            scope.spawn(|| {
                let tell = tell;
                loop {
                    let Some((at, (way, run))) = left.lock().unwrap().next() else { return };
                    let row = format!("{} ({way})", names[at]);
                    under_way.lock().unwrap().insert(row.clone());
                    let begun = Instant::now();
                    let ended = plays[at].clone().and_then(|play| {
                        catch_unwind(AssertUnwindSafe(|| run(&programs[at], &play))).map_err(reason)
                    });
                    under_way.lock().unwrap().remove(&row);
                    tell.send((row, begun.elapsed(), ended)).unwrap();
                }
            });
        }
        drop(tell);
        loop {
            match told.recv_timeout(PATIENCE) {
                Ok((row, took, ended)) => {
                    let verdict = if ended.is_ok() { "ok  " } else { "FAIL" };
                    eprintln!("{verdict} {:5.1} s  {row}", took.as_secs_f64());
                    failed.extend(ended.err().map(|why| format!("{row}: {why}")));
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    // The threads wait for their programs, and the scope would wait for the threads.
                    eprintln!("hangs: {:?}", under_way.lock().unwrap());
                    std::process::abort();
                }
            }
        }
    });
    assert!(failed.is_empty(), "plays that failed:\n- {}", failed.join("\n- "));
}

fn by_pipe(program: &Path, play: &str) {
    to_its_end(&Program::new(program, play).play_over_the_wire(), play);
}

fn offline(program: &Path, play: &str) {
    to_its_end(&Program::new(program, play).play(), play);
}

fn in_one_shot(program: &Path, play: &str) {
    let (result, asked) = Program::new(program, play).answer_over_the_wire();
    assert_eq!(result["type"], "result", "{result}");
    assert_eq!((&result["subtype"], &result["is_error"]), (&"success".into(), &false.into()));
    let said = result["result"].as_str().unwrap();
    assert!(!said.trim().is_empty(), "an answer without words: {result}");
    on_its_script(said);
    assert!(asked > 0 && result["num_turns"].as_u64() >= Some(1), "{result}");
}

/// What was printed is the play: a scene was heard from its first line to one that ends a turn.
fn to_its_end(said: &str, play: &str) {
    on_its_script(said);
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (said, play) = (words(said), Play::from_yaml(play).unwrap());
    let heard = |line: &Line| {
        line.text.contains("${")
            || said.contains(&words(&harness_core::host::text::strip(&line.text)))
    };
    let ends = |line: &&Line| line.calls.is_empty();
    let whole =
        |scene: &Scene| heard(&scene.lines[0]) && scene.lines.iter().filter(ends).any(heard);
    assert!(play.scenes.iter().any(whole), "no scene was heard to its end:\n{said}");
}

/// A script that was asked what it does not know says so; then the play and the program have parted.
fn on_its_script(said: &str) {
    for lost in ["I am a script, not a model", "has come to its end", "the play expected"] {
        assert!(!said.contains(lost), "off its script: {said}");
    }
}

fn reason(panic: Box<dyn std::any::Any + Send>) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no word of why").to_owned()
}

/// The folder of each session, and the harness's. Whether a play is in them is what the test finds out.
fn folders(root: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root.join("sessions")).unwrap();
    let sessions = entries.map(|entry| entry.unwrap().path());
    let sessions = sessions.filter(|path| path.join("Cargo.toml").is_file());
    let mut folders: Vec<PathBuf> = sessions.chain([root.join("crates/harness")]).collect();
    folders.sort();
    folders
}

/// Their programs. `cargo test --workspace` has built them before any test runs; started alone,
/// this test builds what is missing or older than its sources.
fn built(root: &Path, names: &[String]) -> Vec<PathBuf> {
    let own = std::env::current_exe().unwrap();
    let folder = own.ancestors().nth(2).unwrap();
    let programs: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
    let stale: Vec<&String> = names
        .iter()
        .zip(&programs)
        .filter(|(_, path)| !fresh(path))
        .map(|(name, _)| name)
        .collect();
    if stale.is_empty() {
        return programs;
    }
    eprintln!("building: {stale:?}");
    let profile = match folder.file_name().unwrap().to_str().unwrap() {
        "debug" => "dev",
        name => name,
    };
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root).args(["build", "--quiet", "--profile", profile, "--target-dir"]);
    cargo.arg(folder.parent().unwrap());
    // What cargo told this test about itself would make build scripts that watch it run again.
    for (name, _) in std::env::vars_os() {
        let told =
            ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
        if told.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            cargo.env_remove(name);
        }
    }
    for name in stale {
        cargo.args(["--bin", name]);
    }
    assert!(cargo.status().unwrap().success(), "the programs cannot be built");
    programs
}

/// Whether a program is there and no source of it, as cargo noted them, is newer.
fn fresh(program: &Path) -> bool {
    let changed = |path: &Path| path.metadata().and_then(|about| about.modified());
    let Ok(made) = changed(program) else { return false };
    let Ok(noted) = std::fs::read_to_string(program.with_extension("d")) else { return false };
    let Some((_, sources)) = noted.split_once(": ") else { return false };
    let sources = sources.replace("\\ ", "\0");
    sources.split_whitespace().all(|source| {
        let source = source.replace('\0', " ");
        changed(Path::new(&source)).unwrap_or(SystemTime::UNIX_EPOCH) <= made
    })
}
