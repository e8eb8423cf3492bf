//! A child has no terminal of ours, at no level.
#![allow(clippy::unwrap_used, reason = "a helper of a test may end it")]

mod support;

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
};

use rustix::{
    fs::{Mode, OFlags, open},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};
use support::{Person, Place, World, as_person, persons};

#[test]
fn no_level_leaves_a_child_the_terminal() {
    for person in persons() {
        for level in ["read-only", "workspace", "free"] {
            let world = World::new(person, Place::InHome);
            let line = "exec 5<>/dev/tty && echo has-terminal; \
                        read -t 0.1 x < /dev/tty && echo has-read; \
                        perl -e 'ioctl(STDOUT, 0x5412, \"x\") and print \"has-typed\\n\"'; \
                        ps -o tty= -p $$; echo end";
            let output = on_a_terminal(&world, level, line);
            assert!(output.contains("end"), "{level}: {output}");
            for sign in ["has-terminal", "has-read", "has-typed"] {
                assert!(!output.contains(sign), "{person:?}, {level}: {output}");
            }
            assert!(output.lines().any(|line| line.trim() == "?"), "{level}: {output}");
        }
    }
}

#[test]
fn a_child_leads_a_session_and_a_group_of_its_number() {
    for person in persons() {
        let world = World::new(person, Place::InHome);
        for level in ["read-only", "free"] {
            let line = "test \"$(ps -o sid= -o pgid= -p $$ | xargs)\" = \"$$ $$\" && echo leads";
            assert_eq!(world.run("/bin/bash", level, line).output, "leads\n", "{level}");
        }
    }
}

#[test]
fn a_file_that_the_harness_was_started_with_is_not_passed_on() {
    for person in persons() {
        let world = World::new(person, Place::InHome);
        for level in ["read-only", "workspace", "free"] {
            // A careless parent leaves two files open, one of them under a number that is used inside.
            let leak =
                format!("exec 3< {0} 21< {0}; exec \"$@\"", world.home.join(".netrc").display());
            let sandbox = world.sandbox("/bin/bash", level);
            let mut command = as_person(person, "/bin/bash");
            command.args(["-c", &leak, "bash"]).arg(sandbox.get_program()).args(sandbox.get_args());
            let set = sandbox.get_envs().filter_map(|(name, value)| Some((name, value?)));
            command.env_clear().envs(set).arg("--stdin");
            let line = "cat /dev/fd/3 /proc/self/fd/21; cat <&3; cat <&21; \
                        for file in /proc/self/fd/*; do readlink $file; done";
            let done = support::finish(command, line);
            assert!(!done.output.contains("netrc"), "{person:?}, {level}: {done:?}");
            assert!(!done.output.contains(support::CANARY), "{person:?}, {level}: {done:?}");
            let others = done.output.lines().filter(|name| {
                !(name.starts_with("pipe:") || name.starts_with("/proc/") || *name == "/dev/null")
            });
            assert_eq!(others.collect::<Vec<_>>(), Vec::<&str>::new(), "{level}: {done:?}");
        }
    }
}

/// Runs the sandbox with a controlling terminal, and gives what appears on it.
fn on_a_terminal(world: &World, level: &str, line: &str) -> String {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let inner = open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    let sandbox = world.sandbox("/bin/bash", level);
    let mut command = as_person(Person::Myself, "/usr/bin/setsid");
    command.args(["--ctty", "--wait"]);
    if world.person == Person::Ordinary {
        let owner = std::fs::metadata(world.workspace.join("a")).unwrap();
        let owner = std::os::unix::fs::MetadataExt::uid(&owner).to_string();
        command.args(["/usr/bin/setpriv", "--clear-groups", "--reuid", &owner, "--regid", &owner]);
    }
    command.arg(sandbox.get_program()).args(sandbox.get_args()).args(["--", line]);
    let set = sandbox.get_envs().filter_map(|(name, value)| Some((name, value?)));
    command.env_clear().envs(set);
    let duplicate = |file: &OwnedFd| file.try_clone().unwrap();
    command.stdin(duplicate(&inner)).stdout(duplicate(&inner)).stderr(inner);
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut terminal = File::from(terminal);
    terminal.write_all(b"typed ahead\n").unwrap();
    let mut output = Vec::new();
    // The end of a terminal is an error, since nobody holds its other side any more.
    let _ = terminal.read_to_end(&mut output);
    child.wait().unwrap();
    String::from_utf8_lossy(&output).replace('\r', "")
}
