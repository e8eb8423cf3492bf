//! Who subscribes: functions of this program, and programs named by a file.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::program::{HookProgram, ProgramContext};
use crate::{HookDecision, HookEvent, HookEventKind};

/// What a function in messages and in the figures is called.
const FUNCTION: &str = "a function";

type Decide = Box<dyn Fn(&HookEvent) -> HookDecision + Send + Sync>;

/// Who is asked, and when.
pub(crate) enum Subscriber {
    Function { kind: HookEventKind, decide: Decide },
    Program { program: HookProgram, file: String },
}

impl Subscriber {
    /// What it is called in messages.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Function { .. } => FUNCTION,
            Self::Program { program, .. } => &program.name,
        }
    }

    /// Whether it subscribed to this kind of event and, for a program, to this tool.
    pub(crate) fn concerns(&self, event: &HookEvent) -> bool {
        match self {
            Self::Function { kind, .. } => *kind == event.kind,
            Self::Program { program, .. } => {
                program.kind == event.kind && program.concerns(event.text("tool_name"))
            }
        }
    }

    /// Whether it is a program that this file names.
    pub(crate) fn is_from(&self, other: &str) -> bool {
        match self {
            Self::Function { .. } => false,
            Self::Program { file, .. } => file == other,
        }
    }

    /// Asks it. A function that panics has failed, as a program that crashes has.
    pub(crate) async fn decide(&self, event: &HookEvent, context: &ProgramContext) -> HookDecision {
        match self {
            Self::Program { program, .. } => program.decide(event, context).await,
            Self::Function { kind, decide } => {
                let decided = catch_unwind(AssertUnwindSafe(|| decide(event)));
                decided
                    .unwrap_or_else(|_| HookDecision::failure(*kind, None, FUNCTION, "it panicked"))
            }
        }
    }
}
