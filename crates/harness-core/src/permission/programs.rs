//! What is known of programs: with which arguments they only look, and which words name files.
//!
//! "Read-only" is never a property of a program alone: `find -delete`, `sort -o`, `sed w`, `date -s`
//! and `git branch -D` all belong to programs that people call harmless. So each program here comes
//! with the arguments it may have, and what is not listed is not known.

use std::sync::LazyLock;

use regex::Regex;

use super::git;
use super::tables::{HARMLESS_ENV, READ, SPEAK, SPECS, SYSTEM, TESTS, VERSION, VERSIONED};
use harness_shell::{Certainty, Word};
use harness_shell::{EXEC, Layer};

/// May this variable be set for a command without a question? Never one that chooses programs,
/// libraries, pagers or configuration.
pub(crate) fn is_harmless_env(name: &str) -> bool {
    HARMLESS_ENV.contains(&name)
}

/// What is known of programs, with the pattern it needs.
#[derive(Debug)]
pub(crate) struct Programs {
    /// The scripts that only look. Large, and compiled once somebody calls `sed`.
    sed: LazyLock<Option<Regex>>,
}

impl Default for Programs {
    fn default() -> Self {
        Self { sed: LazyLock::new(|| Self::looking_scripts().ok()) }
    }
}

impl Programs {
    fn looking_scripts() -> Result<Regex, regex::Error> {
        // In brackets a delimiter is a letter to one sed and the end to another: not known then.
        let body = |d: &str| format!(r"(?:[^{d}\\\n\[]|\\[^\n]|\[[^\]{d}\n]*\])*");
        let address = format!(r"(?:\d+|\$|/{}/)", body("/"));
        let replace = ["/", r"\|", r"\#", ",", ":", "@"]
            .map(|d| format!(r"s{d}{}{d}(?:[^{d}\\\n]|\\[^\n])*{d}[gpIi0-9]*", body(d)));
        let one = format!(r"(?:{address}(?:,[+~]?{address})?)?!?(?:[pdq=]|{})", replace.join("|"));
        Regex::new(&format!(r"^\s*{one}\s*(?:[;\n]\s*{one}\s*)*;?\s*$"))
    }

    /// Does this command only look? Its redirects and environment are judged elsewhere.
    pub(crate) fn only_looks(&self, layer: &Layer) -> bool {
        let Some((program, args)) = layer.words.split_first() else { return false };
        // `./ls` and `/tmp/ls` are not `ls`.
        let folder = &program.text[..program.text.len() - layer.name().len()];
        if program.sure != Certainty::Known
            || program.wild && !program.text.starts_with('[')
            || !(folder.is_empty() || SYSTEM.contains(&folder))
        {
            return false;
        }
        let name = layer.name();
        if SPEAK.contains(&name) {
            return true;
        }
        if VERSIONED.contains(&name) && asks_version(name, args) {
            return true;
        }
        if READ.contains(&name) {
            return match name {
                "test" | "[" | "[[" => tests(name, args),
                "ps" => !shows_environments(args),
                "jq" if args.iter().any(|word| names_environment(&word.text)) => false,
                _ => args.iter().all(|word| word.sure <= Certainty::Listed),
            };
        }
        if name == "printf" {
            return args
                .first()
                .is_some_and(|word| word.sure == Certainty::Known && !word.text.starts_with('-'));
        }
        if args.iter().any(|word| word.sure != Certainty::Known) || may_bring_options(name, args) {
            return false;
        }
        match name {
            "git" => git::only_looks(args),
            "find" => finds(args),
            "sed" => self.sed(args),
            "awk" | "gawk" | "mawk" => awk(args),
            "rg" => !args.iter().any(|word| {
                word.text.starts_with("--pre") || word.text.starts_with("--hostname-bin")
            }),
            "command" => args.first().is_some_and(|word| matches!(word.text.as_str(), "-v" | "-V")),
            _ => listed_options(name, args),
        }
    }

    fn sed(&self, args: &[Word]) -> bool {
        let only_looks = |script: &str| self.sed.as_ref().is_some_and(|it| it.is_match(script));
        let (mut script, mut at) = (false, 0);
        while let Some(word) = args.get(at) {
            at += 1;
            match word.text.as_str() {
                "-n" | "-E" | "-r" | "-s" | "-u" | "-z" | "--quiet" | "--silent"
                | "--regexp-extended" => {}
                "-e" | "-ne" | "--expression" => {
                    if !args.get(at).is_some_and(|word| only_looks(&word.text)) {
                        return false;
                    }
                    (script, at) = (true, at + 1);
                }
                option if option.starts_with('-') && option.len() > 1 => return false,
                text if !script => {
                    if !only_looks(text) {
                        return false;
                    }
                    script = true;
                }
                _ => {}
            }
        }
        script
    }
}

/// A file may be called `-ofile`, and then `sort *` writes. Programs that only read have no such
/// options; for the others a word that begins with a wildcard is not known.
fn may_bring_options(name: &str, args: &[Word]) -> bool {
    let ends_options = |word: &Word| word.text == "--" && matches!(name, "git" | "rg");
    let mut before = args.iter().take_while(|word| !ends_options(word));
    before.any(|word| word.wild && word.text.starts_with(['*', '?', '[']))
}

/// `test -v 'a[$(x)]'` and `[[ x -eq y ]]` compute, and computing can run commands. So can a test of
/// a variable, if what it holds becomes an operator.
fn tests(name: &str, args: &[Word]) -> bool {
    let text = |at: usize| args.get(at).map_or("", |word| word.text.as_str());
    let known = args.iter().all(|word| word.sure == Certainty::Known);
    let asks_variable = args.iter().any(|word| matches!(word.text.as_str(), "-v" | "-R"));
    let computes = args
        .iter()
        .any(|word| matches!(word.text.as_str(), "-eq" | "-ne" | "-lt" | "-le" | "-gt" | "-ge"));
    if asks_variable {
        return false;
    }
    if name == "[[" {
        let number = |word: &Word| word.text.parse::<i64>().is_ok() || word.text == "]]";
        return !computes || args.iter().all(|word| number(word) || word.text.starts_with('-'));
    }
    let from = usize::from(text(0) == "!");
    let args = args.get(from..).unwrap_or_default();
    let args = if name == "[" { args.split_last().map_or(args, |(_, rest)| rest) } else { args };
    let quoted = args.iter().all(|word| word.sure == Certainty::Known || !word.wild);
    let is = |at: usize, operators: &[&str]| {
        args.get(at).is_some_and(|word| {
            word.sure == Certainty::Known && operators.contains(&word.text.as_str())
        })
    };
    known
        || quoted
            && match args.len() {
                1 => true,
                2 => args.first().is_some_and(|word| word.sure == Certainty::Known),
                3 => is(
                    1,
                    &[
                        "=", "==", "!=", "-eq", "-ne", "-lt", "-le", "-gt", "-ge", "-nt", "-ot",
                        "-ef",
                    ],
                ),
                _ => false,
            }
}

/// `ps e` shows the variables that other programs were started with, and they hold keys.
fn shows_environments(args: &[Word]) -> bool {
    let mut before = "";
    args.iter().any(|word| {
        let text = word.text.as_str();
        let valued = if before.starts_with('-') { "CGgpqstuUoOk" } else { "oOpqtUk" };
        let is_value = before.ends_with(|c| valued.contains(c));
        before = if is_value { "" } else { text };
        let letters = text.strip_prefix('-').unwrap_or(text);
        let shows = if letters.len() < text.len() { 'E' } else { 'e' };
        let plain = letters.chars().all(|c| c.is_ascii_alphabetic());
        word.sure != Certainty::Known || !is_value && plain && letters.contains(shows)
    })
}

/// `jq 'env'` and `jq '$ENV.X'` show variables; `jq .env` is a field.
fn names_environment(script: &str) -> bool {
    let in_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '"' | '-' | '/');
    let before = |at: usize| script[..at].ends_with(in_name);
    let after = |at: usize| script[at + 3..].starts_with(|c: char| c.is_alphanumeric() || c == '_');
    script.contains("$ENV") || script.match_indices("env").any(|(at, _)| !before(at) && !after(at))
}

fn asks_version(name: &str, args: &[Word]) -> bool {
    let [Word { text, sure: Certainty::Known, .. }] = args else { return false };
    text == "--version" || VERSION.iter().any(|(word, of)| word == text && of.contains(&name))
}

fn finds(args: &[Word]) -> bool {
    let mut args = args.iter();
    while let Some(word) = args.next() {
        let text = word.text.as_str();
        if EXEC.contains(&text) {
            args.next(); // judged by itself
            continue;
        }
        let number =
            text.get(1..).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        if text.starts_with('-') && !number && !TESTS.contains(&text) {
            return false;
        }
    }
    true
}

/// awk is a language. Programs that only compute and print are known by what is not in them.
fn awk(args: &[Word]) -> bool {
    let mut args = args.iter();
    while let Some(word) = args.next() {
        let text = word.text.as_str();
        if matches!(text, "-F" | "-v") {
            args.next();
            continue;
        }
        if text.starts_with("-F") {
            continue;
        }
        let joined = text.replace("||", "");
        return !text.starts_with('-')
            && !["system", "getline", "|", ">", "@", "ARGV", "ARGC", "ENVIRON", "printf -"]
                .iter()
                .any(|bad| joined.contains(bad));
    }
    false
}

fn listed_options(name: &str, args: &[Word]) -> bool {
    let name = if name == "fdfind" { "fd" } else { name };
    let Some((_, flags, valued, long)) = SPECS.iter().find(|spec| spec.0 == name) else {
        return false;
    };
    let (mut operands, mut at) = (0usize, 0usize);
    while let Some(word) = args.get(at) {
        at += 1;
        let text = word.text.as_str();
        if let Some(option) = text.strip_prefix("--") {
            let option = option.split_once('=').map_or(option, |(option, _)| option);
            if !long.contains(&option) {
                return false; // also `--`, and any abbreviation
            }
        } else if let Some(letters) = text.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            for (place, letter) in letters.char_indices() {
                if valued.contains(letter) {
                    at += usize::from(place + letter.len_utf8() == letters.len());
                    break;
                }
                if !flags.contains(letter) {
                    return false;
                }
            }
        } else {
            operands += 1;
            if matches!(name, "date") && !text.starts_with('+') {
                return false; // `date 0101` sets the clock
            }
        }
    }
    match name {
        "uniq" | "xxd" => operands <= 1, // the second is written to
        "hostname" => operands == 0,
        "set" => {
            // Alone it shows every variable.
            operands == 0
                && !args.is_empty()
                && args.iter().all(|word| word.text.starts_with('-') || word.text == "pipefail")
        }
        _ => true,
    }
}

/// The words that may name a file. Texts, patterns and messages are not files: `grep .env README.md`
/// looks into README.md.
pub(crate) fn path_words(layer: &Layer) -> Vec<&Word> {
    let args = layer.words.get(1..).unwrap_or_default();
    let name = layer.name();
    if SPEAK.contains(&name) || name == "printf" {
        return Vec::new();
    }
    let patterns: &[&str] = match name {
        "grep" | "egrep" | "fgrep" | "rg" => &["-e", "--regexp"],
        "sed" => &["-e", "--expression"],
        "git" => &["--grep", "-S", "-G", "--author", "-m", "--message", "--format", "--committer"],
        _ => &[],
    };
    // Only the first free word of these is a pattern or a program, unless an option gave one.
    let given = |word: &&Word| patterns.contains(&word.text.as_str()) || word.text == "-f";
    let mut skip_first = match name {
        "grep" | "egrep" | "fgrep" | "rg" | "sed" | "awk" | "gawk" | "mawk" | "jq" => {
            !args.iter().any(|word| given(&word))
        }
        _ => false,
    };
    let mut found = Vec::new();
    let mut args = args.iter();
    while let Some(word) = args.next() {
        let text = word.text.as_str();
        if patterns.contains(&text) {
            args.next();
        } else if patterns.iter().any(|p| p.len() == 2 && text.starts_with(p)) {
            // `-Stext`
        } else if patterns.iter().any(|p| {
            p.starts_with("--") && text.strip_prefix(p).is_some_and(|rest| rest.starts_with('='))
        }) {
        } else if skip_first && !text.starts_with('-') {
            skip_first = false;
        } else {
            found.push(word);
        }
    }
    found
}
