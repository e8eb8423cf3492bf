//! What programs say when they are stopped, read by the sandbox. All outputs are real.
#![allow(clippy::unwrap_used, reason = "a helper of a test may end it")]

mod support;

use harness_sandbox::{Cause, Ended, Launch, Level, Machine, Policy, Refusal, Sandbox};
use std::io::Read;
use support::{Person, Place, World, write};

fn refusal(world: &World, level: Level, line: &str) -> Option<Refusal> {
    let policy = Policy::new(Some(&world.home), &world.workspace).unwrap();
    let sandbox = Sandbox::new(Machine::find(), policy).unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let launch = Launch::new("/bin/bash", &world.workspace)
        .args(["-c", line])
        .env("HOME", &world.home)
        .stdout(writer.try_clone().unwrap())
        .stderr(writer);
    let mut running = sandbox.start(launch, level).unwrap();
    let mut output = String::new();
    reader.read_to_string(&mut output).unwrap();
    let code = running.child.wait().unwrap().code();
    running.finish();
    sandbox.refusal(Ended { code, output: &output }, level)
}

#[test]
fn a_write_at_read_only_needs_the_workspace_level() {
    let world = World::new(Person::Myself, Place::InHome);
    for line in [
        "touch new",
        "echo x > new",
        "mkdir new",
        "rm a",
        "mv a new",
        "cp a new",
        "sed -i s/1/2/ a",
        "git -c core.fsmonitor=false add a",
        "git config user.name x",
        "perl -e 'open F, \">\", \"new\" or die $!'",
        "tar -cf new.tar a",
        "./evil.sh",
        "chmod 700 a",
        "ln -s a new",
        "make -f - <<< 'all: ; touch new'",
    ] {
        let refusal =
            refusal(&world, Level::ReadOnly, line).unwrap_or_else(|| panic!("{line}: none"));
        assert_eq!(refusal.needs, Some(Level::Workspace), "{line}: {refusal:?}");
        assert_eq!(refusal.cause, Cause::Files, "{line}: {refusal:?}");
    }
}

#[test]
fn the_network_needs_free() {
    let world = World::new(Person::Myself, Place::InHome);
    for level in [Level::ReadOnly, Level::Workspace] {
        for line in [
            "curl -sS https://example.com",
            "curl -sS http://192.0.2.1/",
            ": < /dev/tcp/192.0.2.1/80",
            "git ls-remote https://example.com/x.git",
            "perl -MIO::Socket::INET -e 'IO::Socket::INET->new(\"192.0.2.1:80\") or die $@'",
            "getent hosts example.com || perl -MSocket -e 'socket(S, PF_INET, SOCK_STREAM, 0) or die \"socket: $!\"; connect(S, pack_sockaddr_in(80, inet_aton(\"192.0.2.1\"))) or die $!'",
        ] {
            let refusal =
                refusal(&world, level, line).unwrap_or_else(|| panic!("{level}: {line}: none"));
            assert_eq!(refusal.needs, Some(Level::Free), "{level}: {line}: {refusal:?}");
            assert_eq!(refusal.cause, Cause::Network, "{level}: {line}: {refusal:?}");
        }
    }
}

#[test]
fn a_write_outside_needs_free() {
    let world = World::new(Person::Myself, Place::InHome);
    for level in [Level::ReadOnly, Level::Workspace] {
        for line in ["touch ~/new", "echo x > /etc/new", "mkdir /opt/new", "cp a ~/other/new"] {
            let refusal =
                refusal(&world, level, line).unwrap_or_else(|| panic!("{level}: {line}: none"));
            assert_eq!(refusal.needs, Some(Level::Free), "{level}: {line}: {refusal:?}");
        }
    }
}

#[test]
fn a_secret_is_no_reason_to_ask_for_more() {
    let world = World::new(Person::Myself, Place::InHome);
    for level in [Level::ReadOnly, Level::Workspace] {
        for line in
            ["cat .env", "grep -rn hello .", "cat ~/.ssh/id_rsa", "head deep/a/b/.env.local"]
        {
            let refusal =
                refusal(&world, level, line).unwrap_or_else(|| panic!("{level}: {line}: none"));
            assert_eq!(refusal.cause, Cause::Secret, "{level}: {line}: {refusal:?}");
            assert_eq!(refusal.needs, None, "{level}: {line}: {refusal:?}");
        }
    }
    // Beside a secret something else was refused, and that is what is told.
    let refusal = refusal(&world, Level::ReadOnly, "cat .env; touch new").unwrap();
    assert_eq!(refusal.needs, Some(Level::Workspace), "{refusal:?}");
}

#[test]
fn what_a_build_may_not_write_needs_free() {
    let world = World::new(Person::Myself, Place::InHome);
    write(&world.workspace.join("AGENTS.md"), "mine\n");
    for line in ["echo x > AGENTS.md", "echo x > .git/hooks/pre-push", "mv .git gone"] {
        let refusal =
            refusal(&world, Level::Workspace, line).unwrap_or_else(|| panic!("{line}: none"));
        assert_eq!(refusal.needs, Some(Level::Free), "{line}: {refusal:?}");
    }
}

#[test]
fn other_failures_are_no_refusals() {
    let world = World::new(Person::Myself, Place::InHome);
    for line in [
        "false",
        "grep nothing-of-that-kind README.md",
        "ls missing",
        "diff a b",
        "no-such-program",
        "exit 3",
        "perl -e 'die \"assertion failed\"'",
        "cat a",
        "touch new || true",
    ] {
        assert_eq!(refusal(&world, Level::ReadOnly, line), None, "{line}");
    }
}
