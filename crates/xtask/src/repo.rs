//! The repository on disk: its root, its packages, its files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::names;

/// The workspace this binary works on.
pub(crate) struct Repo {
    pub(crate) root: PathBuf,
}

/// One member: a crate or a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Relative to the root, with forward slashes: `sessions/s03_todo_write`.
    pub(crate) dir: String,
}

impl Package {
    /// NN of a session, nothing for a crate.
    pub(crate) fn number(&self) -> Option<u32> {
        self.dir.strip_prefix("sessions/").and_then(names::number)
    }

    pub(crate) fn is_session(&self) -> bool {
        self.dir.starts_with("sessions/")
    }
}

impl Repo {
    /// Cargo says where xtask lies; a binary that is started by hand looks upwards from here.
    pub(crate) fn find() -> Result<Self, String> {
        let is_root = |dir: &Path| dir.join("crates/xtask/Cargo.toml").is_file();
        let here = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let start = here.map_or_else(std::env::current_dir, Ok).map_err(|e| e.to_string())?;
        start
            .ancestors()
            .find(|dir| is_root(dir))
            .map(|root| Self { root: root.to_owned() })
            .ok_or_else(|| "not inside the workspace: no crates/xtask above here".to_owned())
    }

    /// All members below `crates/` and `sessions/`, by folder name.
    pub(crate) fn packages(&self) -> Result<Vec<Package>, String> {
        let mut packages = Vec::new();
        for group in ["crates", "sessions"] {
            for name in folder(&self.root.join(group))? {
                if self.root.join(group).join(&name).join("Cargo.toml").is_file() {
                    packages.push(Package { dir: format!("{group}/{name}"), name });
                }
            }
        }
        Ok(packages)
    }

    pub(crate) fn sessions(&self) -> Result<Vec<Package>, String> {
        Ok(self.packages()?.into_iter().filter(Package::is_session).collect())
    }

    /// The session of this name, or an error that lists its neighbours.
    pub(crate) fn session(&self, name: &str) -> Result<Package, String> {
        let sessions = self.sessions()?;
        sessions.iter().find(|session| session.name == name).cloned().ok_or_else(|| {
            let near = names::near(name, sessions.iter().map(|session| session.name.as_str()));
            format!("no session is called {name:?}{near}")
        })
    }

    /// The session of this number.
    pub(crate) fn session_numbered(&self, number: u32) -> Result<Package, String> {
        let mut sessions = self.sessions()?.into_iter();
        let found = sessions.find(|session| session.number() == Some(number));
        found.ok_or_else(|| format!("there is no session s{number:02}"))
    }

    pub(crate) fn read(&self, path: &str) -> Result<String, String> {
        fs::read_to_string(self.root.join(path)).map_err(|e| format!("cannot read {path}: {e}"))
    }

    /// Every file that is, or would be, in a commit; without git, every file outside `target` and
    /// hidden folders.
    pub(crate) fn files(&self) -> Result<Vec<String>, String> {
        let listed = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(&self.root)
            .output();
        let mut files: Vec<String> = match listed {
            Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout)
                .split_terminator('\0')
                .filter(|path| self.root.join(path).is_file())
                .map(str::to_owned)
                .collect(),
            _ => walk(&self.root, "")?,
        };
        files.sort();
        files.dedup();
        Ok(files)
    }

    /// The files below one folder of the repository.
    pub(crate) fn files_below(&self, dir: &str) -> Result<Vec<String>, String> {
        let inside = format!("{dir}/");
        Ok(self.files()?.into_iter().filter(|path| path.starts_with(&inside)).collect())
    }
}

/// The names in a folder, sorted; none when it does not exist.
fn folder(dir: &Path) -> Result<Vec<String>, String> {
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let failed = |e| format!("cannot list {}: {e}", dir.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn walk(root: &Path, below: &str) -> Result<Vec<String>, String> {
    let mut files = Vec::new();
    for name in folder(&root.join(below))? {
        let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
        let full = root.join(&path);
        let skipped = matches!(name.as_str(), ".git" | "target" | ".harness") || full.is_symlink();
        if full.is_dir() && !skipped {
            files.extend(walk(root, &path)?);
        } else if full.is_file() && name != ".env" {
            files.push(path);
        }
    }
    Ok(files)
}

/// Copies one file, making its folder.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), String> {
    make_folder_of(to)?;
    fs::copy(from, to).map(drop).map_err(|e| format!("cannot copy {}: {e}", from.display()))
}

/// Writes one file, making its folder.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), String> {
    make_folder_of(path)?;
    fs::write(path, text).map_err(|e| format!("cannot write {}: {e}", path.display()))
}

fn make_folder_of(path: &Path) -> Result<(), String> {
    let Some(folder) = path.parent() else { return Ok(()) };
    fs::create_dir_all(folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))
}
