//! How a connection is opened.
//!
//! The SDK is not given the program to start, only its streams: the core starts it, because there a child is
//! killed together with everything it has started.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use harness_core::host::http;
use harness_core::host::process::{ChildCommand, Log, MAX_MESSAGE_BYTES, ManagedChild};
use rmcp::service::{ClientInitializeError, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientLifecycleMode, ClientServiceExt, RoleClient};
use tokio::sync::Notify;

use super::errors::root_cause;
use super::versions::{Client, discover_or_initialize, initialize};
use crate::servers::{ServerConfig, ServerEnv, Transport};

/// How long a server may take to shut down.
pub(super) const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);
const ENDED: &str = "ended before it had answered";

/// A connection that is open.
pub(super) struct Connection {
    pub(super) service: RunningService<RoleClient, Client>,
    /// The server's program, if we have started one.
    pub(super) child: Option<ManagedChild>,
}

/// One server, and how it is reached.
pub(super) struct Endpoint {
    pub(super) config: ServerConfig,
    env: Arc<ServerEnv>,
    pub(super) log: Arc<Log>,
    /// Notified when a server of the old protocol says that its tools have changed.
    pub(super) changed: Arc<Notify>,
}

impl Endpoint {
    pub(super) fn new(config: ServerConfig, env: Arc<ServerEnv>) -> Self {
        let log = Arc::new(env.log(&config));
        Self { config, env, log, changed: Arc::default() }
    }

    /// Opens a connection. A server that takes the first question so badly that it ends or talks nonsense is
    /// started once more, and greeted in the old way.
    pub(super) async fn open(&self) -> Result<Connection, String> {
        match self.connect(discover_or_initialize()).await {
            Ok(connection) => Ok(connection),
            Err(_) => self.connect(initialize()).await,
        }
    }

    async fn connect(&self, lifecycle: ClientLifecycleMode) -> Result<Connection, String> {
        match &self.config.transport {
            Transport::Stdio { command, args, env } => {
                self.connect_to_program(command, args, env, lifecycle).await
            }
            Transport::Http { url, headers } => self.connect_to_url(url, headers, lifecycle).await,
        }
    }

    async fn connect_to_program(
        &self,
        command: &str,
        args: &[String],
        env: &BTreeMap<String, String>,
        lifecycle: ClientLifecycleMode,
    ) -> Result<Connection, String> {
        let spawned = self.env.command(command, args, env).and_then(ChildCommand::spawn_managed);
        let (mut child, streams) = spawned.map_err(|error| error.to_string())?;
        let messages = child.read_streams(streams.stdout, streams.stderr, &self.log);
        let client = Client::new(self.changed.clone());
        let error = match client.serve_with_lifecycle((messages, streams.stdin), lifecycle).await {
            Ok(service) => return Ok(Connection { service, child: Some(child) }),
            Err(error) => error,
        };
        let why = match error {
            // Writing failed: the program no longer reads.
            ClientInitializeError::TransportError { .. } => ENDED.to_owned(),
            error => describe(&error),
        };
        let end = child.end(SHUTDOWN_TIMEOUT).await;
        Err(self.log.explain(&why, end))
    }

    async fn connect_to_url(
        &self,
        url: &str,
        headers: &BTreeMap<String, String>,
        lifecycle: ClientLifecycleMode,
    ) -> Result<Connection, String> {
        let mut parsed_headers = HashMap::new();
        for (name, value) in headers {
            let name = name.parse().map_err(|error| format!("has an invalid header: {error}"))?;
            let value = value.parse().map_err(|error| format!("has an invalid header: {error}"))?;
            parsed_headers.insert(name, value);
        }
        let address = url.parse().map_err(|error| format!("has an invalid url: {error}"))?;
        let http = http::client(&address).map_err(|error| error.to_string())?;
        let config = StreamableHttpClientTransportConfig::with_uri(url)
            .custom_headers(parsed_headers)
            .max_sse_event_size(MAX_MESSAGE_BYTES)
            .max_json_response_size(MAX_MESSAGE_BYTES);
        let transport = StreamableHttpClientTransport::with_client(http, config);
        let client = Client::new(self.changed.clone());
        match client.serve_with_lifecycle(transport, lifecycle).await {
            Ok(service) => Ok(Connection { service, child: None }),
            Err(error) => Err(self.log.explain(&describe(&error), None)),
        }
    }
}

/// Why there is no connection, as the end of a sentence that begins with the server's name.
fn describe(error: &ClientInitializeError) -> String {
    if error.is_authorization_required() {
        return "wants an OAuth login, which is not supported here; put a token into its headers"
            .to_owned();
    }
    match error {
        ClientInitializeError::ConnectionClosed(_) => ENDED.to_owned(),
        ClientInitializeError::JsonRpcError(error) => format!("refuses: {}", error.message),
        ClientInitializeError::TransportError { error, .. } => {
            format!("cannot be reached: {}", root_cause(&*error.error))
        }
        error => format!("is not understood: {error}"),
    }
}
