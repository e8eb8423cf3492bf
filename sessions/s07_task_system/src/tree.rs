//! Behind the lesson: things that depend on each other as text, a tree with lines that show what hangs under
//! what.

use std::collections::HashMap;

use harness_cli::{cut, wide};

/// How many nodes are drawn; the others are counted.
const MAX_DRAWN: usize = 200;
/// How many levels are indented, on however broad a terminal.
const MAX_LEVELS: usize = 20;
/// The least columns for a text that has its notes beside it; with less, each note gets a line of its own.
const MIN_TEXT: usize = 28;

/// What is drawn of one thing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Node<'a> {
    /// How others name it.
    pub(crate) name: &'a str,
    /// The names of those it comes after. What is not among the nodes is not drawn.
    pub(crate) after: &'a [String],
    /// What it is. Cut where it is too long.
    pub(crate) text: String,
    /// What else is to be said of it; may be empty. Cut only where it alone is too long.
    pub(crate) note: String,
}

/// Draws every node once: under the last of those it comes after; the others are named beside it. No
/// line is longer than `columns`. Deep down, lines go no further to the right, so that a long chain fits
/// a narrow terminal. What comes after itself is left out.
pub(crate) fn tree(nodes: &[Node<'_>], columns: usize) -> String {
    let forest = Forest::of(nodes);
    let max_levels = (columns / 8).min(MAX_LEVELS);
    let mut lines = Vec::new();
    let mut drawn = 0;
    // A stack and no recursion: a chain may be as long as the list.
    let mut stack = branches(&forest.roots, "", 0);
    while let Some(branch) = stack.pop() {
        if drawn == MAX_DRAWN {
            lines.push(format!("… {} more", nodes.len() - drawn));
            break;
        }
        drawn += 1;
        let lead = branch.lead(max_levels);
        let below = branch.below(max_levels);
        let children = &forest.children[branch.node];
        let bar = if children.is_empty() { "    " } else { "│   " };
        lines.extend(node_lines(
            &nodes[branch.node].text,
            &forest.notes[branch.node],
            &lead,
            &format!("{below}{bar}"),
            columns,
        ));
        let stem = if branch.level < max_levels { &below } else { &branch.stem };
        stack.extend(branches(children, stem, branch.level + 1));
    }
    let lines: Vec<String> = lines.iter().map(|line| cut(line, columns)).collect();
    lines.join("\n")
}

/// What hangs under what. Every number is a place in the list of nodes.
struct Forest {
    /// The nodes that hang under nothing.
    roots: Vec<usize>,
    /// Of each node, those that hang under it.
    children: Vec<Vec<usize>>,
    /// Of each node, what is said beside its text.
    notes: Vec<Vec<String>>,
}

impl Forest {
    fn of(nodes: &[Node<'_>]) -> Self {
        let mut place_of: HashMap<&str, usize> = HashMap::with_capacity(nodes.len());
        for (place, node) in nodes.iter().enumerate() {
            place_of.insert(node.name, place);
        }
        let mut forest = Self {
            roots: Vec::new(),
            children: vec![Vec::new(); nodes.len()],
            notes: Vec::with_capacity(nodes.len()),
        };
        for (place, node) in nodes.iter().enumerate() {
            let after: Vec<usize> =
                node.after.iter().filter_map(|name| place_of.get(name.as_str()).copied()).collect();
            let parent = after.iter().copied().max();
            match parent {
                Some(parent) => forest.children[parent].push(place),
                None => forest.roots.push(place),
            }
            let others = after.iter().filter(|other| Some(**other) != parent);
            let mut notes: Vec<String> =
                others.map(|other| format!("after {}", nodes[*other].name)).collect();
            if !node.note.is_empty() {
                notes.push(node.note.clone());
            }
            forest.notes.push(notes);
        }
        forest
    }
}

/// A node that is still to be drawn.
struct Branch {
    node: usize,
    /// What stands before it on its line: the lines of the branches that go on beside it.
    stem: String,
    /// How many nodes it hangs under.
    level: usize,
    is_last: bool,
}

/// These nodes, the last first: a stack gives them back in order.
fn branches(nodes: &[usize], stem: &str, level: usize) -> Vec<Branch> {
    let last = nodes.last();
    let branch = |node: &usize| Branch {
        node: *node,
        stem: stem.to_owned(),
        level,
        is_last: Some(node) == last,
    };
    nodes.iter().rev().map(branch).collect()
}

impl Branch {
    /// What stands before its text.
    fn lead(&self, max_levels: usize) -> String {
        let fork = match self.level {
            0 => "",
            level if level > max_levels => "⋯  ",
            _ if self.is_last => "└─ ",
            _ => "├─ ",
        };
        format!("{}{fork}", self.stem)
    }

    /// What stands before the lines below it.
    fn below(&self, max_levels: usize) -> String {
        let bar = match self.level {
            0 => "",
            level if level > max_levels => "   ",
            _ if self.is_last => "   ",
            _ => "│  ",
        };
        format!("{}{bar}", self.stem)
    }
}

/// The lines of one node: its text, and its notes beside it or, where there is no room, below it.
fn node_lines(
    text: &str,
    notes: &[String],
    lead: &str,
    below: &str,
    columns: usize,
) -> Vec<String> {
    let room = columns.saturating_sub(wide(lead));
    if notes.is_empty() {
        return vec![format!("{lead}{}", cut(text, room))];
    }
    let all_notes = notes.join(", ");
    let text_room = room.saturating_sub(wide(&all_notes) + " ()".len());
    if text_room >= MIN_TEXT || text_room >= wide(text) {
        return vec![format!("{lead}{} ({all_notes})", cut(text, text_room))];
    }
    let mut lines = vec![format!("{lead}{}", cut(text, room))];
    lines.extend(notes.iter().map(|note| format!("{below}({note})")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Things called `a`, `b` …, and those each comes after.
    fn drawn(after: &[&str], note: &str, columns: usize) -> String {
        let split = |names: &&str| names.chars().map(String::from).collect();
        let after: Vec<Vec<String>> = after.iter().map(split).collect();
        let names: Vec<String> = ('a'..).take(after.len()).map(String::from).collect();
        let node =
            |(name, after)| Node { name, after, text: format!("<{name}>"), note: note.to_owned() };
        let nodes = names.iter().map(String::as_str).zip(after.iter().map(Vec::as_slice)).map(node);
        tree(&nodes.collect::<Vec<_>>(), columns)
    }

    #[test]
    fn children_hang_under_their_parents_in_order() {
        let text = drawn(&["", "a", "", "a", "b", "d"], "", 80);
        assert_eq!(text, "<a>\n├─ <b>\n│  └─ <e>\n└─ <d>\n   └─ <f>\n<c>");
    }

    #[test]
    fn what_comes_after_several_hangs_under_the_last_and_names_the_others() {
        assert_eq!(drawn(&["", "", "ab"], "", 80), "<a>\n<b>\n└─ <c> (after a)");
        assert_eq!(drawn(&["", "", "abz"], "x", 80), "<a> (x)\n<b> (x)\n└─ <c> (after a, x)");
    }

    #[test]
    fn a_note_stands_beside_its_text_or_below_it_and_no_line_is_too_long() {
        let note = "a note that is a little long";
        let broad = "<a> (a note that is a little long)\n└─ <b> (a note that is a little long)";
        assert_eq!(drawn(&["", "a"], note, 40), broad);
        let narrow = "<a>\n│   (a note that is a litt…\n└─ <b>\n       (a note that is a l…";
        assert_eq!(drawn(&["", "a"], note, 27), narrow);
        for columns in 1..60 {
            let text = drawn(&["", "a", "b", "c", "abcd", "a"], note, columns);
            assert!(text.lines().all(|line| wide(line) <= columns), "{columns}:\n{text}");
        }
    }

    #[test]
    fn a_deep_tree_stays_narrow_and_a_large_one_short() {
        assert_eq!(
            drawn(&["", "a", "b", "c", "d"], "", 16),
            "<a>\n└─ <b>\n   └─ <c>\n   ⋯  <d>\n   ⋯  <e>"
        );
        let names: Vec<String> = (0..10_000).map(|n| n.to_string()).collect();
        let node = |n: usize| Node {
            name: &names[n],
            after: n.checked_sub(1).map_or(&[], |before| std::slice::from_ref(&names[before])),
            ..Node::default()
        };
        let text = tree(&(0..10_000).map(node).collect::<Vec<_>>(), 80);
        assert!(text.lines().count() == MAX_DRAWN + 1 && text.ends_with("\n… 9800 more"), "{text}");
    }

    #[test]
    fn a_circle_hangs_on_nothing() {
        assert_eq!(drawn(&["b", "a", ""], "", 80), "<c>");
        assert_eq!(drawn(&[], "", 80), "");
    }
}
