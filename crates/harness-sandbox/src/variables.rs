//! Which variables a confined child does not get.

use std::ffi::{OsStr, OsString};

/// Whether a variable of this name and value holds a secret, or leads to somebody who holds one.
///
/// The name decides, by its parts: `GITHUB_TOKEN`, `AWS_SECRET_ACCESS_KEY`, `PGPASSWORD`. A value is
/// looked at for one thing: an address with a password in it.
pub fn is_secret_variable(name: &OsStr, value: &OsStr) -> bool {
    let name = name.to_string_lossy().to_ascii_uppercase();
    if is_harmless(&name) {
        return false;
    }
    is_agent(&name) || name.split('_').any(is_secret_word) || has_password(&value.to_string_lossy())
}

/// Names that sound like a secret and are none.
fn is_harmless(name: &str) -> bool {
    // Git's way to pass settings in variables: GIT_CONFIG_KEY_0 names a setting.
    name.starts_with("GIT_CONFIG_KEY_")
}

/// Sockets and files that lead to keys.
fn is_agent(name: &str) -> bool {
    const AGENTS: [&str; 9] = [
        "SSH_AUTH_SOCK",
        "SSH_AGENT_PID",
        "GPG_AGENT_INFO",
        "DBUS_SESSION_BUS_ADDRESS",
        "DOCKER_HOST",
        "KUBECONFIG",
        "XAUTHORITY",
        "MYSQL_PWD",
        "NETRC",
    ];
    AGENTS.contains(&name)
}

fn is_secret_word(word: &str) -> bool {
    const WHOLE: [&str; 7] = ["AUTH", "COOKIE", "DSN", "KEYS", "PASS", "PAT", "TOKENS"];
    const ENDS: [&str; 8] =
        ["CREDENTIAL", "CREDENTIALS", "KEY", "PASSPHRASE", "PASSWD", "PASSWORD", "SECRET", "TOKEN"];
    let word = word.trim_end_matches(|c: char| c.is_ascii_digit());
    WHOLE.contains(&word)
        || word.ends_with("SECRETS")
        || word.ends_with("PASSWORDS")
        || ENDS.iter().any(|end| word.ends_with(end))
}

/// Whether the text has an address of the form `scheme://user:password@host`.
fn has_password(value: &str) -> bool {
    value.split("://").skip(1).any(|rest| {
        let host = rest.split(['/', '?', '#', ' ']).next().unwrap_or_default();
        let Some((person, _)) = host.rsplit_once('@') else { return false };
        person.split_once(':').is_some_and(|(_, password)| !password.is_empty())
    })
}

/// The names of this program's own variables that hold secrets.
pub(crate) fn secret_names() -> impl Iterator<Item = OsString> {
    let all = std::env::vars_os();
    all.filter(|(name, value)| is_secret_variable(name, value)).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_secret(name: &str, value: &str) -> bool {
        is_secret_variable(OsStr::new(name), OsStr::new(value))
    }

    #[test]
    fn a_name_that_says_token_secret_key_or_password_is_secret() {
        let names = [
            "GITHUB_TOKEN",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_ACCESS_KEY_ID",
            "ANTHROPIC_API_KEY",
            "PGPASSWORD",
            "MYSQL_PWD",
            "npm_config__authToken",
            "TOKEN2",
            "SSH_AUTH_SOCK",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "SENTRY_DSN",
        ];
        for name in names {
            assert!(is_secret(name, "x"), "{name}");
        }
    }

    #[test]
    fn everyday_variables_pass() {
        let names = [
            "PATH",
            "HOME",
            "PWD",
            "OLDPWD",
            "LANG",
            "TOKENIZERS_PARALLELISM",
            "KEYBOARD_LAYOUT",
            "GIT_CONFIG_KEY_0",
            "CARGO_TARGET_DIR",
            "XDG_DATA_DIRS",
            "PATHEXT",
        ];
        for name in names {
            assert!(!is_secret(name, "x"), "{name}");
        }
    }

    #[test]
    fn an_address_with_a_password_is_secret_whatever_its_name() {
        assert!(is_secret("DATABASE_URL", "postgres://me:hunter2@db/x"));
        assert!(is_secret("MIRRORS", "http://a.example https://u:p@b.example/x"));
        assert!(!is_secret("HTTP_PROXY", "http://proxy.example:3128"));
        assert!(!is_secret("REMOTE", "ssh://git@host.example/x"));
    }
}
