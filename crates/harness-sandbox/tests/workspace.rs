//! The level `Workspace`, judged by effects. Needs `bwrap`: without it these tests fail.
#![allow(clippy::unwrap_used, reason = "a helper of a test may end it")]

mod support;

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
};

use harness_sandbox::{is_guarded, is_secret};
use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};
use support::{CANARY, Person, Place, World, as_person, persons, write};

const PLACES: [Place; 3] = [Place::InHome, Place::OutsideHome, Place::BehindLink];

/// Git for tests: with a name, and without the evil settings of the world's repositories.
const GIT: &str = "git -c user.name=me -c user.email=me@example.com -c core.fsmonitor=false";

fn everywhere(test: impl Fn(&World)) {
    for person in persons() {
        for place in PLACES {
            test(&World::new(person, place));
        }
    }
}

#[test]
fn a_line_writes_the_workspace_and_commits() {
    everywhere(|world| {
        let line = format!(
            "echo new > new.txt && mkdir -p sub/deep && echo x > sub/deep/y && rm a && \
             {GIT} add new.txt && {GIT} commit -qm one && {GIT} log --format=%s && \
             chmod +x new.txt && ./new.txt; ./program && echo ran",
        );
        let done = world.run("/bin/bash", "workspace", &line);
        assert!(done.output.starts_with("one\n"), "{done:?}");
        assert!(done.output.ends_with("ran\n"), "{done:?}");
        assert_eq!(fs::read_to_string(world.workspace.join("new.txt")).unwrap(), "new\n");
        assert!(world.workspace.join("sub/deep/y").exists());
        assert!(!world.workspace.join("a").exists());
        assert_eq!(done.said, "", "nothing was to be told");
    });
}

#[test]
fn a_server_on_loopback_answers_and_nobody_outside_is_reached() {
    everywhere(|world| {
        let inside = "perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(Listen => 1, LocalAddr => \"127.0.0.1\"); \
                      if (!fork) { IO::Socket::INET->new(PeerAddr => \"127.0.0.1\", PeerPort => $s->sockport)->print(\"answer\\n\"); exit } \
                      print $s->accept->getline'";
        let done = world.run("/bin/bash", "workspace", inside);
        assert_eq!(done.output, "answer\n");
        for line in [
            ": < /dev/tcp/127.0.0.1/$PORT",
            "echo x > /dev/udp/127.0.0.1/$UDP_PORT",
            ": < /dev/tcp/192.0.2.1/80",
        ] {
            world.run("/bin/bash", "workspace", line);
            assert!(!world.was_called(), "{line}");
        }
    });
}

#[test]
fn sockets_of_others_are_out_of_reach() {
    everywhere(|world| {
        let connect = |path: &str| {
            let open = "socket(S, PF_UNIX, SOCK_STREAM, 0); print connect(S, sockaddr_un";
            format!("perl -MSocket -e '{open}(\"{path}\")) ? \"yes\" : \"no\"'")
        };
        for path in [
            "$ENV{HOME}/agent.sock",
            "docker.sock",
            "$ENV{OUTSIDE}/bus.sock",
            "\\0$ENV{ABSTRACT}",
            "/run/dbus/system_bus_socket",
            "/var/run/docker.sock",
        ] {
            let done = world.run("/bin/bash", "workspace", &connect(path));
            assert_eq!(done.output, "no", "{path}");
        }
        let send = "perl -MSocket -e 'socket(S, PF_UNIX, SOCK_DGRAM, 0); send(S, \"x\", 0, sockaddr_un(\"log.sock\"))'";
        world.run("/bin/bash", "workspace", send);
        assert!(!world.was_called());
        let done = world.run(
            "/bin/bash",
            "workspace",
            "ls /run /var/run 2>/dev/null; echo \"[$SSH_AUTH_SOCK]\"",
        );
        assert_eq!(done.output, "[]\n");
        // Sockets of virtual machines are in no namespace.
        let done = world.run(
            "/bin/bash",
            "workspace",
            "perl -MSocket -e 'print socket(S, 40, SOCK_STREAM, 0) ? \"yes\" : \"no\"'",
        );
        assert_eq!(done.output, "no");
    });
}

#[test]
fn what_other_programs_run_cannot_be_written() {
    let guarded = [
        ".github/workflows/ci.yml",
        ".vscode/tasks.json",
        ".cargo/config.toml",
        ".claude/settings.json",
        ".husky/pre-commit",
        "AGENTS.md",
        "CLAUDE.md",
        ".mcp.json",
        "sub/AGENTS.md",
        "sub/.devcontainer/devcontainer.json",
    ];
    for person in persons() {
        let world = World::new(person, Place::InHome);
        for path in guarded {
            let path = world.workspace.join(path);
            write(&path, "mine\n");
            let folders = path.ancestors().take_while(|folder| *folder != world.workspace);
            folders.for_each(|folder| support::give_to(person, folder));
        }
        for path in guarded.iter().chain(&["rust-toolchain.toml", ".envrc", ".mvn/jvm.config"]) {
            let before = fs::read_to_string(world.workspace.join(path)).unwrap();
            let name = Path::new(path).file_name().unwrap().to_string_lossy();
            let line = format!(
                "echo evil > {path}; rm -rf {path}; mv {path} moved; mv $(dirname {path})/{name} moved; \
                 sed -i 1d {path}; ln -sf /etc/passwd {path}; chmod 777 {path}; : > {path}; \
                 truncate -s 0 {path}; cp a {path}; true",
            );
            let done = world.run("/bin/bash", "workspace", &line);
            assert_eq!(
                fs::read_to_string(world.workspace.join(path)).unwrap(),
                before,
                "{path}: {done:?}"
            );
        }
    }
}

#[test]
fn what_other_programs_would_run_is_moved_aside_when_it_was_made() {
    let made = [
        ".github",
        ".vscode",
        "AGENTS.md",
        "CLAUDE.md",
        ".cargo/config.toml",
        ".mcp.json",
        "sub/AGENTS.md",
        "new/.husky",
        ".git/commondir",
        ".git/config.worktree",
        ".git/info/attributes",
    ];
    for person in persons() {
        let world = World::new(person, Place::InHome);
        for path in made {
            let line = format!(
                "mkdir -p $(dirname {path}); case {path} in *.*md|*.toml|*.json|*dir|*tree|*butes) echo evil > {path};; *) mkdir {path}; echo evil > {path}/x;; esac",
            );
            let done = world.run("/bin/bash", "workspace", &line);
            let place = world.workspace.join(path);
            assert!(fs::symlink_metadata(&place).is_err(), "{path}: {done:?}");
            let aside = PathBuf::from(format!("{}.set-aside-1", place.display()));
            assert!(aside.exists(), "{path}: {done:?}");
            assert!(done.said.contains(&format!("{} is now", place.display())), "{done:?}");
        }
    }
}

#[test]
fn packages_that_bring_such_names_along_are_left_alone() {
    let world = World::new(Person::Myself, Place::InHome);
    let line =
        "mkdir -p node_modules/new/.github target/x/.vscode && echo x > node_modules/new/AGENTS.md";
    let done = world.run("/bin/bash", "workspace", line);
    assert_eq!(done.said, "");
    assert!(world.workspace.join("node_modules/new/AGENTS.md").exists());
}

#[test]
fn git_is_not_moved_away_and_made_anew() {
    everywhere(|world| {
        let before = fs::read_to_string(world.workspace.join(".git/config")).unwrap();
        let line = format!(
            "mv .git gone; rm -rf .git; mv .git/hooks .git/gone; mv .git/config .git/gone; \
             echo x > .git/hooks/pre-commit; mkdir -p .git/hooks; echo x > .git/config; \
             {GIT} config core.hooksPath evil; {GIT} init -q --template=/dev/null; \
             cp -r .git copy; mv copy .git; ln -sfn copy .git; ls -d gone .git/gone",
        );
        let done = world.run("/bin/bash", "workspace", &line);
        assert_eq!(
            fs::read_to_string(world.workspace.join(".git/config")).unwrap(),
            before,
            "{done:?}"
        );
        let hooks = world.workspace.join(".git/hooks");
        assert_eq!(fs::read_dir(&hooks).unwrap().count(), 0, "{done:?}");
        assert!(!world.workspace.join("gone").exists());
        assert!(fs::symlink_metadata(world.workspace.join(".git")).unwrap().is_dir());
    });
}

#[test]
fn hooks_and_configuration_of_submodules_and_nested_repositories_are_held() {
    for person in persons() {
        let world = World::new(person, Place::InHome);
        let held = [
            ".git/modules/lib/config",
            ".git/modules/group/lib/hooks/post-checkout",
            ".git/worktrees/tree/commondir",
            "nested/.git/config",
            "nested/.git/hooks/pre-commit",
        ];
        for path in held {
            write(&world.workspace.join(path), "mine\n");
        }
        for folder in
            [".git/modules/lib", ".git/modules/group/lib", ".git/worktrees/tree", "nested/.git"]
        {
            write(&world.workspace.join(folder).join("HEAD"), "ref: refs/heads/main\n");
        }
        let mut give = as_person(Person::Myself, "/bin/chown");
        let owner = fs::metadata(world.workspace.join("a")).unwrap();
        let owner = std::os::unix::fs::MetadataExt::uid(&owner).to_string();
        assert!(
            give.arg("-R")
                .arg(owner)
                .arg(world.workspace.join("nested"))
                .arg(world.workspace.join(".git"))
                .status()
                .unwrap()
                .success()
        );
        for path in held {
            let line = format!(
                "echo evil > {path}; rm -f {path}; mv {path} moved; mv nested/.git n; true"
            );
            let done = world.run("/bin/bash", "workspace", &line);
            let now = fs::read_to_string(world.workspace.join(path));
            assert_eq!(now.ok().as_deref(), Some("mine\n"), "{path}: {done:?}");
        }
        // A new one may be wanted, so it stays, and it is told of.
        let done = world.run("/bin/bash", "workspace", "git init -q fresh");
        assert!(world.workspace.join("fresh/.git").exists());
        assert!(done.said.contains("fresh/.git was made; look at it"), "{done:?}");
    }
}

#[test]
fn a_link_in_the_place_of_a_repository_opens_nothing() {
    for person in persons() {
        let world = World::new(person, Place::InHome);
        write(&world.home.join("other/.git/HEAD"), "ref: refs/heads/main\n");
        write(&world.home.join("other/.git/config"), "mine\n");
        for path in ["other/.git", "other/.git/HEAD", "other/.git/config"] {
            support::give_to(person, &world.home.join(path));
        }
        let plant = "mkdir trap && ln -s ~/other/.git trap/.git && ln -s ../../../other/.git w/.git; \
                     mkdir -p third/.git && ln -s ~/other third/.git/hooks && ln -s ~/.ssh third/.git/modules; \
                     ln -s ~/other third/CLAUDE.md; ln -s ~/other third/.husky";
        world.run("/bin/bash", "workspace", plant);
        let before = world.look();
        let line = "echo evil > ~/other/.git/config; touch ~/other/.git/x ~/other/x trap/.git/x w/.git/x; \
                    touch third/.git/hooks/x third/.husky/x; cat third/.git/modules/*; true";
        let done = world.run("/bin/bash", "workspace", line);
        assert!(!done.output.contains(CANARY), "{done:?}");
        assert_eq!(before.differences(&world.look()), Vec::<String>::new(), "{done:?}");
    }
}

#[test]
fn every_line_has_the_filter_and_no_capability() {
    use harness_sandbox::{Launch, Level, Machine, Policy, Sandbox};
    let world = World::new(Person::Myself, Place::InHome);
    let policy = Policy::new(Some(&world.home), &world.workspace).unwrap();
    let sandbox = Sandbox::new(Machine::find(), policy).unwrap();
    for level in [Level::Workspace, Level::ReadOnly] {
        for _ in 0..3 {
            let (reader, writer) = std::io::pipe().unwrap();
            let line =
                "grep -E '^(Seccomp|NoNewPrivs|CapEff):' /proc/self/status | cut -f2 | xargs";
            let launch = Launch::new("/bin/bash", &world.workspace).args(["-c", line]);
            let mut running = sandbox.start(launch.stdout(writer), level).unwrap();
            let said = std::io::read_to_string(reader).unwrap();
            running.child.wait().unwrap();
            running.finish();
            let words: Vec<&str> = said.split_whitespace().collect();
            let capabilities = u64::from_str_radix(words[0], 16).unwrap();
            // One is left to root at `ReadOnly`: reading the files of others.
            assert_eq!(capabilities & !0b100, 0, "{level}: {said}");
            assert_eq!(words[1..], ["1", "2"], "{level}: {said}");
        }
    }
}

#[test]
fn a_guarded_link_and_what_it_points_to_are_held() {
    for person in persons() {
        let world = World::new(person, Place::InHome);
        write(&world.workspace.join("docs/agents.md"), "mine\n");
        write(&world.workspace.join("docs/guide.txt"), "mine\n");
        for path in ["docs", "docs/agents.md", "docs/guide.txt"] {
            support::give_to(person, &world.workspace.join(path));
        }
        symlink("docs/guide.txt", world.workspace.join("AGENTS.md")).unwrap();
        let line = "echo evil > AGENTS.md; echo evil > docs/guide.txt; rm -f AGENTS.md; echo evil > AGENTS.md";
        let done = world.run("/bin/bash", "workspace", line);
        let now = fs::read_to_string(world.workspace.join("AGENTS.md")).unwrap();
        assert_eq!(now, "mine\n", "{done:?}");
        assert!(world.workspace.join("AGENTS.md").is_symlink());
    }
}

#[test]
fn caches_of_builds_are_writable_and_the_rest_of_the_home_is_not() {
    for person in persons() {
        let world = World::new(person, Place::OutsideHome);
        for cache in [".cargo/registry", ".cache/pip", "go/pkg"] {
            let path = world.home.join(cache);
            fs::create_dir_all(&path).unwrap();
            let folders = path.ancestors().take_while(|folder| *folder != world.home);
            folders.for_each(|folder| support::give_to(person, folder));
            let done =
                world.run("/bin/bash", "workspace", &format!("echo x > ~/{cache}/new && echo ok"));
            assert_eq!(done.output, "ok\n", "{cache}");
            assert!(path.join("new").exists());
        }
        for path in [
            "~/new",
            "~/.cargo/bin/new",
            "~/.bashrc",
            "~/other/new",
            "~/.config/new",
            "$OUTSIDE/new",
            "/etc/new",
            "/usr/bin/new",
        ] {
            let done =
                world.run("/bin/bash", "workspace", &format!("echo x > {path} && echo written"));
            assert!(!done.output.contains("written"), "{path}");
        }
    }
}

#[test]
fn temporary_files_stay_from_line_to_line_of_one_sandbox_and_are_not_those_of_the_machine() {
    use harness_sandbox::{Launch, Level, Machine, Policy, Sandbox};
    let world = World::new(Person::Myself, Place::InHome);
    let policy = Policy::new(Some(&world.home), &world.workspace).unwrap();
    let sandbox = Sandbox::new(Machine::find(), policy).unwrap();
    let run = |line: &str| {
        let launch = Launch::new("/bin/bash", &world.workspace).args(["-c", line]);
        let mut running = sandbox.start(launch, Level::Workspace).unwrap();
        let success = running.child.wait().unwrap().success();
        running.finish();
        success
    };
    let place = &world.common_places()[0];
    assert!(run(&format!("echo x > {} && echo x > $TMPDIR/y", place.display())));
    assert!(run(&format!("test -f {}", place.display())));
    assert!(!place.exists());
}

#[test]
fn no_line_reaches_out_of_the_workspace() {
    for person in persons() {
        let world = World::new(person, Place::InHome);
        // The first line makes an empty folder of hooks, to have something to hold.
        world.run("/bin/bash", "workspace", "true");
        let before = world.look();
        let workspace = world.workspace.canonicalize().unwrap();
        let is_allowed = |fault: &str| {
            let path = fault.split(' ').next().unwrap();
            let Ok(inside) = Path::new(path).strip_prefix(&workspace) else { return false };
            let is_git = inside.starts_with(".git/hooks") || inside.starts_with(".git/config");
            let is_held = |name| is_secret(name) || is_guarded(name);
            // What was moved aside has another name.
            !is_git && !inside.iter().any(is_held)
        };
        let table =
            [include_str!("shell-effects.tsv"), include_str!("kernel-effects.tsv")].concat();
        let mut faults = Vec::new();
        for line in table.lines().filter(|line| !line.starts_with('#')) {
            let (_, line) = line.split_once('\t').unwrap();
            // Those look at what is theirs to see at this level.
            if line.contains("CANARY ") {
                continue;
            }
            let done = world.run("/bin/bash", "workspace", line);
            let found =
                before.differences(&world.look()).into_iter().filter(|fault| !is_allowed(fault));
            faults.extend(found.map(|fault| format!("{line}\n    {fault}")));
            if world.was_called() {
                faults.push(format!("{line}\n    somebody was called"));
            }
            if done.output.contains(CANARY) {
                faults.push(format!("{line}\n    a secret was shown: {}", done.output));
            }
            if done.code == Some(125) {
                faults.push(format!("{line}\n    did not start: {}", done.said));
            }
            for place in world.common_places().iter().filter(|place| place.exists()) {
                faults.push(format!("{line}\n    {} was made", place.display()));
            }
        }
        assert!(faults.is_empty(), "{person:?}:\n{}", faults.join("\n"));
    }
}

#[test]
fn a_line_dies_with_the_program_that_started_it() {
    for person in persons() {
        let world = World::new(person, Place::InHome);
        let mut command = world.sandbox("/bin/bash", "workspace");
        command.args(["--timeout", "60", "--", "echo started; sleep 3600"]).stdout(Stdio::piped());
        let mut program = command.spawn().unwrap();
        let mut first = [0; 8];
        std::io::Read::read_exact(program.stdout.as_mut().unwrap(), &mut first).unwrap();
        let children = children(program.id());
        assert_eq!(children.len(), 1, "one bwrap");
        let pid = Pid::from_raw(children[0]).unwrap();
        let end = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        program.kill().unwrap();
        program.wait().unwrap();
        poll(&mut [PollFd::new(&end, PollFlags::IN)], None).unwrap();
        let mut rest = Vec::new();
        // The pipe ends when nobody is left who could write to it.
        std::io::Read::read_to_end(program.stdout.as_mut().unwrap(), &mut rest).unwrap();
    }
}

fn children(pid: u32) -> Vec<i32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let lists =
        tasks.map(|task| fs::read_to_string(task.unwrap().path().join("children")).unwrap());
    lists
        .flat_map(|list| {
            list.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>()
        })
        .collect()
}
