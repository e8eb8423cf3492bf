//! Tests that are named in prose exist: the page of the original's defects, and "Where it breaks" of each lesson.

use std::collections::BTreeMap;

use super::markdown::Page;
use super::source::Source;
use super::tree::{Tree, Violation, violation};
use crate::names::is_session;

/// The page: `| s07 | what was wrong | ` `` `test` `` ` | ` `` `file` `` ` |`.
const PAGE: &str = "docs/seed-defects.md";
const SECTION: &str = "Where it breaks";

/// The names of all tests, and the files they are in.
fn tests(tree: &Tree) -> BTreeMap<&str, Vec<&str>> {
    let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for source in &tree.sources {
        for name in functions(source) {
            found.entry(name).or_default().push(&source.path);
        }
    }
    found
}

fn functions(source: &Source) -> Vec<&str> {
    let mut marked = false;
    let mut names = Vec::new();
    for line in &source.lines {
        let code = line.code.as_str();
        marked |= code.contains("#[test]") || code.contains("#[tokio::test");
        let Some((_, rest)) = code.split_once("fn ").filter(|_| marked) else { continue };
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        names.push(&rest[..end]);
        marked = false;
    }
    names
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

pub(crate) fn page(tree: &Tree) -> Vec<Violation> {
    let Some(text) = tree.text(PAGE) else { return vec![violation(PAGE, 1, "is missing")] };
    let tests = tests(tree);
    let rows = text.lines().enumerate().filter(|(_, line)| line.starts_with("| "));
    // The first two lines of a table are its head.
    let rows = rows.filter(|(_, line)| !line.starts_with("| session") && !line.starts_with("|--"));
    rows.flat_map(|(index, line)| {
        let told = row(&tests, line);
        told.into_iter().map(move |reason| violation(PAGE, index + 1, reason))
    })
    .collect()
}

/// What is wrong with one row.
fn row(tests: &BTreeMap<&str, Vec<&str>>, line: &str) -> Vec<String> {
    let line = line.replace("\\|", "/");
    let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
    let [session, defect, names, files] = cells[..] else {
        return vec![format!("a row has four cells, this one {}", cells.len())];
    };
    let short: String = defect.chars().take(40).collect();
    let said = |why: String| format!("{session}, \"{short}…\": {why}");
    let names = quoted(names);
    let files = quoted(files);
    let mut wrong = Vec::new();
    if names.is_empty() {
        wrong.push(said("names no test".to_owned()));
    }
    for name in &names {
        let places = tests.get(name).map(Vec::as_slice).unwrap_or_default();
        if places.is_empty() {
            wrong.push(said(format!("there is no test {name}")));
        } else if !files.iter().any(|file| places.contains(file)) {
            wrong.push(said(format!("the test {name} is in {}", places.join(", "))));
        }
    }
    let holds = |file: &&str| {
        names.iter().any(|name| tests.get(name).is_some_and(|places| places.contains(file)))
    };
    let idle = files.iter().filter(|file| !holds(file));
    wrong.extend(idle.map(|file| said(format!("none of its tests is in {file}"))));
    wrong
}

/// A name in a lesson with this many words is taken for a test's.
const WORDS: usize = 4;

pub(crate) fn lessons(tree: &Tree) -> Vec<Violation> {
    let tests = tests(tree);
    let mut violations = Vec::new();
    for session in tree.sessions() {
        let path = format!("{}/README.md", session.dir);
        let page = Page::read(tree.text(&path).unwrap_or_default());
        let Some((first, last)) = page.section(SECTION) else { continue };
        for (line, text) in page.lines.iter().filter(|(line, _)| (first..=last).contains(line)) {
            for name in quoted(text).into_iter().filter(|name| is_name(name)) {
                if !tests.contains_key(name) {
                    violations.push(violation(&path, *line, format!("there is no test {name}")));
                }
            }
        }
    }
    violations
}

fn is_name(text: &str) -> bool {
    text.split('_').count() >= WORDS
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && !is_session(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tree::{shown, tree};

    const TEST: (&str, &str) = (
        "sessions/s01_a/tests/lesson.rs",
        "#[tokio::test(flavor = \"multi_thread\")]\n#[ignore]\nasync fn a_cut_call_is_never_run() {}\nfn a_helper_of_the_tests() {}\n",
    );
    const FILE: &str = "`sessions/s01_a/tests/lesson.rs`";

    fn told(row: &str) -> Vec<String> {
        let text = format!("# T\n\n| session | original | test | in |\n|---|---|---|---|\n{row}\n");
        let own = ("sessions/s01_a/Cargo.toml", "");
        shown(&page(&tree(&[(PAGE, &text), TEST, own])))
    }

    #[test]
    fn a_row_whose_test_is_not_there_is_told_by_its_name() {
        assert_eq!(told(&format!("| s01 | x | `a_cut_call_is_never_run` | {FILE} |")), [""; 0]);
        assert_eq!(
            told(&format!("| s01 | Bad \\| worse | `a_helper_of_the_tests` | {FILE} |")),
            [
                "docs/seed-defects.md:5: s01, \"Bad / worse…\": there is no test a_helper_of_the_tests",
                "docs/seed-defects.md:5: s01, \"Bad / worse…\": none of its tests is in sessions/s01_a/tests/lesson.rs",
            ]
        );
        assert_eq!(
            told("| s01 | x | `a_cut_call_is_never_run` | `crates/a.rs` |"),
            [
                "docs/seed-defects.md:5: s01, \"x…\": the test a_cut_call_is_never_run is in sessions/s01_a/tests/lesson.rs",
                "docs/seed-defects.md:5: s01, \"x…\": none of its tests is in crates/a.rs",
            ]
        );
        assert_eq!(told("| s01 | x | none | |").len(), 1);
        assert_eq!(told("| s01 | x |").len(), 1);
        assert_eq!(page(&tree(&[])).len(), 1);
    }

    #[test]
    fn a_lesson_names_tests_that_exist() {
        let readme = "# T\n\n## Where it breaks\n\n- `a_cut_call_is_never_run`, `stop_reason`, \
                      `s01_a_b_c`\n- `nobody_wrote_this_one`\n## Next\n`not_in_this_section`\n";
        let own = ("sessions/s01_a/Cargo.toml", "");
        assert_eq!(
            shown(&lessons(&tree(&[("sessions/s01_a/README.md", readme), TEST, own]))),
            ["sessions/s01_a/README.md:6: there is no test nobody_wrote_this_one"]
        );
    }
}
