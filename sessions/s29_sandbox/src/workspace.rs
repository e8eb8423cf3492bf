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
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::PermissionsExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{
        CWD, MemfdFlags, Mode, OFlags, RenameFlags, ResolveFlags, SealFlags, fcntl_add_seals,
        memfd_create, openat2, renameat_with,
    },
    io::{FdFlags, fcntl_setfd},
};
use seccompiler::BpfProgram;

use crate::{
    filter::{self, Purpose},
    grants::Grants,
    launch::Launch,
    places,
    policy::Policy,
    scratch::{Scratch, ScratchParent},
};

/// What the level is made of on this machine.
#[derive(Debug)]
pub(crate) struct Bwrap {
    path: PathBuf,
    program: Arc<BpfProgram>,
    /// Private `/tmp` of all lines of the sandbox.
    temporary: PathBuf,
    /// A folder and a file that nobody may read, to cover others with.
    empty_folder: PathBuf,
    empty_file: PathBuf,
}

/// Something that came into being where it must not, under its new name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Where it was made.
    pub path: PathBuf,
    /// Where it is now. `None`: it could not be moved, or is only told of.
    pub moved_to: Option<PathBuf>,
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
        Ok(Self { path, program: Arc::new(program), temporary, empty_folder, empty_file })
    }

    /// The launch with `bwrap` before it, and the file that must be open when it starts.
    pub(crate) fn wrap(
        &self,
        mut launch: Launch,
        policy: &Policy,
        grants: &Grants,
        scratch: &Scratch,
    ) -> io::Result<(Launch, SealedFilter)> {
        let directory = launch.directory.canonicalize()?;
        let filter = SealedFilter::new(&self.program)?;
        let mut view = View::default();
        view.words(["--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc"]);
        view.words(["--unshare-uts", "--die-with-parent", "--cap-drop", "ALL"]);
        view.words(["--seccomp", &filter.number()]);
        self.show_system(&mut view);
        show_own_places(&mut view, policy);
        guard_workspace(&mut view, policy, grants);
        let caches = existing_caches(policy, grants);
        self.cover_closed(&mut view, grants, &caches);
        for cache in &caches {
            view.bind("--bind", cache);
        }
        // What is closed inside a cache was shown again by it.
        for closed in &grants.closed {
            if caches.iter().any(|cache| closed.starts_with(cache) && closed != cache) {
                self.cover(&mut view, closed);
            }
        }
        show_links(&mut view, policy, grants);
        for place in &policy.opened {
            view.bind("--ro-bind", place);
        }
        view.bind("--bind", scratch.path());
        view.words(["--chdir"]);
        view.path(&directory);
        view.words(["--"]);
        view.path(Path::new(&launch.program));
        view.0.append(&mut launch.arguments);
        launch.default_env("PWD", Some(directory.as_os_str()));
        launch.program = self.path.clone().into_os_string();
        launch.arguments = view.0;
        launch.directory = PathBuf::from("/");
        Ok((launch, filter))
    }

    fn show_system(&self, view: &mut View) {
        for (place, _) in places::SYSTEM {
            let place = Path::new(place);
            match place.read_link() {
                Ok(target) => view.pair("--symlink", &target, place),
                Err(_) => view.bind("--ro-bind-try", place),
            }
        }
        view.words(["--ro-bind-try", "/sys", "/sys", "--proc", "/proc", "--dev", "/dev"]);
        view.pair("--bind", &self.temporary, Path::new("/tmp"));
        view.pair("--bind", &self.temporary, Path::new("/var/tmp"));
    }

    /// Covers what is closed. A closed folder that holds a place with rules of its own becomes an empty
    /// one, so that there is somewhere to bind that place.
    fn cover_closed(&self, view: &mut View, grants: &Grants, caches: &[PathBuf]) {
        for path in &grants.closed {
            let is_covered = path.parent().is_some_and(|parent| grants.is_closed(parent));
            if is_covered {
                continue;
            }
            let Ok(data) = std::fs::symlink_metadata(path) else { continue };
            // What a link points to is closed by itself, or is not shown at all.
            if data.is_symlink() || !is_shown(path, grants) {
                continue;
            }
            let mut open = grants.own.iter().chain(caches);
            let holds_open_place = open.any(|place| place.starts_with(path));
            if data.is_dir() && holds_open_place {
                view.words(["--tmpfs"]);
                view.path(path);
            } else {
                self.cover(view, path);
            }
        }
        for socket in &grants.sockets {
            view.pair("--ro-bind", &self.empty_file, socket);
        }
    }

    fn cover(&self, view: &mut View, path: &Path) {
        let Ok(data) = std::fs::symlink_metadata(path) else { return };
        let cover = if data.is_dir() { &self.empty_folder } else { &self.empty_file };
        view.pair("--ro-bind", cover, path);
    }
}

/// Whether the path lies in something that the view shows at all.
fn is_shown(path: &Path, grants: &Grants) -> bool {
    let is_ours = grants.own.iter().any(|own| path.starts_with(own));
    is_ours || places::SYSTEM.iter().any(|(place, _)| path.starts_with(place))
}

/// A home or workspace that is known by a link is there under that name too. Where the folder of the
/// link is shown, so is the link.
fn show_links(view: &mut View, policy: &Policy, grants: &Grants) {
    for link in &policy.links {
        let Some(parent) = link.parent().and_then(|parent| parent.canonicalize().ok()) else {
            continue;
        };
        let Ok(target) = link.canonicalize() else { continue };
        if !is_shown(&parent, grants) {
            view.pair("--symlink", &target, link);
        }
    }
}

/// The home, the workspace and what else the policy names.
fn show_own_places(view: &mut View, policy: &Policy) {
    let mut places: Vec<(&PathBuf, &str)> = vec![(&policy.workspace, "--bind")];
    places.extend(policy.home.iter().map(|path| (path, "--ro-bind")));
    places.extend(policy.reads.iter().map(|path| (path, "--ro-bind")));
    places.extend(policy.git_dir.iter().map(|path| (path, "--bind")));
    // A place around another one comes first, or it would hide it.
    places.sort_by_key(|(path, _)| path.components().count());
    for (path, word) in places {
        view.bind(word, path);
    }
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

/// Binds read-only what other programs run, and `.git` on itself before its holes: as a mount point it
/// cannot be renamed away.
fn guard_workspace(view: &mut View, policy: &Policy, grants: &Grants) {
    for path in &grants.guarded {
        match path.read_link() {
            Ok(_) => {
                let target = path.canonicalize().ok();
                let inside = target.filter(|target| target.starts_with(&policy.workspace));
                if let Some(target) = inside {
                    view.bind("--ro-bind-try", &target);
                }
            }
            Err(_) => view.bind("--ro-bind-try", path),
        }
    }
    for path in grants.repositories.iter().chain(&policy.git_dir) {
        if path.is_dir() {
            guard_git_folder(view, path);
        } else {
            view.bind("--ro-bind-try", path);
        }
    }
}

fn guard_git_folder(view: &mut View, git: &Path) {
    // An empty folder of hooks is what git makes itself; without one there would be nothing to bind.
    let _ = std::fs::create_dir(git.join("hooks"));
    view.bind("--bind", git);
    for guarded in places::GIT_GUARDED {
        let path = git.join(guarded);
        if path.exists() {
            view.bind("--ro-bind-try", &path);
        }
    }
    for inner in ["modules", "worktrees"] {
        for folder in git_folders_below(&git.join(inner)) {
            for guarded in places::GIT_GUARDED {
                let path = folder.join(guarded);
                if path.exists() {
                    view.bind("--ro-bind-try", &path);
                }
            }
        }
    }
}

/// The git directories of submodules and worktrees: folders with a `HEAD`. The name of a submodule may
/// have slashes, so they lie at any depth.
fn git_folders_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut next = vec![folder.to_owned()];
    while let Some(folder) = next.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let path = entry.path();
            if path.join("HEAD").is_file() {
                found.push(path.clone());
                next.push(path.join("modules"));
            } else {
                next.push(path);
            }
        }
    }
    found
}

/// The words for `bwrap`.
#[derive(Debug, Default)]
struct View(Vec<OsString>);

impl View {
    fn words<'a>(&mut self, words: impl IntoIterator<Item = &'a str>) {
        self.0.extend(words.into_iter().map(OsString::from));
    }

    fn path(&mut self, path: &Path) {
        self.0.push(path.as_os_str().to_owned());
    }

    fn pair(&mut self, word: &str, from: &Path, to: &Path) {
        self.words([word]);
        self.path(from);
        self.path(to);
    }

    fn bind(&mut self, word: &str, path: &Path) {
        self.pair(word, path, path);
    }
}

/// The filter as a file in memory that nobody can change any more. `bwrap` sets it just before it starts
/// the program.
#[derive(Debug)]
pub(crate) struct SealedFilter(OwnedFd);

impl SealedFilter {
    fn new(program: &BpfProgram) -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = std::fs::File::from(memfd_create("filter", flags)?);
        let mut bytes = Vec::with_capacity(program.len() * 8);
        for instruction in program {
            bytes.extend_from_slice(&instruction.code.to_ne_bytes());
            bytes.push(instruction.jt);
            bytes.push(instruction.jf);
            bytes.extend_from_slice(&instruction.k.to_ne_bytes());
        }
        {
            use std::io::{Seek, Write};
            let mut writer = &file;
            writer.write_all(&bytes)?;
            writer.rewind()?;
        }
        let all = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        fcntl_add_seals(&file, all)?;
        Ok(Self(OwnedFd::from(file)))
    }

    fn number(&self) -> String {
        self.0.as_raw_fd().to_string()
    }

    /// Lets the next child inherit the file. Another child that starts at the same moment may get it
    /// too, which tells it nothing.
    pub(crate) fn pass_on(&self) -> io::Result<()> {
        fcntl_setfd(&self.0, FdFlags::empty())?;
        Ok(())
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
        let links = grants.guarded.iter().filter_map(|path| {
            let target = path.read_link().ok()?;
            Some((path.clone(), target))
        });
        let git_folders = grants.repositories.iter().chain(&policy.git_dir);
        let in_git = git_folders
            .filter(|path| path.is_dir())
            .flat_map(|git| places::GIT_GUARDED.iter().map(|guarded| git.join(guarded)));
        let missing_guarded = policy.guarded.iter().filter(|path| !path.exists()).cloned();
        Self {
            guarded: grants.guarded.clone(),
            repositories: grants.repositories.clone(),
            links: links.collect(),
            missing: in_git.filter(|path| std::fs::symlink_metadata(path).is_err()).collect(),
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
