//! The client against a server that sends exactly the bytes it is told to, over a real socket.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use harness_core::model::anthropic::{Client, Config, Key, Patience};
use harness_core::{
    Block, CacheLife, CachePosition, Conversation, Delta, Mark, Message, Model, ModelError, Reply,
    Request, StopReason, ToolSpec, model,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const KEY: &str = "sk-ant-very-secret-0123456789";

// ---------------------------------------------------------------- the server

/// What one request is answered with.
enum Answer {
    /// These pieces, one write each; then the connection is closed.
    Send(Vec<Vec<u8>>),
    /// A stream that begins with this and then only pings, until the client hangs up.
    Ping(&'static str),
    /// The first half of this, and nothing until the client hangs up.
    Hang(&'static str),
}

#[derive(Clone)]
struct Server {
    url: String,
    seen: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Server {
    async fn new(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let server = Self { url, seen };
        let serving = server.clone();
        tokio::spawn(async move {
            let mut answers = answers.into_iter();
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                socket.set_nodelay(true).unwrap();
                let Some(request) = request(&mut socket).await else { continue };
                serving.seen.lock().unwrap().push(request);
                let spent = || Answer::Send(vec![error(418, "", "no more answers")]);
                let _ = answer(&mut socket, answers.next().unwrap_or_else(spent)).await;
            }
        });
        server
    }

    async fn send(answers: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self::new(answers.into_iter().map(|bytes| Answer::Send(vec![bytes])).collect()).await
    }

    fn config(&self) -> Config {
        let patience = Patience { first: Duration::from_millis(1), ..Patience::default() };
        let key = Key::ApiKey(KEY.to_owned());
        Config { patience, idle: Duration::from_secs(20), ..Config::new(&self.url, key) }
    }

    fn client(&self) -> Client {
        Client::new(self.config()).unwrap()
    }

    fn requests(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    fn seen(&self, at: usize) -> (String, Value) {
        self.seen.lock().unwrap()[at].clone()
    }
}

async fn request(socket: &mut TcpStream) -> Option<(String, Value)> {
    let mut bytes = Vec::new();
    loop {
        let head = bytes.windows(4).position(|w| w == b"\r\n\r\n");
        if let Some(end) = head {
            let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.unwrap_or("0").parse().unwrap();
            if bytes.len() >= end + 4 + length {
                return Some((text, serde_json::from_slice(&bytes[end + 4..]).unwrap()));
            }
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

async fn answer(socket: &mut TcpStream, answer: Answer) -> std::io::Result<()> {
    match answer {
        Answer::Send(pieces) => {
            for piece in pieces {
                socket.write_all(&piece).await?;
                tokio::task::yield_now().await;
            }
            socket.shutdown().await
        }
        Answer::Ping(begun) => {
            socket.write_all(&stream(begun)).await?;
            loop {
                socket
                    .write_all(b"event: ping\ndata: {\"type\": \"ping\"}\n\n: comment\n\n")
                    .await?;
                tokio::task::yield_now().await;
            }
        }
        Answer::Hang(begun) => {
            socket.write_all(&stream(begun)).await?;
            socket.read_u8().await.map(drop)
        }
    }
}

fn http(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

fn error(status: u16, headers: &str, message: &str) -> Vec<u8> {
    let kind = match status {
        400 => "invalid_request_error",
        401 => "authentication_error",
        402 => "billing_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        _ => "api_error",
    };
    let body = json!({"type": "error", "error": {"type": kind, "message": message}});
    let headers = format!("content-type: application/json\r\nrequest-id: req_7\r\n{headers}");
    http(status, &headers, body.to_string().as_bytes())
}

fn stream(events: &str) -> Vec<u8> {
    http(200, "content-type: text/event-stream\r\nrequest-id: req_7\r\n", events.as_bytes())
}

// ---------------------------------------------------------------- what is said

const BEGIN: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":25,\"output_tokens\":1}}}\n\n";
const END: &str = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":9}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
const OVERLOADED: &str = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";

fn event(data: Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap())
}

fn start(index: usize, block: Value) -> String {
    event(json!({"type": "content_block_start", "index": index, "content_block": block}))
}

fn delta(index: usize, delta: Value) -> String {
    event(json!({"type": "content_block_delta", "index": index, "delta": delta}))
}

fn words(text: &str) -> String {
    start(0, json!({"type": "text", "text": ""}))
        + &delta(0, json!({"type": "text_delta", "text": text}))
}

fn said(text: &str) -> String {
    format!("{BEGIN}{}{END}", words(text))
}

fn history() -> Vec<Message> {
    let mut conversation = Conversation::new();
    conversation.say("hello");
    conversation.messages().to_vec()
}

fn request_of(messages: &[Message]) -> Request<'_> {
    Request {
        agent: "lead",
        model: "claude-sonnet-5-5",
        max_tokens: 1000,
        system: vec!["Be brief.".to_owned()].into(),
        tools: Vec::new().into(),
        messages,
        marks: Vec::new(),
        extra: harness_core::model::models::extra("claude-sonnet-5-5"),
    }
}

async fn ask(client: &Client) -> Vec<Result<Delta, ModelError>> {
    client.stream(&request_of(&history())).collect().await
}

/// The reply, and how many waits there were before it.
async fn reply(client: &Client) -> (Reply, usize) {
    let mut deltas = ask(client).await;
    let Some(Ok(Delta::Done(reply))) = deltas.pop() else { panic!("no reply: {deltas:?}") };
    let waits = deltas.iter().filter(|delta| matches!(delta, Ok(Delta::Retrying { .. }))).count();
    (reply, waits)
}

async fn failure(client: &Client) -> ModelError {
    let mut deltas = ask(client).await;
    let error = deltas.pop().unwrap().expect_err("it succeeded");
    assert!(deltas.iter().all(Result::is_ok), "nothing follows an error");
    assert!(!error.to_string().contains('\n') && !error.to_string().contains(KEY), "{error}");
    error
}

// ---------------------------------------------------------------- what is sent

#[tokio::test]
async fn a_request_carries_what_the_api_asks_for() {
    let server = Server::send([stream(&said("Hi")), stream(&said("Hi"))]).await;
    let (reply, _) = reply(&server.client()).await;
    assert_eq!((reply.text().as_str(), reply.stop), ("Hi", StopReason::EndTurn));
    assert_eq!((reply.usage.input_tokens, reply.usage.output_tokens), (25, 9));

    let (head, body) = server.seen(0);
    assert!(head.starts_with("POST /v1/messages HTTP/1.1\r\n"), "{head}");
    for line in [
        &format!("x-api-key: {KEY}"),
        "anthropic-version: 2023-06-01",
        "content-type: application/json",
        "x-harness-agent: lead",
    ] {
        assert!(head.lines().any(|found| found == line), "{line} in {head}");
    }
    assert!(!head.contains("authorization"), "{head}");
    let expected = json!({"model": "claude-sonnet-5-5", "max_tokens": 1000,
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}],
        "thinking": {"type": "adaptive", "display": "summarized"}, "stream": true});
    assert_eq!(body.to_string(), expected.to_string());

    let mut config = server.config();
    config.base_url = format!("{}/my/gateway/", server.url);
    config.key = Key::Token("token-123456".to_owned());
    config.headers = vec![
        ("X-Team ".to_owned(), " blue".to_owned()),
        ("anthropic-version".to_owned(), "x".to_owned()),
    ];
    ask(&Client::new(config).unwrap()).await;
    let (head, _) = server.seen(1);
    assert!(head.starts_with("POST /my/gateway/v1/messages HTTP/1.1\r\n"), "{head}");
    for line in ["authorization: Bearer token-123456", "x-team: blue", "anthropic-version: x"] {
        assert!(head.lines().any(|found| found == line), "{line} in {head}");
    }
    assert!(!head.contains("x-api-key"), "{head}");
}

#[tokio::test]
async fn marks_and_tools_go_into_the_body() {
    let server = Server::send([stream(&said("Hi"))]).await;
    let messages = history();
    let tool = ToolSpec {
        name: "ls".into(),
        description: "Lists.".into(),
        input_schema: json!({"type": "object"}),
    };
    let request = Request {
        tools: vec![tool].into(),
        marks: vec![
            Mark { place: CachePosition::Tool(0), life: CacheLife::OneHour },
            Mark {
                place: CachePosition::Message { message: 0, block: 0 },
                life: CacheLife::FiveMinutes,
            },
        ],
        ..request_of(&messages)
    };
    server.client().stream(&request).collect::<Vec<_>>().await;
    let (_, body) = server.seen(0);
    assert_eq!(body["tools"][0]["cache_control"], json!({"type": "ephemeral", "ttl": "1h"}));
    assert_eq!(body["messages"][0]["content"][0]["cache_control"], json!({"type": "ephemeral"}));
    assert_eq!(body["stream"], true);
}

#[test]
fn a_configuration_that_cannot_work_is_refused_without_showing_secrets() {
    let refused = |url: &str| {
        Client::new(Config::new(url, Key::ApiKey(KEY.to_owned())))
            .map(drop)
            .unwrap_err()
            .to_string()
    };
    for url in [
        "https://u:hunter22@h.example/v1",
        "https://h.example/v1/",
        "https://h.example/v1/messages",
    ] {
        let why = refused(url);
        assert!(why.contains("/v1") && !why.contains("hunter22"), "{why}");
    }
    let why = refused("127.0.0.1:4000");
    assert_eq!(why, "the base URL must begin with http:// or https://; check ANTHROPIC_BASE_URL");
    for url in [
        "",
        "localhost:4000",
        "ftp://h.example",
        "/v1",
        "https://h.example?k=hunter22",
        "u:hunter22@h",
    ] {
        let why = refused(url);
        assert!(why.contains("ANTHROPIC_BASE_URL") && !why.contains("hunter22"), "{why}");
    }
    let config = |key: &str| Config::new("http://h.example", Key::Token(key.to_owned()));
    let why = Client::new(config("two\nlines-secret")).map(drop).unwrap_err().to_string();
    assert!(why.contains("line break") && !why.contains("secret"), "{why}");
    let mut bad = config(KEY);
    bad.headers = vec![("x y".to_owned(), "v-secret".to_owned())];
    let why = Client::new(bad).map(drop).unwrap_err().to_string();
    assert!(why.contains("x y") && !why.contains("v-secret"), "{why}");
}

#[test]
fn nothing_shows_the_key() {
    let mut config = Config::new("https://me:hunter22@h.example/x", Key::ApiKey(KEY.to_owned()));
    config.headers = vec![("x-token".to_owned(), "header-secret".to_owned())];
    let shown = format!("{config:?} {:?} {:?}", config.key, Client::new(config.clone()).unwrap());
    for secret in [KEY, "hunter22", "header-secret"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert!(shown.contains("https://h.example/x"), "{shown}");
}

#[test]
fn a_client_for_https_installs_no_tls_provider_for_the_whole_process() {
    Client::new(Config::new("https://api.anthropic.com", Key::None)).unwrap();
    assert!(rustls::crypto::CryptoProvider::get_default().is_none());
}

// ---------------------------------------------------------------- attempts

#[tokio::test]
async fn a_server_that_is_busy_is_asked_again() {
    let html =
        http(502, "content-type: text/html\r\n", b"<html><style>b{}</style><h1>Bad\n Gateway</h1>");
    let failures = [
        error(429, "retry-after-ms: 1.5\r\nretry-after: 900\r\n", "slow down"),
        error(429, "retry-after: 0.002\r\n", "slow down"),
        error(529, "", "Overloaded"),
        error(400, "x-should-retry: true\r\n", "odd"),
        html,
        http(408, "", b""),
        Vec::new(), // hangs up without a word
        stream(&said("Hi")),
    ];
    let server = Server::send(failures).await;
    let mut deltas = ask(&server.client()).await;
    assert!(matches!(deltas.pop(), Some(Ok(Delta::Done(_)))));
    let waits: Vec<_> = deltas
        .iter()
        .filter_map(|delta| match delta {
            Ok(Delta::Retrying { wait, why }) => Some((*wait, why.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(waits.len(), 7);
    assert_eq!(waits[0], (Duration::from_micros(1500), "429 rate_limit_error: slow down [req_7]"));
    assert_eq!(waits[1].0, Duration::from_millis(2));
    assert_eq!(waits[2].1, "529 overloaded_error: Overloaded [req_7]");
    assert_eq!(waits[3].1, "invalid_request_error: odd [req_7]");
    assert_eq!(waits[4].1, "502 Bad Gateway");
    assert_eq!(waits[5].1, "408 no reason given");
    let (first, last) = (server.seen(0), server.seen(7));
    assert_eq!(first, last, "the same request each time");
}

#[tokio::test]
async fn attempts_are_bounded() {
    let server = Server::send((0..9).map(|_| error(529, "", "Overloaded"))).await;
    let error = failure(&server.client()).await;
    assert_eq!(server.requests(), 8);
    let why = "529 overloaded_error: Overloaded [req_7]".to_owned();
    assert_eq!(error, ModelError::Unavailable { attempts: 8, why });
}

#[tokio::test]
async fn a_wait_beyond_the_budget_is_not_waited() {
    for header in ["retry-after: 3600\r\n", "retry-after: Fri, 01 Jan 2100 00:00:00 GMT\r\n"] {
        let server = Server::send([error(429, header, "spent")]).await;
        let error = failure(&server.client()).await.to_string();
        assert!(error.contains("asks to wait") && error.contains("at most 120 s"), "{error}");
        assert_eq!(server.requests(), 1);
    }
}

#[tokio::test]
async fn what_cannot_get_better_is_not_asked_again() {
    let cases = [
        (error(500, "x-should-retry: false\r\n", "no"), "500 api_error: no"),
        (error(401, "", "invalid x-api-key"), "ANTHROPIC_API_KEY"),
        (error(403, "", "not you"), "refused the key"),
        (error(402, "", "pay first"), "billing"),
        (
            error(400, "", "tools.0: Extra inputs"),
            "400: invalid_request_error: tools.0: Extra inputs",
        ),
        (http(404, "", b"<h1>404</h1> nginx"), "at this address; check ANTHROPIC_BASE_URL"),
        (http(405, "", b"{\"detail\":\"Method Not Allowed\"}"), "no Messages API at this address"),
        (
            http(404, "content-type: application/json\r\n", b"{\"detail\":\"Not Found\"}"),
            "Not Found; there is no",
        ),
        (
            http(422, "", b"{\"error\":{\"message\":\"bad\",\"type\":\"x\",\"code\":1}}"),
            "422: x: bad",
        ),
        // What LiteLLM says of a wrong key, of a model that it does not have, and without a key of its own.
        (
            http(400, "", b"{\"error\":{\"message\":\"No connected db.\",\"type\":\"no_db_connection\",\"code\":\"400\"}}"),
            "refused the key (no_db_connection: No connected db.)",
        ),
        (
            error(400, "", "anthropic_messages: Invalid model name passed in model=x. Call `/v1/models`"),
            "set MODEL_ID",
        ),
        (
            error(500, "", "litellm.InternalServerError: NebiusException - Missing credentials. Please pass"),
            "missing where the gateway runs",
        ),
        (
            error(401, "", "litellm.AuthenticationError: Missing Anthropic API Key - A call is being made"),
            "missing where the gateway runs",
        ),
        // What a provider said to LiteLLM: neither the key nor the model of this program is wrong.
        (
            error(401, "", "litellm.AuthenticationError: GroqException - Invalid API Key"),
            "refused the gateway's key, not this program's",
        ),
        (
            error(404, "", "litellm.NotFoundError: XException - Not found\n\nLiteLLM: model group 'x' failed"),
            "XException - Not found [req_7]; the provider does not have what the gateway asks it for",
        ),
        (http(200, "content-type: text/html\r\n", b"<h1>Log in</h1>"), "a web page"),
        (
            http(200, "content-type: text/event-stream\r\ncontent-encoding: gzip\r\n", b"\x1f\x8b"),
            "compressed (gzip)",
        ),
        (
            stream(
                "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"permission_error\",\"message\":\"not you\"}}\n\n",
            ),
            "refused the key (permission_error: not you [req_7])",
        ),
    ];
    for (bytes, part) in cases {
        let server = Server::send([bytes]).await;
        let error = failure(&server.client()).await.to_string();
        assert!(error.contains(part), "{part:?} in {error}");
        assert_eq!(server.requests(), 1, "{error}");
    }
}

#[tokio::test]
async fn a_model_that_was_retired_is_named_with_its_successor() {
    let server = Server::send([error(404, "", "model: claude-sonnet-4-20250514")]).await;
    let messages = history();
    let request = Request { model: "claude-sonnet-4-20250514", ..request_of(&messages) };
    let deltas = server.client().stream(&request).collect::<Vec<_>>().await;
    let Err(ModelError::NoSuchModel { why }) = &deltas[0] else { panic!("{deltas:?}") };
    assert!(why.contains("was retired on 2026-06-15; use claude-sonnet-4-6"), "{why}");
}

#[tokio::test]
async fn a_prompt_that_is_too_long_is_told_apart() {
    let cases = [
        error(400, "", "prompt is too long: 1000001 tokens > 1000000 maximum"),
        error(400, "", "input length and `max_tokens` exceed context limit: 5 + 6 > 10"),
        http(413, "", b"<html>Request Entity Too Large</html>"),
        http(
            400,
            "",
            br#"{"error":{"message":"too big","type":"x","code":"context_length_exceeded"}}"#,
        ),
        http(500, "", br#"{"error":{"message":"This model's maximum context length is 8"}}"#),
        stream(
            r#"data: {"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9"}}

"#,
        ),
    ];
    for bytes in cases {
        let server = Server::send([bytes]).await;
        let error = failure(&server.client()).await;
        assert!(matches!(error, ModelError::TooLong { .. }), "{error}");
        assert_eq!(server.requests(), 1);
    }
}

#[tokio::test]
async fn nobody_there_is_said_with_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://me:hunter22@{}", listener.local_addr().unwrap());
    drop(listener);
    let patience = Patience { attempts: 2, first: Duration::from_millis(1), ..Patience::default() };
    let config = Config { patience, ..Config::new(url.clone(), Key::None) };
    let deltas = ask(&Client::new(config).unwrap()).await;
    let [Ok(Delta::Retrying { why, .. }), Err(error)] = &deltas[..] else { panic!("{deltas:?}") };
    assert!(matches!(&error, ModelError::Unreachable { url, .. } if url.ends_with("/v1/messages")));
    let shown = error.to_string();
    assert!(!shown.contains("hunter22") && shown.contains("that the server runs"), "{shown}");
    let address = url.rsplit('@').next().unwrap();
    assert!(why.starts_with(&format!("cannot reach http://{address}/v1/messages")), "{why}");
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_not_asked_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let _ = socket.read_to_end(&mut Vec::new()).await;
    });
    let deltas = ask(&Client::new(Config::new(url, Key::None)).unwrap()).await;
    serving.await.unwrap();
    assert!(matches!(deltas[..], [Err(ModelError::Unreachable { .. })]), "{deltas:?}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let thief = Server::send([stream(&said("thanks"))]).await;
    let to = format!("location: {}/v1/messages?x=1\r\n", thief.url);
    let server = Server::send([http(307, &to, b"")]).await;
    let error = failure(&server.client()).await.to_string();
    assert!(error.contains(&format!("redirects to {}/v1/messages;", thief.url)), "{error}");
    assert_eq!(thief.requests(), 0);
}

#[tokio::test]
async fn a_key_that_the_server_repeats_is_masked() {
    let long = format!("{}{KEY}", "x".repeat(290));
    let broken = format!("data: {{\"type\":\"content_block_delta\",\"index\":\"{KEY}\"}}\n\n");
    let told = format!(
        "data: {{\"type\":\"error\",\"error\":{{\"type\":\"authentication_error\",\"message\":\"bad {KEY}\"}}}}\n\n"
    );
    let cases = [
        error(401, "", &format!("no such key: {KEY}")),
        error(401, "", &long),
        http(401, "", br#"{"error":{"message":"no: sk\u002dant\u002dvery-secret-0123456789"}}"#),
        http(403, "", format!("<p>{KEY}</p>").as_bytes()),
        http(307, &format!("location: /{KEY}\r\n"), b""),
        stream(&told),
        stream(&format!("{BEGIN}{}{broken}", words("Hi"))),
    ];
    for bytes in cases {
        let server = Server::send([bytes]).await;
        let error = failure(&server.client()).await.to_string();
        assert!(!error.contains("sk-ant") && error.contains("[secret"), "{error}");
    }
}

#[tokio::test]
async fn dropping_the_stream_hangs_up() {
    let server =
        Server::new(vec![Answer::Hang(BEGIN), Answer::Send(vec![stream(&said("Hi"))])]).await;
    let client = server.client();
    let waiting = tokio::spawn(async move { ask(&client).await });
    while server.requests() == 0 {
        tokio::task::yield_now().await;
    }
    waiting.abort();
    // The server serves one connection at a time: an answer means that the first one is gone.
    assert_eq!(reply(&server.client()).await.0.text(), "Hi");
}

// ---------------------------------------------------------------- faults inside the stream

#[tokio::test]
async fn a_stream_that_breaks_before_a_word_is_asked_for_again() {
    let cases = [
        String::new(),
        BEGIN.to_owned(),
        format!("{BEGIN}{OVERLOADED}"),
        OVERLOADED.to_owned(),
        format!("{BEGIN}{END}").replace("end_turn", ""),
        format!("{BEGIN}{END}")
            .replace("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n", ""),
        "data: {\"type\":\"content_block_delta\",\n\n".to_owned(),
        start(0, json!({"type": "text", "text": ""})),
        start(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
    ];
    for case in cases {
        let server = Server::send([stream(&case), stream(&said("Hi"))]).await;
        let (reply, waits) = reply(&server.client()).await;
        assert_eq!((reply.text().as_str(), waits), ("Hi", 1), "{case}");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_after_a_word_is_not() {
    let half_call = start(0, json!({"type": "tool_use", "id": "1", "name": "ls"}))
        + &delta(0, json!({"type": "input_json_delta", "partial_json": "{\"a"}));
    let thought = start(0, json!({"type": "thinking"}))
        + &delta(0, json!({"type": "thinking_delta", "thinking": "Hm"}));
    let cases = [
        (words("Hal"), "ended before the reply was complete"),
        (words("Hal") + OVERLOADED, "overloaded_error: Overloaded [req_7]"),
        (words("Hal") + "data: {\"type\":\"message_delta\",\n\n", "could not be read"),
        (half_call, "ended before"),
        (thought, "ended before"),
    ];
    for (case, part) in cases {
        let server = Server::send([stream(&format!("{BEGIN}{case}"))]).await;
        let error = failure(&server.client()).await;
        let ModelError::Broken { why } = &error else { panic!("{error}") };
        assert!(why.contains(part), "{why}");
        assert_eq!(server.requests(), 1);
    }
}

#[tokio::test]
async fn a_body_that_is_cut_by_its_own_length_is_a_broken_stream() {
    let body = format!("{BEGIN}{}", words("Hal"));
    let head = "content-type: text/event-stream\r\ncontent-length: 100000\r\n";
    let server = Server::send([http(200, head, body.as_bytes())]).await;
    let error = failure(&server.client()).await;
    assert!(matches!(error, ModelError::Broken { .. }), "{error}");
}

#[tokio::test]
async fn pings_alone_are_a_stall() {
    let config = |server: &Server| Config { idle: Duration::from_millis(200), ..server.config() };
    let server =
        Server::new(vec![Answer::Ping(BEGIN), Answer::Send(vec![stream(&said("Hi"))])]).await;
    let (reply, waits) = reply(&Client::new(config(&server)).unwrap()).await;
    assert_eq!((reply.text().as_str(), waits), ("Hi", 1));

    let server = Server::new(vec![Answer::Hang(""), Answer::Ping(""), Answer::Hang("")]).await;
    let error = failure(&Client::new(config(&server)).unwrap()).await;
    let ModelError::Unavailable { attempts: 2, why } = error else { panic!("{error}") };
    assert!(why.contains("pings for 200ms"), "{why}");

    let begun = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"content_block\":{\"type\":\"text\",\"text\":\"Hal\"}}\n\n";
    let server = Server::new(vec![Answer::Ping(begun)]).await;
    let error = failure(&Client::new(config(&server)).unwrap()).await;
    assert!(matches!(error, ModelError::Broken { .. }), "{error}");
}

#[tokio::test]
async fn odd_streams_are_read_all_the_same() {
    let call = |index: usize, id: &str| {
        start(index, json!({"type": "tool_use", "id": id, "name": "ls"}))
            + &delta(index, json!({"type": "input_json_delta", "partial_json": ""}))
            + &event(json!({"type": "content_block_stop", "index": index}))
    };
    let thinking = start(0, json!({"type": "thinking", "thinking": "", "signature": ""}))
        + &delta(0, json!({"type": "signature_delta", "signature": "Eo"}))
        + &start(1, json!({"type": "redacted_thinking", "data": "x"}));
    let unknown = event(json!({"type": "new"})) + &delta(0, json!({"type": "new_delta"}));
    let stream_of =
        |blocks: &str, stop: &str| format!("{BEGIN}{blocks}{END}").replace("end_turn", stop);
    let cases = [
        (stream_of(&(call(0, "a") + &call(1, "b")), "tool_use"), StopReason::ToolUse, "TT"),
        (stream_of(&thinking, "end_turn"), StopReason::EndTurn, "tr"),
        (stream_of(&(unknown + &words("Hi")), "stop_sequence"), StopReason::StopSequence, "w"),
        (stream_of("", "refusal"), StopReason::Refusal, ""),
        (
            stream_of(&start(0, json!({"type": "server_tool_use", "id": "s"})), "pause_turn"),
            StopReason::PauseTurn,
            "o",
        ),
    ];
    for (case, stop, kinds) in cases {
        for text in [case.clone(), case.replace('\n', "\r\n"), case.replace('\n', "\r")] {
            let server = Server::send([stream(&text)]).await;
            let (reply, _) = reply(&server.client()).await;
            let found: String = reply.message.content.iter().map(kind).collect();
            assert_eq!((reply.stop, found.as_str()), (stop.clone(), kinds), "{text}");
        }
    }
}

fn kind(block: &Block) -> char {
    match block {
        Block::Text(_) => 'w',
        Block::ToolUse(_) => 'T',
        Block::Thinking(_) => 't',
        Block::RedactedThinking(_) => 'r',
        Block::Other(_) => 'o',
        _ => '?',
    }
}

#[tokio::test]
async fn a_call_that_the_token_limit_cut_is_marked_as_such() {
    let cut = start(0, json!({"type": "tool_use", "id": "1", "name": "ls"}))
        + &delta(0, json!({"type": "input_json_delta", "partial_json": "{\"path\": \"a"}));
    let server =
        Server::send([stream(&format!("{BEGIN}{cut}{END}").replace("end_turn", "max_tokens"))])
            .await;
    let (reply, _) = reply(&server.client()).await;
    assert_eq!(reply.stop, StopReason::MaxTokens);
    assert_eq!(model::invalid_input(reply.message.calls().next().unwrap()), Some("{\"path\": \"a"));
}

#[tokio::test]
async fn one_event_in_many_writes_and_many_events_in_one() {
    let bytes = stream(&said("Grüße 😀"));
    let one_by_one = bytes.iter().map(|byte| vec![*byte]).collect();
    let server = Server::new(vec![Answer::Send(one_by_one)]).await;
    assert_eq!(reply(&server.client()).await.0.text(), "Grüße 😀");

    let body = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let splits: Vec<usize> = (body..bytes.len()).step_by(7).collect();
    let answers =
        splits.iter().map(|&at| Answer::Send(vec![bytes[..at].to_vec(), bytes[at..].to_vec()]));
    let server = Server::new(answers.collect()).await;
    let client = server.client();
    for _ in splits {
        assert_eq!(reply(&client).await.0.text(), "Grüße 😀");
    }
}

#[tokio::test]
async fn ten_megabytes_come_through() {
    let piece = delta(0, json!({"type": "text_delta", "text": "x".repeat(10_000)}));
    let long = format!("{BEGIN}{}{}{END}", words(""), piece.repeat(1000));
    let big = start(1, json!({"type": "web_search_tool_result", "content": "y".repeat(5 << 20)}));
    let server = Server::send([stream(&long), stream(&format!("{BEGIN}{big}{END}"))]).await;
    assert_eq!(reply(&server.client()).await.0.text().len(), 10_000_000);
    assert_eq!(reply(&server.client()).await.0.message.content.len(), 1);
}

#[tokio::test]
async fn a_gateway_that_ignores_stream_is_understood() {
    let body = json!({"content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 2}});
    let json = "content-type: application/json; charset=utf-8\r\n";
    let overloaded = br#"{"type":"error","error":{"type":"overloaded_error","message":"x"}}"#;
    let server =
        Server::send([http(200, json, overloaded), http(200, json, body.to_string().as_bytes())])
            .await;
    let deltas = ask(&server.client()).await;
    assert!(
        matches!(&deltas[0], Ok(Delta::Retrying { why, .. }) if why == "529 overloaded_error: x"),
        "{deltas:?}"
    );
    assert_eq!(deltas[1], Ok(Delta::Text("Hi".into())));
    assert!(matches!(&deltas[2], Ok(Delta::Done(reply)) if reply.usage.output_tokens == 2));
}

#[tokio::test]
async fn thinking_of_a_local_server_goes_back_to_it() {
    let server = Server::send([stream(&said("Hi"))]).await;
    let mut messages = history();
    let thought = json!({"type": "thinking", "thinking": "Hm", "signature": ""});
    let content = vec![serde_json::from_value::<Block>(thought.clone()).unwrap()];
    messages.push(Message::assistant(content));
    messages.extend(history());
    server.client().stream(&request_of(&messages)).collect::<Vec<_>>().await;
    assert_eq!(server.seen(0).1["messages"][1]["content"], json!([thought]));
}

#[tokio::test]
async fn the_next_request_finds_the_connection_open() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        for _ in 0..3 {
            request(&mut socket).await.unwrap();
            let body = said("Hi");
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
            let chunked = format!("{head}{:x}\r\n{body}\r\n", body.len());
            socket.write_all(chunked.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
            socket.write_all(b"0\r\n\r\n").await.unwrap();
        }
    });
    let client = Client::new(Config::new(url, Key::None)).unwrap();
    for _ in 0..3 {
        assert_eq!(reply(&client).await.0.text(), "Hi");
    }
    serving.await.unwrap();
}

/// Not one for every request. A second one is possible: a request that comes before the connection is
/// back takes whichever is there first, it or a new one. Then there are two to choose from.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_session_needs_a_handful_of_connections() {
    const TURNS: usize = 300;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let opened = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&opened);
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            socket.set_nodelay(true).unwrap();
            count.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                while request(&mut socket).await.is_some() {
                    let body = said("Hi");
                    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
                    let chunked = format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
                    socket.write_all(chunked.as_bytes()).await.unwrap();
                }
            });
        }
    });
    let client = Client::new(Config::new(url, Key::None)).unwrap();
    for _ in 0..TURNS {
        assert_eq!(reply(&client).await.0.text(), "Hi");
    }
    let opened = opened.load(Ordering::Relaxed);
    assert!(opened < TURNS / 30, "{opened} connections for {TURNS} requests");
}

// ---------------------------------------------------------------- counting

#[tokio::test]
async fn tokens_are_counted_where_the_server_can() {
    let server =
        Server::send([http(200, "", b"{\"input_tokens\": 42}"), error(404, "", "no")]).await;
    let messages = history();
    assert_eq!(server.client().count_tokens(&request_of(&messages)).await, Some(42));
    let (head, body) = server.seen(0);
    assert!(head.starts_with("POST /v1/messages/count_tokens "), "{head}");
    assert!(body.get("max_tokens").is_none() && body.get("stream").is_none(), "{body}");
    assert_eq!(body["thinking"]["type"], "adaptive");
    assert_eq!(server.client().count_tokens(&request_of(&messages)).await, None);
}
