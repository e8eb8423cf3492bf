//! As much of Markdown as a lesson is made of: headings, fenced blocks, lines.

#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Everything outside fenced blocks, blank lines left out, with its line number.
    pub(crate) lines: Vec<(usize, String)>,
    pub(crate) blocks: Vec<Block>,
}

/// A fenced block.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) line: usize,
    /// What stands behind the opening fence.
    pub(crate) tag: String,
    pub(crate) text: String,
    pub(crate) closed: bool,
}

impl Page {
    pub(crate) fn read(text: &str) -> Self {
        let mut page = Self::default();
        let mut open: Option<String> = None;
        for (index, line) in text.lines().enumerate() {
            let fence: String =
                line.trim_start().chars().take_while(|c| matches!(c, '`' | '~')).collect();
            let info = line.trim_start()[fence.len()..].trim();
            match &open {
                Some(opened) if fence.starts_with(opened) && info.is_empty() => {
                    open = None;
                    if let Some(block) = page.blocks.last_mut() {
                        block.closed = true;
                    }
                }
                Some(_) => {
                    if let Some(block) = page.blocks.last_mut() {
                        block.text.push_str(line);
                        block.text.push('\n');
                    }
                }
                None if fence.len() >= 3 => {
                    open = Some(fence);
                    let tag = info.to_owned();
                    page.blocks.push(Block {
                        line: index + 1,
                        tag,
                        text: String::new(),
                        closed: false,
                    });
                }
                None if line.trim().is_empty() => {}
                None => page.lines.push((index + 1, line.trim_end().to_owned())),
            }
        }
        page
    }

    /// The headings of the second level.
    pub(crate) fn headings(&self) -> Vec<(usize, &str)> {
        let headings =
            self.lines.iter().filter_map(|(line, text)| Some((*line, text.strip_prefix("## ")?)));
        headings.map(|(line, text)| (line, text.trim())).collect()
    }

    /// The lines from this heading to the next of its level: first and last.
    pub(crate) fn section(&self, heading: &str) -> Option<(usize, usize)> {
        let headings = self.headings();
        let index = headings.iter().position(|(_, text)| *text == heading)?;
        let end = headings.get(index + 1).map_or(usize::MAX, |(line, _)| line - 1);
        Some((headings[index].0, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_inside_blocks_are_text() {
        let page = Page::read("# T\n\n## A\n```sh\n## not\n```\n## B\n~~~\nx\n```\n~~~\n");
        assert_eq!(page.headings(), [(3, "A"), (7, "B")]);
        assert_eq!(page.blocks.len(), 2);
        assert_eq!((page.blocks[0].tag.as_str(), page.blocks[0].text.as_str()), ("sh", "## not\n"));
        assert_eq!(page.blocks[1].text, "x\n```\n");
        assert_eq!(page.section("A"), Some((3, 6)));
        assert_eq!(page.section("B"), Some((7, usize::MAX)));
        assert!(page.section("C").is_none());
    }

    #[test]
    fn a_fence_left_open_is_noticed() {
        assert!(!Page::read("```\nx\n").blocks[0].closed);
    }
}
