//! What is known of programs, as tables.

/// They only print what they are told, whatever it is.
#[rustfmt::skip]
pub(super) const SPEAK: &[&str] = &[
    "echo", "pwd", "true", "false", ":", "whoami", "id", "uname", "arch", "nproc", "sleep",
    "wait", "exit", "return", "break", "continue", "basename", "dirname", "groups", "logname",
    "uptime",
];

/// They only read what is named; none of their options runs, writes or sends anything.
#[rustfmt::skip]
pub(super) const READ: &[&str] = &[
    "cat", "head", "tail", "wc", "ls", "dir", "vdir", "grep", "egrep", "fgrep", "stat", "du",
    "df", "cmp", "comm", "cut", "paste", "nl", "tac", "rev", "fold", "expand", "unexpand", "tr",
    "od", "hexdump", "strings", "md5sum", "sha1sum", "sha224sum", "sha256sum", "sha384sum",
    "sha512sum", "b2sum", "cksum", "sum", "readlink", "realpath", "which", "type", "whereis",
    "jq", "ps", "pgrep", "free", "lscpu", "lsblk", "cal", "locale", "getconf", "seq", "test", "[",
    "[[", "cd", "column", "join", "tsort", "numfmt", "factor", "tty", "diff",
];

/// Options a program may have, and nothing else: single letters, letters with a value, long ones.
pub(super) type Spec = (&'static str, &'static str, &'static str, &'static [&'static str]);

#[rustfmt::skip]
pub(super) const SPECS: &[Spec] = &[
    ("sort", "bdfgiMhnRrVcCmsuz", "kSt", &["reverse", "numeric-sort", "unique", "key", "field-separator", "human-numeric-sort", "version-sort", "ignore-case", "stable", "check", "zero-terminated", "general-numeric-sort", "month-sort"]),
    ("date", "uRI", "dr", &["utc", "universal", "iso-8601", "rfc-3339", "rfc-email", "date", "reference", "universal"]),
    ("file", "bhiIkLNnrsSvzZ0pd", "FPme", &["brief", "mime", "mime-type", "mime-encoding", "dereference"]),
    ("tree", "adfghilnpqrstuvACDFJNQSUXx", "LIP", &["dirsfirst", "filelimit", "gitignore", "noreport", "prune", "du", "si", "inodes", "matchdirs", "ignore-case", "sort"]),
    ("fd", "HIuusgiFaLpl0q1", "detEcSo", &["hidden", "no-ignore", "type", "extension", "exclude", "max-depth", "glob", "absolute-path", "follow", "full-path", "color", "size", "changed-within"]),
    ("xxd", "abeEipuC", "cglos", &[]),
    ("uniq", "cdDiuz", "fsw", &["count", "repeated", "unique", "ignore-case"]),
    ("hostname", "fsdiIAy", "", &["fqdn", "short", "domain", "ip-address", "all-ip-addresses"]),
    ("set", "eux", "o", &[]),
    ("printf", "", "", &[]),
    ("bat", "pnA", "lr", &["plain", "number", "language", "line-range", "style", "color", "paging"]),
];

/// Programs whose version may be asked: `rustc --version`, `node -v`.
#[rustfmt::skip]
pub(super) const VERSIONED: &[&str] = &[
    "rustc", "cargo", "rustup", "rustfmt", "clippy-driver", "rust-analyzer", "node", "npm", "npx",
    "yarn", "pnpm", "bun", "deno", "tsc", "python", "python2", "python3", "pip", "pip3", "pipx",
    "uv", "poetry", "ruff", "mypy", "pytest", "ruby", "gem", "bundle", "perl", "php", "composer",
    "lua", "go", "gofmt", "java", "javac", "mvn", "gradle", "kotlin", "scala", "dotnet", "swift",
    "gcc", "g++", "cc", "c++", "clang", "clang++", "ld", "make", "cmake", "ninja", "meson", "zig",
    "ghc", "stack", "cabal", "elixir", "erl", "julia", "Rscript", "git", "gh", "hg", "svn",
    "docker", "docker-compose", "podman", "kubectl", "helm", "terraform", "aws", "gcloud", "az",
    "bash", "sh", "zsh", "curl", "wget", "tar", "gzip", "rsync", "ssh", "openssl", "psql",
    "mysql", "sqlite3", "redis-cli", "redis-server", "jq", "yq", "rg", "fd", "sed", "awk", "gawk",
    "grep", "find", "vim", "nvim", "emacs", "tmux", "ffmpeg", "pandoc", "protoc", "just",
    "systemctl", "ls", "cat", "sort",
];

/// Other spellings with which a program says its version and ends: `bash -v` would read a script.
#[rustfmt::skip]
pub(super) const VERSION: &[(&str, &[&str])] = &[
    ("-V", &["rustc", "cargo", "python", "python2", "python3", "pip", "pip3", "ssh", "curl", "wget", "rg", "fd"]),
    ("-v", &["node", "npm", "yarn", "pnpm", "perl", "ruby", "gem", "php", "mvn", "gradle", "redis-server"]),
    ("-version", &["java", "javac", "ffmpeg"]),
    ("version", &["go", "cargo", "docker", "podman", "kubectl", "helm", "terraform", "git", "npm", "zig", "openssl"]),
];

/// Environment prefixes that only change how something is said.
#[rustfmt::skip]
pub(super) const HARMLESS_ENV: &[&str] = &[
    "LANG", "LANGUAGE", "TZ", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI",
    "COLUMNS", "LINES", "RUST_LOG", "RUST_BACKTRACE", "CARGO_TERM_COLOR", "NODE_ENV",
    "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "TERM", "DEBUG", "VERBOSE", "LC_ALL",
    "LC_CTYPE", "LC_COLLATE", "LC_MESSAGES", "LC_NUMERIC", "LC_TIME", "GIT_OPTIONAL_LOCKS",
];

/// Folders of which a program's name may be written in full and still be that program.
#[rustfmt::skip]
pub(super) const SYSTEM: &[&str] = &[
    "/bin/", "/usr/bin/", "/sbin/", "/usr/sbin/", "/usr/local/bin/",
];

/// The tests and actions of find that only look.
#[rustfmt::skip]
pub(super) const TESTS: &[&str] = &[
    "-name", "-iname", "-path", "-ipath", "-wholename", "-iwholename", "-regex", "-iregex",
    "-regextype", "-type", "-xtype", "-maxdepth", "-mindepth", "-size", "-mtime", "-mmin",
    "-ctime", "-cmin", "-atime", "-amin", "-newer", "-anewer", "-cnewer", "-newermt", "-newerct",
    "-perm", "-user", "-group", "-uid", "-gid", "-links", "-inum", "-samefile", "-lname",
    "-ilname", "-not", "-o", "-or", "-a", "-and", "-print", "-print0", "-printf", "-ls", "-empty",
    "-prune", "-quit", "-readable", "-writable", "-executable", "-true", "-false", "-nouser",
    "-nogroup", "-follow", "-xdev", "-mount", "-depth", "-daystart", "-noleaf", "-L", "-H", "-P",
    "-fstype", "-used", "-size", "-E", "-X",
];
