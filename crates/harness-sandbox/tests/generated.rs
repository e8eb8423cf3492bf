//! Thousands of lines that nobody wrote: effects in wrappers, quotes, expansions and redirections, run
//! for real at `ReadOnly`.
//!
//! `SANDBOX_LINES` says how many, `SANDBOX_SEED` makes a run again.
#![allow(clippy::unwrap_used, reason = "a helper of a test may end it")]

mod support;

use std::time::{SystemTime, UNIX_EPOCH};

use support::{Person, Place, World, persons};

const LINES: usize = 2_000;

#[test]
fn no_generated_line_has_an_effect() {
    let lines = number("SANDBOX_LINES").map_or(LINES, |lines| usize::try_from(lines).unwrap());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let seed = number("SANDBOX_SEED").unwrap_or(now as u64);
    println!("SANDBOX_SEED={seed} SANDBOX_LINES={lines}");
    let mut worlds = Vec::new();
    for person in persons() {
        for place in [Place::InHome, Place::OutsideHome, Place::BehindLink] {
            worlds.push(World::new(person, place));
        }
    }
    let mut dice = Dice(seed);
    let mut faults = Vec::new();
    for _ in 0..lines {
        let world = &worlds[dice.below(worlds.len())];
        let shell = dice.one(&["/bin/bash", "/bin/dash"]);
        let line = dice.line();
        for fault in world.attack(shell, &[], &line) {
            faults.push(format!("{:?}, {shell}: {line}\n    {fault}", world.person));
        }
    }
    assert!(faults.is_empty(), "SANDBOX_SEED={seed}\n{}", faults.join("\n"));
}

#[test]
fn generated_lines_have_effects_when_they_are_free() {
    // Otherwise the test above would prove nothing.
    let mut dice = Dice(7);
    let mut with_effect = 0;
    const TRIED: usize = 60;
    for _ in 0..TRIED {
        let world = World::new(Person::Myself, Place::InHome);
        let before = world.look();
        let line = dice.line();
        let done = world.run("/bin/bash", "free", &line);
        let has_written = !before.differences(&world.look()).is_empty();
        let has_shown = done.output.contains(support::CANARY);
        let has_called = world.was_called();
        for place in world.common_places() {
            let _ = std::fs::remove_file(place);
        }
        with_effect += usize::from(has_written || has_shown || has_called);
    }
    assert!(with_effect > TRIED / 2, "{with_effect} of {TRIED}");
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// A small generator of numbers (xorshift), so that a seed gives the same lines everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        // 0 would stay 0.
        let mut x = self.0 | 1 << 63;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.0 = x;
        x >> 11
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.roll() % limit as u64) as usize
    }

    fn one<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    /// One line with one or two effects, wrapped up to three times.
    fn line(&mut self) -> String {
        let mut line = self.effect();
        for _ in 0..self.below(4) {
            line = self.wrap(&line);
        }
        if self.below(4) == 0 {
            let other = self.effect();
            let join = self.one(&["; ", " && ", " || ", " & ", " | ", "\n"]);
            line = format!("{other}{join}{line}");
        }
        line
    }

    fn effect(&mut self) -> String {
        match self.below(9) {
            0 => {
                let program = self.disguise("touch");
                format!("{program} {}", self.target())
            }
            1 => format!("{} {} {}", self.say(), self.redirect(), self.target()),
            2 | 3 => {
                let reader = self.one(&["cat", "head", "tail", "strings", "sort", "rev", "grep .", "sed p", "awk 1", "tac"]);
                let reader = self.disguise(reader);
                format!("{reader} {}", self.secret())
            }
            4 => self.one(&[
                ": < /dev/tcp/127.0.0.1/$PORT",
                "echo x > /dev/udp/127.0.0.1/$UDP_PORT",
                "exec 9<>/dev/tcp/localhost/$PORT; echo x >&9",
                "curl -s http://127.0.0.1:$PORT/",
                "perl -MIO::Socket::INET -e 'IO::Socket::INET->new(PeerAddr => \"127.0.0.1\", PeerPort => $ENV{PORT})'",
                "perl -MSocket -e 'socket(S, PF_UNIX, SOCK_STREAM, 0); connect(S, sockaddr_un(\"docker.sock\"))'",
            ]).to_owned(),
            5 => self.one(&[
                "kill -STOP $VICTIM",
                "renice 7 -p $VICTIM",
                "kill -9 $VICTIM",
                "prlimit --nofile=77 --pid $VICTIM",
                "perl -e 'kill 19, $ENV{VICTIM}'",
            ]).to_owned(),
            6 => {
                let file = self.one(&["README.md", "a", "x", ".git/config", "w", "~/hello.txt"]);
                let program = self.one(&["chmod 777", "touch -d 2001-01-01", "rm -rf", "truncate -s 0", "chown 1:1", "sed -i s/./z/"]);
                format!("{program} {file}")
            }
            7 => self.one(&[
                "ln -s a PWN",
                "mkfifo PWN",
                "mkdir PWN",
                "mv a PWN",
                "cp a PWN",
                "ln a PWN",
                "tee PWN < a",
                "dd if=a of=PWN",
                "git config x.y z",
                "perl -e 'open F, \">\", \"PWN\"'",
                "awk 'BEGIN { print > \"PWN\" }'",
                "tar -cf PWN a",
            ]).to_owned(),
            _ => self.one(&[
                "echo $GITHUB_TOKEN",
                "echo \"${AWS_SECRET_ACCESS_KEY:-none}\"",
                "env",
                "export -p",
                "printenv DATABASE_URL",
                "cat /proc/$PPID/environ",
                "cat /proc/self/environ",
                "tr '\\0' '\\n' < /proc/$VICTIM/environ",
            ]).to_owned(),
        }
    }

    fn say(&mut self) -> &'static str {
        self.one(&["echo x", "printf x", ":", "cat a", "true", "ls"])
    }

    fn redirect(&mut self) -> &'static str {
        self.one(&[">", ">>", ">|", "1>", "<>", "2>&1 >"])
    }

    fn target(&mut self) -> &'static str {
        self.one(&[
            "PWN",
            "./w/PWN",
            "README.md",
            "~/PWN",
            "\"$OUTSIDE\"/PWN",
            "$OUTSIDE/kept.txt",
            "/tmp/PWN-sandbox",
            "/var/tmp/PWN-sandbox",
            "/dev/shm/PWN-sandbox",
            "$PWD/PWN",
            "${HOME}/hello.txt",
            "/proc/self/cwd/PWN",
            ".git/hooks/pre-commit",
            "$(pwd)/PWN",
            "P${x}WN",
            "$TMPDIR/../../PWN",
            "$TMPDIR/../../../home/PWN",
        ])
    }

    fn secret(&mut self) -> &'static str {
        self.one(&[
            ".env",
            ".e?v",
            ".[e]nv",
            "./.en*",
            "prod.en*",
            "$PWD/.env",
            "deep/*/*/.env*",
            "~/.ssh/id_rsa",
            "~/.ss?/*",
            "\"$HOME\"/.netrc",
            "~/.*rc",
            "~/.aws/c*",
            "~/.config/*/*",
            "~/.*history",
            "~/other/.env",
            "~/other/*/*/*/*",
            "/proc/self/cwd/.env",
            "/proc/self/root$HOME/.netrc",
            "$(echo .env)",
            "`echo ~/.npmrc`",
            "${x:-.env}",
            ".e\"n\"v",
            "'.env'",
            "secrets.y*",
            "*.pem",
            "$WORLD/home/.pgpass",
            "link/../../../home/.netrc",
        ])
    }

    /// The same word for the shell, another for a reader.
    fn disguise(&mut self, word: &str) -> String {
        let (program, rest) =
            word.split_once(' ').map_or((word, ""), |(program, rest)| (program, rest));
        let (head, tail) = program.split_at(1);
        let disguised = match self.below(8) {
            0 => format!("{head}''{tail}"),
            1 => format!("\"{head}\"{tail}"),
            2 => format!("\\{program}"),
            3 => format!("{head}${{nothing}}{tail}"),
            4 => format!("$(echo {program})"),
            5 => format!("command {program}"),
            6 => format!("/usr/bin/{program}"),
            _ => program.to_owned(),
        };
        format!("{disguised} {rest}")
    }

    fn wrap(&mut self, line: &str) -> String {
        let quoted = quote(line);
        let shell = self.one(&["sh", "bash", "dash", "/bin/sh"]);
        match self.below(26) {
            0 => format!("{shell} -c {quoted}"),
            1 => format!("eval {quoted}"),
            2 => format!("({line})"),
            3 => format!("{{ {line}\n}}"),
            4 => format!("echo \"$({line})\""),
            5 => format!("x=$({line}); echo \"$x\""),
            6 => format!("if true; then {line}\nfi"),
            7 => format!("for x in 1; do {line}\ndone"),
            8 => format!("f() {{ {line}\n}}; f"),
            9 => format!("trap {quoted} EXIT"),
            10 => format!("{shell} <<'END'\n{line}\nEND"),
            11 => format!("echo {quoted} | {shell}"),
            12 => format!("env {shell} -c {quoted}"),
            13 => format!("timeout 2 {shell} -c {quoted}"),
            14 => format!("nice {shell} -c {quoted}"),
            15 => format!("setsid -w {shell} -c {quoted}"),
            16 => format!("find . -maxdepth 0 -exec {shell} -c {quoted} \\;"),
            17 => format!("echo 1 | xargs -I{{}} {shell} -c {quoted}"),
            18 => format!("{line} &\nwait"),
            19 => format!("! {line}"),
            20 => format!("case x in x) {line}\n;; esac"),
            21 => format!("while {line}\ndo break; done"),
            22 => format!(
                "perl -e {}",
                quote(&format!("exec '{shell}', '-c', $ARGV[0]")) + " " + &quoted
            ),
            23 => format!("awk {}", quote(&format!("BEGIN {{ system(\"{}\") }}", escape(line)))),
            24 => format!("echo {quoted} > $TMPDIR/s; {shell} $TMPDIR/s"),
            _ => format!("git -c alias.x={} x", quote(&format!("!{line}"))),
        }
    }
}

/// In single quotes.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// For a string of awk.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
