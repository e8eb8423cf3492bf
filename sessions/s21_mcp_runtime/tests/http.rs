//! Servers that run elsewhere, over "streamable HTTP".
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use harness_core::Secrets;
use harness_testkit::Stage;
use s21_mcp_runtime::McpServers;
use s21_mcp_runtime::servers::ServerEnv;
use serde_json::{Value, json};

const KEY: &str = "token-0123456789";

/// What the server was asked: the method of each message, or of HTTP, and who asked.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<(String, String)>>>);

impl Heard {
    fn methods(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|(method, _)| method.clone()).collect()
    }
}

/// An older server, which takes a question it does not know for a bad request.
async fn old(State(heard): State<Heard>, headers: HeaderMap, request: Request) -> Response {
    let who = headers.get("authorization").map(|key| key.to_str().unwrap().to_owned());
    let http = request.method().clone();
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let method = message["method"].as_str().unwrap_or(http.as_str()).to_owned();
    heard.0.lock().unwrap().push((method.clone(), who.unwrap_or_default()));
    let result = match (http, method.as_str()) {
        (Method::DELETE, _) => return StatusCode::OK.into_response(),
        (Method::POST, "initialize") => json!({"protocolVersion": "2025-06-18",
            "capabilities": {"tools": {}}, "serverInfo": {"name": "web", "version": "1"}}),
        (Method::POST, "tools/list") => {
            json!({"tools": [{"name": "add", "inputSchema": {"type": "object"}}]})
        }
        (Method::POST, "tools/call") => json!({"content": [{"type": "text", "text": "42"}]}),
        (Method::POST, method) if method.starts_with("notifications/") => {
            return StatusCode::ACCEPTED.into_response();
        }
        (Method::POST, _) => return (StatusCode::BAD_REQUEST, "no session").into_response(),
        _ => return StatusCode::METHOD_NOT_ALLOWED.into_response(),
    };
    let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
    ([("mcp-session-id", "s1")], Json(answer)).into_response()
}

/// Serves this on loopback; returns the address.
async fn serve(router: axum::Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/mcp")
}

async fn reached(url: &str) -> (Stage, McpServers) {
    let stage = Stage::lines("- {text: Done.}");
    let env =
        ServerEnv::new(&stage.agent.cwd, Secrets::default(), "this", |_| Some(KEY.to_owned()));
    let servers = McpServers::new(env);
    let server = json!({"name": "web", "transport": "http", "url": url,
        "headers": {"Authorization": "Bearer ${KEY}"}});
    servers.yaml(&format!("servers: [{server}]"), "test.yaml").unwrap();
    servers.servers().settle(Duration::from_secs(60)).await;
    (stage.with(servers.clone()), servers)
}

#[tokio::test]
async fn a_server_that_runs_elsewhere_is_reached_with_its_headers_and_left_politely() {
    let heard = Heard::default();
    let url = serve(axum::Router::new().fallback(old).with_state(heard.clone())).await;
    let (stage, servers) = reached(&url).await;
    let cx = stage.agent.context("1", &Default::default());
    let tool = stage.agent.tools.get("mcp__web__add").unwrap();
    assert_eq!(tool.prepare(&Default::default()).unwrap().run(&cx).await.unwrap().text(), "42");
    servers.servers().close().await;
    let methods = heard.methods();
    assert_eq!(methods[0], "server/discover");
    for method in ["initialize", "notifications/initialized", "tools/list", "tools/call", "DELETE"]
    {
        assert!(methods.iter().any(|heard| heard == method), "{method} in {methods:?}");
    }
    let who = heard.0.lock().unwrap().clone();
    assert!(who.iter().all(|(_, who)| *who == format!("Bearer {KEY}")), "{who:?}");
}

#[tokio::test]
async fn one_that_cannot_be_reached_is_a_line_that_shows_no_key() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    drop(listener);
    let (_stage, servers) = reached(&url).await;
    let news = servers.servers().take_notices();
    assert!(news.len() == 1 && news[0].starts_with("MCP server web cannot be reached"), "{news:?}");
    assert!(!news[0].contains(KEY), "{news:?}");
}

#[tokio::test]
async fn a_redirect_does_not_carry_the_key_elsewhere() {
    let heard = Heard::default();
    let elsewhere = serve(axum::Router::new().fallback(old).with_state(heard.clone())).await;
    let moved = move || async move { (StatusCode::TEMPORARY_REDIRECT, [("location", elsewhere)]) };
    let url = serve(axum::Router::new().fallback(moved)).await;
    let (_stage, servers) = reached(&url).await;
    assert_eq!(heard.methods(), [""; 0]);
    assert_eq!(servers.servers().take_notices().len(), 1);
}
