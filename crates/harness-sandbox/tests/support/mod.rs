//! A world to attack: a home with secrets, a workspace, listeners, and a look at all of it before
//! and after each line.
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(unreachable_pub, reason = "a module of tests")]

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{TcpListener, UdpSocket},
    os::{
        linux::net::SocketAddrExt,
        unix::{
            fs::{MetadataExt, PermissionsExt, chown, symlink},
            net::{SocketAddr, UnixDatagram, UnixListener},
            process::CommandExt,
        },
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use tempfile::TempDir;

/// What every secret has in it.
pub const CANARY: &str = "CANARY";

/// The number of an ordinary user without a name.
const ORDINARY: u32 = 64321;

/// Who runs the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Person {
    /// The one who runs the tests.
    Myself,
    /// An ordinary user, where the tests run as root.
    Ordinary,
}

/// Everybody that the tests can be. As root: root and an ordinary user.
pub fn persons() -> Vec<Person> {
    if rustix::process::geteuid().is_root() {
        vec![Person::Myself, Person::Ordinary]
    } else {
        vec![Person::Myself]
    }
}

/// Where the workspace lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    InHome,
    OutsideHome,
    BehindLink,
}

pub struct World {
    pub folder: TempDir,
    pub person: Person,
    pub home: PathBuf,
    /// As it is given to the sandbox; may be a link.
    pub workspace: PathBuf,
    pub outside: PathBuf,
    /// For scratch folders.
    pub temporary: PathBuf,
    pub victim: Victim,
    tcp: TcpListener,
    udp: UdpSocket,
    sockets: Vec<UnixListener>,
    datagrams: Vec<UnixDatagram>,
    abstract_name: String,
    /// Stands for `PWN-sandbox` in lines, so that tests beside each other do not meet.
    mark: String,
}

/// A process of the same person that must live on unchanged.
pub struct Victim(Child);

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a line did.
#[derive(Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub output: String,
    /// What the sandbox itself said.
    pub said: String,
}

/// Secret files of the home, relative to it.
const HOME_SECRETS: &[&str] = &[
    ".aws/credentials",
    ".bash_history",
    ".bashrc",
    ".cargo/credentials.toml",
    ".composer/auth.json",
    ".config/doctl/config.yaml",
    ".config/gh/hosts.yml",
    ".config/glab-cli/config.yml",
    ".config/harness/.env",
    ".config/op/config",
    ".config/rclone/rclone.conf",
    ".databrickscfg",
    ".docker/config.json",
    ".fly/config.yml",
    ".git-credentials",
    ".gnupg/private-keys-v1.d/key",
    ".gradle/gradle.properties",
    ".histfile",
    ".irb_history",
    ".kube/config",
    ".local/share/fish/fish_history",
    ".local/share/keyrings/login.keyring",
    ".local/state/harness/session.jsonl",
    ".mozilla/firefox/logins.json",
    ".netrc",
    ".node_repl_history",
    ".npmrc",
    ".pgpass",
    ".pypirc",
    ".s3cfg",
    ".ssh/config",
    ".ssh/id_rsa",
    ".some-new-tool/token",
    "Library/Keychains/login.keychain-db",
    "notes/.env",
    "other/.env",
    "other/a/b/c/secrets.yaml",
    "other/node_modules/x/readme",
];

/// Secret files of the workspace, relative to it.
const WORKSPACE_SECRETS: &[&str] = &[
    ".env",
    ".envrc",
    ".htpasswd",
    "credentials.json",
    "deep/a/b/.env.local",
    "deep/a/b/c/id_ed25519",
    "key.ppk",
    "my-key.pem",
    "node_modules/pkg/.env",
    "prod.env",
    "secrets.yaml",
    "server.pem",
    "terraform.tfstate",
];

impl World {
    pub fn new(person: Person, place: Place) -> Self {
        let folder = tempfile::Builder::new().prefix("world-").tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        fs::set_permissions(&base, fs::Permissions::from_mode(0o755)).unwrap();
        let home = base.join("home");
        let real = match place {
            Place::InHome => home.join("src/project"),
            Place::OutsideHome => base.join("project"),
            Place::BehindLink => home.join("src/deep/project"),
        };
        let outside = base.join("outside");
        let temporary = base.join("temporary");
        for folder in [&home, &real, &outside, &temporary] {
            fs::create_dir_all(folder).unwrap();
        }
        write_secrets(&home, HOME_SECRETS);
        write_secrets(&real, WORKSPACE_SECRETS);
        write_workspace(&real, &base);
        write(&home.join("hello.txt"), "hello from home\n");
        write(&home.join("other/README.md"), "the other project\n");
        write(&home.join(".gitconfig"), "[user]\n\tname = Me\n\temail = me@example.com\n");
        write_program(&home.join(".cargo/bin/cargo"), "#!/bin/sh\nexec ./tc/bin/cargo \"$@\"\n");
        write_program(&home.join(".local/bin/mine"), "#!/bin/sh\necho mine\n");
        write(&outside.join("kept.txt"), "outside\n");
        let workspace = match place {
            Place::BehindLink => {
                let link = base.join("link-to-project");
                symlink(&real, &link).unwrap();
                link
            }
            _ => real,
        };

        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        tcp.set_nonblocking(true).unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.set_nonblocking(true).unwrap();
        let abstract_name = format!("sandbox-test-{}-{}", std::process::id(), tcp_port(&tcp));
        let mut sockets = vec![
            UnixListener::bind(home.join("agent.sock")).unwrap(),
            UnixListener::bind(workspace.join("docker.sock")).unwrap(),
            UnixListener::bind(outside.join("bus.sock")).unwrap(),
        ];
        let name = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        sockets.push(UnixListener::bind_addr(&name).unwrap());
        let datagrams = vec![UnixDatagram::bind(workspace.join("log.sock")).unwrap()];
        sockets.iter().for_each(|socket| socket.set_nonblocking(true).unwrap());
        datagrams.iter().for_each(|socket| socket.set_nonblocking(true).unwrap());

        if person == Person::Ordinary {
            give(&base, ORDINARY);
        }
        let victim = Victim(as_person(person, "/bin/sleep").arg("3600").spawn().unwrap());
        Self {
            folder,
            person,
            home,
            workspace,
            outside,
            temporary,
            victim,
            tcp,
            udp,
            sockets,
            datagrams,
            mark: format!("PWN-{abstract_name}"),
            abstract_name,
        }
    }

    pub fn base(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    /// A command that is the sandbox, with secrets in its environment.
    pub fn sandbox(&self, shell: &str, level: &str) -> Command {
        let mut command = as_person(self.person, binary());
        command
            .args(["run", "--timeout", "3", "--shell", shell, "--level", level])
            .arg("--workspace")
            .arg(&self.workspace)
            .arg("--home")
            .arg(&self.home)
            .current_dir("/")
            .env_clear()
            .env("PATH", format!("{}/.cargo/bin:/usr/local/bin:/usr/bin:/bin", self.home.display()))
            .env("HOME", &self.home)
            .env("TMPDIR", &self.temporary)
            .env("LANG", "C.UTF-8")
            .env("GITHUB_TOKEN", format!("{CANARY}-github"))
            .env("AWS_SECRET_ACCESS_KEY", format!("{CANARY}-aws"))
            .env("DATABASE_URL", format!("postgres://me:{CANARY}@db/x"))
            .env("SSH_AUTH_SOCK", self.home.join("agent.sock"))
            .envs(self.hints())
            .stdin(Stdio::null());
        command
    }

    /// Names of targets, for lines that attack them.
    pub fn hints(&self) -> Vec<(&'static str, String)> {
        vec![
            ("VICTIM", self.victim.0.id().to_string()),
            ("PORT", tcp_port(&self.tcp).to_string()),
            ("UDP_PORT", self.udp.local_addr().unwrap().port().to_string()),
            ("OUTSIDE", self.outside.display().to_string()),
            ("ABSTRACT", self.abstract_name.clone()),
            ("WORLD", self.base().display().to_string()),
        ]
    }

    /// Runs one line.
    pub fn run(&self, shell: &str, level: &str, line: &str) -> Done {
        self.run_with(shell, level, &[], line)
    }

    pub fn run_with(&self, shell: &str, level: &str, options: &[&str], line: &str) -> Done {
        let mut command = self.sandbox(shell, level);
        command.args(options).arg("--stdin");
        finish(command, &line.replace("PWN-sandbox", &self.mark))
    }

    /// Places that everybody may write to. Lines name them with `PWN-sandbox`.
    pub fn common_places(&self) -> Vec<PathBuf> {
        ["/tmp", "/var/tmp", "/dev/shm"].map(|place| Path::new(place).join(&self.mark)).into()
    }

    /// Everything that must be as before.
    pub fn look(&self) -> Seen {
        let mut files = BTreeMap::new();
        see(&self.base(), &mut files);
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.victim.0.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        // Whether it runs or sleeps is its own affair; stopped or dead is not.
        let state = if "RSD".contains(fields[0]) { "alive" } else { fields[0] };
        let victim = format!("{state}, nice {}", fields[16]);
        let limits = fs::read_to_string(format!("/proc/{}/limits", self.victim.0.id())).unwrap();
        Seen { files, victim, limits }
    }

    /// Whether anybody has connected to one of the listeners, or sent something.
    pub fn was_called(&self) -> bool {
        let mut byte = [0; 1];
        self.tcp.accept().is_ok()
            || self.udp.recv(&mut byte).is_ok()
            || self.sockets.iter().any(|socket| socket.accept().is_ok())
            || self.datagrams.iter().any(|socket| socket.recv(&mut byte).is_ok())
    }

    /// Runs a line that looks only, and judges its effects: nothing written, nobody called, nothing
    /// shown. The faults in words, none if all is well.
    pub fn attack(&self, shell: &str, options: &[&str], line: &str) -> Vec<String> {
        let before = self.look();
        let done = self.run_with(shell, "read-only", options, line);
        let mut faults = before.differences(&self.look());
        if self.was_called() {
            faults.push("somebody was called".to_owned());
        }
        if let Some(shown) = done.output.lines().find(|shown| shown.contains(CANARY)) {
            faults.push(format!("a secret was shown: {shown}"));
        }
        if done.code == Some(125) {
            faults.push(format!("the line did not start: {}", done.said));
        }
        for place in self.common_places() {
            if fs::symlink_metadata(&place).is_ok() {
                faults.push(format!("{} was made", place.display()));
                let _ = fs::remove_file(&place);
            }
        }
        faults
    }
}

/// A look at the world.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    files: BTreeMap<PathBuf, String>,
    victim: String,
    limits: String,
}

impl Seen {
    pub fn differences(&self, after: &Self) -> Vec<String> {
        let mut faults = Vec::new();
        for (path, before) in &self.files {
            match after.files.get(path) {
                None => faults.push(format!("{} is gone", path.display())),
                Some(now) if now != before => {
                    faults.push(format!("{} changed: {before} -> {now}", path.display()));
                }
                Some(_) => {}
            }
        }
        for path in after.files.keys().filter(|path| !self.files.contains_key(*path)) {
            faults.push(format!("{} was made", path.display()));
        }
        if self.victim != after.victim {
            faults.push(format!("the victim changed: {} -> {}", self.victim, after.victim));
        }
        if self.limits != after.limits {
            faults.push("the victim's limits changed".to_owned());
        }
        faults
    }
}

fn see(path: &Path, files: &mut BTreeMap<PathBuf, String>) {
    let data = fs::symlink_metadata(path).unwrap();
    let content = if data.is_file() {
        String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()
    } else if data.is_symlink() {
        fs::read_link(path).unwrap().display().to_string()
    } else {
        String::new()
    };
    // No time of change of a folder: the temporary one has scratch folders come and go.
    let time = if data.is_dir() { 0 } else { data.mtime() };
    let seen = format!("{:o} {} {} {time} {content}", data.mode(), data.uid(), data.gid());
    files.insert(path.to_owned(), seen);
    if data.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            see(&entry.unwrap().path(), files);
        }
    }
}

pub fn finish(mut command: Command, line: &str) -> Done {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    // A line that cannot be read to its end is told of by the code.
    let _ = input.write_all(line.as_bytes());
    drop(input);
    let mut output = child.stdout.take().unwrap();
    let mut error = child.stderr.take().unwrap();
    let said = std::thread::spawn(move || {
        let mut said = Vec::new();
        error.read_to_end(&mut said).unwrap();
        said
    });
    let mut shown = Vec::new();
    output.read_to_end(&mut shown).unwrap();
    let code = child.wait().unwrap().code();
    Done {
        code,
        output: String::from_utf8_lossy(&shown).into_owned(),
        said: String::from_utf8_lossy(&said.join().unwrap()).into_owned(),
    }
}

/// The program, where an ordinary user can start it too.
pub fn binary() -> &'static Path {
    static COPY: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = COPY.get_or_init(|| {
        let folder = tempfile::Builder::new().prefix("sandbox-program-").tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let path = folder.path().join("sandbox");
        // Not with our own hands: a child that another test forks meanwhile would hold the copy open for
        // writing, and a file that is open for writing does not start.
        let mut copy = as_person(Person::Myself, "/bin/cp");
        assert!(copy.arg(env!("CARGO_BIN_EXE_sandbox")).arg(&path).status().unwrap().success());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        (folder, path)
    });
    path
}

#[expect(clippy::disallowed_methods, reason = "the tests are the caller of the sandbox")]
pub fn as_person(person: Person, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    if person == Person::Ordinary {
        command.uid(ORDINARY).gid(ORDINARY);
    }
    command
}

fn tcp_port(listener: &TcpListener) -> u16 {
    listener.local_addr().unwrap().port()
}

fn write_secrets(folder: &Path, names: &[&str]) {
    for name in names {
        write(&folder.join(name), &format!("API_KEY={CANARY}-{}\n", name.replace('/', "-")));
    }
}

pub fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

pub fn write_program(path: &Path, text: &str) {
    write(path, text);
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Files that lines of the kinds in `shell-effects.tsv` trip over.
fn write_workspace(workspace: &Path, base: &Path) {
    for (name, text) in [
        ("README.md", "hello\n"),
        ("a", "1\n2\n"),
        ("b", "2\n3\n"),
        ("x", "x\n"),
        ("y", "y\n"),
        ("server.txt", "x\n"),
        ("x.jq", "def y: env;\n"),
        ("--output=PWN", "\n"),
        ("--pre=sh", "hello\n"),
        ("--hostname-bin=evil.sh", "hello\n"),
        ("-fevil.awk", "BEGIN { system(\"touch PWN\") }\n"),
        ("evil.awk", "BEGIN { system(\"touch PWN\") }\n"),
        ("rust-toolchain.toml", "[toolchain]\npath = \"/proc/self/cwd/tc\"\n"),
        (".mvn/jvm.config", "-javaagent:evil.jar\n"),
        ("pyproject.toml", "[tool.pytest.ini_options]\naddopts = \"-p evil\"\n"),
        ("conftest.py", "open('PWN', 'w')\n"),
        ("sitecustomize.py", "open('PWN', 'w')\n"),
    ] {
        write(&workspace.join(name), text);
    }
    let evil = "#!/bin/sh\ntouch PWN\necho RAN-FROM-WORKSPACE\n";
    write_program(&workspace.join("evil.sh"), evil);
    write_program(&workspace.join("tc/bin/cargo"), evil);
    write_program(&workspace.join("tc/bin/rustc"), evil);
    fs::copy("/bin/true", workspace.join("program")).unwrap();
    fs::create_dir_all(workspace.join("w")).unwrap();
    write_repository(workspace);
    let evil_repository = base.join("evil-repository");
    write_repository(&evil_repository);
    write(
        &evil_repository.join(".git/config"),
        "[core]\n\tfsmonitor = \"touch PWN; false\"\n\thooksPath = .evil\n\
         [filter \"x\"]\n\tclean = touch PWN\n",
    );
    write(&evil_repository.join(".gitattributes"), "* filter=x\n");
    symlink(&evil_repository, workspace.join("link")).unwrap();
    // What a folder of git looks like to git, without being named `.git`.
    write_git_folder(&workspace.join("embedded"));
}

fn write_repository(folder: &Path) {
    write_git_folder(&folder.join(".git"));
    write(&folder.join("tracked.txt"), "tracked\n");
}

fn write_git_folder(git: &Path) {
    write(&git.join("HEAD"), "ref: refs/heads/main\n");
    write(
        &git.join("config"),
        "[core]\n\trepositoryformatversion = 0\n\tfsmonitor = \"touch PWN; false\"\n",
    );
    fs::create_dir_all(git.join("objects")).unwrap();
    fs::create_dir_all(git.join("refs/heads")).unwrap();
}

fn give(path: &Path, user: u32) {
    let data = fs::symlink_metadata(path).unwrap();
    std::os::unix::fs::lchown(path, Some(user), Some(user)).unwrap();
    if data.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path(), user);
        }
    }
}

/// Gives a file that a test has added to the person of the world.
pub fn give_to(person: Person, path: &Path) {
    if person == Person::Ordinary {
        chown(path, Some(ORDINARY), Some(ORDINARY)).unwrap();
    }
}
