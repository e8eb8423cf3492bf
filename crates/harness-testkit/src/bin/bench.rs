//! Measures speed and size in release and prints `name<TAB>value<TAB>unit`; run by `cargo xtask bench`.
//!
//! The sessions are measured as a user runs them: a process against a server on loopback. The server
//! here does no more than a bench needs (it reads a request, notes the time and answers from memory), so
//! that what is measured is the client.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement, run by hand"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use harness_core::anthropic::{assemble::Assembler, sse::Decoder};
use harness_core::permission::Rules;
use harness_core::{Effect, Policy, ToolCall};
use serde_json::{Map, json};

const ROUND_TRIPS: usize = 200;

fn main() {
    for (row, name) in [("", "s01_perception_action_loop"), ("_harness", "harness")] {
        let took = median(21, || start_to_first_request(name));
        println!("start_to_first_request{row}\t{took:.2}\tms");
    }
    let shell = median(201, || {
        let begun = Instant::now();
        Command::new("/bin/bash").args(["-c", "true"]).status().unwrap();
        ms(begun.elapsed())
    });
    println!("bash_true_alone\t{shell:.3}\tms");
    let trip = round_trip();
    println!("round_trip_alone\t{trip:.3}\tms");
    let todo = turns("s03_todo_write", "todo_read", json!({}), 520);
    for at in [10, 50, 100, 500] {
        println!("turn_cost_{at}\t{:.3}\tms", around(&todo.turns, at) - trip);
    }
    let bash = turns("s01_perception_action_loop", "bash", json!({"command": "true"}), 520);
    for at in [10, 50, 100, 500] {
        println!("turn_with_bash_{at}\t{:.3}\tms", around(&bash.turns, at));
    }
    let fifty = turns("s01_perception_action_loop", "bash", json!({"command": "true"}), 50);
    println!("peak_memory_50_turns\t{:.1}\tMB", fifty.peak);
    println!("peak_memory_520_turns\t{:.1}\tMB", bash.peak);
    println!("sse_rate\t{:.0}\tMB/s", sse_rate());
    let load = median(11, || {
        let begun = Instant::now();
        std::hint::black_box(Rules::built_in().unwrap());
        ms(begun.elapsed())
    });
    println!("permission_load\t{load:.2}\tms");
    for (name, line) in lines() {
        println!("permission_{name}\t{:.3}\tms", permission(&line));
    }
}

/// One run of a session: the time from each answer to the next request, and the most memory it had.
struct Run {
    turns: Vec<f64>,
    peak: f64,
}

fn session(name: &str, port: u16, folder: &Path) -> Child {
    let program: PathBuf = std::env::current_exe().unwrap().with_file_name(name);
    Command::new(program)
        .args(["-p", "go", "--output-format", "json", "--max-steps", "10000", "--workspace"])
        .arg(folder)
        .env("ANTHROPIC_BASE_URL", format!("http://127.0.0.1:{port}"))
        .env("ANTHROPIC_API_KEY", "bench")
        .env("HARNESS_ENV", "/dev/null")
        .env("HOME", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

fn start_to_first_request(name: &str) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut server = Server::new(listener);
    let begun = Instant::now();
    let mut child = session(name, port, folder.path());
    server.request();
    let took = ms(begun.elapsed());
    server.answer(&text());
    child.wait().unwrap();
    took
}

/// `count` replies that call the tool, then one that does not.
fn turns(name: &str, tool: &str, input: serde_json::Value, count: usize) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut child = session(name, listener.local_addr().unwrap().port(), folder.path());
    let mut server = Server::new(listener);
    server.request();
    let mut turns = Vec::with_capacity(count);
    for turn in 0..count {
        let answer = call(turn, tool, &input);
        let begun = Instant::now();
        server.answer(&answer);
        server.request();
        turns.push(ms(begun.elapsed()));
    }
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|kb| kb.trim().trim_end_matches(" kB").parse::<f64>().ok());
    server.answer(&text());
    assert!(child.wait().unwrap().success(), "{name} failed");
    Run { turns, peak: peak.unwrap_or(f64::NAN) / 1024.0 }
}

/// What an answer and a request cost without any client: the smallest one there can be.
fn round_trip() -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = std::thread::spawn(move || {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        let mut buffer = [0; 4096];
        for _ in 0..=ROUND_TRIPS {
            socket.write_all(b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n").unwrap();
            let _ = socket.read(&mut buffer).unwrap();
        }
    });
    let mut server = Server::new(listener);
    server.request();
    let answer = text();
    let trip = median(ROUND_TRIPS, || {
        let begun = Instant::now();
        server.answer(&answer);
        server.request();
        ms(begun.elapsed())
    });
    server.answer(&answer);
    client.join().unwrap();
    trip
}

/// Takes every connection that is opened: a client may open a second one before the first is free again.
struct Server {
    requests: mpsc::Receiver<TcpStream>,
    /// Whom the last request came from.
    from: Option<TcpStream>,
}

impl Server {
    fn new(listener: TcpListener) -> Self {
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
        Self { requests, from: None }
    }

    /// Waits for the next request, body and all.
    fn request(&mut self) {
        self.from = Some(self.requests.recv_timeout(Duration::from_secs(60)).unwrap());
    }

    fn answer(&mut self, body: &str) {
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

fn reply(block: serde_json::Value, delta: serde_json::Value, stop: &str) -> String {
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

fn call(turn: usize, tool: &str, input: &serde_json::Value) -> String {
    let block =
        json!({"type": "tool_use", "id": format!("toolu_{turn}"), "name": tool, "input": {}});
    reply(block, json!({"type": "input_json_delta", "partial_json": input.to_string()}), "tool_use")
}

fn text() -> String {
    let delta = json!({"type": "text_delta", "text": "Done."});
    reply(json!({"type": "text", "text": ""}), delta, "end_turn")
}

fn sse_rate() -> f64 {
    let words = "Fifty bytes of text, as a model would stream it.  ";
    let delta = json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": words}});
    let whole = text();
    let at = whole.find("event: content_block_delta").unwrap();
    let event = format!("event: content_block_delta\ndata: {delta}\n\n");
    let stream = [&whole[..at], &event.repeat(100_000), &whole[at..]].concat();
    let best = (0..7).map(|_| {
        let (mut decoder, mut assembler) = (Decoder::default(), Assembler::default());
        let begun = Instant::now();
        for chunk in stream.as_bytes().chunks(16 * 1024) {
            decoder.feed(chunk);
            while let Some(event) = decoder.next_event().unwrap() {
                std::hint::black_box(assembler.push(&event).unwrap());
            }
        }
        begun.elapsed().as_secs_f64()
    });
    stream.len() as f64 / best.fold(f64::MAX, f64::min) / 1e6
}

fn lines() -> Vec<(&'static str, String)> {
    let mut short = String::from(
        "git log --oneline -20 | grep -i fix && cargo test -p harness-core --quiet 2>&1 | tail -n 20 \
         && ls -la src tests && rm -rf target/tmp/old-build && echo all of it is done",
    );
    short.extend(std::iter::repeat_n('!', 200_usize.saturating_sub(short.len())));
    vec![("200_chars", short), ("100_kB", format!("{} true", "echo one && ".repeat(8500)))]
}

fn permission(line: &str) -> f64 {
    let rules = Rules::built_in().unwrap();
    let input = Map::from_iter([("command".to_owned(), json!(line))]);
    let call = ToolCall { id: "a".into(), name: "bash".into(), input, rest: Map::new() };
    let effect = Effect::Runs(line.to_owned());
    median(21, || {
        let begun = Instant::now();
        std::hint::black_box(rules.rule_on(&call, &effect, Path::new("/tmp")));
        ms(begun.elapsed())
    })
}

fn median(times: usize, mut measure: impl FnMut() -> f64) -> f64 {
    let mut found: Vec<f64> = (0..times).map(|_| measure()).collect();
    found.sort_by(f64::total_cmp);
    found[times / 2]
}

/// The median of the twenty-one turns around this one.
fn around(turns: &[f64], at: usize) -> f64 {
    let from = at.saturating_sub(10);
    let mut near = turns[from..(at + 11).min(turns.len())].to_vec();
    near.sort_by(f64::total_cmp);
    near[near.len() / 2]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
