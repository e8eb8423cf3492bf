//! Where servers work, and what they get of the program that starts them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use super::config::{ServerConfig, Wire};
use super::offer::server_name;
use crate::host::process::{ChildCommand, Log, ProcessError, ProcessTree};
use crate::host::secrets::Secrets;
use crate::host::workspace::Workspace;

/// What every server gets of this program's environment; what else it needs is named in its
/// configuration. A secret that nobody thought of reaches no server.
const ENV: [&str; 8] = ["HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "USER"];

type Lookup = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The workspace, and this program.
pub struct Place {
    cwd: PathBuf,
    secrets: Secrets,
    this: PathBuf,
    env: Lookup,
    logs: Option<PathBuf>,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").field("cwd", &self.cwd).finish_non_exhaustive()
    }
}

impl Place {
    /// `this` is the program that `self` stands for. `env` says which variables are set; those that are
    /// hidden from children are hidden from servers too.
    pub fn new(
        cwd: impl Into<PathBuf>,
        secrets: Secrets,
        this: impl Into<PathBuf>,
        env: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let (cwd, this) = (cwd.into(), this.into());
        let logs = Workspace::open(&cwd).and_then(|workspace| {
            workspace.state_dir()?;
            workspace.own_dir(".harness/mcp")
        });
        Self { cwd, secrets, this, env: Box::new(env), logs: logs.ok() }
    }

    /// A variable, as a server's configuration may use it.
    pub fn variable(&self, name: &str) -> Option<String> {
        let is_hidden = self.secrets.hidden().iter().any(|hidden| hidden == name);
        if is_hidden { None } else { (self.env)(name) }
    }

    /// The file for what this server says besides, `.harness/mcp/NAME.log`. It shows neither the known
    /// secrets nor what stands in the server's own environment or headers.
    pub fn log(&self, config: &ServerConfig) -> Log {
        let file = format!("{}.log", server_name(&config.name));
        let (Wire::Stdio { env: keys, .. } | Wire::Http { headers: keys, .. }) = &config.wire;
        let secrets = self.secrets.and(keys.values().cloned());
        Log::new(self.logs.as_ref().map(|folder| folder.join(file)), secrets)
    }

    /// A server's program, ready to start.
    ///
    /// # Errors
    /// The workspace is gone.
    pub fn prepare(
        &self,
        command: &str,
        args: &[String],
        env: &BTreeMap<String, String>,
    ) -> Result<ChildCommand, ProcessError> {
        let program = if command == "self" { self.this.as_os_str() } else { command.as_ref() };
        let kept = ENV.iter().filter_map(|name| Some((name.into(), self.variable(name)?.into())));
        let own = env.iter().map(|(name, value)| (name.into(), value.into()));
        let all: Vec<(OsString, OsString)> = kept.chain(own).collect();
        let child = ChildCommand::program(program, args, &self.cwd, &self.secrets)?;
        Ok(child.only_env(all).family(&ProcessTree::new()))
    }
}
