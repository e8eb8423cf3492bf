//! The README of a session: the same shape in all, so that a reader can skip.

use super::course::motto;
use super::markdown::{Block, Page};
use super::tree::{Tree, Violation, violation};

const HEADINGS: [&str; 9] = [
    "The problem",
    "The mechanism",
    "How it works",
    "What changed since the last session",
    "Try it",
    "Where it breaks",
    "In Claude Code",
    "Exercises",
    "Next",
];
/// Tags that rustdoc compiles, and so tests.
const COMPILED: [&str; 5] = ["rust", "no_run", "should_panic", "compile_fail", "edition2024"];
const OTHERS: [&str; 14] = [
    "text", "mermaid", "sh", "bash", "console", "toml", "yaml", "json", "jsonl", "diff", "python",
    "markdown", "http", "html",
];
/// Words that break a flowchart when a node is called so.
const OF_MERMAID: [&str; 6] = ["call", "class", "click", "end", "graph", "style"];
/// The first line of a copy that `cargo xtask new` made, until its owner has edited it.
pub(crate) const COPY: &str = "<!-- A copy of ";

fn readmes(tree: &Tree, rule: fn(&str, &str) -> Vec<Violation>) -> Vec<Violation> {
    let held = |dir: &String| {
        let path = format!("{dir}/README.md");
        match tree.text(&path) {
            Some(text) => rule(&path, text),
            None => vec![violation(&path, 1, "is missing")],
        }
    };
    tree.sessions().flat_map(|session| held(&session.dir)).collect()
}

pub(crate) fn headings(tree: &Tree) -> Vec<Violation> {
    readmes(tree, shape)
}

pub(crate) fn blocks(tree: &Tree) -> Vec<Violation> {
    readmes(tree, |path, text| {
        let told = |block: &Block| tag(block).map(|reason| violation(path, block.line, reason));
        Page::read(text).blocks.iter().filter_map(told).collect()
    })
}

fn shape(path: &str, text: &str) -> Vec<Violation> {
    if text.starts_with(COPY) {
        return vec![violation(
            path,
            1,
            "is still a copy: make the lesson yours and take the first line out",
        )];
    }
    let page = Page::read(text);
    let mut violations = Vec::new();
    if motto(text).is_none() {
        violations.push(violation(path, 1, "does not start with `# Title` and then `> *motto*`"));
    }
    let found = page.headings();
    let differs = (0..HEADINGS.len().max(found.len()))
        .find(|index| found.get(*index).map(|(_, text)| *text) != HEADINGS.get(*index).copied());
    if let Some(index) = differs {
        let line = found.get(index).or(found.last()).map_or(1, |(line, _)| *line);
        let reason = match (HEADINGS.get(index), found.get(index)) {
            (Some(wanted), Some((_, text))) => format!("`## {text}` where `## {wanted}` belongs"),
            (Some(wanted), None) => format!("`## {wanted}` is missing"),
            (None, _) => "there is nothing after `## Next`".to_owned(),
        };
        violations.push(violation(path, line, reason));
    }
    let inside = |heading: &str, line: usize| {
        page.section(heading).is_none_or(|(a, z)| a <= line && line <= z)
    };
    let has_section = |heading: &str| page.section(heading).is_some();
    let diagram = page.blocks.iter().any(|b| b.tag == "mermaid" && inside(HEADINGS[1], b.line));
    if has_section(HEADINGS[1]) && !diagram {
        let line = page.section(HEADINGS[1]).map_or(1, |(line, _)| line);
        violations.push(violation(path, line, "`## The mechanism` has no ```mermaid diagram"));
    }
    let table =
        page.lines.iter().any(|(line, text)| text.starts_with('|') && inside(HEADINGS[3], *line));
    if has_section(HEADINGS[3]) && !table {
        let line = page.section(HEADINGS[3]).map_or(1, |(line, _)| line);
        violations.push(violation(path, line, format!("`## {}` has no table", HEADINGS[3])));
    }
    violations
}

/// What is wrong with the tag of a block.
fn tag(block: &Block) -> Option<String> {
    let words: Vec<&str> = block.tag.split([',', ' ']).filter(|word| !word.is_empty()).collect();
    if !block.closed {
        return Some("a block that is never closed".to_owned());
    }
    if words.contains(&"ignore") {
        return Some("`ignore`: a Rust block of a lesson compiles".to_owned());
    }
    if words.iter().all(|word| COMPILED.contains(word)) {
        let output = block.text.lines().any(|line| line.starts_with("$ ") || has_prompt(line));
        return output
            .then(|| "rustdoc takes this block for Rust: tag output as `text`".to_owned());
    }
    if words == ["mermaid"]
        && let Some(name) = block.text.lines().find_map(no_node)
    {
        return Some(format!(
            "Mermaid takes {name:?} for a word of its own: name the node otherwise"
        ));
    }
    let unknown = !words.first().is_some_and(|word| OTHERS.contains(word));
    unknown.then(|| {
        format!("unknown tag {:?}: Rust is untagged or `rust`, output is `text`", block.tag)
    })
}

/// A word at an end of an arrow that cannot be the name of a node.
fn no_node(line: &str) -> Option<&str> {
    let (first, rest) = line.trim().split_once(' ')?;
    let behind =
        line.split("--> ").skip(1).filter_map(|text| text.split([' ', '[', '{', '(']).next());
    let ends = behind.chain(rest.starts_with('-').then_some(first));
    ends.into_iter().find(|word| OF_MERMAID.contains(word))
}

/// `s03 >> …`, the prompt of a session.
fn has_prompt(line: &str) -> bool {
    line.split_once(" >>")
        .is_some_and(|(name, _)| crate::names::number(&format!("{name}_")).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tree::shown;

    fn good() -> String {
        let mut text = "# The plan\n\n> *Say what you will do.*\n\n".to_owned();
        for heading in HEADINGS {
            text.push_str(&format!("## {heading}\n\n"));
            match heading {
                "The mechanism" => text.push_str("```mermaid\ngraph TD\n```\n"),
                "What changed since the last session" => text.push_str("| a | b |\n|---|---|\n"),
                _ => text.push_str("words\n"),
            }
        }
        text
    }

    #[test]
    fn a_whole_lesson_passes() {
        assert_eq!(shape("R", &good()), []);
    }

    #[test]
    fn headings_are_fixed_in_name_and_order() {
        let renamed = good().replace("## Try it", "## Try It");
        assert_eq!(shown(&shape("R", &renamed)), ["R:20: `## Try It` where `## Try it` belongs"]);
        let cut = good().replace("## Next\n", "");
        assert_eq!(shown(&shape("R", &cut)), ["R:29: `## Next` is missing"]);
        let more = format!("{}## And\n", good());
        assert_eq!(shown(&shape("R", &more)), ["R:35: there is nothing after `## Next`"]);
    }

    #[test]
    fn diagram_table_and_motto_stand_in_their_places() {
        let text = good()
            .replace("```mermaid", "```text")
            .replace("> *Say", "> Say")
            .replace("| a | b |\n|---|---|", "");
        assert_eq!(shape("R", &text).len(), 3);
        assert_eq!(shape("R", &format!("{COPY}s03 -->\n{}", good())).len(), 1);
    }

    #[test]
    fn tags_are_known_and_output_is_no_doctest() {
        let tagged = |text: &str| Page::read(text).blocks.first().and_then(tag);
        for fine in [
            "```\nlet a = 1;\n```",
            "```rust,no_run\nx\n```",
            "```text\ns03 >> hi\n```",
            "```sh\n$ ls\n```",
            "```mermaid\ngraph TD\n```",
        ] {
            assert_eq!(tagged(fine), None, "{fine}");
        }
        for wrong in [
            "```\n$ ls\n```",
            "```\ns03 >> hi\n```",
            "```rsut\nx\n```",
            "```rust,ignore\nx\n```",
            "```text\n",
            "```mermaid\nflowchart LR\n  a[x] --> call[y]\n```",
            "```mermaid\nflowchart LR\n  call -- why --> a\n```",
        ] {
            assert!(tagged(wrong).is_some(), "{wrong}");
        }
    }
}
