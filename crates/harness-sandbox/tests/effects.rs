//! Lines that attack, run for real at `ReadOnly` and judged by their effects.

#![allow(clippy::unwrap_used, reason = "a helper of a test may end it")]

mod support;

use support::{Person, Place, World, persons};

/// kind, line
fn lines(table: &'static str) -> Vec<(&'static str, &'static str)> {
    let lines = table.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| line.split_once('\t').unwrap()).collect()
}

fn lines_for_readers() -> Vec<(&'static str, &'static str)> {
    lines(include_str!("shell-effects.tsv"))
}

fn lines_for_the_kernel() -> Vec<(&'static str, &'static str)> {
    lines(include_str!("kernel-effects.tsv"))
}

fn attack_from(
    person: Person,
    place: Place,
    shell: &str,
    options: &[&str],
    lines: &[(&str, &str)],
) {
    let world = World::new(person, place);
    let mut faults = Vec::new();
    let first = world.look();
    for (kind, line) in lines {
        for fault in world.attack(shell, options, line) {
            faults.push(format!("{kind}: {line}\n    {fault}"));
        }
    }
    // What a line left running has had its time since.
    faults.extend(first.differences(&world.look()));
    assert!(faults.is_empty(), "{person:?}, {place:?}, {shell}:\n{}", faults.join("\n"));
}

fn attack_as_everybody(place: Place, shell: &str) {
    let lines = [lines_for_readers(), lines_for_the_kernel()].concat();
    for person in persons() {
        attack_from(person, place, shell, &[], &lines);
    }
}

#[test]
fn no_line_has_an_effect_with_the_workspace_in_the_home_under_bash() {
    attack_as_everybody(Place::InHome, "/bin/bash");
}

#[test]
fn no_line_has_an_effect_with_the_workspace_in_the_home_under_dash() {
    attack_as_everybody(Place::InHome, "/bin/dash");
}

#[test]
fn no_line_has_an_effect_with_the_workspace_outside_the_home_under_bash() {
    attack_as_everybody(Place::OutsideHome, "/bin/bash");
}

#[test]
fn no_line_has_an_effect_with_the_workspace_outside_the_home_under_dash() {
    attack_as_everybody(Place::OutsideHome, "/bin/dash");
}

#[test]
fn no_line_has_an_effect_with_the_workspace_behind_a_link_under_bash() {
    attack_as_everybody(Place::BehindLink, "/bin/bash");
}

#[test]
fn no_line_has_an_effect_with_the_workspace_behind_a_link_under_dash() {
    attack_as_everybody(Place::BehindLink, "/bin/dash");
}

#[test]
fn no_line_has_an_effect_on_kernels_with_an_older_landlock() {
    for version in ["1", "2", "3", "5"] {
        for person in persons() {
            let options = ["--landlock", version];
            attack_from(person, Place::InHome, "/bin/bash", &options, &lines_for_the_kernel());
        }
    }
}

#[test]
fn the_witness_sees_what_a_free_line_does() {
    let world = World::new(Person::Myself, Place::InHome);
    let effects = [
        ("touch PWN", "was made"),
        ("chmod 700 README.md", "changed"),
        ("rm a", "is gone"),
        ("renice 5 $VICTIM", "victim changed"),
        ("prlimit --nofile=99 --pid $VICTIM", "limits changed"),
    ];
    for (line, fault) in effects {
        let before = world.look();
        world.run("/bin/bash", "free", line);
        let faults = before.differences(&world.look());
        assert!(faults.iter().any(|found| found.contains(fault)), "{line}: {faults:?}");
    }
    world.run("/bin/bash", "free", ": < /dev/tcp/127.0.0.1/$PORT");
    assert!(world.was_called());
    let done = world.run("/bin/bash", "free", "cat ~/.ssh/id_rsa; echo $GITHUB_TOKEN");
    assert!(done.output.contains("CANARY-.ssh-id_rsa"));
    assert!(done.output.contains("CANARY-github"));
}

#[test]
fn what_a_line_may_do_still_works() {
    for person in persons() {
        for place in [Place::InHome, Place::OutsideHome, Place::BehindLink] {
            let world = World::new(person, place);
            let works = [
                ("cat README.md", "hello\n"),
                ("cat ~/hello.txt ~/other/README.md", "hello from home\nthe other project\n"),
                ("echo one > $TMPDIR/x && cat $TMPDIR/x", "one\n"),
                ("cat <(sort a) | tail -1; awk '{s+=$1} END {print s}' a", "2\n3\n"),
                ("mine", "mine\n"),
                ("git config user.name", "Me\n"),
                ("cat <<'EOF'\nhere\nEOF", "here\n"),
                ("sleep 60 & kill $!; wait $! 2>/dev/null; echo ended", "ended\n"),
                ("timeout 10 echo in time", "in time\n"),
                ("ls ~ | grep -c hello", "1\n"),
            ];
            for (line, expected) in works {
                let line = format!("PATH=~/.local/bin:$PATH; {line}");
                let done = world.run("/bin/bash", "read-only", &line);
                assert_eq!(done.output, expected, "{person:?}, {place:?}: {line}\n{}", done.said);
                assert_eq!(done.code, Some(0), "{line}");
            }
        }
    }
}

#[test]
fn what_lies_in_the_workspace_is_not_executed() {
    for person in persons() {
        let world = World::new(person, Place::InHome);
        for line in ["./evil.sh", "./program", "tc/bin/cargo", "cargo --version"] {
            let done = world.run("/bin/bash", "read-only", line);
            assert_eq!(done.code, Some(126), "{line}: {}", done.output);
            assert!(!done.output.contains("RAN-FROM-WORKSPACE"), "{line}");
        }
    }
}
