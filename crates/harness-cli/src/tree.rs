//! A tree as text: who hangs under whom, with lines that show it.

/// One node as it is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which node.
    pub node: usize,
    /// What stands before its first line.
    pub lead: String,
    /// What stands before further lines of it.
    pub under: String,
}

/// Draws trees in the order of their nodes, the children of each below it. A node is given by its
/// parent, `None` for a root. From `levels` on, lines go no further to the right: a long chain must
/// fit a narrow terminal. Nodes that hang in a circle hang on nothing and are left out.
pub fn tree(parents: &[Option<usize>], levels: usize) -> Vec<Row> {
    let mut below: Vec<Vec<usize>> = vec![Vec::new(); parents.len() + 1];
    for (node, parent) in parents.iter().enumerate() {
        below[parent.map_or(parents.len(), |parent| parent.min(parents.len()))].push(node);
    }
    let last_first = |nodes: &[usize], stem: &str, level: usize| {
        let ends = nodes.iter().rev().zip([true].into_iter().chain(std::iter::repeat(false)));
        ends.map(|(node, last)| (*node, stem.to_owned(), level, last)).collect::<Vec<_>>()
    };
    // A stack and no recursion: a chain may be as long as the list.
    let mut todo = last_first(&below[parents.len()], "", 0);
    let mut rows = Vec::with_capacity(parents.len());
    while let Some((node, stem, level, last)) = todo.pop() {
        let (branch, bar) = match (level, last) {
            (0, _) => ("", ""),
            (deep, _) if deep > levels => ("⋯  ", "   "),
            (_, true) => ("└─ ", "   "),
            (_, false) => ("├─ ", "│  "),
        };
        let (lead, under) = (format!("{stem}{branch}"), format!("{stem}{bar}"));
        let next = if level >= levels { &stem } else { &under };
        todo.extend(last_first(&below[node], next, level + 1));
        let line = if below[node].is_empty() { "   " } else { "│  " };
        rows.push(Row { node, lead, under: format!("{under}{line}") });
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(parents: &[Option<usize>], levels: usize) -> String {
        let rows = tree(parents, levels);
        rows.iter().map(|row| format!("{}{}\n", row.lead, row.node)).collect()
    }

    #[test]
    fn children_hang_under_their_parents_in_order() {
        let parents = [None, Some(0), None, Some(0), Some(1), Some(3)];
        assert_eq!(drawn(&parents, 9), "0\n├─ 1\n│  └─ 4\n└─ 3\n   └─ 5\n2\n");
        let under: Vec<String> = tree(&parents, 9).into_iter().map(|row| row.under).collect();
        assert_eq!(under, ["│  ", "│  │  ", "│     ", "   │  ", "      ", "   "]);
    }

    #[test]
    fn a_deep_tree_stays_narrow() {
        let chain: Vec<Option<usize>> =
            (0..10_000_usize).map(|node| node.checked_sub(1)).collect();
        let rows = tree(&chain, 5);
        assert_eq!(rows.len(), 10_000);
        assert!(rows.iter().all(|row| row.under.chars().count() <= 21));
        assert_eq!(drawn(&chain[..5], 2), "0\n└─ 1\n   └─ 2\n   ⋯  3\n   ⋯  4\n");
    }

    #[test]
    fn a_circle_hangs_on_nothing() {
        assert_eq!(drawn(&[Some(1), Some(0), None], 5), "2\n");
        assert_eq!(drawn(&[], 5), "");
    }
}
