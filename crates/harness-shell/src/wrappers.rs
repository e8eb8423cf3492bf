//! Programs that run other programs, as tables.

/// How a wrapper is written: its name, options without a value, options with one, how many words
/// stand before the command, and whether it adds nothing of its own.
pub(super) type Wrapper = (&'static str, &'static str, &'static str, usize, bool);

#[rustfmt::skip]
pub(super) const WRAPPERS: &[Wrapper] = &[
    ("nohup", "", "", 0, true),             ("setsid", "cfw", "", 0, true),
    ("nice", "0123456789", "n", 0, true),   ("ionice", "t", "cn", 0, true),
    ("timeout", "fpv", "ks", 1, true),      ("stdbuf", "", "ioe", 0, true),
    ("time", "p", "", 0, true),             ("command", "p", "", 0, true),
    ("builtin", "", "", 0, true),           ("exec", "cl", "a", 0, true),
    ("busybox", "", "", 0, true),           ("toybox", "", "", 0, true),
    ("noglob", "", "", 0, true),            ("nocorrect", "", "", 0, true),
    ("coproc", "", "", 0, false),           ("unbuffer", "p", "", 0, false),
    ("sudo", "AbBEeHiKklnNPSsv", "CDghpRrTtUuac", 0, false),
    ("doas", "Lns", "Cua", 0, false),       ("pkexec", "", "", 0, false),
    ("run0", "", "uD", 0, false),           ("gosu", "", "", 1, false),
    ("setpriv", "", "", 0, false),          ("runuser", "", "ugG", 0, false),
    ("chroot", "", "", 1, false),           ("unshare", "cfimnprTuU", "GSRw", 0, false),
    ("nsenter", "aFrZ", "GSt", 0, false),   ("systemd-run", "dGPqSrt", "EHMp", 0, false),
    ("flock", "enosuxF", "Ew", 1, false),   ("fakeroot", "", "lsibo", 0, false),
    ("proot", "0", "bqrwk", 0, false),      ("firejail", "", "", 0, false),
    ("bwrap", "", "", 0, false),            ("chrt", "abdfior", "", 1, false),
    ("taskset", "a", "", 1, false),         ("numactl", "", "CNmpi", 0, false),
    ("strace", "cCdfFhiknqrtTvVwxyYz", "abeEIoOpPsSuUX", 0, false),
    ("ltrace", "cCfhiLrStTV", "aADeFlnopsuwx", 0, false),
    ("valgrind", "qv", "", 0, false),       ("rlwrap", "", "", 0, false),
    ("catchsegv", "", "", 0, false),        ("caffeinate", "dimsu", "tw", 0, false),
    ("dbus-run-session", "", "", 0, false), ("xvfb-run", "a", "enpsf", 0, false),
    ("doppler", "", "", 1, false),          ("dotenv", "", "", 0, false),
    ("npx", "yq", "p", 0, false),           ("entr", "acdnprsz", "", 0, false),
];

/// Wrappers that hand the rest of their words to a shell as one text.
#[rustfmt::skip]
pub(super) const TELLS_SHELL: &[Wrapper] = &[
    ("watch", "bcegptwx", "nq", 0, false),  ("parallel", "kqtvX", "jnNIadSs", 0, false),
    ("ssh", "46AaCfGgKkMNnqsTtVvXxYy", "BbcDEeFIiJLlmOoPpQRSWw", 1, false),
];

pub(super) const SHELLS: &[&str] =
    &["sh", "bash", "dash", "zsh", "ksh", "mksh", "ash", "rbash", "fish", "csh", "tcsh"];

/// Long options of clear wrappers that stand alone.
pub(super) const PLAIN: &[&str] =
    &["--foreground", "--preserve-status", "--verbose", "--fork", "--wait"];
