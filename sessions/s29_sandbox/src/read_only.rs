//! `ReadOnly`: Landlock for the paths, a filter for the calls, no capabilities for root.
//!
//! Both bind the thread that asks for them and every process that it starts, for ever. So a thread
//! of its own asks, starts the child, and ends. Opening hundreds of paths takes milliseconds, so the
//! rules are kept: the kernel copies a set of rules when a thread takes it, and the set itself
//! can be used again. It is made anew when a folder that it was made from has changed.

use std::{io, os::fd::OwnedFd, sync::Arc};

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use rustix::{
    fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat2},
    thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities},
};
use seccompiler::BpfProgram;

use crate::{
    filter::{self, Purpose},
    grants::{Book, Grants, Rule},
    places::Right,
    walk::{Kind, Memory},
};

/// Why a thread could not be confined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfineError {
    /// The kernel refused the rules for paths.
    #[error("the rules for files could not be made: {0}")]
    Rules(#[from] RulesetError),
    /// The kernel took the rules only in part, which counts as not at all.
    #[error("the kernel enforces the rules for files only in part")]
    Partial,
    /// The kernel refused the filter.
    #[error("the filter for calls could not be set: {0}")]
    Filter(#[from] seccompiler::Error),
    /// The architecture has no filter.
    #[error("the filter for calls could not be made: {0}")]
    Compile(#[from] seccompiler::BackendError),
    /// A call of the system failed.
    #[error("the confinement could not be prepared: {0}")]
    System(#[from] io::Error),
}

/// The kernel's form of the rules, kept from line to line.
#[derive(Debug)]
pub(crate) struct ReadOnly {
    abi: ABI,
    program: Arc<BpfProgram>,
    /// With the edition of the grants that they were made from.
    ruleset: Option<(u64, RulesetCreated)>,
    made: u64,
}

/// What a thread needs to confine itself.
#[derive(Debug)]
pub(crate) struct Bonds {
    ruleset: RulesetCreated,
    program: Arc<BpfProgram>,
}

impl ReadOnly {
    /// `version` is that of Landlock's interface.
    pub(crate) fn new(version: u8) -> Result<Self, ConfineError> {
        let program = filter::compile(Purpose::ReadOnly { landlock: version })?;
        let abi = ABI::from(i32::from(version));
        Ok(Self { abi, program: Arc::new(program), ruleset: None, made: 0 })
    }

    /// What the next child is confined with.
    pub(crate) fn bonds(&mut self, grants: &Grants, book: &Book) -> Result<Bonds, ConfineError> {
        let ruleset = match self.ruleset.take() {
            Some((edition, ruleset)) if edition == book.edition() => ruleset,
            _ => {
                self.made += 1;
                self.make_ruleset(grants, book.memory())?
            }
        };
        let copy = ruleset.try_clone()?;
        self.ruleset = Some((book.edition(), ruleset));
        Ok(Bonds { ruleset: copy, program: self.program.clone() })
    }

    /// Drops the kept rules. They hold files open: the space of a deleted one is free only when the
    /// rules are made anew or dropped.
    pub(crate) fn rest(&mut self) {
        self.ruleset = None;
    }

    /// How often rules were made.
    pub(crate) fn made(&self) -> u64 {
        self.made
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

impl Bonds {
    /// Confines the calling thread and everything it starts from now on. There is no way back.
    pub(crate) fn confine(self) -> Result<(), ConfineError> {
        drop_capabilities()?;
        let status = self.ruleset.restrict_self()?;
        if status.ruleset != RulesetStatus::FullyEnforced || !status.no_new_privs {
            return Err(ConfineError::Partial);
        }
        seccompiler::apply_filter(&self.program)?;
        Ok(())
    }
}

/// Root without capabilities may still read what root owns, and nothing of what makes it root. One
/// is left: reading the files of others, as in a container whose workspace belongs to somebody
/// else. "No new privileges", which Landlock sets, keeps the rest from coming back with a program.
fn drop_capabilities() -> io::Result<()> {
    let own = capabilities(None)?;
    let left = own.permitted & CapabilitySet::DAC_READ_SEARCH;
    let sets =
        CapabilitySets { effective: left, permitted: left, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets)?;
    Ok(())
}
