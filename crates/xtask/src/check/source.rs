//! Rust source with comments and the insides of strings blanked out, and its tests marked: what the
//! budgets count and the rules search.

use std::ops::Range;

/// A source file, line by line.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) lines: Vec<Line>,
    /// Files that only tests are made of: `mod tests;` behind `#[cfg(test)]`.
    pub(crate) test_files: Vec<String>,
}

pub(crate) struct Line {
    /// As it stands in the file.
    pub(crate) raw: String,
    /// Without comments; strings keep their quotes and their length, not their words.
    pub(crate) code: String,
    /// Compiled for tests only.
    pub(crate) test: bool,
}

impl Source {
    /// `all_test`: the whole file is a test's, as everything in `tests/` is.
    pub(crate) fn new(path: &str, text: &str, all_test: bool) -> Self {
        let masked = mask(text);
        let tests = test_items(&masked);
        let test_files =
            tests.iter().filter_map(|item| test_file(path, text, &masked, item)).collect();
        let all_test = all_test || masked.contains("#![cfg(test)]");
        let mut start = 0;
        let mut lines = Vec::new();
        for (raw, code) in text.split('\n').zip(masked.split('\n')) {
            let first = start + code.len() - code.trim_start().len();
            let test = all_test || tests.iter().any(|item| item.contains(&first));
            lines.push(Line { raw: raw.to_owned(), code: code.to_owned(), test });
            start += raw.len() + 1;
        }
        Self { path: path.to_owned(), lines, test_files }
    }

    /// Lines that are neither comment nor blank nor test.
    pub(crate) fn budget(&self) -> usize {
        self.lines.iter().filter(|line| !line.test && !line.code.trim().is_empty()).count()
    }

    /// The lines of the product (`test: false`) or of its tests in which `found` sees something,
    /// counted from 1.
    pub(crate) fn hits(&self, test: bool, found: impl Fn(&str) -> bool) -> Vec<usize> {
        let numbered = self.lines.iter().enumerate().filter(|(_, line)| line.test == test);
        numbered.filter(|(_, line)| found(&line.code)).map(|(index, _)| index + 1).collect()
    }
}

/// Whether `code` holds `word` with nothing before it that would make it part of a longer name.
pub(crate) fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word)
        .any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

/// Same length, same lines: comments become blanks, the insides of strings become `_`.
pub(crate) fn mask(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut masked = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let named = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
        let (skip, blank) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), Some(b' '))
        } else if rest.starts_with("/*") {
            (block_comment(rest), Some(b' '))
        } else if rest.starts_with('"') {
            (string(rest), Some(b'_'))
        } else if let Some(length) = raw_string(rest).filter(|_| !named) {
            (length, Some(b'_'))
        } else if rest.starts_with('\'') {
            (character(rest), Some(b'_'))
        } else {
            (rest.chars().next().map_or(1, char::len_utf8), None)
        };
        if let Some(blank) = blank {
            let ends = if blank == b' ' { 0..skip } else { 1..skip.saturating_sub(1) };
            for byte in &mut masked[at + ends.start..at + ends.end.max(ends.start)] {
                if !byte.is_ascii_whitespace() {
                    *byte = blank;
                }
            }
        }
        at += skip;
    }
    String::from_utf8_lossy(&masked).into_owned()
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at, bytes) = (0, 0, rest.as_bytes());
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (b'/', Some(b'*')) => (depth, at) = (depth + 1, at + 2),
            (b'*', Some(b'/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

fn string(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// `r"…"`, `r#"…"#`, `br"…"`, `cr"…"`; not `r#name`.
fn raw_string(rest: &str) -> Option<usize> {
    let start = rest.strip_prefix(['b', 'c']).unwrap_or(rest).strip_prefix('r')?;
    let opened = start.trim_start_matches('#');
    let hashes = &start[..start.len() - opened.len()];
    let inside = opened.strip_prefix('"')?;
    let closing = format!("\"{hashes}");
    let end = inside.find(&closing).map_or(inside.len(), |at| at + closing.len());
    Some(rest.len() - inside.len() + end)
}

/// A character literal's length; 1 for the tick of a lifetime.
fn character(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => rest.get(3..).and_then(|rest| rest.find('\'')).map_or(1, |at| at + 4),
        Some(_) => chars.next().filter(|(_, c)| *c == '\'').map_or(1, |(at, _)| at + 1),
        None => 1,
    }
}

/// Where the items behind `#[cfg(test)]` lie, attribute included.
fn test_items(masked: &str) -> Vec<Range<usize>> {
    let mut items: Vec<Range<usize>> = Vec::new();
    for attribute in ["#[cfg(test)]", "#[cfg(all(test"] {
        for (start, _) in masked.match_indices(attribute) {
            items.push(start..start + item(&masked[start..]));
        }
    }
    items
}

/// The length of the item at the start of `code`: to its `;`, its closing brace, or the `,` of a field.
fn item(code: &str) -> usize {
    let mut depth = 0_i32;
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => {
                depth -= 1;
                if depth < 0 {
                    return at;
                }
                if depth == 0 && c == '}' {
                    return at + 1;
                }
            }
            ';' | ',' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// The file that `#[cfg(test)] mod name;` stands for, without its ending: `src/agent/name`.
fn test_file(path: &str, text: &str, masked: &str, item: &Range<usize>) -> Option<String> {
    let (folder, file) = path.rsplit_once('/')?;
    let before = masked[item.clone()].strip_suffix(';')?;
    let (_, name) = before.rsplit_once("mod ")?;
    if let Some((_, rest)) = text[item.clone()].split_once("path = \"") {
        let (named, _) = rest.split_once('"')?;
        return Some(format!("{folder}/{}", named.trim_end_matches(".rs")));
    }
    Some(match file {
        "lib.rs" | "main.rs" | "mod.rs" => format!("{folder}/{name}"),
        _ => format!("{folder}/{}/{name}", file.trim_end_matches(".rs")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(text: &str) -> usize {
        Source::new("src/lib.rs", text, false).budget()
    }

    #[test]
    fn comments_blank_lines_and_tests_are_not_counted() {
        assert_eq!(budget("//! doc\n\n/* a\n b /* c */ d */\nfn a() {} // why\n"), 1);
        assert_eq!(
            budget("fn a() {\n    1;\n}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n"),
            3
        );
        assert_eq!(budget(""), 0);
    }

    #[test]
    fn code_after_the_tests_is_counted() {
        assert_eq!(
            budget("#[cfg(test)]\nuse a::{b, c};\n#[cfg(test)]\nmod t { fn x() {} }\nfn a() {}\n"),
            1
        );
        assert_eq!(
            budget("#[cfg(all(test, unix))]\nfn a() {\n}\n#[cfg(not(test))]\nfn b() {}\n"),
            2
        );
        assert_eq!(budget("struct S {\n    #[cfg(test)]\n    seen: u8,\n    kept: u8,\n}\n"), 3);
    }

    #[test]
    fn strings_are_not_comments_and_comments_are_not_strings() {
        assert_eq!(mask("a(\"// x\"); // \"y"), "a(\"__ _\");      ");
        assert_eq!(
            mask("r#\"a\"b\"# + 'x' + '\\'' + '\"'; &'a str"),
            "r______# + '_' + '__' + '_'; &'a str"
        );
        assert_eq!(mask("let r#fn = br\"\\\"; b"), "let r#fn = b___\"; b");
        assert_eq!(budget("let a = \"one\n// two\n\nthree\";\n"), 3, "text in a string is code");
        assert_eq!(mask("\"é\" 'é' '\\u{e9}'"), "\"__\" '__' '______'");
    }

    #[test]
    fn a_test_module_in_its_own_file_is_known() {
        let found = |path: &str, text: &str| Source::new(path, text, false).test_files;
        assert_eq!(found("c/src/lib.rs", "#[cfg(test)]\nmod tests;\n"), ["c/src/tests"]);
        assert_eq!(found("c/src/agent.rs", "#[cfg(test)]\nmod tests;\n"), ["c/src/agent/tests"]);
        assert_eq!(
            found("c/src/agent.rs", "#[cfg(test)]\n#[path = \"agent_tests.rs\"]\nmod tests;\n"),
            ["c/src/agent_tests"]
        );
        assert!(found("c/src/lib.rs", "mod tests;\n#[cfg(test)]\nmod t {}\n").is_empty());
    }

    #[test]
    fn hits_are_words_of_code_in_the_part_that_was_asked_for() {
        let text = "fn a() { sleep(1) } // sleep(2)\n#[cfg(test)]\nfn b() {\n    sleep(3);\n    \"sleep(4)\";\n}\n";
        let source = Source::new("src/lib.rs", text, false);
        assert_eq!(source.hits(false, |code| code.contains("sleep(")), [1]);
        assert_eq!(source.hits(true, |code| code.contains("sleep(")), [4]);
        assert!(has_word("x = env::var(y)", "env::") && !has_word("my_env::var(y)", "env::"));
    }
}
