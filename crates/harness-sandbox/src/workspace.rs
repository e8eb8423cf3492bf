//! `Workspace`: a view of the machine in which only the workspace and caches can be written.
//!
//! Landlock cannot say "this folder, but not that one in it" for writing, since it only grants. Mounts
//! can: the workspace is bound writable, what other programs run is bound on itself read-only, and
//! secrets are covered. `bwrap` builds that view in namespaces of its own, as root too, so there is
//! no privilege left to undo it with.
//!
//! What is a mount point cannot be renamed away. What does not exist yet cannot be one, so
//! [`Aftermath`] looks for it when the child has ended.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Seek, Write},
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt, fs::PermissionsExt},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::fs::{
    CWD, FileType, MemfdFlags, Mode, OFlags, RenameFlags, ResolveFlags, SealFlags, fcntl_add_seals,
    memfd_create, openat2, renameat_with,
};
use seccompiler::BpfProgram;

use crate::{
    files::Files,
    filter::{self, Purpose},
    grants::Grants,
    launch::Launch,
    places,
    policy::Policy,
    running::SetAside,
    scratch::{Scratch, ScratchParent},
};

/// What the level is made of on this machine.
#[derive(Debug)]
pub(crate) struct Bwrap {
    path: PathBuf,
    /// Whether it takes open files to bind.
    can_bind_files: bool,
    program: BpfProgram,
    /// Private `/tmp` of all lines of the sandbox.
    temporary: PathBuf,
    /// A folder and a file that nobody may read, to cover others with.
    empty_folder: PathBuf,
    empty_file: PathBuf,
}

impl Bwrap {
    pub(crate) fn new(path: PathBuf, parent: &ScratchParent) -> io::Result<Self> {
        let program = filter::compile(Purpose::Workspace).map_err(io::Error::other)?;
        let temporary = parent.keep("tmp")?;
        let empty_folder = parent.keep("closed")?;
        let empty_file = parent.path().join("closed-file");
        std::fs::write(&empty_file, "")?;
        for covered in [&empty_folder, &empty_file] {
            std::fs::set_permissions(covered, std::fs::Permissions::from_mode(0o000))?;
        }
        let can_bind_files = can_bind_files(&path);
        Ok(Self { path, can_bind_files, program, temporary, empty_folder, empty_file })
    }

    /// The launch with `bwrap` before it.
    pub(crate) fn wrap(
        &self,
        mut launch: Launch,
        policy: &Policy,
        grants: &Grants,
        scratch: &Scratch,
    ) -> io::Result<Launch> {
        let directory = launch.directory.canonicalize()?;
        let mut view = View::default();
        self.show_system(&mut view);
        show_own_places(&mut view, policy, grants);
        guard_workspace(&mut view, policy, grants);
        cover_closed(&mut view, grants);
        view.add(scratch.path(), Mount::Writable);
        let mut words = Words::default();
        words.add(["--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc"]);
        words.add(["--unshare-uts", "--die-with-parent", "--cap-drop", "ALL"]);
        words.add(["--seccomp", &launch.files.add(seal(&self.program)?)]);
        words.add(["--proc", "/proc", "--dev", "/dev"]);
        self.tell_mounts(view, &mut words, &mut launch.files);
        words.add(["--chdir"]);
        words.path(&directory);
        words.add(["--"]);
        words.path(Path::new(&launch.program));
        words.0.append(&mut launch.arguments);
        launch.default_env("PWD", Some(directory.as_os_str()));
        launch.program = self.path.clone().into_os_string();
        launch.arguments = words.0;
        launch.directory = PathBuf::from("/");
        Ok(launch)
    }

    fn show_system(&self, view: &mut View) {
        for (place, _) in places::SYSTEM {
            let place = Path::new(place);
            match place.read_link() {
                Ok(target) => view.add(place, Mount::Link(target)),
                Err(_) => view.add(place, Mount::ReadOnly),
            }
        }
        view.add(Path::new("/sys"), Mount::ReadOnly);
        view.add(Path::new("/tmp"), Mount::Temporary);
        view.add(Path::new("/var/tmp"), Mount::Temporary);
    }

    /// The words for all mounts, in their order.
    fn tell_mounts(&self, view: View, words: &mut Words, files: &mut Files) {
        for (path, mount) in view.in_order() {
            match mount {
                Mount::Link(target) => words.pair("--symlink", &target, &path),
                Mount::ReadOnly => words.pair("--ro-bind-try", &path, &path),
                Mount::Writable => words.pair("--bind-try", &path, &path),
                Mount::Temporary => words.pair("--bind", &self.temporary, &path),
                Mount::Empty => words.pair("--tmpfs", &path, Path::new("")),
                Mount::Held => self.hold("--ro-bind", &path, words, files),
                Mount::HeldWritable => self.hold("--bind", &path, words, files),
                Mount::Closed => {
                    let Ok(data) = std::fs::symlink_metadata(&path) else { continue };
                    let cover = if data.is_dir() { &self.empty_folder } else { &self.empty_file };
                    words.pair("--ro-bind", cover, &path);
                }
            }
        }
    }

    /// Binds something inside the workspace on itself. It is opened here, without following links, so
    /// that a line that runs beside this one cannot put a link in its place meanwhile. What is a link
    /// or gone is not bound.
    fn hold(&self, word: &str, path: &Path, words: &mut Words, files: &mut Files) {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS);
        let Ok(file) = opened else { return };
        let is_link = rustix::fs::fstat(&file)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink);
        if is_link {
            return;
        }
        if self.can_bind_files && files.len() < MAX_FILES {
            words.add([&*format!("{word}-fd"), &files.add(file)]);
            words.path(path);
        } else {
            words.pair(word, path, path);
        }
    }
}

/// How many files a child inherits at most. A program may have 1,024 open on most systems.
const MAX_FILES: usize = 400;

/// Whether this `bwrap` takes open files to bind: 0.10 does, and older ones of some systems.
fn can_bind_files(bwrap: &Path) -> bool {
    #[expect(clippy::disallowed_methods, reason = "asks bwrap itself; it is no line of anybody")]
    let asked = Command::new(bwrap).arg("--help").stdin(Stdio::null()).output();
    asked.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("--ro-bind-fd"))
}

/// The filter as a file in memory that nobody can change any more. `bwrap` sets it just before it starts
/// the program.
fn seal(program: &BpfProgram) -> io::Result<OwnedFd> {
    let mut bytes = Vec::with_capacity(program.len() * 8);
    for instruction in program {
        bytes.extend_from_slice(&instruction.code.to_ne_bytes());
        bytes.push(instruction.jt);
        bytes.push(instruction.jf);
        bytes.extend_from_slice(&instruction.k.to_ne_bytes());
    }
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(memfd_create("filter", flags)?);
    file.write_all(&bytes)?;
    file.rewind()?;
    let all = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    fcntl_add_seals(&file, all)?;
    Ok(OwnedFd::from(file))
}

/// What a place of the view is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Mount {
    /// A link of the system, like `/bin`.
    Link(PathBuf),
    /// The private folder for temporary files.
    Temporary,
    /// As it is, but not to be written.
    ReadOnly,
    /// As it is.
    Writable,
    /// A `.git`: as it is, but not to be renamed.
    HeldWritable,
    /// Something in the workspace that is not to be written.
    Held,
    /// Covered by something that nobody may read.
    Closed,
    /// Covered by an empty folder, since something in it is shown.
    Empty,
}

/// The places of the view. What lies deeper is mounted later, or it would be hidden by what lies around it;
/// of two mounts on one place the stricter one is the later.
#[derive(Debug, Default)]
struct View(Vec<(PathBuf, Mount)>);

impl View {
    fn add(&mut self, path: &Path, mount: Mount) {
        self.0.push((path.to_owned(), mount));
    }

    fn in_order(mut self) -> impl Iterator<Item = (PathBuf, Mount)> {
        self.0.sort_by_cached_key(|(path, mount)| {
            (path.components().count(), path.clone(), mount.clone())
        });
        self.0.dedup();
        self.0.into_iter()
    }
}

/// The words of a command.
#[derive(Debug, Default)]
struct Words(Vec<OsString>);

impl Words {
    fn add<'a>(&mut self, words: impl IntoIterator<Item = &'a str>) {
        self.0.extend(words.into_iter().map(OsString::from));
    }

    fn path(&mut self, path: &Path) {
        self.0.push(path.as_os_str().to_owned());
    }

    /// A word with two paths; an empty one is left out.
    fn pair(&mut self, word: &str, from: &Path, to: &Path) {
        self.add([word]);
        self.path(from);
        if !to.as_os_str().is_empty() {
            self.path(to);
        }
    }
}

/// The home, the workspace, caches and what else the policy names.
fn show_own_places(view: &mut View, policy: &Policy, grants: &Grants) {
    for place in policy.home.iter().chain(&policy.reads).chain(&policy.opened) {
        view.add(place, Mount::ReadOnly);
    }
    view.add(&policy.workspace, Mount::Writable);
    for place in policy.git_dir.iter().chain(&existing_caches(policy, grants)) {
        view.add(place, Mount::Writable);
    }
    // A home or workspace that is known by a link is there under that name too. Where the folder of
    // the link is shown, so is the link.
    for link in &policy.links {
        let parent = link.parent().and_then(|parent| parent.canonicalize().ok());
        let is_shown = parent.is_none_or(|parent| is_shown(&parent, grants));
        if let (false, Ok(target)) = (is_shown, link.canonicalize()) {
            view.add(link, Mount::Link(target));
        }
    }
}

/// Whether the path lies in something that the view shows at all.
fn is_shown(path: &Path, grants: &Grants) -> bool {
    let is_ours = grants.own.iter().any(|own| path.starts_with(own));
    is_ours || places::SYSTEM.iter().any(|(place, _)| path.starts_with(place))
}

/// The caches of builds that exist. One that is a link out of the home is left out, and so is one that
/// holds the workspace or the home, since it would open what is held in them.
fn existing_caches(policy: &Policy, grants: &Grants) -> Vec<PathBuf> {
    let mut caches = policy.caches.clone();
    if let Some(home) = &policy.home {
        let known = places::CACHES.iter().filter_map(|cache| home.join(cache).canonicalize().ok());
        caches.extend(known.filter(|cache| cache.starts_with(home)));
    }
    caches.retain(|cache| {
        let holds_own_place = grants.own.iter().any(|own| own.starts_with(cache));
        !holds_own_place && !cache.starts_with(&policy.workspace)
    });
    caches
}

/// Holds what other programs run, and `.git` itself: as a mount point it cannot be renamed away.
fn guard_workspace(view: &mut View, policy: &Policy, grants: &Grants) {
    for path in grants.guarded.iter().filter(|path| !grants.is_closed(path)) {
        view.add(path, Mount::Held);
        // A link cannot be held. What it leads to can, where it lies in the workspace.
        let target = path.is_symlink().then(|| path.canonicalize().ok()).flatten();
        if let Some(target) = target.filter(|target| target.starts_with(&policy.workspace)) {
            view.add(&target, Mount::Held);
        }
    }
    for path in grants.repositories.iter().chain(&policy.git_dir) {
        if is_folder(path) {
            guard_git_folder(view, path);
        } else {
            view.add(path, Mount::Held);
        }
    }
}

fn guard_git_folder(view: &mut View, git: &Path) {
    // An empty folder of hooks is what git makes itself; without one there would be nothing to hold.
    let _ = std::fs::create_dir(git.join("hooks"));
    view.add(git, Mount::HeldWritable);
    let inner = ["modules", "worktrees"].map(|inner| git.join(inner));
    let inner = inner.iter().filter(|folder| is_folder(folder));
    let inner = inner.flat_map(|folder| git_folders_below(folder));
    for folder in std::iter::once(git.to_owned()).chain(inner) {
        for guarded in places::GIT_GUARDED {
            let path = folder.join(guarded);
            if path.exists() {
                view.add(&path, Mount::Held);
            }
        }
    }
}

/// Whether this is a folder and no link to one.
fn is_folder(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|data| data.is_dir())
}

/// The git directories of submodules and worktrees: folders with a `HEAD`. The name of a submodule may
/// have slashes, so they lie at any depth.
fn git_folders_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut next = vec![folder.to_owned()];
    while let Some(folder) = next.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            if !is_folder(&path) {
                continue;
            }
            if path.join("HEAD").is_file() {
                next.push(path.join("modules"));
                found.push(path);
            } else {
                next.push(path);
            }
        }
    }
    found
}

/// Covers what is closed, and the sockets of programs outside.
fn cover_closed(view: &mut View, grants: &Grants) {
    for path in grants.closed.iter() {
        let is_covered = path.parent().is_some_and(|parent| grants.is_closed(parent));
        // What a link points to is closed by itself, or is not shown at all.
        if is_covered || path.is_symlink() || !path.exists() || !is_shown(path, grants) {
            continue;
        }
        // A cache in a closed folder.
        if view.0.iter().any(|(shown, mount)| shown == path && *mount == Mount::Writable) {
            continue;
        }
        let holds_shown = view.0.iter().any(|(shown, _)| shown != path && shown.starts_with(path));
        let mount = if holds_shown { Mount::Empty } else { Mount::Closed };
        view.add(path, mount);
    }
    for socket in grants.sockets.iter().filter(|socket| !grants.is_closed(socket)) {
        view.add(socket, Mount::Closed);
    }
}

/// What was there before the child, to see afterwards what has come.
#[derive(Debug)]
pub(crate) struct Aftermath {
    guarded: BTreeSet<PathBuf>,
    repositories: BTreeSet<PathBuf>,
    /// Guarded links and where they led: a link cannot be held by a mount.
    links: Vec<(PathBuf, PathBuf)>,
    /// Files of git that were missing.
    missing: Vec<PathBuf>,
    /// What the policy guards and was missing.
    missing_guarded: Vec<PathBuf>,
}

impl Aftermath {
    pub(crate) fn before(policy: &Policy, grants: &Grants) -> Self {
        let git_folders = grants.repositories.iter().chain(&policy.git_dir);
        let in_git: Vec<PathBuf> = git_folders
            .filter(|path| is_folder(path))
            .flat_map(|git| places::GIT_GUARDED.iter().map(|guarded| git.join(guarded)))
            .collect();
        let held = grants.guarded.iter().chain(&grants.repositories).chain(&in_git);
        let links = held.filter_map(|path| Some((path.clone(), path.read_link().ok()?)));
        let links = links.collect();
        let missing = in_git.into_iter();
        let missing_guarded = policy.guarded.iter().filter(|path| !path.exists()).cloned();
        Self {
            guarded: grants.guarded.clone(),
            repositories: grants.repositories.clone(),
            links,
            missing: missing.filter(|path| std::fs::symlink_metadata(path).is_err()).collect(),
            missing_guarded: missing_guarded.collect(),
        }
    }

    /// Moves aside what has come into being where it must not. `after` are the grants now.
    pub(crate) fn settle(self, after: &Grants) -> Vec<SetAside> {
        let mut came: BTreeSet<PathBuf> =
            after.guarded.difference(&self.guarded).cloned().collect();
        let missing = self.missing.into_iter().chain(self.missing_guarded);
        came.extend(missing.filter(|path| std::fs::symlink_metadata(path).is_ok()));
        for (path, target) in &self.links {
            let still = path.read_link().is_ok_and(|now| now == *target);
            if !still && std::fs::symlink_metadata(path).is_ok() {
                came.insert(path.clone());
            }
        }
        let mut told: Vec<SetAside> = Vec::new();
        for path in came {
            let went_along = told.iter().any(|before| path.starts_with(&before.path));
            if !went_along {
                let moved_to = move_aside(&path).ok();
                told.push(SetAside { path, moved_to });
            }
        }
        // A new repository may be what was asked for. It is told of, since git runs what its
        // configuration names.
        for path in after.repositories.difference(&self.repositories) {
            told.push(SetAside { path: path.clone(), moved_to: None });
        }
        for (path, target) in &self.links {
            let is_gone = std::fs::symlink_metadata(path).is_err();
            if is_gone && told.iter().any(|aside| aside.path == *path) {
                let _ = std::os::unix::fs::symlink(target, path);
            }
        }
        told
    }
}

/// Gives the entry a name that no program looks for, in the same folder.
fn move_aside(path: &Path) -> io::Result<PathBuf> {
    let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // No link on the way: a child of an earlier line may be swapping folders.
    let folder = openat2(CWD, parent, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)?;
    for number in 1..=MAX_NAMES {
        let new = aside_name(name, number);
        match renameat_with(&folder, name, &folder, &new, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(parent.join(new)),
            Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// How many names are tried for something that is moved aside.
const MAX_NAMES: u32 = 100;

fn aside_name(name: &OsStr, number: u32) -> OsString {
    let mut new = name.as_bytes().to_vec();
    new.extend_from_slice(format!(".set-aside-{number}").as_bytes());
    OsStr::from_bytes(&new).to_owned()
}
