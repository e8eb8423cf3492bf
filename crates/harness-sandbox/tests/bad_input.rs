//! Odd places and odd lines: the next tighter level, or a refusal in one line. Never silently free.
#![allow(clippy::unwrap_used, reason = "a helper of a test may end it")]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
    },
    path::Path,
    process::Command,
};

use harness_sandbox::{Launch, Level, Machine, Policy, Sandbox, SandboxError};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use support::{CANARY, Done, Person, Place, World, as_person, binary, finish, persons, write};

/// A home and a workspace in it, and a sandbox that is kept from line to line.
struct Kept {
    folder: tempfile::TempDir,
    sandbox: Sandbox,
}

impl Kept {
    fn new(prepare: impl FnOnce(&Path, &Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        let workspace = home.join("project");
        fs::create_dir_all(&workspace).unwrap();
        prepare(&home, &workspace);
        let policy = Policy::new(Some(&home), &workspace).unwrap();
        let sandbox = Sandbox::new(Machine::find(), policy).unwrap();
        Self { folder, sandbox }
    }

    fn path(&self, relative: &str) -> std::path::PathBuf {
        self.folder.path().join("home").join(relative)
    }

    fn start(
        &self,
        level: Level,
        line: &str,
    ) -> (harness_sandbox::Running<std::process::Child>, io::PipeReader) {
        let (reader, writer) = io::pipe().unwrap();
        let launch = Launch::new("/bin/bash", self.path("project"))
            .args(["-c", line])
            .env("HOME", self.path(""))
            .stdout(writer.try_clone().unwrap())
            .stderr(writer);
        (self.sandbox.start(launch, level).unwrap(), reader)
    }

    fn output(&self, level: Level, line: &str) -> String {
        let (mut running, mut reader) = self.start(level, line);
        let mut output = String::new();
        reader.read_to_string(&mut output).unwrap();
        running.child.wait().unwrap();
        running.finish();
        output
    }
}

use std::io;

#[test]
fn a_secret_that_was_replaced_by_rename_stays_closed() {
    let kept = Kept::new(|_, workspace| {
        write(&workspace.join(".env"), &format!("{CANARY}-1\n"));
        write(&workspace.join("notes.txt"), "first\n");
    });
    assert_eq!(kept.output(Level::ReadOnly, "cat notes.txt"), "first\n");
    for round in 0..20 {
        // What was an ordinary file a moment ago, and was granted as one, is the secret now.
        let new = kept.path("project/new");
        write(&new, &format!("{CANARY}-2-{round}\n"));
        kept.output(Level::ReadOnly, "cat new");
        fs::rename(&new, kept.path("project/.env")).unwrap();
        let output = kept.output(Level::ReadOnly, "cat .env");
        assert!(output.contains("Permission denied"), "round {round}: {output}");
        // And an ordinary file that was replaced can be read.
        let new = kept.path("project/new");
        write(&new, &format!("round {round}\n"));
        fs::rename(&new, kept.path("project/notes.txt")).unwrap();
        let output = kept.output(Level::ReadOnly, "cat notes.txt");
        assert_eq!(output, format!("round {round}\n"));
    }
}

#[test]
fn a_secret_that_comes_later_is_closed_wherever_it_lies() {
    let kept = Kept::new(|home, workspace| {
        write(&workspace.join("a/b/c/file"), "open\n");
        write(&home.join("other/x/file"), "open\n");
    });
    let all = "cat a/b/c/file ~/other/x/file";
    assert_eq!(kept.output(Level::ReadOnly, all), "open\nopen\n");
    for (secret, line) in [
        ("project/a/b/c/.env", "cat a/b/c/.env"),
        ("project/a/b/server.pem", "cat a/b/server.pem"),
        ("project/new/deep/.env.local", "cat new/deep/.env.local"),
        ("other/x/.env", "cat ~/other/x/.env"),
        (".new-tool/token", "cat ~/.new-tool/token"),
        (".cargo/credentials.toml", "cat ~/.cargo/credentials.toml"),
        (".ssh/id_rsa", "cat ~/.ssh/id_rsa"),
    ] {
        write(&kept.path(secret), CANARY);
        let output = kept.output(Level::ReadOnly, line);
        assert!(output.contains("Permission denied"), "{secret}: {output}");
    }
    fs::rename(kept.path("project/a/b/c/file"), kept.path("project/a/b/c/.netrc")).unwrap();
    let output = kept.output(Level::ReadOnly, "cat a/b/c/.netrc");
    assert!(output.contains("Permission denied"), "{output}");
}

#[test]
fn the_rules_are_kept_until_a_folder_with_a_hole_changes() {
    let kept = Kept::new(|home, workspace| {
        for number in 0..300 {
            write(&home.join(format!("entry-{number}")), "x");
            write(&workspace.join(format!("entry-{number}")), "x");
        }
        write(&workspace.join(".env"), CANARY);
        write(&workspace.join("sub/file"), "x");
    });
    // What was written a moment ago counts as changed until the clock has ticked.
    let settled = || {
        let before = kept.sandbox.figures().made;
        kept.output(Level::ReadOnly, "true");
        kept.sandbox.figures().made == before
    };
    while !settled() {}
    let figures = kept.sandbox.figures();
    assert!(figures.rules > 600, "{figures:?}");
    kept.output(Level::ReadOnly, "cat entry-1 ~/entry-1; echo x > $TMPDIR/x");
    assert_eq!(kept.sandbox.figures().made, figures.made);
    // A folder that is granted as a whole needs no new rules.
    write(&kept.path("project/sub/other"), "x\n");
    assert_eq!(kept.output(Level::ReadOnly, "cat sub/other"), "x\n");
    assert_eq!(kept.sandbox.figures().made, figures.made);
    write(&kept.path("project/entry-new"), "new\n");
    assert_eq!(kept.output(Level::ReadOnly, "cat entry-new"), "new\n");
    assert!(kept.sandbox.figures().made > figures.made);
}

#[test]
fn a_child_that_outlives_its_line_stays_confined_and_loses_its_scratch_folder() {
    let kept = Kept::new(|_, workspace| write(&workspace.join(".env"), CANARY));
    let line = "(echo $TMPDIR; while [ -d $TMPDIR ]; do :; done; touch PWN; cat .env; \
                : < /dev/tcp/127.0.0.1/1; echo over) & disown";
    let (mut running, reader) = kept.start(Level::ReadOnly, line);
    running.child.wait().unwrap();
    let mut lines = BufReader::new(reader).lines().map(Result::unwrap);
    let scratch = lines.next().unwrap();
    assert!(Path::new(&scratch).is_dir());
    running.finish();
    assert!(!Path::new(&scratch).exists());
    let rest: Vec<String> = lines.collect();
    assert_eq!(rest.last().unwrap(), "over");
    assert!(!rest.iter().any(|line| line.contains(CANARY)), "{rest:?}");
    assert!(rest.iter().any(|line| line.contains("Operation not permitted")), "{rest:?}");
    assert!(!kept.path("project/PWN").exists());
}

#[test]
fn a_line_of_a_megabyte_is_refused_and_one_of_100_kb_runs() {
    let world = World::new(Person::Myself, Place::InHome);
    let long = format!("echo {} | wc -c", "x".repeat(100_000));
    assert_eq!(world.run("/bin/bash", "read-only", &long).output, "100001\n");
    let longer = format!("echo {} | wc -c", "x".repeat(1_000_000));
    let done = world.run("/bin/bash", "read-only", &longer);
    assert_refused(&done, "put the long text into a file");
}

#[test]
fn a_level_that_does_not_exist_is_refused_and_never_free() {
    let world = World::new(Person::Myself, Place::InHome);
    let none = ["--landlock", "0"];
    let done = world.run_with("/bin/bash", "read-only", &none, "touch PWN; echo ran");
    assert_refused(&done, "the kernel has no Landlock");
    assert!(!world.workspace.join("PWN").exists());

    let machine = Machine::find().without_bwrap();
    let policy = Policy::new(Some(&world.home), &world.workspace).unwrap();
    let sandbox = Sandbox::new(machine.clone(), policy.clone()).unwrap();
    assert_eq!(sandbox.at_most(Level::Workspace), Some(Level::ReadOnly));
    let launch = Launch::new("/bin/true", &world.workspace);
    let error = sandbox.start(launch, Level::Workspace).unwrap_err().to_string();
    assert!(error.contains("install the package bubblewrap"), "{error}");
    assert_eq!(error.lines().count(), 1);

    let sandbox = Sandbox::new(machine.with_landlock(0), policy).unwrap();
    assert_eq!(sandbox.at_most(Level::Workspace), None);
    for level in [Level::ReadOnly, Level::Workspace] {
        let launch = Launch::new("/bin/true", &world.workspace);
        let error = sandbox.start(launch, level).unwrap_err();
        assert!(matches!(error, SandboxError::NoLevel { .. }), "{error}");
    }
}

#[test]
fn a_kernel_that_forbids_landlock_is_refused_and_never_free() {
    let world = World::new(Person::Myself, Place::InHome);
    let command = world.sandbox("/bin/bash", "read-only");
    // As in a container whose seccomp profile does not know these calls.
    let done = without_calls(&[444, 445, 446], command, "touch PWN; echo ran");
    assert_refused(&done, "Landlock");
    assert!(!world.workspace.join("PWN").exists());
}

/// Runs the sandbox where these calls are answered with "no such call".
fn without_calls(calls: &[i64], mut command: Command, line: &str) -> Done {
    let rules: BTreeMap<i64, _> = calls.iter().map(|call| (*call, vec![])).collect();
    let refuse = SeccompAction::Errno(38);
    let architecture = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, architecture).unwrap();
    let program = BpfProgram::try_from(filter).unwrap();
    command.arg("--stdin");
    let line = line.to_owned();
    std::thread::spawn(move || {
        seccompiler::apply_filter(&program).unwrap();
        finish(command, &line)
    })
    .join()
    .unwrap()
}

#[test]
fn without_user_namespaces_there_is_no_workspace_level_and_read_only_works() {
    for person in persons() {
        let world = World::new(person, Place::InHome);
        // Inside a namespace of our own, so that the machine's setting stays.
        let forbid = "echo 0 > /proc/sys/user/max_user_namespaces; exec \"$@\"";
        let inside = |sandbox: Command| {
            let mut command = as_person(person, "/usr/bin/unshare");
            command.args(["-Ur", "/bin/sh", "-c", forbid, "sh"]);
            command.arg(sandbox.get_program()).args(sandbox.get_args()).arg("--stdin");
            let set = sandbox.get_envs().filter_map(|(name, value)| Some((name, value?)));
            command.env_clear().envs(set);
            command
        };
        let done = finish(inside(world.sandbox("/bin/bash", "workspace")), "touch PWN; echo ran");
        assert_refused(&done, "allow user namespaces");
        let done = finish(inside(world.sandbox("/bin/bash", "read-only")), "touch PWN; cat a");
        assert!(done.output.contains("touch: cannot touch 'PWN'"), "{}", done.output);
        assert!(done.output.ends_with("1\n2\n"), "{}", done.output);
        assert!(!world.workspace.join("PWN").exists());
    }
}

#[test]
fn a_home_behind_a_link_has_its_secrets_closed() {
    for person in persons() {
        let world = World::new(person, Place::InHome);
        let link = world.base().join("linked-home");
        symlink(&world.home, &link).unwrap();
        for (level, shown) in
            [("read-only", "hello from home\n"), ("workspace", "hello from home\n")]
        {
            let mut command = as_person(person, binary());
            command.args(["run", "--level", level, "--stdin", "--home"]).arg(&link);
            command.arg("--workspace").arg(link.join("src/project"));
            command.env("TMPDIR", &world.temporary);
            let line = "cat ~/hello.txt; cat ~/.ssh/id_rsa ~/.netrc .env 2>/dev/null";
            let done = finish(command, line);
            assert_eq!(done.output, shown, "{level}: {}", done.said);
        }
    }
}

#[test]
fn a_workspace_on_another_file_system_is_confined_alike() {
    for person in persons() {
        for level in ["read-only", "workspace"] {
            let world = World::new(person, Place::InHome);
            let inside = format!(
                "mount -t tmpfs none {0} && mkdir -p {0}/sub && echo hello > {0}/README.md && \
                 echo {CANARY} > {0}/sub/.env && exec \"$@\"",
                world.workspace.display(),
            );
            let sandbox = world.sandbox("/bin/bash", level);
            let mut command = as_person(person, "/usr/bin/unshare");
            command.args(["-Urm", "/bin/sh", "-c", &inside, "sh"]);
            command.arg(sandbox.get_program()).args(sandbox.get_args()).arg("--stdin");
            let set = sandbox.get_envs().filter_map(|(name, value)| Some((name, value?)));
            command.env_clear().envs(set);
            let line = "cat README.md; cat sub/.env ~/.netrc 2>/dev/null; touch PWN && echo made";
            let done = finish(command, line);
            let made = if level == "workspace" { "made\n" } else { "" };
            let output: String = done
                .output
                .lines()
                .filter(|line| !line.contains("touch:"))
                .map(|line| format!("{line}\n"))
                .collect();
            assert_eq!(output, format!("hello\n{made}"), "{person:?}, {level}: {}", done.said);
        }
    }
}

#[test]
fn a_full_place_for_temporary_files_is_told_of() {
    let world = World::new(Person::Myself, Place::InHome);
    let full = |options: &str, line: &str| {
        let mount =
            format!("mount -t tmpfs -o {options} none {}; exec \"$@\"", world.temporary.display());
        let sandbox = world.sandbox("/bin/bash", "read-only");
        let mut command = as_person(Person::Myself, "/usr/bin/unshare");
        command.args(["-Urm", "/bin/sh", "-c", &mount, "sh"]);
        command.arg(sandbox.get_program()).args(sandbox.get_args()).arg("--stdin");
        command.env("TMPDIR", &world.temporary);
        finish(command, line)
    };
    // No room for a single folder.
    let done = full("nr_inodes=1", "echo ran");
    assert_refused(&done, "free some space, or set TMPDIR");
    // Room for folders, none for content: the line runs, and its own program says what is wrong.
    let done = full("size=4k", "head -c 100000 /dev/zero > $TMPDIR/x; cat a");
    assert!(done.output.contains("No space left"), "{}", done.output);
    assert!(done.output.ends_with("1\n2\n"), "{}", done.output);
}

#[test]
fn places_that_hold_more_than_a_project_are_refused() {
    let world = World::new(Person::Myself, Place::InHome);
    for place in ["/", "/proc/self", "/sys"] {
        assert!(Policy::new(Some(&world.home), Path::new(place)).is_err(), "{place}");
    }
    assert!(Policy::new(Some(&world.home), &world.base().join("missing")).is_err());
    for workspace in [world.home.clone(), world.base()] {
        let policy = Policy::new(Some(&world.home), &workspace).unwrap();
        let sandbox = Sandbox::new(Machine::find(), policy).unwrap();
        let error = sandbox.check(Level::Workspace).unwrap_err();
        assert!(matches!(error, SandboxError::Unfit { .. }), "{error}");
        assert!(sandbox.check(Level::ReadOnly).is_ok());
    }
}

#[test]
fn the_home_itself_or_the_folder_of_all_homes_as_workspace_keep_secrets_closed() {
    for person in persons() {
        let mut world = World::new(person, Place::InHome);
        for workspace in [world.home.clone(), world.base()] {
            world.workspace = workspace;
            let line = "grep -rhs API_KEY . ~ $WORLD; cat ~/hello.txt";
            let done = world.run("/bin/bash", "read-only", line);
            assert_eq!(done.output, "hello from home\n", "{:?}", world.workspace);
        }
    }
}

#[test]
fn a_workspace_in_a_closed_folder_of_the_home_is_open_and_its_neighbours_are_not() {
    for person in persons() {
        for place in [".config/tool/project", ".ssh/project", ".cache/pip/project"] {
            let mut world = World::new(person, Place::InHome);
            world.workspace = world.home.join(place);
            write(&world.workspace.join("a"), "1\n");
            write(&world.workspace.join(".env"), CANARY);
            let made = world.workspace.ancestors().take_while(|folder| **folder != world.home);
            let made: Vec<_> = made.map(Path::to_owned).collect();
            made.iter().for_each(|folder| support::give_to(person, folder));
            support::give_to(person, &world.workspace.join("a"));
            for level in ["read-only", "workspace"] {
                let line = "cat a; cat .env ../* ../../gh/* ~/.config/gh/* ~/.ssh/* 2>/dev/null; \
                            touch PWN 2>/dev/null && echo made";
                let done = world.run("/bin/bash", level, line);
                let expected = if level == "workspace" { "1\nmade\n" } else { "1\n" };
                assert_eq!(done.output, expected, "{person:?}, {place}, {level}: {}", done.said);
            }
        }
    }
}

#[test]
fn strange_entries_are_passed_over() {
    for person in persons() {
        let world = World::new(person, Place::InHome);
        let workspace = &world.workspace;
        symlink(".env", workspace.join("loop")).unwrap();
        symlink("self", workspace.join("self")).unwrap();
        symlink("nowhere", workspace.join(".env.gone")).unwrap();
        symlink("/", workspace.join("root")).unwrap();
        symlink(&world.home, workspace.join("up")).unwrap();
        symlink("plain-settings", workspace.join(".env.linked")).unwrap();
        write(&workspace.join("plain-settings"), CANARY);
        fs::write(workspace.join(std::ffi::OsStr::from_bytes(b"bad\xff\nname")), "odd\n").unwrap();
        let locked = workspace.join("locked");
        fs::create_dir_all(&locked).unwrap();
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
        for file in ["plain-settings", "locked"] {
            support::give_to(person, &workspace.join(file));
        }
        let mut command = as_person(Person::Myself, "/usr/bin/mkfifo");
        assert!(command.arg(workspace.join("pipe")).status().unwrap().success());

        let faults =
            world.attack("/bin/bash", &[], "cat loop root/etc/shadow up/.netrc .env.* plain*");
        assert!(faults.is_empty(), "{faults:?}");
        let done = world.run("/bin/bash", "read-only", "cat bad*; cat a");
        assert_eq!(done.output, "odd\n1\n2\n");
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn a_directory_or_program_that_is_missing_is_told_of() {
    let world = World::new(Person::Myself, Place::InHome);
    let policy = Policy::new(Some(&world.home), &world.workspace).unwrap();
    let sandbox = Sandbox::new(Machine::find(), policy).unwrap();
    for level in [Level::ReadOnly, Level::Workspace, Level::Free] {
        let nowhere = Launch::new("/bin/true", world.workspace.join("nowhere"));
        let error = sandbox.start(nowhere, level).unwrap_err();
        assert!(matches!(error, SandboxError::Directory { .. }), "{level}: {error}");
        let missing = Launch::new("no-such-program", &world.workspace);
        let error = sandbox.start(missing, level).unwrap_err().to_string();
        assert!(error.contains("is it installed"), "{level}: {error}");
    }
}

/// The line did not run, and one line says why.
fn assert_refused(done: &Done, reason: &str) {
    assert_eq!(done.code, Some(125), "{done:?}");
    assert_eq!(done.output, "", "{done:?}");
    assert!(done.said.contains(reason), "{done:?}");
    assert_eq!(done.said.lines().count(), 1, "{done:?}");
}
