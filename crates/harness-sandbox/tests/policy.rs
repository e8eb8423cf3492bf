//! What the user and the harness say about places and variables.
#![allow(clippy::unwrap_used, reason = "a helper of a test may end it")]

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use harness_sandbox::{Launch, Level, Machine, Policy, Sandbox};
use tempfile::TempDir;

const LEVELS: [Level; 2] = [Level::ReadOnly, Level::Workspace];

struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(home.path("home/project")).unwrap();
        home
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.0.path().canonicalize().unwrap().join(relative)
    }

    fn write(&self, relative: &str, text: &str) -> PathBuf {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn policy(&self) -> Policy {
        Policy::new(Some(&self.path("home")), &self.path("home/project")).unwrap()
    }
}

fn run(policy: &Policy, level: Level, line: &str) -> String {
    run_with(policy, level, line, |launch| launch)
}

fn run_with(
    policy: &Policy,
    level: Level,
    line: &str,
    change: impl FnOnce(Launch) -> Launch,
) -> String {
    let sandbox = Sandbox::new(Machine::find(), policy.clone()).unwrap();
    let (reader, writer) = io::pipe().unwrap();
    let launch = Launch::new("/bin/bash", policy.workspace())
        .args(["-c", line])
        .env("HOME", policy.home().unwrap())
        .stdout(writer.try_clone().unwrap())
        .stderr(writer);
    let mut running = sandbox.start(change(launch), level).unwrap();
    let output = io::read_to_string(reader).unwrap();
    running.child.wait().unwrap();
    running.finish();
    output
}

#[test]
fn a_hidden_variable_reaches_no_child_even_when_it_is_set_for_it() {
    let home = Home::new();
    let policy = home.policy().hide("HARNESS_OWN");
    for level in [Level::ReadOnly, Level::Workspace, Level::Free] {
        let line = "echo \"[$HARNESS_OWN][$PLAIN]\"";
        let output = run_with(&policy, level, line, |launch| {
            launch.env("HARNESS_OWN", "mine").env("PLAIN", "yours")
        });
        assert_eq!(output, "[][yours]\n", "{level}");
    }
}

#[test]
fn a_closed_place_is_closed_before_it_exists_and_what_is_opened_in_it_can_be_read() {
    for level in LEVELS {
        let home = Home::new();
        home.write("home/project/state/artifacts/spill.txt", "spilled\n");
        home.write("home/project/state/index.json", "index\n");
        home.write("home/project/plain", "plain\n");
        let policy = home
            .policy()
            .close(home.path("home/project/state"))
            .close(home.path("home/project/later"))
            .open(home.path("home/project/state/artifacts"));
        let line = "cat plain state/artifacts/spill.txt; cat state/index.json 2>/dev/null; \
                    ls state 2>/dev/null | grep index; echo x > state/artifacts/new";
        let output = run(&policy, level, line);
        assert!(output.starts_with("plain\nspilled\n"), "{level}: {output}");
        assert!(!output.contains("index\n"), "{level}: {output}");
        assert!(!home.path("home/project/state/artifacts/new").exists());
        home.write("home/project/later", "secret\n");
        let output = run(&policy, level, "cat later");
        assert!(!output.contains("secret"), "{level}: {output}");
    }
}

#[test]
fn a_place_outside_can_be_read_when_the_policy_says_so_and_its_secrets_cannot() {
    for level in LEVELS {
        let home = Home::new();
        home.write("data/sub/table.csv", "1,2\n");
        home.write("data/sub/.env", "secret\n");
        let line = format!("cat {0}/table.csv {0}/.env", home.path("data/sub").display());
        let output = run(&home.policy(), level, &line);
        assert!(!output.contains("1,2"), "{level}: {output}");
        let output = run(&home.policy().read(home.path("data")), level, &line);
        assert!(output.contains("1,2"), "{level}: {output}");
        assert!(!output.contains("secret"), "{level}: {output}");
    }
}

#[test]
fn a_worktree_can_be_read_and_committed_to_when_its_git_directory_is_named() {
    let home = Home::new();
    // Outside of the home, so that nothing but the policy opens it.
    let main = home.path("srv/main");
    fs::create_dir_all(&main).unwrap();
    git(&main, &["init", "-q"]);
    git(&main, &["commit", "-q", "--allow-empty", "-m", "first"]);
    let tree = home.path("home/project/tree");
    git(&main, &["worktree", "add", "-q", tree.to_str().unwrap()]);
    let closed = Policy::new(Some(&home.path("home")), &tree).unwrap();
    let output = run(&closed, Level::ReadOnly, "git log --format=%s");
    assert!(!output.contains("first"), "{output}");
    let policy = closed.git_dir(main.join(".git"));
    assert_eq!(run(&policy, Level::ReadOnly, "git log --format=%s"), "first\n");
    let commit = "echo x > new && git add new && git -c user.name=a -c user.email=b commit -qm second; \
                  git log --format=%s";
    assert_eq!(run(&policy, Level::Workspace, commit), "second\nfirst\n");
    let evil = "echo x > $(git rev-parse --git-common-dir)/hooks/pre-commit; git config x.y z; \
                echo x > $(git rev-parse --git-dir)/commondir; echo x > .git";
    let config = fs::read_to_string(main.join(".git/config")).unwrap();
    run(&policy, Level::Workspace, evil);
    assert!(!main.join(".git/hooks/pre-commit").exists());
    assert_eq!(fs::read_to_string(main.join(".git/config")).unwrap(), config);
    assert_eq!(git(&tree, &["log", "-1", "--format=%s"]), "second\n");
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    #[expect(clippy::disallowed_methods, reason = "the test makes a repository with real git")]
    let mut command = Command::new("git");
    command.current_dir(folder).args(["-c", "user.name=a", "-c", "user.email=b"]).args(arguments);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_cache_of_the_policy_is_writable_unless_it_holds_the_workspace() {
    let home = Home::new();
    home.write("target/kept", "");
    let policy = home.policy().cache(home.path("target"));
    let line = format!("echo x > {}/new", home.path("target").display());
    run(&policy, Level::Workspace, &line);
    assert!(home.path("target/new").exists());
    run(&policy, Level::ReadOnly, &line.replace("new", "other"));
    assert!(!home.path("target/other").exists());

    let policy = home.policy().cache(home.path("home"));
    run(&policy, Level::Workspace, &format!("echo x > {}/new", home.path("home").display()));
    assert!(!home.path("home/new").exists());
}

#[test]
fn a_guarded_place_of_the_policy_is_held_and_moved_aside_when_it_was_made() {
    let home = Home::new();
    home.write("home/project/skills/a.md", "mine\n");
    let project = home.path("home/project");
    let policy =
        home.policy().guard(project.join("skills")).guard(project.join(".agent_todo.json"));
    run(
        &policy,
        Level::Workspace,
        "echo evil > skills/a.md; rm -rf skills; echo x > .agent_todo.json",
    );
    assert_eq!(fs::read_to_string(project.join("skills/a.md")).unwrap(), "mine\n");
    assert!(!project.join(".agent_todo.json").exists());
    assert!(project.join(".agent_todo.json.set-aside-1").exists());
}

#[test]
fn toolchains_that_are_links_run() {
    let home = Home::new();
    let real = home.write("toolchain/bin/tool", "#!/bin/sh\necho tool\n");
    fs::set_permissions(&real, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let link = |from: &str, to: &str| {
        let link = home.path(to);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(home.path(from), link).unwrap();
    };
    link("toolchain", "home/.rustup/toolchains/linked");
    home.write("other/bin/tool", "#!/bin/sh\necho other\n");
    fs::set_permissions(
        home.path("other/bin/tool"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    link("other", "home/.deno");
    let line = "~/.rustup/toolchains/linked/bin/tool; ~/.deno/bin/tool";
    let output = run(&home.policy(), Level::ReadOnly, line);
    assert_eq!(output, "tool\nother\n");
}

#[tokio::test]
async fn a_caller_with_a_runtime_starts_the_child_its_own_way() {
    let home = Home::new();
    let sandbox = Sandbox::new(Machine::find(), home.policy()).unwrap();
    for level in [Level::ReadOnly, Level::Workspace, Level::Free] {
        let (reader, writer) = io::pipe().unwrap();
        let line = "echo started; touch /etc/PWN-sandbox 2>/dev/null; exit 3";
        let line = if level == Level::Free { "echo started; exit 3" } else { line };
        let launch =
            Launch::new("/bin/bash", home.policy().workspace()).args(["-c", line]).stdout(writer);
        let handle = tokio::runtime::Handle::current();
        let started = sandbox.start_with(launch, level, move |command| {
            let _inside = handle.enter();
            tokio::process::Command::from(command).spawn()
        });
        let (mut child, hold) = started.unwrap().split();
        assert_eq!(child.wait().await.unwrap().code(), Some(3), "{level}");
        hold.finish();
        assert_eq!(io::read_to_string(reader).unwrap(), "started\n");
        assert!(!Path::new("/etc/PWN-sandbox").exists());
    }
}
