//! Hosts and paths that only one machine knows.

use super::tree::{Tree, Violation, violation};

/// The one source of packages that a lock file may name.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub(crate) fn machines(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, text) in &tree.texts {
        let lock = path.ends_with(".lock");
        for (index, line) in text.lines().enumerate() {
            let found = if lock {
                foreign_source(line)
            } else {
                registry(path, line).or_else(|| machine_path(line))
            };
            violations.extend(found.map(|reason| violation(path, index + 1, reason)));
        }
    }
    violations
}

fn foreign_source(line: &str) -> Option<String> {
    let source = line.strip_prefix("source = ")?.trim_matches('"');
    (source != CRATES_IO).then(|| "a package from elsewhere than crates.io".to_owned())
}

/// Settings that name a registry or a mirror, and hosts inside a private network.
fn registry(path: &str, line: &str) -> Option<String> {
    let settings = ["[source.", "[registries", "replace-with", "index-url", "extra-index"];
    let is_settings = [".toml", ".conf", ".cfg", ".ini", ".yaml", ".yml", ".txt"];
    if is_settings.iter().any(|ending| path.ends_with(ending))
        && settings.iter().any(|setting| line.trim_start().starts_with(setting))
    {
        return Some("a registry is the machine's own setting".to_owned());
    }
    let host = hosts(line).find(|host| {
        let private =
            [".internal", ".corp", ".intranet", ".lan"].iter().any(|end| host.ends_with(end));
        let mirror = ["artifactory", "nexus"]
            .iter()
            .any(|word| host.split('.').any(|label| label.starts_with(word)));
        (private || mirror) && *host != "host.docker.internal"
    })?;
    Some(format!("{host} is a host of one network"))
}

/// The hosts of the URLs in a line.
fn hosts(line: &str) -> impl Iterator<Item = &str> {
    line.split("://").skip(1).map(|rest| {
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || "-._@:".contains(c)))
            .unwrap_or(rest.len());
        let host = rest[..end].rsplit('@').next().unwrap_or_default();
        host.split(':').next().unwrap_or_default().trim_end_matches('.')
    })
}

/// An absolute path into somebody's working folder.
fn machine_path(line: &str) -> Option<String> {
    for folder in ["work", "root"] {
        let needle = format!("/{folder}/");
        let starts = |at: usize| {
            !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-~}$/*)".contains(c))
        };
        if line.match_indices(&needle).any(|(at, _)| starts(at)) {
            return Some(format!("{needle} is a folder of one machine"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slashed(folder: &str) -> String {
        format!("/{folder}/")
    }

    #[test]
    fn absolute_paths_are_found_and_relative_ones_are_not() {
        let work = slashed("work");
        let root = slashed("root");
        for wrong in [format!("cd {work}x"), format!("\"{root}.cargo\""), format!("{work}x")] {
            assert!(machine_path(&wrong).is_some(), "{wrong}");
        }
        for fine in [
            format!("./a{work}x"),
            format!("${{HOME}}{work}"),
            format!("target{root}x"),
            "/workspace/".into(),
        ] {
            assert_eq!(machine_path(&fine), None, "{fine}");
        }
    }

    #[test]
    fn hosts_of_one_network_and_mirrors_are_found() {
        let scheme = "https://";
        let wrong = format!("see {scheme}me:secret@artifactory.example.com:8081/x");
        assert!(registry("a.md", &wrong).is_some());
        assert!(registry("a.md", &format!("{scheme}pypi.team.internal/simple")).is_some());
        assert!(registry("a.toml", "[registries.ours]").is_some());
        assert_eq!(
            registry("a.md", &format!("{scheme}api.anthropic.com/v1, {scheme}crates.io.")),
            None
        );
        assert_eq!(registry("a.rs", "replace-with"), None);
    }

    #[test]
    fn a_lock_file_names_one_source() {
        assert_eq!(foreign_source(&format!("source = \"{CRATES_IO}\"")), None);
        assert!(foreign_source("source = \"git+https://example.com/x#1\"").is_some());
        assert_eq!(foreign_source("name = \"x\""), None);
    }
}
