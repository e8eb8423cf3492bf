//! Snapshots of a workspace, the history of its changes, and the way back.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use harness_core::StateError;
use harness_core::host::trust::hash;
use harness_core::host::workspace::{Found, Workspace, WorkspaceError};
use harness_testkit::{SmallDisk, fifo};
use proptest::prelude::*;
use s14_tools_extended::{
    Changes, CheckpointStore, Direction, History, KnownFiles, PathState, Snapshot, Step, restore,
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

struct Place {
    top: TempDir,
    root: PathBuf,
    workspace: Workspace,
    store: CheckpointStore,
}

impl Place {
    fn new() -> Self {
        let top = TempDir::new().unwrap();
        let root = top.path().canonicalize().unwrap().join("ws");
        fs::create_dir(&root).unwrap();
        let workspace = Workspace::open(&root).unwrap();
        let store = CheckpointStore::open(&workspace).unwrap();
        Self { top, root, workspace, store }
    }

    fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn look(&self, paths: &[&str]) -> Snapshot {
        self.look_again(paths, None, &mut KnownFiles::default())
    }

    fn look_again(
        &self,
        paths: &[&str],
        earlier: Option<&Snapshot>,
        known: &mut KnownFiles,
    ) -> Snapshot {
        let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
        let never = CancellationToken::new();
        Snapshot::take(&self.workspace, &paths, earlier, &self.store.blobs, known, &never).unwrap()
    }

    /// What this does to everything.
    fn changes(&self, work: impl FnOnce(&Self)) -> Changes {
        let before = self.look(&["."]);
        work(self);
        before.compare(&self.look_again(&["."], Some(&before), &mut KnownFiles::default()))
    }

    fn back(&self, changes: &Changes) -> Result<(), WorkspaceError> {
        let back: Vec<Step> = changes.steps.iter().map(Step::back).collect();
        restore(&self.workspace, &back, &self.store.blobs)
    }

    /// Everything below the root as text: kind, mode, name, content.
    fn drawn(&self) -> String {
        let found = self.workspace.list(".", 1000).unwrap().found;
        let mut drawn = String::new();
        for (path, it) in found {
            let line = match it {
                Found::File { mode, .. } => {
                    let bytes = fs::read(self.root.join(&path)).unwrap();
                    format!("{mode:o} {} {bytes:?}", path.display())
                }
                Found::Folder { mode } => format!("{mode:o} {}/", path.display()),
                it => format!("{it:?} {}", path.display()),
            };
            drawn.push_str(&line);
            drawn.push('\n');
        }
        drawn
    }
}

fn paths(changes: &Changes) -> Vec<&str> {
    changes.steps.iter().map(|step| step.path.to_str().unwrap()).collect()
}

#[test]
fn everything_a_command_can_do_to_files_is_seen_and_taken_back() {
    let place = Place::new();
    place.write("kept.txt", "kept");
    place.write("changed.bin", [0, 255, 13, 10]);
    place.write("mode.sh", "echo");
    place.write("gone/deep/a.txt", "a");
    place.write("moved/b.txt", "b");
    place.write("file", "a file");
    fs::create_dir(place.root.join("empty")).unwrap();
    symlink("kept.txt", place.root.join("link")).unwrap();
    fs::set_permissions(place.root.join("gone"), Permissions::from_mode(0o750)).unwrap();
    let before = place.drawn();
    let changes = place.changes(|place| {
        let at = |path: &str| place.root.join(path);
        fs::write(at("changed.bin"), [0, 255, 10]).unwrap();
        fs::set_permissions(at("mode.sh"), Permissions::from_mode(0o755)).unwrap();
        fs::remove_dir_all(at("gone")).unwrap();
        fs::rename(at("moved"), at("elsewhere")).unwrap();
        symlink("elsewhere", at("moved")).unwrap(); // a folder became a link
        fs::remove_file(at("file")).unwrap();
        fs::create_dir_all(at("file/inside")).unwrap(); // a file became a folder
        fs::remove_dir(at("empty")).unwrap();
        fs::remove_file(at("link")).unwrap();
        symlink("mode.sh", at("link")).unwrap();
        place.write("new/one.txt", "new");
    });
    let after = place.drawn();
    assert!(changes.lost.is_empty() && !paths(&changes).contains(&"kept.txt"));
    place.back(&changes).unwrap();
    assert_eq!(place.drawn(), before);
    restore(&place.workspace, &changes.steps, &place.store.blobs).unwrap();
    assert_eq!(place.drawn(), after);
}

#[test]
fn a_file_that_was_ignored_before_was_not_made_by_who_removed_the_ignore_file() {
    let place = Place::new();
    place.write(".gitignore", ".env\nbuild/\n");
    place.write(".env", "SECRET=1");
    place.write("build/out/a.o", "o");
    let changes = place.changes(|place| fs::remove_file(place.root.join(".gitignore")).unwrap());
    assert_eq!(paths(&changes), [".gitignore"]);
    // And one that is ignored from now on is not gone.
    place.write("notes.txt", "n");
    let changes = place.changes(|place| place.write(".gitignore", "notes.txt\n"));
    assert_eq!(paths(&changes), [".gitignore"]);
}

#[test]
fn what_somebody_else_has_changed_is_not_overwritten_and_what_he_moved_away_comes_back() {
    let place = Place::new();
    place.write("a.txt", "old a");
    place.write("b.txt", "old b");
    let changes = place.changes(|place| {
        place.write("a.txt", "new a");
        place.write("b.txt", "new b");
    });
    place.write("b.txt", "mine");
    let why = place.back(&changes).unwrap_err();
    assert!(
        matches!(&why, WorkspaceError::Changed { path } if path == Path::new("b.txt")),
        "{why}"
    );
    assert_eq!(fs::read_to_string(place.root.join("a.txt")).unwrap(), "new a"); // all or nothing
    fs::rename(place.root.join("b.txt"), place.root.join("mine.txt")).unwrap();
    place.back(&changes).unwrap();
    place.back(&changes).unwrap(); // done already: nothing to do
    assert_eq!(fs::read_to_string(place.root.join("b.txt")).unwrap(), "old b");
    assert_eq!(fs::read_to_string(place.root.join("mine.txt")).unwrap(), "mine");
}

#[test]
fn a_folder_that_somebody_has_put_something_in_stays() {
    let place = Place::new();
    let changes = place.changes(|place| place.write("new/theirs.txt", "t"));
    place.write("new/mine.txt", "m");
    place.back(&changes).unwrap();
    assert_eq!(names(&place.root.join("new")), ["mine.txt"]);
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_file_changed_twice_within_a_tick_of_the_clock_is_read_again() {
    let place = Place::new();
    let mut known = KnownFiles::default();
    for round in 0..50 {
        place.write("a.txt", format!("{round:04}"));
        let before = place.look_again(&["."], None, &mut known);
        place.write("a.txt", format!("{:04}", round + 1));
        let after = place.look_again(&["."], Some(&before), &mut known);
        assert_eq!(before.compare(&after).steps.len(), 1, "round {round}");
    }
}

#[test]
fn what_is_too_large_or_no_file_is_told_when_it_changes_and_only_then() {
    let place = Place::new();
    File::create(place.root.join("huge")).unwrap().set_len(500 << 20).unwrap();
    fifo(&place.root.join("fifo"));
    let changes = place.changes(|place| place.write("a.txt", "a"));
    assert_eq!((paths(&changes), changes.lost.len()), (vec!["a.txt"], 0));
    let changes = place.changes(|place| {
        fs::remove_file(place.root.join("huge")).unwrap();
        fs::remove_file(place.root.join("fifo")).unwrap();
    });
    assert!(changes.steps.is_empty());
    assert_eq!(changes.lost, ["\"fifo\" is no regular file", "\"huge\" is larger than 20 MB"]);
}

#[test]
fn where_there_is_too_much_to_keep_it_is_the_small_files_that_are_kept() {
    let place = Place::new();
    for n in 0..15 {
        File::create(place.root.join(format!("a{n}"))).unwrap().set_len((19 << 20) + n).unwrap();
    }
    place.write("z/small.txt", "small");
    let changes = place.changes(|place| {
        place.write("z/small.txt", "changed");
        place.write("a0", "changed");
        place.write("a14", "changed");
    });
    assert_eq!(paths(&changes), ["a0", "z/small.txt"]);
    assert_eq!(changes.lost, ["\"a14\" lies beyond the 256 MB that are kept"]);
}

#[test]
fn names_that_are_no_text_are_told_and_never_break_the_history() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let odd = place.root.join(std::ffi::OsStr::from_bytes(b"a\xffb"));
    let changes = place.changes(|place| {
        fs::write(&odd, "x").unwrap();
        place.write("new\nline \u{1b}[31m'\"", "y");
    });
    assert_eq!(paths(&changes), ["new\nline \u{1b}[31m'\""]);
    assert_eq!(changes.lost, ["\"a\\xFFb\" has a name that is no UTF-8"]);
    let recorded =
        place.store.update(|history| Ok(history.record(None, "p", 0, None, changes.steps.clone())));
    assert_eq!(recorded.unwrap(), Some(1));
    place.back(&changes).unwrap();
    assert!(odd.exists());
}

#[test]
fn the_store_is_private_and_holds_plain_files() {
    let place = Place::new();
    place.write("a.txt", "some bytes");
    place.look(&["a.txt"]);
    let folder = place.root.join(".harness/checkpoints");
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    let blob = folder.join("blobs").join(hash(b"some bytes"));
    assert_eq!(fs::read(&blob).unwrap(), b"some bytes");
    assert_eq!(fs::metadata(&blob).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_store_behind_a_link_is_refused() {
    let place = Place::new();
    let folder = place.root.join(".harness/checkpoints");
    fs::rename(&folder, place.top.path().join("elsewhere")).unwrap();
    symlink(place.top.path().join("elsewhere"), &folder).unwrap();
    let why = CheckpointStore::open(&place.workspace).unwrap_err().to_string();
    assert!(why.ends_with("it is behind a link"), "{why}");
}

#[test]
fn damaged_bytes_are_never_put_anywhere() {
    let place = Place::new();
    place.write("a.txt", "old");
    place.write("b.txt", "old b");
    let changes = place.changes(|place| {
        place.write("a.txt", "new");
        place.write("b.txt", "new b");
    });
    let blobs = place.root.join(".harness/checkpoints/blobs");
    fs::write(blobs.join(hash(b"old b")), "OLD B").unwrap();
    let why = place.back(&changes).unwrap_err().to_string();
    assert!(why.contains("are damaged"), "{why}");
    assert_eq!(fs::read_to_string(place.root.join("a.txt")).unwrap(), "new");
    // Cut short, as by a power cut: kept again the next time they are seen.
    fs::write(blobs.join(hash(b"new b")), "").unwrap();
    place.look(&["b.txt"]);
    assert_eq!(place.store.blobs.fetch(&hash(b"new b")).unwrap(), b"new b");
}

#[test]
fn a_damaged_or_newer_history_is_named_and_kept() {
    let place = Place::new();
    let index = place.root.join(".harness/checkpoints/index.json");
    let huge = "[".repeat(100_000);
    for bad in [
        "",
        "{",
        "null",
        "\0\0\0",
        "{\"format\":2,\"made\":0,\"checkpoints\":[]}",
        "{\"format\":1,\"made\":0,\"checkpoints\":[],\"more\":1}",
        "{\"format\":1,\"made\":-1,\"checkpoints\":{}}",
        huge.as_str(),
    ] {
        fs::write(&index, bad).unwrap();
        let why = place.store.history().unwrap_err();
        assert!(matches!(&why, StateError::Damaged { path, .. } if *path == index), "{why}");
        assert!(place.store.update(|_| Ok(())).is_err());
        assert_eq!(fs::read_to_string(&index).unwrap(), bad);
    }
}

fn step(path: &str, from: &str, to: &str) -> Step {
    let state = |text: &str| match text {
        "" => PathState::Absent,
        text => PathState::File { kept: text.to_owned(), mode: 0o644 },
    };
    Step { path: path.into(), from: state(from), to: state(to) }
}

#[test]
fn a_path_is_taken_back_change_by_change_and_what_was_taken_back_does_not_count() {
    let mut history = History::default();
    let mut open = history.record(None, "p", 0, None, vec![step("a", "", "1")]);
    open = history.record(open, "p", 1, None, vec![step("a", "1", "2"), step("b", "", "x")]);
    let last = |history: &History| history.last_change(Path::new("a")).map(|c| c.number);
    assert_eq!(last(&history), Some(2));
    history.record(open, "p", 3, Some(2), vec![step("a", "2", "1")]);
    assert_eq!(last(&history), Some(1));
    history.record(open, "p", 4, Some(1), vec![step("a", "1", "")]);
    assert_eq!(last(&history), None);
    history.record(open, "p", 5, None, vec![step("a", "", "3")]);
    assert_eq!(last(&history), Some(6));
    assert_eq!(history.checkpoints.len(), 1);
    assert_eq!(
        history.checkpoints[0].steps(Direction::Redo),
        [step("a", "", "3"), step("b", "", "x")]
    );
}

#[test]
fn calls_that_overlap_record_each_change_once_and_in_one_chain() {
    let mut history = History::default();
    // Both were looked at before either ran.
    let open = history.record(None, "p", 0, None, vec![step("a", "0", "1")]);
    history.record(open, "p", 0, None, vec![step("a", "0", "2")]);
    history.record(open, "p", 0, None, vec![step("a", "0", "2")]); // seen again by a third
    let changes: Vec<&Step> = history.checkpoints[0].changes.iter().map(|c| &c.step).collect();
    assert_eq!(changes, [&step("a", "0", "1"), &step("a", "1", "2")]);
}

#[test]
fn the_way_back_of_a_checkpoint_ends_at_the_version_of_somebody_else() {
    let mut history = History::default();
    let open = history.record(None, "p", 0, None, vec![step("a", "0", "1")]);
    history.record(open, "p", 1, None, vec![step("a", "theirs", "2")]);
    assert_eq!(history.checkpoints[0].steps(Direction::Undo), [step("a", "2", "theirs")]);
}

#[test]
fn undo_goes_back_and_redo_forth_and_a_new_change_begins_a_new_checkpoint() {
    let mut history = History::default();
    assert!(history.next(Direction::Undo).is_none() && history.next(Direction::Redo).is_none());
    for (number, (from, to)) in [("", "1"), ("1", "2"), ("2", "3")].into_iter().enumerate() {
        history.record(None, "p", number as u64, None, vec![step("a", from, to)]);
    }
    assert!(history.next(Direction::Redo).is_none());
    for number in [3, 2] {
        let checkpoint = history.next(Direction::Undo).unwrap();
        assert_eq!(checkpoint.number, number);
        checkpoint.undone = true;
    }
    assert_eq!(history.last_change(Path::new("a")).unwrap().number, 1);
    assert_eq!(history.next(Direction::Redo).unwrap().number, 2);
    // Not into one that was undone, even if it is still the prompt's.
    assert_eq!(history.record(Some(2), "p", 3, None, vec![step("b", "", "1")]), Some(4));
    assert_eq!(history.next(Direction::Undo).unwrap().number, 4);
    assert!(history.next(Direction::Redo).is_none());
}

#[test]
fn a_history_of_huge_commands_is_kept_small_and_the_newest_checkpoint_whole() {
    let mut history = History::default();
    for size in [10, 20_000, 20_000, 20_000, 10] {
        let steps = (0..size).map(|n| step(&n.to_string(), "old", "new")).collect();
        history.record(None, "p", history.made, None, steps);
    }
    let sizes: Vec<usize> = history.checkpoints.iter().map(|c| c.changes.len()).collect();
    assert_eq!(sizes, [20_000, 20_000, 10]);
    let steps = (0..60_000).map(|n| step(&n.to_string(), "old", "new")).collect();
    history.record(None, "p", history.made, None, steps);
    assert_eq!((history.checkpoints.len(), history.made), (1, 120_020));
}

#[test]
fn the_last_hundred_checkpoints_are_kept_and_bytes_that_nobody_needs_go_after_a_day() {
    let place = Place::new();
    let (mut open, mut before) = (None, String::new());
    for n in 0..=101 {
        let after = format!("version {n}");
        place.write("a.txt", &after);
        place.look(&["a.txt"]);
        let state = |text: &str| match text {
            "" => PathState::Absent,
            text => PathState::File { kept: hash(text.as_bytes()), mode: 0o644 },
        };
        let step = Step { path: "a.txt".into(), from: state(&before), to: state(&after) };
        if n == 101 {
            place.store.blobs.store(b"seen once").unwrap();
            // Made old, all but what one scan has just seen again.
            for entry in fs::read_dir(place.root.join(".harness/checkpoints/blobs")).unwrap() {
                let file = File::options().append(true).open(entry.unwrap().path()).unwrap();
                file.set_modified(SystemTime::now() - Duration::from_secs(3 * 24 * 3600)).unwrap();
            }
            assert!(place.store.blobs.has(&hash(b"version 0"))); // as a call does that still runs
        }
        open = place
            .store
            .update(|history| Ok(history.record(None, "p", 0, None, vec![step])))
            .unwrap();
        before = after;
    }
    assert_eq!(open, Some(102));
    let history = place.store.history().unwrap();
    assert_eq!((history.checkpoints.len(), history.checkpoints[0].number), (100, 3));
    assert!(!place.store.blobs.has(&hash(b"seen once")), "old, and of no use");
    assert!(place.store.blobs.has(&hash(b"version 0")), "young");
    assert!(place.store.blobs.has(&hash(b"version 1")), "needed: checkpoint 3 goes back to it");
    let kept = fs::read_dir(place.root.join(".harness/checkpoints/blobs")).unwrap().count();
    assert_eq!(kept, 102);
}

#[test]
fn a_disk_that_is_full_in_the_middle_loses_nothing_and_the_same_step_works_later() {
    let place = Place::new();
    let Some(mounted) = SmallDisk::mount(place.root.join("disk"), 160) else { return };
    let disk = mounted.path();
    let (large, huge) = (vec![b'x'; 100_000], vec![b'y'; 100_000]);
    // The store is on the other disk, as if that one had room.
    let workspace = Workspace::open(disk).unwrap();
    let never = CancellationToken::new();
    let snapshot = |earlier: Option<&Snapshot>| {
        let paths = [PathBuf::from(".")];
        let known = &mut KnownFiles::default();
        Snapshot::take(&workspace, &paths, earlier, &place.store.blobs, known, &never).unwrap()
    };
    fs::write(disk.join("a"), &large).unwrap();
    fs::write(disk.join("b"), "old").unwrap();
    let before = snapshot(None);
    fs::remove_file(disk.join("a")).unwrap();
    fs::write(disk.join("b"), "new").unwrap();
    let changes = before.compare(&snapshot(Some(&before)));
    let back: Vec<Step> = changes.steps.iter().map(Step::back).collect();
    fs::write(disk.join("other"), &huge).unwrap();
    let why = restore(&workspace, &back, &place.store.blobs).unwrap_err().to_string();
    assert!(why.starts_with("cannot write \"a\": "), "{why}");
    let kept = (fs::read(disk.join("b")).unwrap(), names(disk).len());
    assert_eq!(kept, (b"new".to_vec(), 2), "b as it was, and no half-written file");
    // A store on the full disk says so, and keeps nothing half.
    let full = CheckpointStore::open(&workspace).unwrap();
    assert!(full.blobs.store(&large).is_err() && !full.blobs.has(&hash(&large)));
    fs::remove_file(disk.join("other")).unwrap();
    restore(&workspace, &back, &place.store.blobs).unwrap();
    assert_eq!(
        (fs::read(disk.join("a")).unwrap(), fs::read(disk.join("b")).unwrap()),
        (large.clone(), b"old".to_vec())
    );
}

/// Something that a command may do to one path.
#[derive(Debug, Clone)]
struct Deed {
    path: &'static str,
    kind: u8,
    byte: u8,
}

fn deed() -> impl Strategy<Value = Deed> {
    const PATHS: [&str; 7] = ["a", "b", "d", "d/a", "d/e", "d/e/f", "f/g"];
    (prop::sample::select(&PATHS[..]), 0..5_u8, any::<u8>()).prop_map(|(path, kind, byte)| Deed {
        path,
        kind,
        byte,
    })
}

impl Deed {
    fn run(&self, root: &Path) {
        let path = root.join(self.path);
        if !fs::symlink_metadata(path.parent().unwrap()).is_ok_and(|it| it.is_dir()) {
            return; // no folder to do it in
        }
        let mode = Permissions::from_mode(0o600 | u32::from(self.byte & 0o77));
        if self.kind == 4 {
            if fs::symlink_metadata(&path).is_ok_and(|it| it.is_file()) {
                fs::set_permissions(&path, mode).unwrap();
            }
            return;
        }
        match fs::symlink_metadata(&path) {
            Ok(it) if it.is_dir() => fs::remove_dir_all(&path).unwrap(),
            Ok(_) => fs::remove_file(&path).unwrap(),
            Err(_) => {}
        }
        match self.kind {
            0 => {}
            1 => fs::write(&path, [self.byte; 5]).unwrap(),
            2 => fs::create_dir(&path).unwrap(),
            _ => {
                symlink(["a", "d", "../a", "/nowhere"][usize::from(self.byte % 4)], &path).unwrap()
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]

    #[test]
    fn whatever_was_done_can_be_undone_to_the_start_and_redone_to_the_end(
        prompts in prop::collection::vec(prop::collection::vec(prop::collection::vec(deed(), 1..8), 1..4), 1..5)
    ) {
        let place = Place::new();
        let (mut known, mut states) = (KnownFiles::default(), vec![place.drawn()]);
        for calls in &prompts {
            let mut open = None;
            for deeds in calls {
                let before = place.look_again(&["."], None, &mut known);
                deeds.iter().for_each(|deed| deed.run(&place.root));
                let after = place.look_again(&["."], Some(&before), &mut known);
                let steps = before.compare(&after).steps;
                open = place.store.update(|history| Ok(history.record(open, "p", history.made, None, steps))).unwrap();
            }
            if open.is_some() {
                states.push(place.drawn());
            }
        }
        let go = |direction: Direction| {
            place.store.update(|history| {
                let Some(checkpoint) = history.next(direction) else { return Ok(false) };
                let steps = checkpoint.steps(direction);
                restore(&place.workspace, &steps, &place.store.blobs).map_err(|why| why.to_string())?;
                checkpoint.undone = direction == Direction::Undo;
                Ok(true)
            }).unwrap()
        };
        for state in states.iter().rev().skip(1) {
            prop_assert!(go(Direction::Undo));
            prop_assert_eq!(&place.drawn(), state);
        }
        prop_assert!(!go(Direction::Undo));
        for state in states.iter().skip(1) {
            prop_assert!(go(Direction::Redo));
            prop_assert_eq!(&place.drawn(), state);
        }
        prop_assert!(!go(Direction::Redo));
    }
}
