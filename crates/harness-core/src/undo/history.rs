//! The data. Nothing here touches a file.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::host::workspace::{State, Step};

/// The form of the file. A newer one is not guessed at.
const FORMAT: u32 = 1;
/// The most checkpoints that are kept.
const KEPT: usize = 100;
/// The most changes in all of them; the file stays small enough to be read for each call.
const MOST: usize = 50_000;

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

/// Backward or forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Undo.
    Back,
    /// Redo.
    Forth,
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
    pub fn steps(&self, way: Way) -> Vec<Step> {
        let mut net: BTreeMap<&Path, Step> = BTreeMap::new();
        for Change { step, .. } in &self.changes {
            match net.get_mut(step.path.as_path()) {
                Some(sum) if sum.to == step.from => sum.to = step.to.clone(),
                _ => _ = net.insert(&step.path, step.clone()),
            }
        }
        let steps = net.into_values().filter(|step| step.from != step.to);
        steps.map(|step| if way == Way::Back { step.back() } else { step }).collect()
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
        let made = self.checkpoints.iter().flat_map(|c| &c.changes);
        let mut newer: Vec<&Change> = made.filter(|c| c.number > seen).collect();
        newer.sort_by_key(|c| c.number);
        let left: HashMap<PathBuf, State> =
            newer.into_iter().map(|c| (c.step.path.clone(), c.step.to.clone())).collect();
        let mut changes = Vec::new();
        for mut step in steps {
            if let Some(state) = left.get(&step.path) {
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
        self.shorten();
        Some(number)
    }

    /// Drops the oldest checkpoints; the newest always stays.
    fn shorten(&mut self) {
        let mut room = MOST;
        let keeps = |c: &&Checkpoint| {
            let left = room.checked_sub(c.changes.len());
            room = left.unwrap_or_default();
            left.is_some()
        };
        let kept = self.checkpoints.iter().rev().take(KEPT).take_while(keeps).count().max(1);
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
    pub fn next(&mut self, way: Way) -> Option<&mut Checkpoint> {
        let last = self.checkpoints.iter().rposition(|c| !c.undone);
        match way {
            Way::Back => self.checkpoints.get_mut(last?),
            Way::Forth => self.checkpoints.get_mut(last.map_or(0, |last| last + 1)),
        }
    }

    /// What must hold of a file that was read.
    pub(super) fn check(&self) -> Result<(), String> {
        match self.format {
            FORMAT => Ok(()),
            format => Err(format!("format {format} is not known here")),
        }
    }

    /// The number of the oldest checkpoint.
    pub(super) fn first(&self) -> Option<u64> {
        self.checkpoints.first().map(|c| c.number)
    }

    /// The names of the bytes that the changes after this one need, for both ways.
    pub(super) fn names(&self, after: u64) -> impl Iterator<Item = &str> {
        let changes = self.checkpoints.iter().flat_map(|c| &c.changes);
        let states =
            changes.filter(move |c| c.number > after).flat_map(|c| [&c.step.from, &c.step.to]);
        states.filter_map(|state| match state {
            State::File { kept, .. } => Some(kept.as_str()),
            _ => None,
        })
    }
}
