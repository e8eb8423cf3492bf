//! From a policy and the places as they are now to rules: this path may be read, that one run.
//!
//! The kernel only grants, and a grant for a folder reaches everything below it. So where something
//! closed lies deeper, the folders on the way are *split*: they themselves may be listed, and each
//! of their entries gets a rule of its own, except the closed one. First everything closed is
//! found, then the places are opened around it.

use std::{
    collections::{BTreeSet, HashSet},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    path_set::PathSet,
    places::{self, Right},
    policy::Policy,
    walk::{Kind, Memory},
};

/// Folders of a workspace that are looked into for secrets. What lies beyond is closed.
const MAX_WORKSPACE_FOLDERS: usize = 50_000;
/// Folders that one other project in the home may have. A larger one is closed as a whole, since
/// each of its folders would be looked at again before every line.
const MAX_NEIGHBOUR_FOLDERS: usize = 1_000;
/// The same for all other projects together.
const MAX_HOME_FOLDERS: usize = 4_000;

/// One rule for the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) path: PathBuf,
    pub(crate) right: Right,
    /// `None` where the place was not looked at: it is one of the system's.
    pub(crate) kind: Option<Kind>,
}

/// What a confined line may touch, and what was found on the way.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    pub(crate) rules: Vec<Rule>,
    /// Folders whose entries have rules of their own: a change in one makes the rules stale.
    pub(crate) splits: HashSet<PathBuf>,
    /// Everything closed inside what is open.
    pub(crate) closed: PathSet,
    /// Sockets in the workspace and the home.
    pub(crate) sockets: Vec<PathBuf>,
    /// Existing places in the workspace that other programs run.
    pub(crate) guarded: BTreeSet<PathBuf>,
    /// Every `.git` in the workspace, folder or file.
    pub(crate) repositories: BTreeSet<PathBuf>,
    /// Folders that were too many to be looked into, and are closed therefore.
    pub(crate) unseen: usize,
    /// Places with rules of their own, also where they lie in something closed.
    pub(crate) own: PathSet,
}

impl Grants {
    /// Whether the path is closed, or lies in something closed.
    pub(crate) fn is_closed(&self, path: &Path) -> bool {
        for place in path.ancestors() {
            if self.closed.contains(place) {
                return true;
            }
            if self.own.contains(place) {
                return false;
            }
        }
        false
    }
}

/// The grants of one policy, kept up to date.
#[derive(Debug, Default)]
pub(crate) struct Book {
    memory: Memory,
    grants: Option<Arc<Grants>>,
    edition: u64,
}

impl Book {
    /// What is granted and closed now. Looks at every folder that the last answer was made from.
    pub(crate) fn current(&mut self, policy: &Policy, scratch: &Path) -> Arc<Grants> {
        let changes = self.memory.look();
        if let Some(grants) = &self.grants
            && changes.folders.is_empty()
        {
            return grants.clone();
        }
        let new = Arc::new(plan(policy, scratch, &mut self.memory));
        // A change in a folder that is granted as a whole is none of the rules, unless it brought
        // something that is to be closed.
        let still_fits = self
            .grants
            .as_ref()
            .is_some_and(|old| old.rules == new.rules && old.splits.is_disjoint(&changes.folders));
        if !still_fits {
            self.edition += 1;
        }
        self.grants = Some(new.clone());
        new
    }

    /// The number of the rules: as long as it stays, rules that were made before still fit.
    pub(crate) fn edition(&self) -> u64 {
        self.edition
    }

    /// What was seen of the folders.
    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }
}

/// Makes the rules from what the memory knows, reading what it does not know yet.
fn plan(policy: &Policy, scratch: &Path, memory: &mut Memory) -> Grants {
    memory.begin_round();
    let mut own: PathSet = policy.own_places().cloned().collect();
    own.insert(scratch.to_owned());
    let mut planner = Planner {
        policy,
        memory,
        own,
        named: Vec::new(),
        grants: Grants::default(),
        home_left: MAX_HOME_FOLDERS,
    };
    planner.close_fixed();
    planner.find_in_home();
    planner.find_in_workspace();
    planner.open_all(scratch);
    let mut grants = planner.grants;
    grants.own = planner.own;
    memory.end_round();
    grants
}

struct Planner<'a> {
    policy: &'a Policy,
    memory: &'a mut Memory,
    /// Places with rules of their own.
    own: PathSet,
    /// Places of the home that are open by name.
    named: Vec<(PathBuf, Right)>,
    grants: Grants,
    home_left: usize,
}

/// How a walk through a folder ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Walked {
    Whole,
    TooLarge,
}

/// Whose files a walk goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Workspace,
    Neighbour,
}

impl Planner<'_> {
    fn close_fixed(&mut self) {
        let secrets = places::SYSTEM_SECRETS.iter().map(PathBuf::from);
        self.grants.closed.extend(secrets);
        self.grants.closed.extend(self.policy.closed.iter().cloned());
        let (folder, prefix) = places::HOST_KEYS;
        let folder = Path::new(folder);
        let Ok(listed) = self.memory.list(folder) else { return };
        for entry in &listed.entries {
            if entry.name.to_string_lossy().starts_with(prefix) {
                self.grants.closed.insert(folder.join(&entry.name));
            }
        }
    }

    fn find_in_home(&mut self) {
        let Some(home) = self.policy.home.clone() else { return };
        for secret in places::HOME_SECRETS {
            self.grants.closed.insert(home.join(secret));
        }
        self.find_in_home_folder(&home, Path::new(""));
        for folder in places::LINKED_TOOLCHAINS {
            self.name_linked(&home.join(folder));
        }
    }

    /// Toolchains that are linked into a folder of toolchains.
    fn name_linked(&mut self, folder: &Path) {
        let Ok(listed) = self.memory.list(folder) else { return };
        for entry in listed.entries.iter().filter(|entry| entry.kind == Kind::Link) {
            self.named.push((folder.join(&entry.name), Right::Run));
        }
    }

    /// One folder of the home that the lists speak of; `relative` is its path from the home.
    fn find_in_home_folder(&mut self, folder: &Path, relative: &Path) {
        let Ok(listed) = self.memory.list(folder) else {
            self.grants.closed.insert(folder.to_owned());
            return;
        };
        for entry in &listed.entries {
            let path = folder.join(&entry.name);
            if self.own.contains(&path) {
                continue;
            }
            let relative = relative.join(&entry.name);
            match named(&relative) {
                Named::Open(right) => self.named.push((path, right)),
                Named::HasOpen if entry.kind == Kind::Folder => {
                    self.find_in_home_folder(&path, &relative);
                }
                Named::HasOpen if entry.kind == Kind::Link => self.name_below(&relative),
                _ if is_hidden(&relative) || places::is_secret(&entry.name) => {
                    self.close(path, entry.kind);
                }
                _ => self.find_in_neighbour(path, entry.kind, listed.device()),
            }
        }
    }

    /// A toolchain whose folder is a link: what is open in it by name is opened where it really is.
    fn name_below(&mut self, relative: &Path) {
        let Some(home) = &self.policy.home else { return };
        for (place, right) in places::HOME {
            if Path::new(place).starts_with(relative) {
                self.named.push((home.join(place), *right));
            }
        }
    }

    /// Something of the home that the lists do not speak of: a project, documents.
    fn find_in_neighbour(&mut self, path: PathBuf, kind: Kind, device: u64) {
        if kind == Kind::Socket {
            self.grants.sockets.push(path);
            return;
        }
        if kind != Kind::Folder {
            return;
        }
        if self.own.has_below(&path) {
            self.find_on_the_way(&path, device);
            return;
        }
        let limit = MAX_NEIGHBOUR_FOLDERS.min(self.home_left);
        let is_too_large = self.memory.is_too_large(&path)
            || self.find(&path, limit, Scope::Neighbour, device) == Walked::TooLarge;
        if is_too_large {
            self.memory.set_too_large(&path);
            self.grants.closed.insert(path);
            self.grants.unseen += 1;
        }
    }

    /// A folder that the workspace lies in: its other entries are neighbours, each by itself.
    fn find_on_the_way(&mut self, folder: &Path, device: u64) {
        let Ok(listed) = self.memory.list(folder) else {
            self.grants.closed.insert(folder.to_owned());
            return;
        };
        for entry in &listed.entries {
            let path = folder.join(&entry.name);
            if self.own.contains(&path) {
                continue;
            }
            if places::is_secret(&entry.name) {
                self.close(path, entry.kind);
                continue;
            }
            self.find_in_neighbour(path, entry.kind, device);
        }
    }

    fn find_in_workspace(&mut self) {
        let mut roots = vec![self.policy.workspace.clone()];
        roots.extend(self.policy.reads.iter().cloned());
        for root in roots {
            let is_home = self.policy.home.as_ref() == Some(&root);
            if is_home || !root.is_dir() {
                continue;
            }
            self.find(&root, MAX_WORKSPACE_FOLDERS, Scope::Workspace, 0);
        }
        let guarded = self.policy.guarded.iter().filter(|path| path.exists()).cloned();
        self.grants.guarded.extend(guarded);
    }

    /// Looks through a folder for what is closed, guarded, or a socket. Folders beyond the limit are
    /// closed one by one in a workspace; a neighbour's walk ends there.
    fn find(&mut self, root: &Path, limit: usize, scope: Scope, device: u64) -> Walked {
        let mut next = vec![root.to_owned()];
        let mut later = Vec::new();
        let mut seen = 0;
        while let Some(folder) = next.pop().or_else(|| later.pop()) {
            if seen == limit {
                if scope == Scope::Neighbour {
                    return Walked::TooLarge;
                }
                self.grants.closed.insert(folder);
                self.grants.unseen += 1;
                continue;
            }
            seen += 1;
            let listed = match self.memory.list(&folder) {
                Ok(listed) => listed,
                Err(_) => {
                    self.grants.closed.insert(folder);
                    continue;
                }
            };
            // Another device in a home is a share or somebody's phone: looking at it may hang.
            if scope == Scope::Neighbour && listed.device() != device {
                self.grants.closed.insert(folder);
                continue;
            }
            for entry in &listed.entries {
                let path = folder.join(&entry.name);
                if self.own.contains(&path) {
                    continue;
                }
                if scope == Scope::Workspace {
                    self.note_guarded(&path, entry.kind);
                }
                if places::is_secret(&entry.name) {
                    self.close(path, entry.kind);
                    continue;
                }
                let is_bulk = places::is_bulk(&entry.name);
                match entry.kind {
                    Kind::Socket => self.grants.sockets.push(path),
                    Kind::Folder if entry.name == ".git" => {}
                    Kind::Folder if !is_bulk => next.push(path),
                    Kind::Folder if scope == Scope::Workspace => later.push(path),
                    Kind::Folder => {
                        self.grants.closed.insert(path);
                    }
                    _ => {}
                }
            }
        }
        if scope == Scope::Neighbour {
            self.home_left -= seen;
        }
        Walked::Whole
    }

    fn note_guarded(&mut self, path: &Path, kind: Kind) {
        let Some(name) = path.file_name() else { return };
        // What a package manager unpacked has such names too, and nobody starts a program there.
        let is_inside_bulk = path
            .strip_prefix(&self.policy.workspace)
            .is_ok_and(|inside| inside.iter().any(places::is_bulk));
        if is_inside_bulk || !path.starts_with(&self.policy.workspace) {
            return;
        }
        if name == ".git" {
            self.grants.repositories.insert(path.to_owned());
        }
        if places::is_guarded(name) {
            self.grants.guarded.insert(path.to_owned());
        }
        if kind != Kind::Folder {
            return;
        }
        for (folder, files) in places::GUARDED_INSIDE {
            if name != *folder {
                continue;
            }
            let files = files.iter().map(|file| path.join(file)).filter(|path| path.exists());
            self.grants.guarded.extend(files);
        }
    }

    /// Closes a secret. Where it is a link, what it points to is closed too: the name says what is
    /// in it, wherever it lies.
    fn close(&mut self, path: PathBuf, kind: Kind) {
        let target = path.canonicalize();
        self.grants.closed.insert(path);
        if let (Kind::Link, Ok(target)) = (kind, target) {
            self.close_target(target);
        }
    }

    fn close_target(&mut self, target: PathBuf) {
        let holds_own_place = self.own.contains(&target) || self.own.has_below(&target);
        let is_ours = self.own.iter().any(|place| target.starts_with(place));
        if !holds_own_place && (is_ours || target.starts_with("/etc")) {
            self.grants.closed.insert(target);
        }
    }

    fn open_all(&mut self, scratch: &Path) {
        for (path, right) in places::KERNEL.iter().chain(places::DEVICES) {
            let rule = Rule { path: PathBuf::from(path), right: *right, kind: None };
            self.grants.rules.push(rule);
        }
        let mut opened = HashSet::new();
        for (path, right) in places::SYSTEM {
            // `/bin` is a link to `/usr/bin` on most systems, and is granted with it.
            let Ok(path) = Path::new(path).canonicalize() else { continue };
            if opened.insert(path.clone()) {
                self.open_place(&path, *right);
            }
        }
        for (path, right) in std::mem::take(&mut self.named) {
            let Ok(resolved) = path.canonicalize() else { continue };
            // A link of that name to `/` would open everything.
            if resolved == path || !self.own.has_below(&resolved) {
                self.open_place(&resolved, right);
            }
        }
        let own: Vec<PathBuf> = self.policy.own_places().cloned().collect();
        for path in own {
            self.open_place(&path, Right::Read);
        }
        self.open_place(scratch, Right::Write);
        self.grants
            .rules
            .sort_by(|a, b| (a.path.as_os_str(), a.right).cmp(&(b.path.as_os_str(), b.right)));
        self.grants.rules.dedup();
    }

    /// Opens a place that a list or the policy names.
    fn open_place(&mut self, path: &Path, right: Right) {
        let Ok(data) = std::fs::symlink_metadata(path) else { return };
        let kind = if data.is_dir() { Kind::Folder } else { Kind::File };
        // A named place that is itself closed by name (`~/.cargo/credentials`) stays closed; one
        // that lies in something closed (artifacts in the state of the harness) is open.
        let is_closed = self.grants.closed.contains(path);
        if is_closed && !self.own.contains(path) {
            return;
        }
        self.open_inside(path, kind, right);
    }

    fn open(&mut self, path: PathBuf, kind: Kind, right: Right) {
        if self.grants.closed.contains(&path) || self.own.contains(&path) {
            return;
        }
        self.open_inside(&path, kind, right);
    }

    fn open_inside(&mut self, path: &Path, kind: Kind, right: Right) {
        let holds_own_rules = || self.grants.closed.has_below(path) || self.own.has_below(path);
        if kind != Kind::Folder || !holds_own_rules() {
            self.grants.rules.push(Rule { path: path.to_owned(), right, kind: Some(kind) });
            return;
        }
        let listed = match self.memory.list(path) {
            Ok(listed) => listed,
            Err(_) => return,
        };
        self.grants.splits.insert(path.to_owned());
        let list = Rule { path: path.to_owned(), right: Right::List, kind: Some(kind) };
        self.grants.rules.push(list);
        for entry in &listed.entries {
            // A link needs no right: what counts is where it leads. Sockets and pipes get none.
            if matches!(entry.kind, Kind::Folder | Kind::File) {
                self.open(path.join(&entry.name), entry.kind, right);
            }
        }
    }
}

/// What the list of the home says of a path.
enum Named {
    Open(Right),
    /// Something below it is open.
    HasOpen,
    Unnamed,
}

fn named(relative: &Path) -> Named {
    let relative = relative.as_os_str().as_bytes();
    let mut found = Named::Unnamed;
    for (place, right) in places::HOME {
        let Some(rest) = place.as_bytes().strip_prefix(relative) else { continue };
        match rest.first() {
            None => return Named::Open(*right),
            Some(b'/') => found = Named::HasOpen,
            Some(_) => {}
        }
    }
    found
}

fn is_hidden(relative: &Path) -> bool {
    relative.as_os_str().as_bytes().starts_with(b".")
}
