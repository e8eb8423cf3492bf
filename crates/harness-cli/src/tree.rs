//! A tree as text: who hangs under whom, with lines that show it, and no line too long.

use crate::screen::cut;

/// So many columns are left for a text beside its note; else the note gets a line of its own.
const BESIDE: usize = 28;

/// What is drawn of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Which node it hangs under; none for a root.
    pub parent: Option<usize>,
    /// What it is. Cut where it is too long.
    pub text: String,
    /// What else is to be said of it; may be empty. Cut only where it alone is too long.
    pub note: String,
}

/// Draws the trees in the order of their roots, the children of each below it. Deep down, lines go no
/// further to the right, so that a long chain fits a narrow terminal. Nodes that hang in a circle hang
/// on nothing and are left out.
pub fn tree(nodes: &[Node], columns: usize) -> String {
    let levels = (columns / 8).min(20);
    let mut below: Vec<Vec<usize>> = vec![Vec::new(); nodes.len() + 1];
    for (n, node) in nodes.iter().enumerate() {
        below[node.parent.unwrap_or(nodes.len()).min(nodes.len())].push(n);
    }
    let last_first = |children: &[usize], stem: &str, level: usize| -> Vec<_> {
        let children = children.iter().rev().enumerate();
        children.map(|(n, child)| (*child, stem.to_owned(), level, n == 0)).collect()
    };
    // A stack and no recursion: a chain may be as long as the list.
    let mut todo = last_first(&below[nodes.len()], "", 0);
    let mut lines = Vec::with_capacity(nodes.len());
    while let Some((n, stem, level, last)) = todo.pop() {
        let (branch, bar) = match (level, last) {
            (0, _) => ("", ""),
            (deep, _) if deep > levels => ("⋯  ", "   "),
            (_, true) => ("└─ ", "   "),
            (_, false) => ("├─ ", "│  "),
        };
        let (lead, under) = (format!("{stem}{branch}"), format!("{stem}{bar}"));
        let next = if level < levels { &under } else { &stem };
        todo.extend(last_first(&below[n], next, level + 1));
        let Node { text, note, .. } = &nodes[n];
        let room = columns.saturating_sub(lead.chars().count());
        let beside = room.saturating_sub(note.chars().count() + 1);
        if note.is_empty() {
            lines.push(format!("{lead}{}", cut(text, room)));
        } else if beside >= BESIDE || beside >= text.chars().count() {
            lines.push(format!("{lead}{} {note}", cut(text, beside)));
        } else {
            let bar = if below[n].is_empty() { "    " } else { "│   " };
            lines.push(format!("{lead}{}", cut(text, room)));
            lines.push(cut(&format!("{under}{bar}{note}"), columns));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(parents: &[Option<usize>]) -> Vec<Node> {
        let node = |(n, parent): (usize, &Option<usize>)| Node {
            parent: *parent,
            text: n.to_string(),
            note: String::new(),
        };
        parents.iter().enumerate().map(node).collect()
    }

    #[test]
    fn children_hang_under_their_parents_in_order() {
        let drawn = tree(&nodes(&[None, Some(0), None, Some(0), Some(1), Some(3)]), 80);
        assert_eq!(drawn, "0\n├─ 1\n│  └─ 4\n└─ 3\n   └─ 5\n2");
    }

    #[test]
    fn a_deep_tree_stays_narrow() {
        let chain: Vec<Option<usize>> = (0..10_000_usize).map(|n| n.checked_sub(1)).collect();
        let drawn = tree(&nodes(&chain), 40);
        assert_eq!(drawn.lines().count(), 10_000);
        assert!(drawn.lines().all(|line| line.chars().count() <= 20));
        let drawn = tree(&nodes(&chain[..5]), 16);
        assert_eq!(drawn, "0\n└─ 1\n   └─ 2\n   ⋯  3\n   ⋯  4");
    }

    #[test]
    fn a_note_stands_beside_its_text_or_below_it() {
        let mut nodes = nodes(&[None, Some(0), Some(1)]);
        nodes[1].text = "a text that is a little long".to_owned();
        nodes[1].note = "(and a note)".to_owned();
        let at = |columns| tree(&nodes, columns);
        assert_eq!(at(80), "0\n└─ a text that is a little long (and a note)\n   └─ 2");
        assert_eq!(at(30), "0\n└─ a text that is a little lo…\n   │   (and a note)\n   └─ 2");
        for columns in 1..60 {
            assert!(at(columns).lines().all(|line| line.chars().count() <= columns.max(4)));
        }
    }

    #[test]
    fn a_circle_hangs_on_nothing() {
        assert_eq!(tree(&nodes(&[Some(1), Some(0), None]), 80), "2");
        assert_eq!(tree(&[], 80), "");
    }
}
