//! Things that depend on each other as text: a tree with lines that show what hangs under what.

use std::collections::HashMap;

use crate::wide::{cut, wide};

/// So many things are drawn; the others are counted.
const MOST: usize = 200;
/// So many columns are left for a text beside its notes; else each note gets a line of its own.
const BESIDE: usize = 28;

/// What is drawn of one thing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node<'a> {
    /// How others name it.
    pub name: &'a str,
    /// The names of those it comes after. What is not among the nodes is not drawn.
    pub after: &'a [String],
    /// What it is. Cut where it is too long.
    pub text: String,
    /// What else is to be said of it; may be empty. Cut only where it alone is too long.
    pub note: String,
}

/// Draws every node once: under the last of those it comes after; the others are named beside it. No
/// line is longer than `columns`. Deep down, lines go no further to the right, so that a long chain fits
/// a narrow terminal. What comes after itself is left out.
pub fn tree(nodes: &[Node<'_>], columns: usize) -> String {
    let places: HashMap<&str, usize> =
        nodes.iter().enumerate().map(|(n, it)| (it.name, n)).collect();
    let mut below: Vec<Vec<usize>> = vec![Vec::new(); nodes.len() + 1];
    let mut notes: Vec<Vec<String>> = Vec::with_capacity(nodes.len());
    for (n, node) in nodes.iter().enumerate() {
        let after = || node.after.iter().filter_map(|name| places.get(name.as_str()).copied());
        let parent = after().max();
        below[parent.unwrap_or(nodes.len())].push(n);
        let others = after().filter(|place| Some(*place) != parent);
        let mut said: Vec<String> = others.map(|n| format!("after {}", nodes[n].name)).collect();
        said.extend(Some(node.note.clone()).filter(|note| !note.is_empty()));
        notes.push(said);
    }
    let levels = (columns / 8).min(20);
    let last_first = |children: &[usize], stem: &str, level: usize| -> Vec<_> {
        let children = children.iter().rev().enumerate();
        children.map(|(n, child)| (*child, stem.to_owned(), level, n == 0)).collect()
    };
    // A stack and no recursion: a chain may be as long as the list.
    let mut todo = last_first(&below[nodes.len()], "", 0);
    let (mut lines, mut drawn) = (Vec::new(), 0);
    while let Some((n, stem, level, last)) = todo.pop() {
        if drawn == MOST {
            lines.push(format!("… {} more", nodes.len() - drawn));
            break;
        }
        drawn += 1;
        let (branch, bar) = match (level, last) {
            (0, _) => ("", ""),
            (deep, _) if deep > levels => ("⋯  ", "   "),
            (_, true) => ("└─ ", "   "),
            (_, false) => ("├─ ", "│  "),
        };
        let (lead, under) = (format!("{stem}{branch}"), format!("{stem}{bar}"));
        let next = if level < levels { &under } else { &stem };
        todo.extend(last_first(&below[n], next, level + 1));
        let text = &nodes[n].text;
        let room = columns.saturating_sub(wide(&lead));
        let note = notes[n].join(", ");
        let beside = room.saturating_sub(wide(&note) + 3);
        if note.is_empty() {
            lines.push(format!("{lead}{}", cut(text, room)));
        } else if beside >= BESIDE || beside >= wide(text) {
            lines.push(format!("{lead}{} ({note})", cut(text, beside)));
        } else {
            let bar = if below[n].is_empty() { "    " } else { "│   " };
            lines.push(format!("{lead}{}", cut(text, room)));
            lines.extend(notes[n].iter().map(|note| format!("{under}{bar}({note})")));
        }
    }
    lines.iter().map(|line| cut(line, columns)).collect::<Vec<_>>().join("\n")
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
        assert!(text.lines().count() == MOST + 1 && text.ends_with("\n… 9800 more"), "{text}");
    }

    #[test]
    fn a_circle_hangs_on_nothing() {
        assert_eq!(drawn(&["b", "a", ""], "", 80), "<c>");
        assert_eq!(drawn(&[], "", 80), "");
    }
}
