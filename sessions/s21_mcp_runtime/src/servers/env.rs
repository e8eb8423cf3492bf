//! Where servers work, and what they get of the program that starts them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use harness_core::Secrets;
use harness_core::host::process::{ChildCommand, Log, ProcessError, ProcessTree};
use harness_core::host::workspace::{Workspace, WorkspaceError};

use super::config::{ServerConfig, Transport};
use super::offer::server_name;

/// The variables that every server gets. Whatever else it needs is named in its configuration, so that a
/// secret nobody thought of reaches no server.
const PASSED_ON: [&str; 8] = ["HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "USER"];
/// The command that stands for this program.
const THIS_PROGRAM: &str = "self";

type Lookup = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The surroundings of all servers: the workspace, and this program.
pub struct ServerEnv {
    cwd: PathBuf,
    secrets: Secrets,
    this_program: PathBuf,
    variables: Lookup,
    /// The folder for the servers' logs; `None` if it cannot be made.
    logs: Option<PathBuf>,
}

impl ServerEnv {
    /// `this_program` is what the command `self` starts. `variables` says which variables are set. Those that
    /// `secrets` hides from children are hidden from servers too.
    pub fn new(
        cwd: impl Into<PathBuf>,
        secrets: Secrets,
        this_program: impl Into<PathBuf>,
        variables: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let cwd = cwd.into();
        let logs = log_folder(&cwd).ok();
        Self {
            cwd,
            secrets,
            this_program: this_program.into(),
            variables: Box::new(variables),
            logs,
        }
    }

    /// The value of a variable, if servers may have it.
    pub fn variable(&self, name: &str) -> Option<String> {
        let is_hidden = self.secrets.hidden().iter().any(|hidden| hidden == name);
        if is_hidden {
            return None;
        }
        (self.variables)(name)
    }

    /// The file for what this server says beside its messages, `.harness/mcp/NAME.log`. Neither the known
    /// secrets nor the values in the server's own variables or headers appear in it.
    pub fn log(&self, config: &ServerConfig) -> Log {
        let own_values = match &config.transport {
            Transport::Stdio { env, .. } => env.values(),
            Transport::Http { headers, .. } => headers.values(),
        };
        let secrets = self.secrets.and(own_values.cloned());
        let file = format!("{}.log", server_name(&config.name));
        let path = self.logs.as_ref().map(|folder| folder.join(file));
        Log::new(path, secrets)
    }

    /// The command that starts a server's program.
    ///
    /// # Errors
    /// The workspace is gone.
    pub fn command(
        &self,
        command: &str,
        args: &[String],
        env: &BTreeMap<String, String>,
    ) -> Result<ChildCommand, ProcessError> {
        let program =
            if command == THIS_PROGRAM { self.this_program.as_path() } else { Path::new(command) };
        let mut variables: Vec<(OsString, OsString)> = Vec::new();
        for name in PASSED_ON {
            if let Some(value) = self.variable(name) {
                variables.push((name.into(), value.into()));
            }
        }
        for (name, value) in env {
            variables.push((name.into(), value.into()));
        }
        let child = ChildCommand::program(program, args, &self.cwd, &self.secrets)?;
        Ok(child.only_env(variables).in_tree(&ProcessTree::new()))
    }
}

impl std::fmt::Debug for ServerEnv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerEnv").field("cwd", &self.cwd).finish_non_exhaustive()
    }
}

fn log_folder(cwd: &Path) -> Result<PathBuf, WorkspaceError> {
    let workspace = Workspace::open(cwd)?;
    workspace.state_dir()?;
    workspace.own_dir(".harness/mcp")
}
