//! A server that does no more than a bench needs: it reads a request, says that it is there, and answers
//! from memory, so that what is measured is the client. And the sessions that talk to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

/// Takes every connection that is opened: a client may open a second one before the first is free again.
pub(crate) struct Server {
    port: u16,
    requests: mpsc::Receiver<TcpStream>,
    /// Whom the last request came from.
    from: Option<TcpStream>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (found, requests) = mpsc::channel();
        std::thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                socket.set_nodelay(true).unwrap();
                let found = found.clone();
                std::thread::spawn(move || {
                    let mut reader = BufReader::with_capacity(1 << 20, &socket);
                    while read(&mut reader).is_some() {
                        if found.send(socket.try_clone().unwrap()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { port, requests, from: None }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).unwrap()
    }

    /// Waits for the next request, body and all.
    pub(crate) fn request(&mut self) {
        self.from = Some(self.requests.recv_timeout(Duration::from_secs(60)).unwrap());
    }

    pub(crate) fn answer(&mut self, body: &str) {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.from.as_mut().unwrap().write_all((head + body).as_bytes()).unwrap();
    }
}

/// Reads one request; `None` when there is no more.
fn read(reader: &mut impl BufRead) -> Option<()> {
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink()).ok().map(drop)
}

/// A session as a user starts it: a process that works in a folder of its own and talks to a server.
pub(crate) struct Session {
    pub(crate) server: Server,
    pub(crate) child: Child,
    _folder: TempDir,
}

impl Session {
    /// `before` stands before the program: what it runs under.
    pub(crate) fn start(before: &[&str], name: &str) -> Self {
        let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
        let program = std::env::current_exe().unwrap().with_file_name(name);
        let mut words: Vec<&Path> = before.iter().map(Path::new).collect();
        words.push(&program);
        let child = Command::new(words[0])
            .args(&words[1..])
            .args(["-p", "go", "--output-format", "json", "--max-steps", "10000", "--workspace"])
            .arg(folder.path())
            .env("ANTHROPIC_BASE_URL", format!("http://127.0.0.1:{}", server.port))
            .env("ANTHROPIC_API_KEY", "bench")
            .env("HARNESS_ENV", "/dev/null")
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(if before.is_empty() { Stdio::inherit() } else { Stdio::piped() })
            .spawn()
            .unwrap();
        Self { server, child, _folder: folder }
    }

    /// The most memory that it had so far, in MB; of a process that is gone, no number.
    pub(crate) fn peak(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|kb| kb.trim().trim_end_matches(" kB").parse::<f64>().ok());
        peak.unwrap_or(f64::NAN) / 1024.0
    }

    /// Answers the last request with a text, so that it ends; what it then says on stderr, if that is piped.
    pub(crate) fn end(mut self) -> String {
        self.server.answer(&text());
        let output = self.child.wait_with_output().unwrap();
        assert!(output.status.success(), "the session failed: {}", output.status);
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

/// A reply that calls a tool.
pub(crate) fn call(turn: usize, tool: &str, input: &Value) -> String {
    let block =
        json!({"type": "tool_use", "id": format!("toolu_{turn}"), "name": tool, "input": {}});
    reply(block, json!({"type": "input_json_delta", "partial_json": input.to_string()}), "tool_use")
}

/// A reply that calls nothing.
pub(crate) fn text() -> String {
    let delta = json!({"type": "text_delta", "text": "Done."});
    reply(json!({"type": "text", "text": ""}), delta, "end_turn")
}

fn reply(block: Value, delta: Value, stop: &str) -> String {
    [
        json!({"type": "message_start", "message": {"id": "m", "role": "assistant", "content": [], "usage": {"input_tokens": 9, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": block}),
        json!({"type": "content_block_delta", "index": 0, "delta": delta}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": 5}}),
        json!({"type": "message_stop"}),
    ]
    .iter()
    .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap()))
    .collect()
}
