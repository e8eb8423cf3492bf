//! A Rust file, read twice: as lines, with comments and the insides of strings blanked out and its tests
//! marked, and as code (see [`code`](super::code)).

use std::ops::Range;

use super::code::{Code, Unreadable};
use super::mask::mask;

/// A source file.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) lines: Vec<Line>,
    /// Files that only tests are made of: `mod tests;` behind `#[cfg(test)]`.
    pub(crate) test_files: Vec<String>,
    /// What it names and declares; empty where it cannot be read.
    pub(crate) code: Code,
    pub(crate) unreadable: Option<Unreadable>,
}

pub(crate) struct Line {
    /// As it stands in the file.
    pub(crate) raw: String,
    /// Without comments; strings keep their quotes and their length, not their words.
    pub(crate) code: String,
    /// Compiled for tests only.
    pub(crate) test: bool,
}

impl Line {
    /// Whether something stands here that the compiler reads.
    pub(crate) fn is_code(&self) -> bool {
        !self.code.trim().is_empty()
    }

    pub(crate) fn is_blank(&self) -> bool {
        self.raw.trim().is_empty()
    }
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let masked = mask(text);
        let tests = test_items(&masked);
        let test_files =
            tests.iter().filter_map(|item| test_file(path, text, &masked, item)).collect();
        let all_test = masked.contains("#![cfg(test)]");
        let mut start = 0;
        let mut lines = Vec::new();
        for (raw, code) in text.split('\n').zip(masked.split('\n')) {
            let first = start + code.len() - code.trim_start().len();
            let test = all_test || tests.iter().any(|item| item.contains(&first));
            lines.push(Line { raw: raw.to_owned(), code: code.to_owned(), test });
            start += raw.len() + 1;
        }
        if lines.last().is_some_and(Line::is_blank) {
            // What stands behind the last line break is no line.
            lines.pop();
        }
        let read = Code::read(text);
        let unreadable = read.as_ref().err().cloned();
        let code = read.unwrap_or_default();
        Self { path: path.to_owned(), lines, test_files, code, unreadable }
    }

    /// The whole file is a test's, as everything in `tests/` is.
    pub(crate) fn belongs_to_tests(&mut self) {
        for line in &mut self.lines {
            line.test = true;
        }
    }

    /// Whether a line, counted from 1, is compiled for tests only.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        self.lines.get(line - 1).is_some_and(|line| line.test)
    }

    /// The lines of the product (`Part::Product`) or of its tests in which `found` sees something,
    /// counted from 1.
    pub(crate) fn hits(&self, part: Part, found: impl Fn(&str) -> bool) -> Vec<usize> {
        let wanted = |line: &Line| line.test == (part == Part::Tests);
        let numbered = self.lines.iter().enumerate().filter(|(_, line)| wanted(line));
        numbered.filter(|(_, line)| found(&line.code)).map(|(index, _)| index + 1).collect()
    }
}

/// Which part of a file is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Product,
    Tests,
}

/// Whether `code` holds `word` with nothing before it that would make it part of a longer name.
pub(crate) fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word)
        .any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
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

    /// How many lines are code of the product.
    fn product(text: &str) -> usize {
        let source = Source::new("src/lib.rs", text);
        source.lines.iter().filter(|line| line.is_code() && !line.test).count()
    }

    #[test]
    fn comments_blank_lines_and_tests_are_not_counted() {
        assert_eq!(product("//! doc\n\n/* a\n b /* c */ d */\nfn a() {} // why\n"), 1);
        assert_eq!(
            product("fn a() {\n    1;\n}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n"),
            3
        );
        assert_eq!(product(""), 0);
    }

    #[test]
    fn code_after_the_tests_is_counted() {
        assert_eq!(
            product("#[cfg(test)]\nuse a::{b, c};\n#[cfg(test)]\nmod t { fn x() {} }\nfn a() {}\n"),
            1
        );
        assert_eq!(
            product("#[cfg(all(test, unix))]\nfn a() {\n}\n#[cfg(not(test))]\nfn b() {}\n"),
            2
        );
        assert_eq!(product("struct S {\n    #[cfg(test)]\n    seen: u8,\n    kept: u8,\n}\n"), 3);
    }

    #[test]
    fn text_in_a_string_is_code() {
        assert_eq!(product("let a = \"one\n// two\n\nthree\";\n"), 3);
    }

    #[test]
    fn a_test_module_in_its_own_file_is_known() {
        let found = |path: &str, text: &str| Source::new(path, text).test_files;
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
        let source = Source::new("src/lib.rs", text);
        assert_eq!(source.hits(Part::Product, |code| code.contains("sleep(")), [1]);
        assert_eq!(source.hits(Part::Tests, |code| code.contains("sleep(")), [4]);
        assert!(has_word("x = env::var(y)", "env::") && !has_word("my_env::var(y)", "env::"));
    }
}
