//! The processes that a child has started, and how all of them are ended.

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

/// The time from TERM to KILL.
const GRACE_PERIOD: Duration = Duration::from_millis(200);
/// No event says that all processes have exited, so they are polled: at this interval at first, then at
/// longer and longer ones.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(5);
/// The longest interval between two polls.
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How often a tree is killed before it is given up, because it makes children faster than they can be
/// killed.
const MAX_KILL_ROUNDS: usize = 200;

/// All processes that descend from one child, including those that left its group (`setsid`, a daemon).
///
/// One call is enough to leave a group. So a tree is marked by a variable of the environment, which every child
/// inherits: its members are the processes that have the variable, and their children. Without `/proc` (macOS)
/// no member is found, and only the group counts. A process that drops both its environment and its parent is
/// not found either; a real product uses a cgroup or a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessTree(String);

impl Default for ProcessTree {
    fn default() -> Self {
        Self::new()
    }
}

impl ProcessTree {
    /// A new tree without members.
    pub fn new() -> Self {
        // Two ids: a mark that no other tree has.
        Self::named(&format!("{}{}", ids::fresh(|_| false), ids::fresh(|_| false)))
    }

    /// The tree of this name, which another run of the program may have begun.
    pub fn named(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// Its name, for [`ProcessTree::named`].
    pub fn name(&self) -> &str {
        &self.0
    }

    /// The variable that marks its members. The mark is in the variable's name, not in its value, so that the
    /// members of a tree within a tree have both.
    pub(super) fn variable(&self) -> String {
        format!("HARNESS_FAMILY_{}", self.0)
    }

    /// The members that are alive now, by process number.
    pub fn members(&self) -> Vec<u32> {
        let own = std::process::id();
        let mark = format!("{}=", self.variable());
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let mut members = Vec::new();
        let mut parents = HashMap::new();
        for id in ids.filter(|id| *id != own) {
            let Some((parent, is_alive)) = parent(id) else { continue };
            if !is_alive {
                continue;
            }
            // It cannot be read for other users' processes, and for those that have just exited.
            let variables = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
            let mut variables = variables.split(|byte| *byte == 0);
            if variables.any(|variable| variable.starts_with(mark.as_bytes())) {
                members.push(id);
            } else {
                parents.insert(id, parent);
            }
        }
        add_descendants(&mut members, parents);
        members
    }

    /// Ends all members: TERM and, 200 ms later, KILL. Returns how many there were.
    pub async fn end(&self) -> usize {
        let members = self.signal(Signal::TERM);
        let deadline = Instant::now() + GRACE_PERIOD;
        while members > 0 && !self.members().is_empty() && Instant::now() < deadline {
            sleep(MIN_POLL_INTERVAL).await;
        }
        self.kill();
        members
    }

    fn signal(&self, signal: Signal) -> usize {
        let members = self.members();
        for id in &members {
            if let Some(id) = pid(*id) {
                let _ = kill_process(id, signal); // it may have exited already
            }
        }
        members.len()
    }

    /// Sends KILL until two searches in a row find no member: a child may have been started while the first
    /// one was under way.
    fn kill(&self) {
        let mut searches_without_members = 0;
        for _ in 0..MAX_KILL_ROUNDS {
            if self.signal(Signal::KILL) > 0 {
                searches_without_members = 0;
            } else {
                searches_without_members += 1;
            }
            if searches_without_members == 2 {
                return;
            }
            std::thread::yield_now();
        }
    }
}

/// Moves the children of members, and their children in turn, from `parents` to the members.
fn add_descendants(members: &mut Vec<u32>, mut parents: HashMap<u32, u32>) {
    loop {
        let known = members.len();
        parents.retain(|id, parent| {
            let is_child = members.contains(parent);
            if is_child {
                members.push(*id);
            }
            !is_child
        });
        if members.len() == known {
            return;
        }
    }
}

fn pid(id: u32) -> Option<Pid> {
    Pid::from_raw(id.cast_signed())
}

/// The parent of a process, and whether the process is alive (a zombie is not).
fn parent(id: u32) -> Option<(u32, bool)> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name before this, in brackets, may contain anything.
    let mut words = stat.rsplit_once(") ")?.1.split(' ');
    let state = words.next()?;
    Some((words.next()?.parse().ok()?, !matches!(state, "Z" | "X")))
}

/// A child's process group, and its process tree if it has one. They are killed when this value is dropped.
#[derive(Debug)]
pub(super) struct Group {
    id: Option<Pid>,
    tree: Option<ProcessTree>,
}

impl Group {
    pub(super) fn new(child: &Child, tree: Option<ProcessTree>) -> Self {
        Self { id: child.id().and_then(pid), tree }
    }

    fn signal(&self, signal: Signal) {
        if let Some(id) = self.id {
            let _ = kill_process_group(id, signal); // it may have exited already
        }
        if let Some(tree) = &self.tree {
            tree.signal(signal);
        }
    }

    fn is_alive(&self) -> bool {
        let group_is_alive = self.id.is_some_and(|id| test_kill_process_group(id).is_ok());
        group_is_alive || self.tree.as_ref().is_some_and(|tree| !tree.members().is_empty())
    }

    /// Waits until no process of the tree is left. Without a tree there is nothing to wait for.
    pub(super) async fn wait_for_tree<P: FnMut(&[u8])>(&self, pump: &mut Pump<P>) {
        let Some(tree) = &self.tree else { return };
        let mut interval = MIN_POLL_INTERVAL;
        while !tree.members().is_empty() {
            pump.read_for(interval).await;
            interval = (interval * 2).min(MAX_POLL_INTERVAL);
        }
    }

    /// Sends TERM, waits up to the [`GRACE_PERIOD`] until every member has exited, then sends KILL. The output
    /// is read meanwhile, so that no process blocks on a full pipe and the last output is kept.
    pub(super) async fn end_while_reading<P: FnMut(&[u8])>(
        &self,
        child: &mut Child,
        pump: &mut Pump<P>,
    ) {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + GRACE_PERIOD;
        let all_exit = async {
            loop {
                tokio::select! {
                    _ = child.wait() => break,
                    _ = pump.step() => {}
                }
            }
            // The child itself has exited; its own children may need a moment more.
            while self.is_alive() {
                pump.read_for(MIN_POLL_INTERVAL).await;
            }
        };
        if timeout_at(deadline, all_exit).await.is_err() {
            self.kill();
            let _ = child.wait().await;
        }
    }

    /// The same for a child whose output is read elsewhere.
    pub(super) async fn end(&self, child: &mut Child) {
        if !self.is_alive() {
            return;
        }
        self.signal(Signal::TERM);
        let deadline = Instant::now() + GRACE_PERIOD;
        while self.is_alive() && Instant::now() < deadline {
            let _ = timeout_at(Instant::now() + MIN_POLL_INTERVAL, child.wait()).await;
            sleep(MIN_POLL_INTERVAL).await;
        }
        self.kill();
        let _ = child.wait().await;
    }

    fn kill(&self) {
        self.signal(Signal::KILL);
        if let Some(tree) = &self.tree {
            tree.kill();
        }
    }

    /// Lets the processes run on: dropping this value no longer kills them.
    pub(super) fn release(&mut self) {
        self.id = None;
        self.tree = None;
    }

    /// Holds what is left of the group until it has exited by itself. When the runtime ends, this is dropped
    /// earlier and kills the rest: what a command puts into the background lives as long as the program.
    pub(super) async fn hold_until_empty(mut self) {
        let mut interval = MIN_POLL_INTERVAL;
        while self.id.is_some_and(|id| test_kill_process_group(id).is_ok()) {
            sleep(interval).await;
            interval = (interval * 2).min(MAX_POLL_INTERVAL);
        }
        self.release();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.id.is_some() || self.tree.is_some() {
            self.kill();
        }
    }
}

/// Whether a process of this number is alive. A zombie is not; without `/proc` (macOS) it counts as alive.
pub fn lives(id: u32) -> bool {
    match parent(id) {
        Some((_, is_alive)) => is_alive,
        None => pid(id).is_some_and(|id| test_kill_process(id).is_ok()),
    }
}
