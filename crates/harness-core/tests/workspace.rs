//! Real folders, links and files: what is reached, what is refused, what survives.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    thread,
    time::{Duration, SystemTime},
};

use harness_core::host::ownership::RunLock;
use harness_core::host::workspace::{
    Entry, Found, Wanted, Workspace, WorkspaceError, files, read, replace, update,
};
use harness_testkit::{SmallDisk, fifo};
use tempfile::TempDir;

/// A folder `ws` with some files, beside a file `secret` that must not be reached.
fn playground() -> (TempDir, PathBuf, Workspace) {
    let top = TempDir::new().unwrap();
    let root = top.path().join("ws");
    fs::create_dir_all(root.join("sub/deep")).unwrap();
    fs::write(root.join("a.txt"), "a").unwrap();
    fs::write(root.join("sub/b.txt"), "b").unwrap();
    fs::write(top.path().join("secret"), "secret").unwrap();
    let workspace = Workspace::open(&root).unwrap();
    (top, root, workspace)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn paths_inside_are_resolved_however_they_are_spelled() {
    let (top, root, workspace) = playground();
    symlink("sub", root.join("link")).unwrap();
    symlink(root.join("sub"), root.join("absolute")).unwrap();
    symlink(&root, top.path().join("alias")).unwrap();
    symlink(root.join("sub"), top.path().join("short")).unwrap();
    let absolute = root.join("sub/b.txt");
    let alias = top.path().join("alias/sub/b.txt");
    let short = top.path().join("short/b.txt");
    for path in [
        "sub/b.txt",
        "./sub//./b.txt",
        "sub/deep/../b.txt",
        "link/b.txt",
        "link/deep/../b.txt",
        "absolute/b.txt",
        absolute.to_str().unwrap(),
        alias.to_str().unwrap(),
        short.to_str().unwrap(),
    ] {
        assert_eq!(workspace.resolve(path).unwrap(), Path::new("sub/b.txt"), "{path}");
        assert_eq!(workspace.read_bounded(path, 10).unwrap().bytes, b"b");
    }
    assert_eq!(workspace.absolute("sub/b.txt"), fs::canonicalize(absolute).unwrap());
    assert_eq!(workspace.resolve("new/file").unwrap(), Path::new("new/file"));
    assert_eq!(workspace.resolve(root.join("new")).unwrap(), Path::new("new"));
    assert_eq!(workspace.resolve("sub/..").unwrap(), Path::new("."));
    assert_eq!(workspace.absolute("."), workspace.root());
}

#[test]
fn paths_that_lead_outside_are_refused_in_one_sentence() {
    let (top, root, workspace) = playground();
    symlink("../secret", root.join("out")).unwrap();
    symlink(top.path(), root.join("up")).unwrap();
    symlink("up/secret", root.join("chain")).unwrap();
    symlink("../missing", root.join("dangling")).unwrap();
    let secret = top.path().join("secret");
    let sneaky = root.join("../secret");
    for path in [
        "../secret",
        "sub/../../secret",
        "out",
        "up/secret",
        "chain",
        "dangling",
        "~/x",
        "/etc/passwd",
        "/",
        secret.to_str().unwrap(),
        sneaky.to_str().unwrap(),
    ] {
        let refused = |error| matches!(error, WorkspaceError::Outside { .. });
        assert!(refused(workspace.resolve(path).unwrap_err()), "{path}");
        assert!(refused(workspace.read_bounded(path, 10).unwrap_err()), "{path}");
        assert!(refused(workspace.write_atomic(path, b"x").unwrap_err()), "{path}");
    }
    let said = workspace.resolve("../secret").unwrap_err().to_string();
    let root = workspace.root().display();
    assert_eq!(
        said,
        format!("\"../secret\" is outside the workspace {root}; use a path inside it")
    );
    assert_eq!(fs::read(secret).unwrap(), b"secret");
    assert!(!top.path().join("missing").exists());
}

#[test]
fn a_link_that_is_swapped_all_the_time_never_leads_outside() {
    let (top, root, workspace) = playground();
    fs::create_dir(top.path().join("target")).unwrap();
    fs::write(top.path().join("target/f"), "outside").unwrap();
    fs::create_dir_all(root.join("kept")).unwrap();
    fs::write(root.join("kept/f"), "inside").unwrap();
    let door = root.join("door");
    symlink("kept", &door).unwrap();
    // While nobody swaps it, the door is open: what follows is not refused for another reason.
    let mut seen = BTreeSet::from([workspace.read_bounded("door/f", 100).unwrap().bytes]);
    workspace.write_atomic("door/g", b"mine").unwrap();
    assert_eq!(names(&root.join("kept")), ["f", "g"]);
    let stop = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let (good, bad) = (root.join("good"), root.join("bad"));
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                symlink("kept", &good).unwrap();
                fs::rename(&good, &door).unwrap();
                symlink("../target", &bad).unwrap();
                fs::rename(&bad, &door).unwrap();
            }
        });
        for _ in 0..2_000 {
            if let Ok(read) = workspace.read_bounded("door/f", 100) {
                seen.insert(read.bytes);
            }
            let _ = workspace.write_atomic("door/g", b"mine");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(seen, BTreeSet::from([b"inside".to_vec()]));
    assert_eq!(names(&top.path().join("target")), ["f"]);
}

#[test]
fn what_is_missing_or_in_a_circle_is_told() {
    let (_top, root, workspace) = playground();
    symlink("loop2", root.join("loop")).unwrap();
    symlink("loop", root.join("loop2")).unwrap();
    let told = |path: &str| workspace.read_bounded(path, 1).unwrap_err().to_string();
    assert!(told("nothing").starts_with("\"nothing\" does not exist"));
    assert!(told("nothing/../a.txt").contains("does not exist"));
    assert!(told("loop").contains("ymbolic link"), "{}", told("loop"));
    assert!(told("a.txt/x").contains("Not a directory"));
    assert!(told("nul\0").starts_with("cannot"));
    assert!(Workspace::open(root.join("a.txt")).is_err());
    assert!(Workspace::open(root.join("gone")).is_err());
}

#[test]
fn only_regular_files_are_opened_and_nothing_blocks() {
    let (_top, root, workspace) = playground();
    fifo(&root.join("pipe"));
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    for (path, kind) in [("pipe", "named pipe"), ("socket", "socket"), ("sub", "directory")] {
        for error in [
            workspace.open_read(path).unwrap_err(),
            workspace.write_atomic(path, b"x").unwrap_err(),
        ] {
            let said = error.to_string();
            assert!(said.contains(&format!("is a {kind}, not a regular file")), "{said}");
        }
    }
    let devices = Workspace::open("/dev").unwrap();
    assert!(devices.open_read("null").unwrap_err().to_string().contains("device"));
    assert!(matches!(read(root.join("pipe")), Err(WorkspaceError::NotAFile { .. })));
    assert!(workspace.write_atomic(".", b"x").is_err());
    assert!(workspace.metadata("sub").unwrap().is_dir());
}

#[test]
fn ten_gigabytes_are_read_in_bounded_memory() {
    let (_top, root, workspace) = playground();
    let mut file = File::create(root.join("big")).unwrap();
    file.write_all(b"start").unwrap();
    file.set_len(10 << 30).unwrap();
    let read = workspace.read_bounded("big", 8).unwrap();
    assert_eq!((read.bytes.as_slice(), read.cut, read.len), (&b"start\0\0\0"[..], true, 10 << 30));
    let read = workspace.read_bounded("a.txt", 1).unwrap();
    assert_eq!((read.bytes.as_slice(), read.cut), (&b"a"[..], false));
    // A file of the kernel that says it is empty, and is not.
    let proc = Workspace::open("/proc/self").unwrap();
    assert!(!proc.read_bounded("status", 1_000_000).unwrap().bytes.is_empty());
}

#[test]
fn a_write_keeps_the_bytes_the_mode_and_the_links() {
    let (_top, root, workspace) = playground();
    let bytes = b"\xef\xbb\xbfa\r\nb\n\xff\0";
    fs::set_permissions(root.join("a.txt"), fs::Permissions::from_mode(0o4751)).unwrap();
    symlink("a.txt", root.join("link")).unwrap();
    assert_eq!(workspace.write_atomic("link", bytes).unwrap(), Path::new("a.txt"));
    assert_eq!(workspace.read_bounded("a.txt", 100).unwrap().bytes, bytes);
    assert!(fs::symlink_metadata(root.join("link")).unwrap().is_symlink());
    assert_eq!(fs::metadata(root.join("a.txt")).unwrap().permissions().mode() & 0o7777, 0o4751);

    workspace.write_atomic("new/folders/file", b"x").unwrap();
    let mode = fs::metadata(root.join("new/folders/file")).unwrap().permissions().mode();
    assert_eq!(mode & 0o133, 0);
    assert_eq!(names(&root.join("new/folders")), ["file"]);
    symlink("sub/later", root.join("dangling")).unwrap();
    workspace.write_atomic("dangling", b"y").unwrap();
    assert_eq!(fs::read(root.join("sub/later")).unwrap(), b"y");
}

#[test]
fn a_write_that_fails_leaves_the_old_content_and_nothing_else() {
    let (_top, root, workspace) = playground();
    // Tests run as root, whom no mode stops; a file in the way of a folder does.
    let said = workspace.write_atomic("a.txt/x", b"x").unwrap_err().to_string();
    assert!(said.contains("a.txt/x"), "{said}");
    let long = "n".repeat(300);
    let said = workspace.write_atomic(&long, b"x").unwrap_err().to_string();
    assert!(said.contains("too long"), "{said}");
    assert_eq!(names(&root), ["a.txt", "sub"]);
    assert!(Workspace::open("/proc/self").unwrap().write_atomic("status", b"x").is_err());
    assert!(Workspace::open("/proc/self").unwrap().state_dir().is_err());
    assert!(replace(root.join("gone/x"), b"x").is_err());
}

#[test]
fn a_full_disk_leaves_the_old_content() {
    // Four pages.
    let (_top, root, _) = playground();
    let Some(disk) = SmallDisk::mount(root.join("disk"), 16) else { return };
    let mounted = Workspace::open(disk.path()).unwrap();
    mounted.write_atomic("f", b"old").unwrap();
    let said = mounted.write_atomic("f", &vec![b'x'; 1 << 20]).unwrap_err().to_string();
    let (content, left) = (fs::read(disk.path().join("f")).unwrap(), names(disk.path()));
    drop(mounted);
    assert!(said.starts_with("cannot write \"f\": "), "{said}");
    assert_eq!((content.as_slice(), left), (&b"old"[..], vec!["f".to_owned()]));
}

#[test]
fn the_state_folder_ignores_itself_and_is_no_link() {
    let (top, root, workspace) = playground();
    let state = workspace.state_dir().unwrap();
    assert_eq!(state, workspace.state_dir().unwrap());
    assert_eq!(state, workspace.root().join(".harness"));
    assert_eq!(fs::read(state.join(".gitignore")).unwrap(), b"*\n");
    // What the user made of it is kept; the empty file that a power cut may leave is no such thing.
    for (there, kept) in [("!sessions\n", "!sessions\n"), ("", "*\n")] {
        fs::write(state.join(".gitignore"), there).unwrap();
        workspace.state_dir().unwrap();
        assert_eq!(fs::read_to_string(state.join(".gitignore")).unwrap(), kept);
    }
    fs::remove_dir_all(&state).unwrap();
    symlink(top.path(), root.join(".harness")).unwrap();
    assert!(workspace.state_dir().is_err());
    assert!(!top.path().join(".gitignore").exists());
}

#[test]
fn eight_threads_update_one_file_and_lose_nothing() {
    let (_top, root, _) = playground();
    let path = root.join("counter");
    let count = |old: Option<Vec<u8>>| {
        let old: u32 = old.map_or(0, |old| String::from_utf8(old).unwrap().parse().unwrap());
        Ok::<_, WorkspaceError>((old + 1).to_string().into_bytes())
    };
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..25).for_each(|_| update(&path, count).unwrap()));
        }
    });
    assert_eq!(fs::read(&path).unwrap(), b"200");
    assert_eq!(names(&root), ["a.txt", "counter", "counter.lock", "sub"]);
}

#[test]
fn a_text_is_stored_once_under_the_name_of_its_content() {
    let (_keep, root, workspace) = playground();
    let path = workspace.store_text("compacted", "a long story").unwrap();
    assert_eq!(workspace.store_text("compacted", "a long story").unwrap(), path);
    assert_ne!(workspace.store_text("compacted", "another one").unwrap(), path);
    assert_eq!(fs::read_to_string(root.join(&path)).unwrap(), "a long story");
    assert_eq!(names(&root.join(".harness/compacted")).len(), 2);
    assert!(root.join(".harness/.gitignore").exists());
}

#[test]
fn a_state_file_of_a_workspace_is_no_way_out_of_it() {
    let (_keep, root, workspace) = playground();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("profile"), "mine").unwrap();
    std::os::unix::fs::symlink(outside.path().join("profile"), root.join("memory.md")).unwrap();
    let refused = workspace.update("memory.md", |_| Ok::<_, WorkspaceError>(b"yours".to_vec()));
    assert!(matches!(refused, Err(WorkspaceError::Outside { .. })));
    assert!(matches!(workspace.read("memory.md"), Err(WorkspaceError::Outside { .. })));
    assert_eq!(fs::read_to_string(outside.path().join("profile")).unwrap(), "mine");
    workspace
        .update("own.md", |old| Ok::<_, WorkspaceError>(old.unwrap_or(b"new".to_vec())))
        .unwrap();
    assert_eq!(workspace.read("own.md").unwrap().unwrap(), b"new");
}

#[test]
fn an_update_that_fails_changes_nothing_and_a_link_stays_a_link() {
    let (_top, root, _) = playground();
    symlink("a.txt", root.join("link")).unwrap();
    let failed = update(root.join("link"), |old| {
        assert_eq!(old.as_deref(), Some(&b"a"[..]));
        Err(WorkspaceError::NotFound { path: "x".into() })
    });
    assert!(failed.is_err());
    assert_eq!(read(root.join("a.txt")).unwrap().unwrap(), b"a");
    update(root.join("link"), |_| Ok::<_, WorkspaceError>(b"new".to_vec())).unwrap();
    assert!(fs::symlink_metadata(root.join("link")).unwrap().is_symlink());
    assert_eq!(read(root.join("a.txt")).unwrap().unwrap(), b"new");
    assert_eq!(read(root.join("none")).unwrap(), None);
    let big = File::create(root.join("big")).unwrap();
    big.set_len(65 << 20).unwrap();
    assert!(matches!(read(root.join("big")), Err(WorkspaceError::TooLarge { .. })));
}

#[test]
fn a_folder_lists_its_regular_files_and_nothing_else() {
    let folder = TempDir::new().unwrap();
    let state = folder.path().join("state");
    assert_eq!(files(&state, ".x").unwrap(), [], "there is no folder");
    fs::create_dir_all(state.join("sub.x")).unwrap();
    let day = |n: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(n * 86_400);
    for (name, text, n) in [("old.x", "1", 1), ("new.x", "22", 2), ("other", "333", 3)] {
        fs::write(state.join(name), text).unwrap();
        File::options().write(true).open(state.join(name)).unwrap().set_modified(day(n)).unwrap();
    }
    symlink(state.join("other"), state.join("link.x")).unwrap();
    let found = |name: &str, n: u64, bytes| Entry { name: name.to_owned(), changed: day(n), bytes };
    assert_eq!(files(&state, ".x").unwrap(), [found("new", 2, 2), found("old", 1, 1)]);
    symlink(&state, folder.path().join("link")).unwrap();
    assert!(files(folder.path().join("link"), ".x").is_err(), "a link is no folder");
}

#[test]
fn where_the_harness_cannot_keep_its_own_files_it_says_what_to_do() {
    let refused = |action, kind: io::ErrorKind| WorkspaceError::Io {
        action,
        path: ".harness".into(),
        source: kind.into(),
    };
    let advice = "; make it writable, or work in another folder";
    for kind in [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem] {
        assert!(refused("use", kind).to_string().ends_with(advice));
        assert!(!refused("write", kind).to_string().contains("writable"), "a tool's own failure");
    }
    assert!(!refused("use", io::ErrorKind::StorageFull).to_string().contains("writable"));
}

#[test]
fn what_the_harness_keeps_is_the_users_alone_unless_the_user_has_said_otherwise() {
    let (_top, root, workspace) = playground();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let state = root.join("state.json");
    let set = |text: &str| update(&state, |_| Ok::<_, WorkspaceError>(text.into())).unwrap();
    set("one");
    let _held = RunLock::acquire(root.join("held.lock")).unwrap();
    let kept = root.join(workspace.store_text("output", "what a command said").unwrap());
    for file in [&state, &root.join("state.json.lock"), &root.join("held.lock"), &kept] {
        assert_eq!(mode(file), 0o600, "{}", file.display());
    }
    fs::set_permissions(&state, fs::Permissions::from_mode(0o664)).unwrap();
    set("two");
    assert_eq!(mode(&state), 0o664);
}

/// An empty workspace.
struct Empty {
    top: TempDir,
    root: PathBuf,
    workspace: Workspace,
}

impl Empty {
    fn new() -> Self {
        let top = TempDir::new().unwrap();
        let root = top.path().join("ws");
        fs::create_dir(&root).unwrap();
        let workspace = Workspace::open(&root).unwrap();
        Self { top, root, workspace }
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

#[test]
fn looking_follows_no_link_at_the_end_and_none_on_the_way() {
    let place = Empty::new();
    place.write("sub/a.txt", "a");
    symlink("sub", place.root.join("link")).unwrap();
    symlink(place.top.path(), place.root.join("out")).unwrap();
    symlink("loop", place.root.join("loop")).unwrap();
    let look = |path: &str| place.workspace.look(path).unwrap();
    assert!(matches!(look("sub/a.txt"), Found::File { len: 1, .. }));
    assert!(matches!(look("sub"), Found::Folder { .. }));
    assert!(matches!(look("."), Found::Folder { .. }));
    assert_eq!(look("link"), Found::Link { target: "sub".into() });
    for nothing in
        ["link/a.txt", "out/ws", "loop/a", "none", "none/deeper", "sub/a.txt/x", "sub/a.txt/x/y"]
    {
        assert_eq!(look(nothing), Found::Nothing, "{nothing}");
    }
}

#[test]
fn a_name_is_where_the_link_stands_not_where_it_leads() {
    let place = Empty::new();
    place.write("sub/a.txt", "a");
    symlink("a.txt", place.root.join("sub/link")).unwrap();
    symlink("sub", place.root.join("folder")).unwrap();
    let name = |path: &str| place.workspace.resolve_name(path);
    for path in ["sub/link", "./sub//link", "folder/link", "sub/../folder/link"] {
        assert_eq!(name(path).unwrap(), Path::new("sub/link"), "{path}");
    }
    assert_eq!(name("./a").unwrap(), Path::new("a"));
    assert_eq!(name("sub/..").unwrap(), Path::new("."));
    assert!(matches!(name("../a"), Err(WorkspaceError::Outside { .. })));
    assert!(matches!(name(".."), Err(WorkspaceError::Outside { .. })));
}

#[test]
fn a_list_has_hidden_files_and_names_what_it_leaves_out() {
    let place = Empty::new();
    for path in [
        ".env.example",
        ".git/config",
        ".harness/state.json",
        ".sessions/1.jsonl",
        ".agent_todo.json",
        ".worktrees/task-1/a.rs",
        "target/x",
        "src/a.rs",
        "src/.git",
    ] {
        place.write(path, "");
    }
    place.write(".gitignore", "target\n");
    let listing = place.workspace.list(".", 1000).unwrap();
    let found: Vec<&str> = listing.found.keys().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(found, [".env.example", ".gitignore", "src", "src/a.rs"]);
    let left_out: Vec<&str> = listing.left_out.iter().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(
        left_out,
        [".agent_todo.json", ".git", ".harness", ".sessions", ".worktrees", "src/.git", "target"]
    );
    assert!(!listing.cut);
    let cut = place.workspace.list(".", 2).unwrap();
    assert!(cut.cut && cut.found.len() == 2 && cut.left_out.contains(Path::new("src")));
}

#[test]
fn nothing_is_put_behind_a_link() {
    let place = Empty::new();
    fs::write(place.top.path().join("secret"), "secret").unwrap();
    symlink(place.top.path(), place.root.join("out")).unwrap();
    symlink("../secret", place.root.join("link")).unwrap();
    let file = Wanted::File { bytes: b"mine", mode: 0o644 };
    assert!(place.workspace.put("out/secret", file).is_err());
    assert!(place.workspace.put("../secret", file).is_err());
    assert!(place.workspace.put("out/secret", Wanted::Nothing).is_err());
    place.workspace.put("link", file).unwrap(); // the link itself is replaced
    assert_eq!(fs::read_to_string(place.root.join("link")).unwrap(), "mine");
    assert_eq!(fs::read_to_string(place.top.path().join("secret")).unwrap(), "secret");
}
