//! Who belongs to a child, and their end.

use std::{collections::HashMap, fs, time::Duration};

use rustix::process::{
    Pid, Signal, kill_process, kill_process_group, test_kill_process, test_kill_process_group,
};
use tokio::{
    process::Child,
    time::{Instant, sleep, timeout_at},
};

use super::pump::Pump;
use crate::host::ids;

/// From TERM to KILL.
const GRACE: Duration = Duration::from_millis(200);
/// There is no event for "all have left", so one looks from time to time: at first so often, then
/// less and less.
const SOON: Duration = Duration::from_millis(5);
const SELDOM: Duration = Duration::from_secs(1);
/// Whoever makes children faster than they can be killed is given up after so many rounds.
const ROUNDS: usize = 200;

/// All processes that come of one child, also those that left its group (`setsid`, a daemon).
///
/// A group is left by one call, so a family has a mark: a variable of the environment, which every
/// child inherits. Found are those that have it, and their children. Where there is no `/proc`
/// (macOS) nobody is found, and the group alone counts. Who throws away its environment and its
/// parent is found no more; a real product has a cgroup or a container for that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessTree(String);

impl Default for ProcessTree {
    fn default() -> Self {
        Self::new()
    }
}

impl ProcessTree {
    /// A family that has no members yet.
    pub fn new() -> Self {
        // Two, so that nobody else's variable is met by chance.
        Self::named(&format!("{}{}", ids::fresh(|_| false), ids::fresh(|_| false)))
    }

    /// The family of this name, which another program may have begun.
    pub fn named(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// What [`ProcessTree::named`] takes.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// The variable. Its name holds the mark, not its value: a family inside a family has both.
    pub(super) fn variable(&self) -> String {
        format!("HARNESS_FAMILY_{}", self.0)
    }

    /// The processes that live now.
    pub fn members(&self) -> Vec<u32> {
        let own = std::process::id();
        let mark = format!("{}=", self.variable());
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let (mut members, mut parents) = (Vec::new(), HashMap::new());
        for id in ids.filter(|id| *id != own) {
            let Some((parent, lives)) = parent(id) else { continue };
            if !lives {
                continue;
            }
            // Of others' processes, and of those that are just gone, it cannot be read.
            let variables = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
            match variables.split(|byte| *byte == 0).any(|it| it.starts_with(mark.as_bytes())) {
                true => members.push(id),
                false => _ = parents.insert(id, parent),
            }
        }
        loop {
            let known = members.len();
            parents.retain(|id, parent| {
                let child = members.contains(parent);
                if child {
                    members.push(*id);
                }
                !child
            });
            if members.len() == known {
                return members;
            }
        }
    }

    /// Ends all members: TERM, 200 ms to leave, KILL. Returns how many there were.
    pub async fn end(&self) -> usize {
        let members = self.signal(Signal::TERM);
        let deadline = Instant::now() + GRACE;
        while members > 0 && !self.members().is_empty() && Instant::now() < deadline {
            sleep(SOON).await;
        }
        self.kill();
        members
    }

    fn signal(&self, signal: Signal) -> usize {
        let members = self.members();
        for id in &members {
            if let Some(id) = pid(*id) {
                let _ = kill_process(id, signal); // it may be gone already
            }
        }
        members.len()
    }

    /// KILL, until two looks find nobody any more: a child may have been born behind the back of one.
    fn kill(&self) {
        let mut empty = 0;
        for _ in 0..ROUNDS {
            empty = if self.signal(Signal::KILL) == 0 { empty + 1 } else { 0 };
            if empty == 2 {
                return;
            }
            std::thread::yield_now();
        }
    }
}

fn pid(id: u32) -> Option<Pid> {
    Pid::from_raw(id.cast_signed())
}

/// The parent of a process, and whether it still lives (a zombie does not).
fn parent(id: u32) -> Option<(u32, bool)> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name, in brackets, may hold anything.
    let mut words = stat.rsplit_once(") ")?.1.split(' ');
    let state = words.next()?;
    Some((words.next()?.parse().ok()?, !matches!(state, "Z" | "X")))
}

/// A child's process group, and its family where it has one. They die with this value.
#[derive(Debug)]
pub(super) struct Group {
    id: Option<Pid>,
    family: Option<ProcessTree>,
}

impl Group {
    pub(super) fn new(child: &Child, family: Option<ProcessTree>) -> Self {
        Self { id: child.id().and_then(pid), family }
    }

    fn signal(&self, signal: Signal) {
        if let Some(id) = self.id {
            // It may be gone already, which is what we want.
            let _ = kill_process_group(id, signal);
        }
        if let Some(family) = &self.family {
            family.signal(signal);
        }
    }

    fn lives(&self) -> bool {
        self.id.is_some_and(|id| test_kill_process_group(id).is_ok())
            || self.family.as_ref().is_some_and(|family| !family.members().is_empty())
    }

    /// Waits until nobody of the family is left. A child without one is waited for alone.
    pub(super) async fn alone<P: FnMut(&[u8])>(&self, pump: &mut Pump<P>) {
        let Some(family) = &self.family else { return };
        let mut wait = SOON;
        while !family.members().is_empty() {
            pump.read_for(wait).await;
            wait = (wait * 2).min(SELDOM);
        }
    }

    /// TERM, up to [`GRACE`] for every member to leave, KILL; reads on meanwhile, so that nobody
    /// is stuck in a full pipe and last words are kept.
    pub(super) async fn end<P: FnMut(&[u8])>(&self, child: &mut Child, pump: &mut Pump<P>) {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + GRACE;
        let leave = async {
            loop {
                tokio::select! {
                    _ = child.wait() => break,
                    _ = pump.step() => {}
                }
            }
            // The shell is gone; its children may need a moment more.
            while self.lives() {
                pump.read_for(SOON).await;
            }
        };
        if timeout_at(deadline, leave).await.is_err() {
            self.kill();
            let _ = child.wait().await;
        }
    }

    /// The same for a child whose streams others read.
    pub(super) async fn dismiss(&self, child: &mut Child) {
        if !self.lives() {
            return;
        }
        self.signal(Signal::TERM);
        let deadline = Instant::now() + GRACE;
        while self.lives() && Instant::now() < deadline {
            let _ = timeout_at(Instant::now() + SOON, child.wait()).await;
            sleep(SOON).await;
        }
        self.kill();
        let _ = child.wait().await;
    }

    fn kill(&self) {
        self.signal(Signal::KILL);
        if let Some(family) = &self.family {
            family.kill();
        }
    }

    /// Lets the group go: nobody is left, or nobody is to be ended.
    pub(super) fn release(&mut self) {
        (self.id, self.family) = (None, None);
    }

    /// Holds what is left of the group until it has left by itself. Dropped before (the runtime ends),
    /// it takes the rest along: what a command put into the background lives as long as its program.
    pub(super) async fn outlive(mut self) {
        let mut wait = SOON;
        while self.id.is_some_and(|id| test_kill_process_group(id).is_ok()) {
            sleep(wait).await;
            wait = (wait * 2).min(SELDOM);
        }
        self.release();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.id.is_some() || self.family.is_some() {
            self.kill();
        }
    }
}

/// Whether a process of this number lives.
pub fn lives(id: u32) -> bool {
    parent(id).map_or_else(|| pid(id).is_some_and(|id| test_kill_process(id).is_ok()), |it| it.1)
}
