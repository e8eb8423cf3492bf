//! Names: what holds secrets, what may be read and run, what other programs run.
//!
//! Nothing here decides by itself. [`crate::grants`] reads the lists and turns them into rules,
//! and a name that is missing here is closed in a home and open in a workspace.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

/// What a grant allows. Each right includes the ones that are needed to use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Right {
    /// Lists folders. The kernel knows no "this folder only": names below are listed too.
    List,
    /// Reads files and lists folders.
    Read,
    /// Reads, lists and starts programs.
    Run,
    /// Everything but making devices.
    Write,
    /// Reads from and writes to a device.
    Device,
}

/// Places of the system. What is not named here (other people's homes, `/mnt`, `/srv`, the
/// sockets in `/run`) is neither read nor run.
pub(crate) const SYSTEM: &[(&str, Right)] = &[
    ("/usr", Right::Run),
    ("/bin", Right::Run),
    ("/sbin", Right::Run),
    ("/lib", Right::Run),
    ("/lib32", Right::Run),
    ("/lib64", Right::Run),
    ("/libx32", Right::Run),
    ("/opt", Right::Run),
    ("/nix/store", Right::Run),
    ("/nix/var/nix/profiles", Right::Read),
    ("/gnu/store", Right::Run),
    ("/snap", Right::Run),
    ("/home/linuxbrew/.linuxbrew", Right::Run),
    ("/run/current-system", Right::Run),
    ("/etc", Right::Read),
    ("/var/cache/fontconfig", Right::Read),
    ("/var/cache/man", Right::Read),
    ("/var/db", Right::Read),
    ("/var/lib/alternatives", Right::Read),
    ("/var/lib/apt", Right::Read),
    ("/var/lib/dpkg", Right::Read),
    ("/var/lib/pacman", Right::Read),
    ("/var/lib/rpm", Right::Read),
    ("/var/log", Right::Read),
];

/// Where the kernel tells about itself. `bwrap` mounts its own, so they stand apart.
pub(crate) const KERNEL: &[(&str, Right)] = &[("/proc", Right::Read), ("/sys", Right::Read)];

/// The devices that a program needs. There is no `/dev/tty`, no disk and no shared memory.
pub(crate) const DEVICES: &[(&str, Right)] = &[
    ("/dev/null", Right::Device),
    ("/dev/zero", Right::Device),
    ("/dev/full", Right::Device),
    ("/dev/random", Right::Read),
    ("/dev/urandom", Right::Read),
];

/// Secrets among the places of the system. An ordinary user may not read most of them anyway;
/// root may.
pub(crate) const SYSTEM_SECRETS: &[&str] = &[
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/etc/krb5.keytab",
    "/etc/security/opasswd",
    "/etc/ssl/private",
    "/etc/pki/tls/private",
    "/etc/letsencrypt",
    "/etc/wireguard",
    "/etc/openvpn",
    "/etc/ipsec.secrets",
    "/etc/ppp",
    "/etc/NetworkManager/system-connections",
    "/etc/wpa_supplicant",
    "/etc/kubernetes",
    "/etc/rancher",
    "/etc/vault.d",
    "/etc/mysql/debian.cnf",
    "/etc/msmtprc",
    "/etc/exim4/passwd.client",
    "/etc/postfix/sasl_passwd",
    "/var/db/sudo",
    "/var/log/audit",
];

/// Host keys have many names: files below `/etc/ssh` that begin so.
pub(crate) const HOST_KEYS: (&str, &str) = ("/etc/ssh", "ssh_host_");

/// What is open among the hidden entries of a home, and the toolchains that lie in it. Every other
/// hidden entry is closed, since that is where programs keep tokens, histories and profiles.
pub(crate) const HOME: &[(&str, Right)] = &[
    // What git, an editor and the tools ask for before they do anything.
    (".gitconfig", Right::Read),
    (".gitattributes", Right::Read),
    (".gitignore", Right::Read),
    (".gitignore_global", Right::Read),
    (".gitmessage", Right::Read),
    (".config/git/attributes", Right::Read),
    (".config/git/config", Right::Read),
    (".config/git/ignore", Right::Read),
    (".config/bat", Right::Read),
    (".config/fd", Right::Read),
    (".config/ripgrep", Right::Read),
    (".ripgreprc", Right::Read),
    (".editorconfig", Right::Read),
    (".clang-format", Right::Read),
    (".clang-tidy", Right::Read),
    (".rustfmt.toml", Right::Read),
    (".terminfo", Right::Read),
    (".tool-versions", Right::Read),
    (".python-version", Right::Read),
    (".node-version", Right::Read),
    (".nvmrc", Right::Read),
    (".ruby-version", Right::Read),
    (".java-version", Right::Read),
    // Rust
    (".cargo/bin", Right::Run),
    (".cargo/config", Right::Read),
    (".cargo/config.toml", Right::Read),
    (".cargo/env", Right::Read),
    (".cargo/git", Right::Read),
    (".cargo/registry", Right::Read),
    (".rustup", Right::Run),
    // JavaScript
    (".nvm", Right::Run),
    (".fnm", Right::Run),
    (".volta", Right::Run),
    (".deno/bin", Right::Run),
    (".bun/bin", Right::Run),
    (".bun/install/global", Right::Run),
    (".npm-global", Right::Run),
    (".npm-packages", Right::Run),
    (".yarn/bin", Right::Run),
    (".cache/node/corepack", Right::Run),
    (".local/share/pnpm", Right::Run),
    (".local/share/fnm", Right::Run),
    // Python
    (".pyenv", Right::Run),
    (".local/bin", Right::Run),
    (".local/lib", Right::Run),
    (".local/pipx", Right::Run),
    (".local/share/pipx", Right::Run),
    (".local/share/uv", Right::Run),
    (".local/share/virtualenvs", Right::Run),
    (".local/share/hatch", Right::Run),
    (".virtualenvs", Right::Run),
    (".cache/pypoetry/virtualenvs", Right::Run),
    (".poetry", Right::Run),
    (".rye", Right::Run),
    (".pixi", Right::Run),
    (".conda/envs", Right::Run),
    ("anaconda3", Right::Run),
    ("mambaforge", Right::Run),
    ("miniconda3", Right::Run),
    ("miniforge3", Right::Run),
    // Go, Java, .NET
    ("go/bin", Right::Run),
    ("go/pkg", Right::Read),
    (".sdkman/candidates", Right::Run),
    (".jenv", Right::Run),
    (".m2/repository", Right::Read),
    (".m2/wrapper", Right::Run),
    (".gradle/caches", Right::Read),
    (".gradle/wrapper", Right::Run),
    (".ivy2/cache", Right::Read),
    (".sbt/boot", Right::Read),
    (".dotnet", Right::Run),
    (".nuget/packages", Right::Run),
    // Ruby, PHP, Haskell, OCaml, Julia, Erlang, Dart and the version managers
    (".rbenv", Right::Run),
    (".rvm", Right::Run),
    (".gem/ruby", Right::Run),
    (".bundle/cache", Right::Read),
    (".composer/vendor", Right::Run),
    (".config/composer/vendor", Right::Run),
    (".ghcup", Right::Run),
    (".cabal/bin", Right::Run),
    (".cabal/packages", Right::Read),
    (".stack/programs", Right::Run),
    (".opam", Right::Run),
    (".julia", Right::Run),
    (".juliaup", Right::Run),
    (".elan", Right::Run),
    (".mix", Right::Run),
    (".hex/packages", Right::Read),
    (".pub-cache", Right::Run),
    (".asdf", Right::Run),
    (".local/share/mise", Right::Run),
    (".local/share/rtx", Right::Run),
    (".krew/bin", Right::Run),
    (".nix-profile", Right::Run),
    (".local/state/nix", Right::Run),
    (".linuxbrew", Right::Run),
    ("bin", Right::Run),
    // Texts
    (".local/share/bash-completion", Right::Read),
    (".local/share/fonts", Right::Read),
    (".local/share/man", Right::Read),
    (".fonts", Right::Read),
];

/// Folders of toolchains, in which a link to a folder elsewhere is one more toolchain.
pub(crate) const LINKED_TOOLCHAINS: &[&str] = &[".rustup/toolchains", ".pyenv/versions"];

/// What stays closed inside an open place of [`HOME`].
pub(crate) const HOME_SECRETS: &[&str] = &[
    ".cargo/credentials",
    ".cargo/credentials.toml",
    ".bundle/config",
    ".config/composer/auth.json",
    ".nix-profile/etc/credentials",
];

/// Where builds write what they may need again. Only places that exist are opened, and at
/// `Workspace` only.
pub(crate) const CACHES: &[&str] = &[
    ".cargo/git",
    ".cargo/registry",
    ".cargo/.global-cache",
    ".cargo/.package-cache",
    ".cargo/.package-cache-mutate",
    ".cache/ccache",
    ".cache/go-build",
    ".cache/golangci-lint",
    ".cache/mypy",
    ".cache/node",
    ".cache/node-gyp",
    ".cache/pip",
    ".cache/pnpm",
    ".cache/ruff",
    ".cache/sccache",
    ".cache/typescript",
    ".cache/uv",
    ".cache/yarn",
    ".gradle/caches",
    ".gradle/daemon",
    ".gradle/native",
    ".ivy2/cache",
    ".m2/repository",
    ".npm/_cacache",
    ".npm/_logs",
    ".nuget/packages",
    ".sbt/boot",
    ".yarn/berry/cache",
    "go/pkg",
];

/// Variables that say "there is no network" to programs that would try again for a minute otherwise.
pub(crate) const OFFLINE: &[(&str, &str)] = &[
    ("CARGO_NET_OFFLINE", "true"),
    ("GOPROXY", "off"),
    ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
    ("PIP_RETRIES", "0"),
    ("UV_OFFLINE", "1"),
    ("npm_config_audit", "false"),
    ("npm_config_fetch_retries", "0"),
    ("npm_config_update_notifier", "false"),
];

/// Variables that name the cache of a program which does not run without one, and the folder for it
/// in the scratch folder. At `ReadOnly` only.
pub(crate) const SCRATCH_CACHES: &[(&str, &str)] = &[
    ("BLACK_CACHE_DIR", "black"),
    ("GOCACHE", "go-build"),
    ("GOLANGCI_LINT_CACHE", "golangci-lint"),
    ("MYPY_CACHE_DIR", "mypy"),
    ("RUFF_CACHE_DIR", "ruff"),
];

/// Folders with thousands of files that no person wrote. In a workspace they are looked into last;
/// in another project of the home they are closed.
pub(crate) fn is_bulk(name: &OsStr) -> bool {
    const BULK: &[&str] = &[
        ".gradle",
        ".mypy_cache",
        ".next",
        ".nox",
        ".pytest_cache",
        ".tox",
        ".venv",
        "__pycache__",
        "node_modules",
        "target",
        "vendor",
        "venv",
    ];
    BULK.iter().any(|bulk| name == *bulk)
}

/// Whether a file or folder of this name holds secrets, wherever in a workspace or project it lies.
pub fn is_secret(name: &OsStr) -> bool {
    let name = String::from_utf8_lossy(name.as_bytes()).to_ascii_lowercase();
    const NAMES: &[&str] = &[
        ".aws",
        ".azure",
        ".boto",
        ".databrickscfg",
        ".docker",
        ".dockercfg",
        ".env",
        ".envrc",
        ".git-credentials",
        ".gnupg",
        ".htpasswd",
        ".kube",
        ".my.cnf",
        ".netrc",
        ".npmrc",
        ".password-store",
        ".pgpass",
        ".pypirc",
        ".s3cfg",
        ".ssh",
        ".terraformrc",
        ".vault-token",
        "_netrc",
        "credentials.json",
        "credentials.toml",
        "credentials.yaml",
        "credentials.yml",
        "secrets.json",
        "secrets.toml",
        "secrets.yaml",
        "secrets.yml",
        "service-account.json",
        "service_account.json",
        "terraform.tfstate",
        "terraform.tfstate.backup",
    ];
    if NAMES.contains(&name.as_str()) {
        return true;
    }
    let is_history = name.starts_with('.') && name.ends_with("_history");
    is_history || is_environment_file(&name) || is_key_file(&name)
}

/// `.env.local`, `.env-old`, `.env~`, `prod.env`, but not the examples that are made to be read.
fn is_environment_file(name: &str) -> bool {
    const EXAMPLES: &[&str] = &["defaults", "dist", "example", "sample", "schema", "template"];
    if EXAMPLES.iter().any(|example| name.ends_with(example)) {
        return false;
    }
    let variant = [".env.", ".env-", ".env_", ".env~", ".envrc."];
    variant.iter().any(|prefix| name.starts_with(prefix)) || name.ends_with(".env")
}

fn is_key_file(name: &str) -> bool {
    const PREFIXES: &[&str] = &["id_dsa", "id_ecdsa", "id_ed25519", "id_rsa"];
    const SUFFIXES: &[&str] = &[
        ".keychain",
        ".keychain-db",
        ".jks",
        ".kdbx",
        ".key",
        ".keystore",
        ".p12",
        ".pem",
        ".pfx",
        ".ppk",
        ".tfvars",
    ];
    if name.ends_with(".pub") {
        return false;
    }
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

/// Names of what other programs run, in lower case. See [`is_guarded`].
pub(crate) const GUARDED: &[&str] = &[
    ".agents",
    ".aider.conf.yml",
    ".bash_profile",
    ".bashrc",
    ".circleci",
    ".claude",
    ".codex",
    ".continue",
    ".cursor",
    ".cursorrules",
    ".devcontainer",
    ".devcontainer.json",
    ".direnv",
    ".envrc",
    ".exrc",
    ".gemini",
    ".githooks",
    ".github",
    ".gitlab-ci.yml",
    ".gitmodules",
    ".harness",
    ".husky",
    ".idea",
    ".lefthook.yml",
    ".mcp.json",
    ".mise.toml",
    ".mvn",
    ".npmrc",
    ".nvim.lua",
    ".nvimrc",
    ".pnpmfile.cjs",
    ".pre-commit-config.yaml",
    ".profile",
    ".rooignore",
    ".vimrc",
    ".vscode",
    ".windsurf",
    ".yarnrc",
    ".yarnrc.yml",
    ".zed",
    ".zshrc",
    "agents.md",
    "claude.md",
    "gemini.md",
    "lefthook.yml",
    "mise.toml",
    "rust-toolchain",
    "rust-toolchain.toml",
];

/// Whether other programs run what a file or folder of this name says, or an agent takes it for its
/// user's word. At `Workspace` such a place is read-only, wherever in the workspace it lies.
///
/// `.git` is not among them: a build may commit. Its own holes are the hooks, the configuration and
/// what leads elsewhere.
pub fn is_guarded(name: &OsStr) -> bool {
    let name = String::from_utf8_lossy(name.as_bytes()).to_ascii_lowercase();
    GUARDED.contains(&name.as_str())
}

/// Guarded files in a folder that itself stays writable: a build may write `.cargo`, since that may
/// be its home, but not the file that says which programs cargo starts.
pub(crate) const GUARDED_INSIDE: &[(&str, &[&str])] = &[(".cargo", &["config", "config.toml"])];

/// What is read-only below a `.git`, and must not come into being there: git starts what these name,
/// or looks elsewhere for what it starts.
pub(crate) const GIT_GUARDED: &[&str] =
    &["hooks", "config", "config.worktree", "commondir", "gitdir", "info/attributes"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_files_are_secret_and_their_examples_are_not() {
        for name in [".env", ".ENV", ".env.local", ".env-old", ".env~", "prod.env", ".envrc"] {
            assert!(is_secret(OsStr::new(name)), "{name}");
        }
        for name in [".env.example", ".env.sample", ".env.template", "environment", "env.rs"] {
            assert!(!is_secret(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn private_keys_are_secret_and_public_ones_are_not() {
        for name in ["id_rsa", "id_ed25519_work", "server.pem", "key.ppk", "a.p12", "tls.KEY"] {
            assert!(is_secret(OsStr::new(name)), "{name}");
        }
        for name in ["id_rsa.pub", "key.rs", "keys.md", "monkey"] {
            assert!(!is_secret(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn what_other_programs_run_is_guarded() {
        for name in [".envrc", "AGENTS.md", "CLAUDE.md", ".github", "rust-toolchain.toml"] {
            assert!(is_guarded(OsStr::new(name)), "{name}");
        }
        for name in ["Makefile", "Cargo.toml", "README.md", ".cargo", ".git"] {
            assert!(!is_guarded(OsStr::new(name)), "{name}");
        }
    }
}
