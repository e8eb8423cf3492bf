//! One connection to one server: how it comes about, what is said on it, how it ends.

use std::collections::HashSet;
use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::{FusedFuture, pending};
use harness_core::host::http;
use harness_core::host::process::{ChildCommand, Log, MESSAGE, ManagedChild};
use harness_core::servers::{Gone, Life, Offer, Place, Remote, Server, ServerConfig, Wire};
use harness_core::{Content, ToolContext, ToolError};
use rmcp::model::{
    CallToolRequestParams, ClientCapabilities, ClientConfig, ClientRequest, ErrorCode,
    Implementation, ListToolsRequest, PaginatedRequestParams, ProtocolVersion, ServerResult,
    SubscriptionFilter, Tool,
};
use rmcp::service::{
    ClientInitializeError, NotificationContext, Peer, RunningService, ServiceError, Subscription,
};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientHandler, ClientLifecycleMode, ClientServiceExt, RoleClient};
use serde_json::{Map, Value};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::answer;

/// The most tools of one server, and the most pages they come in.
const TOOLS: usize = 500;
const PAGES: usize = 100;
/// A server that says again and again that its tools have changed is heard so often.
const BRAKE: Duration = Duration::from_millis(200);
/// How long a server may take to leave.
const LEAVE: Duration = Duration::from_secs(1);

const ENDED: &str = "ended before it had answered";

/// A server that is reached by this protocol.
pub(crate) struct Mcp {
    pub(crate) config: ServerConfig,
    pub(crate) place: Arc<Place>,
    pub(crate) log: Arc<Log>,
    pub(crate) changed: Arc<Notify>,
}

type Open = (RunningService<RoleClient, Client>, Option<ManagedChild>);

#[async_trait]
impl Life for Mcp {
    async fn live(&self, server: &Arc<Server>, stop: &CancellationToken) -> String {
        let limit = self.config.start_timeout;
        let (service, child) = match stop.run_until_cancelled(timeout(limit, self.open())).await {
            None => return String::new(), // what was begun is dropped, and its processes die with it
            Some(Ok(Ok(open))) => open,
            Some(Ok(Err(why))) => return why,
            Some(Err(_)) => {
                return self.log.explain(&format!("has not answered within {limit:?}"), None);
            }
        };
        let (peer, token) = (service.peer().clone(), service.cancellation_token());
        let mut over = pin!(service.waiting().fuse());
        let why = tokio::select! {
            _ = &mut over => "has ended".to_owned(),
            why = self.serve(server, &peer) => why,
            () = stop.cancelled() => String::new(),
        };
        server.down();
        token.cancel();
        if !over.is_terminated() {
            let _ = timeout(LEAVE, over).await; // closes the wire, so that the server sees the end
        }
        let end = match child {
            Some(child) => child.end(LEAVE).await,
            None => None,
        };
        self.log.explain(&why, end)
    }
}

impl Mcp {
    /// Servers of the new protocol are asked what they are, those of the old ones are greeted. A server
    /// that takes the question amiss (it ends, it talks nonsense) is started once more and greeted.
    async fn open(&self) -> Result<Open, String> {
        let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
        let asked = ClientLifecycleMode::Auto { preferred_versions, legacy_version: None };
        match self.connect(asked).await {
            Ok(open) => Ok(open),
            Err(_) => self.connect(ClientLifecycleMode::Initialize).await,
        }
    }

    async fn connect(&self, lifecycle: ClientLifecycleMode) -> Result<Open, String> {
        let client = Client(self.changed.clone());
        match &self.config.wire {
            Wire::Stdio { command, args, env } => {
                let child =
                    self.place.prepare(command, args, env).and_then(ChildCommand::spawn_managed);
                let (mut child, streams) = child.map_err(|error| error.to_string())?;
                let heard = child.hear(streams.stdout, streams.stderr, &self.log);
                let wire = (heard, streams.stdin);
                match client.serve_with_lifecycle(wire, lifecycle).await {
                    Ok(service) => Ok((service, Some(child))),
                    Err(error) => {
                        let why = match error {
                            // Nobody reads any more.
                            ClientInitializeError::TransportError { .. } => ENDED.to_owned(),
                            error => told(&error),
                        };
                        Err(self.log.explain(&why, child.end(LEAVE).await))
                    }
                }
            }
            Wire::Http { url, headers } => {
                let headers =
                    headers.iter().map(|(name, value)| Ok((name.parse()?, value.parse()?)));
                let headers: anyhow::Result<_> = headers.collect();
                let headers = headers.map_err(|error| format!("has an odd header: {error}"))?;
                let address = url.parse().map_err(|error| format!("has an odd url: {error}"))?;
                let web = http::client(&address).map_err(|error| error.to_string())?;
                let config = StreamableHttpClientTransportConfig::with_uri(url.as_str())
                    .custom_headers(headers)
                    .max_sse_event_size(MESSAGE)
                    .max_json_response_size(MESSAGE);
                let wire = StreamableHttpClientTransport::with_client(web, config);
                let service = client.serve_with_lifecycle(wire, lifecycle).await;
                Ok((service.map_err(|error| self.log.explain(&told(&error), None))?, None))
            }
        }
    }

    /// Publishes the tools, and again whenever the server says that they have changed. Why it cannot.
    async fn serve(&self, server: &Arc<Server>, peer: &Peer<RoleClient>) -> String {
        let limit = self.config.start_timeout;
        let modern = peer.peer_info().is_some_and(|info| !info.protocol_version.has_initialize());
        let is_program = matches!(self.config.wire, Wire::Stdio { .. });
        let remote = Arc::new(Far { peer: peer.clone(), is_program });
        loop {
            let filter = SubscriptionFilter::builder().tools_list_changed().build();
            let mut feed = if modern { peer.listen(filter).await.ok() } else { None };
            match timeout(limit, list(peer)).await {
                Ok(Ok(tools)) => server.publish(remote.clone(), tools),
                Ok(Err(why)) => return format!("cannot list its tools: {why}"),
                Err(_) => return format!("has not listed its tools within {limit:?}"),
            }
            tokio::select! {
                () = self.changed.notified() => {}
                () = heard(&mut feed) => {}
            }
            sleep(BRAKE).await;
        }
    }
}

/// All pages. A tool that is not understood is no reason to have none.
async fn list(peer: &Peer<RoleClient>) -> Result<Vec<Offer>, String> {
    let (mut tools, mut cursor, mut seen) = (Vec::new(), None, HashSet::new());
    for _ in 0..PAGES {
        let page = PaginatedRequestParams::default().with_cursor(cursor);
        let request = ClientRequest::ListToolsRequest(ListToolsRequest::with_param(page));
        cursor = match peer.send_request(request).await {
            Ok(ServerResult::ListToolsResult(page)) => {
                tools.extend(page.tools.into_iter().map(offer));
                page.next_cursor
            }
            Ok(ServerResult::CustomResult(page)) => {
                let listed = page.0["tools"].as_array().ok_or("its answer holds no tools")?;
                tools.extend(listed.iter().map(read));
                page.0["nextCursor"].as_str().map(str::to_owned)
            }
            Ok(_) => return Err("its answer is not understood".to_owned()),
            Err(ServiceError::McpError(error)) if error.code == ErrorCode::METHOD_NOT_FOUND => None,
            Err(error) => return Err(deepest(&error)),
        };
        let more = cursor.as_ref().is_some_and(|cursor| seen.insert(cursor.clone()));
        if !more || tools.len() >= TOOLS {
            break;
        }
    }
    tools.truncate(TOOLS);
    Ok(tools)
}

fn offer(tool: Tool) -> Offer {
    let description = tool.description.unwrap_or_default().into_owned();
    Offer { name: tool.name.into_owned(), tool: Ok((description, (*tool.input_schema).clone())) }
}

fn read(tool: &Value) -> Offer {
    serde_json::from_value(tool.clone()).map_or_else(
        |error| Offer {
            name: tool["name"].as_str().unwrap_or_default().to_owned(),
            tool: Err(error.to_string()),
        },
        offer,
    )
}

/// The next change that a server of the new protocol tells; never, where it cannot be heard any more.
async fn heard(feed: &mut Option<Subscription>) {
    if let Some(subscription) = feed
        && let Ok(Some(_)) = subscription.next().await
    {
        return;
    }
    pending().await
}

/// In the words of this program, where it has any.
fn told(error: &ClientInitializeError) -> String {
    match error {
        error if error.is_authorization_required() => {
            "wants an OAuth login, which is not spoken here; put a token into its headers"
                .to_owned()
        }
        ClientInitializeError::ConnectionClosed(_) => ENDED.to_owned(),
        ClientInitializeError::JsonRpcError(error) => format!("refuses: {}", error.message),
        ClientInitializeError::TransportError { error, .. } => {
            format!("cannot be reached: {}", deepest(&*error.error))
        }
        error => format!("is not understood: {error}"),
    }
}

/// What is really wrong: the error behind all errors.
fn deepest(error: &dyn Error) -> String {
    error.source().map_or_else(|| error.to_string(), deepest)
}

/// The far side, for calls.
struct Far {
    peer: Peer<RoleClient>,
    is_program: bool,
}

#[async_trait]
impl Remote for Far {
    async fn call(
        &self,
        tool: &str,
        input: Map<String, Value>,
        cx: &ToolContext,
    ) -> Result<Result<Content, ToolError>, Gone> {
        let params = CallToolRequestParams::new(tool.to_owned()).with_arguments(input);
        match self.peer.call_tool(params).await {
            Ok(result) => Ok(answer::content(result, cx)),
            Err(ServiceError::TransportClosed) => Err(Gone),
            Err(ServiceError::TransportSend(_)) if self.is_program => Err(Gone),
            Err(ServiceError::McpError(error)) => Ok(Err(ToolError::failed(error.message))),
            Err(ServiceError::UnexpectedResponse) => {
                Ok(Err(ToolError::failed("the server's answer is not understood")))
            }
            Err(error) => {
                let why = deepest(&error);
                Ok(Err(ToolError::failed(format!("the server cannot be asked: {why}"))))
            }
        }
    }
}

/// Our side: it offers nothing to a server, and hears when its tools have changed.
struct Client(Arc<Notify>);

impl ClientHandler for Client {
    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.0.notify_one();
    }

    fn get_info(&self) -> ClientConfig {
        let me = Implementation::new("harness", env!("CARGO_PKG_VERSION"));
        // The newest version that has a greeting; newer servers are asked instead.
        ClientConfig::new(ClientCapabilities::default(), me)
            .with_protocol_version(ProtocolVersion::V_2025_11_25)
    }
}
