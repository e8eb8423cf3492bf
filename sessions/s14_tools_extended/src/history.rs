//! The history: what was changed for which prompt, and the rules of going back. Nothing here touches a file.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::snapshot::{PathState, Step};

/// The format of the file. A newer one is not guessed at.
const FORMAT: u32 = 1;
/// The most checkpoints that are kept.
const MAX_CHECKPOINTS: usize = 100;
/// The most changes in all of them; the file stays small enough to be read for each call.
const MAX_CHANGES: usize = 50_000;

/// One change of one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Changes are counted, all of them, from 1.
    pub number: u64,
    /// The change that this one took back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverts: Option<u64>,
    /// The path, what it was, and what it became.
    #[serde(flatten)]
    pub step: Step,
}

/// All that was changed for one prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Counted from 1.
    pub number: u64,
    /// What the human had said.
    pub prompt: String,
    /// It was taken back as a whole.
    pub undone: bool,
    /// In the order they were made.
    pub changes: Vec<Change>,
}

/// Which way a checkpoint is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Back to what was there before it.
    Undo,
    /// Forth to what it left.
    Redo,
}

/// The last hundred checkpoints, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    format: u32,
    /// How many changes were ever made.
    pub made: u64,
    /// The checkpoints.
    pub checkpoints: Vec<Checkpoint>,
}

impl Default for History {
    fn default() -> Self {
        Self { format: FORMAT, made: 0, checkpoints: Vec::new() }
    }
}

impl Checkpoint {
    /// What it changed in the end, at most a step a path. Where somebody else changed a file in the
    /// middle, only what was made of *their* version counts: the way back ends there.
    pub fn steps(&self, direction: Direction) -> Vec<Step> {
        let mut sums: BTreeMap<&Path, Step> = BTreeMap::new();
        for Change { step, .. } in &self.changes {
            match sums.get_mut(step.path.as_path()) {
                Some(sum) if sum.to == step.from => sum.to = step.to.clone(),
                _ => {
                    sums.insert(&step.path, step.clone());
                }
            }
        }
        let steps = sums.into_values().filter(|step| step.from != step.to);
        match direction {
            Direction::Undo => steps.map(|step| step.back()).collect(),
            Direction::Redo => steps.collect(),
        }
    }
}

impl History {
    /// Adds what a call changed, to the checkpoint `open` if that is still in force, else to a new one
    /// for this prompt. Returns the number of the checkpoint.
    ///
    /// `seen` is how many changes had been made when the call began: where another call has changed a
    /// path since then, this one began with what that one left. `reverts` is the change that the call
    /// took back.
    pub fn record(
        &mut self,
        open: Option<u64>,
        prompt: &str,
        seen: u64,
        reverts: Option<u64>,
        steps: Vec<Step>,
    ) -> Option<u64> {
        let left_since = self.left_since(seen);
        let mut changes = Vec::new();
        for mut step in steps {
            if let Some(state) = left_since.get(&step.path) {
                step.from = state.clone();
            }
            if step.from != step.to {
                self.made += 1;
                changes.push(Change { number: self.made, reverts, step });
            }
        }
        if changes.is_empty() {
            return open;
        }

        let mut in_force = self.checkpoints.iter_mut().filter(|c| !c.undone);
        if let Some(checkpoint) = in_force.find(|c| Some(c.number) == open) {
            checkpoint.changes.extend(changes);
            return open;
        }
        let number = self.checkpoints.last().map_or(1, |last| last.number + 1);
        let prompt = prompt.to_owned();
        self.checkpoints.push(Checkpoint { number, prompt, undone: false, changes });
        self.drop_oldest();
        Some(number)
    }

    /// What the changes after this one have left, by path.
    fn left_since(&self, seen: u64) -> HashMap<PathBuf, PathState> {
        let changes = self.checkpoints.iter().flat_map(|c| &c.changes);
        let mut newer: Vec<&Change> = changes.filter(|change| change.number > seen).collect();
        newer.sort_by_key(|change| change.number);
        let mut left = HashMap::new();
        for change in newer {
            left.insert(change.step.path.clone(), change.step.to.clone());
        }
        left
    }

    /// Drops the oldest checkpoints, as many as there are too many; the newest always stays.
    fn drop_oldest(&mut self) {
        let mut kept = 0;
        let mut changes = 0;
        for checkpoint in self.checkpoints.iter().rev().take(MAX_CHECKPOINTS) {
            changes += checkpoint.changes.len();
            if kept > 0 && changes > MAX_CHANGES {
                break;
            }
            kept += 1;
        }
        self.checkpoints.drain(..self.checkpoints.len() - kept);
    }

    /// The last change of a path that is in force. Taking it back again and again goes further and
    /// further back: what was taken back, and the taking back itself, do not count.
    pub fn last_change(&self, path: &Path) -> Option<&Change> {
        let in_force = self.checkpoints.iter().filter(|c| !c.undone).flat_map(|c| &c.changes);
        let changes: Vec<&Change> = in_force.filter(|c| c.step.path == path).collect();
        let reverted: Vec<u64> = changes.iter().filter_map(|c| c.reverts).collect();
        changes.into_iter().rfind(|c| c.reverts.is_none() && !reverted.contains(&c.number))
    }

    /// The checkpoint that comes next: the last one in force, or the first one undone behind it.
    pub fn next(&mut self, direction: Direction) -> Option<&mut Checkpoint> {
        let last_in_force = self.checkpoints.iter().rposition(|c| !c.undone);
        let next = match (direction, last_in_force) {
            (Direction::Undo, last) => last?,
            (Direction::Redo, Some(last)) => last + 1,
            (Direction::Redo, None) => 0,
        };
        self.checkpoints.get_mut(next)
    }

    /// What must hold of a file that was read.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self.format {
            FORMAT => Ok(()),
            format => Err(format!("format {format} is not known here")),
        }
    }

    /// The number of the oldest checkpoint.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.checkpoints.first().map(|c| c.number)
    }

    /// The names of the bytes that the changes after this one need, for both directions.
    pub(crate) fn blobs_of_changes_after(&self, number: u64) -> impl Iterator<Item = &str> {
        let changes = self.checkpoints.iter().flat_map(|c| &c.changes);
        let changes = changes.filter(move |change| change.number > number);
        let states = changes.flat_map(|change| [&change.step.from, &change.step.to]);
        states.filter_map(|state| match state {
            PathState::File { kept, .. } => Some(kept.as_str()),
            _ => None,
        })
    }
}
