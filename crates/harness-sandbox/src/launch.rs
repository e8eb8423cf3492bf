//! A child that is ready to start, and one that runs.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use process_wrap::std::{CommandWrap, CommandWrapper, ProcessSession};

use crate::{files::Files, level::find_program, places, variables::secret_names};

/// What to start: a program, its arguments, where, with which variables and streams.
///
/// The child gets the variables of this program as changed here. Without a word about it, its input
/// is empty and its output goes nowhere.
#[derive(Debug)]
pub struct Launch {
    pub(crate) program: OsString,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) directory: PathBuf,
    pub(crate) variables: Vec<(OsString, Option<OsString>)>,
    pub(crate) files: Files,
    stdin: Stdio,
    stdout: Stdio,
    stderr: Stdio,
}

impl Launch {
    /// A program, by path or by a name that is looked up on the child's `PATH`, and the directory
    /// that it runs in.
    pub fn new(program: impl Into<OsString>, directory: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            directory: directory.into(),
            variables: Vec::new(),
            files: Files::default(),
            stdin: Stdio::null(),
            stdout: Stdio::null(),
            stderr: Stdio::null(),
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets a variable, also one whose name would keep it from a confined child.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), Some(value.into())));
        self
    }

    /// Takes a variable away.
    #[must_use]
    pub fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), None));
        self
    }

    /// The child's input.
    #[must_use]
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.stdin = stdin.into();
        self
    }

    /// The child's output.
    #[must_use]
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.stdout = stdout.into();
        self
    }

    /// The child's error output.
    #[must_use]
    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.stderr = stderr.into();
        self
    }

    /// Takes away the variables that hold secrets, except those that the caller has set.
    pub(crate) fn keep_secrets(&mut self) {
        let names: Vec<OsString> = secret_names().filter(|name| !self.said(name)).collect();
        for name in names {
            self.variables.push((name, None));
        }
    }

    /// Makes the folder the place for temporary files, and tells programs that there is no network.
    pub(crate) fn use_scratch(&mut self, path: &Path) {
        for name in ["TMPDIR", "TMP", "TEMP"] {
            self.variables.push((OsString::from(name), Some(path.as_os_str().to_owned())));
        }
        for (name, value) in places::OFFLINE {
            self.default_env(name, Some(OsStr::new(value)));
        }
    }

    /// Puts the caches of programs that do not run without one into the scratch folder.
    pub(crate) fn use_scratch_caches(&mut self, path: &Path) {
        for (name, folder) in places::SCRATCH_CACHES {
            self.default_env(name, Some(path.join(folder).as_os_str()));
        }
    }

    /// Sets a variable unless the caller has said something about it.
    pub(crate) fn default_env(&mut self, name: &str, value: Option<&OsStr>) {
        if self.said(OsStr::new(name)) {
            return;
        }
        self.variables.push((OsString::from(name), value.map(OsStr::to_owned)));
    }

    fn said(&self, name: &OsStr) -> bool {
        self.variables.iter().any(|(said, _)| said == name)
    }

    /// The variable as the child will see it.
    fn variable(&self, name: &str) -> Option<OsString> {
        let said = self.variables.iter().rev().find(|(said, _)| said == name);
        match said {
            Some((_, value)) => value.clone(),
            None => std::env::var_os(name),
        }
    }

    /// Replaces the program by its full path, so that a missing one is an error here and not a
    /// complaint of whatever starts it.
    pub(crate) fn resolve(&mut self) -> io::Result<()> {
        let name = Path::new(&self.program);
        if name.as_os_str().as_bytes().contains(&b'/') {
            let path = self.directory.join(name);
            check_program(&path)?;
            self.program = path.into_os_string();
            return Ok(());
        }
        let folders = self.variable("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
        for folder in std::env::split_paths(&folders) {
            let path = self.directory.join(folder).join(name);
            if check_program(&path).is_ok() {
                self.program = path.into_os_string();
                return Ok(());
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// Puts a program before this one, which it starts.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn before<const N: usize>(mut self, program: &Path, words: [OsString; N]) -> Self {
        let own = std::mem::replace(&mut self.program, program.as_os_str().to_owned());
        let arguments = std::mem::take(&mut self.arguments);
        self.arguments = words.into_iter().chain([own]).chain(arguments).collect();
        self
    }

    /// The command, in a session of its own: no controlling terminal, and its number is also that
    /// of its process group.
    ///
    /// With `setsid` from util-linux or busybox, since that costs half a millisecond whatever the
    /// size of this program. Without it this program forks, which costs more the larger it is.
    pub(crate) fn into_command(self) -> io::Result<Command> {
        let setsid = find_program("setsid");
        let program = setsid.as_ref().map_or(self.program.as_os_str(), |path| path.as_os_str());
        #[expect(clippy::disallowed_methods, reason = "the one place that builds the command")]
        let mut command = Command::new(program);
        if setsid.is_some() {
            command.arg(&self.program);
        }
        command.args(&self.arguments).current_dir(&self.directory);
        for (name, value) in &self.variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.stdin(self.stdin).stdout(self.stdout).stderr(self.stderr);
        if setsid.is_none() {
            let unused = CommandWrap::with_new(program, |_| {});
            ProcessSession.pre_spawn(&mut command, &unused)?;
        }
        self.files.pass_on(&mut command)?;
        Ok(command)
    }
}

fn check_program(path: &Path) -> io::Result<()> {
    let data = std::fs::metadata(path)?;
    if !data.is_file() || data.permissions().mode() & 0o111 == 0 {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(())
}
