//! Which servers there are: what `mcp_config.yaml` and a workspace's `.mcp.json` say.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::host::expand::expand;

/// How long a server may take to start, and to list its tools, where nothing is said.
const START: Duration = Duration::from_secs(30);
/// How long a call may take, where nothing is said.
const CALL: Duration = Duration::from_secs(600);

/// A server, as a file names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Its name, as it is written; see [`tool_name`](super::tool_name) for what becomes of it.
    pub name: String,
    /// How it is reached.
    pub wire: Wire,
    /// How long it may take to start.
    pub start_timeout: Duration,
    /// How long one call may take.
    pub timeout: Duration,
}

/// How a server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wire {
    /// A program that is started, and talked to over its standard streams.
    Stdio {
        /// The program; `self` is this one.
        command: String,
        /// Its arguments.
        args: Vec<String>,
        /// What stands in its environment beside the few variables that every program needs.
        env: BTreeMap<String, String>,
    },
    /// A server that runs already, at the end of "streamable HTTP".
    Http {
        /// Its address.
        url: String,
        /// What goes with each request.
        headers: BTreeMap<String, String>,
    },
}

/// A server, or its name and why it cannot be had. What is wrong with one is no other's fault.
pub type Found = Result<ServerConfig, (String, String)>;

/// A file of servers that is not understood; the text names it, and the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

/// A server in either file; the one says `transport`, the other `type`.
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
    rest: Map<String, Value>,
}

/// The servers of `mcp_config.yaml`: a list, times in seconds, no field that is not known.
///
/// # Errors
/// The file as a whole is not understood.
pub fn from_yaml(
    text: &str,
    file: &str,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Vec<Found>, ConfigError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        servers: Option<Vec<Map<String, Value>>>,
    }
    let wrong = |error: serde_yaml::Error| ConfigError(format!("{file} is wrong: {error}"));
    let read: Option<File> = serde_yaml::from_str(text).map_err(wrong)?;
    let servers = read.and_then(|file| file.servers).unwrap_or_default();
    Ok(servers
        .into_iter()
        .enumerate()
        .map(|(at, mut fields)| {
            let name = fields.shift_remove("name").and_then(|name| Some(name.as_str()?.to_owned()));
            let Some(name) = name else {
                return Err((format!("number {}", at + 1), format!("has no name in {file}")));
            };
            let seconds = Duration::from_secs;
            let found =
                read_entry(fields.into(), seconds, &env).and_then(|(entry, rest)| {
                    match rest.keys().next() {
                        Some(field) => Err(format!("`{field}` is no field that is known")),
                        None => Ok(entry),
                    }
                });
            named(name, found, file)
        })
        .collect())
}

/// The servers of a `.mcp.json`, in Claude Code's form: times in milliseconds, and fields that other
/// programs may know.
///
/// # Errors
/// The file as a whole is not understood.
pub fn from_json(
    text: &str,
    file: &str,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Vec<Found>, ConfigError> {
    #[derive(Deserialize)]
    struct File {
        #[serde(default, rename = "mcpServers")]
        servers: Map<String, Value>,
    }
    let wrong = |error| ConfigError(format!("{file} is wrong: {error}"));
    let read: File = serde_json::from_str(text).map_err(wrong)?;
    let found = |(name, entry)| {
        let entry = read_entry(entry, Duration::from_millis, &env).map(|(entry, _)| entry);
        named(name, entry, file)
    };
    Ok(read.servers.into_iter().map(found).collect())
}

fn named(name: String, entry: Result<ServerConfig, String>, file: &str) -> Found {
    match entry {
        Ok(config) if !name.is_empty() => Ok(ServerConfig { name, ..config }),
        Ok(_) => Err((name, format!("has no name in {file}"))),
        Err(why) => Err((name, format!("cannot be used as {file} names it: {why}"))),
    }
}

fn read_entry(
    entry: Value,
    time: fn(u64) -> Duration,
    env: impl Fn(&str) -> Option<String>,
) -> Result<(ServerConfig, Map<String, Value>), String> {
    let entry: Entry = serde_json::from_value(entry).map_err(|error| error.to_string())?;
    let set =
        |text: &str| expand(text, &env).map_err(|name| format!("the variable {name} is not set"));
    let set_all = |texts: BTreeMap<String, String>| -> Result<BTreeMap<_, _>, String> {
        texts.into_iter().map(|(name, text)| Ok((name, set(&text)?))).collect()
    };
    let wire = match (entry.transport.as_deref(), entry.command, entry.url) {
        (None | Some("stdio"), Some(command), None) => Wire::Stdio {
            command: set(&command)?,
            args: entry.args.iter().map(|arg| set(arg)).collect::<Result<_, _>>()?,
            env: set_all(entry.env)?,
        },
        (None | Some("http" | "streamable-http"), None, Some(url)) => {
            Wire::Http { url: set(&url)?, headers: set_all(entry.headers)? }
        }
        (Some(other), ..) if !["stdio", "http", "streamable-http"].contains(&other) => {
            return Err(format!("the transport `{other}` is not spoken here; stdio and http are"));
        }
        _ => return Err("name either a command (stdio) or a url (http)".to_owned()),
    };
    let start_timeout = entry.start_timeout.map_or(START, time);
    let timeout = entry.timeout.map_or(CALL, time);
    Ok((ServerConfig { name: String::new(), wire, start_timeout, timeout }, entry.rest))
}
