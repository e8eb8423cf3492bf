//! `cargo xtask interop`: real clients and servers from the registries against ours.

mod fetched;
mod mcp;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use fetched::{checked, environment};

use crate::Failure;
use crate::repo::{Repo, write};
use crate::run::{cargo, command, quiet, show};

pub(crate) const HELP: &str = "\
usage: cargo xtask interop [CASE]

Plays against real things from the registries, fetched into target/interop: needs the network,
and is no part of CI. Cases:
  anthropic-sdk   the Python SDK against the strict server
  litellm         every session and the harness through a LiteLLM proxy with litellm_config.yaml, a model that
                  the proxy mocks, and the testkit's server behind it in OpenAI's dialect (700 MB of packages)
  mcp-servers     s21 with three real servers at once, beside one that hangs and one that crashes
  mcp-conformance s21 against the protocol's official suite";

/// One thing to play against: gives back one line a check, `ok<TAB>what` or `FAIL<TAB>what<TAB>why`, or
/// `--<TAB>what<TAB>why` for what is not done here on purpose.
struct Case {
    name: &'static str,
    run: fn(&Repo) -> Result<Vec<String>, String>,
}

const CASES: &[Case] = &[
    Case { name: "anthropic-sdk", run: anthropic_sdk },
    Case { name: "litellm", run: litellm },
    Case { name: "mcp-servers", run: mcp::servers },
    Case { name: "mcp-conformance", run: mcp::conformance },
];

pub(crate) fn run(repo: &Repo, args: &[String]) -> Result<(), Failure> {
    let wanted = |case: &&Case| args.is_empty() || args.iter().any(|arg| arg == case.name);
    let cases: Vec<&Case> = CASES.iter().filter(wanted).collect();
    if let Some(unknown) =
        args.iter().find(|arg| CASES.iter().all(|case| case.name != arg.as_str()))
    {
        let near = crate::names::near(unknown, CASES.iter().map(|case| case.name));
        return Err(Failure::Usage(format!("no case is called {unknown:?}{near}")));
    }
    let mut table = Vec::new();
    for case in cases {
        say!("== {}", case.name);
        match (case.run)(repo) {
            Ok(lines) => table.extend(lines.iter().map(|line| row(case.name, line))),
            Err(reason) => table.push(row(case.name, &format!("FAIL\tstart\t{reason}"))),
        }
    }
    say!();
    for line in &table {
        say!("{line}");
    }
    let of = |verdict: &str| table.iter().filter(|line| line.starts_with(verdict)).count();
    let failed = table.len() - of("ok ") - of("-- ");
    say!("interop: {} passed, {failed} failed, {} left out on purpose", of("ok "), of("-- "));
    if failed == 0 { Ok(()) } else { Err(Failure::Failed(format!("interop: {failed} failed"))) }
}

/// A line of the table.
fn row(case: &str, line: &str) -> String {
    let mut parts = line.split('\t');
    let verdict = parts.next().unwrap_or_default();
    let what: Vec<&str> = parts.collect();
    format!("{verdict:<5} {case:<15} {}", what.join(": "))
}

fn anthropic_sdk(repo: &Repo) -> Result<Vec<String>, String> {
    let folder = repo.root.join("target/interop");
    let script = folder.join("anthropic_sdk.py");
    let play = folder.join("play.yaml");
    write(&script, include_str!("interop/anthropic_sdk.py"))?;
    write(&play, include_str!("interop/play.yaml"))?;
    let python = environment(repo, &folder.join("python"), "anthropic")?;
    let server = Server::start(repo, &play)?;
    let mut client = command(repo, &python);
    // The machine's own key and address are nobody's business here.
    for name in ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"] {
        client.env_remove(name);
    }
    client.env("NO_PROXY", "127.0.0.1");
    checked(client.arg(&script).arg(&server.url))
}

/// Option B of the README, with the sessions as they are built here.
fn litellm(repo: &Repo) -> Result<Vec<String>, String> {
    const PROGRAM: [&str; 4] = ["-p", "harness-testkit", "--bin", "option-b"];
    let python = environment(repo, &repo.root.join("target/interop/litellm"), "litellm[proxy]")?;
    show(cargo(repo).args(["build", "--bins"]))?;
    let mut run = cargo(repo);
    run.args(["run", "--quiet"]).args(PROGRAM).arg("--");
    run.arg(Path::new(&python).with_file_name("litellm"));
    checked(run.arg(repo.root.join("litellm_config.yaml")).arg(&repo.root))
}

/// The testkit's strict server, playing one play until it is dropped.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    /// Its contract: the first line on stdout is `listening on http://127.0.0.1:PORT`.
    fn start(repo: &Repo, play: &Path) -> Result<Self, String> {
        const PACKAGE: [&str; 4] = ["-p", "harness-testkit", "--bin", "strict-server"];
        quiet(cargo(repo).arg("build").args(PACKAGE)).map_err(|e| format!("strict-server: {e}"))?;
        let mut run: Command = cargo(repo);
        run.args(["run", "--quiet"])
            .args(PACKAGE)
            .arg("--")
            .arg("--play")
            .arg(play)
            .args(["--port", "0"]);
        let spawned = run.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let child = spawned.map_err(|e| format!("cannot start strict-server: {e}"))?;
        let mut server = Self { child, url: String::new() };
        let mut output =
            BufReader::new(server.child.stdout.take().ok_or("strict-server has no stdout")?);
        let mut line = String::new();
        output.read_line(&mut line).map_err(|e| format!("strict-server: {e}"))?;
        let url = line.trim().strip_prefix("listening on ");
        server.url = url
            .ok_or_else(|| format!("strict-server did not say where it listens: {line:?}"))?
            .to_owned();
        // What else it says is read, so that it never waits for a reader.
        std::thread::spawn(move || std::io::copy(&mut output.take(u64::MAX), &mut std::io::sink()));
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_becomes_a_row() {
        assert_eq!(row("sdk", "ok\ttext"), "ok    sdk             text");
        assert_eq!(row("sdk", "FAIL\ttext\twhy"), "FAIL  sdk             text: why");
    }
}
