//! Session 21's MCP client against real servers, and against the official conformance suite.

use std::path::PathBuf;

use super::fetched::{checked, environment};
use crate::repo::{Repo, write};
use crate::run::{cargo, command, quiet, show, target_folder, watched, works};

/// The suite needs a newer node than some machines have; this one comes as a package.
const NODE: &str = "node@22";
const EVERYTHING: &str = "@modelcontextprotocol/server-everything";
const FILESYSTEM: &str = "@modelcontextprotocol/server-filesystem";
const SUITE: &str = "@modelcontextprotocol/conformance";
/// What the suite also tests and this client does not speak, on purpose: logins, and questions that a
/// server asks in the middle of a call.
const UNSPOKEN: [&str; 2] = ["auth/", "elicitation-"];

/// Three real servers at once, beside one that hangs and one that crashes.
pub(super) fn servers(repo: &Repo) -> Result<Vec<String>, String> {
    let folder = repo.root.join("target/interop");
    let npm = packages(repo)?;
    let python = environment(repo, &folder.join("python-mcp"), "mcp-server-git")?;
    let work = folder.join("mcp");
    // Nothing of an earlier run: the folder is the servers' own.
    let _ = std::fs::remove_dir_all(&work);
    write(&work.join("README.md"), "A repository for servers.\n")?;
    for args in [
        &["init", "--quiet"][..],
        &["add", "."],
        &[
            "-c",
            "user.name=T",
            "-c",
            "user.email=t@example.invalid",
            "commit",
            "--quiet",
            "-m",
            "one",
        ],
    ] {
        quiet(command(repo, "git").arg("-C").arg(&work).args(args))?;
    }
    let node = npm.join(".bin/node");
    let node = node.display();
    let npm = npm.display();
    let work = work.display();
    let config = format!(
        "servers:
- {{name: everything, command: '{node}', args: ['{npm}/{0}/dist/index.js', stdio]}}
- {{name: hangs, command: sleep, args: ['1000'], start_timeout: 8}}
- {{name: files, command: '{node}', args: ['{npm}/{1}/dist/index.js', '{work}']}}
- {{name: crashes, command: sh, args: [-c, 'echo no licence >&2; exit 3']}}
- {{name: git, command: '{python}', args: [-m, mcp_server_git, --repository, '{work}']}}\n",
        EVERYTHING, FILESYSTEM
    );
    let file = folder.join("servers.yaml");
    write(&file, &config)?;
    let mut probe = command(repo, &built(repo)?);
    checked(probe.arg("servers").arg(&file).arg(work.to_string()))
}

/// The suite's client scenarios, each with the checks it has passed and failed.
pub(super) fn conformance(repo: &Repo) -> Result<Vec<String>, String> {
    let npm = packages(repo)?;
    let mut suite = command(repo, &npm.join(".bin/node").to_string_lossy());
    suite.arg(npm.join(SUITE).join("dist/index.js")).args(["client", "--suite", "all"]);
    suite.arg("--command").arg(format!("{} conformance", built(repo)?));
    let is_sum = |line: &str| line.starts_with('✓') || line.starts_with('✗');
    let (_, lines) = watched(&mut suite, is_sum)?;
    let row = |line: &String| {
        let (mark, rest) = line.split_once(' ')?;
        let (name, sum) = rest.split_once(": ")?;
        let unspoken = UNSPOKEN.iter().any(|start| name.starts_with(start));
        Some(match (mark, unspoken) {
            (_, true) => format!("--\t{name}\t{sum}"),
            ("✓", false) => format!("ok\t{name}\t{sum}"),
            (_, false) => format!("FAIL\t{name}\t{sum}"),
        })
    };
    let rows: Vec<String> = lines.iter().filter_map(row).collect();
    if rows.is_empty() { Err("the suite said nothing".to_owned()) } else { Ok(rows) }
}

/// The example of session 21 that does the calls.
fn built(repo: &Repo) -> Result<String, String> {
    let session = repo.session_numbered(21)?;
    quiet(cargo(repo).args(["build", "-p", &session.name, "--example", "probe"]))?;
    let probe = target_folder(repo).join("debug/examples/probe");
    Ok(probe.to_string_lossy().into_owned())
}

/// The newest packages, and a node to run them; older ones will do without the network. Gives back the
/// folder that has them.
fn packages(repo: &Repo) -> Result<PathBuf, String> {
    let folder = repo.root.join("target/interop/npm");
    write(&folder.join("package.json"), "{\"private\": true}\n")?;
    let mut npm = command(repo, "npm");
    npm.args(["install", "--no-audit", "--no-fund", EVERYTHING, FILESYSTEM, SUITE, NODE]);
    let installed = show(npm.current_dir(&folder));
    let all = folder.join("node_modules");
    if let Err(reason) = installed {
        let is_there = [EVERYTHING, FILESYSTEM, SUITE].iter().all(|name| all.join(name).is_dir());
        let node = all.join(".bin/node");
        if !is_there || !works(command(repo, &node.to_string_lossy()).arg("--version")) {
            return Err(format!("cannot install the packages: {reason} (npm is needed)"));
        }
        say!("could not look for newer packages: using those that are here");
    }
    Ok(all)
}
