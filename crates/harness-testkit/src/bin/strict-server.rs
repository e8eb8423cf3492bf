//! The strict server as a program, for any client that takes a base URL.
//!
//! ```text
//! strict-server --play demo.yaml [--port 8099] [--require-key KEY] [--log FILE] [--fault 2=overloaded]…
//! ```
//! The first line it prints is `listening on http://127.0.0.1:PORT`. Requests and what is wrong with
//! them go to the log, or to standard error. `--allow rewrites` and `--allow forks` as in tests. It runs
//! until it is stopped; at the end of its standard input too, if `--until-eof` is given.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program prints")]

use std::fs::File;
use std::io::{Read, Write};
use std::process::ExitCode;
use std::sync::Mutex;

use harness_core::Play;
use harness_testkit::{Fault, StrictServer, When};

const USAGE: &str = "usage: strict-server --play PATH [--port N] [--require-key KEY] [--log FILE] \
    [--fault N=NAME[:VALUE] | --fault all=NAME]… [--allow rewrites|forks] [--until-eof]";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), String> {
    let (mut play, mut port, mut key, mut log) = (None, 0, None, None);
    let (mut faults, mut allowed, mut until_eof) = (Vec::new(), Vec::new(), false);
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        if flag == "--until-eof" {
            until_eof = true;
            continue;
        }
        let value = arguments.next().ok_or(USAGE)?;
        match flag.as_str() {
            "--play" => play = Some(value),
            "--port" => port = value.parse().map_err(|_| format!("no port: {value}"))?,
            "--require-key" => key = Some(value),
            "--log" => log = Some(value),
            "--fault" => faults.push(fault(&value)?),
            "--allow" => allowed.push(value),
            _ => return Err(USAGE.to_owned()),
        }
    }
    let path = play.ok_or(USAGE)?;
    let yaml = std::fs::read_to_string(&path).map_err(|why| format!("{path}: {why}"))?;
    let play = Play::from_yaml(&yaml).map_err(|why| format!("{path}: {why}"))?;

    let server = StrictServer::start_on(port, play);
    let file = log.map(|path| File::create(&path).map_err(|why| format!("{path}: {why}")));
    let file = Mutex::new(file.transpose()?);
    server.tell(move |line| match file.lock().ok().as_mut().and_then(|file| file.as_mut()) {
        Some(file) => _ = writeln!(file, "{line}"),
        None => eprintln!("{line}"),
    });
    if let Some(key) = key {
        server.require_key(&key);
    }
    for (when, fault) in faults {
        server.fault(when, fault);
    }
    for what in allowed {
        match what.as_str() {
            "rewrites" => _ = server.allow_rewrites(),
            "forks" => _ = server.allow_forks(),
            _ => return Err(USAGE.to_owned()),
        }
    }
    println!("listening on {}", server.base_url());
    if until_eof {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let wrong = server.take_violations();
        return if wrong.is_empty() { Ok(()) } else { Err(format!("{} violations", wrong.len())) };
    }
    loop {
        std::thread::park();
    }
}

/// `2=overloaded`, `all=crlf`.
fn fault(text: &str) -> Result<(When, Fault), String> {
    let (when, fault) = text.split_once('=').ok_or(USAGE)?;
    let when = match when {
        "all" => When::Always,
        number => When::Request(number.parse().map_err(|_| format!("no request: {number}"))?),
    };
    Ok((when, fault.parse()?))
}
