//! Which servers there are: what `mcp_config.yaml` and a workspace's `.mcp.json` say.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::expand::expand;

/// How long a server may take to start, and to list its tools, unless the file says otherwise.
const DEFAULT_START_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a call may take, unless the file says otherwise.
const DEFAULT_CALL_TIMEOUT: Duration = Duration::from_secs(600);

/// A server, as a file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Its name, as it is written. [`tool_name`](super::tool_name) says what becomes of it.
    pub name: String,
    /// How it is reached.
    pub transport: Transport,
    /// How long it may take to start.
    pub start_timeout: Duration,
    /// How long one call may take.
    pub timeout: Duration,
}

/// How a server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A program that is started, and talked to over its standard streams.
    Stdio {
        /// The program; `self` is this one.
        command: String,
        /// Its arguments.
        args: Vec<String>,
        /// Its variables, beside the few that every program needs.
        env: BTreeMap<String, String>,
    },
    /// A server that is running already, reached by "streamable HTTP".
    Http {
        /// Its address.
        url: String,
        /// What is sent with each request.
        headers: BTreeMap<String, String>,
    },
}

/// A server that is configured and cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenServer {
    /// Its name, as far as it has one.
    pub name: String,
    /// What is wrong, as the end of a sentence that begins with the name.
    pub why: String,
}

/// A server that a file names. What is wrong with one does not affect the others.
pub type ConfiguredServer = Result<ServerConfig, BrokenServer>;

/// A file of servers that is not understood as a whole. The text names the file and the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ServersError(String);

impl ServersError {
    fn new(file: &str, error: impl Display) -> Self {
        Self(format!("{file} is wrong: {error}"))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct YamlFile {
    servers: Option<Vec<Map<String, Value>>>,
}

/// The servers of an `mcp_config.yaml`: a list, with times in seconds. A field that is not known makes its
/// server unusable. `env` looks up variables.
///
/// # Errors
/// The file as a whole is not understood.
pub fn from_yaml(
    text: &str,
    file: &str,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Vec<ConfiguredServer>, ServersError> {
    let parsed: Option<YamlFile> =
        serde_yaml::from_str(text).map_err(|error| ServersError::new(file, error))?;
    let listed = parsed.and_then(|file| file.servers).unwrap_or_default();
    let mut servers = Vec::new();
    for (index, mut fields) in listed.into_iter().enumerate() {
        let Some(Value::String(name)) = fields.shift_remove("name") else {
            let name = format!("number {}", index + 1);
            servers.push(Err(BrokenServer { name, why: format!("has no name in {file}") }));
            continue;
        };
        let details = yaml_details(fields, &env);
        servers.push(configured(name, details, file));
    }
    Ok(servers)
}

fn yaml_details(
    fields: Map<String, Value>,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Details, String> {
    let entry = Entry::read(fields.into())?;
    if let Some(field) = entry.unknown.keys().next() {
        return Err(format!("the field `{field}` is unknown"));
    }
    entry.details(Duration::from_secs, env)
}

#[derive(Deserialize)]
struct JsonFile {
    #[serde(default, rename = "mcpServers")]
    servers: Map<String, Value>,
}

/// The servers of a `.mcp.json`, in Claude Code's form: times in milliseconds, and fields that are not known
/// are ignored, since other programs may know them. `env` looks up variables.
///
/// # Errors
/// The file as a whole is not understood.
pub fn from_json(
    text: &str,
    file: &str,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Vec<ConfiguredServer>, ServersError> {
    let parsed: JsonFile =
        serde_json::from_str(text).map_err(|error| ServersError::new(file, error))?;
    let mut servers = Vec::new();
    for (name, fields) in parsed.servers {
        let details =
            Entry::read(fields).and_then(|entry| entry.details(Duration::from_millis, &env));
        servers.push(configured(name, details, file));
    }
    Ok(servers)
}

/// What is known of a server beside its name.
struct Details {
    transport: Transport,
    start_timeout: Duration,
    timeout: Duration,
}

fn configured(name: String, details: Result<Details, String>, file: &str) -> ConfiguredServer {
    match details {
        Err(why) => {
            let why = format!("cannot be used as {file} describes it: {why}");
            Err(BrokenServer { name, why })
        }
        Ok(_) if name.is_empty() => {
            Err(BrokenServer { name, why: format!("has no name in {file}") })
        }
        Ok(details) => Ok(ServerConfig {
            name,
            transport: details.transport,
            start_timeout: details.start_timeout,
            timeout: details.timeout,
        }),
    }
}

/// A server in either file. One calls the transport `transport`, the other `type`.
#[derive(Deserialize)]
struct Entry {
    #[serde(alias = "type")]
    transport: Option<String>,
    command: Option<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    start_timeout: Option<u64>,
    timeout: Option<u64>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

impl Entry {
    fn read(fields: Value) -> Result<Self, String> {
        serde_json::from_value(fields).map_err(|error| error.to_string())
    }

    /// `unit` turns the file's numbers into times.
    fn details(
        self,
        unit: fn(u64) -> Duration,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Details, String> {
        let start_timeout = self.start_timeout.map_or(DEFAULT_START_TIMEOUT, unit);
        let timeout = self.timeout.map_or(DEFAULT_CALL_TIMEOUT, unit);
        let transport = self.transport(&env)?;
        Ok(Details { transport, start_timeout, timeout })
    }

    fn transport(self, env: &impl Fn(&str) -> Option<String>) -> Result<Transport, String> {
        match (self.transport.as_deref(), self.command, self.url) {
            (None | Some("stdio"), Some(command), None) => Ok(Transport::Stdio {
                command: set(&command, env)?,
                args: self.args.iter().map(|arg| set(arg, env)).collect::<Result<_, _>>()?,
                env: set_all(self.env, env)?,
            }),
            (None | Some("http" | "streamable-http"), None, Some(url)) => {
                Ok(Transport::Http { url: set(&url, env)?, headers: set_all(self.headers, env)? })
            }
            (None | Some("stdio" | "http" | "streamable-http"), ..) => {
                Err("name either a command (stdio) or a url (http)".to_owned())
            }
            (Some(other), ..) => {
                Err(format!("the transport `{other}` is not supported; use stdio or http"))
            }
        }
    }
}

/// The text with its variables replaced by their values.
fn set(text: &str, env: &impl Fn(&str) -> Option<String>) -> Result<String, String> {
    expand(text, env).map_err(|name| format!("the variable {name} is not set"))
}

fn set_all(
    texts: BTreeMap<String, String>,
    env: &impl Fn(&str) -> Option<String>,
) -> Result<BTreeMap<String, String>, String> {
    let mut values = BTreeMap::new();
    for (name, text) in texts {
        values.insert(name, set(&text, env)?);
    }
    Ok(values)
}
