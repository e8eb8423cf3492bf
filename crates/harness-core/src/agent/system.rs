//! The system prompt.

/// A system prompt, in blocks. What the family shares stands first, so that an agent and its children have the
/// same beginning and a prompt cache serves them all. Keep it stable: dates and news belong into reminders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SystemPrompt {
    blocks: Vec<String>,
    /// How many of the blocks are the family's.
    family: usize,
}

impl SystemPrompt {
    /// One more block, for this agent alone.
    pub fn push(&mut self, block: impl Into<String>) {
        self.blocks.push(block.into());
    }

    /// One more block, for this agent and its children.
    pub fn push_for_family(&mut self, block: impl Into<String>) {
        self.blocks.insert(self.family, block.into());
        self.family += 1;
    }

    /// The blocks, as a model gets them.
    pub fn blocks(&self) -> &[String] {
        &self.blocks
    }

    /// What a child of the agent begins with.
    pub fn for_child(&self) -> Self {
        Self { blocks: self.blocks[..self.family].to_vec(), family: self.family }
    }
}
