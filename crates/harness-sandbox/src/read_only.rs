//! `ReadOnly`: Landlock for the paths, a filter for the calls, no capabilities for root.
//!
//! All of it binds the thread that asks for it and every process that it starts, for ever. So threads
//! of their own ask, start a child, and end ([`crate::nursery`]). Opening hundreds of paths takes
//! milliseconds, so the rules are kept: the kernel copies a set of rules when a thread takes it, and
//! the set itself can be used again. It is made anew when a folder that it was made from has changed.

use std::{os::fd::OwnedFd, sync::Mutex};

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat2};

use crate::{
    error::ConfineError,
    filter::{self, Purpose},
    grants::{Book, Grants, Rule},
    nursery::Nursery,
    places::Right,
    sandbox::lock,
    walk::{Kind, Memory},
};

/// The kernel's form of the rules, kept from line to line.
#[derive(Debug)]
pub(crate) struct ReadOnly {
    abi: ABI,
    nursery: Nursery,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// With the edition of the grants that they were made from.
    ruleset: Option<(u64, RulesetCreated)>,
    made: u64,
}

impl ReadOnly {
    /// `version` is that of Landlock's interface.
    pub(crate) fn new(version: u8) -> Result<Self, ConfineError> {
        let program = filter::compile(Purpose::ReadOnly { landlock: version })?;
        let nursery = Nursery::new(program)?;
        let abi = ABI::from(i32::from(version));
        Ok(Self { abi, nursery, kept: Mutex::default() })
    }

    /// The rules for the next child.
    pub(crate) fn rules(&self, grants: &Grants, book: &Book) -> Result<Rules, ConfineError> {
        let mut kept = lock(&self.kept);
        let ruleset = match kept.ruleset.take() {
            Some((edition, ruleset)) if edition == book.edition() => ruleset,
            _ => {
                kept.made += 1;
                self.make_ruleset(grants, book.memory())?
            }
        };
        let copy = ruleset.try_clone()?;
        kept.ruleset = Some((book.edition(), ruleset));
        Ok(Rules(copy))
    }

    /// Runs the closure on a thread under the filter and these rules.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        rules: Rules,
        run: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ConfineError> {
        self.nursery.run(move || {
            rules.enforce()?;
            Ok(run())
        })?
    }

    /// Drops the kept rules. They hold files open: the space of a deleted one is free only when the
    /// rules are made anew or dropped.
    pub(crate) fn rest(&self) {
        lock(&self.kept).ruleset = None;
    }

    /// How often rules were made.
    pub(crate) fn made(&self) -> u64 {
        lock(&self.kept).made
    }

    fn make_ruleset(
        &self,
        grants: &Grants,
        memory: &Memory,
    ) -> Result<RulesetCreated, ConfineError> {
        // Hard: the ABI was found by trying, so what is asked for here is there.
        let mut ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(self.abi))?;
        let scopes = Scope::from_all(self.abi);
        if !scopes.is_empty() {
            ruleset = ruleset.scope(scopes)?;
        }
        let mut created = ruleset.create()?;
        for rule in &grants.rules {
            let Some((file, kind)) = open(rule, memory) else { continue };
            let access = self.access(rule.right, kind);
            if !access.is_empty() {
                created = created.add_rule(PathBeneath::new(file, access))?;
            }
        }
        Ok(created)
    }

    /// The kernel's words for a right. A file takes fewer of them than a folder.
    fn access(&self, right: Right, kind: Kind) -> BitFlags<AccessFs> {
        let all = AccessFs::from_all(self.abi);
        let wanted = match right {
            Right::List => AccessFs::ReadDir.into(),
            Right::Read => AccessFs::ReadFile | AccessFs::ReadDir,
            Right::Run => AccessFs::ReadFile | AccessFs::ReadDir | AccessFs::Execute,
            Right::Write => all & !(AccessFs::MakeBlock | AccessFs::MakeChar),
            Right::Device => AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev,
        };
        let possible = match kind {
            Kind::Folder => all,
            _ => AccessFs::from_file(self.abi),
        };
        wanted & possible
    }
}

/// Opens what a rule is for, if it is still what was looked at. A link anywhere on the way is refused:
/// somebody may have put it there since.
fn open(rule: &Rule, memory: &Memory) -> Option<(OwnedFd, Kind)> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let file = openat2(CWD, &rule.path, flags, Mode::empty(), resolve).ok()?;
    let stat = fstat(&file).ok()?;
    let kind = Kind::from(FileType::from_raw_mode(stat.st_mode));
    if rule.kind.is_some_and(|expected| expected != kind) {
        return None;
    }
    if let Some(known) = memory.known(&rule.path) {
        let is_same = known.inode() == stat.st_ino && known.device() == stat.st_dev;
        if !is_same {
            return None;
        }
    }
    Some((file, kind))
}

/// Rules that a thread can take.
#[derive(Debug)]
pub(crate) struct Rules(RulesetCreated);

impl Rules {
    /// Binds the calling thread and everything it starts from now on. There is no way back.
    fn enforce(self) -> Result<(), ConfineError> {
        let status = self.0.restrict_self()?;
        if status.ruleset != RulesetStatus::FullyEnforced || !status.no_new_privs {
            return Err(ConfineError::Partial);
        }
        Ok(())
    }
}
