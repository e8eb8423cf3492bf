//! How far a line is kept in, and what this machine can do about it.

#[cfg(target_os = "linux")]
use std::io;
use std::{
    fmt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// How far a line is kept in, from tight to loose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Reads what the policy lets be read, writes nothing but a scratch folder, has no network and
    /// runs nothing that lies in the workspace.
    ReadOnly,
    /// Writes the workspace too, except what other programs run; has a loopback of its own.
    Workspace,
    /// Is not kept in.
    Free,
}

impl Level {
    /// The name in settings and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::Workspace => "workspace",
            Self::Free => "free",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a machine offers. Found once; a later change of the kernel's settings is not noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The version of Landlock's interface.
    pub landlock: Result<u8, Missing>,
    /// Whether the kernel takes filters for system calls.
    pub seccomp: Result<(), Missing>,
    /// Where a `bwrap` lies that works here.
    pub bwrap: Result<PathBuf, Missing>,
    /// Where `sandbox-exec` lies, on macOS.
    pub sandbox_exec: Result<PathBuf, Missing>,
    /// Whether this program runs as root.
    pub is_root: bool,
}

/// Why something is not there, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// What is the case.
    pub reason: String,
    /// What would help.
    pub remedy: String,
}

impl Missing {
    fn new(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { reason: reason.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.reason, self.remedy)
    }
}

impl Machine {
    /// Looks what there is by trying it: 10 ms or so, most of it for one start of `bwrap`.
    pub fn find() -> Self {
        Self::find_for(Level::Workspace)
    }

    /// The same, but looks for `bwrap` only where the level needs it.
    pub fn find_for(level: Level) -> Self {
        let bwrap = if level == Level::Workspace { find_bwrap() } else { Err(no_bwrap()) };
        Self {
            landlock: find_landlock(),
            seccomp: find_seccomp(),
            bwrap,
            sandbox_exec: find_sandbox_exec(),
            is_root: rustix::process::geteuid().is_root(),
        }
    }

    /// The same machine with an older Landlock, or with none for 0. What the older one cannot say,
    /// the filter refuses, so nothing gets weaker by it.
    #[must_use]
    pub fn with_landlock(mut self, version: u8) -> Self {
        self.landlock = match self.landlock {
            Ok(offered) if version > 0 => Ok(offered.min(version)),
            Ok(_) => Err(no_landlock()),
            Err(missing) => Err(missing),
        };
        self
    }

    /// The same machine without `bwrap`.
    #[must_use]
    pub fn without_bwrap(mut self) -> Self {
        self.bwrap = Err(no_bwrap());
        self
    }

    /// Why the level does not exist here, if it does not.
    ///
    /// # Errors
    /// The missing part.
    pub fn has(&self, level: Level) -> Result<(), Missing> {
        if cfg!(target_os = "macos") && level != Level::Free {
            return self.sandbox_exec.clone().map(|_| ());
        }
        match level {
            Level::ReadOnly => {
                self.landlock.clone()?;
                self.seccomp.clone()
            }
            Level::Workspace => {
                self.seccomp.clone()?;
                self.bwrap.clone().map(|_| ())
            }
            Level::Free => Ok(()),
        }
    }

    /// One line for each level, and what to install for those that are missing.
    pub fn report(&self) -> Vec<String> {
        let levels = [Level::ReadOnly, Level::Workspace, Level::Free];
        levels.into_iter().map(|level| self.report_level(level)).collect()
    }

    fn report_level(&self, level: Level) -> String {
        if let Err(missing) = self.has(level) {
            return format!("{level}: no: {missing}");
        }
        let person = if self.is_root { "as root" } else { "as an ordinary user" };
        let version = self.landlock.as_ref().copied().unwrap_or_default();
        let bwrap = self.bwrap.as_deref().unwrap_or(Path::new(""));
        if cfg!(target_os = "macos") && level != Level::Free {
            return format!("{level}: yes (sandbox-exec; not tested on this system)");
        }
        match level {
            Level::ReadOnly => format!("{level}: yes (Landlock ABI {version}, seccomp, {person})"),
            Level::Workspace => format!("{level}: yes ({}, seccomp, {person})", bwrap.display()),
            Level::Free => format!("{level}: yes (not kept in)"),
        }
    }
}

fn no_landlock() -> Missing {
    Missing::new(
        "the kernel has no Landlock",
        "Linux 5.13 or newer has it; where it is switched off, add landlock to lsm= at boot",
    )
}

fn no_bwrap() -> Missing {
    Missing::new(
        "bwrap is not installed",
        "install the package bubblewrap (apt install bubblewrap, dnf install bubblewrap)",
    )
}

/// Programs that this crate starts by itself are looked for here only, never on the user's PATH,
/// which may begin in a workspace.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    const FOLDERS: [&str; 4] = ["/usr/bin", "/bin", "/usr/local/bin", "/run/current-system/sw/bin"];
    FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file())
}

#[cfg(target_os = "linux")]
fn find_landlock() -> Result<u8, Missing> {
    use landlock::{Access, AccessFs, LandlockStatus, Ruleset, RulesetAttr, RulesetStatus};
    // A thread of its own, since the only proof is to restrict somebody.
    let tried = on_a_thread(|| {
        let ruleset = Ruleset::default().handle_access(AccessFs::from_all(landlock::ABI::V1))?;
        ruleset.create()?.restrict_self()
    });
    let status = match tried {
        Ok(Ok(status)) => status,
        Ok(Err(error)) => {
            return Err(Missing::new(
                format!("Landlock does not work: {error}"),
                "a container may forbid it; allow the landlock calls in its seccomp profile",
            ));
        }
        Err(error) => return Err(Missing::new(error.to_string(), "free some memory")),
    };
    match status.landlock {
        LandlockStatus::Available { effective_abi, .. }
            if status.ruleset == RulesetStatus::FullyEnforced =>
        {
            Ok(effective_abi as u8)
        }
        _ => Err(no_landlock()),
    }
}

#[cfg(target_os = "linux")]
fn find_seccomp() -> Result<(), Missing> {
    let cannot = |reason: String| {
        Missing::new(reason, "use a kernel with seccomp filters (CONFIG_SECCOMP_FILTER)")
    };
    let purpose = crate::filter::Purpose::ReadOnly { landlock: 1 };
    let program = crate::filter::compile(purpose)
        .map_err(|error| cannot(format!("no filter for this machine: {error}")))?;
    let tried = on_a_thread(move || seccompiler::apply_filter(&program));
    match tried {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(cannot(format!("seccomp does not work: {error}"))),
        Err(error) => Err(Missing::new(error.to_string(), "free some memory")),
    }
}

/// Runs the closure on a thread that ends with it, so that what it does to its thread ends too.
#[cfg(target_os = "linux")]
fn on_a_thread<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let thread = std::thread::Builder::new().name("confined".to_owned()).spawn(run)?;
    thread.join().map_err(|_| io::Error::other("the trying thread broke down"))
}

#[cfg(not(target_os = "linux"))]
fn find_landlock() -> Result<u8, Missing> {
    Err(Missing::new("Landlock is a part of Linux", "this system has no such level yet"))
}

#[cfg(not(target_os = "linux"))]
fn find_seccomp() -> Result<(), Missing> {
    Err(Missing::new("seccomp is a part of Linux", "this system has no such level yet"))
}

fn find_sandbox_exec() -> Result<PathBuf, Missing> {
    let missing = Missing::new("sandbox-exec is a part of macOS", "nothing is to be done here");
    find_program("sandbox-exec").ok_or(missing)
}

fn find_bwrap() -> Result<PathBuf, Missing> {
    let Some(path) = find_program("bwrap") else { return Err(no_bwrap()) };
    // The same namespaces and mounts that a line gets: in some containers one of them is forbidden.
    #[expect(clippy::disallowed_methods, reason = "a trial of bwrap itself, not a line of anybody")]
    let mut command = Command::new(&path);
    command
        .args(["--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc"])
        .args(["--die-with-parent", "--cap-drop", "ALL", "--ro-bind", "/", "/"])
        .args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--", "/bin/sh", "-c", ":"])
        .stdin(Stdio::null());
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            return Err(Missing::new(
                format!("{} does not start: {error}", path.display()),
                "install the package bubblewrap anew",
            ));
        }
    };
    if output.status.success() {
        return Ok(path);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let first = said.lines().next().unwrap_or("it says nothing").to_owned();
    Err(Missing::new(
        format!("bwrap does not work here: {first}"),
        "allow user namespaces (kernel.unprivileged_userns_clone, user.max_user_namespaces, \
         AppArmor's restriction), or start the container with them",
    ))
}
