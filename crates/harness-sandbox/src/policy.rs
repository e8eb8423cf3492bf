//! What the user and the harness say about a confined line: where it is at home, what it may read
//! besides, what is closed to it.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use crate::SandboxError;

/// The places of one workspace. All paths are resolved when they are given, so a home or a workspace
/// behind a link is its real place here.
#[derive(Debug, Clone)]
pub struct Policy {
    pub(crate) home: Option<PathBuf>,
    pub(crate) workspace: PathBuf,
    /// The names of home and workspace that are links, as they were given.
    pub(crate) links: Vec<PathBuf>,
    pub(crate) reads: Vec<PathBuf>,
    pub(crate) closed: Vec<PathBuf>,
    pub(crate) opened: Vec<PathBuf>,
    pub(crate) guarded: Vec<PathBuf>,
    pub(crate) caches: Vec<PathBuf>,
    pub(crate) git_dir: Option<PathBuf>,
    pub(crate) hidden: Vec<OsString>,
}

impl Policy {
    /// A line may read the home (never its secrets) and the workspace. A home that does not exist is
    /// left out.
    ///
    /// # Errors
    /// When the workspace is no folder, or is the root of the system or one of the kernel's places.
    pub fn new(home: Option<&Path>, workspace: &Path) -> Result<Self, SandboxError> {
        let cannot = |source| SandboxError::Place { path: workspace.to_owned(), source };
        let resolved = workspace.canonicalize().map_err(cannot)?;
        if !resolved.is_dir() {
            return Err(cannot(io::ErrorKind::NotADirectory.into()));
        }
        let kernel = ["/proc", "/sys", "/dev"];
        if resolved.parent().is_none() || kernel.iter().any(|place| resolved.starts_with(place)) {
            return Err(SandboxError::Unfit { path: resolved });
        }
        let given = home.into_iter().chain([workspace]);
        let links = given.filter(|path| path.is_absolute() && path.is_symlink());
        let links = links.map(Path::to_owned).collect();
        let home = home.and_then(|home| home.canonicalize().ok());
        let home = home.filter(|home| home.is_dir() && home.parent().is_some());
        Ok(Self {
            home,
            workspace: resolved,
            links,
            reads: Vec::new(),
            closed: Vec::new(),
            opened: Vec::new(),
            guarded: Vec::new(),
            caches: Vec::new(),
            git_dir: None,
            hidden: Vec::new(),
        })
    }

    /// Lets confined lines read this place too. Secrets in it stay closed. A place that does not
    /// exist is left out.
    #[must_use]
    pub fn read(mut self, path: impl AsRef<Path>) -> Self {
        self.reads.extend(path.as_ref().canonicalize());
        self
    }

    /// Closes a place at every confined level, whether it exists yet or not: the state of the
    /// harness, what a rule of the user denies.
    #[must_use]
    pub fn close(mut self, path: impl AsRef<Path>) -> Self {
        self.closed.push(resolve_parents(path.as_ref()));
        self
    }

    /// Lets confined lines read a place inside a closed one: the artifacts of a session.
    #[must_use]
    pub fn open(mut self, path: impl AsRef<Path>) -> Self {
        self.opened.extend(path.as_ref().canonicalize());
        self
    }

    /// Makes a place in the workspace read-only at `Workspace`, besides the names of
    /// [`crate::is_guarded`]: skills, or the sessions' own state.
    #[must_use]
    pub fn guard(mut self, path: impl AsRef<Path>) -> Self {
        self.guarded.push(resolve_parents(path.as_ref()));
        self
    }

    /// Lets builds at `Workspace` write this place too: a target folder outside the workspace.
    #[must_use]
    pub fn cache(mut self, path: impl AsRef<Path>) -> Self {
        self.caches.extend(path.as_ref().canonicalize());
        self
    }

    /// The common git directory of a worktree, where it lies outside the workspace. The caller must
    /// know it from git; what a `.git` file in a workspace says may be anybody's word.
    #[must_use]
    pub fn git_dir(mut self, path: impl AsRef<Path>) -> Self {
        self.git_dir = path.as_ref().canonicalize().ok();
        self
    }

    /// A variable that no child gets, at no level: the harness's own key.
    #[must_use]
    pub fn hide(mut self, name: impl Into<OsString>) -> Self {
        self.hidden.push(name.into());
        self
    }

    /// The real path of the workspace.
    pub fn workspace(&self) -> &Path {
        &self.workspace
    }

    /// The real path of the home, if there is one.
    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// The places that have rules of their own, wherever they lie: a rule for a place around them
    /// does not reach into them.
    pub(crate) fn own_places(&self) -> impl Iterator<Item = &PathBuf> {
        let home = self.home.iter();
        let workspace = std::iter::once(&self.workspace);
        home.chain(workspace).chain(&self.reads).chain(&self.opened).chain(&self.git_dir)
    }
}

/// The path with its existing part resolved, so that it can be compared although its end may not
/// exist yet.
fn resolve_parents(path: &Path) -> PathBuf {
    if let Ok(resolved) = path.canonicalize() {
        return resolved;
    }
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => resolve_parents(parent).join(name),
        _ => path.to_owned(),
    }
}
