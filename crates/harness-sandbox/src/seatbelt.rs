//! The same promises in the words of macOS. **Not tested on a machine with that system**: the tests
//! look at the text only.

use std::path::{Path, PathBuf};

use crate::{Level, Policy, places};

/// The profile for `sandbox-exec -p`, or `None` for [`Level::Free`]. `scratch` is the folder that is
/// `TMPDIR`; `closed` are the secret places that were found.
///
/// The last rule that matches counts, so holes come after what they are holes in.
pub fn profile(
    policy: &Policy,
    level: Level,
    scratch: &Path,
    closed: &[PathBuf],
) -> Option<String> {
    if level == Level::Free {
        return None;
    }
    let mut text = Profile::default();
    text.line("(version 1)");
    text.line("(deny default)");
    text.line("(allow process-fork)");
    text.line("(allow process-info* (target same-sandbox))");
    text.line("(allow signal (target same-sandbox))");
    text.line("(allow sysctl-read)");
    text.line("(allow file-read-metadata)");
    for place in ["/bin", "/sbin", "/usr", "/opt", "/System", "/Library", "/nix/store"] {
        text.allow("file-read* process-exec", place.as_ref());
    }
    for place in ["/etc", "/private/etc", "/private/var/db/timezone", "/dev/random"] {
        text.allow("file-read*", place.as_ref());
    }
    text.line("(allow file-read* (literal \"/\") (literal \"/dev/urandom\"))");
    text.line("(allow file-read* file-write-data (literal \"/dev/null\") (literal \"/dev/zero\"))");
    if let Some(home) = policy.home() {
        text.allow("file-read*", home);
        for (place, right) in places::HOME {
            if *right == places::Right::Run {
                text.allow("process-exec", &home.join(place));
            }
        }
    }
    for place in &policy.reads {
        text.allow("file-read*", place);
    }
    text.allow("file-read*", policy.workspace());
    if level == Level::ReadOnly {
        text.deny("process-exec", policy.workspace());
    }
    if level == Level::Workspace {
        text.allow("file-write* process-exec", policy.workspace());
        for cache in policy.home().into_iter().flat_map(caches) {
            text.allow("file-write*", &cache);
        }
        text.guard(policy.workspace());
        text.line("(allow network* (local ip \"localhost:*\") (remote ip \"localhost:*\"))");
    }
    for place in closed.iter().chain(&policy.closed) {
        text.deny("file-read* file-write*", place);
    }
    for place in &policy.opened {
        text.allow("file-read*", place);
    }
    text.allow("file-read* file-write* process-exec", scratch);
    Some(text.0)
}

fn caches(home: &Path) -> Vec<PathBuf> {
    places::CACHES.iter().map(|cache| home.join(cache)).collect()
}

#[derive(Default)]
struct Profile(String);

impl Profile {
    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    fn allow(&mut self, operations: &str, place: &Path) {
        self.line(&format!("(allow {operations} (subpath {}))", quoted(place)));
    }

    fn deny(&mut self, operations: &str, place: &Path) {
        self.line(&format!("(deny {operations} (subpath {}))", quoted(place)));
    }

    /// What other programs run, wherever in the workspace it lies.
    fn guard(&mut self, workspace: &Path) {
        for name in places::GUARDED {
            let pattern =
                format!("^{}/(.*/)?{}(/.*)?$", escaped(workspace), escaped(name.as_ref()));
            self.line(&format!("(deny file-write* (regex {}))", quoted(pattern.as_ref())));
        }
        for name in places::GIT_GUARDED {
            let pattern = format!("^{}/(.*/)?\\.git/{name}(/.*)?$", escaped(workspace));
            self.line(&format!("(deny file-write* (regex {}))", quoted(pattern.as_ref())));
        }
    }
}

/// A string of the profile's language.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{text}\"")
}

/// The path as a pattern that matches only itself.
fn escaped(path: &Path) -> String {
    let mut pattern = String::new();
    for c in path.to_string_lossy().chars() {
        if "\\.+*?()|[]{}^$".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}
